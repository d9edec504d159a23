"""What this server is and can do. The only module that reads a version number: one question a feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.postgres.query import Query, Version
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class Server:
    """One server and database, as one session sees them. A row of FACTS."""

    version_num: int
    dbname: str
    server_version: str
    system_identifier: str | None
    in_recovery: bool
    usename: str
    may_create_temp: bool

    def grant(self, right: str) -> str:
        """The statement that gives this session's role a right: `pg_monitor`, `USAGE ON SCHEMA "x"`."""
        return f"GRANT {right} TO {Identifier(self.usename).as_string()};"

    @property
    def version(self) -> Version:
        """(major, minor)."""
        return divmod(self.version_num, 10000)

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
    def validates_when_attached_again(self) -> bool:
        """ALTER INDEX ATTACH PARTITION of what is attached already looks whether the index above is whole now: since
        the minor releases of May 2026, of which 13 had none any more.
        """
        first = {14: 23, 15: 18, 16: 14, 17: 10, 18: 4}
        return self.version[0] > max(first) or self.version >= (self.version[0], first.get(self.version[0], 99))

    @property
    def ignores_plain_builds(self) -> bool:
        """A concurrent build does not wait for those of others that call no function of a user: neither expression nor
        predicate.
        """
        return self.version >= (14,)

    @property
    def has_transaction_timeout(self) -> bool:
        return self.version >= (17,)

    @property
    def has_idle_session_timeout(self) -> bool:
        return self.version >= (14,)

    @property
    def sorts_ranges_for_gist(self) -> bool:
        """A GiST index on ranges is built from sorted values, and half as big."""
        return self.version >= (18,)

    @property
    def hashes_lists(self) -> bool:
        """`x = ANY (list)` looks a value up, and does not compare it with each of the list."""
        return self.version >= (14,)

    @property
    def has_read_all_data(self) -> bool:
        """The role pg_read_all_data."""
        return self.version >= (14,)

    @property
    def has_expression_statistics(self) -> bool:
        """CREATE STATISTICS on expressions."""
        return self.version >= (14,)

    @property
    def has_last_scan(self) -> bool:
        """pg_stat_get_lastscan."""
        return self.version >= (16,)

    @property
    def has_statistics_collector(self) -> bool:
        """A process of its own counts, and what it counted is seen somewhat later."""
        return self.version < (15,)

    @property
    def has_wal_statistics(self) -> bool:
        """pg_stat_wal."""
        return self.version >= (14,)

    @property
    def has_io_statistics(self) -> bool:
        """pg_stat_io."""
        return self.version >= (16,)

    @property
    def has_checkpointer_statistics(self) -> bool:
        """pg_stat_checkpointer; before it they are in pg_stat_bgwriter."""
        return self.version >= (17,)

    @property
    def has_generic_plan(self) -> bool:
        """EXPLAIN (GENERIC_PLAN)."""
        return self.version >= (16,)


FACTS = Query(
    "server-facts",
    Server,
    {
        (13,): """
        /* dbopt: what this server is */
        SELECT pg_catalog.current_setting('server_version_num')::int4 AS version_num,
               pg_catalog.current_database()::text AS dbname,
               pg_catalog.current_setting('server_version') AS server_version,
               CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
                    THEN (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() AS c) END
                   AS system_identifier,
               pg_catalog.pg_is_in_recovery() AS in_recovery,
               current_user::text AS usename,
               pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY') AS may_create_temp
        """
    },
)


def inspect(conn: Connection) -> Server:
    """Ask the server what it is. One statement."""
    return FACTS.rows(conn, divmod(conn.info.server_version, 10000))[0]
