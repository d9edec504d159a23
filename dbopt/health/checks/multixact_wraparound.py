"""Databases and tables whose oldest multixact nears wraparound.

A multixact stands for several transactions that lock one row at a time, as foreign keys do. They are counted with 32
bits apart from transaction IDs, and run out in the same way: the server refuses commands that need another one, until a
VACUUM has freed the oldest. Autovacuum does that from autovacuum_multixact_freeze_max_age (400 million) on; an age
above it says that it cannot: an old transaction is in the way (see xmin-horizon), it is too slow, or it fails.

All databases of the server are measured, template0 included; tables, with their TOAST tables, are those of the database
that dbopt is connected to. A server that is told to be patient (autovacuum_multixact_freeze_max_age above 500 million)
is left alone until that age, or the critical one.
https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-MULTIXACT-WRAPAROUND
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

_WHAT = "multixacts"


def _table(row: TableState, scene: Scene) -> Aged:
    toast = row.toast_relminmxid_age or 0
    return Aged(
        subject=row.relation,
        what=_WHAT,
        age=max(row.relminmxid_age, toast),
        freeze_max_age=row.multixact_freeze_max_age,
        datname=scene.server.dbname,
        allows_connections=True,
        is_current=True,
        on_standby=scene.server.in_recovery,
        table=row,
        by_toast=toast > row.relminmxid_age,
    )


def _rows(rows: Sequence[DatabaseState], scene: Scene) -> Iterator[Aged]:
    tables = [_table(table, scene) for table in scene.rows(TABLE_STATE)]
    for row in rows:
        if row.datname is not None and row.datminmxid_age is not None:
            yield Aged(
                subject=row.datname,
                what=_WHAT,
                age=row.datminmxid_age,
                freeze_max_age=row.multixact_freeze_max_age,
                datname=row.datname,
                allows_connections=row.allows_connections,
                is_current=row.is_current,
                on_standby=scene.server.in_recovery,
                oldest=wraparound.oldest(tables) if row.is_current else (),
            )
    yield from wraparound.tables_over(tables, scene)


CHECK: Check[Aged] = Check(
    id="multixact-wraparound",
    title="Multixact wraparound",
    group=Group.VACUUM,
    query=DATABASES,
    also=(TABLE_STATE,),
    unit=Unit.COUNT,
    thresholds=wraparound.THRESHOLDS,
    rows=_rows,
    grade=wraparound.grade,
    subject=lambda row: row.subject,
    measure=lambda row: row.age,
    detail=wraparound.detail,
    remedy=wraparound.remedy,
    gauge=True,
)
