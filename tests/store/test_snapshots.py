"""Readings and intervals in the store, on both databases: who comes when, who is killed, what cannot be read."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from helpers import wait_until

from dbopt.snapshot.delta import CLOCK_WENT_BACK, total
from dbopt.snapshot.model import Family, Part, Subject
from dbopt.store import plain, snapshots, targets
from dbopt.store.aside import Aside
from dbopt.store.location import locate
from dbopt.store.targets import Whose

from .values import start

# A night on which clocks jump.
NIGHT = datetime(2026, 3, 29, 0, 30, 0, 123456, tzinfo=UTC)
WHOSE = Whose("7001", "app", "7001")


def reading(minutes: float, count: float, *, family: str = Family.TABLES, **changes) -> Part:
    values = {
        "family": family,
        "taken_at": NIGHT + timedelta(minutes=minutes),
        "lineage": "7001/1",
        "counts": ("n",),
        "subjects": {"1": Subject("1", "posts", (count,))},
    }
    return Part(**{**values, **changes})


def keep(url: str, *parts: Part, name: str = "main", **options):
    plain.make_ready(locate(url))
    with plain.transaction(locate(url), reading=False, wait_seconds=10) as session:
        return [snapshots.keep(session, WHOSE, name, [part], **options) for part in parts]


def look(url: str, work):
    with plain.transaction(locate(url), reading=True, wait_seconds=1) as session:
        return work(session, targets.find(session, WHOSE))


def kept(url: str, family: str = Family.TABLES):
    return look(url, lambda session, target_id: snapshots.intervals(session, target_id, family))


def head(url: str, family: str = Family.TABLES):
    return look(url, lambda session, target_id: snapshots.head(session, target_id, family))


def test_the_first_reading_makes_no_interval(url):
    assert keep(url, reading(0, 10.0)) == [{}]
    assert (head(url), kept(url)) == (reading(0, 10.0), [])


def test_a_reading_ends_an_interval_and_is_the_start_of_the_next(url):
    made = keep(url, reading(0, 10.0), reading(5, 40.0), reading(10, 100.0))
    assert [item.count("1", "n") for item in kept(url)] == [30.0, 60.0]
    assert kept(url) == [found[Family.TABLES] for found in made if found]
    assert head(url) == reading(10, 100.0)


@pytest.mark.parametrize("minutes", [0.0, 0.5, -0.5], ids=["the same moment", "too soon", "beside it, and late"])
def test_a_reading_that_comes_too_close_to_the_last_is_left_out(url, minutes):
    keep(url, reading(0, 10.0), reading(5, 40.0))
    assert keep(url, reading(5 + minutes, 50.0)) == [{}]
    keep(url, reading(10, 100.0))
    assert [item.count("1", "n") for item in kept(url)] == [30.0, 60.0]


def test_whoever_wants_it_now_gets_it(url):
    """A second after the last: the reset of the server comes next."""
    keep(url, reading(0, 10.0))
    [made] = keep(url, reading(1 / 60, 40.0), least_apart=timedelta(0))
    assert made[Family.TABLES].seconds == 1.0
    assert keep(url, reading(1 / 60, 40.0), least_apart=timedelta(0)) == [{}]


def test_a_reading_that_was_held_up_for_an_hour_does_not_take_the_place_of_a_later_one(url):
    """The laptop slept. What lies between the two would be counted twice."""
    keep(url, reading(0, 10.0), reading(60, 70.0))
    assert keep(url, reading(5, 15.0, asked_at=time.time() - 55 * 60)) == [{}]
    keep(url, reading(65, 75.0))
    assert [item.count("1", "n") for item in kept(url)] == [60.0, 5.0]


def test_a_clock_that_was_set_back_is_a_gap_and_a_new_start(url):
    keep(url, reading(0, 10.0), reading(60, 70.0))
    [made] = keep(url, reading(5, 75.0, asked_at=time.time()))
    assert (made[Family.TABLES].seconds, made[Family.TABLES].breaks) == (0.0, (CLOCK_WENT_BACK,))
    keep(url, reading(10, 80.0, asked_at=time.time()))
    whole = total(kept(url))
    assert whole is not None
    assert (whole.count("1", "n"), whole.seconds) == (65.0, 65 * 60.0)


def test_a_held_up_reading_after_the_clock_was_set_back(url):
    """It is ahead of the last one by the server's clock, and older by ours."""
    long_ago = time.time() - 600
    keep(url, reading(60, 70.0, asked_at=long_ago), reading(0, 75.0, asked_at=long_ago + 300))
    assert keep(url, reading(61, 71.0, asked_at=long_ago + 60)) == [{}]


def test_families_that_are_read_now_and_then(url):
    """One that was missing for a day has an interval of a day."""
    statements = {"family": Family.STATEMENTS}
    keep(url, reading(0, 10.0), reading(0, 5.0, **statements), reading(60, 70.0), reading(1440, 80.0))
    [made] = keep(url, reading(1440, 65.0, **statements))
    assert (made[Family.STATEMENTS].seconds, len(kept(url))) == (86_400.0, 2)


def test_a_target_that_was_renamed_goes_on(url):
    keep(url, reading(0, 10.0, family=Family.SERVER), name="main")
    keep(url, reading(5, 40.0, family=Family.SERVER), name="production")
    assert len(kept(url, Family.SERVER)) == 1
    with plain.transaction(locate(url), reading=True, wait_seconds=1) as session:
        assert [item.name for item in snapshots.known(session)] == ["production"]
        assert snapshots.known(session, ["main"]) == []


@pytest.mark.parametrize(
    "packed", [b"", b"not packed", b"x\x9c\x03\x00\x00\x00\x00\x01"], ids=["nothing", "text", "empty"]
)
def test_a_reading_that_cannot_be_read_is_a_gap_and_a_new_start(url, packed):
    keep(url, reading(0, 10.0), reading(5, 40.0))
    spoil(url, "UPDATE snapshot_heads SET packed = :packed", packed)
    assert keep(url, reading(10, 100.0)) == [{}]
    keep(url, reading(15, 160.0))
    assert [item.count("1", "n") for item in kept(url)] == [30.0, 60.0]


def test_an_interval_that_cannot_be_read_is_a_gap(url):
    keep(url, reading(0, 10.0), reading(5, 40.0), reading(10, 100.0))
    spoil(url, "UPDATE intervals SET packed = :packed WHERE id = (SELECT min(id) FROM intervals)", b"not packed")
    assert [item.count("1", "n") for item in kept(url)] == [60.0]


def spoil(url: str, sql: str, packed: bytes) -> None:
    with plain.transaction(locate(url), reading=False, wait_seconds=1) as session:
        session.run(sql, [{"packed": packed}])


def test_a_store_that_was_deleted_between_two_readings(sqlite_url, tmp_path, warnings):
    for _ in range(2):
        store = Aside(sqlite_url, "this reading is not kept")
        made = store.attempt(lambda session: snapshots.keep(session, WHOSE, "main", [reading(0, 10.0)]), reading=False)
        assert made == {}
        for path in tmp_path.glob("store.db*"):
            path.unlink()
    assert warnings() == []


# Processes of their own.

KEEPER = """
import sys, time
from dataclasses import replace
from tests.store.test_snapshots import *
url, pause = sys.argv[1], float(sys.argv[2])
unpacked = snapshots.pack_part
def slow(part):
    print("in the middle", flush=True)
    time.sleep(pause)
    return unpacked(part)
snapshots.pack_part = slow
part = reading(10, 100.0)
keep(url, part, replace(part, family="indexes"))
"""


def test_a_process_that_is_killed_in_the_middle_of_keeping(url):
    """Neither an interval without its reading nor a reading without its interval."""
    keep(url, reading(0, 10.0), reading(5, 40.0))
    with start(KEEPER, url, "60") as process:
        assert process.stdout.readline() == b"in the middle\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (head(url), len(kept(url))) == (reading(5, 40.0), 1)
    keep(url, reading(15, 160.0))
    assert [item.count("1", "n") for item in kept(url)] == [30.0, 120.0]


LATER = """
import sys
from tests.store.test_snapshots import *
keep(sys.argv[1], reading(11, 110.0))
"""


def test_two_processes_that_keep_at_once_count_nothing_twice(postgresql_url, database):
    """The later one waits for what the earlier one is about to keep, and goes on from there. A file has one writer."""
    keep(postgresql_url, reading(0, 10.0), reading(5, 40.0))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'dbopt store' AND datname = current_database() AND wait_event_type = 'Lock'"
    )
    with plain.transaction(locate(postgresql_url), reading=False, wait_seconds=10) as session:
        snapshots.keep(session, WHOSE, "main", [reading(10, 100.0)])
        process = start(LATER, postgresql_url)
        wait_until(lambda: database.sql(waiting) == [(1,)], "the second process's wait")
    with process:
        _, words = process.communicate()
        assert process.returncode == 0, words.decode()
    assert [item.count("1", "n") for item in kept(postgresql_url)] == [30.0, 60.0, 10.0]
