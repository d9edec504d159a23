"""Amounts of every unit of the figures, as people read them. One spelling for tables, charts and pages."""

from __future__ import annotations

import math

from dbopt.metrics.metric import Unit
from dbopt.units import format_bytes, format_duration

UNKNOWN = "not known"


def amount(value: float | None, unit: str) -> str:
    """`12.4/s`, `99.1 %`, `3.2 ms`, `1.5GB`."""
    if value is None:
        return UNKNOWN
    match unit:
        case Unit.RATIO:
            return percent(value)
        case Unit.BYTES:
            return format_bytes(value)
        case Unit.BYTES_PER_SECOND:
            return f"{format_bytes(value)}/s"
        case Unit.SECONDS:
            return "0 s" if value == 0 else format_duration(value)
        case Unit.MILLISECONDS:
            return "0 ms" if value == 0 else format_duration(value / 1000)
        case Unit.PER_SECOND:
            return f"{number(value)}/s"
    return number(value)


def number(value: float) -> str:
    """Whole from 100 on, else with three digits that matter."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.0e}"


def percent(ratio: float) -> str:
    """Never 100 % of what is not all of it, never 0 % of what is something."""
    share = ratio * 100
    if share in (0, 100):
        return f"{share:.0f} %"
    if 99.9 <= share < 100:
        return f"{math.floor(share * 100) / 100:.2f} %"
    return "< 0.1 %" if 0 < share < 0.1 else f"{share:.1f}".removesuffix(".0") + " %"
