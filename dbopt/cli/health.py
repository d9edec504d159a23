"""dbopt health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.health.verdict import FailOn

if TYPE_CHECKING:
    from dbopt.cli.session import Session

Only = Annotated[list[str] | None, typer.Option("--only", metavar="CHECK", help="Only this check; several times.")]
Skip = Annotated[list[str] | None, typer.Option("--skip", metavar="CHECK", help="Not this check; several times.")]
InGroup = Annotated[list[str] | None, typer.Option("--group", metavar="GROUP", help="Only checks of this group.")]
Listing = Annotated[bool, typer.Option("--list", help="List the checks, and look at no database.")]
Explain = Annotated[
    str | None,
    typer.Option("--explain", metavar="CHECK", help="What a check looks at, and whose limits it has."),
]
FailOnOption = Annotated[
    FailOn, typer.Option("--fail-on", metavar="warning|critical|never", help="What the exit code tells of.")
]


@command(
    "health",
    examples=("dbopt health", "dbopt health --only blocked-sessions"),
    exits={0: "nothing to report", 1: "a warning", 2: "something critical"},
)
def health(
    session: Session,
    only: Only = None,
    skip: Skip = None,
    group: InGroup = None,
    listing: Listing = False,
    explain: Explain = None,
    fail_on: FailOnOption = FailOn.WARNING,
) -> int:
    """Looks at a database once, read-only, on one connection, and says what is wrong, worst first."""
    from dbopt.health import selection
    from dbopt.health.run import Wishes, look
    from dbopt.postgres.connect import describe
    from dbopt.render import health as render

    checks = selection.select(only=only or (), skip=skip or (), groups=group or ())
    if listing:
        render.write_list(session.output, checks)
        return 0
    if explain is not None:
        render.write_explanation(session.output, selection.select(only=[explain])[0])
        return 0
    verdicts = []
    for target in session.targets:
        verdict, _ = look(
            session.connector(target),
            name=target.name,
            place=describe(target.conninfo),
            wishes=Wishes(checks=checks),
        )
        verdicts.append(verdict)
    render.write_verdicts(session.output, verdicts)
    return max(verdict.exit_code(fail_on) for verdict in verdicts)
