"""A row of numbers as a row of bars, a character each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-=+*#@"  # for a terminal that has no others
_GAP = " "


def sparkline(values: Sequence[float | None], *, plain: bool = False) -> str:
    """From the least to the greatest of them; what is not known is a gap, and what never changes stays low."""
    bars = PLAIN_BARS if plain else BARS
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    width = high - low
    return "".join(
        _GAP if value is None else bars[0] if width <= 0 else bars[round((value - low) / width * (len(bars) - 1))]
        for value in values
    )


def can_show(encoding: str | None, text: str = BARS) -> bool:
    """Whether a stream of that encoding has these characters."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
