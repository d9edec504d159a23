"""What running applications say of themselves, and the thread that says it."""

from __future__ import annotations

import gc
import logging
import sqlite3
import subprocess
import sys
import threading
import weakref
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from helpers import wait_until

from dbopt.client import Database
from dbopt.client.background import Background
from dbopt.client.publishing import Publisher
from dbopt.client.settings import Settings
from dbopt.errors import ConfigError
from dbopt.postgres.connect import connect, describe
from dbopt.postgres.server import inspect
from dbopt.snapshot import durations
from dbopt.snapshot.delta import total
from dbopt.store import clients, plain, targets
from dbopt.store.location import locate
from dbopt.store.targets import Whose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbopt.snapshot.model import Interval

ASK = sa.text("SELECT 1")


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def db(url: str, store: str) -> Iterator[Database]:
    with Database(url, min_connections=0, application="shop", store_url=store) as made:
        yield made


def publisher(db: Database) -> Publisher:
    """Its own, of which the thread comes round in ten seconds only."""
    return db._core._background._ticks[0].__self__


def ask(db: Database, times: int = 1) -> None:
    with db.engine.connect() as connection:
        for _ in range(times):
            connection.execute(ASK)


def kept(url: str, store: str) -> dict[str, list[Interval]]:
    """By family, as `dbopt metrics` finds it."""
    with closing(connect(url, command="test", read_only=True)) as conn:
        whose = Whose.of_server(inspect(conn), describe(url))
    location = locate(store)
    assert location is not None
    plain.make_ready(location)
    with plain.transaction(location, reading=True, wait_seconds=5) as session:
        target_id = targets.find(session, whose)
        return {} if target_id is None else clients.intervals(session, target_id)


def count(intervals: list[Interval], name: str) -> float | None:
    whole = total(intervals)
    return None if whole is None else whole.count(clients.SUBJECT, name)


def last_levels(intervals: list[Interval]) -> dict[str, float]:
    return {name: level.greatest for name, level in intervals[-1].levels.items()}


def test_what_is_published(db, url, store):
    said = publisher(db)
    with db.engine.connect() as connection:
        for _ in range(3):
            connection.execute(ASK)
        with pytest.raises(sa.exc.ProgrammingError):
            connection.execute(sa.text("SELECT wrong"))
        said.publish()
    [(family, intervals)] = kept(url, store).items()
    assert family == f"clients/shop/{said.instance}"
    assert (count(intervals, "queries"), count(intervals, "errors")) == (4, 1)
    assert count(intervals, "query_seconds") == pytest.approx(db.metrics().total.seconds)
    assert sum(count(intervals, name) for name in durations.NAMES) == 4
    assert (count(intervals, "pool_acquires"), count(intervals, "cache_hits")) == (1, 0)
    levels = last_levels(intervals)
    assert set(levels) == set(clients.LEVELS)
    assert (levels["pool_size"], levels["pool_open"], levels["pool_used"]) == (30, 1, 1)
    assert levels["pool_longest_held_seconds"] > 0
    with db.engine.connect() as connection:
        connection.execute(ASK)
    said.end()  # so soon after the last one it would be left out otherwise
    [intervals] = kept(url, store).values()
    assert count(intervals, "queries") == 5


def test_a_reset_takes_nothing_from_what_is_published(db, url, store):
    said = publisher(db)
    ask(db, 5)
    said.publish()
    db.reset_metrics()
    ask(db, 2)
    said.end()
    [intervals] = kept(url, store).values()
    assert (count(intervals, "queries"), count(intervals, "pool_acquires")) == (7, 2)
    assert db.metrics().total.count == 2


def test_the_cache_is_published_too(db, url, store):
    for _ in range(3):
        assert db.scalar(sa.select(sa.literal(4711)), cache=60) == 4711
    publisher(db).publish()
    [intervals] = kept(url, store).values()
    cached = {name: count(intervals, f"cache_{name}") for name in ("hits", "misses", "stale", "evictions")}
    assert cached == {"hits": 2, "misses": 1, "stale": 0, "evictions": 0}
    assert last_levels(intervals)["cache_entries"] == 1
    assert last_levels(intervals)["cache_bytes"] > 0
    found = db.metrics()
    assert (found.cache.hits, found.total.count) == (2, 1)
    db.reset_metrics()
    assert (db.metrics().cache.hits, db.metrics().cache.entries) == (0, 1)


def test_databases_of_one_process_are_apart(db, url, store):
    with Database(url, min_connections=0, application="shop", store_url=store) as other:
        ask(db, 1)
        ask(other, 2)
        for said in (publisher(db), publisher(other)):
            said.publish()
    published = {count(intervals, "queries") for intervals in kept(url, store).values()}
    assert published == {1, 2}


def test_the_last_figures_are_published_at_the_end(url, store):
    with Database(url, min_connections=0, application="shop", store_url=store) as db:
        ask(db, 3)
    [intervals] = kept(url, store).values()
    assert count(intervals, "queries") == 3


def test_without_a_store_nothing_is_published(url, tmp_path):
    for nowhere in (None, "none"):
        with Database(url, min_connections=0, store_url=nowhere) as db:
            ask(db)
            publisher(db).publish()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_makes_no_sense(url):
    with pytest.raises(ConfigError, match="could not understand the store's URL"):
        Database(url, store_url="mysql://somewhere")


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "dbopt.client"]


def test_a_store_that_is_locked_costs_one_warning(db, url, store, caplog):
    """Queries go on meanwhile, and nothing that they did is missing afterwards."""
    said = publisher(db)
    ask(db)
    said.publish()
    path = store.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as holder, caplog.at_level(logging.WARNING):
        holder.execute("BEGIN EXCLUSIVE")
        thread = threading.Thread(target=said.end)
        thread.start()
        ask(db, 10)
        thread.join()
        said.end()
        holder.execute("ROLLBACK")
    [words] = warnings(caplog)
    assert words.startswith("metrics are not published, which is tried again: could not write to the store")
    said.end()
    [intervals] = kept(url, store).values()
    assert count(intervals, "queries") == 11


def test_a_store_that_comes_back_and_goes_again_is_warned_of_again(db, tmp_path, caplog):
    folder = tmp_path / "not-there"
    settings = Settings(conninfo=db.settings.conninfo, store_url=f"sqlite:///{folder}/store.db")
    said = Publisher(settings, db.engine, db._core.meter, db._core.cache)
    with caplog.at_level(logging.WARNING):
        said.publish()
        said.publish()
        assert len(warnings(caplog)) == 1
        folder.mkdir()
        said.publish()
        assert len(warnings(caplog)) == 1
        (folder / "store.db").write_bytes(b"no database at all" * 100)
        said.end()
        said.end()
        assert len(warnings(caplog)) == 2


def test_a_server_that_is_not_there(store, caplog):
    with Database("host=localhost port=1 password=hush", store_url=store) as db, caplog.at_level(logging.WARNING):
        said = publisher(db)
        said.publish()
        said.publish()
    [words] = warnings(caplog)
    assert "could not connect to localhost:1" in words
    assert "hush" not in words


# The thread.


def test_there_is_no_thread_before_the_first_connection(db):
    background = db._core._background
    assert not background.is_running
    ask(db)
    assert background.is_running
    db.close()
    wait_until(lambda: not background.is_running, "the end of the thread")


def test_ticks_go_on_when_one_fails(db, caplog):
    calls = []
    done = threading.Event()

    def fail():
        calls.append("fail")
        raise ValueError("of the test")

    def work():
        calls.append("work")
        if calls.count("work") == 3:
            done.set()

    with caplog.at_level(logging.WARNING):
        background = Background(db.engine, [fail, work], ends=[lambda: calls.append("end")], every_seconds=0.01)
        ask(db)
        assert done.wait(20)
        background.close(20)
    assert calls[:4] == ["fail", "work", "fail", "work"]
    assert calls[-1] == "end"
    assert len(warnings(caplog)) == 1
    count = len(calls)
    background.close()
    ask(db)
    assert (len(calls), background.is_running) == (count, False)


def test_closing_does_not_wait_for_what_hangs(db):
    hanging, release = threading.Event(), threading.Event()

    def hang():
        hanging.set()
        release.wait(20)

    background = Background(db.engine, [hang], every_seconds=0.01)
    ask(db)
    assert hanging.wait(20)
    background.close(0.01)
    assert background.is_running
    release.set()
    wait_until(lambda: not background.is_running, "the end of the thread")


def test_a_database_that_nobody_has_any_more_ends_its_thread(url):
    db = Database(url, min_connections=0)
    background = Background(db.engine, [lambda: None], every_seconds=0.01)
    ask(db)
    thread = background._thread
    gone = weakref.ref(background)
    db.close()
    del db, background

    def is_over():
        gc.collect()
        return gone() is None and not thread.is_alive()

    wait_until(is_over, "the end of the thread")


# Processes: at their end, and in a child of theirs.

PROGRAM = """
import os, sys
import sqlalchemy as sa
from dbopt.client import Database

db = Database(sys.argv[1], min_connections=0, application="job", store_url=sys.argv[2])

def ask(times):
    with db.engine.connect() as connection:
        for _ in range(times):
            connection.execute(sa.text("SELECT 1"))

ask(3)
if sys.argv[3] == "fork":
    pid = os.fork()
    if pid == 0:
        ask(2)
        assert db._core._background.is_running
        assert db.metrics().total.count == 2
        sys.exit()  # with all that is done at the end of a process
    assert os.waitpid(pid, 0)[1] == 0
    ask(1)
"""


def run(*arguments):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_just_ends_has_said_all(url, store):
    run(url, store, "end")
    [(family, intervals)] = kept(url, store).items()
    assert family.startswith("clients/job/")
    assert count(intervals, "queries") == 3


def test_a_child_process_speaks_for_itself(url, store):
    run(url, store, "fork")
    found = kept(url, store)
    assert sorted(count(intervals, "queries") for intervals in found.values()) == [2, 4]
    assert sorted(count(intervals, "pool_acquires") for intervals in found.values()) == [1, 2]
