"""A sample application into an empty database: tables, rows, then keys and indexes, foreign keys, statistics."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dbopt.demo.recipe import Book
    from dbopt.demo.schema import Table
    from dbopt.postgres.connect import Connection

JOBS = 2  # sessions that load at a time: the cores that a demo may count on


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded. `rows` by table, the empty ones left out."""

    rows: Mapping[str, int]
    tables: int
    seconds: float


def load(connect: Callable[[], Connection], book: Book) -> Loaded:
    """Load with JOBS sessions from `connect`, the largest tables first.

    A table is made, filled and indexed in one transaction: with wal_level = minimal its rows then need no WAL.
    """
    started = time.monotonic()
    schema = book.schema
    filled = [schema.tables[name] for name in sorted(book.rows, key=lambda name: -book.rows[name])]
    with ExitStack() as stack:
        sessions = [stack.enter_context(connect()) for _ in range(JOBS)]
        sessions[0].execute(schema.types_ddl())
        sessions[0].execute(schema.tables_ddl(table for table in schema.tables.values() if table not in filled))
        _each(sessions, filled, lambda conn, table: _fill(conn, book, table))
        sessions[0].execute(schema.references_ddl())
        # What autovacuum would have done by now.
        _each(sessions, filled, _vacuum)
    return Loaded(dict(book.rows), len(schema.tables), time.monotonic() - started)


def _fill(conn: Connection, book: Book, table: Table) -> None:
    with conn.transaction():
        conn.execute(book.schema.bare_table_ddl(table))
        conn.execute(book.insert(table.name))
        conn.execute(book.schema.keys_ddl(table))


def _vacuum(conn: Connection, table: Table) -> None:
    conn.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table.name)))


def _each(sessions: list[Connection], tables: list[Table], work: Callable[[Connection, Table], None]) -> None:
    """Do the work for each table, with one thread a session. The first error, or Ctrl-C, ends all of it at once."""
    free: SimpleQueue[Connection] = SimpleQueue()
    for session in sessions:
        free.put(session)

    def one(table: Table) -> None:
        session = free.get()
        try:
            work(session, table)
        finally:
            free.put(session)

    with ThreadPoolExecutor(len(sessions)) as pool:
        try:
            for future in [pool.submit(one, table) for table in tables]:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for session in sessions:
                session.cancel_safe()
            raise
