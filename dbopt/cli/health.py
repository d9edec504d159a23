"""dbopt health."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli import completion
from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_DONE, UsageError
from dbopt.health.verdict import FailOn, exit_code
from dbopt.render.output import EVERYWHERE, Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.health.verdict import Verdict

_LOOKS, _COUNTS, _SHOWN, _CHECKS = "What is looked at", "What counts", "What is shown", "About the checks"

Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="CHECK",
        help="Only this check; several times.",
        rich_help_panel=_LOOKS,
        autocompletion=completion.checks,
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(
        "--skip",
        metavar="CHECK",
        help="Not this check; several times.",
        rich_help_panel=_LOOKS,
        autocompletion=completion.checks,
    ),
]
InGroup = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="GROUP",
        help="Only checks of this group; several times.",
        rich_help_panel=_LOOKS,
        autocompletion=completion.groups,
    ),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact", help="Measure the bloat of the suspects with pgstattuple: this reads them.", rich_help_panel=_LOOKS
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="How long one statement may take; 10s.", rich_help_panel=_LOOKS),
]
FailOnOption = Annotated[
    FailOn | None,
    typer.Option(
        "--fail-on",
        metavar="warning|critical|never",
        help="From which status on the exit code tells of it; warning.",
        rich_help_panel=_COUNTS,
    ),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="Only what is new or worse since `dbopt health --format json > FILE`.",
        rich_help_panel=_COUNTS,
    ),
]
For = Annotated[
    int | None,
    typer.Option(
        "--for",
        metavar="N",
        min=1,
        help="Only what N runs in a row have found; the store remembers them.",
        rich_help_panel=_COUNTS,
    ),
]
NoStore = Annotated[
    bool,
    typer.Option("--no-store", help="Remember nothing, and compare with no earlier run.", rich_help_panel=_COUNTS),
]
ShowAll = Annotated[
    bool, typer.Option("--all", help="Also list what is well, skipped or set aside.", rich_help_panel=_SHOWN)
]
Advice = Annotated[
    bool, typer.Option("--advice", help="Also what might be better, though nothing is wrong.", rich_help_panel=_SHOWN)
]
ShowLiterals = Annotated[
    bool,
    typer.Option("--show-literals", help="Show live statements with the values in them.", rich_help_panel=_SHOWN),
]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch", metavar="SECONDS", min=0.5, help="Look again and again, until Ctrl-C.", rich_help_panel=_SHOWN
    ),
]
FixSpec = Annotated[
    Path | None,
    typer.Option(
        "--fix-spec",
        metavar="FILE",
        help="Write the remedies of index findings as a spec for `dbopt optimize`.",
        rich_help_panel=_SHOWN,
    ),
]
Listing = Annotated[
    bool, typer.Option("--list", help="List the checks, and look at no database.", rich_help_panel=_CHECKS)
]
Explain = Annotated[
    str | None,
    typer.Option(
        "--explain",
        metavar="CHECK",
        help="What a check looks at, why, and whose limits it has; with -v its SQL too.",
        rich_help_panel=_CHECKS,
        autocompletion=completion.checks,
    ),
]


@command(
    "health",
    examples=("dbopt health", "dbopt health --group locks --format json"),
    exits={
        0: "nothing to report, or nothing from --fail-on on",
        1: "a warning",
        2: "something critical",
        3: "could not do it, or a right is missing to judge; of several targets the worst counts: 2, 1, 3, 0",
    },
    formats=(*EVERYWHERE, Format.PROMETHEUS, Format.NAGIOS),
)
def health(
    session: Session,
    only: Only = None,
    skip: Skip = None,
    group: InGroup = None,
    exact: Exact = False,
    timeout: Timeout = None,
    fail_on: FailOnOption = None,
    baseline: BaselineFile = None,
    runs: For = None,
    no_store: NoStore = False,
    show_all: ShowAll = False,
    advice: Advice = False,
    show_literals: ShowLiterals = False,
    watch: Watch = None,
    fix_spec: FixSpec = None,
    listing: Listing = False,
    explain: Explain = None,
) -> int:
    """Looks at a database once, read-only, on one connection that waits for nobody, and says what is wrong, worst
    first, with what to type. A check that lacks a right or has no data yet is `unknown`, with the GRANT that helps,
    and never ok. `health:` in dbopt.yaml sets limits, skips checks and ignores findings. What was found and counted is
    kept in the store, for --for, for rates since the last run and for `dbopt history`.
    """
    looking: dict[str, Any] = {
        "--exact": exact,
        "--timeout": timeout,
        "--fail-on": fail_on,
        "--baseline": baseline,
        "--for": runs,
        "--no-store": no_store,
        "--all": show_all,
        "--advice": advice,
        "--show-literals": show_literals,
        "--watch": watch,
        "--fix-spec": fix_spec,
    }
    if listing or explain is not None:
        _refuse("--list" if listing else "--explain", looking, "it looks at no database")
        choice = {"--explain": explain} if listing else {"--only": only, "--skip": skip, "--group": group}
        _refuse("--list" if listing else "--explain", choice, "each says which checks are meant")
        return _about_checks(session, only, skip, group, explain)
    if watch is not None:
        given = {"--fix-spec": fix_spec, "--for": runs}
        _refuse("--watch", given, "it counts no runs and writes no files")
    if no_store:
        _refuse("--no-store", {"--for": runs}, "runs in a row are counted in the store")

    from dbopt.cli.looks import Looks, Options
    from dbopt.render import health as render

    looks = Looks(
        session,
        Options(
            only=tuple(only or ()),
            skip=tuple(skip or ()),
            groups=tuple(group or ()),
            exact=exact,
            timeout=timeout,
            fail_on=fail_on,
            baseline=baseline,
            runs=runs or 1,
            uses_store=not no_store,
            records=watch is None,
            show_literals=show_literals,
        ),
    )
    if watch is not None:
        from dbopt.render.watch import watch as redraw

        redraw(session.output, watch, looks.once, advice=advice, all_checks=show_all)
    verdicts = looks.once()
    render.write_verdicts(session.output, verdicts, advice=advice, all_checks=show_all)
    if fix_spec is not None:
        _write_fixes(session, fix_spec, verdicts)
    return exit_code(verdicts)


def _about_checks(
    session: Session, only: list[str] | None, skip: list[str] | None, group: list[str] | None, explain: str | None
) -> int:
    """As the configuration has them: with a target's word, where one is named."""
    from dbopt.config import laid_over
    from dbopt.health import overrides, selection
    from dbopt.render import health_checks as render

    sections = [session.settings.health, *([session.target.health] if session.shared.target else [])]
    changes = overrides.resolve(laid_over(sections))
    if explain is not None:
        [check] = changes.over(selection.select(only=[explain]))
        render.write_explanation(session.output, check, sql=session.shared.verbose > 0)
    else:
        checks = selection.select(only=only or (), skip=skip or (), groups=group or ())
        render.write_list(session.output, changes.over(checks))
    return EXIT_DONE


def _write_fixes(session: Session, path: Path, verdicts: Sequence[Verdict]) -> None:
    from dbopt.health.fixes import write_spec

    count = write_spec(path, verdicts)
    if count:
        # dbopt did not make most of these indexes, so it has to be told that it may drop them.
        call = session.call("plan", str(path), "--prune-foreign")
        session.output.note(f"{count} remedies are in {path}; what they would do: {call}")
    else:
        session.output.note(f"there is nothing that a spec could mend: {path} was not written")


def _refuse(option: str, others: dict[str, Any], why: str) -> None:
    for other, value in others.items():
        if value not in (None, False):
            raise UsageError(f"{option} and {other} contradict each other", detail=why, hint=f"Leave {other} out.")
