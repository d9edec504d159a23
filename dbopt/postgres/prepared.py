"""Transactions that were prepared for two-phase commit."""

from __future__ import annotations

from datetime import datetime

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class PreparedTransaction:
    """A row of PREPARED_TRANSACTIONS."""

    gid: str
    owner: str
    datname: str
    prepared: datetime
    age_seconds: float
    xid_age: int  # transactions


PREPARED_TRANSACTIONS = Query(
    "prepared-transactions",
    PreparedTransaction,
    {
        (13,): """
        /* dbopt: prepared transactions of all databases */
        SELECT p.gid, p.owner::text AS owner, p.database::text AS datname, p.prepared,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8 AS age_seconds,
               pg_catalog.age(p.transaction)::int8 AS xid_age
          FROM pg_catalog.pg_prepared_xacts AS p
         ORDER BY p.prepared, p.gid
        """
    },
)
