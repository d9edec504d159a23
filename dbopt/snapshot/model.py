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
    witness: tuple[float, ...] = ()  # counters that only a reset of the whole database makes fall
    levels: Mapping[str, float] = field(default_factory=dict)  # how things stand: connections, lag
    has_own_since: bool = False  # `since` of a subject is its birth, not a reset that it shares with others


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

    `lost_seconds`: how much of the interval nobody can tell about, as the counters were started anew in it.
    """

    key: str
    name: str
    counts: tuple[float | None, ...]
    gauges: tuple[float | None, ...] = ()
    lost_seconds: float = 0.0


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
    what interrupted the counting.
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

    def count(self, key: str, name: str) -> float | None:
        """What a subject's counter grew by: 0 where it did nothing. None: not counted."""
        change = self.changes.get(key)
        if name not in self.counts:
            return None
        return 0.0 if change is None else change.counts[self.counts.index(name)]

    def seconds_of(self, key: str) -> float:
        """For how long a subject was watched."""
        change = self.changes.get(key)
        return self.seconds if change is None else max(0.0, self.seconds - change.lost_seconds)
