"""The values: a Snapshot of Parts of Subjects, and the Interval between two Parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from dbopt.values import dataclass


class Family(StrEnum):
    SERVER = "server"  # pg_stat_database, _bgwriter, _checkpointer, _wal, _archiver; sessions and lag as they stand
    RELATIONS = "relations"  # sums over all tables and indexes
    IO = "io"  # pg_stat_io
    STATEMENTS = "statements"  # pg_stat_statements
    TABLES = "tables"
    INDEXES = "indexes"


# The families of applications' processes begin so: dbopt/store/clients.py.
CLIENTS = "clients/"


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is counted: `counts` only grow while it lives and nobody resets them, `gauges` go up and down.

    Both stand in the order of the columns of their Part; None: not counted here, or hidden.
    """

    key: str  # within its family: an oid, a queryid
    name: str  # for people
    counts: tuple[float | None, ...]
    gauges: tuple[float | None, ...] = ()
    since: datetime | None = None  # from when its counters count; None: not told
    identity: str = ""  # differs where another thing has taken the key


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One family at one moment. `taken_at` by the server's clock."""

    family: str
    taken_at: datetime
    lineage: str  # of the machine that counts: a promoted standby has counters of its own
    counts: tuple[str, ...]
    gauges: tuple[str, ...] = ()
    subjects: Mapping[str, Subject] = field(default_factory=dict)
    of_database: tuple[float | None, ...] = ()  # counters that only a reset of the whole database makes fall
    levels: Mapping[str, float] = field(default_factory=dict)  # how things stand: connections, lag
    has_own_since: bool = False  # `since` of a subject is its birth, not a reset that it shares with others
    since: datetime | None = None  # the last time that all of it was started anew
    remembers: datetime | None = None  # the oldest thing that these statistics know of, so nothing erased them later
    evictions: int | None = None  # how often subjects were dropped to make room, since `since`; None: not told
    source: str = ""  # who counts, where others would count otherwise: a version of an extension
    database_oid: int | None = None  # another one: another database has the name
    machine: tuple[datetime | None, ...] = ()  # since when the server's own counters count; no two machines agree
    asked_at: float | None = None  # by our own clock, in seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`missing`: families that could not be had, with the reason and what to type."""

    parts: Mapping[Family, Part]
    missing: Mapping[Family, tuple[str, str | None]] = field(default_factory=dict)

    @property
    def taken_at(self) -> datetime:
        return self.parts[Family.SERVER].taken_at


@dataclass(frozen=True, slots=True)
class Change:
    """What one subject did within an interval: counts grew by, gauges moved by (signed).

    `lost_seconds`: how much of the interval nobody can tell about, as the counters were started anew in it. `untimed`:
    what of the counts was counted in time that is lost, as nobody knows when within it: part of a sum, not of a rate.
    """

    key: str
    name: str
    counts: tuple[float | None, ...]
    gauges: tuple[float | None, ...] = ()
    lost_seconds: float = 0.0
    untimed: tuple[float | None, ...] = ()  # empty: nothing
    was: str = ""  # the key that it had before, where that has changed: an index that was rebuilt concurrently


@dataclass(frozen=True, slots=True)
class Level:
    """A level over time: `total` / `samples` is its mean."""

    total: float
    samples: int
    greatest: float

    @property
    def mean(self) -> float:
        return self.total / self.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What a family did from one moment to another. Subjects that did nothing are not in `changes`.

    `seconds` is what was watched: less than from `from_at` to `to_at` where the sum has gaps. `breaks` says in words
    what interrupted the counting. `uncounted`: of a column that was not read all the time, for how long it was not.
    """

    family: str
    from_at: datetime
    to_at: datetime
    seconds: float
    counts: tuple[str, ...]
    gauges: tuple[str, ...] = ()
    changes: Mapping[str, Change] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)
    breaks: tuple[str, ...] = ()
    uncounted: Mapping[str, float] = field(default_factory=dict)

    def count(self, key: str, name: str) -> float | None:
        """What a subject's counter grew by: 0 where it did nothing. None: not counted."""
        change = self.changes.get(key)
        if name not in self.counts:
            return None
        return 0.0 if change is None else change.counts[self.counts.index(name)]

    def seconds_of(self, key: str, name: str | None = None) -> float:
        """For how long a subject was watched; with `name`, one counter of it."""
        change = self.changes.get(key)
        lost = 0.0 if change is None else change.lost_seconds
        return max(0.0, self.seconds - lost - (0.0 if name is None else self.uncounted.get(name, 0.0)))

    def rate(self, key: str, name: str) -> float | None:
        """A subject's counter for each second that was watched. None: not counted, or never watched."""
        amount, seconds = self.count(key, name), self.seconds_of(key, name)
        if amount is None or seconds <= 0:
            return None
        change = self.changes.get(key)
        untimed = change.untimed[self.counts.index(name)] if change is not None and change.untimed else None
        return max(0.0, amount - (untimed or 0.0)) / seconds
