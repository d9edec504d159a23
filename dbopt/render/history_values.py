"""Moments as people read them in a terminal, and the ticks of an axis."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from dbopt.metrics.metric import Unit

# What an axis counts in: the greatest of these that fits.
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    Unit.RATIO: ((0.01, " %"),),
    Unit.BYTES: tuple((1024.0**power, unit) for power, unit in enumerate(("B", "kB", "MB", "GB", "TB"))),
    Unit.BYTES_PER_SECOND: tuple((1024.0**power, unit) for power, unit in enumerate(("B/s", "kB/s", "MB/s", "GB/s"))),
    Unit.SECONDS: ((0.001, " ms"), (1, " s"), (60, " min"), (3600, " h"), (86_400, " d")),
    Unit.MILLISECONDS: ((1, " ms"), (1000, " s"), (60_000, " min")),
    Unit.PER_SECOND: ((1, "/s"), (1e3, "k/s"), (1e6, "M/s")),
    Unit.COUNT: ((1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")),
}
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_BY_THE_CLOCK = (
    *(_MINUTE * number for number in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * number for number in (1, 2, 3, 6, 12)),
)
_BY_DAYS = (1, 2, 3, 7, 14, 28, 56, 84, 168, 336)


def counted(count: int, noun: str) -> str:
    """`1 point`, `1,200 points`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def day_time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def value_ticks(low: float, high: float, unit: str, count: int) -> list[tuple[float, str]]:
    """Round numbers between the two, `count` of them or fewer, each with its label."""
    scale, suffix = max(
        ((scale, suffix) for scale, suffix in _SCALES[unit] if scale <= max(abs(low), abs(high))),
        default=_SCALES[unit][0],
    )
    step = _step((high - low) / scale / count)
    first = math.ceil(low / scale / step - 1e-9)
    decimals = next((digits for digits in range(9) if math.isclose(step, round(step, digits))), 9)
    ticks = []
    for place in range(first, first + count + 2):
        at = place * step * scale
        if at <= high * (1 + 1e-9):
            ticks.append((at, f"{place * step:,.{decimals}f}{suffix}"))
    return ticks


def _step(least: float) -> float:
    """The least of 1, 2, 2.5, 5, 10, ... that is no less."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least * (1 - 1e-9))


def time_ticks(from_at: datetime, to_at: datetime, count: int) -> list[tuple[datetime, str]]:
    """Round moments by the local clock between the two, `count` of them or fewer."""
    start, end = from_at.astimezone(), to_at.astimezone()
    least = (end - start) / max(1, count)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    step = next((step for step in _BY_THE_CLOCK if step >= least), None)
    if step is None:
        step = _DAY * next((days for days in _BY_DAYS if _DAY * days >= least), _BY_DAYS[-1])
    found: list[tuple[datetime, str]] = []
    at = midnight
    while (moment := at.astimezone()) <= end and len(found) < 100:
        if moment >= start:
            found.append((moment, f"{at:%m-%d}" if at.time() == datetime.min.time() else f"{at:%H:%M}"))
        at += step
    return found
