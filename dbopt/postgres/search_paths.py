"""By which schemas a role's statements find their names, and where names are to be found.

As a new session of that role in this database would get it; what an application sets for itself, nobody else can see.
https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r'"((?:[^"]|"")*)"|[^,\s"]+')


@dataclass(frozen=True, slots=True)
class SearchPath:
    """`role_name`: None: the role is gone, or nobody knows who it was. `value`: as the setting is written."""

    role_name: str | None
    value: str
    has_own_schema: bool  # the one that "$user" stands for

    def schemas(self) -> tuple[str, ...]:
        """In the order of the search."""
        names = [name for name in split(self.value) if name != "$user" or self.has_own_schema]
        return tuple(self.role_name or name if name == "$user" else name for name in names)


# What a role has of its own hides what the server's configuration says, for our role, too: then it is PostgreSQL's
# own default that stands for the server's.
SEARCH_PATH = Query(
    "search-path",
    SearchPath,
    {
        (13,): """
        /* dbopt: the search_path of a role in this database */
        WITH given AS (
            SELECT s.setrole, s.setdatabase, pg_catalog.substr(e.entry, pg_catalog.strpos(e.entry, '=') + 1) AS value
              FROM pg_catalog.pg_db_role_setting AS s
             CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS e(entry)
             WHERE pg_catalog.split_part(e.entry, '=', 1) = 'search_path'
               AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d
                                          WHERE d.datname = pg_catalog.current_database()))
        )
        SELECT r.rolname::text AS role_name,
               COALESCE((SELECT g.value FROM given AS g
                          WHERE g.setrole IN (0, r.oid)
                          ORDER BY g.setrole = 0, g.setdatabase = 0
                          LIMIT 1),
                        CASE WHEN EXISTS (SELECT FROM given AS g
                                           WHERE g.setrole = (SELECT u.oid FROM pg_catalog.pg_roles AS u
                                                               WHERE u.rolname = session_user))
                             THEN p.boot_val ELSE p.reset_val END) AS value,
               EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = r.rolname) AS has_own_schema
          FROM pg_catalog.pg_settings AS p
          LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = %(userid)s::oid
         WHERE p.name = 'search_path'
        """
    },
    example={"userid": 10},
)


@dataclass(frozen=True, slots=True)
class Home:
    """A schema that has tables of some of these names."""

    nspname: str
    names: list[str]
    is_temporary: bool
    may_use: bool


HOMES = Query(
    "homes-of-tables",
    Home,
    {
        (13,): """
        /* dbopt: schemas that have tables of these names */
        SELECT n.nspname::text AS nspname, pg_catalog.array_agg(c.relname::text ORDER BY c.relname) AS names,
               pg_catalog.starts_with(n.nspname, 'pg_temp_') AS is_temporary,
               pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.relname = ANY (%(names)s::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
         GROUP BY n.oid, n.nspname
         ORDER BY n.nspname
        """
    },
    example={"names": ["pg_class"]},
)


def split(value: str) -> list[str]:
    """The names in a list of names, as the server reads it: those without quotes in lower case."""
    return [match[0].lower() if match[1] is None else match[1].replace('""', '"') for match in _NAME.finditer(value)]


def joined(schemas: Iterable[str]) -> str:
    """A list of names as the setting takes it."""
    return ", ".join('"' + name.replace('"', '""') + '"' for name in schemas)
