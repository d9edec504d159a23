"""From when on: `--since`, as people type it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

from dbopt.errors import UsageError
from dbopt.units import parse_duration

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


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
