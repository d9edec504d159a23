"""What plan and optimize share: making a plan for one target, and showing it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from dbopt.render.output import Format

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.optimize.plan import PlanOptions
    from dbopt.optimize.steps import Plan
    from dbopt.spec.model import SpecSet


def load_specs(session: Session) -> SpecSet:
    from dbopt.spec.load import load

    return load(session.settings.specs.value)


def make(session: Session, target: Target, specs: SpecSet, options: PlanOptions) -> Plan:
    from dbopt.optimize.plan import make_plan

    with session.reading(target) as (conn, server):
        return make_plan(conn, server, specs, options=options)


def show(session: Session, plan: Plan, *, next_command: str) -> None:
    """On stdout in the format asked for. Of several targets each JSON document is one line."""
    from dbopt.render import json
    from dbopt.render.plan import plan_document, write_plan

    output = session.output
    if output.format is Format.JSON and len(session.targets) > 1:
        json.write_event(output.out, plan_document(plan))
    else:
        write_plan(output, plan, next_command=next_command)


def show_to_people(session: Session, plan: Plan) -> None:
    """Before it is applied: on stdout where that is for people, else on stderr, as stdout is for the result."""
    from dbopt.render.plan import write_plan

    output = session.output
    if output.format is not Format.TABLE:
        output = dataclasses.replace(output, format=Format.TABLE, out=output.err)
    write_plan(output, plan)


def flags(*, prune_foreign: bool, adopt: bool, plan_file: Path | None = None, wait: str | None = None) -> list[str]:
    """Options of optimize as they are typed."""
    words = ["--plan", str(plan_file)] if plan_file is not None else []
    words += ["--wait", wait] if wait is not None else []
    words += ["--prune-foreign"] if prune_foreign else []
    return words + (["--adopt"] if adopt else [])
