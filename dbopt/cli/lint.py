"""dbopt lint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.options import SpecArgument
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, UsageError

if TYPE_CHECKING:
    from dbopt.cli.session import Session
Online = Annotated[bool, typer.Option("--online", help="Check against the database as well; it only reads.")]


@command(
    "lint",
    examples=("dbopt lint", "dbopt lint indexes/ --online"),
    exits={0: "no error among the findings", 1: "an error-level finding"},
)
def lint(
    session: Session,
    specs: SpecArgument = None,  # noqa: ARG001 - it is a setting, see frame
    online: Online = False,
) -> int:
    """Says what is wrong with specs, or looks wrong, each with file and line: keys and values of the format, names,
    what an access method cannot do, expressions that do not parse, indexes that make others redundant. With --online
    the database is asked too: tables, columns, operator classes, extensions, enum labels, and what is there already.
    """
    from dbopt.render.findings import write_findings
    from dbopt.render.words import plural
    from dbopt.spec.finding import Severity
    from dbopt.spec.lint import lint as lint_specs
    from dbopt.spec.load import load_collecting

    if session.shared.names_database and not online:
        raise UsageError("lint asks no database unless told to", hint="Add --online, or leave the database out.")
    loaded, findings = load_collecting(session.settings.specs.value)
    findings += lint_specs(loaded)
    if online:
        from dbopt.optimize.plan import online_findings

        for target in session.targets:
            with session.reading(target) as (conn, server):
                findings += online_findings(conn, server, loaded)
    findings = list(dict.fromkeys(findings))  # online, plan repeats what lint calls an error
    files = plural(len(loaded.files), "file", "files")
    write_findings(session.output, findings, checked=f"{files}, {plural(len(loaded.indexes), 'index', 'indexes')}")
    return EXIT_ATTENTION if any(finding.severity is Severity.ERROR for finding in findings) else EXIT_DONE
