"""What counters did since the last run, or since they were last reset: never over all time.

A ratio over the life of a server cannot show a present problem. So counters are compared with those of the run before;
where there is none, with zero, if they were started anew not long ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from dbopt.values import dataclass

# How far back a window may reach and still speak of the present. Our own choice: a day has one of everything that
# happens daily.
WINDOW_MAX_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Cumulative counters of one subject, all of which start at zero together. `since`: when they last did."""

    subject: str
    since: datetime | None
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Delta:
    """What they grew by within `seconds`."""

    subject: str
    seconds: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of one run, by check id; what the store keeps for the next."""

    taken_at: datetime
    system_identifier: str | None
    counters: Mapping[str, tuple[Counters, ...]] = field(default_factory=dict)


def delta(now: Counters, taken_at: datetime, before: Counters | None, before_at: datetime | None) -> Delta | None:
    """Since the run before, where the counters have not been reset meanwhile; else since their reset. None: no window
    of a useful length is known.
    """
    if before is not None and before_at is not None and _continues(now, before):
        seconds = (taken_at - before_at).total_seconds()
        if 0 < seconds <= WINDOW_MAX_SECONDS:
            values = {name: value - before.values[name] for name, value in now.values.items() if name in before.values}
            return Delta(now.subject, seconds, values)
    if now.since is not None:
        seconds = (taken_at - now.since).total_seconds()
        if 0 < seconds <= WINDOW_MAX_SECONDS:
            return Delta(now.subject, seconds, now.values)
    return None


def _continues(now: Counters, before: Counters) -> bool:
    """Whether the counters have only grown since. A crash resets them without always moving `since`."""
    return now.since == before.since and all(
        value >= before.values[name] for name, value in now.values.items() if name in before.values
    )
