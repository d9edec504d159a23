"""Bytes and durations to text and back.

Inputs are spelled as PostgreSQL spells them in its settings (`4GB`, `64kB`, `5min`, `500ms`, `60d`), and with the short
forms that people type (`5m`, `2h`, `2y`): a month has 30 days, a year 365. Amounts are powers of 1024, as in
PostgreSQL.
"""

from __future__ import annotations

import re

_BYTE_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}
_SECOND_UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "mo": 30 * 86400.0,
    "y": 365 * 86400.0,
}
# 15 digits are what a float holds exactly; more would end as infinity.
_AMOUNT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)\s*")


def parse_bytes(value: object) -> int:
    """`4GB`, `64kB` or plain bytes to bytes. Raises ValueError with the forms that are valid."""
    match = _AMOUNT.fullmatch(str(value))
    unit = _BYTE_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"expected an amount of bytes such as 64kB, 512MB or 4GB, found {value!s}")
    return round(float(match[1]) * unit)


def parse_duration(value: object) -> float:
    """`500ms`, `30s`, `5min`, `5m`, `2h`, `60d`, `6mo`, `2y` to seconds. A number without a unit is refused: whose
    would it be?

    Raises ValueError with the forms that are valid.
    """
    match = _AMOUNT.fullmatch(str(value))
    unit = _SECOND_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"expected a duration such as 500ms, 30s, 5min, 2h or 60d, found {value!s}")
    return float(match[1]) * unit


def format_bytes(size_bytes: float) -> str:
    """Bytes as PostgreSQL's settings would take them back: `8192B`, `64kB`, `1.5MB`, `12GB`."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 1024 * (10 if unit == "B" else 1):
            return _trim(amount) + unit
        amount /= 1024
    return _trim(amount) + "TB"


def format_duration(seconds: float) -> str:
    """Seconds for people: `0.4 ms`, `12 ms`, `3.4 s`, `2 min 05 s`, `3 h 07 min`, `12 d 4 h`."""
    if seconds < 0.001:
        return f"{seconds * 1000:.2f} ms"
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def _trim(amount: float) -> str:
    text = f"{amount:.1f}" if amount < 100 else f"{amount:.0f}"
    return text.removesuffix(".0")
