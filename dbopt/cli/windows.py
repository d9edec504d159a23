"""The options of optimize that are moments and conditions: --for, --until, --cancel-blockers."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from dbopt import units
from dbopt.errors import UsageError

_CLOCK = ("%H:%M", "%H:%M:%S")


def local_now() -> datetime:
    """Where the user's clock is."""
    return datetime.now().astimezone()


def end_of_window(until: str | None, for_: str | None, now: datetime) -> float | None:
    """When the maintenance window closes, by time.monotonic(); None: never. `now` has the zone that is meant."""
    if until is not None and for_ is not None:
        raise UsageError("--until and --for both say when to stop", hint="Use one of them.")
    if for_ is not None:
        try:
            seconds = units.parse_duration(for_)
        except ValueError as exc:
            raise UsageError("invalid value for --for", detail=str(exc)) from None
    elif until is not None:
        seconds = (_moment(until, now) - now).total_seconds()
        if seconds <= 0:
            raise UsageError("invalid value for --until", detail=f"{until} is over")
    else:
        return None
    return time.monotonic() + seconds


def idle_to_end(words: str | None) -> float | None:
    """`idle:10m` as seconds."""
    if words is None:
        return None
    state, _, duration = words.partition(":")
    try:
        if state != "idle":
            raise ValueError(f"expected idle:DURATION, such as idle:10m, found {words}")
        return units.parse_duration(duration)
    except ValueError as exc:
        raise UsageError("invalid value for --cancel-blockers", detail=str(exc)) from None


def _moment(words: str, now: datetime) -> datetime:
    """`04:00` is the next time that the clock shows this."""
    for form in _CLOCK:
        try:
            clock = datetime.strptime(words, form)  # the zone is that of `now`
        except ValueError:
            continue
        today = now.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        detail = f"expected a time such as 04:00 or 2027-01-31T04:00, found {words}"
        raise UsageError("invalid value for --until", detail=detail) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)
