"""A chart in the terminal, drawn by plotext: characters only, its colours are ours.

plotext takes a quarter of a second to import, so it is loaded where a chart is really drawn.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.render.history_values import time_ticks, value_ticks
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.text import Text

    from dbopt.history.series import Point, Series

COLUMNS_MIN, COLUMNS_MAX = 40, 100
ROWS = 14
TARGET, ALERT, BREAK = "┈", "═", "┊"
_STYLES = (("[\u2801-\u28ff]+", "cyan"), (f"{TARGET}+", "green"), (f"{ALERT}+", "red"), (f"{BREAK}+", "yellow"))
# A label of the time axis with the space around it.
_TICK_COLUMNS = 9
_VALUE_TICKS = 5
# A line of the goal is in the chart where what was measured still fills so much of the height.
_LEAST_HEIGHT = 0.35
# An interval so much longer than the others is drawn as long as it is.
_LONG = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    low: float
    high: float
    target: float | None = None  # None: out of the chart
    alert: float | None = None


def chart(series: Series, every_seconds: float, breaks: Sequence[datetime], columns: int) -> Text | None:
    """None where there is nothing to draw."""
    from rich.text import Text

    if not series.known:
        return None
    limits = bounds(series)
    text = Text("\n".join(_lines(series, every_seconds, breaks, limits, columns)))
    for characters, style in _STYLES:
        for match in re.finditer(characters, text.plain):
            text.stylize(style, *match.span())
    return text


def bounds(series: Series) -> Bounds:
    """Of the value axis: what was measured, from zero where that is not far, and the goal where that is near."""
    values = [value for value, _ in series.known]
    low, high = min(values), max(values)
    if 0 <= low <= high / 2:
        low = 0.0
    near = []
    for line in () if series.goal is None else (series.goal.target, series.goal.alert):
        wider = max(high, line) - min(low, line)
        if wider == 0 or (high - low) / wider >= _LEAST_HEIGHT:
            low, high = min(low, line), max(high, line)
            near.append(line)
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    floor = 0.0 if low >= 0 else low - margin
    return Bounds(
        low=max(floor, low - margin) if low > 0 else floor,
        high=high + margin,
        target=series.goal.target if series.goal is not None and series.goal.target in near else None,
        alert=series.goal.alert if series.goal is not None and series.goal.alert in near else None,
    )


def _lines(series: Series, every_seconds: float, breaks: Sequence[datetime], limits: Bounds, columns: int) -> list[str]:
    import plotext

    start, end = series.points[0].from_at, series.points[-1].to_at
    seconds = (end - start).total_seconds()
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(columns, ROWS)
    if limits.target is not None:
        figure.line(limits.target, style="dotted")
    if limits.alert is not None:
        figure.line(limits.alert, style="double")
    for at in breaks:
        figure.line((at - start).total_seconds(), orientation=1, style="dotted")
    for stretch in _joined(series.points, every_seconds):
        times, values = zip(*_drawn(stretch, every_seconds, is_state=series.is_state), strict=True)
        figure.draw(
            figure.signal([(at - start).total_seconds() for at in times], list(values), marker="braille").lines(True)
        )
    times_shown = time_ticks(start, end, max(2, (columns - 10) // _TICK_COLUMNS))
    values_shown = value_ticks(limits.low, limits.high, series.unit, _VALUE_TICKS)
    figure.ruler("x").lim(0, max(seconds, 1.0)).ticks(
        [(at - start).total_seconds() for at, _ in times_shown], [label for _, label in times_shown]
    )
    figure.ruler("y").lim(limits.low, limits.high).ticks(
        [value for value, _ in values_shown], [label for _, label in values_shown]
    )
    return [line.rstrip() for line in figure.build().string(colorless=True).splitlines()]


def _joined(points: Sequence[Point], every_seconds: float) -> Iterator[list[Point]]:
    """Points with nothing unknown between them."""
    current: list[Point] = []
    for point in points:
        is_far = bool(current) and (point.from_at - current[-1].to_at).total_seconds() > every_seconds / 2
        if current and (point.value is None or is_far):
            yield current
            current = []
        if point.value is not None:
            current.append(point)
    if current:
        yield current


def _drawn(points: Sequence[Point], every_seconds: float, *, is_state: bool) -> Iterator[tuple[datetime, float | None]]:
    for point in points:
        length = point.to_at - point.from_at
        if is_state:
            yield point.to_at, point.value
        elif length.total_seconds() > every_seconds * _LONG:
            yield point.from_at, point.value
            yield point.to_at, point.value
        else:
            yield point.from_at + length / 2, point.value
