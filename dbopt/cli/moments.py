"""From when on: `--since`, as people type it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

from dbopt.errors import UsageError
from dbopt.units import parse_duration

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
RESET = "reset"  # of --since: from the last mark on


def moment(option: str, text: str, now: datetime) -> datetime:
    """So long before `now`, or a date or time; one without a zone is local. Raises UsageError."""
    with contextlib.suppress(ValueError, OverflowError):
        return now - timedelta(seconds=parse_duration(text))
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} takes a duration or a date, not {text}", hint="Write 7d, 12h, 2027-01-31 or 2027-01-31T12:00Z."
        ) from None


def since_or_reset(since: str) -> str:
    """What `--since` says, checked before anybody connects. Raises UsageError."""
    if since.strip().lower() == RESET:
        return RESET
    now = datetime.now(UTC)
    if moment("--since", since, now) >= now:
        raise UsageError(f"--since {since} lies ahead", hint="Write 1h, 7d, 2027-01-31 or reset.")
    return since


def duration(option: str, text: str, least_seconds: float) -> timedelta:
    """Raises UsageError."""
    try:
        seconds = parse_duration(text)
        if seconds < least_seconds:
            raise ValueError(f"expected at least {least_seconds:g}s, found {text}")
        return timedelta(seconds=seconds)
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"invalid value for {option}", detail=str(exc)) from None
