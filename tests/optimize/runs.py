"""Specs, plans and runs in the words of a test."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from helpers import wait_until

from dbopt.optimize.apply import ApplyOptions, apply
from dbopt.optimize.events import Notice, Result, StepFinished, Waiting
from dbopt.optimize.plan import PlanOptions, make_plan
from dbopt.postgres import connect as connecting
from dbopt.postgres.server import inspect
from dbopt.spec.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from server import Database

    from dbopt.optimize.events import Event
    from dbopt.optimize.steps import Blocker, Plan

E = TypeVar("E")

PATIENCE_SECONDS = 20.0  # what a test gives a run that shall not give up
HEAD = "spec: 1\ndomain: shop\ndefaults: {schema: public}\nindexes:\n"


class Run:
    """One run of a plan; `events` grows while it lasts."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.signum: int | None = None

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def result(self) -> Result:
        """The last event, which has to be the only one of its kind."""
        assert [type(event) for event in self.events].index(Result) == len(self.events) - 1
        last = self.events[-1]
        assert isinstance(last, Result)
        return last

    @property
    def errors(self) -> list[str]:
        """Of the steps that failed, in order."""
        return [event.error for event in self.of(StepFinished) if event.error is not None]

    @property
    def hints(self) -> list[str | None]:
        return [event.hint for event in self.of(StepFinished) if event.error is not None]

    @property
    def notices(self) -> list[str]:
        return [event.message for event in self.of(Notice)]

    @property
    def statuses(self) -> dict[str, str]:
        """What became of each index."""
        return {item.index: item.status.value for item in self.result.items}

    def blockers(self, phase: str | None = None) -> list[Blocker]:
        """Everybody who was waited for, in this phase or any."""
        return [one for event in self.of(Waiting) if phase in (None, event.phase) for one in event.blockers]

    def waits_for(self, pid: int) -> bool:
        return any(one.pid == pid for one in self.blockers())

    def assert_applied(self) -> None:
        assert self.errors == [], self.errors
        assert self.result.failed == 0


class Background(Run):
    """A run beside the test's own thread, as somebody else's dbopt would be."""

    def __init__(self, project: Project, plan: Plan, options: ApplyOptions) -> None:
        super().__init__()
        thread = ThreadPoolExecutor(max_workers=1)
        self._work = thread.submit(self._listen, project, plan, options)
        thread.shutdown(wait=False)

    def _listen(self, project: Project, plan: Plan, options: ApplyOptions) -> None:
        for event in project.events(plan, options, lambda: self.signum):
            self.events.append(event)

    @property
    def ended(self) -> bool:
        return self._work.done()

    def until_it_waits_for(self, pid: int) -> None:
        wait_until(lambda: self.waits_for(pid) or self.ended, f"waiting for pid {pid}")
        assert self.waits_for(pid), self.events

    def interrupt(self, signum: int = signal.SIGINT) -> Self:
        self.signum = signum
        return self

    def finish(self) -> Self:
        self._work.result(timeout=2 * PATIENCE_SECONDS)
        return self


class Project:
    """Specs for one database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.conninfo = database.conninfo
        self.folder = folder
        self.folder.mkdir()
        self._background: list[Background] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for run in self._background:
            if not run.ended:
                run.interrupt().finish()

    def wants(self, *entries: str) -> Self:
        """The spec's entries from now on, as they stand between braces: `name: a, table: t, keys: [b]`."""
        text = HEAD + "".join(f"  - {{why: a test, {entry}}}\n" for entry in entries)
        (self.folder / "shop.yaml").write_text(text)
        return self

    def plan(self, *, prune_foreign: bool = False) -> Plan:
        with self.session(read_only=True, statement_timeout_ms=20_000, lock_timeout_ms=2_000) as conn:
            options = PlanOptions(prune_foreign=prune_foreign)
            return make_plan(conn, inspect(conn), load([self.folder]), options=options)

    def events(self, plan: Plan, options: ApplyOptions, interrupted: Any = lambda: None) -> Any:
        return apply(plan, self.session, options=options, interrupted=interrupted)

    @property
    def session(self) -> Any:
        """Opens sessions as the command line does."""
        return partial(connecting.connect, self.conninfo, command="optimize")

    def run(self, plan: Plan | None = None, *, wait_seconds: float | None = PATIENCE_SECONDS) -> Run:
        run = Run()
        run.events += self.events(plan or self.plan(), ApplyOptions(wait_seconds=wait_seconds))
        return run

    def start(
        self,
        plan: Plan | None = None,
        *,
        wait_seconds: float | None = PATIENCE_SECONDS,
        options: ApplyOptions | None = None,
    ) -> Background:
        run = Background(self, plan or self.plan(), options or ApplyOptions(wait_seconds=wait_seconds))
        self._background.append(run)
        return run

    def assert_converges(self) -> Run:
        """One more run reaches the spec, and after it nothing is left to do."""
        run = self.run()
        run.assert_applied()
        self.assert_settled()
        return run

    def assert_settled(self) -> None:
        plan = self.plan()
        assert [step.statements for step in plan.steps] == []
        assert plan.refused == ()


def building(database: Database) -> list[tuple[int, str]]:
    """(pid, statement) of dbopt's sessions that build or drop an index right now."""
    return database.sql(
        "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        " AND application_name = 'dbopt optimize' AND query ~ '^(CREATE|DROP) ' ORDER BY pid"
    )


def builder_pid(database: Database) -> int:
    """The session that builds or drops, as soon as it does."""
    wait_until(lambda: building(database), "a build")
    [(pid, _)] = building(database)
    return pid
