"""--for, --until and --cancel-blockers: what they mean. No server."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from dbopt.cli.windows import end_of_window, idle_to_end
from dbopt.errors import UsageError

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2027, 1, 31, 23, 30, tzinfo=ZONE)


def seconds(until: str | None = None, for_: str | None = None) -> float:
    end = end_of_window(until, for_, NOW)
    assert end is not None
    return end - time.monotonic()


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("23:45", 15 * 60),
        ("04:00", 4.5 * 3600),  # tomorrow's
        ("23:30", 24 * 3600),
        ("00:00:30", 30 * 60 + 30),
        ("2027-02-01T01:30", 2 * 3600),
        ("2027-02-01T00:00+00:00", 2.5 * 3600),
    ],
)
def test_until(until: str, expected: float) -> None:
    assert seconds(until) == pytest.approx(expected, abs=1)


def test_for() -> None:
    assert seconds(for_="2h") == pytest.approx(7200, abs=1)
    assert end_of_window(None, None, NOW) is None


@pytest.mark.parametrize(
    ("until", "for_", "message", "detail"),
    [
        ("04:00", "2h", "--until and --for both say when to stop", None),
        ("tomorrow", None, "invalid value for --until", "expected a time such as 04:00"),
        ("2027-01-31T23:00", None, "invalid value for --until", "is over"),
        (None, "soon", "invalid value for --for", "soon"),
    ],
)
def test_what_makes_no_sense_is_refused(until: str | None, for_: str | None, message: str, detail: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        end_of_window(until, for_, NOW)
    assert caught.value.message == message
    assert (detail or "") in (caught.value.detail or "")


def test_whom_to_end() -> None:
    assert idle_to_end(None) is None
    assert idle_to_end("idle:10m") == 600
    for words in ("10m", "active:10m", "idle", "idle:", "idle:soon"):
        with pytest.raises(UsageError, match="--cancel-blockers"):
            idle_to_end(words)
