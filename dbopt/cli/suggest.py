"""dbopt suggest."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli.frame import command
from dbopt.cli.statement_options import SHOWN, SOURCE, MinCalls, Since, Table
from dbopt.errors import EXIT_DONE, UsageError
from dbopt.render.output import EVERYWHERE, Format
from dbopt.suggest.options import TIME_LIMIT_SECONDS, WRITE_WEIGHT

if TYPE_CHECKING:
    from dbopt.cli.session import Session
    from dbopt.suggest.options import Options

LEAST_SECONDS = 0.1  # of a sample, and of a search
_LIST, _WHERE = "Which list of indexes", "Where the spec is written"

Workload = Annotated[
    Path | None,
    typer.Option(
        "--workload",
        metavar="FILE.sql",
        help="Statements of a file instead of pg_stat_statements; - is stdin. `-- calls: 1200` and `-- time: 3.5s`"
        " before one say how much it is.",
        rich_help_panel=SOURCE,
    ),
]
SlowQuery = Annotated[
    str | None,
    typer.Option(
        "--slow-query",
        metavar="ID",
        help="One statement alone, by its queryid or fingerprint: slow-queries lists them.",
        rich_help_panel=SOURCE,
    ),
]
Sample = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="DURATION",
        help="What is at work too, looked at again and again. 30s.",
        rich_help_panel=SOURCE,
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="The server's log too, with what a timeout has canceled: csvlog, jsonlog or stderr, also .gz; - is stdin.",
        rich_help_panel=SOURCE,
    ),
]
NoStore = Annotated[
    bool,
    typer.Option("--no-store", help="Keep no reading and no suggestion, and look at none.", rich_help_panel=SOURCE),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="SIZE",
        help="What all of them together may take: 2GB, or 50% of the workload's tables.",
        rich_help_panel=_LIST,
    ),
]
MaxIndexes = Annotated[
    int | None,
    typer.Option("--max-indexes", metavar="N", min=1, help="At most so many.", rich_help_panel=_LIST),
]
WriteWeight = Annotated[
    float,
    typer.Option(
        "--write-weight",
        metavar="X",
        min=0,
        help="How much writes count: 0 reads alone, 2 each write twice.",
        rich_help_panel=_LIST,
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit",
        metavar="DURATION",
        help=f"How long to search; the best list until then; {TIME_LIMIT_SECONDS:g}s.",
        rich_help_panel=_LIST,
    ),
]
Drop = Annotated[
    bool,
    typer.Option("--drop", help="Also what may go: unused, redundant, or beaten.", rich_help_panel=_LIST),
]
Scratch = Annotated[
    str | None,
    typer.Option(
        "--scratch",
        metavar="DSN",
        help="For --drop, a copy of the database (a name: on the same server), in which indexes are dropped in a"
        " transaction that is rolled back, to see what suffers.",
        rich_help_panel=_LIST,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="FILE", help="A new spec; - is stdout.", rich_help_panel=_WHERE),
]
Update = Annotated[
    Path | None,
    typer.Option(
        "--update",
        metavar="SPEC",
        help="Add to a spec that is there; all else in it, comments too, stays as it is.",
        rich_help_panel=_WHERE,
    ),
]
Explain = Annotated[
    str | None,
    typer.Option(
        "--explain",
        metavar="NAME",
        help="One suggested index: its statements, and their plans before and after.",
        rich_help_panel=SHOWN,
    ),
]
ReviewOption = Annotated[
    bool,
    typer.Option(
        "--review",
        help="What became of suggestions that were applied: what they promised, and what is seen since.",
        rich_help_panel=SHOWN,
    ),
]


@command(
    "suggest",
    examples=(
        "dbopt suggest",
        "dbopt suggest --workload reads.sql --budget 50% -o suggested.yaml",
        "dbopt suggest --slow-query 4251964613582011654",
        "dbopt suggest --review",
    ),
    exits={0: "the list is shown or written, also if there is nothing to suggest"},
    formats=(*EVERYWHERE, Format.MARKDOWN),
)
def suggest(
    session: Session,
    workload: Workload = None,
    slow_query: SlowQuery = None,
    since: Since = None,
    sample: Sample = None,
    log: Log = None,
    no_store: NoStore = False,
    table: Table = None,
    min_calls: MinCalls = 0,
    budget: Budget = None,
    max_indexes: MaxIndexes = None,
    write_weight: WriteWeight = WRITE_WEIGHT,
    time_limit: TimeLimit = None,
    drop: Drop = False,
    scratch: Scratch = None,
    out: Out = None,
    update: Update = None,
    explain: Explain = None,
    review: ReviewOption = False,
) -> int:
    """Which indexes a workload would gain most by, all statements and what writing costs considered: as a list, and
    with -o as a spec for `dbopt optimize`. The workload is that of pg_stat_statements, over the time that slow-queries
    shows, and what has been at work for long just now. Each is proved by the planner where the extension HypoPG is
    installed, and says so where it is not. Nothing is made, dropped, analyzed or run; the role needs no more than
    pg_monitor and pg_read_all_data, and a standby will do.
    """
    given: dict[str, Any] = {
        "--workload": workload,
        "--slow-query": slow_query,
        "--since": since,
        "--sample": sample,
        "--log": log,
        "--no-store": no_store or None,
        "--table": table or None,
        "--min-calls": min_calls or None,
        "--budget": budget,
        "--max-indexes": max_indexes,
        "--write-weight": None if write_weight == WRITE_WEIGHT else write_weight,
        "--time-limit": time_limit,
        "--drop": drop or None,
        "--scratch": scratch,
        "-o": out,
        "--update": update,
        "--explain": explain,
        "--review": review or None,
    }
    _refuse(given)
    if review:
        from dbopt.cli.reviewing import show_review

        return show_review(session, out=out, update=update)

    from dbopt.cli import proposing, suggested_files, suggesting
    from dbopt.suggest.inputs import Wanted

    options = _options(budget, max_indexes, write_weight, time_limit, drop=drop)
    if slow_query is not None:
        from dbopt.cli.showing import check_id

        check_id(slow_query)
    wishes = suggesting.Wishes(
        file=workload,
        one=slow_query,
        since=None if since is None else _checked(since),
        sample_seconds=None if sample is None else _seconds("--sample", sample),
        log=log,
        wanted=Wanted(tables=tuple(table or ()), min_calls=min_calls),
        uses_store=not no_store,
    )
    suggested_files.check(out, update)
    session.target  # noqa: B018 - one: it says so where there are several
    proposing.propose(session, wishes, options, given)
    return EXIT_DONE


# What says nothing together, and why.
_CONTRADICTIONS = (
    *(
        ("--workload", other, "the workload is that of the file")
        for other in ("--slow-query", "--since", "--sample", "--log")
    ),
    *(
        ("--slow-query", other, "one statement is looked at, whatever else runs")
        for other in ("--sample", "--log", "--table", "--min-calls")
    ),
    ("--no-store", "--since", "it looks at what the store has kept"),
    ("-o", "--update", "one makes a file, the other changes one"),
    *(("--explain", other, "it shows one suggestion, and writes none") for other in ("-o", "--update")),
    *(
        ("--review", other, "it is about what was applied")
        for other in (
            *("--workload", "--slow-query", "--since", "--sample", "--log", "--no-store", "--table", "--min-calls"),
            *("--budget", "--max-indexes", "--write-weight", "--time-limit", "--drop", "--scratch", "--explain"),
        )
    ),
)


def _refuse(given: dict[str, Any]) -> None:
    for option, other, why in _CONTRADICTIONS:
        if given[option] is not None and given[other] is not None:
            raise UsageError(f"{option} and {other} contradict each other", detail=why, hint=f"Leave {other} out.")
    if given["--review"] is not None and str(given["-o"]) == "-":
        raise UsageError("--review writes its proposals to a file", hint="Name one: -o unearned.yaml.")
    if given["--scratch"] is not None and given["--drop"] is None:
        raise UsageError("--scratch is for --drop", hint="Add --drop, or leave --scratch out.")


def _options(
    budget: str | None, max_indexes: int | None, write_weight: float, time_limit: str | None, *, drop: bool
) -> Options:
    from dbopt.suggest.options import Options

    if not isfinite(write_weight):
        raise UsageError("invalid value for --write-weight", hint="1 counts reads and writes alike.")
    size_bytes, share = (None, None) if budget is None else _budget(budget)
    return Options(
        budget_bytes=size_bytes,
        budget_share=share,
        max_indexes=max_indexes,
        write_weight=write_weight,
        time_limit_seconds=TIME_LIMIT_SECONDS if time_limit is None else _seconds("--time-limit", time_limit),
        drop=drop,
    )


def _budget(text: str) -> tuple[int | None, float | None]:
    """Bytes, or a share of the tables."""
    from dbopt.units import parse_bytes

    hint = "Write 2GB, 500MB, or 50%."
    if text.strip().endswith("%"):
        number = text.strip().removesuffix("%").strip()
        try:
            share = float(number) / 100
        except ValueError:
            share = 0.0
        if not 0 < share < float("inf"):
            raise UsageError("invalid value for --budget", detail=f"expected a percentage, found {text}", hint=hint)
        return None, share
    try:
        size_bytes = parse_bytes(text)
    except ValueError as exc:
        raise UsageError("invalid value for --budget", detail=str(exc), hint=hint) from None
    if size_bytes <= 0 or text.strip().isdecimal():
        raise UsageError("invalid value for --budget", detail=f"expected a unit, found {text}", hint=hint)
    return size_bytes, None


def _checked(since: str) -> str:
    """Told before anybody connects."""
    from dbopt.cli.moments import since_or_reset

    return since_or_reset(since)


def _seconds(option: str, text: str) -> float:
    from dbopt.cli.moments import duration

    return duration(option, text, LEAST_SECONDS).total_seconds()
