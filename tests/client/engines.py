"""Engines of the client's own, for tests of the pool: one function for threads and for asyncio."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from helpers import wait_until
from sqlalchemy.util import greenlet_spawn

from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_async_engine, make_engine
from dbopt.client.runtime import Asyncio, Threads
from dbopt.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database

    from dbopt.client.runtime import Runtime

APPLICATION = "pool-test"
KINDS = ("threads", "asyncio")


def run(kind: str, url: str, body: Callable[[sa.Engine, Runtime], Any], **settings: Any) -> Any:
    """`body(engine, runtime)`, and the pool closed at the end."""
    made = Settings.of(url, **{"application": APPLICATION, "min_connections": 0, **settings})
    if kind == "threads":
        engine = make_engine(made)
        try:
            return body(engine, Threads())
        finally:
            pool.close(engine)

    async def main() -> Any:
        asynchronous = make_async_engine(made)
        try:
            return await greenlet_spawn(body, asynchronous.sync_engine, Asyncio())
        finally:
            pool.close(asynchronous)

    return asyncio.run(main())


def sessions(database: Database) -> list[int]:
    """The server's, of these engines; one that was just told to end may still be there."""
    rows = database.sql("SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY pid", [APPLICATION])
    return [pid for (pid,) in rows]


def cleared(shared: Database) -> Iterator[Database]:
    """One database for the tests of a file: none of them finds what the one before has left."""
    yield shared
    wait_until(lambda: sessions(shared) == [], "the end of the test's sessions")
    shared.sql("DROP TABLE IF EXISTS notes")


def pid_of(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


class Call:
    """In a thread of its own; `result` waits for what it gives, or raises what it raises."""

    def __init__(self, body: Callable[[], Any], name: str = "call") -> None:
        self._body = body
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._body()
        except BaseException as error:  # noqa: BLE001 - it goes to the test
            self._error = error

    def result(self) -> Any:
        self._thread.join(20)
        assert not self._thread.is_alive(), "it does not end"
        if self._error is not None:
            raise self._error
        return self._result
