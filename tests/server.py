"""The server of a test session and the databases on it."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.embedded import EmbeddedServer

_numbers = itertools.count(1)


class Database:
    """One database. `sql` is for what a test sets up or looks at; the code under test gets `conninfo`."""

    def __init__(self, conninfo: str, name: str) -> None:
        self.conninfo = conninfo
        self.name = name
        self._opened: list[psycopg.Connection[Any]] = []
        with psycopg.connect(conninfo) as conn:
            number = conn.info.server_version
        self.server_version = (number // 10000, number % 10000)

    def sql(self, query: str, params: Mapping[str, object] | Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """One or more statements in a session of their own, in autocommit; the rows of the last, if it has any."""
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            cursor = conn.execute(query, params)  # type: ignore[call-overload]  # tests paste SQL together
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def connect(self, *, autocommit: bool = False, **options: Any) -> psycopg.Connection[Any]:
        """A session that is closed at the end of the test at the latest."""
        conn = psycopg.connect(self.conninfo, autocommit=autocommit, **options)
        self._opened.append(conn)
        return conn

    def close(self) -> None:
        for conn in self._opened:
            conn.close()


class Server:
    """The private server, seen by the tests."""

    def __init__(self, embedded: EmbeddedServer) -> None:
        self.embedded = embedded
        self.conninfo = embedded.conninfo
        self.log = embedded.directory / "log"

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[Database]:
        """A new database, dropped at the end whoever is still connected."""
        name = f"test_{next(_numbers)}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        database = Database(make_conninfo(self.conninfo, dbname=name), name)
        try:
            yield database
        finally:
            database.close()
            self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            conn.execute(statement)
