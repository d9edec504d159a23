"""dbopt plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.options import Adopt, PruneForeign, SpecArgument
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, UsageError

if TYPE_CHECKING:
    from dbopt.cli.session import Session
Check = Annotated[bool, typer.Option("--check", help="Exit 1 when there is anything to do, for CI.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the plan to a file too, for optimize --plan.")
]


@command(
    "plan",
    examples=("dbopt plan", "dbopt plan indexes/ --check", "dbopt plan --out plan.json"),
    exits={0: "planned; with --check: the database is as the specs say", 1: "with --check: it is not"},
)
def plan(
    session: Session,
    specs: SpecArgument = None,  # noqa: ARG001 - it is a setting, see frame
    check: Check = False,
    out: Out = None,
    prune_foreign: PruneForeign = False,
    adopt: Adopt = False,
) -> int:
    """Compares the specs with the database and shows each step that optimize would take: its SQL, the reason, what it
    would wait for and what it risks. Nothing is changed: the session is read-only, but for temporary tables, which are
    rolled back.
    """
    from dbopt.cli import plans
    from dbopt.optimize.plan import PlanOptions

    if out is not None and len(session.targets) > 1:
        raise UsageError("--out holds the plan of one target", hint="Name one with -t.")
    loaded = plans.load_specs(session)
    code = EXIT_DONE
    for target in session.targets:
        made = plans.make(session, target, loaded, PlanOptions(prune_foreign=prune_foreign, adopt=adopt))
        again = plans.flags(plans.Asked(prune_foreign=prune_foreign, adopt=adopt))
        if out is not None:
            from dbopt.optimize import planfile

            planfile.write(made, out)
            again = ["--plan", str(out)]
        plans.show(session, made, next_command=session.call("optimize", *again, specs=out is None))
        if check and made.drifted:
            code = EXIT_ATTENTION
    return code
