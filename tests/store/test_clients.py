"""What applications' processes publish, on both databases."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbopt.errors import UsageError
from dbopt.snapshot.delta import total
from dbopt.store import clients, marks, plain, snapshots, targets
from dbopt.store.clients import COUNTS, ENDED_AFTER, LEVELS, Published
from dbopt.store.location import locate
from dbopt.store.targets import Whose

WHOSE = Whose("7001", "app", "7001")
START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def opened(url):
    location = locate(url)
    plain.make_ready(location)

    @contextlib.contextmanager
    def transaction():
        with plain.transaction(location, reading=False, wait_seconds=1) as session:
            yield session

    return transaction


def said(minutes, *, instance="web-1:17", since=START, levels=None, application="shop", **counts):
    return Published(
        application=application,
        instance=instance,
        started_at=since,
        taken_at=START + minutes * MINUTE,
        counts=counts,
        levels=levels or {},
    )


def publish(opened, *readings, whose=WHOSE, **options):
    for reading in readings:
        with opened() as session:
            clients.publish(session, whose, "main", reading, **options)


def kept(opened, whose=WHOSE, **within):
    """The sum of each family's intervals."""
    with opened() as session:
        found = clients.intervals(session, targets.find(session, whose), **within)
    return {family: total(intervals) for family, intervals in found.items()}


def count(interval, name):
    return interval.count(clients.SUBJECT, name)


def test_what_happened_between_two_readings_is_an_interval(opened):
    first = said(1, queries=10, query_seconds=0.5, levels={"pool_size": 10, "pool_used": 2})
    publish(opened, first, said(2, queries=25, query_seconds=1.0, levels={"pool_size": 10, "pool_used": 4}))
    [(family, whole)] = kept(opened).items()
    assert family == "clients/shop/web-1:17"
    assert (whole.from_at, whole.to_at, whole.seconds) == (START, START + 2 * MINUTE, 120)
    assert (count(whole, "queries"), count(whole, "query_seconds"), count(whole, "errors")) == (25, 1.0, None)
    assert (whole.levels["pool_used"].mean, whole.levels["pool_used"].greatest) == (3, 4)
    since = kept(opened, since=START + MINUTE)[family]
    assert (count(since, "queries"), count(since, "query_seconds")) == (15, 0.5)


def test_nothing_of_before_the_first_reading_is_lost_unless_that_is_long_ago(opened):
    publish(opened, said(30, queries=7), said(90, instance="old", queries=7))
    publish(opened, said(31, queries=9), said(91, instance="old", queries=9))
    found = kept(opened)
    assert count(found["clients/shop/web-1:17"], "queries") == 9
    assert count(found["clients/shop/old"], "queries") == 2


def test_a_process_that_lives_for_seconds_is_not_lost(opened):
    publish(opened, replace(said(0, queries=3), taken_at=START + timedelta(seconds=4)), last=True)
    [whole] = kept(opened).values()
    assert (count(whole, "queries"), whole.seconds) == (3, 4)


def test_what_comes_too_soon_is_left_out_and_not_lost(opened):
    soon = replace(said(1, queries=12), taken_at=START + MINUTE + clients.LEAST_APART / 2)
    publish(opened, said(1, queries=10), soon, said(2, queries=20))
    publish(opened, replace(said(2, queries=21), taken_at=START + 2 * MINUTE + timedelta(seconds=1)), last=True)
    [whole] = kept(opened).values()
    assert count(whole, "queries") == 21
    with opened() as session:
        assert len(clients.intervals(session, targets.find(session, WHOSE))["clients/shop/web-1:17"]) == 3


def of_seconds(*moments, **levels):
    return [replace(said(0, queries=at, levels=levels), taken_at=START + timedelta(seconds=at)) for at in moments]


def test_readings_every_ten_seconds_make_intervals_of_a_minute(opened):
    publish(opened, *of_seconds(*range(10, 190, 10), pool_used=2))
    with opened() as session:
        target_id = targets.find(session, WHOSE)
        [found] = clients.intervals(session, target_id).values()
        [last] = clients.lately(session, target_id, START + timedelta(seconds=200)).values()
        assert clients.lately(session, target_id, START + timedelta(seconds=180) + 2 * clients.SILENT_AFTER) == {}
    assert [(one.seconds, count(one, "queries")) for one in found] == [(60, 60)] * 3
    assert sum(one.levels["pool_used"].samples for one in found) == 18
    assert (last.taken_at, last.levels) == (START + timedelta(seconds=180), {"pool_used": 2})


def test_what_was_marked_stays_a_border_of_intervals(opened):
    """`dbopt metrics --since reset` counts from there."""
    publish(opened, *of_seconds(10, 20))
    with opened() as session:
        at = START + timedelta(seconds=25)
        marks.add(
            session,
            targets.find(session, WHOSE),
            "main",
            at,
            kind=marks.Kind.BASELINE,
            scope="",
            os_user="someone",
            role="someone",
        )
    publish(opened, *of_seconds(30, 40))
    with opened() as session:
        [found] = clients.intervals(session, targets.find(session, WHOSE)).values()
    assert [one.to_at - START for one in found] == [timedelta(seconds=20), timedelta(seconds=40)]


def test_a_process_started_anew_under_the_same_name_counts_from_zero(opened):
    again = START + timedelta(seconds=70)
    publish(opened, said(1, queries=100), said(2, since=again, queries=4), said(3, since=again, queries=6))
    [whole] = kept(opened).values()
    assert (count(whole, "queries"), whole.breaks) == (106, ())


def test_two_processes_under_one_name_give_no_wrong_number(opened):
    """Nobody can tell then what each of them did; that is not counted rather than made up."""
    other = START - timedelta(hours=5)
    publish(opened, said(1, queries=100), said(2, since=other, queries=9000), said(3, queries=110))
    [whole] = kept(opened).values()
    assert count(whole, "queries") == 100


def test_a_count_that_fell_is_not_known_and_never_negative(opened):
    publish(opened, said(1, queries=100), said(2, queries=30), said(3, queries=35))
    [whole] = kept(opened).values()
    assert count(whole, "queries") == 105


def test_what_a_process_learns_to_count_later_is_told_from_then_on(opened):
    publish(opened, said(1, queries=1), said(2, queries=2, errors=50), said(3, queries=3, errors=51))
    [whole] = kept(opened).values()
    assert (count(whole, "queries"), count(whole, "errors")) == (3, 1)


def test_databases_are_apart(opened):
    other = replace(WHOSE, dbname="crm")
    publish(opened, said(1, queries=1))
    publish(opened, said(1, queries=2), whose=other)
    assert [count(whole, "queries") for whole in kept(opened, other).values()] == [2]


def test_ended_processes_are_forgotten_and_their_sums_stay(opened):
    for number in (1, 2):
        publish(opened, said(1, instance=f"web:{number}", queries=10), said(2, instance=f"web:{number}", queries=30))
    publish(opened, said(2, instance="job:1", application="reports", queries=7), last=True)
    late = START + ENDED_AFTER + timedelta(hours=3)
    before = total(kept(opened).values())
    last = replace(said(0, instance="web:3", since=late, queries=0), taken_at=late + MINUTE)
    publish(opened, last)
    found = kept(opened)
    assert set(found) == {"clients/shop/(ended)", "clients/reports/(ended)", "clients/shop/web:3"}
    assert count(found["clients/shop/(ended)"], "queries") == 60
    assert count(total(found.values()), "queries") == count(before, "queries") == 67
    with opened() as session:
        target_id = targets.find(session, WHOSE)
        assert snapshots.families(session, target_id) == ["clients/shop/web:3"]
        # Two days old by then, so those of one hour are one.
        assert len(snapshots.intervals(session, target_id, "clients/shop/(ended)")) == 1


def test_the_server_s_families_are_no_clients(opened):
    """Nor does what clients publish make a database look as if it had readings of its own."""
    publish(opened, said(1, queries=1))
    with opened() as session:
        assert snapshots.known(session) == []


@pytest.mark.parametrize("name", ["a", "web-1.eu:4711", "Shop_2@host", "x" * 100])
def test_names(name):
    assert said(1, instance=name, application=name).family == f"clients/{name}/{name}"


@pytest.mark.parametrize("name", ["", "a/b", "(ended)", "-a", "a b", "ä", "x" * 101, "a\n", "a%", "'; --"])
def test_names_that_cannot_be(name):
    for words in ({"instance": name}, {"application": name}):
        with pytest.raises(UsageError, match="cannot be called"):
            said(1, **words)


@pytest.mark.parametrize(
    ("counts", "levels", "words"),
    [
        ({"querys": 1}, {}, "no client metric is called querys"),
        ({"pool_used": 1}, {}, "no client metric is called pool_used"),
        ({}, {"queries": 1}, "no client metric is called queries"),
        ({"queries": -1}, {}, "queries cannot be -1"),
        ({"queries": float("nan")}, {}, "queries cannot be nan"),
        ({}, {"pool_size": float("inf")}, "pool_size cannot be inf"),
    ],
)
def test_values_that_cannot_be(counts, levels, words):
    with pytest.raises(UsageError, match=words) as caught:
        said(1, levels=levels, **counts)
    known = COUNTS if counts else LEVELS
    assert caught.value.hint is None or f"Valid names: {', '.join(known)}." == caught.value.hint


def test_times_without_a_zone_are_refused():
    with pytest.raises(UsageError, match="time zone"):
        said(1, since=datetime(2026, 1, 1))
