"""The time that the page is about: what is kept of the time asked for, up to the fresh reading. Pure.

Where nothing is kept, all that the server's counters have counted so far stands for it: a first page has numbers too,
though none over time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.spans import LEAST_STORED
from dbopt.metrics.window import Window
from dbopt.snapshot.delta import total
from dbopt.snapshot.model import Change, Family, Interval, Level
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dbopt.report.collect import Kept
    from dbopt.report.values import Moments
    from dbopt.snapshot.model import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """`whole`: the sums over all of the time. `steps`: those of its stretches of equal length, by family and number;
    empty where there is no history. `readings`: when the server's own counters were read, and what broke them off.
    """

    whole: Window
    steps: Mapping[str, Mapping[int, Interval]]
    readings: Sequence[tuple[datetime, tuple[str, ...]]]
    is_history: bool

    @property
    def reach(self) -> Moments | None:
        """Of the server's own counters, which are read each time."""
        interval = self.whole.intervals.get(Family.SERVER)
        return None if interval is None else (interval.from_at, interval.to_at)


def base(fresh: Mapping[str, Part], kept: Kept | None, *, slow_ms: float) -> Base:
    """`kept` None: there is no store."""
    steps = {} if kept is None else kept.steps
    sums = {family: whole for family, found in steps.items() if (whole := total(found.values())) is not None}
    own = sums.get(Family.SERVER)
    if kept is not None and own is not None and own.seconds >= LEAST_STORED.total_seconds():
        return Base(whole=Window(intervals=sums, slow_ms=slow_ms), steps=steps, readings=kept.readings, is_history=True)
    # Health has left a reading a moment ago: that is no history.
    began = _began(fresh[Family.SERVER])
    sums = {family: whole for family, part in fresh.items() if (whole := so_far(part, began)) is not None}
    return Base(whole=Window(intervals=sums, slow_ms=slow_ms), steps={}, readings=(), is_history=False)


def so_far(part: Part, began: datetime | None) -> Interval | None:
    """From the first moment at which one of its subjects began, else from `began` on. Who began later lost the time
    until then; of whom it is not told when it began, there is no rate. None: nobody tells, or it was just now.
    """
    first = _began(part) or began
    if first is None or first >= part.taken_at:
        return None
    seconds = (part.taken_at - first).total_seconds()
    changes = {}
    for key, subject in part.subjects.items():
        lost = seconds if subject.since is None else max(0.0, (subject.since - first).total_seconds())
        changes[key] = Change(key, subject.name, subject.counts, (None,) * len(part.gauges), lost)
    return Interval(
        family=part.family,
        from_at=first,
        to_at=part.taken_at,
        seconds=seconds,
        counts=part.counts,
        gauges=part.gauges,
        changes=changes,
        levels={name: Level(value, 1, value) for name, value in part.levels.items()},
    )


def _began(part: Part) -> datetime | None:
    return min((item.since for item in part.subjects.values() if item.since is not None), default=None)
