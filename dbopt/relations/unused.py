"""Since when nobody has scanned an index, where that is known for long enough to mean something. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.postgres.indexes import UnscannedIndex

_DAY_SECONDS = 86_400.0
WINDOW_SECONDS = 7 * _DAY_SECONDS  # our own reasoning: a week has one of everything weekly
LAST_SCAN_SECONDS = 31 * _DAY_SECONDS  # our own reasoning: what was used may be used monthly
MIN_SIZE_BYTES = 10 * 1024**2  # our own reasoning: a smaller one is not worth the trouble


def idle_seconds(
    index: UnscannedIndex,
    counted_seconds: float,
    now: datetime,
    *,
    window_seconds: float = WINDOW_SECONDS,
    last_scan_seconds: float = LAST_SCAN_SECONDS,
) -> float | None:
    """`counted_seconds`: for how long scans have been counted. None: it may be in use, or is too young to tell."""
    if index.made_at is not None and (now - index.made_at).total_seconds() < window_seconds:
        return None
    if index.idx_scan == 0:
        return counted_seconds if counted_seconds >= window_seconds else None
    if index.last_idx_scan is None:
        return None
    seconds = (now - index.last_idx_scan).total_seconds()
    return seconds if seconds >= last_scan_seconds else None
