"""dbopt reset-metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from dbopt.cli.resetting import Wishes

_WHERE, _WHAT = "Where counting begins anew", "What is reset on the server, with --server"

Baseline = Annotated[
    bool,
    typer.Option(
        "--baseline", help="Mark the start, and touch nothing on the server: the default.", rich_help_panel=_WHERE
    ),
]
OnServer = Annotated[
    bool,
    typer.Option("--server", help="Reset the server's own counters: for every reader of them.", rich_help_panel=_WHERE),
]
Client = Annotated[
    bool,
    typer.Option(
        "--client", help="What applications publish of themselves; the mark holds for it too.", rich_help_panel=_WHERE
    ),
]
Statements = Annotated[
    bool,
    typer.Option("--statements", help="pg_stat_statements, of the database of -d or -t.", rich_help_panel=_WHAT),
]
User = Annotated[
    str | None, typer.Option("--user", metavar="ROLE", help="Only statements that ROLE ran.", rich_help_panel=_WHAT)
]
Queryid = Annotated[
    list[str] | None,
    typer.Option("--queryid", metavar="ID", help="Only this statement; several times.", rich_help_panel=_WHAT),
]
Tables = Annotated[bool, typer.Option("--tables", help="Every table and index, one by one.", rich_help_panel=_WHAT)]
Table = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="NAME", help="This table and its indexes; several times.", rich_help_panel=_WHAT),
]
Database = Annotated[
    bool,
    typer.Option(
        "--database",
        help="The database, with its tables and indexes; which one, -d or -t says.",
        rich_help_panel=_WHAT,
    ),
]
Io = Annotated[bool, typer.Option("--io", help="pg_stat_io, of the whole server.", rich_help_panel=_WHAT)]
Wal = Annotated[bool, typer.Option("--wal", help="pg_stat_wal, of the whole server.", rich_help_panel=_WHAT)]
Checkpoints = Annotated[
    bool,
    typer.Option(
        "--checkpoints", help="Checkpointer and background writer, of the whole server.", rich_help_panel=_WHAT
    ),
]
All = Annotated[bool, typer.Option("--all", help="All of these, as far as the server has them.", rich_help_panel=_WHAT)]
NoStore = Annotated[
    bool,
    typer.Option("--no-store", help="Reset without keeping what the counters say: it is lost.", rich_help_panel=_WHAT),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@command(
    "reset-metrics",
    examples=("dbopt reset-metrics", "dbopt reset-metrics --server --database --yes"),
    exits={0: "counting begins anew", 1: "something could not be reset, or the answer was no"},
)
def reset_metrics(
    session: Session,
    baseline: Baseline = False,
    on_server: OnServer = False,
    client: Client = False,
    statements: Statements = False,
    user: User = None,
    queryid: Queryid = None,
    tables: Tables = False,
    table: Table = None,
    database: Database = False,
    io: Io = False,
    wal: Wal = False,
    checkpoints: Checkpoints = False,
    everything: All = False,
    no_store: NoStore = False,
    yes: Yes = False,
) -> int:
    """Keeps what every counter says in the store and marks the moment: `--since reset` counts from there. By default
    that is all, so that no other reader of the server's counters is disturbed. With --server the counters that are
    named are reset as well, after the question; what they said stays in the store, and history goes on over it.
    """
    chosen: dict[str, Any] = {
        "--statements": statements,
        "--tables": tables,
        "--table": table,
        "--database": database,
        "--io": io,
        "--wal": wal,
        "--checkpoints": checkpoints,
        "--all": everything,
    }
    named = [option for option, value in chosen.items() if value]
    _check(named, baseline=baseline, on_server=on_server, client=client, no_store=no_store)
    for option, value in (("--user", user), ("--queryid", queryid)):
        if value and not statements:
            raise UsageError(f"{option} chooses among statements", hint="Add --statements.")

    import psycopg

    from dbopt.cli import as_error, resetting
    from dbopt.cli.resetting import Wishes
    from dbopt.errors import Error
    from dbopt.render.resets import write_outcomes

    wishes = Wishes(
        named=tuple(option.removeprefix("--") for option in named if option not in ("--all", "--table")),
        everything=everything,
        user=user,
        queryids=tuple(map(_queryid, queryid or ())),
        tables=tuple(table or ()),
        keeps=not no_store,
    )
    again = session.call("reset-metrics", *_words(wishes), "--yes")
    outcomes, code = [], EXIT_DONE
    for target in session.targets_with_replicas:
        try:
            if on_server:
                outcome = resetting.reset(session, target, wishes, again=None if yes else again)
            else:
                outcome = resetting.mark(session, target)
        except (Error, psycopg.Error) as exc:  # the others have their turn all the same
            error = as_error(exc)
            if len(session.targets_with_replicas) == 1 or isinstance(exc, UsageError):
                raise error from exc
            session.messages.traceback(exc)
            session.messages.error(error)
            code = EXIT_FAILED
            continue
        if outcome is None:
            code = max(code, EXIT_ATTENTION)
            continue
        outcomes.append(outcome)
        code = max(code, outcome.exit_code)
        if outcome.signum:
            code = 128 + outcome.signum
            break
    write_outcomes(session.output, outcomes, call=session.call("metrics", "--since", "reset"))
    return code


def _check(named: list[str], *, baseline: bool, on_server: bool, client: bool, no_store: bool) -> None:
    if baseline and on_server:
        raise UsageError("--baseline and --server contradict each other", hint="Leave one of them out.")
    if named and not on_server:
        raise UsageError(
            f"{named[0]} says what to reset on the server, and a baseline resets nothing there",
            hint=f"Add --server to reset it for every reader, or leave {named[0]} out: a baseline is for all counters.",
        )
    if on_server and not named and not client:
        raise UsageError(
            "--server has to know what to reset",
            hint="Name some of --statements, --tables, --table NAME, --database, --io, --wal, --checkpoints, or --all.",
        )
    if on_server and not named:
        raise UsageError(
            "clients' own counters are not on the server", hint="Leave --server out: the mark holds for them too."
        )
    if no_store and not on_server:
        raise UsageError("--no-store and a baseline contradict each other", detail="a baseline is kept in the store")


def _queryid(text: str) -> int:
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and -(2**63) <= int(text) < 2**63:
        return int(text)
    raise UsageError(
        "invalid value for --queryid", detail=f'found "{text}"', hint="A queryid is a whole number of 64 bits."
    )


def _words(wishes: Wishes) -> list[str]:
    """The options as they are typed."""
    words = ["--server", *(f"--{name}" for name in wishes.named)]
    words += ["--all"] if wishes.everything else []
    words += ["--user", wishes.user] if wishes.user else []
    for queryid in wishes.queryids:
        words += ["--queryid", str(queryid)]
    for table in wishes.tables:
        words += ["--table", table]
    return words + ([] if wishes.keeps else ["--no-store"])
