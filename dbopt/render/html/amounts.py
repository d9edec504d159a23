"""Numbers and times as people read them on the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dbopt.metrics.metric import Unit
from dbopt.render.amounts import UNKNOWN, percent
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from datetime import datetime

_THIN, _FIXED = "\u202f", "\u00a0"  # between a number and its unit, between thousands, in a date: never a line break
BLANKS = _THIN + _FIXED
_LARGE = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


def amount(value: float | None, unit: str, like: float | None = None) -> str:
    """`12.4/s`, `99.1 %`, `3.2 ms`, `1.5 GB`. `like`: what decides between `0.4/s` and `24/min`, so that numbers that
    stand together are in one unit.
    """
    if value is None:
        return UNKNOWN
    match unit:
        case Unit.RATIO:
            return ratio(value)
        case Unit.BYTES:
            return size(value)
        case Unit.BYTES_PER_SECOND:
            return f"{size(value)}/s"
        case Unit.SECONDS:
            return duration(value)
        case Unit.MILLISECONDS:
            return duration(value / 1000)
        case Unit.PER_SECOND:
            factor, per = rate_scale(value if like is None else like)
            return f"{number(value * factor)}{per}"
    return number(value)


def rate_scale(per_second: float) -> tuple[float, str]:
    """What is rarer than once in ten seconds is counted by the minute, the hour or the day."""
    for factor, per, least in ((1.0, "/s", 0.1), (60.0, "/min", 1.0), (3600.0, "/h", 1.0)):
        if per_second * factor >= least or per_second == 0:
            return factor, per
    return 86_400.0, "/day"


def number(value: float | None) -> str:
    """Whole from 100 on, else with three digits that matter: `0.042`, `1.25`, `48.3`, `1 250 000`."""
    if value is None:
        return UNKNOWN
    if value == 0 or math.isclose(value, round(value), abs_tol=1e-9):
        return f"{round(value):,}".replace(",", _THIN)
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", _THIN)
    if abs(value) < 0.001:
        return "< 0.001"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".")


def rounded(value: float) -> str:
    """Two digits that matter: `9 600`, `1.2 million`."""
    if value >= 999_500:
        scale, word = next((scale, word) for scale, word in _LARGE if value >= scale * 0.9995)
        return f"{number(float(f'{value / scale:.2g}'))}{_FIXED}{word}"
    return number(float(f"{value:.2g}"))


def ratio(value: float | None) -> str:
    return UNKNOWN if value is None else percent(value).replace(" ", _THIN)


def size(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    text = format_bytes(value)
    unit = text.lstrip("-0123456789.")
    return f"{text.removesuffix(unit)}{_THIN}{unit}"


def growth(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return "0" if value == 0 else f"{'+' if value > 0 else '−'}{size(abs(value))}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return "0" if seconds == 0 else format_duration(seconds).replace(" ", _THIN)


def moment(at: datetime | None) -> str:
    """`19 Nov 14:00`, in the time zone that the page names."""
    if at is None:
        return UNKNOWN
    local = at.astimezone()
    return f"{local.day} {local:%b %H:%M}".replace(" ", _FIXED)


def date_time(at: datetime) -> str:
    """`2026-11-19 14:00`."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}".replace(" ", _FIXED)


def zone(at: datetime) -> str:
    """`UTC`, `UTC+01:00`."""
    offset = f"{at.astimezone():%z}"
    return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"


def span(moments: tuple[datetime, datetime]) -> str:
    """`2026-11-15 07:00 to 2026-11-22 07:00`."""
    return f"{date_time(moments[0])} to {date_time(moments[1])}"
