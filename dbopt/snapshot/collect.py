"""The counters of one database, read in one round trip: at most one statement a family, and no transaction around them.

What cannot be had (no pg_stat_statements, no pg_stat_io, a missing right) is said in `missing`, with what to type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg.rows import args_row
from psycopg.sql import Identifier

from dbopt.postgres.counters import ACTIVITY, IO_COUNTERS, SERVER_COUNTERS
from dbopt.postgres.statements import EXTENSION
from dbopt.snapshot.families import DEFINITIONS
from dbopt.snapshot.model import Family, Snapshot
from dbopt.snapshot.server import server_part
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.query import Query
    from dbopt.postgres.server import Server
    from dbopt.postgres.surroundings import Surroundings

EVERYTHING = tuple(Family)
SUMMARY = (
    Family.SERVER,
    Family.RELATIONS,
    Family.IO,
    Family.STATEMENTS,
)  # what `metrics` reads: little on any database


@dataclass(frozen=True, slots=True)
class Collected:
    """The snapshot, and the rows that it was made of, by query."""

    snapshot: Snapshot
    rows: Mapping[Query[Any], Sequence[Any]]


def collect(
    conn: Connection, server: Server, surroundings: Surroundings, families: Collection[Family] = EVERYTHING
) -> Collected:
    """`conn`: a read-only session in autocommit. SERVER is always among the families, for it has the clock.

    Raises psycopg.Error where the server's own counters cannot be read or the connection is lost.
    """
    missing: dict[Family, tuple[str, str | None]] = {}
    queries: dict[Family, Query[Any]] = {}
    for family, definition in DEFINITIONS.items():
        if family in families:
            reason = lacking(family, server, surroundings)
            if reason is None:
                queries[family] = definition.query
            else:
                missing[family] = reason
    rows = _read(conn, server, surroundings, queries, missing)
    own = server_part(rows[SERVER_COUNTERS][0], server.system_identifier, rows[ACTIVITY])
    parts = {Family.SERVER: own}
    if rows[SERVER_COUNTERS][0].autovacuum_workers is None and Family.STATEMENTS in queries:
        # Since the session began, its role has lost the right.
        queries.pop(Family.STATEMENTS)
        missing[Family.STATEMENTS] = _hidden(server)
    for family, query in queries.items():
        if query in rows:
            parts[family] = DEFINITIONS[family].part(rows[query], own)
    return Collected(Snapshot(parts=parts, missing=missing), rows)


def _read(
    conn: Connection,
    server: Server,
    surroundings: Surroundings,
    queries: Mapping[Family, Query[Any]],
    missing: dict[Family, tuple[str, str | None]],
) -> dict[Query[Any], Sequence[Any]]:
    """All in one pipeline. Where one statement fails, the others are asked again without it."""
    wanted: dict[Query[Any], Family] = {
        SERVER_COUNTERS: Family.SERVER,
        ACTIVITY: Family.SERVER,
        **{query: family for family, query in queries.items()},
    }
    while True:
        cursors: dict[Query[Any], psycopg.Cursor[Any]] = {}
        failure: psycopg.Error | None = None
        try:
            with conn.pipeline():
                try:
                    for query in wanted:
                        cursor = cursors[query] = conn.cursor(row_factory=args_row(query.row))
                        cursor.execute(_text(query, server, surroundings), _parameters(query), prepare=False)
                except psycopg.Error as exc:
                    failure = exc
        except psycopg.Error as exc:
            failure = failure or exc
        if failure is None:
            return {query: cursor.fetchall() for query, cursor in cursors.items()}
        failed = next((query for query, cursor in cursors.items() if not _has_answer(cursor)), None)
        if conn.closed or failed is None or wanted[failed] is Family.SERVER:
            raise failure
        missing[wanted.pop(failed)] = _why(failure)


def _has_answer(cursor: psycopg.Cursor[Any]) -> bool:
    return cursor.pgresult is not None and cursor.description is not None


def _text(query: Query[Any], server: Server, surroundings: Surroundings) -> Any:
    if query.extension is None:
        return query.text(server.version)
    schema, version = surroundings.extension(query.extension)
    return query.composed(version, schema)


def _parameters(query: Query[Any]) -> Mapping[str, object] | None:
    return next((item.parameters for item in DEFINITIONS.values() if item.query is query), None)


def lacking(family: Family, server: Server, surroundings: Surroundings) -> tuple[str, str | None] | None:
    """Why a family cannot be had here, and what to type; None: it can."""
    if family is Family.IO and server.version < min(IO_COUNTERS.since):
        return "pg_stat_io came with PostgreSQL 16", None
    if family is not Family.STATEMENTS:
        return None
    if not surroundings.statements_loaded:
        return (
            f"{EXTENSION} is not loaded",
            f"Add {EXTENSION} to shared_preload_libraries, then restart PostgreSQL.",
        )
    if surroundings.statements_schema is None:
        return f"{EXTENSION} was not created in this database", f"CREATE EXTENSION {EXTENSION};"
    if not surroundings.reads_statements:
        schema = Identifier(surroundings.statements_schema).as_string()
        return f"this role may not use the schema of {EXTENSION}", server.grant(f"USAGE ON SCHEMA {schema}")
    if not surroundings.can_answer(DEFINITIONS[family].query):
        return f"{EXTENSION} is too old here", f"ALTER EXTENSION {EXTENSION} UPDATE;"
    if not surroundings.reads_all_stats:
        return _hidden(server)
    return None


def _hidden(server: Server) -> tuple[str, str]:
    """Part of them would look as if the others had been evicted, and as new when somebody with the right looks."""
    return "others' statements are hidden from this role", server.grant("pg_read_all_stats")


def _why(failure: psycopg.Error) -> tuple[str, str | None]:
    words = failure.diag.message_primary or str(failure).partition("\n")[0]
    if isinstance(failure, errors.QueryCanceled):
        return f"the server took too long: {words}", None
    return words, None
