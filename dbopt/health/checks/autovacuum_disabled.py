"""Tables for which autovacuum is switched off by an option of their own.

Nobody removes their dead rows, gathers their statistics or marks their pages as visible, until somebody does so by
hand; only against wraparound autovacuum comes all the same. The option is meant for a bulk load, and is often forgotten
after it. A table that your own jobs vacuum belongs into the ignore list. Whether autovacuum is off for the whole server
is another check.
https://www.postgresql.org/docs/current/sql-createtable.html#RELOPTION-AUTOVACUUM-ENABLED
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.health.vacuum import ON_PRIMARY, is_ours
from dbopt.postgres.tables import TABLE_STATE, TableState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


def _rows(rows: Sequence[TableState], _scene: Scene) -> Iterator[TableState]:
    for table in filter(is_ours, rows):
        if not (table.autovacuum_enabled and table.toast_autovacuum_enabled):
            yield table


def _detail(row: TableState) -> str:
    where = "autovacuum_enabled is off" if not row.autovacuum_enabled else "toast.autovacuum_enabled is off"
    words = [where, f"about {row.rows:,.0f} rows"]
    if row.n_dead_tup:
        words.append(f"{row.n_dead_tup:,} dead ones")
    return ", ".join(words)


def _remedy(row: TableState) -> str:
    options = [
        name
        for name, enabled in (
            ("autovacuum_enabled", row.autovacuum_enabled),
            # Without options of its own the TOAST table does as its owner does.
            ("toast.autovacuum_enabled", row.toast_autovacuum_enabled or row.toast_follows),
        )
        if not enabled
    ]
    kind = "MATERIALIZED VIEW" if row.relkind == "m" else "TABLE"
    return f"ALTER {kind} {row.relation} RESET ({', '.join(options)});"


CHECK: Check[TableState] = Check(
    id="autovacuum-disabled",
    title="Autovacuum disabled for a table",
    group=Group.VACUUM,
    query=TABLE_STATE,
    unit=Unit.COUNT,
    thresholds=presence(Status.WARNING, source="https://www.postgresql.org/docs/current/routine-vacuuming.html"),
    needs=(ON_PRIMARY,),
    rows=_rows,
    subject=lambda row: row.relation,
    measure=lambda row: row.n_dead_tup,
    detail=_detail,
    remedy=_remedy,
)
