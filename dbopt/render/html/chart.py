"""A figure over time as the geometry of an SVG chart, and the same in words.

The drawing is stretched to whatever width there is, so it has no text in it: labels stand around it. Where nothing was
watched the line has a gap; it is never drawn through.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dbopt.metrics.metric import Unit
from dbopt.render.html import amounts
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from dbopt.history.series import Point
    from dbopt.metrics.metric import Goal
    from dbopt.report.values import Course, Moments

WIDTH, HEIGHT = 1000, 100
_HEADROOM = 1.04  # the line does not stick to the upper edge
# What is missing between two points for longer than they are long was not watched.
_GAP_OF_LENGTH = 0.5
_MARKS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
_BINARY_MARKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, slots=True)
class Band:
    """The time of one point, for the pointer that rests on it."""

    x: float
    width: float
    words: str


@dataclass(frozen=True, slots=True)
class GoalLine:
    y: float
    kind: str  # target or alert
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    description: str  # the numbers in words
    lines: Sequence[str]  # paths
    area: str
    bands: Sequence[Band]
    goals: Sequence[GoalLine]
    breaks: Sequence[float]  # where counting was interrupted
    top: str
    bottom: str
    times: Sequence[str]


def draw(course: Course, window: Moments, breaks: Sequence[datetime] = ()) -> Chart:
    """Of a figure that is known at some time."""
    metric, known = course.figure.metric, [point for _, point in course.known]
    unit = metric.unit
    greatest = max(value for value, _ in course.known)
    low, high = _limits([value for value, _ in course.known], unit, metric.goal)
    plane = _Plane(*window, low, high)
    runs = [[plane.corners(point) for point in run] for run in _runs(known)]
    paths = [_path(run) for run in runs]
    area = "" if low else "".join(f"{path}V{HEIGHT}H{run[0][0]:g}Z" for path, run in zip(paths, runs, strict=True))
    return Chart(
        title=metric.title,
        description=describe(course),
        lines=paths,
        area=area,
        bands=[_band(plane, point, unit, greatest) for point in known],
        goals=list(_goals(plane, metric.goal, unit)),
        breaks=[plane.x(at) for at in breaks if window[0] <= at <= window[1]],
        top=amounts.amount(high, unit, greatest),
        bottom=amounts.amount(low, unit, greatest),
        times=_times(*window),
    )


def describe(course: Course) -> str:
    """`lowest 0.1/s (18 Nov 03:00), highest 12.4/s (19 Nov 14:00)`; that nothing was the least, the chart shows."""
    unit = course.figure.metric.unit
    (low, lowest), (high, highest) = (choose(course.known, key=lambda pair: pair[0]) for choose in (min, max))
    if low == high:
        return f"always {amounts.amount(high, unit)}"
    top = f"highest {amounts.amount(high, unit)}{_within(course, highest)} ({amounts.moment(highest.to_at)})"
    if low == 0:
        return top
    return f"lowest {amounts.amount(low, unit, high)} ({amounts.moment(lowest.to_at)}), {top}"


def _within(course: Course, point: Point) -> str:
    """Of an amount: of how long a time it is."""
    if not course.figure.metric.adds_up:
        return ""
    return f" within {amounts.duration((point.to_at - point.from_at).total_seconds())}"


@dataclass(frozen=True, slots=True)
class _Plane:
    from_at: datetime
    to_at: datetime
    low: float
    high: float

    def x(self, at: datetime) -> float:
        whole = (self.to_at - self.from_at).total_seconds()
        share = (at - self.from_at).total_seconds() / whole if whole > 0 else 0.0
        return round(WIDTH * min(1.0, max(0.0, share)), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT * (1 - (value - self.low) / (self.high - self.low)), 1)

    def corners(self, point: Point) -> tuple[float, float, float]:
        return self.x(point.from_at), self.x(point.to_at), self.y(point.value or 0.0)


def _runs(known: Sequence[Point]) -> Iterator[list[Point]]:
    """Points with no gap between them."""
    run: list[Point] = []
    for point in known:
        if run:
            gap = (point.from_at - run[-1].to_at).total_seconds()
            length = min((item.to_at - item.from_at).total_seconds() for item in (run[-1], point))
            if gap > _GAP_OF_LENGTH * length:
                yield run
                run = []
        run.append(point)
    if run:
        yield run


def _path(run: Sequence[tuple[float, float, float]]) -> str:
    """From the start of the first over the middles to the end of the last: a value is that of its whole time."""
    first, last = run[0], run[-1]
    corners = [(first[0], first[2]), *(((start + end) / 2, y) for start, end, y in run), (last[1], last[2])]
    return "M" + "L".join(f"{x:.1f} {y:g}" for x, y in corners)


def _band(plane: _Plane, point: Point, unit: Unit, greatest: float) -> Band:
    start, end, _ = plane.corners(point)
    when = f"{amounts.moment(point.from_at)}–{point.to_at.astimezone():%H:%M}"
    return Band(start, max(1.0, round(end - start, 1)), f"{when}: {amounts.amount(point.value, unit, greatest)}")


def _goals(plane: _Plane, goal: Goal | None, unit: Unit) -> Iterator[GoalLine]:
    if goal is None:
        return
    for kind, value in (("target", goal.target), ("alert", goal.alert)):
        if plane.low <= value <= plane.high:
            yield GoalLine(plane.y(value), kind, f"{kind} {amounts.amount(value, unit)}")


def _limits(values: Sequence[float], unit: Unit, goal: Goal | None) -> tuple[float, float]:
    """From 0, so that half as high is half as much. Ratios near 1 would all look alike so: these begin further up."""
    lowest, highest = min(values), max(values)
    if unit is Unit.RATIO:
        if lowest >= 0.9 and highest <= 1:
            return (0.99 if lowest >= 0.99 else 0.9), 1.0
        if highest > 0.5:
            return 0.0, max(1.0, highest)
    factor = amounts.rate_scale(highest)[0] if unit is Unit.PER_SECOND else 1.0
    top = _mark_above(highest * factor * _HEADROOM, binary=unit in (Unit.BYTES, Unit.BYTES_PER_SECOND)) / factor
    bottom = -_mark_above(-lowest, binary=False) if lowest < 0 else 0.0
    if goal is not None and goal.below and highest > goal.target / 2:
        top = max(top, goal.target * _HEADROOM)
    if unit is Unit.RATIO:
        top = min(top, 1.0)
    return bottom, top


def _mark_above(value: float, *, binary: bool) -> float:
    """A number that people like to read on an axis."""
    if value <= 0:
        return 1.0
    base = 1024.0 if binary and value >= 1024 else 10.0
    scale = base ** math.floor(math.log(value, base) + 1e-12)
    marks = _BINARY_MARKS if base == 1024.0 else _MARKS
    return next((mark * scale for mark in marks if mark * scale >= value), marks[-1] * scale)


def _times(from_at: datetime, to_at: datetime) -> list[str]:
    """Below the chart: where it begins, its middle, where it ends."""
    middle = from_at + (to_at - from_at) / 2
    days = (to_at - from_at).total_seconds() > 4 * 86_400
    return [_day(at) if days else amounts.moment(at) for at in (from_at, middle, to_at)]


def _day(at: datetime) -> str:
    local = at.astimezone()
    return f"{local.day}\u00a0{local:%b}"
