"""Which database a session is in, so that two sessions can be told to be in one."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """`system_identifier` is shared by a server, its standbys and physical copies; None for a role that may not ask."""

    system_identifier: str | None
    database_oid: int
    dbname: str


DATABASE_IDENTITY = Query(
    "database-identity",
    DatabaseIdentity,
    {
        (13,): """
        /* dbopt: which database this is */
        SELECT CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
                    THEN (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() AS c) END
                   AS system_identifier,
               d.oid::int8 AS database_oid, d.datname::text AS dbname
          FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
        """
    },
)
