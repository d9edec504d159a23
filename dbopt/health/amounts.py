"""Measures as people write them in `dbopt.yaml`, and back: units as PostgreSQL has them, `%` too."""

from __future__ import annotations

import re

from dbopt import units
from dbopt.health.check import Unit

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?")
_DURATIONS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SIZES = (("TB", 1024**4), ("GB", 1024**3), ("MB", 1024**2), ("kB", 1024))


def parse(text: str, unit: Unit) -> float:
    """Raises ValueError with the forms that are valid."""
    match unit:
        case Unit.BYTES:
            return float(units.parse_bytes(text))
        case Unit.SECONDS:
            return units.parse_duration(text)
        case Unit.RATIO:
            return _ratio(text)
        case Unit.TRANSACTIONS:
            return _number(text, "a number of transactions such as 1500000000 or 1.5e9", text)
        case Unit.COUNT:
            return _number(text, "a number such as 10", text)


def spelled(value: float, unit: Unit) -> str:
    """`5min`, `100MB`, `80%`: as `parse` takes it back, in the largest unit of which it is a whole number."""
    match unit:
        case Unit.BYTES:
            return _whole(value, _SIZES) or f"{value:.15g}B"
        case Unit.SECONDS:
            return _whole(value, _DURATIONS) or (f"{value * 1000:.15g}ms" if value else "0s")
        case Unit.RATIO:
            return f"{value * 100:.12g}%"
        case Unit.TRANSACTIONS | Unit.COUNT:
            return f"{value:.15g}"


def _whole(value: float, units_: tuple[tuple[str, int], ...]) -> str | None:
    return next((f"{value / size:.0f}{name}" for name, size in units_ if value and value % size == 0), None)


def _ratio(text: str) -> float:
    expected = "a share such as 80% or 0.8"
    if text.endswith("%"):
        return _number(text[:-1].rstrip(), expected, text) / 100
    value = _number(text, expected, text)
    if value > 1:
        raise ValueError(f"expected {expected}, found {text}, which is more than all")
    return value


def _number(digits: str, expected: str, text: str) -> float:
    if not _NUMBER.fullmatch(digits):
        raise ValueError(f"expected {expected}, found {text}")
    return float(digits)
