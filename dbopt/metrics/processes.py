"""Processes of applications, taken together: all of them, or those of one application. Pure.

A process is a family `clients/APPLICATION/INSTANCE` (dbopt/store/clients.py). Those that have ended share one family of
their application, whose seconds are the sum of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from dbopt.snapshot import durations
from dbopt.snapshot.model import CLIENTS, Interval

if TYPE_CHECKING:
    from dbopt.metrics.window import Window

Processes: TypeAlias = Mapping[str, Interval]


def processes(window: Window) -> Processes:
    return {family: interval for family, interval in window.intervals.items() if family.startswith(CLIENTS)}


def application(family: str) -> str:
    return family.removeprefix(CLIENTS).partition("/")[0]


def of_application(found: Processes, name: str) -> Processes:
    return {family: interval for family, interval in found.items() if application(family) == name}


def sums(found: Processes, *names: str) -> tuple[float, ...] | None:
    """Over those that count all of it; None: none does."""
    told = [_counted(interval, names) for interval in _telling(found, *names).values()]
    return tuple(map(sum, zip(*told, strict=True))) if told else None


def total(found: Processes, name: str) -> float | None:
    counted = sums(found, name)
    return None if counted is None else counted[0]


def quotient(found: Processes, part: str, whole: str, unit: float = 1) -> float | None:
    counted = sums(found, part, whole)
    return None if counted is None or not counted[1] else counted[0] / counted[1] * unit


def share(found: Processes, part: str, rest: str) -> float | None:
    """`part` of the two together."""
    counted = sums(found, part, rest)
    return None if counted is None or not sum(counted) else counted[0] / sum(counted)


def rate(found: Processes, name: str) -> float | None:
    """A second of all processes: some of them were there for a part of the time only."""
    counted = total(found, name)
    return None if counted is None else counted / _reach(_telling(found, name))


def level(found: Processes, name: str) -> float | None:
    """What all had together, on average over the time: those that came one after the other count as one."""
    told = {family: item for family, item in found.items() if name in item.levels}
    if not told:
        return None
    reach = _reach(told)
    return sum(item.levels[name].mean * _part(item.seconds, reach) for item in told.values())


def quantile_ms(found: Processes, q: float) -> float | None:
    counted = sums(found, *durations.NAMES)
    return None if counted is None else durations.quantile_ms(counted, q)


def _telling(found: Processes, *names: str) -> Processes:
    return {
        family: interval
        for family, interval in found.items()
        if interval.seconds > 0 and set(names) <= set(interval.counts)
    }


def _counted(interval: Interval, names: tuple[str, ...]) -> tuple[float, ...]:
    places = [interval.counts.index(name) for name in names]
    return tuple(sum(change.counts[at] or 0.0 for change in interval.changes.values()) for at in places)


def _part(seconds: float, reach: float) -> float:
    """All of it, but for what gets lost in sums of seconds; of one moment all too."""
    part = seconds / reach if reach > 0 else 1.0
    return 1.0 if math.isclose(part, 1.0, rel_tol=1e-6) else part


def _reach(found: Processes) -> float:
    """From the first reading to the last, in seconds."""
    items = found.values()
    return (max(item.to_at for item in items) - min(item.from_at for item in items)).total_seconds()
