"""Which time is meant: stored intervals, the fresh reading, or the server's own counters. Pure."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from dbopt.snapshot import delta
from dbopt.snapshot.model import Family, Part, Subject
from dbopt.stats.window import Asked, Basis, Stored, Wish, choose

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RESET = NOW - timedelta(days=40)
BOTH = (Family.TABLES, Family.INDEXES)


def part(family: Family, ago: timedelta, count: float, *, lineage: str = "a/1", size: float = 100.0) -> Part:
    subject = Subject("7", "t", (count,), (size,), RESET)
    return Part(
        family=family, taken_at=NOW - ago, lineage=lineage, counts=("n",), gauges=("size",), subjects={"7": subject}
    )


def stored(*readings: Part) -> Stored:
    pairs = itertools.pairwise(readings)
    return Stored(readings[-1], [delta.between(before, after) for before, after in pairs])


def chosen(wish: Wish, *readings: tuple[timedelta, float], fresh: float = 100, lineage: str = "a/1"):
    parts = {str(family): part(family, timedelta(0), fresh, lineage=lineage) for family in BOTH}
    kept = {str(family): stored(*(part(family, *reading) for reading in readings)) for family in BOTH if readings}
    return choose(wish, parts, kept, RESET)


DEFAULT = Wish(Asked.DEFAULT, NOW - timedelta(days=7))


def test_intervals_and_the_fresh_reading_add_up():
    window = chosen(DEFAULT, (timedelta(days=3), 10), (timedelta(days=1), 60))
    assert (window.basis, window.from_at, window.to_at) == (Basis.STORED, NOW - timedelta(days=3), NOW)
    assert window.count(Family.TABLES, 7, "n", 100) == 90
    assert window.growth(Family.TABLES, 7, "size") == 0
    assert window.count(Family.TABLES, 8, "n", 5) == 0  # it was watched, and did nothing


def test_without_readings_the_servers_counters_stand_as_they_are():
    window = chosen(DEFAULT)
    assert (window.basis, window.from_at, window.notes) == (Basis.RESET, RESET, ())
    assert (window.count(Family.TABLES, 7, "n", 100), window.growth(Family.TABLES, 7, "size")) == (100, None)


@pytest.mark.parametrize(
    ("ago", "basis", "notes"),
    [
        (timedelta(seconds=30), Basis.RESET, 0),
        (timedelta(minutes=59), Basis.RESET, 1),
        (timedelta(hours=1), Basis.STORED, 0),
        (timedelta(days=30), Basis.STORED, 0),
    ],
)
def test_what_nobody_asked_for_is_at_least_an_hour(ago, basis, notes):
    window = chosen(DEFAULT, (ago, 10))
    assert (window.basis, len(window.notes)) == (basis, notes)


def test_what_was_asked_for_is_shown_however_short():
    window = chosen(Wish(Asked.MOMENT, NOW - timedelta(days=7)), (timedelta(minutes=1), 10))
    assert (window.basis, window.notes) == (Basis.STORED, ("nothing older is stored",))


def test_a_reset_is_a_mark_or_the_servers_own():
    assert chosen(Wish(Asked.RESET, None), (timedelta(days=3), 10)).basis is Basis.RESET
    assert chosen(Wish(Asked.RESET, NOW - timedelta(days=3)), (timedelta(days=3), 10)).basis is Basis.STORED


def test_another_machine_is_not_compared_with():
    window = chosen(DEFAULT, (timedelta(days=3), 10), lineage="a/2")
    assert (window.basis, window.notes) == (
        Basis.RESET,
        ("nothing can be compared with earlier readings: another machine took over",),
    )


def test_a_reading_that_another_process_has_just_kept_is_the_end():
    kept = {
        str(family): stored(part(family, timedelta(hours=2), 10), part(family, timedelta(seconds=-2), 101))
        for family in BOTH
    }
    window = choose(DEFAULT, {str(family): part(family, timedelta(0), 100) for family in BOTH}, kept, RESET)
    assert window.count(Family.TABLES, 7, "n", 100) == 91
    assert window.breaks == ()
