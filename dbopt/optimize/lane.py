"""One step at a time, from its first statement to its proofs; what a failed one leaves is removed.

Several lanes run beside each other: each is a generator that says when it has nothing to do for a while (`Pause`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import field
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg import errors as pg

from dbopt.errors import AnotherRunner, ConnectionFailed, NoSession
from dbopt.optimize import disk, duplicates, kinds, proof
from dbopt.optimize.clearing import Clearing
from dbopt.optimize.collect import NEW
from dbopt.optimize.decide import drop_index
from dbopt.optimize.events import Event, Notice, Progress
from dbopt.optimize.failures import Again, Failure, explain, given_up, is_transient
from dbopt.optimize.kinds import Kind, kind, target_index
from dbopt.optimize.obstacles import Obstacles
from dbopt.optimize.schedule import group_of
from dbopt.optimize.steps import Proof
from dbopt.optimize.worker import Limits, Outcome, Pause, Worker
from dbopt.postgres.identifiers import derived, display
from dbopt.units import format_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.apply import ApplyOptions
    from dbopt.optimize.patience import Patience
    from dbopt.optimize.schedule import Task
    from dbopt.optimize.sessions import Builder, Sessions
    from dbopt.optimize.steps import Step
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server

# What queues behind a rename for longer would be felt. Shorter than the default deadlock_timeout of 1 s: a comment that
# waits for somebody's REINDEX CONCURRENTLY steps back before that one dies of it.
SHORT_LOCK_TIMEOUT_MS = 500
SHORT_TRIES = 20
CLEANUP_SECONDS = 10.0  # for the removal of a leftover; a writer on the table can keep it from going
TRIES = 3  # of a build that lost a deadlock
RECONNECT_SECONDS = 60.0  # a restart of a busy server takes some 30 s
RECONNECT_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)  # the last one again and again
DUPLICATES_SECONDS = (
    60.0  # for the search before a unique build; a build that finds them itself leaves an INVALID index
)

GONE_FOR_GOOD = (NoSession.UNKNOWN_DATABASE, NoSession.UNKNOWN_ROLE)  # no server that is waited for brings them back

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Ended:
    """What became of a step. `built_seconds`: of its builds, without waiting for others."""

    failure: Failure | None = None
    size_bytes: int | None = None
    size_before_bytes: int | None = None
    built_seconds: float = 0.0


@dataclass(slots=True)
class Shared:
    """What all lanes of a run have in common."""

    sessions: Sessions
    options: ApplyOptions
    patience: Patience
    interrupted: Callable[[], int | None]
    done: dict[int, int] = field(default_factory=dict)  # of a step that comes back: how many of its statements hold

    def wait_seconds(self) -> float | None:
        """How long a statement may wait for others, by now."""
        limits = [self.patience.seconds]
        if self.options.until is not None:
            limits.append(max(self.options.until - time.monotonic(), 0.0))
        known = [limit for limit in limits if limit is not None]
        return min(known) if known else None


class Lane:
    def __init__(self, shared: Shared, builder: Builder) -> None:
        self.shared = shared
        self.sessions = shared.sessions
        self.interrupted = shared.interrupted
        clear = Clearing(shared.sessions, shared.options.cancel_idle_seconds)
        self.worker = Worker(shared.sessions, builder, shared.interrupted, clear)
        self.obstacles = Obstacles(shared.sessions, shared.patience, shared.interrupted, clear)

    def run(self, task: Task) -> Generator[Event | Pause, None, Ended]:
        """Raises ConnectionFailed, AnotherRunner or ServerUnfit when a session is lost for good."""
        ended = Ended()
        losses = self.sessions.losses
        yield from self._restore()
        try:
            ended.failure = yield from self._required(task)
            if ended.failure is None:
                ended.failure = yield from self._statements(task, ended)
            if ended.failure is None:
                ended.failure = yield from self._prove(task.step, ended)
        except psycopg.Error as exc:  # of a question to the catalogs
            ended.failure = explain(exc, task.step, "look at")
        if ended.failure is not None and ended.failure.again is Again.NO:
            yield from self._restore()
            if self.sessions.losses > losses:  # it was the server, or the network: nobody wanted this step to end
                ended.failure = Failure(ended.failure.message, ended.failure.hint, Again.LATER)
        return ended

    def _required(self, task: Task) -> Generator[Event | Pause, None, Failure | None]:
        """A swap with an index that is not whole would do harm. Where one has begun, the names have changed already."""
        for claim in task.step.requires if not self.shared.done.get(task.number, 0) else ():
            verdict = yield from self._ask(proof.verify, claim)
            if verdict.problem is not None:
                return Failure(
                    f"not started, since {verdict.problem}", "Run dbopt optimize again: it goes on from here."
                )
        return None

    def _prove(self, step: Step, ended: Ended) -> Generator[Event | Pause, None, Failure | None]:
        for claim in step.proofs:
            verdict = yield from self._ask(proof.verify, claim)
            ended.size_bytes = verdict.size_bytes
            if verdict.problem is not None:
                return Failure(verdict.problem, "Look at it with \\d in psql, then run dbopt plan again.")
        return None

    def _statements(self, task: Task, ended: Ended) -> Generator[Event | Pause, None, Failure | None]:
        """Those that are not done yet, in order."""
        step = task.step
        try:
            self.worker.builder.set(step.settings)
        except psycopg.Error as exc:
            return explain(exc, step, "set the session for")
        try:
            for number, group in enumerate(kinds.groups(step.statements)):
                if number < self.shared.done.get(task.number, 0):
                    continue
                what = kind(group[0])
                if what in (Kind.SHORT, Kind.DROP_TREE):
                    failure = yield from self._short(task, group, what, ended)
                else:
                    failure = yield from self._watched(task, group[0], what, ended)
                if failure is not None:
                    return failure
                self.shared.done[task.number] = number + 1
        finally:
            self.worker.builder.reset(step.settings)
        return None

    def _watched(
        self, task: Task, statement: str, what: Kind, ended: Ended
    ) -> Generator[Event | Pause, None, Failure | None]:
        """A build, a drop or an ANALYZE; one that lost a deadlock is tried again."""
        for attempt in range(1, TRIES + 1):
            failure = yield from self._attempt(task, statement, what, ended)
            if failure is None or failure.again is not Again.NOW or attempt == TRIES or self.interrupted() is not None:
                return failure
            yield Notice(step=task.step, message=f"{failure.message}; trying again ({attempt} of {TRIES - 1})")
        raise AssertionError("unreachable")

    def _attempt(
        self, task: Task, statement: str, what: Kind, ended: Ended
    ) -> Generator[Event | Pause, None, Failure | None]:
        """After a failed build or drop, what it left is removed."""
        step = task.step
        name = target_index(statement) if what in (Kind.BUILD, Kind.DROP) else None
        limit = self.shared.wait_seconds()
        if name is not None and what is Kind.BUILD:
            failure = yield from self.obstacles.let_it_be_built(step, name, limit)
            if failure is not None:
                return failure
        waited = yield from self.obstacles.pass_by(task, what, name, limit)
        if (failure := given_up(step, what.value, waited)) is not None:
            return failure
        before = (yield from self._ask(proof.find_index, step.schema, step.table, name)) if name else None
        if what is Kind.DROP:
            if before is None:
                return None  # gone already, which is what was wanted
            ended.size_before_bytes = before.size_bytes
        elif before is not None:
            is_there, failure = yield from self._meanwhile(task, before)
            if is_there or failure is not None:
                return failure
            before = None
        if what is Kind.BUILD and (failure := (yield from self._look_for_room(step))) is not None:
            return failure
        if what is Kind.BUILD and kinds.is_unique(statement):
            failure = yield from self._look_for_duplicates(step, statement)
            if failure is not None:
                return failure
        outcome = yield from self.worker.run(step, statement, self._limits(limit))
        if what is Kind.BUILD:
            ended.built_seconds += outcome.working_seconds
        if outcome.gave_up:
            self.shared.patience.give_up_on(outcome.blockers, task.round)
        if outcome.error is None:
            return (yield from self._proved(step, name)) if name is not None and what is Kind.BUILD else None
        failure = explain(outcome.error, step, what.value, outcome)
        if isinstance(outcome.error, pg.UndefinedTable) and (yield from self._is_gone(step)):
            return Failure(failure.message, failure.hint, Again.GONE)
        if name is None:
            return failure
        return (yield from self._clean(step, name, what, before, failure))

    def _limits(self, wait_seconds: float | None, *, heed: bool = True) -> Limits:
        return Limits(wait_seconds, yields=self.shared.options.yields, heed=heed)

    def _clean(
        self, step: Step, name: str, what: Kind, before: Index | None, failure: Failure
    ) -> Generator[Event | Pause, None, Failure | None]:
        """Remove what a failed build or drop has left; what is to be said of it all."""
        yield from self._restore()
        left = yield from self._ask(proof.find_index, step.schema, step.table, name)
        if left is None:
            return None if what is Kind.DROP else failure
        was_there = before is not None and before.oid == left.oid
        if left.indisvalid or was_there is not (what is Kind.DROP):
            return failure  # a drop that has changed nothing yet, or somebody else's index under the name of a build
        if left.build_pid is not None:  # the connection is gone, its server's process is not: it can be adopted
            later = Failure(failure.message, failure.hint, Again.LATER)
            return later.leaving(f"The server still builds {name} (pid {left.build_pid}): run dbopt again after that.")
        cleanup = yield from self._remove(step, name)
        if cleanup.error is not None:
            return failure.leaving(f"{name} was left INVALID; dbopt optimize removes it when run again.")
        if what is Kind.DROP:
            return None  # the second try has done it
        yield Notice(step=step, message=f"removed the unfinished index {name}")
        return failure

    def _remove(self, step: Step, name: str) -> Generator[Event | Pause, None, Outcome]:
        return (
            yield from self.worker.run(step, drop_index(step.schema, name), self._limits(CLEANUP_SECONDS, heed=False))
        )

    def _meanwhile(self, task: Task, found: Index) -> Generator[Event | Pause, None, tuple[bool, Failure | None]]:
        """The name of a build is taken. True: by the very index that it would make, by an earlier try or somebody else
        since the plan was made. What is left INVALID goes first, a working copy that is another too.
        """
        step, name = task.step, found.index
        usable = found.indisvalid and found.indisready and found.indislive
        if usable:
            failure = yield from self._proved(step, name)
            if failure is None and step.proofs:
                return True, None
            if step.index is None or name != derived(step.index, NEW):
                return False, None  # theirs: the server says so
        outcome = yield from self._remove(step, name)
        if outcome.error is None:
            yield Notice(step=step, message=f"removed the unfinished index {name}")
            return False, None
        failure = explain(outcome.error, step, "clean up before", outcome)
        return False, Failure(failure.message, failure.hint, Again.LATER)

    def _proved(self, step: Step, name: str) -> Generator[Event | Pause, None, Failure | None]:
        """Whether an index that was built is what the step promises under that or its final name. Before a swap, this
        is the last moment to see that it is not.
        """
        if not step.proofs:
            return None
        last = step.proofs[-1]
        claim = Proof(schema=step.schema, index=name, table=step.table, definition=last.definition)
        verdict = yield from self._ask(proof.verify, claim)
        if verdict.problem is None:
            return None
        return Failure(verdict.problem, "Look at it with \\d in psql, then run dbopt plan again.")

    def _look_for_room(self, step: Step) -> Generator[Event | Pause, None, Failure | None]:
        """The plan has counted with the room of an hour ago, say."""
        needed = (step.estimate or {}).get("size_bytes")
        if needed is None:
            return None
        free = yield from self._ask(disk.free, step.proofs[-1].definition.tablespace if step.proofs else None)
        if free is None or needed <= free:
            return None
        return Failure(
            f"could not {Kind.BUILD.value} {step.index}: it needs some {format_bytes(int(needed))},"
            f" and {format_bytes(free)} are free on its disk",
            "Free space or name another tablespace, then run dbopt optimize again.",
        )

    def _look_for_duplicates(self, step: Step, statement: str) -> Generator[Event | Pause, None, Failure | None]:
        """A unique build that meets duplicates fails at its very end, and refuses writers before."""
        yield Progress(step=step, phase="looking for duplicates", done=None, elapsed_seconds=0.0, eta_seconds=None)
        timeout_ms = int(DUPLICATES_SECONDS * 1000)
        try:
            found = yield from self.worker.ask(lambda conn: duplicates.find(conn, statement, timeout_ms=timeout_ms))
        except pg.QueryCanceled:
            if self.interrupted() is not None:
                return given_up(step, Kind.BUILD.value, Outcome(None, interrupted=self.interrupted()))
            said = f"not all rows could be looked at for duplicates within {DUPLICATES_SECONDS:.0f} s; building"
        except psycopg.Error as exc:
            said = f"could not look for duplicates ({exc.diag.message_primary or 'the connection was lost'}); building"
        else:
            return None if found is None else duplicates.failure(step, found)
        yield Notice(step=step, message=said)
        yield from self._restore()
        return None

    def _is_gone(self, step: Step) -> Generator[Event | Pause, None, bool]:
        """Whether a partition was dropped meanwhile: then the tree can do without its index."""
        if group_of(step) == display(step.schema, step.table):
            return False
        return not (yield from self._ask(proof.table_exists, step.schema, step.table))

    def _short(
        self, task: Task, statements: tuple[str, ...], what: Kind, ended: Ended
    ) -> Generator[Event | Pause, None, Failure | None]:
        """Renames, comments, the swap of a replacement: tried again while the lock is not to be had."""
        step = task.step
        if what is Kind.DROP_TREE:
            name = target_index(statements[0])
            before = yield from self._ask(proof.find_index, step.schema, step.table, name)
            if before is None:
                return None
            if before.relkind != "I":
                return Failure(f"{name} is no index of a partitioned table", "Make the plan anew: dbopt plan.")
            ended.size_before_bytes = before.size_bytes
            waited = yield from self.obstacles.pass_by(task, what, name, self.shared.wait_seconds())
            if (failure := given_up(step, Kind.DROP.value, waited)) is not None:
                return failure
        limit, begun = self.shared.wait_seconds(), time.monotonic()
        for attempt in range(1, SHORT_TRIES + 1):
            error = self.worker.short(statements, SHORT_LOCK_TIMEOUT_MS)
            if error is None:
                return None
            may_be_done = task.tries > 1 and step.proofs and what is not Kind.DROP_TREE
            if may_be_done and (yield from self._prove(step, ended)) is None:
                return None  # the connection was lost just when it was done
            spent = attempt == SHORT_TRIES or (limit is not None and time.monotonic() - begun > limit)
            if spent or not is_transient(error) or self.interrupted() is not None:
                return explain(error, step, "change")
            yield Notice(
                step=step, message=f"the lock is not to be had within {SHORT_LOCK_TIMEOUT_MS} ms; trying again"
            )
            yield Pause(min(0.2 * attempt, 2.0))
        raise AssertionError("unreachable")

    # Sessions that may be lost

    def _restore(self) -> Generator[Event | Pause, None, None]:
        """Both sessions open, the server waited for if need be. Raises ConnectionFailed, AnotherRunner, ServerUnfit."""
        deadline: float | None = None
        pauses = iter(RECONNECT_PAUSES_SECONDS)
        while True:
            try:
                self.sessions.restore_control()
                self.worker.builder.restore()
                return
            except (ConnectionFailed, AnotherRunner) as exc:  # the runner may be our own lost session, not yet ended
                if isinstance(exc, ConnectionFailed) and exc.kind in GONE_FOR_GOOD:
                    raise
                if deadline is None:
                    deadline = time.monotonic() + RECONNECT_SECONDS
                    if self.shared.options.until is not None:
                        deadline = min(deadline, self.shared.options.until)
                    yield Notice(message="the connection was lost; waiting for the server")
                if time.monotonic() > deadline or self.interrupted() is not None:
                    raise
            yield Pause(next(pauses, RECONNECT_PAUSES_SECONDS[-1]))

    def _ask(
        self, question: Callable[Concatenate[Connection, Server, P], T], *args: P.args, **named: P.kwargs
    ) -> Generator[Event | Pause, None, T]:
        """A question to the watching session, asked once more on a new one when it was lost."""
        try:
            return question(self.sessions.control, self.sessions.server, *args, **named)
        except psycopg.OperationalError:
            if not self.sessions.control.closed:
                raise
        yield from self._restore()
        return question(self.sessions.control, self.sessions.server, *args, **named)
