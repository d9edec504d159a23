"""dbopt history."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from datetime import datetime

LIMIT = 20  # a screenful

Run = Annotated[int | None, typer.Argument(metavar="RUN", help="The number of one run, to see its steps.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many runs, the newest first.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only runs started since: 7d, 12h, 2027-01-31, 2027-01-31T12:00Z."),
]


@command(
    "history",
    examples=("dbopt history --since 7d", "dbopt history 12"),
    exits={0: "the runs are listed, be there any or none"},
)
def history(session: Session, run: Run = None, limit: Limit = LIMIT, since: Since = None) -> int:
    """Lists past runs of optimize, those that were killed included: who, when, on which target, with what outcome. With
    RUN: each of its steps, its SQL, time, size and error. -t NAME or -d DBNAME shows the runs on that database alone.
    """
    from dbopt.render.history import write_run, write_runs
    from dbopt.store.repository import open_store

    if run is not None and (since is not None or limit != LIMIT):
        raise UsageError("--limit and --since choose among runs", hint=f"Leave them out to see run {run}.")
    start = None if since is None else _moment(since)
    with contextlib.closing(open_store(session.settings.store.value)) as store:
        if run is not None:
            write_run(session.output, *store.run(run))
            return EXIT_DONE
        found = store.runs(limit=limit + 1, since=start, names=_names(session))
    write_runs(session.output, found[:limit])
    if not found:
        session.output.note("no runs are recorded")
    elif len(found) > limit:
        session.output.note(f"there are older runs: --limit {limit * 5} shows more")
    return EXIT_DONE


def _names(session: Session) -> list[str]:
    """The targets that the call names; none: all of the store."""
    if session.shared.target:
        return session.shared.target
    given = session.target.parameters.get("dbname") if session.shared.dbname else None
    return [given.value] if given else []


def _moment(text: str) -> datetime:
    """So long ago, or a date or time; one without a zone is local."""
    from datetime import datetime, timedelta

    from dbopt.store.ledger import now
    from dbopt.units import parse_duration

    with contextlib.suppress(ValueError, OverflowError):
        return now() - timedelta(seconds=parse_duration(text))
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since takes a duration or a date, not {text}", hint="Write 7d, 12h, 2027-01-31 or 2027-01-31T12:00Z."
        ) from None
