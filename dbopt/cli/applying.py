"""A plan carried out: its events to people or programs, and to the store. Imported when a plan is really applied."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dbopt.cli.interrupts import Interrupts
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE
from dbopt.optimize import planfile
from dbopt.optimize.apply import ApplyOptions, apply
from dbopt.optimize.events import Result, StepFinished
from dbopt.postgres.connect import describe
from dbopt.render.events import reporter
from dbopt.render.output import Format
from dbopt.store.ledger import Caller, Ledger
from dbopt.store.repository import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.optimize.steps import Plan
    from dbopt.spec.model import SpecSet


def read_plan(session: Session, target: Target, path: Path) -> Plan:
    """The plan of a file. Raises PlanMismatch unless it was made for this database, as it is now."""
    plan = planfile.read(path)
    with session.reading(target) as (conn, server):
        planfile.require_match(conn, server, plan)
    return plan


def carry_out(session: Session, target: Target, plan: Plan, specs: SpecSet, *, rerun: str) -> int:
    """Applies a plan; what happens goes to whoever reads it and to the store. The exit code."""
    if not plan.steps and session.output.format is Format.TABLE:
        return EXIT_ATTENTION if plan.refused else EXIT_DONE  # the plan has said it already
    with Interrupts(session.messages) as interrupted:
        connect = session.connector(target)
        options = ApplyOptions(wait_seconds=session.settings.wait_seconds.value)
        with reporter(session.output, rerun=rerun) as shown:
            readers = [shown.handle, _ledger(session, target, specs).handle]
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
    if signum := interrupted():
        return 128 + signum
    return EXIT_DONE if all_done and not (result.failed or result.refused) else EXIT_ATTENTION


def _ledger(session: Session, target: Target, specs: SpecSet) -> Ledger:
    caller = Caller(
        command=session.command,
        target_name=target.name or describe(target.conninfo),
        role=session.role,
        spec_digest=hashlib.sha256(specs.model_dump_json().encode()).hexdigest() if specs.files else None,
    )
    return open_ledger(session.settings.store.value, caller)
