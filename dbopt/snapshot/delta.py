"""What counters did between two moments. Pure, and never negative.

A counter that was started anew is compared with zero: what it says now, it counted since then. What it counted between
the moment before and its new start, nobody knows any more; that time is `lost_seconds`, so that rates stay right. A
subject that was not there before has counted from zero. Where another machine counts now (a standby was promoted) or
the clock went backwards, nothing can be said of the time between: the interval is empty and says why.

continuity.py tells what went on from what did not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.snapshot.continuity import is_less, is_other_machine, places, rule
from dbopt.snapshot.model import Change, Family, Interval, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from dbopt.snapshot.continuity import Course
    from dbopt.snapshot.model import Part, Subject

OTHER_MACHINE = "another machine took over"
OTHER_DATABASE = "another database took over the name"
OTHER_SOURCE = "the extension that counts was updated"
CLOCK_WENT_BACK = "the clock went backwards"


def between(before: Part, now: Part) -> Interval:
    """Of the same family. Columns that `before` does not have count as not counted."""
    empty = Interval(
        family=now.family,
        from_at=min(before.taken_at, now.taken_at),
        to_at=now.taken_at,
        seconds=0.0,
        counts=now.counts,
        gauges=now.gauges,
        levels={name: Level(value, 1, value) for name, value in now.levels.items()},
    )
    why = _incomparable(before, now)
    if why is not None:
        return replace(empty, breaks=(why,))
    pair = _Pair(before, now)
    changes = pair.changes()
    return replace(
        empty,
        seconds=pair.seconds,
        changes=changes,
        breaks=pair.breaks,
        uncounted={name: pair.seconds for name in now.counts if name not in before.counts},
    )


def _incomparable(before: Part, now: Part) -> str | None:
    """Why nothing can be said of the time between."""
    if now.lineage != before.lineage:
        return OTHER_MACHINE
    if now.database_oid is not None and before.database_oid is not None and now.database_oid != before.database_oid:
        return OTHER_DATABASE
    if now.taken_at <= before.taken_at:
        return CLOCK_WENT_BACK
    if is_other_machine(before, now):
        return OTHER_MACHINE
    if now.source and before.source and now.source != before.source:
        return OTHER_SOURCE
    return None


class _Pair:
    """Two parts of one family that the same machine has counted."""

    def __init__(self, before: Part, now: Part) -> None:
        self._before = before
        self._now = now
        self.seconds = (now.taken_at - before.taken_at).total_seconds()
        self._rule = rule(before, now)
        self._counts = places(before.counts, now.counts)
        self._gauges = places(before.gauges, now.gauges)
        self._breaks: dict[str, None] = dict.fromkeys(self._rule.breaks)

    @property
    def breaks(self) -> tuple[str, ...]:
        """After `changes`."""
        return tuple(self._breaks)

    def changes(self) -> dict[str, Change]:
        found = {}
        is_aligned = (self._before.counts, self._before.gauges) == (self._now.counts, self._now.gauges)
        skips = is_aligned and self._rule.same_is_idle
        for key, subject in self._now.subjects.items():
            if skips and _is_same(self._before.subjects.get(key), subject):
                continue  # most of thousands
            course = self._rule.course(subject)
            if course.why:
                self._breaks[course.why] = None
            change = self._change(subject, course)
            # Of the server's groups all stay: what this version does not count is not 0, though nothing has moved.
            is_group = self._now.family == Family.SERVER
            if is_group or change.was or change.lost_seconds or any(change.counts) or any(change.gauges):
                found[key] = change
        for key, subject in self._before.subjects.items():
            if key not in self._now.subjects:
                left = self._rule.gone(key)
                if left is not None:
                    found[key] = self._gone(subject, left)
        return found

    def _change(self, subject: Subject, course: Course) -> Change:
        counts: tuple[float | None, ...]
        if not course.is_known:
            counts = (None,) * len(subject.counts)
        elif course.base is None:
            counts = tuple(
                None if at is None else value for value, at in zip(subject.counts, self._counts, strict=True)
            )
        else:
            old = course.base.counts
            if self._before.counts != self._now.counts:
                old = tuple(None if at is None else old[at] for at in self._counts)
            counts = tuple(map(_grown, subject.counts, old))
        return Change(
            subject.key,
            subject.name,
            counts,
            self._moved(subject, course),
            self.seconds if course.lost_seconds is None else course.lost_seconds,
            counts if course.is_known and course.lost_seconds is None and any(counts) else (),
            course.was,
        )

    def _moved(self, subject: Subject, course: Course) -> tuple[float | None, ...]:
        key = course.was if course.was and course.was not in self._now.subjects else subject.key
        earlier = self._before.subjects.get(key)
        if earlier is None:
            return subject.gauges
        return tuple(
            None if value is None or at is None or (old := earlier.gauges[at]) is None else value - old
            for value, at in zip(subject.gauges, self._gauges, strict=True)
        )

    def _gone(self, subject: Subject, course: Course) -> Change:
        """What it counted last nobody knows; its size is gone."""
        values = [None if at is None else subject.gauges[at] for at in self._gauges]
        gauges = tuple(None if value is None else -value for value in values) if self._rule.has_sizes else ()
        return Change(
            subject.key,
            subject.name,
            (None,) * len(self._now.counts),
            gauges or (None,) * len(self._now.gauges),
            self.seconds if course.lost_seconds is None else course.lost_seconds,
        )


def _is_same(earlier: Subject | None, subject: Subject) -> bool:
    return (
        earlier is not None
        and subject.counts == earlier.counts
        and subject.gauges == earlier.gauges
        and subject.since == earlier.since
        and subject.identity == earlier.identity
        and subject.name == earlier.name
    )


def _grown(value: float | None, old: float | None) -> float | None:
    """None: not known then or now, or it fell, which noise alone may."""
    if value is None or old is None or is_less(value, old):
        return None
    return max(0.0, value - old)


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
    # What took another key takes along what it did under the old one, before something new may use that.
    moved = {key: changes.pop(change.was) for key, change in second.changes.items() if change.was in changes}
    for key, change in second.changes.items():
        later = _spread(change, second, counts, gauges)
        for earlier in (changes.get(key), moved.get(key)):
            later = later if earlier is None else _followed(earlier, later)
        changes[key] = later
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
        uncounted=_uncounted_in_both(first, second, counts),
    )


def _uncounted_in_both(first: Interval, second: Interval, counts: tuple[str, ...]) -> dict[str, float]:
    if first.counts == second.counts and not first.uncounted and not second.uncounted:
        return {}  # as nearly always
    return {name: seconds for name in counts if (seconds := _uncounted(first, name) + _uncounted(second, name)) > 0}


def _uncounted(interval: Interval, name: str) -> float:
    return interval.uncounted.get(name, 0.0) if name in interval.counts else interval.seconds


def _followed(earlier: Change, later: Change) -> Change:
    """Of one subject, one after the other."""
    return Change(
        later.key,
        later.name,
        _sums(earlier.counts, later.counts),
        _sums(earlier.gauges, later.gauges),
        earlier.lost_seconds + later.lost_seconds,
        _sums(earlier.untimed, later.untimed)
        if earlier.untimed and later.untimed
        else earlier.untimed or later.untimed,
        earlier.was or later.was,
    )


def _spread(change: Change, interval: Interval, counts: tuple[str, ...], gauges: tuple[str, ...]) -> Change:
    if interval.counts == counts and interval.gauges == gauges:
        return change
    of_counts = dict(zip(interval.counts, change.counts, strict=True))
    of_gauges = dict(zip(interval.gauges, change.gauges, strict=True))
    of_untimed = dict(zip(interval.counts, change.untimed, strict=False))
    return replace(
        change,
        counts=tuple(of_counts.get(name) for name in counts),
        gauges=tuple(of_gauges.get(name) for name in gauges),
        untimed=tuple(of_untimed.get(name) for name in counts) if of_untimed else (),
    )


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return first if first == second else tuple(dict.fromkeys((*first, *second)))


def _sums(first: tuple[float | None, ...], second: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Each with the other of its place. In one expression: of a year of statements there are ten million."""
    return tuple(
        [
            other if one is None else one if other is None else one + other
            for one, other in zip(first, second, strict=False)
        ]
    )


def moments(intervals: Sequence[Interval]) -> tuple[datetime, datetime] | None:
    """From when to when they reach."""
    if not intervals:
        return None
    return min(item.from_at for item in intervals), max(item.to_at for item in intervals)
