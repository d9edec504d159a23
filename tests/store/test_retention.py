"""How long and how much is kept: by age, by size, beside readings and by a prune."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from dbopt.config.retention import parse_age, parse_size
from dbopt.snapshot.model import Family
from dbopt.store import marks, retention, snapshots, space
from dbopt.store.marks import Kind
from dbopt.store.prune import prune
from dbopt.store.retention import Policy

from .readings import DAY, HOUR, START, WHOSE, counted, keep, located, opened, part, rows
from .values import events_of, make_plan, record

MINUTE = timedelta(minutes=1)
NOW = datetime.now(UTC)


def pruned(url, *, before=None, size=math.inf, dry_run=False):
    return prune(located(url), before=before, size_bytes=size, dry_run=dry_run, wait_seconds=5)


def noise(random, at, count):
    """A reading that takes some room: 40 tables whose names nothing compresses."""
    names = {random.randbytes(200).hex(): count for _ in range(40)}
    return part(at, count, **names)


def test_what_is_older_goes_beside_a_reading_once_an_hour(sqlite_url):
    policy = Policy(age_seconds=(3 * DAY).total_seconds())
    times = [NOW - 5 * DAY, NOW - 4 * DAY, NOW - 2 * DAY, NOW - 2 * HOUR]
    target_id = keep(sqlite_url, *(part(at, n) for n, at in enumerate(times)))
    of_this_hour = (NOW - 2 * HOUR).replace(minute=0, second=0) + 59 * MINUTE
    assert counted(sqlite_url, target_id) == 3
    keep(sqlite_url, part(max(of_this_hour, times[-1] + MINUTE), 10), policy=policy)
    keep(sqlite_url, part(NOW, 20), policy=policy)
    assert counted(sqlite_url, target_id) == 19  # all but the interval that ended four days ago
    assert rows(sqlite_url, "intervals") == 4


def test_within_an_hour_nothing_is_looked_for(sqlite_url):
    hour = NOW.replace(minute=0, second=0, microsecond=0) - HOUR
    target_id = keep(sqlite_url, *(part(at, n) for n, at in enumerate((NOW - 5 * DAY, NOW - 4 * DAY, hour + MINUTE))))
    keep(sqlite_url, part(hour + 5 * MINUTE, 9), policy=Policy(age_seconds=(2 * DAY).total_seconds()))
    assert counted(sqlite_url, target_id) == 9


def test_a_server_whose_clock_is_ahead_makes_nobody_forget(sqlite_url):
    target_id = keep(sqlite_url, part(NOW - 2 * DAY, 0), part(NOW - DAY, 5))
    ahead = WHOSE.__class__("7002", "app", "7002")
    policy = Policy(age_seconds=(30 * DAY).total_seconds())
    for minutes in (0, 90):
        keep(sqlite_url, part(NOW + 4000 * DAY + minutes * MINUTE, 1), whose=ahead, policy=policy)
    assert counted(sqlite_url, target_id) == 5


def test_an_age_beyond_the_calendar_forgets_nothing():
    assert Policy(age_seconds=1e12).before(NOW) is None
    assert Policy().before(NOW) is None


@pytest.fixture
def full(url):
    """Two databases, the readings of ten days; a mark in the middle and one at the end; a run; health has no part."""
    random = Random(7)
    for dbname in ("app", "crm"):
        whose = WHOSE.__class__("7001", dbname, "7001")
        readings = [noise(random, NOW - 10 * DAY + n * DAY / 2, n) for n in range(20)]
        target_id = keep(url, *readings, whose=whose)
        for at in (5, 1):
            with opened(url) as session:
                marks.add(
                    session,
                    target_id,
                    "main",
                    NOW - at * DAY,
                    kind=Kind.BASELINE,
                    scope="",
                    os_user="anna",
                    role="deployer",
                    parts=readings[:1],
                )
    record(url, events_of(make_plan()), clock=lambda: NOW - 8 * DAY)
    record(url, events_of(make_plan()), clock=lambda: NOW)
    return url


def test_a_prune_by_age(full):
    before = NOW - 4 * DAY
    told = pruned(full, before=before, dry_run=True)
    assert rows(full, "intervals") == 38
    done = pruned(full, before=before)
    assert done.rows == told.rows
    assert done.rows == Counter(intervals=22, mark_parts=2, marks=2, steps=2, runs=1)
    assert (rows(full, "marks"), rows(full, "mark_parts"), rows(full, "runs")) == (2, 2, 1)
    assert done.after_bytes < done.before_bytes  # on disk, and about as was told
    assert pruned(full, before=before).rows == Counter()


def test_a_prune_by_size(full):
    with opened(full) as session:
        size = space.used_bytes(session) - 150_000  # of some 300,000 in intervals
    told = pruned(full, size=size, dry_run=True)
    done = pruned(full, size=size)
    assert done.after_bytes <= size
    assert set(done.rows) == {"intervals"}
    assert done.rows["intervals"] == pytest.approx(told.rows["intervals"], abs=6)
    with opened(full) as session:  # the oldest of both databases went, and the last readings are there
        assert [known.dbname for known in snapshots.known(session)] == []
        left = snapshots.intervals(session, 1, Family.TABLES)
    assert left[-1].to_at == NOW - DAY / 2
    assert left[0].from_at > NOW - 10 * DAY


def test_while_another_process_makes_room_a_reading_waits_for_nothing(postgresql_url):
    random = Random(7)
    keep(postgresql_url, noise(random, START, 0), noise(random, START + DAY, 1))
    with opened(postgresql_url) as other:
        assert retention.take_turn(other, waits=True)
        keep(postgresql_url, noise(random, START + 2 * DAY, 2), policy=Policy(size_bytes=1))
        assert rows(postgresql_url, "intervals") == 2
    keep(postgresql_url, noise(random, START + 3 * DAY, 3), policy=Policy(size_bytes=1))
    assert rows(postgresql_url, "intervals") == 0


def test_a_size_that_cannot_be_reached_leaves_what_is_needed(full):
    done = pruned(full, size=1)
    assert (rows(full, "intervals"), rows(full, "mark_parts"), rows(full, "marks")) == (0, 0, 4)
    assert rows(full, "snapshot_heads") == 2
    assert done.after_bytes > 1


def test_a_size_is_kept_to_beside_readings(url):
    random = Random(7)
    target_id = keep(url, noise(random, START, 0))
    with opened(url) as session:
        limit = space.used_bytes(session) + 150_000
    for n in range(1, 31):
        keep(url, noise(random, START + n * HOUR, n), policy=Policy(size_bytes=limit))
    with opened(url) as session:
        assert space.used_bytes(session) < limit * 1.2
        last = snapshots.head(session, target_id, Family.TABLES)
    assert last.taken_at == START + 30 * HOUR
    assert 5 <= rows(url, "intervals") < 30


def test_databases_that_nobody_asked_for_so_long_are_forgotten(sqlite_url):
    keep(sqlite_url, part(NOW - 100 * DAY, 1), whose=WHOSE.__class__("7003", "gone", None))
    keep(sqlite_url, part(NOW - DAY, 1))
    assert pruned(sqlite_url, before=NOW - 90 * DAY).rows == Counter(snapshot_heads=1)
    with opened(sqlite_url) as session:
        assert session.rows("SELECT target_name FROM snapshot_heads", {}) == [("main",)]


def test_texts_go_with_the_last_that_is_about_their_statement(url):
    """Statement 1 is in an interval that goes, 2 in one that stays, 3 in the last reading, 4 in a mark, 5 nowhere."""
    texts = {n: f"SELECT {n}" for n in range(1, 6)} | {-6: "SELECT 2"}
    readings = [
        part(NOW - 9 * DAY, 0, Family.STATEMENTS),
        part(NOW - 8 * DAY, 0, Family.STATEMENTS, q1=5),
        part(NOW - 7 * DAY, 0, Family.STATEMENTS),
        part(NOW - 2 * DAY, 0, Family.STATEMENTS, q2=6, **{"q-6": 3}),
        part(NOW - DAY, 0, Family.STATEMENTS, q3=9),
    ]
    target_id = keep(url, *readings)
    with opened(url) as session:
        snapshots.keep_texts(session, target_id, texts)
        marks.add(
            session,
            target_id,
            "main",
            NOW - 8 * DAY,
            kind=Kind.BASELINE,
            scope="",
            os_user="anna",
            role="deployer",
            parts=[part(NOW - 8 * DAY, 0, Family.STATEMENTS, q4=1)],
        )
    assert pruned(url, before=NOW - 3 * DAY).rows == Counter(intervals=2, statements=2, statement_texts=2)
    with opened(url) as session:
        assert snapshots.texts(session, target_id) == {n: texts[n] for n in (2, 3, 4, -6)}


def test_what_is_under_way_goes_on(full):
    """Readings are kept between the steps of a prune, so none of it is one long transaction."""
    with opened(full) as session:
        assert sum(retention.forget(session, NOW - 4 * DAY).values()) == 29
        assert retention.forget(session, NOW - 4 * DAY) == Counter()


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_age, "12h", "at least 1d, found 12h"),
        (parse_age, "90", "an age such as 90d, 6mo or 2y, or none, found 90"),
        (parse_age, "-1d", "an age such as"),
        (parse_size, "1kB", "at least 1MB, found 1kB"),
        (parse_size, "much", "a size such as 200MB or 2GB, or none, found much"),
    ],
)
def test_words_that_make_no_sense(parse, text, words):
    with pytest.raises(ValueError, match="expected") as raised:
        parse(text)
    assert words in str(raised.value)


def test_no_limit():
    assert (parse_age("none"), parse_size("none")) == (math.inf, math.inf)
    assert (parse_age("2y"), parse_size("200MB")) == (730 * 86400, 200 * 1024**2)
