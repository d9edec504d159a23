"""What the store has of a database, and the texts of statements that it has not."""

from __future__ import annotations

import contextlib
import math
from dataclasses import field
from typing import TYPE_CHECKING

import psycopg

from dbopt.history.series import length, stretches
from dbopt.metrics.spans import until_now
from dbopt.report.effects import AROUND, COMPARED, Sides
from dbopt.snapshot import texts
from dbopt.snapshot.model import Family
from dbopt.store import chronicle, clients, past, snapshots, targets
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.surroundings import Surroundings
    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.plain import Session
    from dbopt.store.records import RunRecord, StepRecord
    from dbopt.store.targets import Whose

# More than anybody reads; the newest count.
RUNS_MAX = 20
_WHOLE = (Family.TABLES, Family.INDEXES)  # of these nobody draws anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Of one database. `steps`: what each family did in stretches of equal length, by their number, up to the fresh
    reading; of what nobody draws, in all of the time. `readings`: when the server's own counters were read, and what
    had broken them off.
    """

    steps: Mapping[str, Mapping[int, Interval]] = field(default_factory=dict)
    readings: Sequence[tuple[datetime, tuple[str, ...]]] = ()
    sides: Sides = field(default_factory=Sides)
    texts: Mapping[int, str] = field(default_factory=dict)
    runs: Sequence[tuple[RunRecord, Sequence[StepRecord]]] = ()


def recall(session: Session, whose: Whose, since: datetime, fresh: Mapping[str, Part]) -> Kept:
    """One interval after the other: together, they may be a gigabyte."""
    target_id = targets.find(session, whose)
    if target_id is None:
        return Kept()
    runs = past.runs(session, target_id, since, RUNS_MAX)
    sides = Sides(runs)
    ends = chronicle.ends(session, target_id, Family.SERVER, since)
    now = fresh[Family.SERVER].taken_at
    every = length((now - (now if ends is None else ends[0])).total_seconds())
    steps: dict[str, Mapping[int, Interval]] = {}
    readings: list[tuple[datetime, tuple[str, ...]]] = []
    for family, part in fresh.items():
        begin = since - AROUND if runs and family in COMPARED else since
        found = _each(session, target_id, family, begin, part)
        if family in COMPARED:
            found = _seen_by(sides, found)
        if family == Family.SERVER:
            found = _noted(readings, found)
        within = (item for item in found if item.to_at > since)
        steps[family] = stretches(within, math.inf if family in _WHOLE else every)
    for family, items in clients.intervals(session, target_id, since).items():
        steps[family] = stretches(items, every)
    return Kept(steps=steps, readings=readings, sides=sides, texts=snapshots.texts(session, target_id), runs=runs)


def _each(session: Session, target_id: int, family: str, since: datetime, fresh: Part) -> Iterator[Interval]:
    """What is kept, and what happened since the last reading that is."""
    yield from snapshots.each_interval(session, target_id, family, since)
    yield from until_now((), snapshots.head(session, target_id, family), fresh)


def _seen_by(sides: Sides, intervals: Iterator[Interval]) -> Iterator[Interval]:
    for interval in intervals:
        sides.add(interval)
        yield interval


def _noted(readings: list[tuple[datetime, tuple[str, ...]]], intervals: Iterator[Interval]) -> Iterator[Interval]:
    for interval in intervals:
        readings.append((interval.to_at, interval.breaks))
        yield interval


def fetch_texts(conn: Connection, surroundings: Surroundings, queryids: Collection[int]) -> Mapping[int, str]:
    """Masked. An extra: without it the page shows their numbers alone."""
    if queryids:
        with contextlib.suppress(psycopg.Error, LookupError):
            return texts.fetch(conn, surroundings, queryids).texts
    return {}
