"""Series from intervals, without a store."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from dbopt.history.series import POINTS_MAX, length, of_metric, stretches
from dbopt.history.statement import of_statement
from dbopt.history.table import find, of_table
from dbopt.metrics.catalogue import METRICS
from dbopt.render.amounts import amount
from dbopt.render.history_chart import bounds
from dbopt.render.history_values import time_ticks, value_ticks
from dbopt.snapshot.delta import OTHER_MACHINE, between

from .past import DAY, HOUR, MINUTE, NOW, indexes, server, statements, tables


def intervals(parts):
    return [between(before, now) for before, now in pairwise(parts)]


def transactions(found, every=3600):
    return of_metric(METRICS["transactions_per_second"], {"server": stretches(found, every)}, slow_ms=500)


def hit_ratio(parts):
    summed = stretches(intervals(parts), 3600)
    return of_metric(METRICS["cache_hit_ratio"], {"server": summed}, slow_ms=500)


def test_a_point_is_the_sum_of_the_intervals_that_end_in_it():
    counted = [0, 60, 180, 360, 600]
    found = intervals([server(NOW + 30 * MINUTE * step, number) for step, number in enumerate(counted)])
    first, second = transactions(found).points
    assert (first.from_at, first.to_at, first.seconds) == (NOW, NOW + HOUR, 3600)
    assert [first.value, second.value] == [180 / 3600, 420 / 3600]
    assert transactions(found).whole == 600 / 7200


def test_the_whole_is_not_the_mean_of_the_points():
    """A quiet hour counts for little in a ratio."""
    parts = [server(NOW, 0), server(NOW + HOUR, 0, hit=1, read=9), server(NOW + 2 * HOUR, 0, hit=901, read=109)]
    series = hit_ratio(parts)
    assert [point.value for point in series.points] == [0.1, 0.9]
    assert series.whole == 901 / 1010
    assert (series.low[0], series.high[0]) == (0.1, 0.9)


def test_nothing_counted_is_no_value_and_not_zero():
    parts = [server(NOW + step * HOUR, 5, hit=5) for step in range(3)]
    series = hit_ratio(parts)
    assert [point.value for point in series.points] == [None, None]
    assert (series.whole, series.low) == (None, None)
    assert transactions(intervals(parts)).whole == 0


def test_a_failover_is_a_point_without_a_value_and_a_reset_is_named():
    parts = [
        server(NOW, 0),
        server(NOW + HOUR, 3600),
        server(NOW + 2 * HOUR, 7, lineage="7001/2"),
        server(NOW + 3 * HOUR, 3607, lineage="7001/2"),
        server(NOW + 4 * HOUR, 36, lineage="7001/2"),
    ]
    first, failover, after, reset = transactions(intervals(parts)).points
    assert (failover.value, failover.breaks, failover.seconds) == (None, (OTHER_MACHINE,), 0)
    assert (first.value, after.value) == (1, 1)
    assert len(reset.breaks) == 1


def test_an_interval_longer_than_the_stretches_is_one_point():
    [point] = transactions(intervals([server(NOW, 0), server(NOW + DAY, 86_400)]), every=300).points
    assert (point.value, point.seconds) == (1, 86_400)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(60, 60), (7200, 60), (86_400, 720 + 180), (7 * 86_400, 7200), (365 * 86_400, 432_000)]
)
def test_the_length_that_suits_a_time(seconds, expected):
    assert length(seconds) == expected
    assert seconds / length(seconds) <= POINTS_MAX


def test_what_ends_on_the_hour_belongs_to_the_hour_before():
    found = intervals([server(NOW + step * 20 * MINUTE, step) for step in range(7)])
    assert [item.count("database", "xact_commit") for item in stretches(found, 3600).values()] == [3, 3]


def test_a_statement_whoever_ran_it():
    parts = [
        statements(NOW, ("7/10/1", 0, 0, 0), ("8/10/1", 0, 0, 0)),
        statements(NOW + HOUR, ("7/10/1", 10, 100, 10), ("7/11/1", 30, 60, 350), ("8/10/1", 5, 1, 1)),
        statements(NOW + 2 * HOUR, ("7/10/1", 10, 100, 10), ("7/11/1", 30, 60, 350), ("8/10/1", 9, 2, 2)),
    ]
    calls, mean, rows = of_statement("7", intervals(parts), 3600)
    assert [point.value for point in calls.points] == [40 / 3600, 0]
    assert [point.value for point in mean.points] == [4, None]
    assert [point.value for point in rows.points] == [360 / 3600, 0]
    assert mean.whole == 4


def grown(**changes):
    """A table and its index over four readings; `changes` replace readings of the table by their number."""
    sizes = [1000.0, 3000.0, 2000.0, 5000.0]
    of_tables = [tables(NOW + step * HOUR, t=(size, step * 36.0)) for step, size in enumerate(sizes)]
    of_indexes = [indexes(NOW + step * HOUR, t_x=("t", 100.0 * (step + 1), step * 72.0)) for step in range(4)]
    for number, part in changes.items():
        of_tables[int(number.removeprefix("at"))] = part
    return of_tables, of_indexes


def series_of(of_tables, of_indexes, drop=None, until=None):
    found = {"tables": intervals(of_tables), "indexes": intervals(of_indexes)}
    if drop is not None:
        del found["tables"][drop]
    heads = {"tables": of_tables[-1], "indexes": of_indexes[-1]}
    table = find("public.t", *heads.values())
    return {item.name: item for item in of_table(table, found, heads, 3600, until=until)}


def values(series):
    return [point.value for point in series.points]


def test_sizes_are_reckoned_back_from_the_last_reading():
    found = series_of(*grown())
    assert values(found["table_bytes"]) == [3000, 2000, 5000]
    assert values(found["rows"]) == [30, 20, 50]
    assert values(found["index_bytes"]) == [200, 300, 400]
    assert values(found["seq_scans_per_second"]) == [0.01] * 3
    assert values(found["index_scans_per_second"]) == [0.02] * 3
    assert found["table_bytes"].whole == 5000


def test_sizes_of_a_time_that_is_over():
    found = series_of(*grown(), until=NOW + 2 * HOUR)
    assert values(found["table_bytes"]) == [3000, 2000]


def test_before_a_gap_the_size_is_not_known():
    found = series_of(*grown(), drop=1)
    assert values(found["table_bytes"]) == [None, 5000]
    assert found["table_bytes"].unknown_before == (NOW + 2 * HOUR, "readings are missing")
    assert values(found["seq_scans_per_second"]) == [0.01] * 2


def test_a_table_goes_by_its_name_with_and_without_its_schema():
    part = tables(NOW, t=(1, 1))
    bare = replace(part, subjects={"9": replace(part.subjects["116"], key="9", name="t")})
    assert find("t", part, None).name == find("public.t", part, None).name == "public.t"
    assert find("public.t", bare, None).name == "t"
    assert find("u", part, None) is None


def test_the_value_axis():
    parts = [server(NOW + step * HOUR, 0, hit=100.0 * step, read=float(step)) for step in range(4)]
    series = hit_ratio(parts)
    assert bounds(series).alert is None  # 60 % is far from 99 % all the time
    low = replace(series, points=(*series.points, replace(series.points[0], value=0.7)))
    assert (bounds(low).target, bounds(low).alert) == (0.8, 0.6)
    assert 0 <= bounds(low).low < 0.6


@pytest.mark.parametrize(
    ("low", "high", "unit", "labels"),
    [
        (0, 1, "ratio", ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (0, 9 * 1024**3, "bytes", ["0GB", "2GB", "4GB", "6GB", "8GB"]),
        (0, 12, "ms", ["0.0 ms", "2.5 ms", "5.0 ms", "7.5 ms", "10.0 ms"]),
        (0, 0.002, "per second", ["0.0000/s", "0.0005/s", "0.0010/s", "0.0015/s", "0.0020/s"]),
        (5, 5, "count", ["5"]),
    ],
)
def test_ticks_of_values(low, high, unit, labels):
    assert [label for _, label in value_ticks(low, high, unit, 5)] == labels


def test_ticks_of_times_are_round_and_few(monkeypatch):
    for span in (MINUTE, HOUR, DAY, 9 * DAY, 400 * DAY):
        ticks = time_ticks(NOW, NOW + span, 6)
        assert len(ticks) <= 7
        assert all(NOW <= at <= NOW + span for at, _ in ticks)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "ratio", "not known"),
        (0.99996, "ratio", "99.99 %"),
        (0.0001, "ratio", "< 0.1 %"),
        (0, "ratio", "0 %"),
        (0, "ms", "0 ms"),
        (1536, "bytes per second", "1536B/s"),
        (1234.5, "per second", "1,234/s"),
        (0.25, "count", "0.25"),
    ],
)
def test_amounts(value, unit, words):
    assert amount(value, unit) == words
