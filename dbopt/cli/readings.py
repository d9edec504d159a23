"""Readings of counters: how a command takes one, and leaves it in the store."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from dbopt.postgres.connect import describe
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot import texts
from dbopt.snapshot.collect import EVERYTHING, Collected, collect
from dbopt.snapshot.model import Family
from dbopt.store import snapshots, targets
from dbopt.store.aside import Aside
from dbopt.store.snapshots import LEAST_APART
from dbopt.store.targets import Whose
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Interval
    from dbopt.store.plain import Session as Kept

UNRECORDED = "this reading is not kept"


@dataclass(frozen=True, slots=True)
class Reader:
    """An open session on one target, for as many readings as it is asked for."""

    conn: Connection
    server: Server
    surroundings: Surroundings
    target: Target

    @property
    def place(self) -> str:
        return describe(self.target.conninfo)

    @property
    def name(self) -> str:
        """As people know the target."""
        return self.target.name or self.place

    @property
    def whose(self) -> Whose:
        return Whose.of_server(self.server, self.name)

    def read(self, families: Collection[Family] = EVERYTHING) -> Collected:
        return collect(self.conn, self.server, self.surroundings, families)


@contextlib.contextmanager
def reader(session: Session, target: Target) -> Iterator[Reader]:
    with session.reading(target) as (conn, server):
        yield Reader(conn, server, SURROUNDINGS.rows(conn, server.version)[0], target)


def leave(
    store: Aside, source: Reader, taken: Collected, *, least_apart: timedelta = LEAST_APART
) -> dict[str, Interval] | None:
    """Keep a reading, and the texts of statements that it is the first to see among the costly. Returns the intervals
    that it ends; None where there is no store, or it failed: that was one warning.
    """
    parts = list(taken.snapshot.parts.values())

    def work(kept: Kept) -> tuple[int, dict[str, Interval], set[int]]:
        made = snapshots.keep(kept, source.whose, source.name, parts, least_apart=least_apart)
        target_id = targets.find_or_add(kept, source.whose)
        return target_id, made, snapshots.queryids_with_text(kept, target_id)

    done = store.attempt(work, reading=False)
    if done is None:
        return None
    target_id, made, known = done
    part = taken.snapshot.parts.get(Family.STATEMENTS)
    wanted = [] if part is None else texts.wanted(made.get(Family.STATEMENTS), part, known)
    if wanted:
        with contextlib.suppress(psycopg.Error):  # they are an extra: the counters are kept
            found = texts.fetch(source.conn, source.surroundings, wanted)
            store.attempt(lambda kept: snapshots.keep_texts(kept, target_id, found), reading=False)
    return made
