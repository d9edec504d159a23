"""Empty temporary twins of tables: the server itself says what a definition means, or why it is none.

A twin has the columns that the entries mention, their types and collations, and the table's own name, so that an
expression may say `invoices.total`. It is made from the catalogs and not by LIKE: no lock on the table is asked for,
so an ALTER TABLE queued on it costs nothing, and no right to read the table is needed. Everything happens in
transactions that are rolled back. That takes a primary and the TEMPORARY right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.optimize.canonical import Definition, definition
from dbopt.optimize.statement import columns_used, create_index
from dbopt.postgres import index_catalog
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.postgres.catalog import Column, Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec

# Twins alive at one time. Each table, its TOAST table, that one's index and each index hold a lock; the shared lock
# table has room for max_locks_per_transaction (64) times max_connections (100) of them by default.
TABLES_AT_A_TIME = 100

_TEMP = "pg_temp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A definition asked for: an entry for one table."""

    entry: IndexSpec
    table: Table
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server does not take the definition; its own words."""

    sqlstate: str
    message: str
    detail: str | None = None
    hint: str | None = None


@dataclass(slots=True)
class _Twin:
    table: Table
    columns: Sequence[Column]
    asked: list[int] = field(default_factory=list)  # positions in the list of all that is asked


def definitions(conn: Connection, server: Server, asked: Sequence[Asked]) -> list[Definition | Refusal]:
    """What each entry means on this server, in the order asked. Raises psycopg errors only for lost connections."""
    answers: dict[int, Definition | Refusal] = {}
    for batch in _batches(asked):
        try:
            answers |= _all_at_once(conn, server, asked, batch)
        except psycopg.OperationalError:
            if conn.closed:
                raise
            answers |= _one_by_one(conn, server, asked, batch)
        except psycopg.Error:
            # At least one definition is refused. The pipeline cannot tell which without losing the rest.
            answers |= _one_by_one(conn, server, asked, batch)
    return [answers[n] for n in range(len(asked))]


def begin(conn: Connection) -> None:
    """A transaction in which twins stand in for their tables and for nothing else.

    A table's name is a type's name too, and temporary ones come first unless said otherwise: a twin of `app.status`
    would hide the type `public.status`. And a twin's index shall have a tablespace only if the entry asks for one.
    """
    conn.execute("BEGIN READ WRITE")
    conn.execute(
        """
        /* dbopt: settings of a transaction with twins */
        SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ',
                 NULLIF(pg_catalog.current_setting('search_path'), ''), 'pg_temp'), true),
               pg_catalog.set_config('temp_tablespaces', '', true)
        """
    )


def create_twin(table: Table, columns: Sequence[Column]) -> sql.Composed:
    """Types and collations are the server's own text, quoted and qualified by it."""
    return sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(
        name_of(table),
        sql.SQL(", ").join(
            sql.SQL("{} {}{}").format(
                sql.Identifier(column.column),
                sql.SQL(column.type),
                sql.SQL(f" COLLATE {column.collation}" if column.collation else ""),
            )
            for column in columns
        ),
    )


def name_of(table: Table) -> sql.Identifier:
    """The twin of a table."""
    return sql.Identifier(_TEMP, table.table)


def _batches(asked: Sequence[Asked]) -> Iterator[list[_Twin]]:
    """The tables, each once, in batches where no name comes twice: twins of app.users and crm.users are both
    `users`.
    """
    twins: dict[int, _Twin] = {}
    for n, one in enumerate(asked):
        twins.setdefault(one.table.oid, _Twin(one.table, one.columns)).asked.append(n)
    batch: dict[str, _Twin] = {}
    for twin in twins.values():
        if twin.table.table in batch or len(batch) >= TABLES_AT_A_TIME:
            yield list(batch.values())
            batch = {}
        batch[twin.table.table] = twin
    if batch:
        yield list(batch.values())


def _all_at_once(
    conn: Connection, server: Server, asked: Sequence[Asked], batch: list[_Twin]
) -> dict[int, Definition | Refusal]:
    prefix = _prefix(batch)
    try:
        problem = _pipelined(conn, asked, batch, prefix)
        if problem is not None:
            raise problem
        return dict(_read(conn, server, prefix))
    finally:
        if not conn.closed:
            conn.execute("ROLLBACK")


def _pipelined(conn: Connection, asked: Sequence[Asked], batch: list[_Twin], prefix: str) -> psycopg.Error | None:
    """Send a batch without waiting for each answer; the first error. It is not raised through the pipeline, which would
    log about the statements that it aborts.
    """
    problem: psycopg.Error | None = None
    try:
        with conn.pipeline() as pipeline:
            try:
                begin(conn)
                for twin in batch:
                    conn.execute(create_twin(twin.table, _used(asked, twin)))
                    for n in twin.asked:
                        conn.execute(_create_index(asked[n], n, prefix))
                pipeline.sync()
            except psycopg.Error as exc:
                problem = exc
    except psycopg.Error as exc:
        problem = problem or exc
    return problem


def _one_by_one(
    conn: Connection, server: Server, asked: Sequence[Asked], batch: list[_Twin]
) -> dict[int, Definition | Refusal]:
    refused: dict[int, Definition | Refusal] = {}
    prefix = _prefix(batch)
    begin(conn)
    try:
        for twin in batch:
            answer = _attempt(conn, create_twin(twin.table, _used(asked, twin)))
            for n in twin.asked:
                problem = answer or _attempt(conn, _create_index(asked[n], n, prefix))
                if problem is not None:
                    refused[n] = problem
        return refused | dict(_read(conn, server, prefix))
    finally:
        if not conn.closed:
            conn.execute("ROLLBACK")


def _attempt(conn: Connection, statement: sql.Composed) -> Refusal | None:
    conn.execute("SAVEPOINT dbopt")
    try:
        conn.execute(statement)
    except psycopg.Error as exc:
        if conn.closed:
            raise
        conn.execute("ROLLBACK TO SAVEPOINT dbopt")
        diag = exc.diag
        return Refusal(
            exc.sqlstate or "XX000", diag.message_primary or str(exc), diag.message_detail, diag.message_hint
        )
    conn.execute("RELEASE SAVEPOINT dbopt")
    return None


def _used(asked: Sequence[Asked], twin: _Twin) -> Sequence[Column]:
    """The columns that the entries mention; all of them where a name is no column (it may be the table's own)."""
    names = set().union(*(columns_used(asked[n].entry) for n in twin.asked))
    return [column for column in twin.columns if column.column in names] if _known(twin, names) else twin.columns


def _known(twin: _Twin, names: set[str]) -> bool:
    return names <= {column.column for column in twin.columns}


def _create_index(one: Asked, number: int, prefix: str) -> sql.Composed:
    return create_index(one.entry, schema=_TEMP, name=f"{prefix}{number}", table=one.table.table, concurrently=False)


def _prefix(batch: list[_Twin]) -> str:
    """How the names of the twins' indexes begin: as no table of the batch is called."""
    prefix = "dbopt_"
    while any(twin.table.table.startswith(prefix) for twin in batch):
        prefix += "_"
    return prefix


def _read(conn: Connection, server: Server, prefix: str) -> Iterator[tuple[int, Definition]]:
    """The definitions on the twins, by their number."""
    oids = [
        row[0]
        for row in conn.execute(
            "/* dbopt: the twins of this transaction */ SELECT c.oid::int8 FROM pg_catalog.pg_class AS c"
            " WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relkind = 'r'"
        )
    ]
    rows = index_catalog.INDEXES.rows(conn, server.version, {"oids": oids})
    with_text = [row.oid for row in rows if row.has_expressions or row.has_predicate]
    texts = {row.oid: row for row in index_catalog.EXPRESSIONS.rows(conn, server.version, {"oids": with_text})}
    for row in rows:
        if row.index.startswith(prefix):
            yield int(row.index.removeprefix(prefix)), definition(row, texts.get(row.oid))
