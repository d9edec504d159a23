"""Options of the commands that look at statements: `slow-queries`, `suggest`."""

from __future__ import annotations

from typing import Annotated

import typer

SOURCE, CHOICE, SHOWN = "Where the numbers come from", "Which statements", "What is shown"

Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="From then on, by readings that are kept: 1h, 7d, 2027-01-31, reset (the last reset-metrics).",
        rich_help_panel=SOURCE,
    ),
]
MinCalls = Annotated[
    int,
    typer.Option("--min-calls", metavar="N", min=0, help="Only those called as often.", rich_help_panel=CHOICE),
]
Table = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="NAME",
        help="Only those that name this table, with its schema or without; * and ? stand for any; several times.",
        rich_help_panel=CHOICE,
    ),
]
