"""The time that scans and growth are about. Pure.

Stored intervals and the one from the last stored reading to the fresh one add up; without them, the server's own
counters speak of the time since they were started anew, and of growth nobody can say anything.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.snapshot import delta
from dbopt.snapshot.model import Family
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dbopt.snapshot.model import Interval, Part

FAMILIES = (Family.SERVER, Family.TABLES, Family.INDEXES)
DEFAULT_SPAN = timedelta(days=7)
# Where nobody asked for a window, one of minutes would show every index as unused.
SHORTEST_DEFAULT = timedelta(hours=1)
_WORTH_A_WORD = timedelta(minutes=1)
# Another process may have kept a reading a moment ago, while this one was reading.
_CONCURRENT = timedelta(minutes=1)


class Basis(StrEnum):
    STORED = "stored"  # readings in the store, and the fresh one
    RESET = "reset"  # the server's counters as they stand


class Asked(StrEnum):
    DEFAULT = "default"
    RESET = "reset"  # from the last mark on, else from the server's reset on
    MOMENT = "moment"


@dataclass(frozen=True, slots=True)
class Wish:
    """`since`: from when on; None with RESET where no mark is kept: since the server's own reset."""

    asked: Asked
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store has of one family: the last reading, and the intervals that end after the wished moment."""

    head: Part | None
    intervals: Sequence[Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`from_at` None: since the server counts, and it does not tell when that began. `sums`: by family, of STORED."""

    basis: Basis
    from_at: datetime | None
    to_at: datetime
    sums: Mapping[str, Interval]
    breaks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        return None if self.from_at is None else (self.to_at - self.from_at).total_seconds()

    def count(self, family: Family, oid: int, name: str, lifetime: float) -> float | None:
        """What a counter grew by; `lifetime` is how it stands. None: nobody counted."""
        if self.basis is Basis.RESET:
            return lifetime
        interval = self.sums.get(family)
        return None if interval is None else interval.count(str(oid), name)

    def growth(self, family: Family, oid: int, *names: str) -> float | None:
        """By how much gauges moved together. None: there is no earlier reading."""
        interval = self.sums.get(family)
        if interval is None:
            return None
        change = interval.changes.get(str(oid))
        if change is None:
            return 0.0
        moved = [change.gauges[interval.gauges.index(name)] for name in names if name in interval.gauges]
        known = [amount for amount in moved if amount is not None]
        return sum(known) if known else None


def choose(wish: Wish, fresh: Mapping[str, Part], stored: Mapping[str, Stored], stats_since: datetime | None) -> Window:
    """`fresh`: the parts read just now. `stats_since`: from when on the server's counters count."""
    now = fresh[Family.TABLES].taken_at
    notes: list[str] = []
    if wish.asked is Asked.RESET and wish.since is None:
        return _since_reset(now, stats_since, notes)
    sums = {}
    for family in (Family.TABLES, Family.INDEXES):
        whole = delta.total(_intervals(stored.get(family), fresh[family]))
        if whole is not None:
            sums[str(family)] = whole
    if len(sums) < 2:
        if wish.asked is not Asked.DEFAULT:
            notes.append("no earlier reading is stored: dbopt snapshot keeps one, and so does every dbopt stats")
        return _since_reset(now, stats_since, notes)
    from_at = min(interval.from_at for interval in sums.values())
    breaks = tuple(dict.fromkeys(text for interval in sums.values() for text in interval.breaks))
    if not all(interval.seconds > 0 for interval in sums.values()):
        notes.append(f"nothing can be compared with earlier readings: {', '.join(breaks)}")
        return _since_reset(now, stats_since, notes)
    reach = now - from_at
    if wish.asked is Asked.DEFAULT and reach < SHORTEST_DEFAULT:
        if reach >= _WORTH_A_WORD:
            ago = format_duration(reach.total_seconds())
            notes.append(f"stored readings reach back {ago} only: --since 1h shows that time")
        return _since_reset(now, stats_since, notes)
    if wish.since is not None and wish.asked is Asked.MOMENT and from_at > wish.since + timedelta(minutes=1):
        notes.append("nothing older is stored")
    return Window(basis=Basis.STORED, from_at=from_at, to_at=now, sums=sums, breaks=breaks, notes=tuple(notes))


def _since_reset(now: datetime, stats_since: datetime | None, notes: Sequence[str]) -> Window:
    return Window(basis=Basis.RESET, from_at=stats_since, to_at=now, sums={}, notes=tuple(notes))


def _intervals(stored: Stored | None, fresh: Part) -> list[Interval]:
    """The stored ones, and the one from the last reading to this."""
    if stored is None or stored.head is None:
        return []
    ahead = stored.head.taken_at - fresh.taken_at
    if timedelta(0) <= ahead <= _CONCURRENT:
        return list(stored.intervals)
    return [*stored.intervals, delta.between(stored.head, fresh)]
