"""The sessions of a run: one watches and holds the runner's lock, one for each lane builds. Any may be lost on the way.

The watching one is opened first: when the server has no slot left for a second one, nothing has been started yet.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import psycopg

from dbopt.errors import ConnectionFailed, ServerUnfit
from dbopt.postgres import advisory
from dbopt.postgres.server import inspect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

CONTROL_STATEMENT_TIMEOUT_MS = 10_000  # the watcher only asks the catalogs
CONTROL_LOCK_TIMEOUT_MS = 2_000


class Connect(Protocol):
    """Opens a session for `optimize`; the CLI knows where to."""

    def __call__(self, *, read_only: bool, statement_timeout_ms: int, lock_timeout_ms: int) -> Connection: ...


class Sessions:
    """Raises ConnectionFailed, ServerUnfit or AnotherRunner when they cannot be had. `losses` counts how often the
    watching one had to be opened again: it does not build, so then it was the server or the network.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._locked = False
        self._builders: list[Builder] = []
        self.losses = 0
        self.control = self._open(CONTROL_STATEMENT_TIMEOUT_MS, CONTROL_LOCK_TIMEOUT_MS)
        try:
            self.server = inspect(self.control)
            self._prepare_control()
        except BaseException:
            self.control.close()
            raise

    @property
    def pids(self) -> frozenset[int]:
        """Of the server's processes that work for this run."""
        return frozenset(
            conn.info.backend_pid
            for conn in (self.control, *(builder.conn for builder in self._builders))
            if not conn.closed
        )

    def builder(self) -> Builder:
        """One more session that builds."""
        builder = Builder(self)
        self._builders.append(builder)
        return builder

    def close(self) -> None:
        self.control.close()
        for builder in self._builders:
            builder.conn.close()

    def restore_control(self) -> None:
        """Open the watching session again if it was lost. Raises as the first opening does."""
        if not _alive(self.control):
            self.losses += self._locked
            self.control.close()
            self._locked = False
            self.control = self._open(CONTROL_STATEMENT_TIMEOUT_MS, CONTROL_LOCK_TIMEOUT_MS)
        if not self._locked:
            self._prepare_control()

    def open_builder(self) -> Connection:
        """A session without any limit that could end a build half-way."""
        names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
        if self.server.has_idle_session_timeout:
            names.append("idle_session_timeout")
        if self.server.has_transaction_timeout:
            names.append("transaction_timeout")
        conn = self._open(0, 0)
        try:
            _lift(conn, names)
        except psycopg.OperationalError as exc:
            conn.close()
            raise _lost(exc) from exc
        except ServerUnfit:
            conn.close()
            raise
        return conn

    def _prepare_control(self) -> None:
        try:
            _require_fit(self.control, self.server)
            if self.server.has_idle_session_timeout:
                _lift(self.control, ["idle_session_timeout"])
            advisory.acquire(self.control, self.server)
        except psycopg.OperationalError as exc:
            raise _lost(exc) from exc
        self._locked = True

    def _open(self, statement_timeout_ms: int, lock_timeout_ms: int) -> Connection:
        return self._connect(
            read_only=False, statement_timeout_ms=statement_timeout_ms, lock_timeout_ms=lock_timeout_ms
        )


class Builder:
    """The session of one lane. `base`: settings that hold for all its steps."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._base: dict[str, str] = {}
        self.conn = sessions.open_builder()

    def restore(self) -> None:
        """Open again what was lost. Raises as the first opening does."""
        if not _alive(self.conn):
            self.conn.close()
            self.conn = self._sessions.open_builder()
            self.set(self._base)

    def hold(self, settings: Mapping[str, str]) -> None:
        """From now on, for every step."""
        self._base.update(settings)
        self.set(settings)

    def set(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            self.conn.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))

    def reset(self, settings: Mapping[str, str]) -> None:
        """Back to what role and database say, or the lane. A session that was lost has nothing to reset."""
        with contextlib.suppress(psycopg.OperationalError):
            for name in settings:
                if name in self._base:
                    self.set({name: self._base[name]})
                    continue
                self.conn.execute(
                    "SELECT pg_catalog.set_config(%s, s.reset_val, false) FROM pg_catalog.pg_settings AS s"
                    " WHERE s.name = %s",
                    (name, name),
                )


def _lift(conn: Connection, names: list[str]) -> None:
    """Set timeouts to 0, whatever role and database say, and see that they are. Raises ServerUnfit."""
    for name in names:
        row = conn.execute(
            "SELECT pg_catalog.set_config(%s, '0', false), pg_catalog.current_setting(%s)", (name, name)
        ).fetchone()
        if row is None or row[1] != "0":
            raise ServerUnfit(
                f"{name} cannot be lifted for builds: it is {row and row[1]}",
                hint="A build that a timeout cuts short leaves an INVALID index: connect as another role.",
            )


def _require_fit(conn: Connection, server: Server) -> None:
    """Raises ServerUnfit where a concurrent build must not be started."""
    row = conn.execute(
        "/* dbopt: is a pooler in between, or this a standby */"
        " SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()"
    ).fetchone()
    if row is not None and row[0] != conn.info.backend_pid:
        raise ServerUnfit(
            "a connection pooler stands between dbopt and the server",
            detail="settings, the runner's lock and cancelling need one session of the server from start to end",
            hint="Connect to PostgreSQL itself: its own host and port (5432), not the pooler's (often 6432).",
        )
    if row is not None and row[1]:
        raise ServerUnfit(f"{server.dbname} is on a standby", hint="Connect to the primary with -h.")
    if server.corrupts_concurrent_builds:
        raise ServerUnfit(
            f"PostgreSQL {server.server_version} builds indexes concurrently that miss rows",
            detail="releases 14.0 to 14.3 have this bug, https://www.postgresql.org/docs/release/14.4/",
            hint="Upgrade to the latest 14.x first; it needs no dump.",
        )


def _alive(conn: Connection) -> bool:
    try:
        conn.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _lost(exc: psycopg.OperationalError) -> ConnectionFailed:
    return ConnectionFailed(
        "the connection was lost",
        detail=str(exc).strip().splitlines()[0],
        hint="See the server's log; then run dbopt optimize again.",
    )
