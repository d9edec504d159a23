"""Figures as geometry and words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dbopt.history.series import Point
from dbopt.metrics.catalogue import METRICS
from dbopt.metrics.figures import Figure
from dbopt.metrics.metric import Unit
from dbopt.render.html import amounts, chart
from dbopt.report.values import Course

START = datetime(2026, 11, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)


def course(name, *values, gap_after=None):
    """A point an hour; `gap_after`: then nobody looked for two hours."""
    points, at = [], START
    for number, value in enumerate(values):
        points.append(Point(from_at=at, to_at=at + HOUR, value=value, seconds=3600))
        at += HOUR * (3 if number == gap_after else 1)
    return Course(Figure(metric=METRICS[name], value=1.0), points)


def draw(drawn, hours=4.0, breaks=()):
    return chart.draw(drawn, (START, START + HOUR * hours), breaks)


def test_a_line_from_edge_to_edge():
    made = draw(course("transactions_per_second", 0, 10, 5, 10))
    assert made.lines == ["M0.0 100L125.0 100L375.0 33.3L625.0 66.7L875.0 33.3L1000.0 33.3"]
    assert (made.top, made.bottom) == ("15/s", "0/s")
    assert made.area.endswith("V100H0Z")
    assert [band.x for band in made.bands] == [0, 250, 500, 750]
    assert made.bands[1].words.endswith(": 10/s")


def test_what_nobody_watched_is_not_drawn_through():
    made = draw(course("transactions_per_second", 1, 1, 1, 1, gap_after=1), hours=6)
    assert len(made.lines) == 2
    assert made.area.count("Z") == 2
    assert len(draw(course("transactions_per_second", 1, None, 1)).lines) == 2


def test_a_lone_point_is_as_long_as_it_is():
    assert draw(course("transactions_per_second", 2)).lines == ["M0.0 20L125.0 20L250.0 20"]


@pytest.mark.parametrize(
    ("values", "top", "bottom"),
    [
        ((0.995, 0.999), "100 %", "99 %"),  # near 1 all would look alike
        ((0.93, 0.999), "100 %", "90 %"),
        ((0.2, 0.999), "100 %", "0 %"),
        ((0.2, 0.3), "40 %", "0 %"),
    ],
)
def test_ratios_begin_where_they_can_be_told_apart(values, top, bottom):
    made = draw(course("cache_hit_ratio", *values))
    assert (made.top.replace("\u202f", " "), made.bottom.replace("\u202f", " ")) == (top, bottom)
    assert (made.area == "") is (bottom != "0 %")


def test_goals_are_drawn_where_they_are_near():
    assert [goal.kind for goal in draw(course("connections_used_ratio", 0.5, 0.95)).goals] == ["target", "alert"]
    assert draw(course("connections_used_ratio", 0.01, 0.02)).goals == []


def test_breaks_stand_where_they_were():
    made = draw(course("transactions_per_second", 1, 2), breaks=[START + HOUR, START - HOUR])
    assert made.breaks == [250]


def test_words():
    made = draw(course("transactions_per_second", 4, 12.5, 8))
    assert made.description.replace("\u00a0", " ") == "lowest 4/s (15 Nov 01:00), highest 12.5/s (15 Nov 02:00)"
    assert "lowest" not in draw(course("transactions_per_second", 0, 3)).description
    amount = draw(course("deadlocks", 0, 3)).description.replace("\u202f", " ")
    assert amount.startswith("highest 3 within 1 h 00 min (")


def test_flat():
    assert course("deadlocks", 0, 0, None).is_flat
    assert course("deadlocks").is_flat
    assert not course("deadlocks", 0, 1).is_flat


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, Unit.COUNT, "not known"),
        (0, Unit.COUNT, "0"),
        (0, Unit.RATIO, "0 %"),
        (1, Unit.RATIO, "100 %"),
        (0.99999, Unit.RATIO, "99.99 %"),
        (0.00001, Unit.RATIO, "< 0.1 %"),
        (1234567, Unit.COUNT, "1 234 567"),
        (0.0456, Unit.COUNT, "0.0456"),
        (3 / 86400, Unit.PER_SECOND, "3/day"),
        (0.5, Unit.PER_SECOND, "0.5/s"),
        (0.02, Unit.PER_SECOND, "1.2/min"),
        (1536, Unit.BYTES, "1536 B"),
        (12.5, Unit.MILLISECONDS, "12.5 ms"),
        (90, Unit.SECONDS, "1 min 30 s"),
    ],
)
def test_amounts(value, unit, words):
    assert amounts.amount(value, unit).replace("\u202f", " ") == words


def test_growth_has_a_sign():
    assert amounts.growth(2048 * 1024).replace("\u202f", " ") == "+2 MB"
    assert amounts.growth(-2048 * 1024).replace("\u202f", " ") == "−2 MB"
    assert (amounts.growth(0), amounts.growth(None)) == ("0", "not known")


@pytest.mark.parametrize(
    ("value", "words"), [(960, "960"), (9640, "9 600"), (1_234_567, "1.2 million"), (999_900, "1 million")]
)
def test_some(value, words):
    assert amounts.rounded(value).replace("\u202f", " ").replace("\u00a0", " ") == words
