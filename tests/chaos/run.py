"""One run: a spec applied, killed at a random moment, run once more; and what must be true then."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from helpers import wait_until
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dbopt.optimize.plan import PlanOptions, make_plan
from dbopt.optimize.steps import Action
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.spec.load import load
from tests.chaos.indexes import Index, indexes, what_misses_rows
from tests.chaos.kills import KILLS, Scene, Straggler
from tests.chaos.process import Process
from tests.chaos.world import TABLES, TEMPLATE, TREE, UNLOGGED, entries, fill, spec_text
from tests.chaos.writers import Writers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.health.standby import Node

ENDS_SECONDS = 90.0  # within which each of the two runs has to end by itself
WAIT = "5s"
JOBS_MAX = 3
TWO_IN_A_ROW = 0.2  # of all runs
STRAGGLERS = 0.4  # likewise: runs in which a transaction of up to 2 s holds up what is being built or dropped
_DELAY_SECONDS = 0.12  # after a step's begin; most take less
_START_SECONDS = 0.8  # in which a process comes to its first step
_WORKING_NAME = r"_(dbopt_(new|old)|cc(new|old)[0-9]*)$"


@dataclass
class Outcome:
    """`when`: before, during or after the steps of the plan; "missed" where there was nothing to kill."""

    number: int
    kills: list[str]
    when: str = ""
    exits: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    orphan: str | None = None
    seconds: float = 0.0
    commits: int = 0
    log: str = ""

    @property
    def kind(self) -> str:
        return " + ".join(self.kills)


class Chaos:
    """The run `number` of a seed, on a server that no other run is on."""

    def __init__(self, node: Node, conninfo: str, folder: Path, seed: int, number: int) -> None:
        self.node = node
        self.server = conninfo
        self.folder = folder / f"run-{seed}-{number}"
        self.name = f"{TEMPLATE}_{number}"
        self.conninfo = make_conninfo(conninfo, dbname=self.name)
        self.seed = f"{seed}/{number}"
        self.rng = random.Random(self.seed)
        self.entries = entries(self.rng)
        self.jobs = self.rng.randint(1, JOBS_MAX)
        kinds = list(KILLS)
        first = kinds[number % len(kinds)]  # each has its share, however few the runs
        more = [self.rng.choice([kind for kind in kinds if kind != first])] if self.rng.random() < TWO_IN_A_ROW else []
        self.outcome = Outcome(number, [first, *more])
        self.spec = self.folder / "chaos.yaml"
        self.store = folder / "store.db"
        self.processes: list[Process] = []
        self.straggler: Straggler | None = None
        self.planted: list[str] = []
        self.log_from = 0
        self.scene: Scene | None = None

    def run(self) -> Outcome:
        started = time.monotonic()
        self.log_from = (self.node.home / "log").stat().st_size
        self.folder.mkdir(parents=True)
        self.spec.write_text(spec_text(self.entries))
        try:
            self._make_database()
            before = indexes(self.conninfo)
            with Writers(self.conninfo, self.seed, lambda: self.scene is not None and self.scene.harmed) as writers:
                self._first_run(before)
                again = self._again()
            self.outcome.commits = writers.commits
            self._judge(before, again, writers)
        except Exception as exc:  # noqa: BLE001 - a run that breaks is a finding like any other
            self._problem(f"{type(exc).__name__}: {exc}")
        finally:
            for process in self.processes:
                process.close()
            if self.straggler is not None:
                self.straggler.end()
            if self.scene is not None:
                self.scene.close()
        self.outcome.seconds = time.monotonic() - started
        if self.outcome.problems:
            self._keep()
        else:
            shutil.rmtree(self.folder)
        self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name)))
        return self.outcome

    # The two runs

    def _make_database(self) -> None:
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._admin(make.format(sql.Identifier(self.name), sql.Identifier(TEMPLATE)))
        self.planted = [statement for entry in self.entries for statement in entry.planted(self.rng)]
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            for statement in (fill(UNLOGGED), f"ANALYZE {UNLOGGED}", *self.planted):
                conn.execute(statement)

    def _start(self) -> Process:
        environment = {**os.environ, "DBOPT_STORE_URL": f"sqlite:///{self.store}"}
        options = ["--yes", "--wait", WAIT, "--jobs", str(self.jobs), "--prune-foreign", "--format", "json"]
        process = Process(["optimize", str(self.spec), *options, "-d", self.conninfo], environment, self.folder)
        self.processes.append(process)
        return process

    def _first_run(self, before: dict[str, Index]) -> None:
        process = self._start()
        self.scene = scene = Scene(self.node, self.server, self.name, process.popen, self.rng)
        self._moment(process)
        steps = process.steps
        self.outcome.when = "before" if not steps else "after" if process.result else "during"
        if process.popen.poll() is not None:
            self.outcome.when = "after"
        if self.rng.random() < STRAGGLERS:
            table, seconds = self.rng.choice([one for one in TABLES if one != TREE]), self.rng.uniform(0.5, 2.0)
            self.straggler = Straggler(self.conninfo, table, seconds, writes=self.rng.random() < 0.5)
            scene.building()
        for number, name in enumerate(self.outcome.kills):
            if number:
                time.sleep(self.rng.uniform(0, 0.4))
            if not KILLS[name](scene) and number == 0 and self.outcome.when == "during":
                self.outcome.when = "missed"
        if not process.ended(ENDS_SECONDS):
            self._problem(f"the first run did not end within {ENDS_SECONDS:.0f} s")
        if "SIGKILL" in self.outcome.kills:
            self.outcome.orphan = self._orphan(scene)
        elif self._signalled(process) and (left := self._broken(before)):
            self._problem(f"a run that was interrupted has left {left}")

    def _moment(self, process: Process) -> None:
        """Until it is time: mostly within a step, sometimes before the first or after the last."""
        draw = self.rng.random()
        share, delay = self.rng.random(), self.rng.uniform(0, _DELAY_SECONDS)
        if draw < 0.08:
            process.ended(share * _START_SECONDS)
        elif draw < 0.95:
            _until(lambda: bool(process.steps) and len(process.steps) >= share * process.steps[0], process)
            process.ended(delay)
        else:
            _until(lambda: process.result is not None, process)

    def _signalled(self, process: Process) -> bool:
        """Whether it has ended as one does that was told to, and nothing else has happened to it."""
        return {*self.outcome.kills} <= {"SIGINT", "SIGTERM"} and process.popen.returncode in (130, 143)

    def _orphan(self, scene: Scene) -> str | None:
        """An index that the server builds on with nobody listening."""
        found = scene.sql(
            "SELECT query FROM pg_stat_activity WHERE datname = %(dbname)s AND state = 'active'"
            " AND application_name LIKE 'dbopt%%' AND query LIKE 'CREATE %%INDEX CONCURRENTLY%%'"
        )
        return str(re.findall(r'"([^"]+)"', found[0][0])[0]) if found else None

    def _again(self) -> Process:
        process = self._start()
        if not process.ended(ENDS_SECONDS):
            self._problem(f"the second run did not end within {ENDS_SECONDS:.0f} s")
        return process

    # What must be true then

    def _judge(self, before: dict[str, Index], again: Process, writers: Writers) -> None:
        for process in self.processes:
            process.close()
            self.outcome.exits.append(process.popen.returncode)
            starting = process.popen.returncode == -signal.SIGINT  # Python itself, not yet dbopt
            if "Traceback" in process.err and not starting:
                self._problem("a traceback: " + process.err.strip().splitlines()[-1])
        if self.outcome.exits[-1] != 0:
            self._problem(f"the second run exits {self.outcome.exits[-1]}: {_errors(again)}")
        self._problems(writers.errors, "a writer got")
        self._sessions_are_gone()
        after = indexes(self.conninfo)
        self._problems([name for name, row in after.items() if not row.usable], "INVALID:")
        self._problems([name for name in after if re.search(_WORKING_NAME, name)], "a working name:")
        self._problems(self._lost(before, after), "lost:")
        self._settled()
        self._problems(what_misses_rows(self.conninfo), "missing rows:")
        if self.outcome.orphan is not None and self.outcome.kills == ["SIGKILL"]:
            built = len(re.findall(rf'CREATE (?:UNIQUE )?INDEX CONCURRENTLY "{self.outcome.orphan}"', self._log()))
            if built != 1:
                self._problem(f"the orphaned build of {self.outcome.orphan} was started {built} times")

    def _lost(self, before: dict[str, Index], after: dict[str, Index]) -> list[str]:
        """Indexes that were of use, and that the spec neither wants away nor under another name."""
        away = {entry.name for entry in self.entries if not entry.wanted}
        renamed = {f"{entry.name}_before" for entry in self.entries if entry.origin == "renamed"}
        kept = [name for name, row in before.items() if row.usable and not re.search(_WORKING_NAME, name)]
        lost = [name for name in kept if name not in after and name not in away | renamed]
        return [*lost, *(name for name in away if name in after)]

    def _settled(self) -> None:
        """A plan finds nothing to do."""
        with connect(
            self.conninfo, command="plan", read_only=True, statement_timeout_ms=20_000, lock_timeout_ms=2_000
        ) as conn:
            plan = make_plan(conn, inspect(conn), load([self.spec]), options=PlanOptions(prune_foreign=True))
        # Emptied by a crash and written to since, it may want statistics that it could not have before.
        steps = [step for step in plan.steps if (step.action, step.table) != (Action.ANALYZE, UNLOGGED)]
        self._problems([f"{step.action} {step.index}: {step.reason}" for step in steps], "left to do:")
        self._problems([f"{item.index}: {item.error}" for item in plan.refused], "refused:")

    def _sessions_are_gone(self) -> None:
        assert self.scene is not None
        scene = self.scene
        mine = "SELECT pid, query FROM pg_stat_activity WHERE datname = %(dbname)s AND application_name LIKE 'dbopt%%'"
        try:
            wait_until(lambda: not scene.sql(mine), "the end of dbopt's sessions")
        except AssertionError:
            self._problem(f"sessions of dbopt are left: {scene.sql(mine)}")

    def _broken(self, before: dict[str, Index]) -> list[str]:
        """INVALID ones that were not there before; the top of a tree is, until its last leaf is attached."""
        now = indexes(self.conninfo)
        return [name for name, row in now.items() if not row.usable and row.relkind == "i" and name not in before]

    # Looking and telling

    def _log(self) -> str:
        """What the server has said of this database since the run began."""
        with (self.node.home / "log").open(errors="replace") as log:
            log.seek(self.log_from)
            return "".join(line for line in log if self.name in line or "LOG:  database system" in line)

    def _problem(self, words: str) -> None:
        self.outcome.problems.append(words)

    def _problems(self, found: list[str], words: str) -> None:
        if found:
            self._problem(f"{words} {'; '.join(found[:3])}{f' and {len(found) - 3} more' if len(found) > 3 else ''}")

    def _keep(self) -> None:
        """All that is known of a run that has failed."""
        self.outcome.log = str(self.folder)
        texts = {
            "planted.sql": "".join(f"{statement};\n" for statement in self.planted),
            "server.log": self._log(),
            "problems": f"{self.outcome}\njobs {self.jobs}\n" + "\n".join(self.outcome.problems) + "\n",
        }
        for number, process in enumerate(self.processes, start=1):
            texts[f"dbopt-{number}.json"] = "".join(json.dumps(event) + "\n" for event in process.events)
            texts[f"dbopt-{number}.err"] = process.err
        with contextlib.suppress(psycopg.Error):
            texts["indexes"] = "".join(f"{row.usable} {row.definition}\n" for row in indexes(self.conninfo).values())
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server, autocommit=True) as conn:
            conn.execute(statement)


def _until(condition: Callable[[], bool], process: Process) -> None:
    deadline = time.monotonic() + ENDS_SECONDS
    while not condition() and process.popen.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def _errors(process: Process) -> str:
    items = (process.result or {"items": []})["items"]
    return (
        "; ".join(f"{item['index']} {item['status']}: {item['error']}" for item in items if item["error"])
        or (process.err.strip()[-500:])
    )
