"""Durations by their size: what is known of them, and how exactly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbopt.client.meter.histogram import Histogram
from dbopt.snapshot import durations

SECONDS = st.floats(min_value=2e-6, max_value=3600)


def made(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@settings(deadline=None, max_examples=100)
@given(st.lists(SECONDS, min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_known_to_five_percent(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    assert made(values).quantile(q) == pytest.approx(exact, rel=0.05)


@settings(deadline=None, max_examples=50)
@given(st.lists(SECONDS, max_size=20), st.lists(SECONDS, max_size=20))
def test_two_together_are_as_one(first: list[float], second: list[float]) -> None:
    both, whole, before = made(first).merge(made(second)), made(first + second), made(first)
    assert (both.count, both.max, both.quantile(0.5)) == (whole.count, whole.max, whole.quantile(0.5))
    assert both.sum == pytest.approx(whole.sum)
    later = whole.since(before)
    assert later.count == len(second)
    assert later.up_to([1, 1024]) == made(second).up_to([1, 1024])
    assert (before.count, before.sum) == (len(first), pytest.approx(sum(first)))  # as it was


def test_of_nothing_nothing_is_known() -> None:
    empty = Histogram()
    assert (empty.count, empty.sum, empty.max, empty.quantile(0.5)) == (0, 0.0, 0.0, None)
    assert empty.up_to([1, 2]) == [0, 0, 0]


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-12, 1e9])
def test_what_is_out_of_range_is_counted(value: float) -> None:
    histogram = made([value])
    assert (histogram.count, sum(histogram.up_to(durations.BOUNDS_MS))) == (1, 1)
    assert histogram.quantile(0.5) == pytest.approx(max(0.0, value), abs=1e-6) or value > 3600


def test_powers_of_two_are_counted_exactly() -> None:
    for bound in durations.BOUNDS_MS:
        counted = made([bound / 1000, bound / 1000 * 1.0001]).up_to([bound])
        assert counted == [1, 1], bound


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(min_value=3e-4, max_value=15), min_size=1, max_size=30), st.sampled_from([0.5, 0.95]))
def test_a_quantile_of_several_processes_is_within_its_bucket(values: list[float], q: float) -> None:
    half = len(values) // 2
    counts = [
        one + other
        for one, other in zip(
            made(values[:half]).up_to(durations.BOUNDS_MS), made(values[half:]).up_to(durations.BOUNDS_MS), strict=True
        )
    ]
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1] * 1000
    found = durations.quantile_ms(counts, q)
    assert found is not None
    assert exact / 2 <= found * 1.000001
    assert found <= exact * 2.000001


def test_of_no_statements_there_is_no_quantile() -> None:
    assert len(durations.NAMES) == len(durations.BOUNDS_MS) + 1
    assert durations.quantile_ms([0] * len(durations.NAMES), 0.95) is None
    assert durations.quantile_ms([0] * len(durations.BOUNDS_MS) + [3], 0.95) == durations.BOUNDS_MS[-1]


def test_it_says_what_it_holds() -> None:
    histogram = Histogram()
    histogram.add(0.25)
    histogram.add(0.5)
    assert repr(histogram) == "Histogram(count=2, sum=0.75, max=0.5)"
