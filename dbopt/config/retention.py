"""How long and how much the store keeps, as it is written in settings and options."""

from __future__ import annotations

import math

from dbopt import units

NONE = "none"
AGE_DEFAULT_SECONDS = units.parse_duration("2y")  # so that every week has the same one of a year before beside it
# A busy database of 200 tables, 600 indexes and 300 statements comes to 125 MB in that time, read every five minutes.
SIZE_DEFAULT_BYTES = units.parse_bytes("1GB")

# What is younger is still needed: rates since the last reading, a run under way.
AGE_LEAST_SECONDS = units.parse_duration("1d")
SIZE_LEAST_BYTES = units.parse_bytes("1MB")


def parse_age(value: object) -> float:
    """In seconds; without limit for `none`. Raises ValueError with the forms that are valid."""
    if value == NONE:
        return math.inf
    try:
        seconds = units.parse_duration(value)
    except ValueError:
        raise ValueError(f"expected an age such as 90d, 6mo or 2y, or none, found {value!s}") from None
    if seconds < AGE_LEAST_SECONDS:
        raise ValueError(f"expected at least 1d, found {value!s}: what is younger is still needed")
    return seconds


def parse_size(value: object) -> float:
    """In bytes; without limit for `none`. Raises ValueError with the forms that are valid."""
    if value == NONE:
        return math.inf
    try:
        size = units.parse_bytes(value)
    except ValueError:
        raise ValueError(f"expected a size such as 200MB or 2GB, or none, found {value!s}") from None
    if size < SIZE_LEAST_BYTES:
        raise ValueError(f"expected at least 1MB, found {value!s}")
    return float(size)
