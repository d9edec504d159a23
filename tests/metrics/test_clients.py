"""Figures of applications: sums over all their processes, and no value where nobody has told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dbopt.metrics.catalogue import METRICS
from dbopt.metrics.metric import Standing
from dbopt.metrics.window import Window
from dbopt.snapshot.delta import between
from dbopt.snapshot.model import Interval
from dbopt.store.clients import Published

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def process(instance: str = "a", minutes: tuple[int, int] = (0, 10), **counts: float) -> Interval:
    """What one process did between two readings."""
    readings = [
        Published(
            application="shop",
            instance=instance,
            started_at=START,
            taken_at=START + timedelta(minutes=at),
            counts={name: value if is_last else 0 for name, value in counts.items()},
            levels={},
        ).part()
        for at, is_last in zip(minutes, (False, True), strict=True)
    ]
    return between(*readings)


def window(*processes: Interval) -> Window:
    return Window(intervals={interval.family: interval for interval in processes})


def value(name: str, *processes: Interval) -> float | None:
    return METRICS[name].value(window(*processes))


def test_sums_over_all_processes() -> None:
    both = (
        process("a", queries=900, query_seconds=9, errors=1, slow_queries=2, cache_hits=80, cache_misses=20),
        process("b", queries=100, query_seconds=91, errors=4, slow_queries=7, cache_hits=0, cache_misses=100),
    )
    assert value("client_query_ms", *both) == 100
    assert value("client_error_ratio", *both) == 0.005
    assert value("client_slow_queries", *both) == 9
    assert value("client_cache_hit_ratio", *both) == 0.4


def test_a_rate_is_that_of_all_at_the_same_time() -> None:
    """One of them was there for the second half only."""
    assert value("client_queries_per_second", process("a", queries=600)) == 1
    late = process("b", (5, 10), queries=300)
    assert value("client_queries_per_second", process("a", queries=600), late) == 1.5


def test_who_does_not_count_something_has_no_part_in_its_share() -> None:
    silent = process("b", queries=1000)
    assert value("client_error_ratio", process("a", queries=100, errors=1), silent) == 0.01
    assert value("client_query_ms", process("a", queries=10, query_seconds=1), silent) == 100


def test_of_the_pool() -> None:
    pool = process(pool_acquires=50, pool_wait_seconds=2, pool_timeouts=3)
    assert value("client_pool_wait_ms", pool) == 40
    assert value("client_pool_timeouts", pool) == 3


@pytest.mark.parametrize("name", [name for name in METRICS if name.startswith("client_")])
def test_nothing_told_is_no_value(name: str) -> None:
    assert value(name) is None
    assert value(name, process(queries=0) if "pool" in name else process(pool_acquires=0)) is None


@pytest.mark.parametrize("name", ["client_query_ms", "client_error_ratio", "client_cache_hit_ratio"])
def test_of_nothing_there_is_no_share(name: str) -> None:
    idle = process(queries=0, query_seconds=0, errors=0, cache_hits=0, cache_misses=0)
    assert value(name, idle) is None


def test_none_of_something_is_zero() -> None:
    assert value("client_slow_queries", process(queries=5, slow_queries=0)) == 0
    assert value("client_error_ratio", process(queries=5, errors=0)) == 0


@pytest.mark.parametrize(
    ("name", "number", "standing"),
    [
        ("client_query_ms", 99.9, Standing.OK),
        ("client_query_ms", 100, Standing.ABOVE),
        ("client_query_ms", 501, Standing.ALERT),
        ("client_cache_hit_ratio", 0.81, Standing.OK),
        ("client_cache_hit_ratio", 0.7, Standing.BELOW),
        ("client_cache_hit_ratio", 0.59, Standing.ALERT),
        ("client_error_ratio", 0.0009, Standing.OK),
        ("client_error_ratio", 0.02, Standing.ALERT),
    ],
)
def test_targets_of_the_guides(name: str, number: float, standing: Standing) -> None:
    goal = METRICS[name].goal
    assert goal is not None
    assert goal.standing(number) is standing
