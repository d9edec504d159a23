"""Counters that the server starts anew on request, and the right that each of them takes.

Each function is its owner's alone at first, and can be granted to others.
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-FUNCTIONS
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import psycopg
from psycopg.sql import SQL, Identifier

from dbopt.errors import ServerUnfit, UsageError
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any, LiteralString

    from psycopg.sql import Composed

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

# Before 15 a process of its own counts, and others see what it last wrote: PGSTAT_STAT_INTERVAL of its source.
COLLECTOR_SECONDS = 0.5
# In one statement. Before 15 each is a datagram, and those that the collector has no room for are lost.
_RELATIONS_MAX = 100

_SYSTEM = "pg_catalog"
_ANY = 0  # of users, databases or statements, for pg_stat_statements_reset


class What(StrEnum):
    """What can be reset by itself."""

    STATEMENTS = "statements"
    DATABASE = "database"  # with its tables and indexes
    TABLES = "tables"
    IO = "io"
    WAL = "wal"
    CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class Function:
    """A row of FUNCTIONS: one that resets something, and whether this role may call it."""

    schema: str
    name: str
    arguments: str  # their types
    may: bool
    in_reach: bool  # may use the schema

    @property
    def rights(self) -> list[str]:
        """What this role lacks, as GRANT takes it."""
        schema, name = Identifier(self.schema), Identifier(self.schema, self.name)
        usage = [] if self.in_reach else [f"USAGE ON SCHEMA {schema.as_string()}"]
        return usage + ([] if self.may else [f"EXECUTE ON FUNCTION {name.as_string()}({self.arguments})"])


FUNCTIONS = Query(
    "reset-functions",
    Function,
    {
        (13,): """
        /* dbopt: which counters this role may reset */
        SELECT n.nspname::text AS schema, p.proname::text AS name,
               pg_catalog.oidvectortypes(p.proargtypes) AS arguments,
               pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AS may,
               pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS in_reach
          FROM pg_catalog.pg_proc AS p
          JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
         WHERE p.proname IN ('pg_stat_reset', 'pg_stat_reset_shared', 'pg_stat_reset_single_table_counters',
                             'pg_stat_statements_reset')
           AND n.nspname = ANY (%(schemas)s)
         ORDER BY n.nspname, p.proname, arguments
        """
    },
    example={"schemas": ["pg_catalog"]},
)


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that counts, or what belongs to it and counts for itself."""

    oid: int
    is_table: bool


RELATIONS = Query(
    "reset-relations",
    Relation,
    {
        (13,): """
        /* dbopt: tables of users, their TOAST tables and all their indexes */
        WITH tables AS MATERIALIZED (
            SELECT c.oid, c.reltoastrelid
              FROM pg_catalog.pg_class AS c
              JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
               AND n.nspname NOT IN ('pg_catalog', 'information_schema')
               AND (%(only)s::int8[] IS NULL OR c.oid::int8 = ANY (%(only)s))
        )
        SELECT t.oid::int8 AS oid, true AS is_table FROM tables AS t
         UNION ALL
        SELECT t.reltoastrelid::int8, false FROM tables AS t WHERE t.reltoastrelid <> 0
         UNION ALL
        SELECT i.indexrelid::int8, false
          FROM pg_catalog.pg_index AS i
         WHERE i.indrelid IN (SELECT t.oid FROM tables AS t UNION ALL SELECT t.reltoastrelid FROM tables AS t)
         ORDER BY oid
        """
    },
    example={"only": None},
)


@dataclass(frozen=True, slots=True)
class NamedTable:
    """`oids`: of the table, of a partitioned one those of its partitions; None: it is no table."""

    relation: str
    oids: list[int] | None


NAMED_TABLE = Query(
    "reset-named-table",
    NamedTable,
    {
        (13,): """
        /* dbopt: the table of this name */
        SELECT c.oid::regclass::text AS relation,
               CASE WHEN c.relkind IN ('r', 'm') THEN ARRAY[c.oid::int8]
                    WHEN c.relkind = 'p'
                    THEN ARRAY(SELECT p.relid::oid::int8 FROM pg_catalog.pg_partition_tree(c.oid) AS p
                                WHERE p.isleaf ORDER BY 1) END AS oids
          FROM pg_catalog.pg_class AS c
         WHERE c.oid = pg_catalog.to_regclass(%(name)s)
        """
    },
    example={"name": "pg_class"},
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What pg_stat_statements knows a database and a user by; None: there is no such user."""

    database_oid: int
    user_oid: int | None


NUMBERS = Query(
    "reset-numbers",
    Numbers,
    {
        (13,): """
        /* dbopt: the numbers of this database and of a user */
        SELECT d.oid::int8 AS database_oid,
               (SELECT r.oid::int8 FROM pg_catalog.pg_roles AS r WHERE r.rolname = %(user)s) AS user_oid
          FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
        """
    },
    example={"user": None},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """`calls`: what is run, one statement after the other. `scope`: what they start anew, in words."""

    what: What
    function: Function
    calls: tuple[Composed, ...]
    scope: str
    is_shared: bool = False  # by all databases of the server


class Resets:
    """Makes the calls for one database. `conn` asks the server, and resets nothing."""

    def __init__(self, conn: Connection, server: Server, statements_schema: str | None) -> None:
        self._conn = conn
        self._server = server
        self._schema = statements_schema
        found = FUNCTIONS.rows(conn, server.version, {"schemas": [_SYSTEM, *filter(None, [statements_schema])]})
        self._functions = {(item.schema, item.name): item for item in found}

    def statements(self, user: str | None, queryids: Collection[int]) -> Reset:
        """Of this database. Raises UsageError for a user who does not exist."""
        assert self._schema is not None  # its statements have been read
        numbers = NUMBERS.rows(self._conn, self._server.version, {"user": user})[0]
        if user is not None and numbers.user_oid is None:
            raise UsageError(f'there is no role "{user}" on this server', hint="psql's \\du lists them.")
        function = self._functions[self._schema, "pg_stat_statements_reset"]
        call = SQL("SELECT {}({}, {}, {})")
        name = Identifier(function.schema, function.name)
        user_oid = numbers.user_oid if user is not None and numbers.user_oid is not None else _ANY
        return Reset(
            what=What.STATEMENTS,
            function=function,
            calls=tuple(call.format(name, user_oid, numbers.database_oid, queryid) for queryid in queryids or (_ANY,)),
            scope=" ".join(
                filter(
                    None,
                    (
                        f"statements of database {self._server.dbname}",
                        f"run by {user}" if user is not None else "",
                        f"with queryid {', '.join(map(str, queryids))}" if queryids else "",
                    ),
                )
            ),
        )

    def database(self) -> Reset:
        function = self._functions[_SYSTEM, "pg_stat_reset"]
        scope = f"counters of database {self._server.dbname}, its tables, indexes and functions"
        return Reset(what=What.DATABASE, function=function, calls=(_call(function),), scope=scope)

    def tables(self, names: Sequence[str] = ()) -> Reset:
        """Those of users, or those so named. Raises UsageError for a name that no table has."""
        function = self._functions[_SYSTEM, "pg_stat_reset_single_table_counters"]
        named = [self._named(name) for name in names]
        only = [oid for item in named for oid in item.oids or ()] if names else None
        rows = RELATIONS.rows(self._conn, self._server.version, {"only": only})
        oids = [row.oid for row in rows]
        call = SQL("SELECT {}(u.oid) FROM pg_catalog.unnest({}::oid[]) AS u (oid)")
        name = Identifier(function.schema, function.name)
        words = ", ".join(item.relation for item in named) or f"{sum(row.is_table for row in rows):,} tables"
        return Reset(
            what=What.TABLES,
            function=function,
            calls=tuple(
                call.format(name, oids[start : start + _RELATIONS_MAX]) for start in range(0, len(oids), _RELATIONS_MAX)
            ),
            scope=f"counters of {words} with their indexes",
        )

    def shared(self, what: What) -> Reset:
        """Of the whole server. Raises ServerUnfit where this version does not count it."""
        server = self._server
        kinds: tuple[LiteralString, ...]
        match what:
            case What.IO:
                if not server.has_io_statistics:
                    raise ServerUnfit("there are no I/O counters to reset", detail="pg_stat_io came with PostgreSQL 16")
                kinds, scope = ("io",), "pg_stat_io"
            case What.WAL:
                if not server.has_wal_statistics:
                    raise ServerUnfit(
                        "there are no WAL counters to reset", detail="pg_stat_wal came with PostgreSQL 14"
                    )
                kinds, scope = ("wal",), "pg_stat_wal"
            case _ if server.has_checkpointer_statistics:
                kinds, scope = ("bgwriter", "checkpointer"), "pg_stat_bgwriter and pg_stat_checkpointer"
            case _:
                kinds, scope = ("bgwriter",), "pg_stat_bgwriter"
        function = self._functions[_SYSTEM, "pg_stat_reset_shared"]
        return Reset(
            what=what,
            function=function,
            calls=tuple(_call(function, kind) for kind in kinds),
            scope=f"{scope}, of the whole server",
            is_shared=True,
        )

    def _named(self, name: str) -> NamedTable:
        version = self._server.version
        try:
            found = NAMED_TABLE.rows(self._conn, version, {"name": name})
        except (psycopg.errors.InvalidName, psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported) as exc:
            raise UsageError(f"there is no table {name}", detail=exc.diag.message_primary) from None
        if not found:
            raise UsageError(
                f"there is no table {name}",
                hint="Write it as SQL does, with its schema: public.orders, or 'public.\"Orders\"' in mixed case.",
            )
        if found[0].oids is None:
            raise UsageError(f"{found[0].relation} is no table", hint="Name the table; its indexes go with it.")
        return found[0]


def _call(function: Function, *arguments: Any) -> Composed:
    values = SQL(", ").join(map(_literal, arguments))
    return SQL("SELECT {}({})").format(Identifier(function.schema, function.name), values)


def _literal(value: Any) -> Composed:
    return SQL("{}").format(value)
