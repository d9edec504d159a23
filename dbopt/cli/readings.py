"""Readings of counters: how a command takes one, and leaves it in the store."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from dbopt.metrics.measurement import About
from dbopt.postgres.connect import apply_settings, describe
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot import texts
from dbopt.snapshot.collect import EVERYTHING, Collected, collect
from dbopt.snapshot.model import Family
from dbopt.store import snapshots, targets
from dbopt.store.aside import Aside, Needed
from dbopt.store.snapshots import LEAST_APART
from dbopt.store.targets import Whose
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.plain import Session as Kept
    from dbopt.store.retention import Policy

UNRECORDED = "this reading is not kept"


@dataclass(frozen=True, slots=True)
class Reader:
    """An open session on one target, for as many readings as it is asked for."""

    conn: Connection
    server: Server
    surroundings: Surroundings
    target: Target
    policy: Policy  # of the store, for what is kept

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


def about(source: Reader) -> About:
    """The database, for people and programs."""
    server = source.server
    return About(
        name=source.target.name,
        place=source.place,
        dbname=server.dbname,
        server_version=server.server_version,
        system_identifier=server.system_identifier,
        in_recovery=server.in_recovery,
        role=server.usename,
    )


@contextlib.contextmanager
def reader(session: Session, target: Target) -> Iterator[Reader]:
    with session.reading(target) as (conn, server):
        # With nothing else on the path, names of relations come out with their schema, whoever asks.
        apply_settings(conn, {"search_path": "pg_catalog"})
        yield Reader(conn, server, SURROUNDINGS.rows(conn, server.version)[0], target, session.retention)


def leave(
    store: Aside | Needed,
    source: Reader,
    taken: Collected,
    *,
    more: Sequence[Part] = (),
    least_apart: timedelta = LEAST_APART,
    with_texts: bool = True,
) -> dict[str, Interval] | None:
    """Keep a reading, and the texts of statements that it is the first to see among the costly; not `with_texts` where
    the caller sees to them. `more`: what somebody else said at the same moment, PgBouncer. Returns the intervals that
    it ends; None where there is no store, or it failed: that was one warning.
    """
    parts = [*taken.snapshot.parts.values(), *more]

    def work(kept: Kept) -> tuple[int, dict[str, Interval], set[int]]:
        made = snapshots.keep(kept, source.whose, source.name, parts, least_apart=least_apart, policy=source.policy)
        target_id = targets.find_or_add(kept, source.whose)
        return target_id, made, snapshots.queryids_with_text(kept, target_id)

    done = store.attempt(work, reading=False)
    if done is None:
        return None
    target_id, made, known = done
    if with_texts:
        leave_texts(store, source, taken, made.get(Family.STATEMENTS), target_id, known)
    return made


def leave_texts(
    store: Aside | Needed,
    source: Reader,
    taken: Collected,
    interval: Interval | None,
    target_id: int,
    known: Collection[int],
) -> None:
    """Keep the texts of statements that cost much and are not `known`. They are an extra: the counters are kept."""
    part = taken.snapshot.parts.get(Family.STATEMENTS)
    wanted = [] if part is None else texts.wanted(interval, part, known)
    if wanted:
        with contextlib.suppress(psycopg.Error):
            found = texts.fetch(source.conn, source.surroundings, wanted).texts
            store.attempt(lambda kept: snapshots.keep_texts(kept, target_id, found), reading=False)
