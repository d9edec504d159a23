"""A store that cannot be used never stops the main job: one warning that says what to type, and work goes on."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import sqlite3
import tempfile
from pathlib import Path

import pytest

from dbopt.errors import StoreUnusable
from dbopt.store import engine, sqlite
from dbopt.store.location import default_path, locate
from dbopt.store.records import Outcome
from dbopt.store.repository import open_ledger, open_store

from .values import CALLER, events_of, make_plan, read, record, start

NOBODY = 65534


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS", 0.2)


@pytest.fixture
def folder():
    """A folder that an unprivileged user can reach, and that is his: root may write anywhere."""
    path = Path(tempfile.mkdtemp(prefix="dbopt-store-", dir="/tmp"))
    with as_somebody():
        uid = os.geteuid()
    os.chown(path, uid, -1)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def as_somebody():
    """As a user whom file modes bind."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def assert_goes_on(url, warnings, *words, events=None):
    """The whole run, one warning, the words in it."""
    record(url, events or events_of(make_plan()))
    assert len(warnings()) == 1
    for word in (*words, "hint: "):
        assert word in warnings()[0]


def test_a_file_that_is_no_database_is_left_as_it_is(sqlite_url, tmp_path, warnings):
    (tmp_path / "store.db").write_text("my notes\n" * 1000)
    assert_goes_on(sqlite_url, warnings, f"could not open the store {tmp_path}/store.db", "not a database", "mv ")
    assert (tmp_path / "store.db").read_text() == "my notes\n" * 1000


def test_a_damaged_file(sqlite_url, tmp_path, warnings):
    record(sqlite_url, events_of(make_plan(40)))
    with (tmp_path / "store.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 65536)
    assert_goes_on(sqlite_url, warnings, "malformed", "mv ")


def test_a_file_of_another_program(sqlite_url, tmp_path, warnings):
    """Its own table of that name is not ours: what is missing is told, nothing is changed."""
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("CREATE TABLE runs (marathon TEXT)")
    assert_goes_on(sqlite_url, warnings, "already exists")
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("runs",)]


def test_an_unwritable_home(folder, monkeypatch, warnings):
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    folder.chmod(0o500)
    with as_somebody():
        assert_goes_on(None, warnings, f"could not open the store {default_path()}", "Permission denied")


def test_a_read_only_file(folder, warnings):
    url = f"sqlite:///{folder}/store.db"
    with as_somebody():
        record(url, events_of(make_plan()))
        (folder / "store.db").chmod(0o400)
        assert_goes_on(url, warnings, "could not write to the store", "readonly database", "writable")
        assert read(url, 1)[0].outcome is Outcome.DONE  # what was recorded can still be read


def test_an_unreadable_file(folder, warnings):
    url = f"sqlite:///{folder}/store.db"
    with as_somebody():
        record(url, events_of(make_plan()))
        (folder / "store.db").chmod(0)
        assert_goes_on(url, warnings, "unable to open database file")


def test_a_folder_that_is_not_there(tmp_path, warnings):
    assert_goes_on(f"sqlite:///{tmp_path}/not/here/store.db", warnings, "No such file or directory")
    assert not (tmp_path / "not").exists()


def test_a_full_disk(sqlite_url, tmp_path, warnings):
    record(sqlite_url, events_of(make_plan()))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_960, hard))  # what is there fits
    try:
        assert_goes_on(sqlite_url, warnings, "could not write to the store", "disk", events=events_of(make_plan(40)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read(sqlite_url, 1)[0].outcome is Outcome.DONE
    assert record(sqlite_url, events_of(make_plan())) is not None


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_another_process_holds_to_the_end(sqlite_url, tmp_path, warnings):
    record(sqlite_url, events_of(make_plan()))
    with start(LOCKER, str(tmp_path / "store.db")) as locker:
        assert locker.stdout.readline() == b"locked\n"
        assert_goes_on(sqlite_url, warnings, "could not write to the store", "database is locked", "lsof ")
        locker.communicate()


def test_what_a_lock_kept_out_is_written_at_the_end(sqlite_url, tmp_path, warnings):
    record(sqlite_url, events_of(make_plan()))
    ledger = open_ledger(sqlite_url, CALLER)
    *events, result = events_of(make_plan())
    with start(LOCKER, str(tmp_path / "store.db")) as locker:
        assert locker.stdout.readline() == b"locked\n"
        for event in events:
            ledger.handle(event)
        locker.communicate()
    ledger.handle(result)
    assert len(warnings()) == 1
    run, steps = read(sqlite_url, ledger.run_id)
    assert (run.outcome, [step.outcome for step in steps]) == (Outcome.DONE, [Outcome.DONE] * 2)


def test_tables_that_another_session_has_locked(postgresql_url, database, warnings):
    record(postgresql_url, events_of(make_plan()))
    holder = database.connect()
    holder.execute("LOCK TABLE dbopt.runs IN SHARE MODE")
    assert_goes_on(postgresql_url, warnings, "could not write to the store", "timeout", "pg_stat_activity")


def test_a_store_of_a_newer_dbopt(url, warnings):
    record(url, events_of(make_plan()))
    made_later = engine.make_engine(locate(url))
    with made_later.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    made_later.dispose()
    assert_goes_on(url, warnings, "newer dbopt", "9999", "pip install --upgrade dbopt")


def test_a_server_that_is_down(warnings):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://ann:s3cret@127.0.0.1:{unused.getsockname()[1]}/fleet"
        assert_goes_on(url, warnings, "could not open the store 127.0.0.1:", "refused")
    assert "s3cret" not in warnings()[0]


def test_a_role_without_rights(postgresql_url, database, warnings):
    database.sql("CREATE ROLE store_reader LOGIN")
    try:
        url = postgresql_url.replace("//postgres@", "//store_reader@")
        assert url != postgresql_url
        assert_goes_on(url, warnings, "permission denied for database")
    finally:
        database.sql("DROP ROLE store_reader")


def test_a_server_that_goes_away_in_the_middle(postgresql_url, database, warnings):
    ledger = open_ledger(postgresql_url, CALLER)
    *events, result = events_of(make_plan())
    for event in events:
        ledger.handle(event)
        database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dbopt store'")
    ledger.handle(result)
    assert warnings() == []  # it came back: the next write connects anew
    assert read(postgresql_url, ledger.run_id)[0].outcome is Outcome.DONE


def test_a_url_that_makes_no_sense(warnings):
    assert_goes_on("mysql://ann:s3cret@db1/fleet", warnings, "could not understand the store's URL")
    assert "s3cret" not in warnings()[0]


def test_a_file_deleted_between_two_runs(sqlite_url, tmp_path, warnings):
    record(sqlite_url, events_of(make_plan()))
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    assert record(sqlite_url, events_of(make_plan())) == 1
    assert warnings() == []


def test_commands_whose_job_is_the_store_get_the_error(sqlite_url, tmp_path):
    (tmp_path / "store.db").write_text("my notes\n" * 1000)
    with pytest.raises(StoreUnusable, match="could not open the store"):
        open_store(sqlite_url)
