"""What runs of optimize brought, as far as the counters tell. Pure.

Of an index: its size and scans since it was made. Of the database: how it did in the day before the run and in the day
after, by readings that lie wholly before and after. Others' changes of those days are in these numbers too, so they
are shown as what was, not as what the run alone has done.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.metrics.metric import Unit
from dbopt.optimize.steps import Action
from dbopt.postgres.identifiers import display
from dbopt.report.values import Compared, RunEffect, StepEffect
from dbopt.snapshot.delta import added, moments
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from dbopt.postgres.relation_counters import IndexCounters, TableCounters
    from dbopt.snapshot.model import Interval
    from dbopt.store.records import RunRecord, StepRecord

# The same hours of the day on both sides: a night is never compared with a day where there is enough of both.
AROUND = timedelta(days=1)
COMPARED = (Family.STATEMENTS, Family.TABLES)
BEFORE, AFTER = "before", "after"
# Shorter, chance decides.
_LEAST_SECONDS = 60.0
_MADE = (Action.CREATE, Action.REPLACE, Action.REPAIR)
# Of the tables of one run, so many are told of.
_TABLES_MAX = 5


class Sides:
    """What was counted in the day before each run and in the day after, added up as the intervals come."""

    def __init__(self, runs: Iterable[tuple[RunRecord, Sequence[StepRecord]]] = ()) -> None:
        self._spells: list[tuple[tuple[int, str], datetime, datetime]] = []
        self._sums: dict[tuple[int, str], dict[str, Interval]] = {}
        for run, steps in runs:
            ended = run.finished_at or max((step.started_at for step in steps), default=run.started_at)
            self._spells += [
                ((run.id, BEFORE), run.started_at - AROUND, run.started_at),
                ((run.id, AFTER), ended, ended + AROUND),
            ]

    def add(self, interval: Interval) -> None:
        for key, from_at, to_at in self._spells:
            if from_at <= interval.from_at and interval.to_at <= to_at:
                sums = self._sums.setdefault(key, {})
                earlier = sums.get(interval.family)
                sums[interval.family] = interval if earlier is None else added(earlier, interval)

    def of(self, run: RunRecord, side: str) -> Mapping[str, Interval]:
        """By family."""
        return self._sums.get((run.id, side), {})


def effect(
    run: RunRecord,
    steps: Sequence[StepRecord],
    tables: Sequence[TableCounters] | None,
    indexes: Sequence[IndexCounters] | None,
    sides: Sides,
) -> RunEffect:
    """`tables`, `indexes`: as they are now; None: they could not be read."""
    by_name = None if indexes is None else {(row.schema, row.name): row for row in indexes}
    found = [_of_step(step, by_name) for step in steps]
    if not any(step.action in (*_MADE, Action.DROP) and step.outcome == "done" for step in steps):
        return RunEffect(run=run, steps=found, why_not="the run made and dropped no index")
    before, after = sides.of(run, BEFORE), sides.of(run, AFTER)
    lacking = [
        word
        for word, side in ((BEFORE, before), (AFTER, after))
        if all(interval.seconds < _LEAST_SECONDS for interval in side.values())
    ]
    if lacking:
        return RunEffect(run=run, steps=found, why_not=f"there are no readings of the day {' and '.join(lacking)} it")
    return RunEffect(
        run=run,
        steps=found,
        compared=[
            item
            for item in _compared(steps, tables or (), before, after)
            if item.before is not None or item.after is not None
        ],
        before=moments(list(before.values())),
        after=moments(list(after.values())),
    )


def _of_step(step: StepRecord, by_name: Mapping[tuple[str, str], IndexCounters] | None) -> StepEffect:
    if by_name is None or step.index_name is None or step.action not in _MADE or step.outcome != "done":
        return StepEffect(step=step)
    row = by_name.get((step.schema_name, step.index_name))
    if row is None:
        return StepEffect(step=step, is_gone=True)
    # An index counts from its birth, unless somebody has reset the counters since.
    since = max(filter(None, (step.started_at, row.stats_since)))
    return StepEffect(step=step, size_now_bytes=row.size_bytes, scans=row.idx_scan, scans_since=since)


def _compared(
    steps: Sequence[StepRecord],
    tables: Sequence[TableCounters],
    before: Mapping[str, Interval],
    after: Mapping[str, Interval],
) -> list[Compared]:
    found = [
        Compared(
            title="Mean time of a statement",
            before=_mean_ms(before.get(Family.STATEMENTS)),
            after=_mean_ms(after.get(Family.STATEMENTS)),
            unit=Unit.MILLISECONDS,
        )
    ]
    concerned = {(step.schema_name, step.table_name) for step in steps if step.action in _MADE}
    keys = {(row.schema, row.name): str(row.relation_oid) for row in tables if (row.schema, row.name) in concerned}
    for (schema, name), key in sorted(keys.items())[:_TABLES_MAX]:
        found.append(
            Compared(
                title=f"Rows read by sequential scans of {display(schema, name)}",
                before=_rows_read(before, key),
                after=_rows_read(after, key),
                unit=Unit.PER_SECOND,
            )
        )
    return found


def _mean_ms(interval: Interval | None) -> float | None:
    if interval is None or not {"calls", "total_exec_time_ms"} <= set(interval.counts):
        return None
    calls, time = (interval.counts.index(name) for name in ("calls", "total_exec_time_ms"))
    number = sum(change.counts[calls] or 0.0 for change in interval.changes.values())
    whole = sum(change.counts[time] or 0.0 for change in interval.changes.values())
    return whole / number if number > 0 else None


def _rows_read(intervals: Mapping[str, Interval], key: str) -> float | None:
    of_tables = intervals.get(Family.TABLES)
    return None if of_tables is None else of_tables.rate(key, "seq_tup_read")
