"""Tables that autovacuum should have vacuumed since the last run of dbopt, and did not.

Autovacuum is due when a table has more dead rows than autovacuum_vacuum_threshold + autovacuum_vacuum_scale_factor *
rows, or more inserted ones than the same with _insert_ (13+), each with the table's own options; 18 has an upper limit
too, autovacuum_vacuum_max_threshold. A table crosses that line at any moment, so one look cannot tell who is behind: a
finding has twice as many rows as the line, now and in the run before, at least three rounds of autovacuum ago, without
any VACUUM between the two. Then all workers are busy (autovacuum_max_workers), slowed down
(autovacuum_vacuum_cost_delay), or cannot get their lock.

The first run only takes note, and a table that was vacuumed within the last minutes (`grace`) is let pass. Tables with
many dead rows are reported by dead-tuples, whatever autovacuum thinks.
https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Unit, above
from dbopt.health.deltas import Counters
from dbopt.health.vacuum import GRACE, ON_PRIMARY, is_ours
from dbopt.postgres.tables import TABLE_STATE, TableState
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Behind:
    table: TableState
    seconds: float  # since the run that saw it first
    gap: Gap | None = None


_ONCE = Gap("autovacuum is due; whether it comes, the next run tells", "Run dbopt health again after some minutes.")


def _times(table: TableState) -> float:
    """How many times the line is reached."""
    inserts = 0.0 if table.insert_trigger is None else table.n_ins_since_vacuum / max(table.insert_trigger, 1)
    return max(table.n_dead_tup / max(table.vacuum_trigger, 1), inserts)


def _over(rows: Sequence[TableState], times: float) -> Iterator[TableState]:
    for table in filter(is_ours, rows):
        if table.autovacuum_on and table.autovacuum_enabled and _times(table) >= times:
            yield table


def _rows(rows: Sequence[TableState], scene: Scene) -> Iterator[Behind]:
    grace, seconds = scene.limits["grace"], scene.seconds_since
    for table in _over(rows, scene.thresholds.warning or 1.0):
        seen = scene.earlier.get(table.relation)
        last, ago = table.vacuumed_at, max(grace, 10 * table.naptime_seconds)
        if last is not None and (scene.surroundings.now - last).total_seconds() < ago:
            continue
        if seconds < 3 * table.naptime_seconds:
            yield Behind(table, seconds, _ONCE)
        elif seen is not None and seen.since == table.vacuumed_at:
            yield Behind(table, seconds)


def _counters(rows: Sequence[TableState]) -> Iterator[Counters]:
    for table in _over(rows, 1.0):
        yield Counters(table.relation, table.vacuumed_at, {"times": _times(table)})


def _detail(row: Behind) -> str:
    table = row.table
    words = [f"due for {format_duration(row.seconds)} or longer"]
    if table.n_dead_tup > table.vacuum_trigger:
        words.append(f"{table.n_dead_tup:,} dead rows where autovacuum comes at {table.vacuum_trigger:,.0f}")
    if table.insert_trigger is not None and table.n_ins_since_vacuum > table.insert_trigger:
        words.append(f"{table.n_ins_since_vacuum:,} inserted rows where it comes at {table.insert_trigger:,.0f}")
    return ", ".join(words)


CHECK: Check[Behind] = Check(
    id="autovacuum-behind",
    title="Autovacuum is behind",
    group=Group.VACUUM,
    query=TABLE_STATE,
    unit=Unit.COUNT,
    thresholds=above(warning=2, critical=None, source="our own: twice the line at which autovacuum comes"),
    limits=(GRACE,),
    needs=(ON_PRIMARY,),
    rows=_rows,
    gap=lambda row: row.gap,
    counters=_counters,
    subject=lambda row: row.table.relation,
    measure=lambda row: _times(row.table),
    detail=_detail,
    remedy=lambda row: f"VACUUM (ANALYZE, VERBOSE) {row.table.relation};",
)
