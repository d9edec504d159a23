"""`dbopt optimize --undo RUN`, and the file that makes it possible. Files lie in the folder that dbopt is run in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.optimize import undo, undo_plan

if TYPE_CHECKING:
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.optimize.steps import Plan


def run_name() -> str:
    return undo.run_name(datetime.now(UTC))


def plan(session: Session, target: Target, run: str) -> Plan:
    """What makes again the indexes that a run dropped. Raises UsageError, PlanMismatch."""
    known = undo.read(undo.find(run, Path.cwd()))
    with session.reading(target) as (conn, server):
        return undo_plan.make_plan(conn, server, known)


def write(session: Session, target: Target, made: Plan, run: str) -> Path | None:
    """Before the first drop of a plan is run. None where nothing is dropped. Raises Error."""
    if not undo.has_drops(made):
        return None
    call = session.call("optimize", "--undo", run, specs=False, target=target.name)
    with session.reading(target) as (conn, server):
        return undo.write(conn, server, made, Path.cwd(), run, now=datetime.now(UTC), call=call)
