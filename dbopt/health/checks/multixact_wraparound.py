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

from dbopt.health import wraparound
from dbopt.health.check import Check, Group, Unit
from dbopt.health.wraparound import Aged, Counted
from dbopt.postgres.databases import DATABASES
from dbopt.postgres.tables import TABLE_STATE

_COUNTED = Counted(
    what="multixacts",
    database_age=lambda database: database.datminmxid_age,
    database_max_age=lambda database: database.multixact_freeze_max_age,
    table_age=lambda table: table.relminmxid_age,
    toast_age=lambda table: table.toast_relminmxid_age,
    table_max_age=lambda table: table.multixact_freeze_max_age,
)

CHECK: Check[Aged] = Check(
    id="multixact-wraparound",
    title="Multixact wraparound",
    group=Group.VACUUM,
    query=DATABASES,
    also=(TABLE_STATE,),
    unit=Unit.COUNT,
    thresholds=wraparound.THRESHOLDS,
    rows=_COUNTED.rows,
    grade=wraparound.grade,
    subject=lambda row: row.subject,
    measure=lambda row: row.age,
    detail=wraparound.detail,
    remedy=wraparound.remedy,
    gauge=True,
)
