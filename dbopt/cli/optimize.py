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
Jobs = Annotated[str | None, typer.Option("--jobs", "-j", metavar="N", help="Build on N tables at once; default 1.")]
MaxLag = Annotated[
    str | None,
    typer.Option("--max-lag", metavar="DURATION", help="Start no build while a streaming replica is further behind."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Start nothing that would not end by then, such as 04:00."),
]
For = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Likewise, counted from now, such as 2h.")]
NoYield = Annotated[
    bool, typer.Option("--no-yield", help="Build on when others pile up behind a lock request that a build holds up.")
]
CancelBlockers = Annotated[
    str | None,
    typer.Option(
        "--cancel-blockers",
        metavar="idle:DURATION",
        help="End sessions that are waited for and idle in a transaction for so long; without it, nobody's is.",
    ),
]
Undo = Annotated[
    str | None,
    typer.Option("--undo", metavar="RUN", help="Make again what that run dropped, from undo-RUN.sql or another file."),
]


@command(
    "optimize",
    examples=(
        "dbopt optimize --dry-run",
        "dbopt optimize indexes/ --yes --wait 10m",
        "dbopt optimize --yes --until 04:00 --jobs 2 --max-lag 30s",
    ),
    exits={
        0: "the database is as the specs say",
        1: "an index was refused, could not be made or was left for lack of time, or the answer was no",
    },
)
def optimize(
    session: Session,
    specs: SpecArgument = None,
    plan_file: PlanFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = None,
    jobs: Jobs = None,
    max_lag: MaxLag = None,
    until: Until = None,
    for_: For = None,
    no_yield: NoYield = False,
    cancel_blockers: CancelBlockers = None,
    prune_foreign: PruneForeign = False,
    adopt: Adopt = False,
    undo: Undo = None,
) -> int:
    """Shows the plan, asks, and carries it out without locking writers out: indexes are built and dropped
    CONCURRENTLY, each is proved valid, and one that fails does not stop the others. What a step would wait for is
    waited for before it starts; when that takes too long, the other tables come first. Ctrl-C ends the build on the
    server and removes what it leaves; the next run goes on from there.
    """
    from dbopt.cli import applying, plans
    from dbopt.cli.asking import agreed
    from dbopt.cli.windows import end_of_window, idle_to_end, local_now

    asked = plans.Asked(plan_file=plan_file, undo=undo, prune_foreign=prune_foreign, adopt=adopt)
    if not asked.is_of_specs and (specs or prune_foreign or adopt):
        option = "--undo" if undo is not None else "--plan"
        raise UsageError(f"{option} runs just that plan", hint="Leave SPEC, --prune-foreign and --adopt out.")
    if undo is not None and plan_file is not None:
        raise UsageError("--undo and --plan are two plans", hint="Use one of them.")
    manners = applying.Manners(
        end=end_of_window(until, for_, local_now()),
        yields=not no_yield,
        cancel_idle_seconds=idle_to_end(cancel_blockers),
    )
    again = plans.flags(
        asked,
        wait=wait,
        jobs=jobs,
        max_lag=max_lag,
        until=until,
        for_=for_,
        no_yield=no_yield,
        cancel_blockers=cancel_blockers,
    )
    rerun = session.call("optimize", *again)
    code = EXIT_DONE
    for target, plan, loaded in plans.wanted(session, asked):
        if dry_run:
            plans.show(session, plan, next_command=rerun)
            continue
        if not (yes and session.output.quiet):
            plans.show_to_people(session, plan)
        if plan.steps and not yes and not agreed(session, "Apply this plan?", f"{rerun} --yes"):
            return EXIT_ATTENTION
        code = max(code, applying.carry_out(session, target, plan, loaded, manners, rerun=rerun))
    return code
