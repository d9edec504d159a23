"""A past for a real server: readings of the days before, made from one that was taken just now."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family
from dbopt.store import plain, snapshots
from dbopt.store.location import locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dbopt.snapshot.model import Part
    from dbopt.store.targets import Whose

_LEVELS = {"connections_max", "xid_age", "replicas", "autovacuum_workers"}  # these do not swing with the day


def keep(url: str, whose: Whose, name: str, now: Mapping[str, Part], *, days: float, every: timedelta) -> int:
    """Counters have grown by day and hardly by night; one night nobody looked. Returns how many readings there are."""
    location = locate(url)
    assert location is not None
    plain.make_ready(location)
    count = 0
    with plain.transaction(location, reading=False, wait_seconds=5) as session:
        for parts in _readings(now, days, every):
            snapshots.keep(session, whose, name, parts, least_apart=timedelta(0))
            count += 1
    return count


def _readings(now: Mapping[str, Part], days: float, every: timedelta) -> Iterator[list[Part]]:
    end = now[Family.SERVER].taken_at
    steps = int(timedelta(days=days) / every)
    busy = [_busy((end - every * (steps - step)).timestamp()) for step in range(steps)]
    whole = sum(busy)
    share = 0.0
    for step in range(steps):
        at = end - every * (steps - step)
        share += busy[step] / whole
        if days > 2 and 0.45 < step / steps < 0.47:  # the monitoring was down
            continue
        yield [_then(part, at, 0.1 + 0.9 * share, busy[step]) for part in now.values()]


def _busy(seconds: float) -> float:
    hour = seconds / 3600 % 24
    return 0.15 + math.exp(-(((hour - 14) / 4) ** 2)) + 0.2 * math.sin(seconds / 900) ** 2


def _then(part: Part, at: object, share: float, busy: float) -> Part:
    """Counters have had that share of what they have now, and things were somewhat smaller."""
    size = 0.8 + 0.2 * share
    subjects = {
        key: replace(
            subject,
            counts=tuple(None if value is None else int(value * share) for value in subject.counts),
            gauges=tuple(
                value if value is None or name.startswith("max_") else value * size
                for name, value in zip(part.gauges, subject.gauges, strict=True)
            ),
        )
        for key, subject in part.subjects.items()
    }
    levels = {name: value if name in _LEVELS else math.ceil((value + 6) * busy) for name, value in part.levels.items()}
    return replace(part, taken_at=at, subjects=subjects, levels=levels)
