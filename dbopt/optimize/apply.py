"""Run a plan, and nothing but that plan; tell of it as a stream of Events.

`schedule.py` says which step is next, `lane.py` does one, `obstacles.py` looks first at what would be in its way. Here
is what concerns the run as a whole: how many lanes, what is left for lack of time, what comes back, and the accounts.
One failing step does not stop the others; a server that is gone does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from dbopt.errors import ConnectionFailed, Error
from dbopt.optimize import kinds, lag
from dbopt.optimize.events import Event, Notice, Result, RunStarted, StepFinished, StepPutOff, StepStarted, Waiting
from dbopt.optimize.failures import Again, Failure
from dbopt.optimize.lane import Ended, Lane, Shared
from dbopt.optimize.pace import Built, Pace
from dbopt.optimize.patience import Patience
from dbopt.optimize.schedule import Schedule, group_of
from dbopt.optimize.sessions import Sessions
from dbopt.optimize.steps import Action, Item, ItemStatus
from dbopt.optimize.worker import POLL_SECONDS, Pause
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.schedule import Task
    from dbopt.optimize.sessions import Connect
    from dbopt.optimize.steps import Plan, Step

WAIT_SECONDS = 300.0  # the budget of each phase of waiting, unless the user says another
ROOMS_MADE = 5  # how often one step makes room for others before it is given up
MAINTENANCE_WORKERS = "max_parallel_maintenance_workers"

Turn = Generator[Event | Pause, None, Ended]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How a plan is run.

    `wait_seconds` bounds each phase of waiting for others; None waits for ever. `jobs` builds at once, on different
    tables. `yields`: a build ends when others pile up behind it. `max_lag_seconds`: no build starts while a streaming
    replica is further behind. `until`, of time.monotonic(): nothing starts that would not end by then. Sessions that
    are in the way and idle in a transaction for `cancel_idle_seconds` are ended; None: never. `pace` says how long
    builds take.
    """

    wait_seconds: float | None = WAIT_SECONDS
    jobs: int = 1
    yields: bool = True
    max_lag_seconds: float | None = None
    until: float | None = None
    cancel_idle_seconds: float | None = None
    pace: Pace | None = None


def apply(
    plan: Plan,
    connect: Connect,
    *,
    options: ApplyOptions | None = None,
    interrupted: Callable[[], int | None] = lambda: None,
) -> Iterator[Event]:
    """Run the plan's steps. `interrupted` is asked often and gives a signal's number once the user wants out.

    The last event is always a Result, unless the run could not begin: then ConnectionFailed, AnotherRunner,
    ServerUnfit, NotPermitted (to see how far replicas lag) or PlanMismatch is raised before anything was changed.
    """
    for step in plan.steps:  # all of it is ours, before the first of it runs
        kinds.groups(step.statements)
        kinds.require_settings(step.settings)
    sessions = Sessions(connect)
    try:
        yield from _Run(plan, sessions, options or ApplyOptions(), interrupted).events()
    finally:
        sessions.close()


@dataclass(slots=True)
class _Running:
    """A lane with the step that it is at. `due`: when it wants to look again, by time.monotonic()."""

    lane: Lane
    task: Task
    turn: Turn
    begun: float
    due: float = 0.0
    pause: Pause | None = None

    def is_due(self, now: float) -> bool:
        until = self.pause.until if self.pause is not None else None
        return now >= self.due or (until is not None and until.done())


class _Run:
    def __init__(
        self, plan: Plan, sessions: Sessions, options: ApplyOptions, interrupted: Callable[[], int | None]
    ) -> None:
        self.plan = plan
        self.sessions = sessions
        self.options = options
        self.interrupted = interrupted
        self.shared = Shared(sessions, options, Patience(options.wait_seconds), interrupted)
        self.schedule = Schedule(plan.steps, holds_up_others=not sessions.server.ignores_plain_builds)
        self.pace = options.pace or Pace()
        self.lag = lag.Lag(options.max_lag_seconds) if options.max_lag_seconds is not None else None
        self.started = time.monotonic()
        self.jobs = max(1, min(options.jobs, len({group_of(step) for step in plan.steps}) or 1))
        self.lanes = [Lane(self.shared, sessions.builder())]
        self.free = list(self.lanes)
        self.running: list[_Running] = []
        self.stopped: str | None = None  # why nothing more is started
        self.lagging: str | None = None  # why nothing more is built
        self.without: dict[tuple[str, str], ItemStatus] = {}  # indexes that were not made, by schema and name
        self.gone: set[tuple[str, str]] = set()  # likewise, and their tables are not there any more
        self.outcomes: dict[tuple[str, str, str], Item] = {}

    def events(self) -> Iterator[Event]:
        if self.lag is not None:
            self.lag.look(self.sessions.control, self.sessions.server)  # who may not see it is told now
        yield RunStarted(plan=self.plan)
        try:
            if self.jobs > 1:
                yield from self._open_lanes()
            while True:
                yield from self._start()
                if not self.running:
                    break
                yield from self._go_on()
        finally:
            for one in self.running:
                one.turn.close()
            for lane in self.lanes:
                lane.worker.close()
        yield self._result()

    def _open_lanes(self) -> Iterator[Event]:
        """As many as the server has room for. All of them together get the workers of one build, so that N jobs are no
        N-fold load.
        """
        while len(self.lanes) < self.jobs:
            try:
                lane = Lane(self.shared, self.sessions.builder())
            except ConnectionFailed as exc:
                reason = exc.detail or exc.message
                yield Notice(
                    message=f"only {len(self.lanes)} of {self.jobs} jobs: no more sessions to be had ({reason})"
                )
                break
            self.lanes.append(lane)
            self.free.append(lane)
        row = self.sessions.control.execute(f"SHOW {MAINTENANCE_WORKERS}").fetchone()
        share = int(row[0]) // len(self.lanes) if row is not None else 0
        for lane in self.lanes:
            lane.worker.builder.hold({MAINTENANCE_WORKERS: str(share)})

    def _start(self) -> Iterator[Event]:
        """Steps for the lanes that are free."""
        if self.stopped is None and self.interrupted() is not None:
            self.stopped = "not started: interrupted"
        if self.stopped is not None:
            for left in self.schedule.rest():
                self._note(left.step, 0.0, ItemStatus.FAILED, self.stopped)
            return
        while self.free and (task := self.schedule.take([one.task.step for one in self.running])) is not None:
            step = task.step
            part = kinds.attached(step.statements[-1]) if step.action is Action.ATTACH else None
            if part in self.without:
                self._note(step, 0.0, self.without[part], "not attached: the index of a partition is missing")
                continue
            if part in self.gone:
                if not step.proofs:
                    continue
                step = replace(step, statements=())  # the tree is whole without it, or not
            if (why := self._left(step)) is not None:
                self.without[step.schema, step.index or ""] = ItemStatus.LEFT
                self._note(step, 0.0, ItemStatus.LEFT, why)
                yield Notice(step=step, message=f"left: {why}")
                continue
            started = replace(task.started(), step=step)
            yield StepStarted(number=task.number, total=len(self.plan.steps), step=step)
            lane = self.free.pop(0)
            turn = self._turn(lane, started)
            self.running.append(_Running(lane, started, turn, time.monotonic()))

    def _turn(self, lane: Lane, task: Task) -> Turn:
        if task.step.builds and self.lag is not None and self.lagging is None:
            failure = yield from self._let_replicas_catch_up(task.step)
            if failure is not None:
                return Ended(failure)
        return (yield from lane.run(task))

    def _go_on(self) -> Iterator[Event]:
        """Each lane that has something to do, until all of them pause."""
        now = time.monotonic()
        ready = [one for one in self.running if one.is_due(now)]
        if not ready:
            soonest = min(one.due for one in self.running)
            futures = [one.pause.until for one in self.running if one.pause and one.pause.until is not None]
            if futures:
                wait(futures, timeout=max(soonest - now, 0.0), return_when=FIRST_COMPLETED)
            else:
                time.sleep(max(soonest - now, 0.0))
            return
        for one in ready:
            try:
                item = next(one.turn)
            except StopIteration as end:
                yield from self._finish(one, end.value)
            except Error as exc:  # a session is lost for good, or is none that may go on
                self.stopped = self.stopped or f"not started: {exc.message}"
                yield from self._finish(one, Ended(Failure(exc.message, exc.hint)))
            else:
                if isinstance(item, Pause):
                    one.pause, one.due = item, time.monotonic() + item.seconds
                else:
                    one.pause = None
                    yield item

    def _finish(self, one: _Running, ended: Ended) -> Iterator[Event]:
        self.running.remove(one)
        self.free.append(one.lane)
        task, step, failure = one.task, one.task.step, ended.failure
        seconds = time.monotonic() - one.begun
        if failure is not None and self._comes_back(task, failure):
            self.schedule.put_off(task, again=task.round + (failure.again is Again.LATER))
            yield StepPutOff(
                number=task.number,
                total=len(self.plan.steps),
                step=step,
                seconds=seconds,
                reason=f"{failure.message}; it comes back after the others",
            )
            return
        if failure is not None and failure.again is Again.GONE:
            self.gone.add((step.schema, step.index or ""))
            yield Notice(step=step, message="the partition is gone: nothing is left to do for it")
            failure = None
        elif failure is not None:
            self.without[step.schema, step.index or ""] = ItemStatus.FAILED
            self._note(step, seconds, ItemStatus.FAILED, failure.message)
        else:
            self._learn(step, ended)
            self._note(step, seconds, ItemStatus.APPLIED, None)
        yield StepFinished(
            number=task.number,
            total=len(self.plan.steps),
            step=step,
            seconds=seconds,
            size_bytes=ended.size_bytes,
            size_before_bytes=ended.size_before_bytes,
            built_seconds=ended.built_seconds or None,
            error=failure.message if failure else None,
            hint=failure.hint if failure else None,
        )

    def _comes_back(self, task: Task, failure: Failure) -> bool:
        if self.interrupted() is not None or self.stopped is not None:
            return False
        if failure.again is Again.YIELDED:
            return task.tries <= ROOMS_MADE
        return failure.again is Again.LATER and task.round == 1

    # What is not started

    def _left(self, step: Step) -> str | None:
        """Why there is no time for a step; None when there is."""
        if step.builds and self.lagging is not None:
            return self.lagging
        if self.options.until is None:
            return None
        remaining = self.options.until - time.monotonic()
        if remaining <= 0:
            return "no time is left for it"
        needed = self.pace.seconds(step) if step.builds else None
        if needed is not None and needed > remaining:
            return f"it would take some {format_duration(needed)}, and {format_duration(remaining)} are left"
        return None

    def _let_replicas_catch_up(self, step: Step) -> Generator[Event | Pause, None, Failure | None]:
        """Builds write much at once, which replicas have to replay."""
        assert self.lag is not None
        started = time.monotonic()
        while self.interrupted() is None:
            try:
                behind = self.lag.look(self.sessions.control, self.sessions.server)
            except psycopg.Error:
                return None  # whoever sends the next statement sees that the session is lost
            if not behind:
                return None
            waited = time.monotonic() - started
            limit = self.shared.wait_seconds()
            if limit is not None and waited > limit:
                names = ", ".join(who.application_name or f"pid {who.pid}" for who in behind)
                self.lagging = f"not started: {names} lags behind for longer than {format_duration(waited)}"
                return Failure(self.lagging, again=Again.LATER)  # and then it is left, with all other builds
            yield Waiting(step=step, phase=lag.LAG, blockers=behind, waited_seconds=waited, limit_seconds=limit)
            yield Pause(POLL_SECONDS)
        return None

    # Accounts

    def _learn(self, step: Step, ended: Ended) -> None:
        """What this build has taken says how long the next will."""
        if step.builds and step.proofs and ended.size_bytes is not None and ended.built_seconds > 0:
            estimate = step.estimate or {}
            table_bytes = estimate.get("table_bytes")
            self.pace.add(
                Built(
                    method=step.proofs[-1].definition.method,
                    size_bytes=ended.size_bytes,
                    table_bytes=int(table_bytes) if table_bytes is not None else None,
                    seconds=ended.built_seconds,
                )
            )

    def _note(self, step: Step, seconds: float, status: ItemStatus, error: str | None) -> None:
        """Add a step to its index's item. The first error stays; a later step of the same index cannot mend it."""
        if step.index is None:
            return
        key = (step.schema, step.table, step.index)
        known = self.outcomes.get(key)
        if known is not None and known.error is not None:
            status, error = known.status, known.error
        self.outcomes[key] = Item(
            index=step.index,
            schema=step.schema,
            table=step.table,
            status=status,
            seconds=seconds + (known.seconds if known is not None else 0.0),
            error=error,
        )

    def _result(self) -> Result:
        turn = {(step.schema, step.table, step.index): number for number, step in enumerate(self.plan.steps)}
        done = [item for _, item in sorted(self.outcomes.items(), key=lambda pair: turn[pair[0]])]
        return Result(
            applied=sum(item.status is ItemStatus.APPLIED for item in done),
            failed=sum(item.status is ItemStatus.FAILED for item in done),
            left=sum(item.status is ItemStatus.LEFT for item in done),
            refused=len(self.plan.refused),
            unchanged=len(self.plan.unchanged),
            seconds=time.monotonic() - self.started,
            items=(*done, *self.plan.refused, *self.plan.unchanged),
            interrupted=self.interrupted() is not None,
        )
