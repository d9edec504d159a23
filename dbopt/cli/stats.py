"""dbopt stats."""

from __future__ import annotations

from typing import Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_DONE, EXIT_FAILED, UsageError
from dbopt.render.output import EVERYWHERE, Format
from dbopt.stats.choice import SORTS, Choice, Filter, Sort, What

LIMIT = 20  # a screenful

_LOOKS, _SHOWN = "What is looked at", "What is shown"

WhatArgument = Annotated[
    What,
    typer.Argument(
        metavar="overview|tables|indexes|schemas|coverage",
        help="One list alone; none: an overview of all.",
        show_default=False,
    ),
]
Schema = Annotated[
    list[str] | None,
    typer.Option(
        "--schema",
        metavar="NAME",
        help="Only this schema; * and ? stand for any; several times.",
        rich_help_panel=_LOOKS,
    ),
]
Table = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="NAME",
        help="Only this table, with its schema or without; * and ? stand for any; several times.",
        rich_help_panel=_LOOKS,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="The window of scans, rows read and growth: 7d, 12h, 2027-01-31, or reset; what is stored of 7d.",
        rich_help_panel=_LOOKS,
    ),
]
NoStore = Annotated[
    bool,
    typer.Option(
        "--no-store", help="Compare with no earlier reading, and keep none of this one.", rich_help_panel=_LOOKS
    ),
]
SortOption = Annotated[
    Sort | None,
    typer.Option(
        "--sort", metavar="KEY", help=f"{', '.join(Sort)}, as far as the list has them; size.", rich_help_panel=_SHOWN
    ),
]
Reverse = Annotated[
    bool, typer.Option("--reverse", help="The smallest, least or latest first.", rich_help_panel=_SHOWN)
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help=f"How many of each list; {LIMIT} for people and Prometheus, else all.",
        rich_help_panel=_SHOWN,
    ),
]
Partitions = Annotated[
    bool,
    typer.Option(
        "--partitions", help="Each partition by itself, instead of their sum under the table.", rich_help_panel=_SHOWN
    ),
]


@command(
    "stats",
    examples=("dbopt stats", "dbopt stats indexes --sort scans --reverse", "dbopt stats coverage --since 30d"),
    exits={0: "shown, whatever it says", 3: "could not do it; of several targets: of one of them"},
    formats=(*EVERYWHERE, Format.PROMETHEUS),
)
def stats(
    session: Session,
    what: WhatArgument = What.OVERVIEW,
    schema: Schema = None,
    table: Table = None,
    since: Since = None,
    no_store: NoStore = False,
    sort: SortOption = None,
    reverse: Reverse = False,
    limit: Limit = None,
    partitions: Partitions = False,
) -> int:
    """Sizes, rows, dead rows, scans and growth of tables, indexes and schemas, and index coverage: the share of rows
    that index scans found, of foreign keys with an index, of specs in place. Scans and growth are of a window, which
    stands beside them: what earlier readings in the store tell of the last 7 days, else the time since the server's
    statistics were reset. Read-only, and waits for no lock: what is locked costs its exact size (~).
    """
    if sort is not None and sort not in SORTS[what]:
        known = ", ".join(SORTS[what])
        raise UsageError(
            f"{what} cannot be sorted by {sort}",
            hint=f"Sort by {known}." if known else "Leave --sort out.",
        )

    from dbopt.cli.surveys import Options, Surveys, Unseen
    from dbopt.render.stats import write_surveys

    output = session.output
    choice = Choice(
        what=what,
        sort=sort or Sort.SIZE,
        reverse=reverse,
        partitions=partitions,
        only=Filter(tuple(schema or ()), tuple(table or ())),
    )
    options = Options(choice=choice, since=since, uses_store=not no_store, counters=output.format is Format.PROMETHEUS)
    found = Surveys(session, options).all()
    seen = [item for item in found if not isinstance(item, Unseen)]
    for item in found:
        if isinstance(item, Unseen):
            session.messages.error(item.error)
    if limit is None and output.format in (Format.TABLE, Format.PROMETHEUS):
        limit = LIMIT
    write_surveys(output, seen, choice, limit=limit, several=len(found) > 1)
    return EXIT_DONE if len(seen) == len(found) else EXIT_FAILED
