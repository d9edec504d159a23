"""The session that builds, and the one that watches it.

The building session runs one statement at a time in a thread, without any timeout of the server's: a `lock_timeout`
inside CREATE INDEX CONCURRENTLY is the main producer of INVALID indexes. What bounds it is the watcher, which looks
at the progress view, knows for whom the build waits, and cancels it when the budget is spent or the user asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import psycopg

from dbopt.errors import ConnectionFailed, ServerUnfit
from dbopt.optimize import progress
from dbopt.optimize.events import Progress, Waiting
from dbopt.postgres.identifiers import qualified, text
from dbopt.postgres.server import inspect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.optimize.steps import Blocker, Step
    from dbopt.postgres.connect import Connection

POLL_SECONDS = 0.25  # how often a build is looked at: some 4 cheap statements a second on the server
FIRST_POLL_SECONDS = 0.05  # most statements are done by then
CANCEL_PATIENCE_SECONDS = 30.0  # a cancelled build ends at its next check for interrupts; that is long on a stuck disk

# Every limit that could end a build half-way; each must be 0 while one runs.
_TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


class Connect(Protocol):
    """Opens a session for `optimize`; the CLI knows where to."""

    def __call__(self, *, read_only: bool, statement_timeout_ms: int, lock_timeout_ms: int) -> Connection: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a statement ended. `blockers` are those it last waited for."""

    error: psycopg.Error | None
    seconds: float
    gave_up: bool = False
    interrupted: int | None = None
    blockers: tuple[Blocker, ...] = ()


class Worker:
    """One building session with its watcher."""

    def __init__(self, connect: Connect, control: Connection, interrupted: Callable[[], int | None]) -> None:
        self._connect = connect
        self.control = control
        self._interrupted = interrupted
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dbopt-build")
        self.server = inspect(control)
        self.conn = self._open()

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        self.conn.close()

    def ensure_open(self) -> None:
        """A new session where the last one was lost. Raises ConnectionFailed."""
        if self.conn.closed:
            self.conn = self._open()

    def set(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            self.conn.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))

    def reset(self, settings: Mapping[str, str]) -> None:
        for name in settings:
            self.conn.execute(
                "SELECT pg_catalog.set_config(%s, s.reset_val, false) FROM pg_catalog.pg_settings AS s"
                " WHERE s.name = %s",
                (name, name),
            )

    def run(
        self, step: Step, statement: str, *, wait_seconds: float | None, heed: bool = True
    ) -> Iterator[Progress | Waiting | Outcome]:
        """Run one statement, alone in its message; the last value is its Outcome. Never raises a psycopg error.

        `wait_seconds` bounds each phase of waiting for others; None waits for ever. `heed` False: an interruption is
        not looked at, since this already cleans up after one.
        """
        started = time.monotonic()
        pid = self.conn.info.backend_pid
        future = self._threads.submit(self._execute, statement)
        waiting_since: float | None = None
        waiting_phase: str | None = None
        blockers: tuple[Blocker, ...] = ()
        table = text(qualified(step.schema, step.table))
        while not _ended(future, FIRST_POLL_SECONDS if time.monotonic() - started < POLL_SECONDS else POLL_SECONDS):
            signum = self._interrupted() if heed else None
            if signum is not None:
                error = self._cancel(future, pid)
                yield Outcome(error, time.monotonic() - started, interrupted=signum, blockers=blockers)
                return
            state = self._look(pid)
            now = time.monotonic()
            if state is None:
                continue
            if not state.is_waiting:
                waiting_since = None
                yield _progress(step, state, now - started)
                continue
            if waiting_since is None or state.phase != waiting_phase:
                waiting_since, waiting_phase = now, state.phase
            blockers = self._blockers(pid, state.phase, table) or blockers
            yield Waiting(
                step=step,
                phase=state.phase or "waiting for a lock",
                blockers=blockers,
                waited_seconds=now - waiting_since,
                limit_seconds=wait_seconds,
            )
            if wait_seconds is not None and now - waiting_since > wait_seconds:
                error = self._cancel(future, pid)
                # It may have ended by itself in the same instant: then it has not been given up.
                yield Outcome(error, time.monotonic() - started, gave_up=error is not None, blockers=blockers)
                return
        yield Outcome(future.result(), time.monotonic() - started, blockers=blockers)

    def short(self, statements: tuple[str, ...], lock_timeout_ms: int) -> psycopg.Error | None:
        """Statements that need a lock for an instant, in one transaction with a short lock_timeout."""
        try:
            with self.conn.transaction():
                self.conn.execute("SELECT pg_catalog.set_config('lock_timeout', %s, true)", (f"{lock_timeout_ms}ms",))
                for statement in statements:
                    self.conn.execute(statement)
        except psycopg.Error as exc:
            return exc
        return None

    def _open(self) -> Connection:
        conn = self._connect(read_only=False, statement_timeout_ms=0, lock_timeout_ms=0)
        names = [*_TIMEOUTS]
        if self.server.has_idle_session_timeout:
            names.append("idle_session_timeout")
        if self.server.has_transaction_timeout:
            names.append("transaction_timeout")
        for name in names:
            row = conn.execute(
                "SELECT pg_catalog.set_config(%s, '0', false), pg_catalog.current_setting(%s)", (name, name)
            ).fetchone()
            if row is None or row[1] not in ("0", "0ms"):
                conn.close()
                raise ServerUnfit(
                    f"{name} cannot be lifted for builds: it is {row and row[1]}",
                    hint="A build that a timeout cuts short leaves an INVALID index: connect as another role.",
                )
        return conn

    def _execute(self, statement: str) -> psycopg.Error | None:
        try:
            self.conn.execute(statement)
        except psycopg.Error as exc:
            return exc
        return None

    def _look(self, pid: int) -> progress.State | None:
        try:
            return progress.look(self.control, self.server, pid)
        except psycopg.Error:
            return None  # the build goes on without being watched; its own outcome tells

    def _blockers(self, pid: int, phase: str | None, table: str) -> tuple[Blocker, ...]:
        try:
            return progress.blockers(self.control, self.server, pid, phase, table)
        except psycopg.Error:
            return ()

    def _cancel(self, future: Future[psycopg.Error | None], pid: int) -> psycopg.Error | None:
        """Cancel on the server, and again, until the statement has ended."""
        deadline = time.monotonic() + CANCEL_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                self.control.execute("SELECT pg_catalog.pg_cancel_backend(%s)", (pid,))
            except psycopg.Error:
                try:
                    self.conn.cancel_safe(timeout=5)
                except psycopg.Error:
                    self.conn.close()
            if _ended(future, 1.0):
                return future.result()
        self.conn.close()
        raise ConnectionFailed(
            "the server does not end the build that was cancelled",
            detail=f"pid {pid} still runs after {CANCEL_PATIENCE_SECONDS:.0f} s",
            hint=f"SELECT pg_terminate_backend({pid}); then run dbopt optimize again, which cleans up.",
        )


def _ended(future: Future[psycopg.Error | None], seconds: float) -> bool:
    try:
        future.exception(timeout=seconds)
    except FutureTimeout:
        return False
    return True


def _progress(step: Step, state: progress.State, elapsed: float) -> Progress:
    done = progress.done_ratio(state)
    # Before a twentieth is done, an extrapolation says more about the start than about the end.
    eta = elapsed * (1 - done) / done if done and done >= 0.05 else None
    return Progress(step=step, phase=state.phase or "working", done=done, elapsed_seconds=elapsed, eta_seconds=eta)
