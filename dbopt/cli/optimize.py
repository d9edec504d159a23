"""dbopt optimize."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.options import Adopt, PruneForeign, SpecArgument
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, UsageError

if TYPE_CHECKING:
    from dbopt.cli.session import Session
PlanFile = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE", help="Run just the plan of this file, made by plan --out.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop, as dbopt plan does.")]
Wait = Annotated[
    str | None,
    typer.Option("--wait", metavar="DURATION", help="How long one step may wait for other sessions; default 5m."),
]


@command(
    "optimize",
    examples=("dbopt optimize --dry-run", "dbopt optimize indexes/ --yes --wait 10m"),
    exits={0: "the database is as the specs say", 1: "an index was refused or could not be made, or the answer was no"},
)
def optimize(
    session: Session,
    specs: SpecArgument = None,
    plan_file: PlanFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = None,
    prune_foreign: PruneForeign = False,
    adopt: Adopt = False,
) -> int:
    """Shows the plan, asks, and carries it out without locking writers out: indexes are built and dropped
    CONCURRENTLY, each is proved valid, and one that fails does not stop the others. Ctrl-C ends the build on the
    server and removes what it leaves; the next run goes on from there.
    """
    from dbopt.cli import applying, plans
    from dbopt.cli.asking import agreed
    from dbopt.optimize.plan import PlanOptions
    from dbopt.spec.model import SpecSet

    if plan_file is not None and (specs or prune_foreign or adopt):
        raise UsageError("--plan runs just that plan", hint="Leave SPEC, --prune-foreign and --adopt out.")
    again = plans.flags(prune_foreign=prune_foreign, adopt=adopt, plan_file=plan_file, wait=wait)
    loaded = plans.load_specs(session) if plan_file is None else SpecSet()
    code = EXIT_DONE
    for target in session.targets if plan_file is None else [session.target]:
        if plan_file is not None:
            plan = applying.read_plan(session, target, plan_file)
        else:
            plan = plans.make(session, target, loaded, PlanOptions(prune_foreign=prune_foreign, adopt=adopt))
        if dry_run:
            plans.show(session, plan, next_command=session.call("optimize", *again))
            continue
        if not (yes and session.output.quiet):
            plans.show_to_people(session, plan)
        if (
            plan.steps
            and not yes
            and not agreed(session, "Apply this plan?", session.call("optimize", *again, "--yes"))
        ):
            return EXIT_ATTENTION
        code = max(code, applying.carry_out(session, target, plan, loaded, rerun=session.call("optimize", *again)))
    return code
