"""What counters did between two moments. Pure, and never negative.

A counter that fell, or that says it was started anew, is compared with zero: what it says now, it counted since then.
What it counted between the moment before and its new start, nobody knows any more; that time is `lost_seconds`, so that
rates stay right. A subject that was not there before has counted from zero. Where another machine counts now (a standby
was promoted) or the clock went backwards, nothing can be said of the time between: the interval is empty and says why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Change, Family, Interval, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from dbopt.snapshot.model import Part, Subject

# Sums of floating-point numbers may come out a little smaller when the server adds to them.
_RELATIVE_NOISE = 1e-9

OTHER_MACHINE = "another machine took over"
CLOCK_WENT_BACK = "the clock went backwards"
STARTED_ANEW = "the counters were started anew"

# The reset of a single table moves the database's time of reset, and leaves all other counters as they are.
_SHARED_SINCE = frozenset((Family.TABLES, Family.INDEXES, Family.RELATIONS))
# Their sums fall when a table is dropped, which says nothing about the others.
_SUMS = frozenset((Family.RELATIONS,))


def between(before: Part, now: Part) -> Interval:
    """Of the same family. Columns that `before` does not have count as not counted."""
    empty = Interval(
        family=now.family,
        from_at=before.taken_at,
        to_at=now.taken_at,
        seconds=0.0,
        counts=now.counts,
        gauges=now.gauges,
        levels={name: Level(value, 1, value) for name, value in now.levels.items()},
    )
    if now.lineage != before.lineage:
        return replace(empty, from_at=min(before.taken_at, now.taken_at), breaks=(OTHER_MACHINE,))
    seconds = (now.taken_at - before.taken_at).total_seconds()
    if seconds <= 0:
        return replace(empty, from_at=now.taken_at, breaks=(CLOCK_WENT_BACK,))
    comparison = _Comparison(before, now, seconds)
    changes = {}
    for key, subject in now.subjects.items():
        change = comparison.change(subject)
        if change is not None:
            changes[key] = change
    for key, subject in before.subjects.items():
        if key not in now.subjects:
            change = _gone(subject, before, now)
            if change is not None:
                changes[key] = change
    breaks = (STARTED_ANEW,) if comparison.restarted else ()
    return replace(empty, seconds=seconds, changes=changes, breaks=breaks)


class _Comparison:
    """Two parts of one family that the same machine has counted."""

    def __init__(self, before: Part, now: Part, seconds: float) -> None:
        self.before = before
        self.now = now
        self.seconds = seconds
        self.counts = [before.counts.index(name) if name in before.counts else None for name in now.counts]
        self.gauges = [before.gauges.index(name) if name in before.gauges else None for name in now.gauges]
        # The most that a statement ever took falls when its entry was dropped and came again.
        self.watermark = now.gauges.index("max_exec_time_ms") if "max_exec_time_ms" in now.gauges else None
        self.whole = len(before.witness) == len(now.witness) and any(
            later < earlier for earlier, later in zip(before.witness, now.witness, strict=True)
        )
        self.restarted = False

    def change(self, subject: Subject) -> Change | None:
        """None: it did nothing."""
        earlier = self.before.subjects.get(subject.key)
        if earlier is None:
            return self._new(subject, subject.gauges)
        old_counts = [None if at is None else earlier.counts[at] for at in self.counts]
        old_gauges = [None if at is None else earlier.gauges[at] for at in self.gauges]
        gauges = tuple(
            None if value is None or old is None else value - old
            for value, old in zip(subject.gauges, old_gauges, strict=True)
        )
        if earlier.identity != subject.identity:
            return self._new(subject, gauges)
        if self._continues(subject, earlier, old_counts, old_gauges):
            counts = tuple(
                _grown(value, old, known=at is not None)
                for value, old, at in zip(subject.counts, old_counts, self.counts, strict=True)
            )
            return _unless_idle(Change(subject.key, subject.name, counts, gauges))
        self.restarted = True
        if self.now.family in _SUMS and not self._is_reset(subject, earlier):
            counts = (None,) * len(subject.counts)
            return Change(subject.key, subject.name, counts, gauges, self.seconds)
        counts = tuple(None if at is None else value for value, at in zip(subject.counts, self.counts, strict=True))
        return Change(subject.key, subject.name, counts, gauges, self._lost(subject))

    def _new(self, subject: Subject, gauges: tuple[float | None, ...]) -> Change | None:
        """Born since, as far as can be told."""
        if self.now.has_own_since and subject.since is not None and subject.since < self.before.taken_at:
            # It was there and was not seen: what it counted before the interval nobody knows.
            none: tuple[float | None, ...] = (None,) * len(subject.counts)
            return Change(subject.key, subject.name, none, gauges, self.seconds)
        return _unless_idle(Change(subject.key, subject.name, subject.counts, gauges))

    def _continues(
        self,
        subject: Subject,
        earlier: Subject,
        old_counts: Sequence[float | None],
        old_gauges: Sequence[float | None],
    ) -> bool:
        if _fell(old_counts, subject.counts):
            return False
        if subject.since == earlier.since:
            if self.watermark is not None and not self.now.has_own_since:
                old, value = old_gauges[self.watermark], subject.gauges[self.watermark]
                return old is None or value is None or value >= old
            return True
        if self.now.family in _SHARED_SINCE or subject.key == "database":
            return not self.whole
        return not self._began_within(subject)

    def _is_reset(self, subject: Subject, earlier: Subject) -> bool:
        return self.whole and subject.since != earlier.since

    def _began_within(self, subject: Subject) -> bool:
        return subject.since is None or subject.since > self.before.taken_at

    def _lost(self, subject: Subject) -> float:
        """From the moment before to the new start; unknown where the server does not tell when that was."""
        if subject.since is None or not self.before.taken_at < subject.since <= self.now.taken_at:
            return 0.0
        return (subject.since - self.before.taken_at).total_seconds()


def total(intervals: Iterable[Interval]) -> Interval | None:
    """Their sum, in the order of time. None: there are none."""
    result: Interval | None = None
    for interval in intervals:
        result = interval if result is None else added(result, interval)
    return result


def added(first: Interval, second: Interval) -> Interval:
    """Two intervals of one family as one; columns that only one of them has stay."""
    counts, gauges = _union(first.counts, second.counts), _union(first.gauges, second.gauges)
    changes = {key: _spread(change, first, counts, gauges) for key, change in first.changes.items()}
    for key, change in second.changes.items():
        later = _spread(change, second, counts, gauges)
        earlier = changes.get(key)
        changes[key] = (
            later
            if earlier is None
            else Change(
                key,
                later.name,
                tuple(map(_sum, earlier.counts, later.counts)),
                tuple(map(_sum, earlier.gauges, later.gauges)),
                earlier.lost_seconds + later.lost_seconds,
            )
        )
    levels = dict(first.levels)
    for name, level in second.levels.items():
        other = levels.get(name)
        levels[name] = (
            level
            if other is None
            else Level(other.total + level.total, other.samples + level.samples, max(other.greatest, level.greatest))
        )
    return Interval(
        family=first.family,
        from_at=min(first.from_at, second.from_at),
        to_at=max(first.to_at, second.to_at),
        seconds=first.seconds + second.seconds,
        counts=counts,
        gauges=gauges,
        changes=changes,
        levels=levels,
        breaks=_union(first.breaks, second.breaks),
    )


def _gone(subject: Subject, before: Part, now: Part) -> Change | None:
    """What it counted last nobody knows; its size is gone."""
    if now.family == Family.STATEMENTS:
        return None
    old = [before.gauges.index(name) if name in before.gauges else None for name in now.gauges]
    values = [None if at is None else subject.gauges[at] for at in old]
    gauges = tuple(None if value is None else -value for value in values)
    return _unless_idle(Change(subject.key, subject.name, (0.0,) * len(now.counts), gauges))


def _grown(value: float | None, old: float | None, *, known: bool) -> float | None:
    if value is None or not known:
        return None
    return max(0.0, value - (old or 0.0))


def _fell(old: Iterable[float | None], new: Iterable[float | None]) -> bool:
    return any(
        before is not None and after is not None and after < before * (1 - _RELATIVE_NOISE)
        for before, after in zip(old, new, strict=True)
    )


def _unless_idle(change: Change) -> Change | None:
    return change if any(change.counts) or any(change.gauges) else None


def _spread(change: Change, interval: Interval, counts: tuple[str, ...], gauges: tuple[str, ...]) -> Change:
    if interval.counts == counts and interval.gauges == gauges:
        return change
    of_counts = dict(zip(interval.counts, change.counts, strict=True))
    of_gauges = dict(zip(interval.gauges, change.gauges, strict=True))
    return replace(
        change,
        counts=tuple(of_counts.get(name) for name in counts),
        gauges=tuple(of_gauges.get(name) for name in gauges),
    )


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return first if first == second else tuple(dict.fromkeys((*first, *second)))


def _sum(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def moments(intervals: Sequence[Interval]) -> tuple[datetime, datetime] | None:
    """From when to when they reach."""
    if not intervals:
        return None
    return min(item.from_at for item in intervals), max(item.to_at for item in intervals)
