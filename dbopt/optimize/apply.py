"""Run a plan, and nothing but that plan; tell of it as a stream of Events.

Each step: its statements in order, proof, and after a failure the removal of what it left. One failing step does not
stop the others; a server that is gone does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import psycopg

from dbopt.errors import AnotherRunner, ConnectionFailed, Error
from dbopt.optimize import kinds, proof
from dbopt.optimize.decide import drop_index
from dbopt.optimize.events import (
    Event,
    Notice,
    Result,
    RunStarted,
    StepFinished,
    StepStarted,
)
from dbopt.optimize.failures import Failure, explain, given_up, is_transient
from dbopt.optimize.kinds import Kind, kind, target_index
from dbopt.optimize.sessions import Sessions
from dbopt.optimize.steps import Item, ItemStatus
from dbopt.optimize.worker import Outcome, Worker
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.sessions import Connect
    from dbopt.optimize.steps import Plan, Step
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

WAIT_SECONDS = 300.0  # the budget of each phase of waiting, unless the user says another
# What queues behind a rename for longer would be felt. Shorter than the default deadlock_timeout of 1 s: a comment that
# waits for somebody's REINDEX CONCURRENTLY steps back before that one dies of it.
SHORT_LOCK_TIMEOUT_MS = 500
SHORT_TRIES = 20
CLEANUP_SECONDS = 15.0  # for the removal of a leftover; a writer on the table can keep it from going
TRIES = 3  # of a build that lost a deadlock
RECONNECT_SECONDS = 30.0  # a restart of a busy server takes about that
RECONNECT_PAUSE_SECONDS = 0.5

P = ParamSpec("P")
T = TypeVar("T")


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
    for step in plan.steps:  # all of it is ours, before the first of it runs
        kinds.groups(step.statements)
        kinds.require_settings(step.settings)
    sessions = Sessions(connect)
    try:
        yield from _Run(plan, sessions, options or ApplyOptions(), interrupted).events()
    finally:
        sessions.close()


class _Run:
    def __init__(
        self, plan: Plan, sessions: Sessions, options: ApplyOptions, interrupted: Callable[[], int | None]
    ) -> None:
        self.plan = plan
        self.sessions = sessions
        self.options = options
        self.interrupted = interrupted
        self.worker = Worker(sessions, interrupted)
        self.started = time.monotonic()
        self.outcomes: dict[tuple[str, str, str], Item] = {}

    def events(self) -> Iterator[Event]:
        yield RunStarted(plan=self.plan)
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
                failure, size = None, None
                try:
                    failure, size = yield from self._step(step)
                except Error as exc:  # a session is lost for good, or is none that may go on
                    failure, stopped = Failure(exc.message, exc.hint), f"not started: {exc.message}"
                except psycopg.Error as exc:  # of a question to the catalogs
                    failure = explain(exc, step, "look at")
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
            self.worker.close()
        yield self._result()

    # One step

    def _step(self, step: Step) -> Generator[Event, None, tuple[Failure | None, int | None]]:
        """Events of one step; returns (Failure or None, size in bytes or None)."""
        yield from self._restore()
        failure = yield from self._statements(step)
        if failure is not None:
            return failure, None
        size = None
        for claim in step.proofs:
            verdict = yield from self._ask(proof.verify, claim)
            size = verdict.size_bytes
            if verdict.problem is not None:
                hint = "Look at it with \\d in psql, then run dbopt plan again."
                return Failure(verdict.problem, hint), size
        return None, size

    def _statements(self, step: Step) -> Generator[Event, None, Failure | None]:
        """Run a step's statements in order; returns a Failure or None."""
        try:
            self.worker.set(step.settings)
        except psycopg.Error as exc:
            return explain(exc, step, "set the session for")
        try:
            for group in kinds.groups(step.statements):
                what = kind(group[0])
                if what is Kind.SHORT:
                    failure = yield from self._short(step, group)
                else:
                    failure = yield from self._watched(step, group[0], what)
                if failure is not None:
                    return failure
        finally:
            self.worker.reset(step.settings)
        return None

    def _watched(self, step: Step, statement: str, what: Kind) -> Generator[Event, None, Failure | None]:
        """A build, a drop or an ANALYZE; one that lost a deadlock is tried again."""
        for attempt in range(1, TRIES + 1):
            failure = yield from self._attempt(step, statement, what)
            if failure is None or not failure.retry or attempt == TRIES or self.interrupted() is not None:
                return failure
            yield Notice(step=step, message=f"{failure.message}; trying again ({attempt} of {TRIES - 1})")
        raise AssertionError("unreachable")

    def _attempt(self, step: Step, statement: str, what: Kind) -> Generator[Event, None, Failure | None]:
        """After a failed build or drop, what it left is removed."""
        waited = yield from _outcome(self.worker.let_builds_end(step, wait_seconds=self.options.wait_seconds))
        if (failure := given_up(step, what.value, waited)) is not None:
            return failure
        name = target_index(statement) if what in (Kind.BUILD, Kind.DROP) else None
        before = (yield from self._ask(proof.find_index, step.schema, step.table, name)) if name else None
        if what is Kind.DROP and before is None:
            return None  # gone already, which is what was wanted
        outcome = yield from _outcome(self.worker.run(step, statement, wait_seconds=self.options.wait_seconds))
        if outcome.error is None:
            return None
        failure = explain(outcome.error, step, what.value, outcome)
        if name is None:
            return failure
        yield from self._restore()
        left = yield from self._ask(proof.find_index, step.schema, step.table, name)
        if left is None:
            return None if what is Kind.DROP else failure
        was_there = before is not None and before.oid == left.oid
        if left.indisvalid or was_there is not (what is Kind.DROP):
            return failure  # a drop that has changed nothing yet, or somebody else's index under the name of a build
        if left.build_pid is not None:
            return failure.leaving(
                f"The server still builds {name} (pid {left.build_pid}): run dbopt again after that."
            )
        removal = drop_index(step.schema, name)
        cleanup = yield from _outcome(self.worker.run(step, removal, wait_seconds=CLEANUP_SECONDS, heed=False))
        if cleanup.error is not None:
            return failure.leaving(f"{name} was left INVALID; dbopt optimize removes it when run again.")
        if what is Kind.DROP:
            return None  # the second try has done it
        yield Notice(step=step, message=f"removed the unfinished index {name}")
        return failure

    def _short(self, step: Step, statements: tuple[str, ...]) -> Generator[Event, None, Failure | None]:
        """Renames, comments, the swap of a replacement: tried again while the lock is not to be had."""
        for attempt in range(1, SHORT_TRIES + 1):
            error = self.worker.short(statements, SHORT_LOCK_TIMEOUT_MS)
            if error is None:
                return None
            if not is_transient(error) or attempt == SHORT_TRIES or self.interrupted() is not None:
                return explain(error, step, "change")
            yield Notice(
                step=step, message=f"the lock is not to be had within {SHORT_LOCK_TIMEOUT_MS} ms; trying again"
            )
            time.sleep(min(0.2 * attempt, 2.0))
        raise AssertionError("unreachable")

    # Sessions that may be lost

    def _restore(self) -> Generator[Event, None, None]:
        """Both sessions open, the server waited for if need be. Raises ConnectionFailed, AnotherRunner, ServerUnfit."""
        deadline: float | None = None
        while True:
            try:
                self.sessions.restore()
                return
            except (ConnectionFailed, AnotherRunner):  # the runner may be our own lost session, not yet ended
                if deadline is None:
                    deadline = time.monotonic() + RECONNECT_SECONDS
                    yield Notice(message="the connection was lost; waiting for the server")
                if time.monotonic() > deadline or self.interrupted() is not None:
                    raise
                time.sleep(RECONNECT_PAUSE_SECONDS)

    def _ask(
        self, question: Callable[Concatenate[Connection, Server, P], T], *args: P.args, **named: P.kwargs
    ) -> Generator[Event, None, T]:
        """A question to the watching session, asked once more on a new one when it was lost."""
        try:
            return question(self.sessions.control, self.sessions.server, *args, **named)
        except psycopg.OperationalError:
            if not self.sessions.control.closed:
                raise
        yield from self._restore()
        return question(self.sessions.control, self.sessions.server, *args, **named)

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


def _outcome(events: Iterator[Event | Outcome]) -> Generator[Event, None, Outcome]:
    """Forward a statement's events; returns its Outcome."""
    for event in events:
        if isinstance(event, Outcome):
            return event
        yield event
    raise AssertionError("a statement ended without an outcome")
