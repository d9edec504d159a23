"""A plan carried out: its events to people or programs, and to the store. Imported when a plan is really applied."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import psycopg

from dbopt.cli import pacing, undoing
from dbopt.cli.interrupts import Interrupts
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, Error
from dbopt.optimize import planfile, served
from dbopt.optimize.apply import ApplyOptions, apply
from dbopt.optimize.events import Result, StepFinished
from dbopt.optimize.steps import ItemStatus
from dbopt.postgres.connect import describe
from dbopt.render.events import reporter
from dbopt.render.output import Format
from dbopt.store.ledger import Caller, Ledger
from dbopt.store.repository import open_ledger
from dbopt.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.optimize.steps import Plan
    from dbopt.spec.model import SpecSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What options of this one call say: `end`, by time.monotonic(), of the maintenance window."""

    end: float | None = None
    yields: bool = True
    cancel_idle_seconds: float | None = None


def read_plan(session: Session, target: Target, path: Path) -> Plan:
    """The plan of a file. Raises PlanMismatch unless it was made for this database, as it is now."""
    plan = planfile.read(path)
    with session.reading(target) as (conn, server):
        planfile.require_match(conn, server, plan)
    return plan


def carry_out(session: Session, target: Target, plan: Plan, specs: SpecSet, manners: Manners, *, rerun: str) -> int:
    """Applies a plan; what happens goes to whoever reads it and to the store. The exit code."""
    if not plan.steps and session.output.format is Format.TABLE:
        return EXIT_ATTENTION if plan.refused else EXIT_DONE  # the plan has said it already
    run = undoing.run_name()
    kept = undoing.write(session, target, plan, run)
    with Interrupts(session.messages) as interrupted:
        connect = session.connector(target)
        options = ApplyOptions(
            wait_seconds=session.settings.wait_seconds.value,
            jobs=session.settings.jobs.value,
            max_lag_seconds=session.settings.max_lag_seconds.value,
            until=manners.end,
            yields=manners.yields,
            cancel_idle_seconds=manners.cancel_idle_seconds,
            pace=pacing.pace(session, target),
        )
        with reporter(session.output, rerun=rerun) as shown:
            readers = [shown.handle, _ledger(session, target, specs, run if kept else None).handle]
            result: Result | None = None
            all_done = True  # an ANALYZE belongs to no index, so that no item of the result tells of its failure
            for event in apply(plan, connect, options=options, interrupted=interrupted):
                for reader in tuple(readers):
                    try:
                        reader(event)
                    except BrokenPipeError:
                        readers.remove(reader)  # whoever read is gone; the work is not theirs to end
                if isinstance(event, Result):
                    result = event
                elif isinstance(event, StepFinished):
                    all_done = all_done and event.error is None
    assert result is not None  # the last event of every run
    if kept is not None:
        call = session.call("optimize", "--undo", run, specs=False, target=target.name)
        if not session.output.quiet:
            session.output.err.write(f"what was dropped is in {kept.name}; to make it again: {call}\n")
    if signum := interrupted():
        return 128 + signum
    _say_what_disappoints(session, target, specs, result)
    return EXIT_DONE if all_done and not (result.failed or result.refused or result.left) else EXIT_ATTENTION


def _say_what_disappoints(session: Session, target: Target, specs: SpecSet, result: Result) -> None:
    """Indexes that were made and do not serve what they were made for. They are there, so that is no failure; `plan
    --check` calls it drift.
    """
    made = {(item.schema, item.index) for item in result.items if item.status is ItemStatus.APPLIED}
    if not made or not any(entry.serves for entry in specs.indexes):
        return
    try:
        with session.reading(target) as (conn, server):
            found = served.findings(conn, server, specs, made)
    except (Error, psycopg.Error) as exc:
        session.messages.warn(f"could not look whether the new indexes are used: {str(exc).splitlines()[0]}")
        return
    for finding in found:
        session.messages.warn(finding.message)


def _ledger(session: Session, target: Target, specs: SpecSet, name: str | None) -> Ledger:
    caller = Caller(
        command=session.command,
        target_name=target.name or describe(target.conninfo),
        role=session.role,
        name=name,
        spec_digest=hashlib.sha256(specs.model_dump_json().encode()).hexdigest() if specs.files else None,
    )
    return open_ledger(session.settings.store.value, caller)
