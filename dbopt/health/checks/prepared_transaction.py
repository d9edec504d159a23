"""Transactions that were prepared for two-phase commit and then forgotten.

A prepared transaction belongs to no session: it keeps its locks and holds back VACUUM until somebody commits it or
rolls it back, over restarts too. A transaction manager does that within seconds.
https://www.postgresql.org/docs/current/sql-prepare-transaction.html
"""

from __future__ import annotations

from psycopg.sql import Literal

from dbopt.health.check import Check, Group, Unit, above
from dbopt.postgres.prepared import PREPARED_TRANSACTIONS, PreparedTransaction
from dbopt.units import format_duration

CHECK: Check[PreparedTransaction] = Check(
    id="prepared-transaction",
    title="Forgotten prepared transactions",
    group=Group.LOCKS,
    query=PREPARED_TRANSACTIONS,
    unit=Unit.SECONDS,
    thresholds=above(
        warning=5 * 60, critical=30 * 60, source="as for sessions idle in transaction: they hold the same locks"
    ),
    subject=lambda row: row.gid,
    measure=lambda row: row.age_seconds,
    detail=lambda row: (
        f"prepared {format_duration(row.age_seconds)} ago by {row.owner} in database {row.datname},"
        f" holds back VACUUM by {row.xid_age:,} transactions"
    ),
    remedy=lambda row: (
        f"ROLLBACK PREPARED {Literal(row.gid).as_string()};"
        f"  -- in database {row.datname}; COMMIT PREPARED where the other side has committed"
    ),
)
