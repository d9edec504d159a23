"""The time that figures are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from dbopt.snapshot.model import Change, Interval

# SLOW_QUERY_THRESHOLD of the guide, in production; what somebody has set is `Settings.slow_threshold_ms`.
SLOW_THRESHOLD_MS = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What each family did in it. A family that was not read is missing. `slow_ms`: from which mean time on a
    statement is slow.
    """

    intervals: Mapping[str, Interval]
    slow_ms: float = SLOW_THRESHOLD_MS

    @property
    def from_at(self) -> datetime:
        return min(interval.from_at for interval in self.intervals.values())

    @property
    def to_at(self) -> datetime:
        return max(interval.to_at for interval in self.intervals.values())

    def sum(self, family: str, name: str, subject: str | None = None) -> float | None:
        """What a counter grew by: of one subject, or of all of the family. None: not counted, or not read."""
        interval = self.intervals.get(family)
        if interval is None or interval.seconds <= 0 or name not in interval.counts:
            return None
        if subject is not None:
            return interval.count(subject, name)
        at = interval.counts.index(name)
        return sum(change.counts[at] or 0.0 for change in interval.changes.values())

    def rate(self, family: str, name: str, subject: str) -> float | None:
        """The same for each second that was watched."""
        interval = self.intervals.get(family)
        return None if interval is None else interval.rate(subject, name)

    def changes(self, family: str, *names: str) -> Iterator[tuple[Change, tuple[float, ...]]]:
        """Each subject that did something, with these counters; what is not counted is 0."""
        interval = self.intervals.get(family)
        if interval is None or interval.seconds <= 0 or not set(names) <= set(interval.counts):
            return
        places = [interval.counts.index(name) for name in names]
        for change in interval.changes.values():
            yield change, tuple(change.counts[at] or 0.0 for at in places)

    def counts(self, family: str, name: str) -> bool:
        """Whether that was watched at all: nothing of it is then 0, not unknown."""
        interval = self.intervals.get(family)
        return interval is not None and interval.seconds > 0 and name in interval.counts

    def seconds(self, family: str) -> float:
        interval = self.intervals.get(family)
        return 0.0 if interval is None else interval.seconds

    def ratio(self, part: float | None, *others: float | None) -> float | None:
        """`part` of the sum of it and the others; None where that is nothing: 0/0 is no data."""
        amounts = (part, *others)
        if part is None or any(amount is None for amount in amounts):
            return None
        whole = sum(amount or 0.0 for amount in amounts)
        return part / whole if whole > 0 else None

    def level(self, name: str, family: str = Family.SERVER) -> float | None:
        """The mean of a level over the window."""
        interval = self.intervals.get(family)
        level = None if interval is None else interval.levels.get(name)
        return None if level is None else level.mean

    def greatest(self, name: str, family: str = Family.SERVER) -> float | None:
        interval = self.intervals.get(family)
        level = None if interval is None else interval.levels.get(name)
        return None if level is None else level.greatest
