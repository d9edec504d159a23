"""A figure over time: a point for each stretch of equal length, from the sum of the intervals that end in it.

A stretch in which nothing was watched has no point. An interval that is longer than the stretches is one point, as
nobody knows any more when within it something happened.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dbopt.metrics.window import Window
from dbopt.snapshot.delta import added, total
from dbopt.snapshot.model import CLIENTS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from dbopt.metrics.metric import Goal, Metric, Unit
    from dbopt.snapshot.model import Interval

# As many as a chart in a terminal shows apart.
POINTS_MAX = 120
DAY_SECONDS = 86_400
# Lengths that people reckon in; thinned intervals are of whole hours and days of UTC, as the stretches are.
_LENGTHS_SECONDS = tuple(
    minutes * 60 for minutes in (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 4320, 7200, 10080)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """From one reading to another. `value` None: there is none. `seconds`: how much of it was watched."""

    from_at: datetime
    to_at: datetime
    value: float | None
    seconds: float
    breaks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """`whole`: the figure over all of the time, which is not the mean of its points; for what adds up, the sum.
    `lacks`: why there is no value, where there is none. `unknown_before`: of a state that is reckoned back, how far,
    and why no further.
    """

    name: str
    title: str
    unit: Unit
    meaning: str
    points: tuple[Point, ...] = ()
    whole: float | None = None
    goal: Goal | None = None
    adds_up: bool = False
    is_state: bool = False  # how things stood at the end of each point, not what happened in it
    lacks: str | None = None
    unknown_before: tuple[datetime, str] | None = None

    @property
    def known(self) -> list[tuple[float, Point]]:
        return [(point.value, point) for point in self.points if point.value is not None]

    @property
    def low(self) -> tuple[float, Point] | None:
        return min(self.known, key=lambda pair: pair[0], default=None)

    @property
    def high(self) -> tuple[float, Point] | None:
        return max(self.known, key=lambda pair: pair[0], default=None)

    @property
    def seconds(self) -> float:
        return sum(point.seconds for point in self.points)


def length(seconds: float) -> int:
    """The least of the usual lengths of which so long a time has no more than POINTS_MAX."""
    least = seconds / POINTS_MAX
    weeks = math.ceil(least / _LENGTHS_SECONDS[-1])
    return next((usual for usual in _LENGTHS_SECONDS if usual >= least), weeks * _LENGTHS_SECONDS[-1])


def reach(ends: Iterable[tuple[datetime, datetime]]) -> float:
    """From the first to the last moment, in seconds."""
    ends = list(ends)
    if not ends:
        return 0.0
    return (max(to_at for _, to_at in ends) - min(from_at for from_at, _ in ends)).total_seconds()


def stretches(intervals: Iterable[Interval], every_seconds: float) -> dict[int, Interval]:
    """The sum of those that end in each stretch, by its number, in the order of time."""
    summed: dict[int, Interval] = {}
    for interval in intervals:
        # What ends on the hour belongs to the hour before.
        number = math.ceil(interval.to_at.timestamp() / every_seconds)
        earlier = summed.get(number)
        summed[number] = interval if earlier is None else added(earlier, interval)
    return dict(sorted(summed.items()))


def of_metric(metric: Metric, summed: Mapping[str, Mapping[int, Interval]], *, slow_ms: float) -> Series:
    """`summed`: the stretches of each family that the figure reads."""
    points = []
    for number in sorted({number for found in summed.values() for number in found}):
        together = {family: found[number] for family, found in summed.items() if number in found}
        points.append(point(Window(intervals=together, slow_ms=slow_ms), metric))
    of_all = {family: whole for family, found in summed.items() if (whole := total(found.values())) is not None}
    window = Window(intervals=of_all, slow_ms=slow_ms)
    lacks = metric.lacks(window) if callable(metric.lacks) else metric.lacks
    return Series(
        name=metric.name,
        title=metric.title,
        unit=metric.unit,
        meaning=metric.meaning,
        points=tuple(points),
        whole=metric.value(window) if of_all else None,
        goal=metric.goal,
        adds_up=metric.adds_up,
        lacks=lacks,
    )


def point(window: Window, metric: Metric) -> Point:
    """Watched is what all of its families were; of the processes of applications, any."""
    seconds: dict[str, float] = {}
    for family, interval in window.intervals.items():
        group = CLIENTS if family.startswith(CLIENTS) else family
        seconds[group] = max(seconds.get(group, 0.0), interval.seconds)
    return Point(
        from_at=window.from_at,
        to_at=window.to_at,
        value=metric.value(window),
        seconds=min(seconds.values()),
        breaks=tuple(dict.fromkeys(words for interval in window.intervals.values() for words in interval.breaks)),
    )
