"""Runs to put into a store; also for processes of their own, as tests kill some of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.optimize.events import Event, Result, RunStarted, StepFinished, StepStarted
from dbopt.optimize.steps import Action, Plan, Step, Target
from dbopt.store.ledger import Caller
from dbopt.store.repository import open_ledger, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dbopt.store.records import RunRecord, StepRecord

# The night on which clocks jump in Europe: local times would show it.
MORNING = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
CALLER = Caller(command="optimize", target_name="main", role="deployer", spec_digest="5bec")


def make_plan(steps: int = 2, **target: str | None) -> Plan:
    made = tuple(
        Step(
            action=Action.CREATE,
            index=f"orders_{number}",
            schema="app",
            table="orders",
            statements=(f'CREATE INDEX CONCURRENTLY "orders_{number}" ON "app"."orders" ("a")',),
            reason="is not there",
            domain="billing",
        )
        for number in range(1, steps + 1)
    )
    facts = {"dbname": "app", "server_version": "16.2", "system_identifier": "7000000000000000001"} | target
    return Plan(target=Target(**facts), steps=made, state="ca7a109")


def events_of(plan: Plan, *, error: str | None = None, hint: str | None = None) -> Iterator[Event]:
    """A whole run. With `error`, its last step fails."""
    total = len(plan.steps)
    yield RunStarted(plan=plan)
    for number, step in enumerate(plan.steps, start=1):
        yield StepStarted(number=number, total=total, step=step)
        done = StepFinished(number=number, total=total, step=step, seconds=1.5, size_bytes=8192)
        yield replace(done, size_bytes=None, error=error, hint=hint) if error and number == total else done
    failed = 1 if error else 0
    yield Result(applied=total - failed, failed=failed, refused=0, unchanged=3, seconds=1.5 * total, items=())


def record(
    url: str | None, events: Iterable[Event], caller: Caller = CALLER, clock: Callable[[], datetime] = lambda: MORNING
) -> int | None:
    """Record the events; the run's number, None where nothing could be recorded."""
    ledger = open_ledger(url, caller, clock=clock)
    for event in events:
        ledger.handle(event)
    return ledger.run_id


def read(url: str, run_id: int | None) -> tuple[RunRecord, list[StepRecord]]:
    assert run_id is not None
    with contextlib.closing(open_store(url)) as store:
        return store.run(run_id)


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A Python process that can import what tests can."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
