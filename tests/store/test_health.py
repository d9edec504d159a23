"""What `dbopt health` remembers, on both databases."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from dbopt.health.check import Finding, Result, Status, Unit
from dbopt.health.checks import load
from dbopt.health.deltas import Counters, Sample
from dbopt.health.memory import WINDOW_MAX, WINDOW_MIN
from dbopt.health.verdict import About, Verdict
from dbopt.store import sqlite
from dbopt.store.aside import UNKEPT
from dbopt.store.engine import make_engine
from dbopt.store.health import RETENTION, Memory
from dbopt.store.location import locate
from dbopt.store.targets import Whose

from .test_migrations import alembic_on
from .values import start

# A night on which clocks jump.
NIGHT = datetime(2026, 3, 29, 0, 30, 0, 123456, tzinfo=UTC)
WHOSE = Whose("7001", "app", "7001")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS", 0.2)
    monkeypatch.setattr("dbopt.store.aside.LOCK_WAIT_SECONDS", 0.2)


def result(check_id, *subjects, status=Status.WARNING, measure=1.5, reason=None):
    findings = tuple(
        Finding(subject=subject, status=status, measure=measure, unit=Unit.COUNT, detail="SELECT 's3cret'")
        for subject in subjects
    )
    clean = Status.OK if reason is None else Status.UNKNOWN
    return Result(check=load(check_id), status=status if findings else clean, reason=reason, findings=findings)


def sample(at, value=1.0, check_id="deadlocks", since=LONG_AGO):
    return Sample(at, "7001", {check_id: (Counters("app", since, {"deadlocks": value}),)})


def keep(memory, *results, at=NIGHT, counters=None, whose=WHOSE):
    about = About(name="main", place="db1/app", dbname=whose.dbname)
    verdict = Verdict(about=about, collected_at=at, seconds=0.1, results=results)
    memory.keep(whose, verdict, results, counters or Sample(at, "7001"))


def recall(memory, *check_ids, at=NIGHT, whose=WHOSE):
    return memory.recall(whose, [load(check_id) for check_id in check_ids or ("deadlocks",)], at)


def rows(url, table):
    engine = make_engine(locate(url))
    try:
        with engine.connect() as connection:
            prefix = "dbopt." if connection.dialect.name == "postgresql" else ""
            return [
                dict(row)
                for row in connection.execute(sa.text(f"SELECT * FROM {prefix}{table} ORDER BY id")).mappings()
            ]
    finally:
        engine.dispose()


def test_a_store_that_is_new(url):
    found = recall(Memory(url))
    assert (found.samples, found.streaks) == ({}, {})


def test_runs_in_a_row_are_counted(url):
    memory = Memory(url)
    for number in range(3):
        keep(memory, result("unused-index", "a", *(["b"] if number else [])))
    assert recall(memory).streaks == {("unused-index", "a"): 3, ("unused-index", "b"): 2}
    keep(memory, result("unused-index", reason="too young"))
    keep(memory, result("duplicate-index"))
    assert recall(memory).streaks == {("unused-index", "a"): 3, ("unused-index", "b"): 2}
    keep(memory, result("unused-index", "b", status=Status.CRITICAL))
    assert recall(memory).streaks == {("unused-index", "b"): 3}
    keep(memory, result("unused-index", "a"))
    assert recall(Memory(url)).streaks == {("unused-index", "a"): 1}


def test_targets_are_apart(url):
    memory = Memory(url)
    other = replace(WHOSE, dbname="crm")
    keep(memory, result("unused-index", "a"), counters=sample(NIGHT - WINDOW_MIN))
    keep(memory, result("unused-index"), whose=other)
    assert recall(memory).streaks == {("unused-index", "a"): 1}
    assert recall(memory, whose=other).samples == {}


def test_what_is_in_the_rows(url):
    memory = Memory(url)
    keep(memory, result("unused-index", "a", "n", measure=float("nan")), result("deadlocks"))
    keep(memory, result("unused-index", "a", measure=7), result("deadlocks"), at=NIGHT + timedelta(hours=1))
    keep(memory, result("unused-index"), result("deadlocks", reason="?"), at=NIGHT + timedelta(hours=2))
    first, second = rows(url, "health_findings")
    assert (first["subject"], first["status"], first["measure"], first["runs"]) == ("a", "warning", 7, 2)
    assert (second["subject"], second["measure"], second["runs"]) == ("n", None, 1)
    assert [bool(row["is_over"]) for row in (first, second)] == [True, True]
    checks = [(row["check_id"], row["status"], bool(row["is_over"])) for row in rows(url, "health_checks")]
    assert checks == [
        ("unused-index", "warning", True),
        ("deadlocks", "ok", True),
        ("unused-index", "ok", False),
        ("deadlocks", "unknown", False),
    ]
    assert [(row["status"], row["checks"]) for row in rows(url, "health_runs")] == [
        ("warning", 2),
        ("warning", 2),
        ("ok", 2),
    ]


def test_nobody_s_words_are_kept(sqlite_url, tmp_path):
    keep(Memory(sqlite_url), result("unused-index", "a"))
    assert b"s3cret" not in b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))


def test_times_are_what_they_were(url):
    memory = Memory(url)
    since = datetime(2026, 3, 28, 23, 59, 59, 654321, tzinfo=UTC)
    at = NIGHT - timedelta(minutes=10)
    keep(memory, counters=sample(at, 3.0, since=since))
    found = recall(memory).samples["deadlocks"]
    assert (found.taken_at, found.system_identifier) == (at, "7001")
    assert found.counters["deadlocks"] == (Counters("app", since, {"deadlocks": 3.0}),)


def test_the_last_sample_that_reaches_far_enough_back(url):
    memory = Memory(url)
    for minutes in range(31):
        keep(
            memory, at=NIGHT + timedelta(minutes=minutes), counters=sample(NIGHT + timedelta(minutes=minutes), minutes)
        )
    now = NIGHT + timedelta(minutes=31)
    found = recall(memory, at=now).samples["deadlocks"]
    assert WINDOW_MIN <= now - found.taken_at <= 2 * WINDOW_MIN
    assert len(rows(url, "health_samples")) <= 4


@pytest.mark.parametrize(("since", "is_there"), [(NIGHT - timedelta(hours=1), False), (LONG_AGO, True), (None, True)])
def test_a_young_sample_only_where_the_reset_is_long_ago(sqlite_url, since, is_there):
    memory = Memory(sqlite_url)
    keep(memory, counters=sample(NIGHT - timedelta(seconds=2), since=since))
    assert bool(recall(memory).samples) is is_there


def test_a_sample_of_yesterday_is_of_no_use(sqlite_url):
    memory = Memory(sqlite_url)
    keep(memory, counters=sample(NIGHT - WINDOW_MAX - timedelta(seconds=1)))
    assert recall(memory).samples == {}


def test_a_run_of_other_checks_leaves_the_sample(sqlite_url):
    memory = Memory(sqlite_url)
    keep(memory, counters=sample(NIGHT - timedelta(minutes=5)))
    keep(memory, counters=sample(NIGHT, check_id="rollbacks"))
    assert set(recall(memory, "deadlocks", "rollbacks").samples) == {"deadlocks", "rollbacks"}


def test_what_is_slow_is_compared_with_a_day_ago(sqlite_url, monkeypatch):
    slow = replace(load("deadlocks"), slow=True)
    memory = Memory(sqlite_url)
    for hours in range(60):
        at = NIGHT + timedelta(hours=hours)
        about = About(name=None, place="db1/app", dbname="app")
        results = (Result(check=slow, status=Status.OK),)
        verdict = Verdict(about=about, collected_at=at, seconds=0.1, results=results)
        memory.keep(WHOSE, verdict, results, sample(at, hours))
    now = NIGHT + timedelta(hours=60)
    found = memory.recall(WHOSE, [slow], now).samples["deadlocks"]
    assert timedelta(hours=17) <= now - found.taken_at <= WINDOW_MAX
    assert len(rows(sqlite_url, "health_samples")) <= 7


def test_old_rows_go(url):
    memory = Memory(url)
    keep(memory, result("unused-index", "a"), result("deadlocks", "b"))
    keep(memory, result("deadlocks", "b"), at=NIGHT + RETENTION + timedelta(seconds=1))
    assert [row["subject"] for row in rows(url, "health_findings")] == ["b"]
    assert [row["check_id"] for row in rows(url, "health_checks")] == ["deadlocks"]
    assert len(rows(url, "health_runs")) == 1


def test_a_sample_that_nobody_can_read(sqlite_url, tmp_path):
    memory = Memory(sqlite_url)
    keep(memory, counters=sample(NIGHT - timedelta(minutes=9)))
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("UPDATE health_samples SET counters = x'00ff'")
        connection.commit()
    assert recall(memory).samples["deadlocks"].counters == {"deadlocks": ()}


def test_down_and_up_again_loses_nothing(url):
    memory = Memory(url)
    keep(memory, result("unused-index", "a"), counters=sample(NIGHT - timedelta(minutes=9)))
    for step in ("0001", "base"):
        with alembic_on(url) as (config, _):
            command.downgrade(config, step)
        found = recall(Memory(url))  # opening upgrades
        assert found.streaks == {("unused-index", "a"): 1}
        assert found.samples.keys() == {"deadlocks"}
    keep(Memory(url), result("unused-index", "a"))
    assert recall(Memory(url)).streaks == {("unused-index", "a"): 2}


def test_a_file_that_is_up_to_date_needs_no_sqlalchemy(sqlite_url):
    keep(Memory(sqlite_url), result("unused-index", "a"))
    script = """
import sys
from datetime import UTC, datetime
from dbopt.health.deltas import Sample
from dbopt.health.verdict import About, Verdict
from dbopt.store.health import Memory
from dbopt.store.targets import Whose
at, whose = datetime.now(UTC), Whose("7001", "app", "7001")
memory = Memory(sys.argv[1])
assert memory.recall(whose, [], at).streaks == {("unused-index", "a"): 1}
verdict = Verdict(about=About(name=None, place="x"), collected_at=at, seconds=0.1, results=())
memory.keep(whose, verdict, (), Sample(at, "7001"))
assert not {name.split(".")[0] for name in sys.modules} & {"sqlalchemy", "alembic"}
"""
    process = start(script, sqlite_url)
    assert (process.communicate(), process.returncode) == ((b"", b""), 0)
    assert rows(sqlite_url, "health_runs")[-1]["target_name"] == "x"


# What can be wrong with it


def assert_goes_on(url, warnings, *words, without="health goes on without what it remembers"):
    """Both halves of a run, one warning, nothing remembered."""
    memory = Memory(url)
    found = recall(memory)
    keep(memory, result("unused-index", "a"))
    assert found.samples == {}
    assert len(warnings()) == 1
    for word in (*words, without, "hint: "):
        assert word in warnings()[0]


def test_no_store_at_all(warnings):
    memory = Memory("none")
    keep(memory, result("unused-index", "a"))
    assert recall(memory).streaks is None
    assert warnings() == []


def test_a_file_that_is_no_database(sqlite_url, tmp_path, warnings):
    (tmp_path / "store.db").write_text("my notes\n" * 1000)
    assert_goes_on(sqlite_url, warnings, "not a database", "mv ")
    assert (tmp_path / "store.db").read_text() == "my notes\n" * 1000


def test_a_folder_that_is_not_there(tmp_path, warnings):
    assert_goes_on(f"sqlite:///{tmp_path}/not/here/store.db", warnings, "No such file or directory")


def test_a_file_of_a_newer_dbopt(url, warnings):
    keep(Memory(url), result("unused-index", "a"))
    with alembic_on(url) as (_, connection):
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert_goes_on(url, warnings, "newer dbopt", "pip install --upgrade dbopt")


def test_a_damaged_file(sqlite_url, tmp_path, warnings):
    keep(Memory(sqlite_url), result("unused-index", "a"))
    with (tmp_path / "store.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 65536)
    assert_goes_on(sqlite_url, warnings, "malformed", "mv ")


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_another_process_holds(sqlite_url, tmp_path, warnings):
    keep(Memory(sqlite_url), result("unused-index", "a"))
    with start(LOCKER, str(tmp_path / "store.db")) as locker:
        assert locker.stdout.readline() == b"locked\n"
        words = ("could not write to the store", "database is locked")
        assert_goes_on(sqlite_url, warnings, *words, without=UNKEPT)
        locker.communicate()
    assert recall(Memory(sqlite_url)).streaks == {("unused-index", "a"): 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="file modes bind everybody but root, who lends his to nobody")
def test_a_read_only_file(warnings, tmp_path_factory):
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dbopt-store-", dir="/tmp") as folder:
        url = f"sqlite:///{folder}/store.db"
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
        try:
            keep(Memory(url), result("unused-index", "a"))
            Path(folder, "store.db").chmod(0o400)
            words = ("could not write to the store", "readonly database")
            assert_goes_on(url, warnings, *words, without=UNKEPT)
        finally:
            os.seteuid(0)


def test_a_server_that_is_down(warnings):
    url = "postgresql://ann:s3cret@127.0.0.1:1/fleet"
    assert_goes_on(url, warnings, "could not open the store 127.0.0.1:1/fleet", "refused")
    assert "s3cret" not in warnings()[0]


def test_a_url_that_makes_no_sense(warnings):
    assert_goes_on("mysql://ann:s3cret@db1/fleet", warnings, "could not understand the store's URL")
    assert "s3cret" not in warnings()[0]
