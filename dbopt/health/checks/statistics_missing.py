"""Tables that were never analyzed.

Without statistics the planner guesses how many rows a condition finds, and with them which index and which join to use.
Autovacuum gathers them when enough rows have changed; it does not come where it is disabled, or when it was not told of
the changes: after pg_upgrade before 18, after a reset of the counters, after a crash.

A table is meant that has no entry in pg_stats, from 10,000 rows on (`min_rows`; `min_size` where nobody has counted
them). A table that autovacuum is about to analyze, as after a restore, is no finding until a later run of dbopt sees
that it did not come. Partitioned tables themselves, which autovacuum leaves out, are not looked at.
https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.health.check import Check, Gap, Group, Limit, Status, Unit, presence
from dbopt.health.deltas import Counters
from dbopt.health.vacuum import ON_PRIMARY, is_ours
from dbopt.postgres.tables import TABLE_STATE, TableState
from dbopt.units import format_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Unanalyzed:
    table: TableState
    gap: Gap | None = None


_DUE = Gap("autovacuum is about to analyze them, and may do so within minutes", "Run dbopt health again.")
_LOCKED = Gap("a lock hides how large they are", "Run dbopt health --only blocked-sessions.")


def _rows(rows: Sequence[TableState], scene: Scene) -> Iterator[Unanalyzed]:
    for table in filter(is_ours, rows):
        if table.analyzed_at is not None or table.has_statistics:
            continue
        if table.rows < scene.limits["min_rows"] and (table.size_bytes or 0) < scene.limits["min_size"]:
            # Where not one row was counted, the counters may have been lost with a reset.
            if table.is_locked and _is_untouched(table) and table.n_tup_ins == 0:
                yield Unanalyzed(table, _LOCKED)
        elif not table.may_read_statistics and not _is_untouched(table):
            yield Unanalyzed(table, _hidden(table, scene))
        else:
            yield Unanalyzed(table, _DUE if _is_due(table) and not _was_due(table, scene) else None)


def _is_untouched(table: TableState) -> bool:
    """Neither VACUUM nor ANALYZE nor a new index has counted its rows: this everybody may see."""
    return (table.reltuples <= 0 and table.relpages == 0) or table.reltuples < 0


def _is_due(table: TableState) -> bool:
    return table.autovacuum_on and table.autovacuum_enabled and table.n_mod_since_analyze > table.analyze_trigger


def _was_due(table: TableState, scene: Scene) -> bool:
    """The last run saw it too, and autovacuum has had three rounds since."""
    return table.relation in scene.earlier and scene.seconds_since >= 3 * table.naptime_seconds


def _due(rows: Sequence[TableState]) -> Iterator[Counters]:
    for table in filter(is_ours, rows):
        if table.analyzed_at is None and not table.has_statistics and _is_due(table):
            yield Counters(table.relation, None, {"n_mod_since_analyze": table.n_mod_since_analyze})


def _hidden(table: TableState, scene: Scene) -> Gap:
    server = scene.server
    if scene.surroundings.reads_all_data:  # so it is row security that hides them
        grant = f"ALTER ROLE {Identifier(server.usename).as_string()} BYPASSRLS;"
    elif server.has_read_all_data:
        grant = server.grant("pg_read_all_data")
    else:
        grant = server.grant(f"SELECT ON ALL TABLES IN SCHEMA {Identifier(table.schema).as_string()}")
    return Gap("whether they have statistics is visible to those who may read them", grant, blind=True)


def _detail(row: Unanalyzed) -> str:
    table = row.table
    size = f"about {table.rows:,.0f} rows" if table.rows > 0 else f"{format_bytes(table.size_bytes or 0)} of rows"
    words = [size, "no statistics"]
    if not table.autovacuum_on:
        words.append("autovacuum is off on this server")
    elif not table.autovacuum_enabled:
        words.append("autovacuum is disabled for it")
    elif _is_due(table):
        words.append("autovacuum is due and did not come")
    else:
        words.append(f"autovacuum comes after {table.analyze_trigger - table.n_mod_since_analyze:,.0f} more changes")
    return ", ".join(words)


CHECK: Check[Unanalyzed] = Check(
    id="statistics-missing",
    title="Tables never analyzed",
    group=Group.VACUUM,
    query=TABLE_STATE,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING, source="https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS"
    ),
    limits=(
        Limit("min_rows", 10_000, Unit.COUNT, "our own: on small tables every plan is quick"),
        Limit("min_size", 1024 * 1024, Unit.BYTES, "our own: some 10,000 rows, where nobody has counted them"),
    ),
    needs=(ON_PRIMARY,),
    rows=_rows,
    gap=lambda row: row.gap,
    counters=_due,
    subject=lambda row: row.table.relation,
    measure=lambda row: row.table.rows,
    detail=_detail,
    remedy=lambda row: f"ANALYZE (VERBOSE) {row.table.relation};",
)
