"""psycopg's connections as the pool opens them: the manners of each session, and what they refuse.

A connection belongs to the process that has opened it. A child that inherits one never sends a byte on it, not even to
close it: both ends would lose count of what was said.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from dbopt.errors import ConnectionFailed, Forked, NoSession
from dbopt.postgres import refused
from dbopt.postgres.connect import describe, masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg.abc import AdaptContext

    from dbopt.client.settings import Settings

PREPARE_AFTER = 5  # psycopg's own default: a statement that is run more often than this is prepared

# Nothing is set, and nothing comes back, where a pooler has made up the number of the session that a client is told:
# what is set there stays with a session of the server's that somebody else gets next.
_MANNERS: LiteralString = (
    "SELECT /* dbopt client: settings */ CASE WHEN %(timeout)s::text IS NOT NULL"
    " THEN pg_catalog.set_config('statement_timeout', %(timeout)s, false) END"
    " WHERE %(direct)s::bool OR pg_catalog.pg_backend_pid() = %(pid)s::int"
)
SET_LOCAL: LiteralString = "SELECT pg_catalog.set_config('statement_timeout', %s, true)"


class _Noting:
    """A cursor whose connection knows what it was asked last."""

    connection: Any

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        self.connection.statement = query
        return super().execute(query, *args, **options)  # type: ignore[misc]

    def executemany(self, query: Any, *args: Any, **options: Any) -> Any:
        self.connection.statement = query
        return super().executemany(query, *args, **options)  # type: ignore[misc]

    def copy(self, statement: Any, *args: Any, **options: Any) -> Any:
        self.connection.statement = statement
        return super().copy(statement, *args, **options)  # type: ignore[misc]


class _Cursor(_Noting, psycopg.Cursor[Any]):
    pass


class _ServerCursor(_Noting, psycopg.ServerCursor[Any]):
    pass


class _AsyncCursor(_Noting, psycopg.AsyncCursor[Any]):
    pass


class _AsyncServerCursor(_Noting, psycopg.AsyncServerCursor[Any]):
    pass


class _Own:
    """What both kinds have: whose it is, what it was asked last, and whether a pooler is in between."""

    pgconn: psycopg.pq.abc.PGconn
    pid: int
    statement: Any = None
    is_pooled = False
    _getpid = staticmethod(os.getpid)  # when the interpreter ends, the module `os` may be gone before this is

    @property
    def is_inherited(self) -> bool:
        return self.pid != self._getpid()

    def check(self) -> None:
        if self.is_inherited:
            raise Forked(
                "a connection of the parent process cannot be used in its child",
                detail=f"process {self.pid} has opened it, this is process {os.getpid()}",
                hint="Open sessions after the fork: the child's Database has connections of its own.",
            )

    def quit(self) -> None:
        """At once, from any thread and without an event loop; nobody may be using it."""
        if not self.is_inherited:
            self.pgconn.finish()


class Connection(_Own, psycopg.Connection[Any]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pid = os.getpid()
        self.cursor_factory = _Cursor
        self.server_cursor_factory = _ServerCursor

    def __del__(self, *args: Any) -> None:
        if not self.is_inherited:
            super().__del__(*args)

    def wait(self, *args: Any, **options: Any) -> Any:
        self.check()
        return super().wait(*args, **options)

    def cursor(self, *args: Any, **options: Any) -> Any:
        self.check()
        return super().cursor(*args, **options)

    def commit(self) -> None:
        self.check()
        super().commit()

    def rollback(self) -> None:
        # The transaction is the parent's; leaving a session in the child does it no harm.
        if not self.is_inherited:
            super().rollback()

    def close(self) -> None:
        if not self.is_inherited:
            super().close()


class AsyncConnection(_Own, psycopg.AsyncConnection[Any]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pid = os.getpid()
        self.cursor_factory = _AsyncCursor
        self.server_cursor_factory = _AsyncServerCursor

    def __del__(self, *args: Any) -> None:
        if not self.is_inherited:
            super().__del__(*args)

    async def wait(self, *args: Any, **options: Any) -> Any:
        self.check()
        return await super().wait(*args, **options)

    def cursor(self, *args: Any, **options: Any) -> Any:
        self.check()
        return super().cursor(*args, **options)

    async def commit(self) -> None:
        self.check()
        await super().commit()

    async def rollback(self) -> None:
        if not self.is_inherited:
            await super().rollback()

    async def close(self) -> None:
        if not self.is_inherited:
            await super().close()


def connect(settings: Settings, context: AdaptContext | None = None) -> Connection:
    """Raises ConnectionFailed."""
    try:
        conn = Connection.connect("", context=context, **_options(settings))
    except psycopg.Error as error:
        raise failed(error, settings) from None
    try:
        row = conn.execute(_MANNERS, _manners(settings, conn)).fetchone()
        _settle(settings, conn, is_pooled=row is None)
        conn.autocommit = False
    except BaseException as error:
        conn.close()
        if isinstance(error, psycopg.Error):
            raise failed(error, settings) from None
        raise
    return conn


async def connect_async(settings: Settings, context: AdaptContext | None = None) -> AsyncConnection:
    """As `connect`."""
    try:
        conn = await AsyncConnection.connect("", context=context, **_options(settings))
    except psycopg.Error as error:
        raise failed(error, settings) from None
    try:
        row = await (await conn.execute(_MANNERS, _manners(settings, conn))).fetchone()
        _settle(settings, conn, is_pooled=row is None)
        await conn.set_autocommit(False)
    except BaseException as error:
        conn.quit()
        if isinstance(error, psycopg.Error):
            raise failed(error, settings) from None
        raise
    return conn


def _options(settings: Settings) -> dict[str, Any]:
    threshold = None if settings.prepared_statements is False else PREPARE_AFTER
    return {"autocommit": True, "prepare_threshold": threshold, **settings.parameters()}


def _manners(settings: Settings, conn: Connection | AsyncConnection) -> dict[str, Any]:
    timeout = settings.statement_timeout_ms
    is_unset = timeout is None or settings.pooler is True
    return {
        "timeout": None if is_unset else str(timeout),
        "direct": settings.pooler is not None,
        "pid": conn.info.backend_pid,
    }


def _settle(settings: Settings, conn: Connection | AsyncConnection, *, is_pooled: bool) -> None:
    conn.is_pooled = settings.pooler if settings.pooler is not None else is_pooled
    conn.statement = None
    if conn.is_pooled and not settings.prepared_statements:
        # A pooler may give each transaction another session, which does not know what the one before has prepared.
        conn.prepare_threshold = None


_HINTS: Mapping[NoSession, str] = {
    NoSession.NO_SLOT: (
        "Lower max_connections (DB_MAX_CONNECTIONS) of the applications, put a pooler before the server, or raise its"
        " own max_connections."
    ),
    NoSession.DOWN: "Is the server running there? Check the host and port of DATABASE_URL, then the server's log.",
    NoSession.STARTING: "The server starts up or recovers: try again in a moment, and see its log.",
    NoSession.STOPPING: "The server is shutting down: try again once it is back.",
    NoSession.TIMEOUT: "The host does not answer: check host and port of DATABASE_URL, the network and the firewall.",
    NoSession.AUTHENTICATION: "Check user and password in DATABASE_URL, PGPASSWORD or ~/.pgpass, and pg_hba.conf.",
    NoSession.UNKNOWN_DATABASE: "Check the database's name in DATABASE_URL; psql -l lists those that there are.",
    NoSession.UNKNOWN_ROLE: "Check the user in DATABASE_URL.",
    NoSession.NAME_RESOLUTION: "Check the host's name in DATABASE_URL.",
    NoSession.TLS: "Check sslmode in DATABASE_URL, and the files that sslrootcert, sslcert and sslkey name.",
    NoSession.SETTINGS: "Check the parameters of DATABASE_URL, and the PG* variables.",
    NoSession.LOST: "See the server's log for what ended the session; then try again.",
    NoSession.OTHER: "Check DATABASE_URL, then the server's log.",
}


def failed(error: psycopg.Error, settings: Settings) -> ConnectionFailed:
    """Which of the known reasons it is; libpq's own words as the detail, without secrets."""
    words = masked(str(error), make_conninfo("", **settings.parameters()))
    words = words.removeprefix("connection is bad:").removeprefix("connection failed:")
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    kind = refused.kind(error, words)
    return ConnectionFailed(
        f"could not connect to {describe(settings.conninfo)}",
        kind=kind,
        detail="\n".join(lines) or None,
        hint=_HINTS[kind],
    )
