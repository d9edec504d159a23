"""Databases and tables whose oldest transaction ID nears wraparound.

Transaction IDs are counted with 32 bits, so that rows must be frozen before 2,147,483,648 more transactions have begun.
3 million before the end the server refuses every command that would begin another: nothing can be written until a
VACUUM has frozen the oldest tables. Autovacuum does that from autovacuum_freeze_max_age (200 million) on; an age far
above it says that it cannot: something holds back the xmin horizon (see the check xmin-horizon), it is too slow, it
cannot get its lock, or it dies of an error.

All databases of the server are measured, template0 included; tables, with their TOAST tables, are those of the database
that dbopt is connected to. Connect to the other databases to see theirs. A server that is told to be patient
(autovacuum_freeze_max_age above 500 million) is left alone until that age, or the critical one.
https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health import wraparound
from dbopt.health.check import Check, Group, Unit
from dbopt.health.wraparound import Aged
from dbopt.postgres.databases import DATABASES, DatabaseState
from dbopt.postgres.tables import TABLE_STATE, TableState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_WHAT = "transactions"


def _table(row: TableState, scene: Scene) -> Aged:
    toast = row.toast_relfrozenxid_age or 0
    return Aged(
        subject=row.relation,
        what=_WHAT,
        age=max(row.relfrozenxid_age, toast),
        freeze_max_age=row.freeze_max_age,
        datname=scene.server.dbname,
        allows_connections=True,
        is_current=True,
        on_standby=scene.server.in_recovery,
        table=row,
        by_toast=toast > row.relfrozenxid_age,
    )


def _rows(rows: Sequence[DatabaseState], scene: Scene) -> Iterator[Aged]:
    tables = [_table(table, scene) for table in scene.rows(TABLE_STATE)]
    for row in rows:
        if row.datname is not None and row.datfrozenxid_age is not None:
            yield Aged(
                subject=row.datname,
                what=_WHAT,
                age=row.datfrozenxid_age,
                freeze_max_age=row.freeze_max_age,
                datname=row.datname,
                allows_connections=row.allows_connections,
                is_current=row.is_current,
                on_standby=scene.server.in_recovery,
                oldest=wraparound.oldest(tables) if row.is_current else (),
            )
    yield from wraparound.tables_over(tables, scene)


CHECK: Check[Aged] = Check(
    id="transaction-id-wraparound",
    title="Transaction ID wraparound",
    group=Group.VACUUM,
    query=DATABASES,
    also=(TABLE_STATE,),
    unit=Unit.TRANSACTIONS,
    thresholds=wraparound.THRESHOLDS,
    rows=_rows,
    grade=wraparound.grade,
    subject=lambda row: row.subject,
    measure=lambda row: row.age,
    detail=wraparound.detail,
    remedy=wraparound.remedy,
    gauge=True,
)
