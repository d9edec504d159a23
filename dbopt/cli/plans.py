"""What plan and optimize share: making a plan for one target, and showing it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from dbopt.render.output import Format
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.optimize.plan import PlanOptions
    from dbopt.optimize.steps import Plan
    from dbopt.spec.model import SpecSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where a plan comes from: the specs, unless it is in a file or undoes what a run has dropped."""

    plan_file: Path | None = None
    undo: str | None = None
    prune_foreign: bool = False
    adopt: bool = False

    @property
    def is_of_specs(self) -> bool:
        return self.plan_file is None and self.undo is None


def load_specs(session: Session) -> SpecSet:
    from dbopt.spec.load import load

    return load(session.settings.specs.value)


def wanted(session: Session, asked: Asked) -> Iterator[tuple[Target, Plan, SpecSet]]:
    """The plan of each target, one after another; the specs that it is made from are empty where there are none."""
    from dbopt.optimize.plan import PlanOptions
    from dbopt.spec.model import SpecSet

    if asked.plan_file is not None:
        from dbopt.cli.applying import read_plan

        yield session.target, read_plan(session, session.target, asked.plan_file), SpecSet()
        return
    if asked.undo is not None:
        from dbopt.cli import undoing

        yield session.target, undoing.plan(session, session.target, asked.undo), SpecSet()
        return
    specs = load_specs(session)
    options = PlanOptions(prune_foreign=asked.prune_foreign, adopt=asked.adopt)
    for target in session.targets:
        yield target, make(session, target, specs, options), specs


def make(session: Session, target: Target, specs: SpecSet, options: PlanOptions) -> Plan:
    from dbopt.cli import pacing, replica_use
    from dbopt.optimize.plan import make_plan

    options = dataclasses.replace(
        options, replica_use=replica_use.read(session, target, specs), pace=pacing.pace(session, target)
    )
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


def flags(asked: Asked, **options: str | bool | None) -> list[str]:
    """Options of optimize as they are typed: those of `asked`, then others by their names."""
    words = ["--plan", str(asked.plan_file)] if asked.plan_file is not None else []
    words += ["--undo", asked.undo] if asked.undo is not None else []
    switches = {**options, "prune_foreign": asked.prune_foreign, "adopt": asked.adopt}
    for name, value in switches.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if isinstance(value, str):
            words += [flag, value]
        elif value:
            words.append(flag)
    return words
