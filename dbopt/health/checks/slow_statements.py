"""Many statements that are slow, each by its own average.

Counts the different statements of this database that took 500 ms or more on average since the last run, or since
pg_stat_statements began to count them. One such statement is a report; ten or more are an application that waits: for
indexes, for locks, or for a server that is too small. What was called once only is left out: a load, an index, a dump.
The remedy shows the texts of the slowest.
https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import SQL, Identifier, Literal

from dbopt.health.check import Check, Gap, Group, Limit, Unit, above
from dbopt.health.deltas import Counters
from dbopt.health.statements import NEEDS, grant, must_count
from dbopt.postgres.statements import STATEMENT_TOTALS, STATEMENTS, Statement, view
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dbopt.health.deltas import Delta
    from dbopt.health.scene import Scene

_NAMED_MAX = 10  # the slowest, in the remedy
_TEXTS = SQL(
    "SELECT queryid, calls, mean_exec_time, query FROM {view}\n"
    " WHERE queryid = ANY ({ids}) ORDER BY mean_exec_time DESC;"
)
_GUIDE = "guide of Thrive-Send: alert above 500 ms for 10 or more statements"


@dataclass(frozen=True, slots=True)
class Slow:
    dbname: str
    slowest: tuple[Delta, ...]  # subjects are queryids, the slowest first
    mean_seconds: float  # the limit
    view: Identifier
    gap: Gap | None = None


def _counters(rows: Sequence[Statement]) -> Iterator[Counters]:
    for row in rows:
        if row.queryid is not None:
            values = {"calls": float(row.calls), "total_exec_time_ms": row.total_exec_time_ms}
            yield Counters(str(row.queryid), row.counted_since, values)


def _slow(rows: Sequence[Statement], scene: Scene) -> Iterable[Slow]:
    for total in scene.rows(STATEMENT_TOTALS):
        must_count(total)
    limit = scene.limits["mean_time"]
    hidden = sum(row.entries for row in rows if row.queryid is None and row.max_exec_time_ms >= limit * 1000)
    gap = None
    if hidden:
        reason = f"statements of other roles took {format_duration(limit)} or more, and their ids are hidden"
        gap = Gap(reason, grant(scene), blind=True)
    # One that was never so slow needs no window.
    candidates = [row for row in rows if row.queryid is not None and row.max_exec_time_ms >= limit * 1000]
    slow = [
        found
        for found in scene.deltas(_counters(candidates))
        if found.values["calls"] >= scene.limits["min_calls"] and _mean(found) >= limit
    ]
    found = tuple(sorted(slow, key=lambda item: (-_mean(item), item.subject)))
    yield Slow(scene.server.dbname, found, limit, view(scene.surroundings))
    if gap is not None:
        yield Slow(scene.server.dbname, (), limit, view(scene.surroundings), gap)


def _mean(found: Delta) -> float:
    calls = found.values["calls"]
    return found.values["total_exec_time_ms"] / 1000 / calls if calls else 0.0


def _detail(row: Slow) -> str:
    words = f"{len(row.slowest)} statements take {format_duration(row.mean_seconds)} or more on average"
    if not row.slowest:
        return words
    worst = row.slowest[0]
    return (
        f"{words}; the slowest is queryid {worst.subject}: {format_duration(_mean(worst))} over"
        f" {worst.values['calls']:.0f} calls within {format_duration(worst.seconds)}"
    )


def _remedy(row: Slow) -> str:
    ids = Literal([int(found.subject) for found in row.slowest[:_NAMED_MAX]])
    return _TEXTS.format(view=row.view, ids=ids).as_string()


CHECK: Check[Slow] = Check(
    id="slow-statements",
    title="Many slow statements",
    group=Group.WORKLOAD,
    query=STATEMENTS,
    also=(STATEMENT_TOTALS,),
    unit=Unit.COUNT,
    thresholds=above(warning=10, critical=None, source=_GUIDE),
    limits=(
        Limit("mean_time", 0.5, Unit.SECONDS, _GUIDE),
        Limit("min_calls", 2, Unit.COUNT, "our own reasoning: what came once is a load, a build or a dump"),
    ),
    subject=lambda row: row.dbname,
    measure=lambda row: float(len(row.slowest)),
    detail=_detail,
    remedy=_remedy,
    gap=lambda row: row.gap,
    rows=_slow,
    counters=_counters,
    needs=NEEDS,
    gauge=True,
)
