"""Run a plan, and nothing but that plan; tell of it as a stream of Events.

Each step: its statements in order, proof, and after a failure the removal of what it left. One failing step does not
stop the others. The connection that watches is the one that holds the runner's lock, opened first: when the server
has no slot left for a second one, nothing has been started yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from dbopt.errors import ConnectionFailed, ServerUnfit
from dbopt.optimize import proof, runner_lock
from dbopt.optimize.decide import drop_index
from dbopt.optimize.events import (
    Event,
    Notice,
    Result,
    RunStarted,
    StepFinished,
    StepStarted,
)
from dbopt.optimize.failures import Failure, explain, is_transient
from dbopt.optimize.kinds import Kind, kind, target_index
from dbopt.optimize.steps import Item, ItemStatus
from dbopt.optimize.worker import Outcome, Worker
from dbopt.postgres.server import inspect

if TYPE_CHECKING:
    from dbopt.optimize.steps import Plan, Step
    from dbopt.optimize.worker import Connect
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

WAIT_SECONDS = 300.0  # the budget of each phase of waiting, unless the user says another
SHORT_LOCK_TIMEOUT_MS = 2_000  # what queues behind a rename for longer would be felt
SHORT_TRIES = 10
CLEANUP_SECONDS = 15.0  # for the removal of a leftover; a writer on the table can keep it from going
TRIES = 3  # of a build that lost a deadlock
RECONNECT_SECONDS = 30.0  # a restart of a busy server takes about that


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """`wait_seconds` bounds each phase of waiting for others; None waits for ever."""

    wait_seconds: float | None = WAIT_SECONDS


def apply(
    plan: Plan,
    connect: Connect,
    *,
    options: ApplyOptions | None = None,
    interrupted: Callable[[], int | None] = lambda: None,
) -> Iterator[Event]:
    """Run the plan's steps. `interrupted` is asked often and gives a signal's number once the user wants out.

    The last event is always a Result, unless the run could not begin: then ConnectionFailed, AnotherRunner, ServerUnfit
    or PlanMismatch is raised before anything was changed.
    """
    for step in plan.steps:  # every statement is one of ours, before the first of them runs
        for statement in step.statements:
            kind(statement)
    control = connect(read_only=False, statement_timeout_ms=10_000, lock_timeout_ms=SHORT_LOCK_TIMEOUT_MS)
    try:
        server = inspect(control)
        _require_fit(control, server)
        runner_lock.acquire(control, server)
        run = _Run(plan, connect, options or ApplyOptions(), interrupted, control, server)
        yield from run.events()
    finally:
        control.close()


@dataclass(slots=True)
class _Run:
    plan: Plan
    connect: Connect
    options: ApplyOptions
    interrupted: Callable[[], int | None]
    control: Connection
    server: Server
    started: float = field(default_factory=time.monotonic)
    outcomes: dict[tuple[str, str, str], Item] = field(default_factory=dict)

    def events(self) -> Iterator[Event]:
        yield RunStarted(plan=self.plan)
        worker = Worker(self.connect, self.control, self.interrupted)
        stopped: str | None = None
        try:
            for number, step in enumerate(self.plan.steps, start=1):
                if stopped is None and self.interrupted() is not None:
                    stopped = "not started: interrupted"
                if stopped is not None:
                    self._note(step, 0.0, stopped)
                    continue
                yield StepStarted(number=number, total=len(self.plan.steps), step=step)
                begun = time.monotonic()
                try:
                    failure, size = yield from self._step(worker, step)
                except ConnectionFailed as exc:
                    failure, size = Failure(exc.message, exc.hint), None
                    stopped = "not started: the connection was lost"
                seconds = time.monotonic() - begun
                self._note(step, seconds, failure.message if failure else None)
                yield StepFinished(
                    number=number,
                    total=len(self.plan.steps),
                    step=step,
                    seconds=seconds,
                    size_bytes=size,
                    error=failure.message if failure else None,
                    hint=failure.hint if failure else None,
                )
        finally:
            worker.close()
        yield self._result()

    # One step

    def _step(self, worker: Worker, step: Step) -> Generator[Event, None, tuple[Failure | None, int | None]]:
        """Events of one step; returns (Failure or None, size in bytes or None)."""
        for attempt in range(1, TRIES + 1):
            worker.ensure_open()
            failure = yield from self._statements(worker, step)
            if failure is None or not failure.retry or attempt == TRIES or self.interrupted() is not None:
                break
            yield Notice(step=step, message=f"{failure.message}; trying again ({attempt} of {TRIES - 1})")
        if failure is not None:
            return failure, None
        size = None
        for claim in step.proofs:
            verdict = proof.verify(self.control, self.server, claim)
            size = verdict.size_bytes
            if verdict.problem is not None:
                hint = "Look at it with \\d in psql, then run dbopt plan again."
                return Failure(verdict.problem, hint), size
        return None, size

    def _statements(self, worker: Worker, step: Step) -> Generator[Event, None, Failure | None]:
        """Run a step's statements in order; returns a Failure or None."""
        try:
            worker.set(step.settings)
        except psycopg.Error as exc:
            return explain(exc, step, "set the session for")
        try:
            for group in _groups(step.statements):
                what = kind(group[0])
                if what is Kind.SHORT:
                    failure = yield from self._short(worker, step, group)
                else:
                    failure = yield from self._watched(worker, step, group[0], what)
                if failure is not None:
                    return failure
        finally:
            if not worker.conn.closed:
                worker.reset(step.settings)
        return None

    def _watched(
        self, worker: Worker, step: Step, statement: str, what: Kind
    ) -> Generator[Event, None, Failure | None]:
        """A build, a drop or an ANALYZE; after a failed build or drop, what it left is removed."""
        name = target_index(statement) if what in (Kind.BUILD, Kind.DROP) else None
        before = proof.find_index(self.control, self.server, step.schema, step.table, name) if name else None
        if what is Kind.DROP and before is None:
            return None  # gone already, which is what was wanted
        outcome = yield from self._run(worker, step, statement, self.options.wait_seconds)
        if outcome.error is None:
            return None
        failure = explain(outcome.error, step, what.value, outcome)
        if name is None:
            return failure
        yield from self._reconnect(worker)
        left = proof.find_index(self.control, self.server, step.schema, step.table, name)
        ours = left is not None and (what is Kind.DROP or before is None or before.oid != left.oid)
        if left is None or left.indisvalid or not ours:
            return failure
        if left.build_pid is not None:
            return failure.adding(f"The server still builds {name} (pid {left.build_pid}): run dbopt again after that.")
        cleanup = yield from self._run(worker, step, drop_index(step.schema, name), CLEANUP_SECONDS, heed=False)
        if cleanup.error is not None:
            return failure.adding(f"{name} was left INVALID; dbopt optimize removes it when run again.")
        yield Notice(step=step, message=f"removed the unfinished index {name}")
        return failure

    def _run(
        self, worker: Worker, step: Step, statement: str, wait_seconds: float | None, *, heed: bool = True
    ) -> Generator[Event, None, Outcome]:
        """Forward a statement's events; returns its Outcome."""
        for event in worker.run(step, statement, wait_seconds=wait_seconds, heed=heed):
            if isinstance(event, Outcome):
                return event
            yield event
        raise AssertionError("a statement ended without an outcome")

    def _short(self, worker: Worker, step: Step, statements: tuple[str, ...]) -> Generator[Event, None, Failure | None]:
        """Renames, comments, the swap of a replacement: tried again while the lock is not to be had."""
        for attempt in range(1, SHORT_TRIES + 1):
            error = worker.short(statements, SHORT_LOCK_TIMEOUT_MS)
            if error is None:
                return None
            if not is_transient(error) or attempt == SHORT_TRIES or self.interrupted() is not None:
                return explain(error, step, "change")
            yield Notice(
                step=step, message=f"the lock is not to be had within {SHORT_LOCK_TIMEOUT_MS} ms; trying again"
            )
            time.sleep(min(0.2 * attempt, 2.0))
        raise AssertionError("unreachable")

    def _reconnect(self, worker: Worker) -> Generator[Event, None, None]:
        """After a lost connection: wait for the server, take the lock again. Raises ConnectionFailed."""
        if not (worker.conn.closed or self.control.closed):
            return
        yield Notice(message="the connection was lost; waiting for the server")
        deadline = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                if self.control.closed or not _alive(self.control):
                    self.control.close()
                    self.control = worker.control = self.connect(
                        read_only=False, statement_timeout_ms=10_000, lock_timeout_ms=SHORT_LOCK_TIMEOUT_MS
                    )
                    runner_lock.acquire(self.control, self.server)
                worker.ensure_open()
                return
            except ConnectionFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)

    # Accounts

    def _note(self, step: Step, seconds: float, error: str | None) -> None:
        """Add a step to its index's item. The first error stays; a later step of the same index cannot mend it."""
        if step.index is None:
            return
        key = (step.schema, step.table, step.index)
        known = self.outcomes.get(key)
        first = known.error if known is not None and known.error is not None else error
        self.outcomes[key] = Item(
            index=step.index,
            schema=step.schema,
            table=step.table,
            status=ItemStatus.APPLIED if first is None else ItemStatus.FAILED,
            seconds=seconds + (known.seconds if known is not None else 0.0),
            error=first,
        )

    def _result(self) -> Result:
        done = list(self.outcomes.values())
        return Result(
            applied=sum(item.status is ItemStatus.APPLIED for item in done),
            failed=sum(item.status is ItemStatus.FAILED for item in done),
            refused=len(self.plan.refused),
            unchanged=len(self.plan.unchanged),
            seconds=time.monotonic() - self.started,
            items=(*done, *self.plan.refused, *self.plan.unchanged),
            interrupted=self.interrupted() is not None,
        )


def _groups(statements: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Statements that run together: those between BEGIN and COMMIT, and each other one alone."""
    block: list[str] | None = None
    for statement in statements:
        what = kind(statement)
        if what is Kind.BEGIN:
            block = []
        elif what is Kind.COMMIT:
            if block:
                yield tuple(block)
            block = None
        elif block is not None:
            block.append(statement)
        else:
            yield (statement,)


def _require_fit(conn: Connection, server: Server) -> None:
    """Raises ServerUnfit where a concurrent build must not be started."""
    if server.in_recovery:
        raise ServerUnfit(f"{server.dbname} is on a standby", hint="Connect to the primary with -h.")
    if server.corrupts_concurrent_builds:
        raise ServerUnfit(
            f"PostgreSQL {server.server_version} builds indexes concurrently that miss rows",
            detail="releases 14.0 to 14.3 have this bug, https://www.postgresql.org/docs/release/14.4/",
            hint="Upgrade to the latest 14.x first; it needs no dump.",
        )
    row = conn.execute("/* dbopt: is a pooler in between */ SELECT pg_catalog.pg_backend_pid()").fetchone()
    if row is not None and row[0] != conn.info.backend_pid:
        raise ServerUnfit(
            "a connection pooler stands between dbopt and the server",
            detail="session settings, the runner's lock and cancelling need one and the same session of the server",
            hint="Connect to PostgreSQL itself: its own host and port (5432), not the pooler's (often 6432).",
        )


def _alive(conn: Connection) -> bool:
    try:
        conn.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
