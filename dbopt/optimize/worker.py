"""One statement at a time on the building session, watched from the other one.

The statement runs in a thread, without any timeout of the server's: a `lock_timeout` inside CREATE INDEX CONCURRENTLY
is the main producer of INVALID indexes. What bounds it is the watcher, which looks at the progress view, knows for
whom the build waits, and cancels it when the budget is spent or the user asks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING

import psycopg

from dbopt.errors import ConnectionFailed, Error
from dbopt.optimize import progress, waits
from dbopt.optimize.events import Progress, Waiting
from dbopt.postgres.identifiers import qualified, text
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.optimize.sessions import Sessions
    from dbopt.optimize.steps import Blocker, Step

POLL_SECONDS = 0.25  # how often a build is looked at: some 4 cheap statements a second on the server
FIRST_POLL_SECONDS = 0.05  # most statements are done by then
SHORT_STATEMENT_TIMEOUT_MS = 10_000  # they change a few catalog rows; what takes longer is not one of them
CANCEL_PATIENCE_SECONDS = 30.0  # a cancelled build ends at its next check for interrupts; that is long on a stuck disk


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a statement ended. `gave_up` and `interrupted` say who cancelled it; `blockers` are those it last waited for,
    `waited_seconds` how long.
    """

    error: psycopg.Error | None
    gave_up: bool = False
    interrupted: int | None = None
    blockers: tuple[Blocker, ...] = ()
    waited_seconds: float = 0.0


class Worker:
    """Runs statements on `sessions.builder`."""

    def __init__(self, sessions: Sessions, interrupted: Callable[[], int | None]) -> None:
        self._sessions = sessions
        self._interrupted = interrupted
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dbopt-build")

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    def set(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            self._sessions.builder.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))

    def reset(self, settings: Mapping[str, str]) -> None:
        """Back to what role and database say. A session that was lost has nothing to reset."""
        with contextlib.suppress(psycopg.OperationalError):
            for name in settings:
                self._sessions.builder.execute(
                    "SELECT pg_catalog.set_config(%s, s.reset_val, false) FROM pg_catalog.pg_settings AS s"
                    " WHERE s.name = %s",
                    (name, name),
                )

    def let_builds_end(self, step: Step, *, wait_seconds: float | None) -> Iterator[Waiting | Outcome]:
        """Wait for somebody else's build on the table *before* queueing behind it; the last value is an Outcome.

        A statement that stands in its queue holds a snapshot, for which that build will wait in its last phase: a
        deadlock, whose victim is the build, which is further ahead.
        """
        started = time.monotonic()
        blockers: tuple[Blocker, ...] = ()
        while (now_building := self._builders(step)) and self._interrupted() is None:
            blockers = now_building
            waited = time.monotonic() - started
            if wait_seconds is not None and waited > wait_seconds:
                yield Outcome(None, gave_up=True, blockers=blockers, waited_seconds=waited)
                return
            yield Waiting(
                step=step,
                phase=waits.OTHER_BUILD,
                blockers=blockers,
                waited_seconds=waited,
                limit_seconds=wait_seconds,
            )
            time.sleep(POLL_SECONDS)
        yield Outcome(None, interrupted=self._interrupted(), blockers=blockers)

    def run(
        self, step: Step, statement: str, *, wait_seconds: float | None, heed: bool = True
    ) -> Iterator[Progress | Waiting | Outcome]:
        """Run one statement, alone in its message; the last value is its Outcome. Never raises a psycopg error.

        `wait_seconds` bounds each phase of waiting for others; None waits for ever. `heed` False: an interruption is
        not looked at, since this already cleans up after one.
        """
        pid = self._sessions.builder.info.backend_pid
        future = self._threads.submit(self._execute, statement)
        try:
            yield from self._watch(step, future, pid, wait_seconds, heed)
        except GeneratorExit:  # whoever listened is gone: nobody would bound the build from here on
            self._cancel(future, pid)
            raise

    def _watch(
        self, step: Step, future: Future[psycopg.Error | None], pid: int, wait_seconds: float | None, heed: bool
    ) -> Iterator[Progress | Waiting | Outcome]:
        started = time.monotonic()
        waiting_since: float | None = None
        waiting_phase: str | None = None
        blockers: tuple[Blocker, ...] = ()
        done = 0.0
        table = text(qualified(step.schema, step.table))
        while not _ended(future, FIRST_POLL_SECONDS if time.monotonic() - started < POLL_SECONDS else POLL_SECONDS):
            signum = self._interrupted() if heed else None
            if signum is not None:
                yield Outcome(self._cancel(future, pid), interrupted=signum, blockers=blockers)
                return
            state = self._look(pid)
            now = time.monotonic()
            if state is None:
                continue
            if not state.is_waiting:
                waiting_since = None
                ratio = progress.done_ratio(state)
                # The view's numbers are not all set at one instant: a phase may begin with the last one's counters.
                done = max(done, ratio or 0.0)
                yield _progress(step, state, None if ratio is None else done, now - started)
                continue
            if waiting_since is None or state.phase != waiting_phase:
                waiting_since, waiting_phase = now, state.phase
            waited = now - waiting_since
            blockers = self._blockers(pid, state.phase, table) or blockers
            yield Waiting(
                step=step,
                phase=state.phase or "waiting for a lock",
                blockers=blockers,
                waited_seconds=waited,
                limit_seconds=wait_seconds,
            )
            if wait_seconds is not None and waited > wait_seconds:
                yield Outcome(self._cancel(future, pid), gave_up=True, blockers=blockers, waited_seconds=waited)
                return
        yield Outcome(future.result(), blockers=blockers)

    def short(self, statements: tuple[str, ...], lock_timeout_ms: int) -> psycopg.Error | None:
        """Statements that need a lock for an instant, in one transaction that neither waits nor lasts for long."""
        conn = self._sessions.builder
        try:
            with conn.transaction():
                conn.execute(
                    "SELECT pg_catalog.set_config('lock_timeout', %s, true),"
                    " pg_catalog.set_config('statement_timeout', %s, true)",
                    (f"{lock_timeout_ms}ms", f"{SHORT_STATEMENT_TIMEOUT_MS}ms"),
                )
                for statement in statements:
                    conn.execute(statement)
        except psycopg.Error as exc:
            return exc
        return None

    def _execute(self, statement: str) -> psycopg.Error | None:
        try:
            self._sessions.builder.execute(statement)
        except psycopg.Error as exc:
            return exc
        return None

    # Questions of the watcher. While it has no answer, the build goes on without being watched.

    def _look(self, pid: int) -> progress.State | None:
        try:
            return progress.look(self._sessions.control, self._sessions.server, pid)
        except psycopg.Error:
            with contextlib.suppress(Error):  # the next look tries again, and the next step insists
                self._sessions.restore_control()
            return None

    def _blockers(self, pid: int, phase: str | None, table: str) -> tuple[Blocker, ...]:
        try:
            return progress.blockers(self._sessions.control, self._sessions.server, pid, phase, table)
        except psycopg.Error:
            return ()

    def _builders(self, step: Step) -> tuple[Blocker, ...]:
        try:
            return waits.other_builds(self._sessions.control, self._sessions.server, step.schema, step.table)
        except psycopg.Error:
            return ()

    def _cancel(self, future: Future[psycopg.Error | None], pid: int) -> psycopg.Error | None:
        """Cancel on the server, and again, until the statement has ended. Raises ConnectionFailed when it does not."""
        deadline = time.monotonic() + CANCEL_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                self._sessions.control.execute("SELECT pg_catalog.pg_cancel_backend(%s)", (pid,))
            except psycopg.Error:
                with contextlib.suppress(psycopg.Error):
                    self._sessions.builder.cancel_safe(timeout=5)
            if _ended(future, 1.0):
                return future.result()
        _hang_up(self._sessions.builder)
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


def _hang_up(conn: psycopg.Connection[tuple[object, ...]]) -> None:
    """Make the thread that waits on this connection see its end; closing it under the thread would not wake it."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _progress(step: Step, state: progress.State, done: float | None, elapsed: float) -> Progress:
    # Before a twentieth is done, an extrapolation says more about the start than about the end.
    eta = elapsed * (1 - done) / done if done and done >= 0.05 else None
    return Progress(step=step, phase=state.phase or "working", done=done, elapsed_seconds=elapsed, eta_seconds=eta)
