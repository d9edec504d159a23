"""Single cases of what counters do between two readings. For what only a server can show: test_week.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbopt.snapshot.continuity import DROPPED, EVICTED, FELL, STARTED_ANEW, gaps
from dbopt.snapshot.delta import (
    CLOCK_WENT_BACK,
    OTHER_DATABASE,
    OTHER_MACHINE,
    OTHER_SOURCE,
    added,
    between,
    total,
)
from dbopt.snapshot.model import Change, Family, Interval, Part, Subject

T0 = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = T0 - timedelta(days=30)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def part(seconds: float, *subjects: Subject, family: str = Family.TABLES, **changes) -> Part:
    values = {
        "family": family,
        "taken_at": at(seconds),
        "lineage": "7/1",
        "counts": ("n",),
        "gauges": (),
        "subjects": {item.key: item for item in subjects},
        "since": LONG_AGO,
        "database_oid": 5,
    }
    return Part(**{**values, **changes})


def thing(
    key: str = "1", *counts: float | None, name: str = "t", since=LONG_AGO, identity="xid 1", gauges=()
) -> Subject:
    return Subject(key, name, counts or (100.0,), gauges, since, identity)


def only(interval: Interval) -> Change:
    [change] = interval.changes.values()
    return change


# The whole family.


def test_what_did_nothing_is_left_out_and_yet_known():
    interval = between(part(0, thing()), part(60, thing()))
    assert interval.changes == {}
    assert (interval.count("1", "n"), interval.rate("1", "n"), interval.seconds) == (0.0, 0.0, 60.0)
    assert interval.count("1", "no such column") is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lineage": "7/2"}, OTHER_MACHINE),
        ({"database_oid": 6}, OTHER_DATABASE),
        ({"taken_at": at(0)}, CLOCK_WENT_BACK),
        ({"taken_at": at(-3600)}, CLOCK_WENT_BACK),
        ({"machine": (at(-5), at(-4))}, OTHER_MACHINE),
        ({"source": "1.10"}, OTHER_SOURCE),
    ],
    ids=str,
)
def test_where_nothing_follows_from_before_there_is_an_empty_interval(changes, why):
    before = part(0, thing("1", 100.0), machine=(at(-50), at(-40)), source="1.8")
    interval = between(before, replace(part(60, thing("1", 900.0), machine=before.machine, source="1.8"), **changes))
    assert (interval.changes, interval.seconds, interval.breaks) == ({}, 0.0, (why,))
    assert interval.rate("1", "n") is None
    assert interval.from_at <= interval.to_at


def test_a_server_whose_own_counters_were_all_reset_is_still_the_same_machine():
    """pg_stat_reset_shared(NULL), 17+."""
    before = part(0, thing("1", 100.0), machine=(at(-50), at(-40)))
    interval = between(before, part(60, thing("1", 160.0), machine=(at(30), at(30))))
    assert interval.rate("1", "n") == 1.0


# Reset with the database.


def reset_at(seconds: float, **changes) -> dict[str, object]:
    return {"since": at(seconds), "of_database": (7.0,), **changes}


BEFORE = {"of_database": (1000.0,)}


def test_a_reset_of_the_database_is_seen_though_no_counter_of_this_table_fell():
    """From the reset on it did more than it had ever done before."""
    interval = between(part(0, thing("1", 100.0), **BEFORE), part(60, thing("1", 500.0), **reset_at(10)))
    assert (interval.count("1", "n"), interval.seconds_of("1"), interval.rate("1", "n")) == (500.0, 50.0, 10.0)
    assert interval.breaks == (STARTED_ANEW,)


def test_the_reset_of_another_table_moves_the_same_time_and_resets_nothing_here():
    """Whether this one was reset or another is not told: the least that it can have done, and no rate."""
    now = part(60, thing("1", 160.0), since=at(10), of_database=(1100.0,))
    interval = between(part(0, thing("1", 100.0), **BEFORE), now)
    assert (interval.count("1", "n"), interval.rate("1", "n")) == (60.0, None)


def test_a_table_that_was_reset_by_itself():
    now = part(60, thing("1", 30.0), thing("2", 160.0), since=at(10), of_database=(1100.0,))
    interval = between(part(0, thing("1", 100.0), thing("2", 100.0), **BEFORE), now)
    assert [interval.count(key, "n") for key in "12"] == [30.0, 60.0]
    assert [interval.rate(key, "n") for key in "12"] == [None, None]


def test_what_was_counted_at_an_unknown_time_is_part_of_the_sum_and_not_of_the_rate():
    first = part(0, thing("1", 100.0), **BEFORE)
    second = part(60, thing("1", 30.0), since=at(10), of_database=(1100.0,))
    third = replace(second, taken_at=at(120), subjects={"1": thing("1", 90.0)})
    whole = total([between(first, second), between(second, third)])
    assert whole is not None
    assert (whole.count("1", "n"), whole.seconds_of("1"), whole.rate("1", "n")) == (90.0, 60.0, 1.0)


@pytest.mark.parametrize(
    ("remembers", "rate"), [(None, 10.0), (at(20), 10.0), (at(5), None)], ids=["nothing", "later", "before the last"]
)
def test_of_two_resets_the_first_may_have_been_that_of_all(remembers, rate):
    """The last one is told; a trace from before it says that it was of a single table."""
    now = part(60, thing("1", 500.0), **reset_at(10, remembers=remembers))
    interval = between(part(0, thing("1", 100.0), **BEFORE), now)
    assert (interval.count("1", "n"), interval.rate("1", "n")) == (500.0, rate)


def test_a_reading_in_the_middle_of_a_reset():
    """The database's own counters are zero already, a catalog still remembers yesterday, as this table does."""
    now = part(60, thing("1", 160.0), **reset_at(59, remembers=LONG_AGO))
    assert between(part(0, thing("1", 100.0), **BEFORE), now).count("1", "n") == 60.0


def test_a_fall_that_nobody_explains_counts_as_nothing():
    """A machine set back to a snapshot: what the counters say now, they had said before."""
    interval = between(part(0, thing("1", 100.0), **BEFORE), part(60, thing("1", 90.0), **BEFORE))
    assert (interval.count("1", "n"), interval.seconds_of("1"), interval.breaks) == (None, 0.0, (FELL,))


def test_the_database_itself_goes_on_when_a_catalog_is_reset():
    counts = ("xact_commit", "catalog_blks_hit")
    before, now = (
        part(
            seconds,
            Subject("database", "database", values, (), since),
            family=Family.SERVER,
            counts=counts,
            since=since,
            of_database=values[:1],
            remembers=LONG_AGO,
        )
        for seconds, values, since in ((0, (100.0, 500.0), LONG_AGO), (60, (160.0, 3.0), at(30)))
    )
    interval = between(before, now)
    assert (interval.rate("database", "xact_commit"), interval.count("database", "catalog_blks_hit")) == (1.0, None)


# Things that come and go.


def test_another_table_under_the_same_oid_counts_from_zero():
    now = part(60, thing("1", 300.0, identity="xid 9", name="other"))
    assert only(between(part(0, thing("1", 100.0)), now)).counts == (300.0,)


def test_a_new_table_has_counted_from_zero_and_was_watched_all_the_time():
    interval = between(part(0), part(60, thing("1", 30.0)))
    assert (interval.count("1", "n"), interval.rate("1", "n")) == (30.0, 0.5)


def test_what_a_dropped_table_did_last_nobody_knows():
    with_sizes = {"gauges": ("heap_bytes",)}
    interval = between(part(0, thing("1", 100.0, gauges=(8192,)), **with_sizes), part(60, **with_sizes))
    assert only(interval) == Change("1", "t", (None,), (-8192,), 60.0)


def index(key: str, count: float, name: str = "app.by_a") -> Subject:
    return thing(key, count, name=name, identity="xid 1 of its table")


def indexes(seconds: float, *subjects: Subject, **changes) -> Part:
    return part(seconds, *subjects, family=Family.INDEXES, **changes)


@pytest.mark.parametrize("name", ["app.by_a", "by_a"], ids=["same search_path", "another search_path"])
def test_an_index_that_was_rebuilt_concurrently_goes_on_under_another_oid(name):
    first, second = indexes(0, index("1", 50.0)), indexes(60, index("1", 110.0))
    third, fourth = indexes(120, index("2", 170.0, name)), indexes(180, index("2", 230.0, name))
    parts = [between(*pair) for pair in ((first, second), (second, third), (third, fourth))]
    whole = total(parts)
    assert whole is not None
    assert [*whole.changes] == ["2"]
    assert (whole.count("2", "n"), whole.rate("2", "n")) == (180.0, 1.0)
    assert added(parts[0], added(parts[1], parts[2])) == added(added(parts[0], parts[1]), parts[2])


def test_a_rebuild_seen_half_way():
    """The new one is there and empty; then it has the name, and the old one waits for its last readers."""
    first = indexes(0, index("1", 100.0))
    second = indexes(60, index("1", 160.0), index("2", 5.0, "app.by_a_ccnew"))
    third = indexes(120, index("1", 190.0, "app.by_a_ccold"), index("2", 200.0))
    fourth = indexes(180, index("2", 280.0))
    steps = [between(*pair) for pair in ((first, second), (second, third), (third, fourth))]
    counted = sum(change.counts[0] or 0.0 for step in steps for change in step.changes.values())
    assert counted == pytest.approx(180.0 + 5.0)  # and what building it read


def test_an_index_that_takes_the_name_of_a_dropped_one_is_another():
    first = indexes(0, index("1", 100.0), index("2", 3.0, "app.by_a_new"))
    interval = between(first, indexes(60, index("2", 500.0)))
    assert (interval.count("2", "n"), interval.count("1", "n")) == (497.0, None)


def test_an_index_that_was_made_anew_under_its_name_has_counted_from_zero():
    interval = between(indexes(0, index("1", 100.0)), indexes(60, index("2", 6.0)))
    assert interval.count("2", "n") == 6.0


def sums(seconds: float, count: float, oids: list[int]) -> Part:
    return part(seconds, thing("all", count, identity=gaps(oids)), family=Family.RELATIONS)


@pytest.mark.parametrize(
    ("oids", "count", "breaks"),
    [([1, 5, 9], 60.0, ()), ([1, 5, 9, 12], 60.0, ()), ([1, 9, 12], None, (DROPPED,))],
    ids=["the same", "one more", "one dropped, one made"],
)
def test_a_sum_over_all_tables_says_nothing_where_one_was_dropped(oids, count, breaks):
    interval = between(sums(0, 100.0, [9, 5, 1]), sums(60, 160.0, oids))
    assert (interval.count("all", "n"), interval.breaks) == (count, breaks)


# Columns.


def test_a_column_that_an_older_dbopt_did_not_read_is_counted_from_when_it_is():
    both = ("n", "m")
    first = between(part(0, thing("1", 100.0)), part(60, thing("1", 160.0, 700.0), counts=both))
    assert (first.count("1", "m"), first.rate("1", "m"), first.rate("1", "n")) == (None, None, 1.0)
    second = between(part(60, thing("1", 160.0, 700.0), counts=both), part(120, thing("1", 220.0, 760.0), counts=both))
    whole = added(first, second)
    assert (whole.rate("1", "n"), whole.rate("1", "m")) == (1.0, 1.0)
    older = between(part(-60, thing("1", 40.0)), part(0, thing("1", 100.0)))
    assert added(older, whole).rate("1", "m") == 1.0


def test_a_counter_that_was_null_is_not_known_and_not_zero():
    before = part(0, thing("1", 100.0, None), counts=("n", "m"))
    now = part(60, thing("1", 160.0, 70.0), counts=("n", "m"))
    assert only(between(before, now)).counts == (60.0, None)
    assert only(between(now, replace(before, taken_at=at(120), subjects={"1": thing("1", 170.0, None)}))).counts == (
        10.0,
        None,
    )


def test_noise_of_floating_point_numbers_is_no_fall():
    interval = between(part(0, thing("1", 1e9)), part(60, thing("1", 1e9 - 1e-3)))
    assert (interval.count("1", "n"), interval.breaks) == (0.0, ())


# Statements.


def entry(calls: float, since=None, *, key="1/10/1", most=None, least=None) -> Subject:
    return Subject(key, key.split("/")[0], (calls,), (most, least), since)


def statements(seconds: float, *entries: Subject, version="1.11", reset=LONG_AGO, evictions=0) -> Part:
    told = version != "1.8"
    return part(
        seconds,
        *entries,
        family=Family.STATEMENTS,
        gauges=("max_exec_time_ms", "min_exec_time_ms"),
        has_own_since=version == "1.11",
        since=reset if told else None,
        evictions=evictions if told else None,
        source=version,
    )


def test_an_entry_that_was_evicted_and_came_back():
    now = statements(60, entry(500.0, at(10)), evictions=1)
    interval = between(statements(0, entry(100.0, LONG_AGO)), now)
    assert (interval.count("1/10/1", "n"), interval.rate("1/10/1", "n")) == (500.0, 10.0)
    assert set(interval.breaks) == {STARTED_ANEW, EVICTED}


def test_an_entry_that_was_evicted_is_not_known_any_more():
    """Not 0: it may have been called a hundred times before it went."""
    interval = between(statements(0, entry(100.0, LONG_AGO)), statements(60, evictions=1))
    assert (interval.count("1/10/1", "n"), interval.seconds_of("1/10/1")) == (None, 0.0)


@pytest.mark.parametrize("version", ["1.9", "1.11"])
def test_a_reset_of_all_statements_is_lost_time_until_the_reset_and_not_until_the_next_call(version):
    """A statement of which there was one call, late: there was none before, or there would be an entry."""
    own = version == "1.11"
    before = statements(0, entry(100.0, LONG_AGO), version=version)
    now = statements(60, entry(1.0, at(50) if own else at(10)), version=version, reset=at(10))
    assert between(before, now).seconds_of("1/10/1") == 50.0


@pytest.mark.parametrize("version", ["1.9", "1.11"])
def test_a_statement_that_is_called_for_the_first_time(version):
    now = statements(60, entry(30.0, at(45) if version == "1.11" else LONG_AGO), version=version)
    interval = between(statements(0, version=version, reset=LONG_AGO), now)
    assert (interval.rate("1/10/1", "n"), interval.breaks) == (0.5, ())


def test_one_that_others_had_hidden_is_not_taken_for_new():
    interval = between(statements(0), statements(60, entry(5000.0, LONG_AGO)))
    assert interval.count("1/10/1", "n") is None


@pytest.mark.parametrize(
    "marks", [{"most": 8.0, "least": 1.0}, {"most": 9.0, "least": 2.0}, {"most": None, "least": 2.0}], ids=str
)
def test_before_version_1_11_the_least_and_the_most_tell_of_an_entry_made_anew(marks):
    before = statements(0, entry(100.0, most=9.0, least=1.0), version="1.8")
    interval = between(before, statements(60, entry(130.0, **marks), version="1.8"))
    assert (interval.count("1/10/1", "n"), interval.rate("1/10/1", "n")) == (130.0, None)


def test_a_reset_of_the_least_and_the_most_alone_is_none():
    """pg_stat_statements_reset(..., minmax_only), 1.11+."""
    before = statements(0, entry(100.0, LONG_AGO, most=9.0))
    assert between(before, statements(60, entry(160.0, LONG_AGO, most=2.0))).rate("1/10/1", "n") == 1.0
