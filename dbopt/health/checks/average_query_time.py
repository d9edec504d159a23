"""How long the statements of this database take on average.

Over the time since the last run, or since pg_stat_statements was reset: an average over months cannot show a present
problem. Only statements that have come ten times count, so that a restore, a build of indexes or the reports of the
night do not make the average; only those that a client sent, not those inside of functions, which would count twice.
To do: look at the statements with the largest share of the time first; the remedy lists them.
https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import SQL, Identifier

from dbopt.health.check import Check, Gap, Group, Limit, NotJudged, Unit, above
from dbopt.health.deltas import Counters
from dbopt.health.statements import NEEDS, must_count
from dbopt.postgres.statements import STATEMENT_TOTALS, StatementTotals, view
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_SUBJECT = "statements"
_GUIDE = "guide of Thrive-Send: below 100 ms on average"
_COSTLIEST = SQL(
    "SELECT s.queryid, s.calls, s.mean_exec_time, s.total_exec_time, s.query\n"
    "  FROM {view} AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid\n"
    " WHERE d.datname = pg_catalog.current_database() ORDER BY s.total_exec_time DESC LIMIT 10;"
)


@dataclass(frozen=True, slots=True)
class Average:
    dbname: str
    calls: int
    mean_seconds: float
    window_seconds: float
    evicted: bool  # some were thrown out meanwhile, with what they had cost
    since_reset: bool
    view: Identifier


def _counters(rows: Sequence[StatementTotals]) -> Iterator[Counters]:
    for row in rows:
        values = {"calls": float(row.calls), "total_exec_time_ms": row.total_exec_time_ms}
        if row.deallocations is not None:
            values["deallocations"] = row.deallocations
        yield Counters(_SUBJECT, row.stats_reset, values)


def _averages(rows: Sequence[StatementTotals], scene: Scene) -> Iterator[Average]:
    for row in rows:
        must_count(row)
    resets = [row.stats_reset for row in rows if row.stats_reset is not None]
    for found in scene.deltas(_counters(rows)):
        calls = int(found.values["calls"])
        window = format_duration(found.seconds)
        if calls < max(scene.limits["min_calls"], 1):
            raise NotJudged(f"too few calls for an average: {calls} of repeated statements within {window}")
        yield Average(
            dbname=scene.server.dbname,
            calls=calls,
            mean_seconds=found.values["total_exec_time_ms"] / 1000 / calls,
            window_seconds=found.seconds,
            evicted=found.values.get("deallocations", 0) > 0,
            since_reset=any((scene.surroundings.now - reset).total_seconds() <= found.seconds for reset in resets),
            view=view(scene.surroundings),
        )


def _gap(row: Average) -> Gap | None:
    """The average over those that are still held is one; the difference of two sums is none."""
    if not row.evicted or row.since_reset:
        return None
    reason = f"pg_stat_statements threw statements out within the last {format_duration(row.window_seconds)}"
    return Gap(f"{reason}, so its sums are not whole", "Run dbopt health --only statement-statistics.")


CHECK: Check[Average] = Check(
    id="average-query-time",
    title="Average time of a statement",
    group=Group.WORKLOAD,
    query=STATEMENT_TOTALS,
    unit=Unit.SECONDS,
    thresholds=above(warning=0.1, critical=None, source=_GUIDE),
    limits=(
        Limit("min_calls", 20, Unit.COUNT, "our own reasoning: the average of a few calls says nothing of the next"),
    ),
    subject=lambda row: row.dbname,
    measure=lambda row: row.mean_seconds,
    detail=lambda row: (
        f"{format_duration(row.mean_seconds)} on average over {row.calls} calls"
        f" within {format_duration(row.window_seconds)}"
        f"{', of the statements that pg_stat_statements still holds' if row.evicted else ''}"
    ),
    remedy=lambda row: _COSTLIEST.format(view=row.view).as_string(),
    gap=_gap,
    rows=_averages,
    counters=_counters,
    needs=NEEDS,
    gauge=True,
)
