"""After how long statements are canceled, as far as the catalogs tell: applications set it for themselves, too."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class StatementTimeout:
    """`value`: as the setting is written, in milliseconds without a unit."""

    value: str


STATEMENT_TIMEOUTS = Query(
    "statement-timeouts",
    StatementTimeout,
    {
        (13,): """
        /* dbopt: the statement_timeout of this database, of its roles, and of the server */
        SELECT pg_catalog.substr(e.entry, pg_catalog.strpos(e.entry, '=') + 1) AS value
          FROM pg_catalog.pg_db_role_setting AS s
         CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS e(entry)
         WHERE pg_catalog.split_part(e.entry, '=', 1) = 'statement_timeout'
           AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d
                                      WHERE d.datname = pg_catalog.current_database()))
           AND s.setrole <> (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user)
         UNION
        SELECT p.reset_val
          FROM pg_catalog.pg_settings AS p
         WHERE p.name = 'statement_timeout'
         ORDER BY value
        """
    },
)
