"""dbopt report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, UsageError

SINCE = "7d"
STDOUT = "-"

Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="Where to write the page; - for stdout.", show_default=False),
]
Since = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="From when on: 7d, 12h, 2027-01-31, 2027-01-31T12:00Z.")
]
NoStore = Annotated[
    bool, typer.Option("--no-store", help="No history, and this reading is not kept: only how things stand.")
]


@command(
    "report",
    examples=("dbopt report --html report.html", "dbopt report --html month.html --since 30d"),
    exits={0: "the page is written", 1: "the page is written, but one of several targets could not be looked at"},
)
def report(session: Session, html: Html = None, since: Since = SINCE, no_store: NoStore = False) -> int:
    """Writes one HTML page that needs nothing else: no network, no script. It opens from disk, prints, and can be
    mailed. On it: health with remedies, each figure over time as a chart, tables, indexes, the statements that cost
    most, what optimize did and what that brought. Several targets have a part each. History is what `dbopt snapshot`
    and the other commands have left in the store. Only an earlier report is overwritten, in one step. Off a terminal it
    prints nothing, unless --format asks for it.
    """
    import time
    from datetime import UTC, datetime

    from dbopt.cli.moments import moment
    from dbopt.report import file

    if html is None:
        raise UsageError("report needs a file to write to", hint=session.call("report", "--html", "report.html"))
    path = None if html == STDOUT else Path(html)
    if path is not None:
        file.check(path)
    now = datetime.now(UTC)
    begin = moment("--since", since, now)
    if begin >= now:
        raise UsageError(f"--since {since} lies ahead", hint="Write 7d, 12h or 2027-01-31.")

    from dbopt import __version__
    from dbopt.cli.reports import Reports
    from dbopt.report.values import Page

    started = time.monotonic()
    databases = Reports(session, since=begin, uses_store=not no_store).all()

    from dbopt.render import html as render

    options = ["--html", html, *(["--since", since] if since != SINCE else [])]
    call = session.call("report", *options, specs=False)
    text = render.page(
        Page(made_at=datetime.now(UTC), version=__version__, since=begin, call=call, databases=databases)
    )
    if path is None:
        session.output.out.write(text)
    else:
        file.write(path, text)
        if session.shared.format is not None or session.output.out.terminal:
            render.write_receipt(session.output, path, text, databases, time.monotonic() - started)
    return EXIT_DONE if all(database.seen is not None for database in databases) else EXIT_ATTENTION
