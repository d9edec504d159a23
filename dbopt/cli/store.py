"""dbopt store."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE


class Action(StrEnum):
    STATUS = "status"
    UPGRADE = "upgrade"


What = Annotated[Action, typer.Argument(metavar="status|upgrade", help="Look at the store, or bring it up to date.")]


@command(
    "store",
    examples=("dbopt store status", "dbopt store upgrade"),
    exits={0: "the store is up to date", 1: "status: its tables are missing, or of another version of dbopt"},
    database=False,
)
def store(session: Session, action: What) -> int:
    """Past runs are kept in a file of your own, or where `store:` in dbopt.yaml or DBOPT_STORE_URL says: a SQLite file,
    a PostgreSQL database, or `none`. `status` looks at it and changes nothing. `upgrade` makes its tables, or brings
    them to this version; dbopt does so by itself when it records a run.
    """
    from dbopt.render.records import Column, write_records
    from dbopt.store.repository import find_store

    with contextlib.closing(find_store(session.settings.store.value)) as opened:
        if action is Action.UPGRADE:
            opened.make_ready()
        status = opened.status()
    columns = [Column(name=name) for name in ("store", "state", "revision", "head", "runs")]
    row = [status.store, status.state, status.revision, status.head, status.runs]
    write_records(session.output, "store", "stores", columns, [row])
    return EXIT_DONE if status.revision == status.head else EXIT_ATTENTION
