"""The time that figures are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dbopt.snapshot.model import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What each family did in it. A family that was not read is missing."""

    intervals: Mapping[str, Interval]

    @property
    def from_at(self) -> datetime:
        return min(interval.from_at for interval in self.intervals.values())

    @property
    def to_at(self) -> datetime:
        return max(interval.to_at for interval in self.intervals.values())

    def sum(self, family: Family, name: str, subject: str | None = None) -> float | None:
        """What a counter grew by: of one subject, or of all of the family. None: not counted, or not read."""
        interval = self.intervals.get(family)
        if interval is None or interval.seconds <= 0 or name not in interval.counts:
            return None
        if subject is not None:
            return interval.count(subject, name)
        at = interval.counts.index(name)
        return sum(change.counts[at] or 0.0 for change in interval.changes.values())

    def rate(self, family: Family, name: str, subject: str) -> float | None:
        """The same for each second that was watched."""
        amount = self.sum(family, name, subject)
        seconds = 0.0 if amount is None else self.intervals[family].seconds_of(subject)
        return None if amount is None or seconds <= 0 else amount / seconds

    def ratio(self, part: float | None, *others: float | None) -> float | None:
        """`part` of the sum of it and the others; None where that is nothing: 0/0 is no data."""
        amounts = (part, *others)
        if part is None or any(amount is None for amount in amounts):
            return None
        whole = sum(amount or 0.0 for amount in amounts)
        return part / whole if whole > 0 else None

    def level(self, name: str) -> float | None:
        """The mean of a level over the window."""
        interval = self.intervals.get(Family.SERVER)
        level = None if interval is None else interval.levels.get(name)
        return None if level is None else level.mean

    def greatest(self, name: str) -> float | None:
        interval = self.intervals.get(Family.SERVER)
        level = None if interval is None else interval.levels.get(name)
        return None if level is None else level.greatest
