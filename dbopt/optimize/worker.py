"""One statement at a time on a lane's building session, watched from the run's other one.

The statement runs in a thread, without any timeout of the server's: a `lock_timeout` inside CREATE INDEX CONCURRENTLY
is the main producer of INVALID indexes. What bounds it is the watcher, which looks at the progress view, knows for
whom the build waits and who waits for it, and cancels it when the budget is spent, when readers pile up behind it, or
when the user asks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from dbopt.errors import ConnectionFailed, Error
from dbopt.optimize import progress, queue
from dbopt.optimize.events import Progress, Waiting
from dbopt.postgres.identifiers import qualified, text
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.events import Event
    from dbopt.optimize.queue import Queue
    from dbopt.optimize.sessions import Builder, Sessions
    from dbopt.optimize.steps import Blocker, Step
    from dbopt.postgres.connect import Connection

T = TypeVar("T")

POLL_SECONDS = 0.25  # how often a build is looked at: some 8 cheap statements a second on the server
FIRST_POLL_SECONDS = 0.05  # most statements are done by then
SHORT_STATEMENT_TIMEOUT_MS = 10_000  # they change a few catalog rows; what takes longer is not one of them
CANCEL_PATIENCE_SECONDS = 30.0  # a cancelled build ends at its next check for interrupts; that is long on a stuck disk
CANCEL_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to tell for so long, or until this is done: the other lanes' time."""

    seconds: float
    until: Future[Any] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a statement ended. `gave_up`, `made_room_for` and `interrupted` say why it was cancelled here; `blockers` are
    those it last waited for, `waited_seconds` how long. `working_seconds`: without all waiting for others.
    """

    error: psycopg.Error | None
    gave_up: bool = False
    made_room_for: Queue | None = None
    interrupted: int | None = None
    blockers: tuple[Blocker, ...] = ()
    waited_seconds: float = 0.0
    working_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How one statement is watched. `wait_seconds` bounds each phase of waiting for others; None waits for ever.
    `yields`: readers and writers that pile up behind it end it. `heed` False: an interruption is not looked at, since
    this already cleans up after one.
    """

    wait_seconds: float | None
    yields: bool = True
    heed: bool = True


class Worker:
    """Runs statements on `builder`. `clear` is told of everybody who is waited for, and may end them."""

    def __init__(
        self,
        sessions: Sessions,
        builder: Builder,
        interrupted: Callable[[], int | None],
        clear: Callable[[tuple[Blocker, ...]], Iterator[Event]],
    ) -> None:
        self.builder = builder
        self._sessions = sessions
        self._interrupted = interrupted
        self._clear = clear
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dbopt-build")

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    def run(self, step: Step, statement: str, limits: Limits) -> Generator[Event | Pause, None, Outcome]:
        """Run one statement, alone in its message. Never raises a psycopg error."""
        pid = self.builder.conn.info.backend_pid
        future = self._threads.submit(self._execute, statement)
        try:
            return (yield from self._watch(step, future, pid, limits))
        except GeneratorExit:  # whoever listened is gone: nobody would bound the build from here on
            for pause in self._cancel(future, pid):
                _ended(future, pause.seconds)
            raise

    def ask(self, question: Callable[[Connection], T]) -> Generator[Pause, None, T]:
        """A question that may take its time, on the building session. Raises what it raises; a user who wants out ends
        it, as QueryCanceled.
        """
        pid = self.builder.conn.info.backend_pid
        future = self._threads.submit(question, self.builder.conn)
        try:
            while not future.done():
                if self._interrupted() is not None:
                    yield from self._cancel(future, pid)
                    break
                yield Pause(POLL_SECONDS, future)
        except GeneratorExit:
            for pause in self._cancel(future, pid):
                _ended(future, pause.seconds)
            raise
        return future.result()

    def short(self, statements: tuple[str, ...], lock_timeout_ms: int) -> psycopg.Error | None:
        """Statements that need a lock for an instant, in one transaction that neither waits nor lasts for long."""
        conn = self.builder.conn
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

    def _watch(
        self, step: Step, future: Future[psycopg.Error | None], pid: int, limits: Limits
    ) -> Generator[Event | Pause, None, Outcome]:
        started = last = time.monotonic()
        idle = 0.0  # seconds of waiting for others
        waiting_since: float | None = None
        waiting_phase: str | None = None
        blockers: tuple[Blocker, ...] = ()
        done = 0.0
        table = text(qualified(step.schema, step.table))
        while True:
            yield Pause(FIRST_POLL_SECONDS if time.monotonic() - started < POLL_SECONDS else POLL_SECONDS, future)
            now = time.monotonic()
            if future.done():
                working = max(now - started - idle, 0.0)
                return Outcome(future.result(), blockers=blockers, working_seconds=working)
            signum = self._interrupted() if limits.heed else None
            if signum is not None:
                return Outcome((yield from self._cancel(future, pid)), interrupted=signum, blockers=blockers)
            state = self._look(pid)
            if limits.yields and (behind := self._behind(pid)) is not None:
                return Outcome((yield from self._cancel(future, pid)), made_room_for=behind)
            if state is None:
                continue
            if state.is_waiting:
                others = self._blockers(pid, state.phase, table)
                idle += now - last
                last = now
                if others and all(who.pid in self._sessions.pids for who in others):
                    waiting_since = None  # another lane's build, which ends by itself
                    continue
                blockers = others or blockers
                if limits.yields and (circle := self._in_turn(pid, others)) is not None:
                    return Outcome((yield from self._cancel(future, pid)), made_room_for=circle)
                if waiting_since is None or state.phase != waiting_phase:
                    waiting_since, waiting_phase = now, state.phase
                waited = now - waiting_since
                yield Waiting(
                    step=step,
                    phase=state.phase or "waiting for a lock",
                    blockers=blockers,
                    waited_seconds=waited,
                    limit_seconds=limits.wait_seconds,
                )
                yield from self._clear(blockers)
                if limits.wait_seconds is not None and waited > limits.wait_seconds:
                    error = yield from self._cancel(future, pid)
                    return Outcome(error, gave_up=True, blockers=blockers, waited_seconds=waited)
                continue
            waiting_since = None
            last = now
            ratio = progress.done_ratio(state)
            # The view's numbers are not all set at one instant: a phase may begin with the last one's counters.
            done = max(done, ratio or 0.0)
            yield of_progress(step, state, None if ratio is None else done, now - started)

    def _execute(self, statement: str) -> psycopg.Error | None:
        try:
            self.builder.conn.execute(statement)
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

    def _behind(self, pid: int) -> Queue | None:
        try:
            return queue.behind(self._sessions.control, self._sessions.server, pid)
        except psycopg.Error:
            return None

    def _in_turn(self, pid: int, others: tuple[Blocker, ...]) -> Queue | None:
        try:
            return queue.in_turn(self._sessions.control, self._sessions.server, pid, others)
        except psycopg.Error:
            return None

    def _cancel(self, future: Future[T], pid: int) -> Generator[Pause, None, T]:
        """Cancel on the server, and again, until the statement has ended. Raises ConnectionFailed when it does not."""
        deadline = time.monotonic() + CANCEL_PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                self._sessions.control.execute("SELECT pg_catalog.pg_cancel_backend(%s)", (pid,))
            except psycopg.Error:
                with contextlib.suppress(psycopg.Error):
                    self.builder.conn.cancel_safe(timeout=5)
            if not future.done():
                yield Pause(CANCEL_POLL_SECONDS, future)
            if future.done():
                return future.result()
        _hang_up(self.builder.conn)
        raise ConnectionFailed(
            "the server does not end the build that was cancelled",
            detail=f"pid {pid} still runs after {CANCEL_PATIENCE_SECONDS:.0f} s",
            hint=f"SELECT pg_terminate_backend({pid}); then run dbopt optimize again, which cleans up.",
        )


def of_progress(step: Step, state: progress.State, done: float | None, elapsed: float) -> Progress:
    # Before a twentieth is done, an extrapolation says more about the start than about the end.
    eta = elapsed * (1 - done) / done if done and done >= 0.05 else None
    return Progress(step=step, phase=state.phase or "working", done=done, elapsed_seconds=elapsed, eta_seconds=eta)


def _ended(future: Future[T], seconds: float) -> bool:
    try:
        future.exception(timeout=seconds)
    except FutureTimeout:
        return False
    return True


def _hang_up(conn: psycopg.Connection[tuple[object, ...]]) -> None:
    """Make the thread that waits on this connection see its end; closing it under the thread would not wake it."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
