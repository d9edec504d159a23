"""Which stored intervals make up a time. Pure.

Readings are taken when they are taken: a time that somebody asks for begins at the reading nearest to it, and what is
shown says when that was.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.snapshot import delta

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dbopt.snapshot.model import Interval, Part

# Of a default window: less is better watched anew than looked up.
LEAST_STORED = timedelta(minutes=1)
DEFAULT_SPAN = timedelta(hours=1)
# Another process may have kept a reading while this one was reading.
_CONCURRENT = timedelta(minutes=1)


def until_now(stored: Sequence[Interval], head: Part | None, fresh: Part) -> list[Interval]:
    """With what happened since the last reading that is kept."""
    if head is None:
        return []
    if timedelta(0) <= head.taken_at - fresh.taken_at <= _CONCURRENT:
        return list(stored)
    return [*stored, delta.between(head, fresh)]


def since(intervals: Sequence[Interval], start: datetime, *, exactly: bool = False) -> list[Interval]:
    """Those from the reading nearest to `start` on; `exactly`: none that began before."""
    found = [item for item in intervals if item.from_at >= start or (not exactly and _half_within(item, start))]
    if not found and not exactly:  # all is in one interval that began long before
        found = [item for item in intervals if item.to_at > start]
    return found


def covering(intervals: Sequence[Interval], from_at: datetime, to_at: datetime) -> list[Interval]:
    """Those of which at least half lies within; else the one that the middle of that time is in."""
    found = [item for item in intervals if _overlap(item, from_at, to_at) * 2 >= item.to_at - item.from_at]
    if found:
        return found
    middle = from_at + (to_at - from_at) / 2
    return [item for item in intervals if item.from_at <= middle <= item.to_at][:1]


def _half_within(interval: Interval, start: datetime) -> bool:
    return interval.to_at - start >= start - interval.from_at


def _overlap(interval: Interval, from_at: datetime, to_at: datetime) -> timedelta:
    return max(timedelta(0), min(interval.to_at, to_at) - max(interval.from_at, from_at))
