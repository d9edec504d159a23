"""dbopt snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, EXIT_FAILED
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Collection

    from dbopt.cli.readings import Reader
    from dbopt.store.aside import Needed
    from dbopt.store.receipt import Receipt

Skip = Annotated[
    list[Family] | None,
    typer.Option("--skip", metavar="FAMILY", help=f"Not these: {', '.join(list(Family)[1:])}; several times."),
]


@command(
    "snapshot",
    examples=("dbopt snapshot", "dbopt snapshot --skip tables --skip indexes --format json"),
    exits={
        0: "kept",
        1: "kept, but for counters that the server did not give although it has them",
        3: "nothing was kept of one target at least: no connection, no store",
    },
)
def snapshot(session: Session, skip: Skip = None) -> int:
    """Reads every counter once, read-only, and keeps it, so that `metrics`, `stats` and `history` have numbers over
    time: a line for cron, every five minutes say. Off a terminal it prints nothing, unless --format asks for it; what
    is wrong goes to stderr. A store that cannot be written is an error here.
    """
    import psycopg

    from dbopt.cli import as_error
    from dbopt.errors import Error, StoreUnusable, UsageError
    from dbopt.render.snapshot import write_receipts
    from dbopt.store.aside import Needed

    if Family.SERVER in (skip or ()):
        raise UsageError("the family server is always read", detail="it has the clock and the resets of all others")
    store = Needed(session.settings.store.value)
    families = [family for family in Family if family not in (skip or ())]
    receipts, code = [], EXIT_DONE
    for target in session.targets_with_replicas:
        try:
            receipts.append(_take(session, target, store, families))
        except (Error, psycopg.Error) as exc:  # the others are read all the same
            error = as_error(exc)
            if isinstance(exc, StoreUnusable) or len(session.targets_with_replicas) == 1:
                raise error from exc
            session.messages.traceback(exc)
            session.messages.error(error)
            code = EXIT_FAILED
    for receipt in receipts:
        for item in receipt.items:
            if item.has_failed:
                session.messages.warn(f"{receipt.target}: {item.family} could not be read: {item.missing}")
                code = max(code, EXIT_ATTENTION)
    if session.shared.format is not None or session.output.out.terminal:
        write_receipts(session.output, receipts, str(store.location))
    return code


def _take(session: Session, target: Any, store: Needed, families: Collection[Family]) -> Receipt:
    from dbopt.cli.readings import reader

    with reader(session, target) as source:
        return take(source, store, families)


def take(source: Reader, store: Needed, families: Collection[Family]) -> Receipt:
    """One reading, kept however short the time since the last."""
    from datetime import timedelta

    from dbopt.cli.readings import leave
    from dbopt.snapshot.collect import lacking
    from dbopt.store import receipt

    taken = source.read(families)
    before = store.attempt(lambda kept: receipt.texts(kept, source.whose), reading=True)
    made = leave(store, source, taken, least_apart=timedelta(0)) or {}
    failed = [
        family for family in taken.snapshot.missing if lacking(family, source.server, source.surroundings) is None
    ]
    return store.attempt(
        lambda kept: receipt.of(
            kept, source.whose, source.name, taken.snapshot, made, texts_before=before, failed=failed
        ),
        reading=True,
    )
