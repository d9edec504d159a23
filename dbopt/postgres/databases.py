"""Every database of the server as the shared catalogs and counters know it, from whichever of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """A database, template0 included, or what belongs to none: the row without `datname`, which only counts.

    Counters are since `stats_since`. None: not known, or, of checksums, not kept.
    """

    datname: str | None
    is_current: bool
    allows_connections: bool
    datfrozenxid_age: int | None
    datminmxid_age: int | None
    freeze_max_age: int  # the server's settings
    multixact_freeze_max_age: int
    xact_commit: int
    xact_rollback: int
    temp_files: int
    temp_bytes: int
    deadlocks: int
    checksum_failures: int | None
    checksum_last_failure: datetime | None
    collation_version: str | None  # of the default collation (15+), when the database was made or refreshed
    collation_actual_version: str | None  # of what the operating system or ICU has now
    stats_since: datetime | None

    @property
    def subject(self) -> str:
        return self.datname or "shared objects"


_START: LiteralString = """
        /* dbopt: all databases: age, counters, collation version */
        SELECT d.datname::text AS datname, COALESCE(d.datname = pg_catalog.current_database(), false) AS is_current,
               COALESCE(d.datallowconn, false) AS allows_connections,
               pg_catalog.age(d.datfrozenxid)::int8 AS datfrozenxid_age,
               pg_catalog.mxid_age(d.datminmxid)::int8 AS datminmxid_age,
               pg_catalog.current_setting('autovacuum_freeze_max_age')::int8 AS freeze_max_age,
               pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::int8 AS multixact_freeze_max_age,
               s.xact_commit, s.xact_rollback, s.temp_files, s.temp_bytes, s.deadlocks,
               s.checksum_failures, s.checksum_last_failure,
"""
_END: LiteralString = """
               -- A crash resets all counters; the background writer's tell when, from 15 on the database's do not.
               GREATEST(s.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) AS stats_since
          FROM pg_catalog.pg_stat_database AS s
          LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.datid
         WHERE d.oid IS NOT NULL OR s.datid = 0
         ORDER BY d.datname NULLS FIRST
"""

DATABASES = Query(
    "databases",
    DatabaseState,
    {
        (13,): _START
        + """
               NULL::text AS collation_version, NULL::text AS collation_actual_version,
"""
        + _END,
        (15,): _START
        + """
               d.datcollversion AS collation_version,
               CASE WHEN d.datcollversion IS NOT NULL
                    THEN pg_catalog.pg_database_collation_actual_version(d.oid) END AS collation_actual_version,
"""
        + _END,
    },
)
