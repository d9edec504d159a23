"""dbopt store."""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, Error, StoreUnusable, UsageError
from dbopt.render.output import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.store.location import Location


class Action(StrEnum):
    STATUS = "status"
    UPGRADE = "upgrade"
    PRUNE = "prune"
    EXPORT = "export"


What = Annotated[
    Action,
    typer.Argument(
        metavar="|".join(Action), help="Look at the store, bring it up to date, make it smaller, or write it out."
    ),
]
OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", metavar="AGE", help="prune: drop what is older, such as 90d, 6mo, 2y."),
]
MaxSize = Annotated[
    str | None,
    typer.Option("--max-size", metavar="SIZE", help="prune: drop the oldest until the rest is no bigger: 200MB."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="prune: say what would go, and change nothing.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="export: only what is younger: 7d, 2027-01-31, 2027-01-31T12:00Z."),
]


@command(
    "store",
    examples=(
        "dbopt store status",
        "dbopt store upgrade",
        "dbopt store prune --older-than 90d --dry-run",
        "dbopt store export --since 7d",
    ),
    exits={
        0: "done; status: the store is up to date",
        1: "status: its tables are missing, or of another version of dbopt; prune: it is still bigger than asked for",
    },
    database=False,
)
def store(
    session: Session,
    action: What,
    older_than: OlderThan = None,
    max_size: MaxSize = None,
    dry_run: DryRun = False,
    since: Since = None,
) -> int:
    """Past runs and counters are kept in a file of your own, or where `store:` in dbopt.yaml or DBOPT_STORE_URL says:
    a SQLite file, a PostgreSQL database, or `none`. `status` looks at it and changes nothing. `upgrade` makes its
    tables, or brings them to this version; dbopt does so by itself when it records something. `prune` drops what is
    old, by default what `retention:` in dbopt.yaml says, and gives the room back to the disk. `export` writes
    everything as JSON, a row a line.
    """
    given: dict[Action, dict[str, Any]] = {
        Action.PRUNE: {"--older-than": older_than, "--max-size": max_size, "--dry-run": dry_run},
        Action.EXPORT: {"--since": since},
    }
    for owner, options in given.items():
        for name, value in options.items():
            if value and action is not owner:
                raise UsageError(f"{name} belongs to dbopt store {owner}", hint=f"Leave it out of {action}.")
    match action:
        case Action.STATUS | Action.UPGRADE:
            return _status(session, upgrade=action is Action.UPGRADE)
        case Action.PRUNE:
            return _prune(session, older_than, max_size, dry_run=dry_run)
        case Action.EXPORT:
            return _export(session, since)


def _status(session: Session, *, upgrade: bool) -> int:
    from dbopt.render.store import write_status
    from dbopt.store import plain, space, sqlite
    from dbopt.store.repository import State, find_store

    with contextlib.closing(find_store(session.settings.store.value)) as opened:
        if upgrade:
            opened.make_ready()
        status, location = opened.status(), opened.location
    found, size = None, None
    if status.state is State.CURRENT:
        with plain.transaction(location, reading=True, wait_seconds=sqlite.LOCK_WAIT_SECONDS) as kept:
            found = space.contents(kept)
    if status.state is not State.ABSENT:
        size = space.size_bytes(location)
    write_status(session.output, status, found, size, session.retention)
    return EXIT_DONE if status.state is State.CURRENT else EXIT_ATTENTION


def _prune(session: Session, older_than: str | None, max_size: str | None, *, dry_run: bool) -> int:
    from dbopt.config import retention as words
    from dbopt.render.store import write_pruned
    from dbopt.store.aside import PATIENCE_SECONDS
    from dbopt.store.prune import prune
    from dbopt.store.retention import Policy

    age = _value("--older-than", older_than, words.parse_age)
    size = _value("--max-size", max_size, words.parse_size)
    policy = session.retention if age is None and size is None else Policy(age or math.inf, size or math.inf)
    location = _existing(session)
    before = policy.before(datetime.now(UTC))
    done = prune(location, before=before, size_bytes=policy.size_bytes, dry_run=dry_run, wait_seconds=PATIENCE_SECONDS)
    write_pruned(session.output, location, done, dry_run=dry_run, before=before)
    if done.after_bytes > policy.size_bytes:
        session.output.note(
            "what is left is bigger than asked for: the last reading of each database, runs and statements' texts stay"
        )
        return EXIT_ATTENTION
    return EXIT_DONE


def _export(session: Session, since: str | None) -> int:
    from dbopt.cli.moments import LONG_AGO, moment
    from dbopt.render import json
    from dbopt.store import plain, sqlite
    from dbopt.store.export import records

    if session.shared.format not in (None, Format.JSON):
        raise UsageError("store export writes JSON, a row a line", hint="Leave --format out.")
    now = datetime.now(UTC)
    start = LONG_AGO if since is None else moment("--since", since, now)
    location = _existing(session)
    failure: OSError | None = None
    with plain.transaction(location, reading=True, wait_seconds=sqlite.LOCK_WAIT_SECONDS) as kept:
        for record in records(kept, start, now):
            try:
                json.write_event(session.output.out, record)
            except OSError as exc:  # of stdout: within the transaction it would count as the store's
                failure = exc
                break
    if isinstance(failure, BrokenPipeError):
        raise failure
    if failure is not None:
        raise Error("could not write to stdout", detail=failure.strerror)
    return EXIT_DONE


def _value(option: str, text: str | None, parse: Callable[[object], float]) -> float | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as exc:
        raise UsageError(f"invalid value for {option}", detail=str(exc)) from None


def _existing(session: Session) -> Location:
    """A store with something in it, brought up to date. Raises StoreUnusable where there is none yet."""
    from dbopt.store import plain
    from dbopt.store.location import require

    location = require(session.settings.store.value)
    if location.path is not None and not location.path.exists():
        raise StoreUnusable(
            f"there is no store {location} yet",
            hint="dbopt makes it with the first run or reading that it keeps: `dbopt snapshot`.",
        )
    plain.make_ready(location)
    return location
