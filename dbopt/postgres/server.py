"""What this server is and can do. The only module that reads a version number: one question a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query, Version

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class _Facts:
    dbname: str
    server_version: str
    system_identifier: str | None
    in_recovery: bool
    usename: str
    superuser: bool
    may_create_temp: bool


FACTS = Query(
    "server-facts",
    _Facts,
    {
        (13,): """
        /* dbopt: what this server is */
        SELECT pg_catalog.current_database()::text AS dbname,
               pg_catalog.current_setting('server_version') AS server_version,
               CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
                    THEN (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() AS c) END
                   AS system_identifier,
               pg_catalog.pg_is_in_recovery() AS in_recovery,
               current_user::text AS usename,
               pg_catalog.current_setting('is_superuser') = 'on' AS superuser,
               pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY') AS may_create_temp
        """
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server and database, as one session sees them."""

    version: Version
    dbname: str
    server_version: str
    system_identifier: str | None
    in_recovery: bool
    usename: str
    superuser: bool
    may_create_temp: bool

    @property
    def has_nulls_not_distinct(self) -> bool:
        """pg_index.indnullsnotdistinct."""
        return self.version >= (15,)

    @property
    def corrupts_concurrent_builds(self) -> bool:
        """14.0 to 14.3 build indexes concurrently that miss rows.

        https://www.postgresql.org/docs/release/14.4/
        """
        return (14, 0) <= self.version < (14, 4)

    @property
    def has_transaction_timeout(self) -> bool:
        return self.version >= (17,)

    @property
    def has_idle_session_timeout(self) -> bool:
        return self.version >= (14,)

    @property
    def has_generic_plan(self) -> bool:
        """EXPLAIN (GENERIC_PLAN)."""
        return self.version >= (16,)


def inspect(conn: Connection) -> Server:
    """Ask the server what it is. One statement."""
    number = conn.info.server_version
    version = (number // 10000, number % 10000)
    facts = FACTS.rows(conn, version)[0]
    return Server(
        version=version,
        dbname=facts.dbname,
        server_version=facts.server_version,
        system_identifier=facts.system_identifier,
        in_recovery=facts.in_recovery,
        usename=facts.usename,
        superuser=facts.superuser,
        may_create_temp=facts.may_create_temp,
    )
