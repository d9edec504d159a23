"""dbopt slow-queries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli.frame import Command, command
from dbopt.cli.session import Session
from dbopt.cli.statement_options import CHOICE, SHOWN, SOURCE, MinCalls, Since, Table
from dbopt.errors import EXIT_DONE, EXIT_FAILED, UsageError
from dbopt.render.output import EVERYWHERE, Format
from dbopt.workload.statements import Sort

if TYPE_CHECKING:
    from datetime import timedelta

LIMIT = 10  # a screenful, each with what was found about it
LEAST_SECONDS = 0.1  # between two readings, and of a sample
ANALYZE_TIMEOUT = "30s"  # as every statement of dbopt has: connect.STATEMENT_TIMEOUT_MS
_ONE = "Of one statement: show ID"
# A query id may be negative, and would be taken for an option.
_NEGATIVE = re.compile(r"-\d{3,}")

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[show ID]",
        help="One statement in depth, by its queryid or fingerprint; none: those that cost most.",
        show_default=False,
    ),
]
SortOption = Annotated[
    Sort | None,
    typer.Option("--sort", metavar="KEY", help=f"{', '.join(Sort)}; total.", rich_help_panel=SHOWN),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many statements.", rich_help_panel=SHOWN)]
MinMean = Annotated[
    str | None,
    typer.Option(
        "--min-mean",
        metavar="DURATION",
        help="Only those whose calls take as long on average. Without it: slow_queries.threshold"
        " (SLOW_QUERY_THRESHOLD, 500ms), and whatever costs 1 % of all time.",
        rich_help_panel=CHOICE,
    ),
]
User = Annotated[
    list[str] | None,
    typer.Option(
        "--user",
        metavar="ROLE",
        help="Only this role's; * and ? stand for any; several times.",
        rich_help_panel=CHOICE,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="NAME",
        help="Those of another database of the same server.",
        rich_help_panel=CHOICE,
    ),
]
Utility = Annotated[
    bool, typer.Option("--utility", help="DDL, VACUUM, COPY and the like, too.", rich_help_panel=CHOICE)
]
Own = Annotated[bool, typer.Option("--own", help="Statements of dbopt, too.", rich_help_panel=CHOICE)]
Versus = Annotated[
    str | None,
    typer.Option(
        "--vs",
        metavar="DURATION",
        help="Beside it, the same time so much earlier: what became slower or more frequent. 1d.",
        rich_help_panel=SOURCE,
    ),
]
Interval = Annotated[
    str | None,
    typer.Option("--interval", metavar="DURATION", help="Two readings so far apart, now.", rich_help_panel=SOURCE),
]
Sample = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="DURATION",
        help="Without pg_stat_statements: what is at work, looked at again and again. 30s.",
        rich_help_panel=SOURCE,
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="The server's log instead of a database: csvlog, jsonlog or stderr, also .gz; - is stdin.",
        rich_help_panel=SOURCE,
    ),
]
NoStore = Annotated[
    bool,
    typer.Option("--no-store", help="Keep no reading, text or plan, and look at none.", rich_help_panel=SOURCE),
]
NoPlans = Annotated[bool, typer.Option("--no-plans", help="Do not ask the planner.", rich_help_panel=SHOWN)]
Literals = Annotated[
    bool,
    typer.Option(
        "--show-literals",
        help="Texts as the server has them, with whatever values stand in them.",
        rich_help_panel=SHOWN,
    ),
]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch", metavar="SECONDS", min=0.5, help="Look again and again, until Ctrl-C.", rich_help_panel=SHOWN
    ),
]
Analyze = Annotated[
    bool,
    typer.Option(
        "--analyze",
        help="Run it, in a read-only transaction that is rolled back, and show real rows and times.",
        rich_help_panel=_ONE,
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--value",
        metavar="N=TEXT",
        help="For --analyze, the value of $N; N= alone is the empty text, N=NULL is NULL; several times.",
        rich_help_panel=_ONE,
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help=f"For --analyze, how long it may run; {ANALYZE_TIMEOUT}.",
        rich_help_panel=_ONE,
    ),
]


class _Command(Command):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Negative ids last, behind `--`, where they are no options. Not one that is the value of an option."""
        taking = {
            name
            for parameter in self.get_params(ctx)
            if parameter.param_type_name == "option" and not parameter.is_flag
            for name in parameter.opts
        }
        ids = [
            place
            for place, word in enumerate(args)
            if _NEGATIVE.fullmatch(word) and "--" not in args[:place] and (place == 0 or args[place - 1] not in taking)
        ]
        if ids:
            args = [
                *(word for place, word in enumerate(args) if place not in ids),
                "--",
                *(args[place] for place in ids),
            ]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


@command(
    "slow-queries",
    examples=(
        "dbopt slow-queries",
        "dbopt slow-queries --since 1h --vs 1d",
        "dbopt slow-queries show 4251964613582011654",
        "dbopt slow-queries --sample 30s",
    ),
    exits={
        0: "the statements are shown, whatever was found about them: dbopt health judges",
        3: "could not do it; of several targets, for one of them: the others are shown",
    },
    formats=(*EVERYWHERE, Format.MARKDOWN),
    form=_Command,
)
def slow_queries(
    session: Session,
    words: Words = None,
    sort: SortOption = None,
    limit: Limit = LIMIT,
    min_calls: MinCalls = 0,
    min_mean: MinMean = None,
    user: User = None,
    database: Database = None,
    table: Table = None,
    utility: Utility = False,
    own: Own = False,
    since: Since = None,
    versus: Versus = None,
    interval: Interval = None,
    sample: Sample = None,
    log: Log = None,
    no_store: NoStore = False,
    no_plans: NoPlans = False,
    show_literals: Literals = False,
    watch: Watch = None,
    analyze: Analyze = False,
    value: Values = None,
    timeout: Timeout = None,
) -> int:
    """Which statements cost most, how they are planned, what is wrong with that and what would help. Of the last
    hour, where readings of ten minutes of it are kept in the store (of one, where the counters are older than a
    day), else since the server's statistics were reset: the first line says which. One statement under several ids
    (users, lengths of IN lists) is one. Plans are for any values of the parameters, nothing is run. Texts are shown
    and kept without values. Reads only.
    """
    given: dict[str, Any] = {
        "--since": since,
        "--vs": versus,
        "--interval": interval,
        "--sample": sample,
        "--log": log,
        "--watch": watch,
        "--no-store": (no_store and log is None) or None,  # a log looks at no store anyway
        "--database": database,
        "--analyze": analyze or None,
        "--value": value or None,
        "--timeout": timeout,
        "show": _shown_id(words),
    }
    _refuse(given)
    if log is not None and session.shared.names_database:
        raise UsageError("--log connects to no database", hint="Leave -h, -p, -U, -d, -t and --all-targets out.")
    queryid = given["show"]
    if sort is Sort.CHANGE and versus is None:
        raise UsageError("--sort change compares two times", hint="Add --vs 1d.")
    ranked_by = sort or (Sort.CHANGE if versus is not None else Sort.TOTAL)

    from dbopt.workload.statements import Filter

    wanted = Filter(
        min_calls=min_calls,
        min_mean_ms=None if min_mean is None else _duration("--min-mean", min_mean, 0.0).total_seconds() * 1000,
        slow_ms=session.settings.slow_threshold_ms.value,
        users=tuple(user or ()),
        tables=tuple(table or ()),
        utility=utility,
        own=own,
    )
    if log is not None:
        from dbopt.cli.logs import show_log

        return show_log(session, log, wanted, ranked_by, limit, since=since, literals=show_literals)
    if sample is not None:
        from dbopt.cli.sampling import show_sample

        seconds = _duration("--sample", sample, LEAST_SECONDS).total_seconds()
        return show_sample(session, seconds, wanted, ranked_by, limit, plans=not no_plans, literals=show_literals)

    from dbopt.cli.observed import Wishes

    wishes = Wishes(
        filter=wanted,
        sort=ranked_by,
        limit=limit,
        since=None if since is None else _checked(since),
        versus=None if versus is None else _duration("--vs", versus, 1.0),
        interval=None if interval is None else _duration("--interval", interval, LEAST_SECONDS),
        every=watch,
        plans=not no_plans,
        uses_store=not no_store,
        literals=show_literals,
        database=database,
    )
    if queryid is not None:
        from dbopt.cli.showing import Analysis, show

        analysis = None
        if analyze:
            analysis = Analysis(
                _values(value or []), _duration("--timeout", timeout or ANALYZE_TIMEOUT, 0.001).total_seconds() * 1000
            )
        return show(session, wishes, queryid, analysis)
    return _list(session, wishes)


def _list(session: Session, wishes: Any) -> int:
    from dbopt.cli.workloads import Unseen, Workloads
    from dbopt.render.workload import write_workloads

    elsewhere = () if wishes.database is None else ("--database", wishes.database)
    with Workloads(session, wishes) as workloads:

        def write(output: Any, found: Any) -> None:
            seen = [item for item in found if not isinstance(item, Unseen)]
            for item in found:
                if isinstance(item, Unseen):
                    session.messages.error(item.error)
            write_workloads(
                output,
                seen,
                several=len(found) > 1,
                literals=wishes.literals,
                call=lambda *options, target=None: session.call(
                    "slow-queries", *options, *elsewhere, specs=False, target=target
                ),
                suggest=None
                if elsewhere  # it looks at the database that is connected to
                else lambda *options, target=None: session.call("suggest", *options, specs=False, target=target),
                sort=wishes.sort,
                event=wishes.every is not None,
            )

        if wishes.every is not None:
            from dbopt.render.redraw import redraw

            redraw(session.output, wishes.every, workloads.once, write)
        found = workloads.once()
        write(session.output, found)
    return EXIT_FAILED if any(isinstance(item, Unseen) for item in found) else EXIT_DONE


def _shown_id(words: list[str] | None) -> str | None:
    """Of `show ID`."""
    if not words:
        return None
    if words[0] != "show":
        hint = f"dbopt slow-queries show {words[0]}" if re.fullmatch(r"-?\d+|[0-9a-f]{16}", words[0]) else None
        raise UsageError(f"slow-queries has no {words[0]}", hint=hint or "show ID is all that it takes.")
    if len(words) != 2:
        raise UsageError("show takes one queryid or fingerprint", hint="dbopt slow-queries lists them.")
    return words[1]


# What says nothing together, and why; `--since` and `--vs` belong together, and a log has a since of its own.
_CONTRADICTIONS = (
    *(("--interval", other, "one looks at now, the other back") for other in ("--since", "--vs")),
    *(
        ("--sample", other, "a sample is of now, and of this database")
        for other in ("--since", "--vs", "--interval", "--log", "--watch", "--database")
    ),
    *(
        ("--log", other, "a log is read once, as it stands")
        for other in ("--vs", "--interval", "--watch", "--database")
    ),
    *(("--watch", other, "each look is compared with the one before") for other in ("--since", "--vs", "--interval")),
    *(("--no-store", other, "it looks at what the store has kept") for other in ("--since", "--vs")),
    *(("--database", other, "the store keeps the database that is connected to") for other in ("--since", "--vs")),
    *(("show", other, "ids are those of pg_stat_statements and the store") for other in ("--sample", "--log")),
    ("show", "--watch", "one statement is looked at once"),
)
# What is of use only together with another.
_NEEDS = (
    ("--analyze", "show", "dbopt slow-queries show QUERYID --analyze runs one statement."),
    ("--value", "--analyze", "Add --analyze, or leave --value out."),
    ("--timeout", "--analyze", "Add --analyze, or leave --timeout out."),
)


def _refuse(given: dict[str, Any]) -> None:
    for option, other, why in _CONTRADICTIONS:
        if given[option] is not None and given[other] is not None:
            raise UsageError(f"{option} and {other} contradict each other", detail=why, hint=f"Leave {other} out.")
    for option, other, hint in _NEEDS:
        if given[option] is not None and given[other] is None:
            raise UsageError(f"{option} is for {other}", hint=hint)


def _values(given: list[str]) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for text in given:
        number, sign, value = text.partition("=")
        number = number.removeprefix("$")
        if not sign or not number.isdecimal() or int(number) < 1:
            raise UsageError(
                "--value takes the number of a parameter and its value", hint="--value 1=42 --value 2=open"
            )
        if int(number) in found:
            raise UsageError(f"--value gives ${number} twice", hint="Leave one out.")
        found[int(number)] = None if value == "NULL" else value
    return found


def _checked(since: str) -> str:
    """Told before anybody connects."""
    from dbopt.cli.moments import since_or_reset

    return since_or_reset(since)


def _duration(option: str, text: str, least_seconds: float) -> timedelta:
    from dbopt.cli.moments import duration

    return duration(option, text, least_seconds)
