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

from dbopt.health import wraparound
from dbopt.health.check import Check, Group, Unit
from dbopt.health.wraparound import Aged, Counted
from dbopt.postgres.databases import DATABASES
from dbopt.postgres.tables import TABLE_STATE

_COUNTED = Counted(
    what="transactions",
    database_age=lambda database: database.datfrozenxid_age,
    database_max_age=lambda database: database.freeze_max_age,
    table_age=lambda table: table.relfrozenxid_age,
    toast_age=lambda table: table.toast_relfrozenxid_age,
    table_max_age=lambda table: table.freeze_max_age,
)

CHECK: Check[Aged] = Check(
    id="transaction-id-wraparound",
    title="Transaction ID wraparound",
    group=Group.VACUUM,
    query=DATABASES,
    also=(TABLE_STATE,),
    unit=Unit.TRANSACTIONS,
    thresholds=wraparound.THRESHOLDS,
    rows=_COUNTED.rows,
    grade=wraparound.grade,
    subject=lambda row: row.subject,
    measure=lambda row: row.age,
    detail=wraparound.detail,
    remedy=wraparound.remedy,
    gauge=True,
)
