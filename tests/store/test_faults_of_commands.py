"""Commands as their users run them, on a store that is at fault.

Where the store is an aside (health, stats, metrics), one warning says what to type, the data is there and the exit code
is that of a store in order. Where it is the job (snapshot, history, store export), the exit code is 3.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command

from dbopt.embedded.account import unprivileged
from dbopt.store import aside, engine, migrate, plain, sqlite
from dbopt.store.head import HEAD
from dbopt.store.location import default_path, locate
from tests.health.standby import caught_up, pair

from .test_faults import LOCKER
from .test_migrations import alembic_on
from .values import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database

    from dbopt.store.location import Location

    Run = Callable[..., Result]

ASIDES = (
    ("health", "--only", "prepared-transaction", "--fail-on", "never"),
    ("stats", "schemas"),
    ("metrics", "--interval", "100ms", "--only", "cache_hit_ratio"),
)
READING = (("history", "metric", "cache_hit_ratio"), ("store", "export"))
WRITING = (("snapshot",),)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(aside, "LOCK_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(aside, "PATIENCE_SECONDS", 0.2)


class Calls:
    """Commands on one database with one store."""

    def __init__(self, run_cli: Run, database: Database) -> None:
        self._run_cli = run_cli
        self.dsn = database.conninfo
        self.env: dict[str, str] = {}
        self._lines: dict[tuple[str, ...], int] = {}

    def __call__(self, *argv: str) -> Result:
        dsn = () if argv[0] == "store" else ("-d", self.dsn)
        return self._run_cli(*argv, *dsn, env=self.env)

    def go_on(self, *words: str) -> None:
        """The commands whose job is another one. Each of the words stands in their warning."""
        for argv in ASIDES:
            done = self(*argv)
            assert (done.code, done.err.count("dbopt: warning: ")) == (0, 1), (argv, done.err)
            for word in (*words, "\n  hint: "):
                assert word in done.err, argv
            assert "Traceback" not in done.err
            assert done.out.count("\n") == self._lines_without(argv), argv

    def _lines_without(self, argv: tuple[str, ...]) -> int:
        if argv not in self._lines:
            self._lines[argv] = self(*argv, "--no-store").out.count("\n")
        return self._lines[argv]

    def fail(self, calls: tuple[tuple[str, ...], ...], *words: str) -> None:
        for argv in calls:
            done = self(*argv)
            assert (done.code, done.out) == (3, ""), (argv, done.err)
            assert done.err.startswith("dbopt: error: "), argv
            for word in (*words, "\n  hint: "):
                assert word in done.err, argv
            assert "Traceback" not in done.err

    def succeed(self, calls: tuple[tuple[str, ...], ...]) -> None:
        for argv in calls:
            done = self(*argv)
            assert (done.code, done.err) == (0, ""), (argv, done.err)


@pytest.fixture
def calls(run_cli: Run, database: Database) -> Calls:
    return Calls(run_cli, database)


@pytest.fixture
def on_file(calls: Calls, tmp_path: Path) -> Path:
    """A store with an interval in it."""
    folder = tmp_path / "state"
    folder.mkdir()
    return _with_store(calls, folder / "store.db")


def _with_store(calls: Calls, path: Path) -> Path:
    calls.env["DBOPT_STORE_URL"] = f"sqlite:///{path}"
    calls.succeed((*WRITING, *WRITING, *READING))
    return path


@pytest.fixture
def on_server(calls: Calls, postgresql_url: str) -> str:
    calls.env["DBOPT_STORE_URL"] = postgresql_url
    calls.succeed((*WRITING, *WRITING, *READING))
    return postgresql_url


def test_a_file_that_is_no_database(calls: Calls, on_file: Path) -> None:
    on_file.write_bytes(b"my notes\n" * 1000)
    calls.go_on("could not open the store", "file is not a database", f"mv {on_file} {on_file}.bad")
    calls.fail((*WRITING, *READING), "could not open the store", "file is not a database", "mv ")
    assert on_file.read_bytes() == b"my notes\n" * 1000


def test_a_file_that_was_cut_short(calls: Calls, on_file: Path) -> None:
    os.truncate(on_file, 20_000)
    calls.go_on("malformed", "mv ")
    calls.fail((*WRITING, *READING), "malformed", "mv ")


def test_a_file_of_a_newer_dbopt(calls: Calls, on_file: Path) -> None:
    with contextlib.closing(sqlite3.connect(on_file)) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    calls.go_on("newer dbopt", "9999", "pip install --upgrade dbopt")
    calls.fail((*WRITING, *READING), "newer dbopt", "9999", "pip install --upgrade dbopt")


def test_a_folder_that_was_deleted(calls: Calls, on_file: Path) -> None:
    shutil.rmtree(on_file.parent)
    calls.go_on("could not open the store", "No such file or directory")
    calls.fail((*WRITING, READING[0]), "could not open the store", "No such file or directory")
    calls.fail((READING[1],), "there is no store")
    assert not on_file.parent.exists()


def test_a_file_that_was_deleted(calls: Calls, on_file: Path) -> None:
    """The next one makes a new one, and what has no past yet says so."""
    on_file.unlink()
    calls.succeed(ASIDES)
    on_file.unlink()
    done = calls(*READING[0])
    assert (done.code, done.out) == (3, "")
    assert "the store knows nothing" in done.err
    calls.succeed((*WRITING, *WRITING, *READING))


def test_a_file_that_is_deleted_while_a_command_runs(
    calls: Calls, on_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = plain.make_ready

    def gone_afterwards(location: Location) -> None:
        ready(location)
        on_file.unlink()

    monkeypatch.setattr(plain, "make_ready", gone_afterwards)
    calls.go_on("unable to open database file")


def test_a_lock_that_another_process_holds(calls: Calls, on_file: Path) -> None:
    with start(LOCKER, str(on_file)) as locker:
        assert locker.stdout is not None
        assert locker.stdout.readline() == b"locked\n"
        calls.go_on("could not write to the store", "database is locked", f"lsof {on_file}", "nothing new is kept")
        calls.fail(WRITING, "could not write to the store", "database is locked")
        calls.succeed(READING)
        page = calls("report", "--html", "page.html")  # health is a part of it
        assert (page.code, page.err.count("dbopt: warning: ")) == (0, 1), page.err
        locker.communicate()


@contextlib.contextmanager
def _disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    folder.mkdir()
    options = f"size={kilobytes}k"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only root can mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a disk")
def test_a_full_disk(calls: Calls, tmp_path: Path) -> None:
    with _disk(tmp_path / "disk", 1000) as disk:
        _with_store(calls, disk / "store.db")
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1000))
        calls.go_on("could not write to the store", "no space is left on its disk", "Free some space")
        calls.fail(WRITING, "no space is left on its disk", "Free some space")
        calls.succeed((*READING, ("metrics", "--list")))
        past = calls("metrics", "--since", "1h", "--only", "cache_hit_ratio")
        assert (past.code, past.err.count("dbopt: warning: ")) == (0, 1)
        (disk / "filler").unlink()
        calls.succeed((*WRITING, *ASIDES, *READING))


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a disk")
def test_a_disk_that_is_read_only(calls: Calls, tmp_path: Path) -> None:
    with _disk(tmp_path / "disk", 1000) as disk:
        _with_store(calls, disk / "store.db")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        calls.go_on("could not write to the store", "nothing new is kept")
        calls.fail(WRITING, "could not write to the store", "writable")
        calls.succeed(READING)


@contextlib.contextmanager
def as_user() -> Iterator[None]:
    """As one whom file modes bind, and who may use the server's socket: the account that it runs as."""
    account = unprivileged()
    if account is None:
        yield
        return
    gid = os.getegid()
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)


@pytest.fixture
def folder(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's. All modules that the commands need are loaded: the interpreter's may be out of his reach."""
    path = Path(tempfile.mkdtemp(prefix="dbopt-store-", dir="/tmp"))
    monkeypatch.chdir(path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path / "none"))
    store = _with_store(calls, path / "store.db")
    calls.succeed(ASIDES)
    if (account := unprivileged()) is not None:
        account.owns(path, store)
    yield path
    shutil.rmtree(path)


def test_a_file_and_a_folder_that_are_read_only(calls: Calls, folder: Path) -> None:
    path = folder / "store.db"
    with as_user():
        path.chmod(0o400)
        calls.go_on("could not write to the store", "readonly database", "writable")
        calls.fail(WRITING, "readonly database", "writable")
        calls.succeed(READING)
        path.chmod(0o600)
        folder.chmod(0o500)
        calls.go_on("could not write to the store", "writable")
        calls.fail(WRITING, "could not write to the store", "writable")
        calls.succeed(READING)
        folder.chmod(0o700)
        path.chmod(0)
        calls.go_on("could not open the store", "unable to open database file", "writable")
        calls.fail((*WRITING, *READING), "unable to open database file", "writable")


def test_a_home_that_cannot_be_written(calls: Calls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del calls.env["DBOPT_STORE_URL"]
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(folder))
    folder.chmod(0o500)
    with as_user():
        calls.go_on(f"could not open the store {default_path()}", "Permission denied")
        calls.fail((*WRITING, READING[0]), f"could not open the store {default_path()}", "Permission denied")


KILLED = """
import os, signal, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA wal_autocheckpoint = 0")
file.execute("UPDATE snapshot_heads SET target_name = 'told before it was killed'")
file.execute("BEGIN IMMEDIATE")
file.execute("DELETE FROM snapshot_heads")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_behind(calls: Calls, on_file: Path) -> None:
    """What it had committed is there, what it had not is not, and nobody has to clean up."""
    with start(KILLED, str(on_file)) as process:
        assert process.wait() == -9
    assert on_file.with_name("store.db-wal").stat().st_size > 0
    exported = calls("store", "export")
    assert (exported.code, exported.err) == (0, "")
    assert "told before it was killed" in exported.out
    calls.succeed((*WRITING, *ASIDES, *READING))


def test_a_server_that_is_down(calls: Calls) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}/fleet"
        calls.env["DBOPT_STORE_URL"] = f"postgresql://ann:s3cret@{place}"
        calls.go_on(f"could not open the store {place}", "refused")
        calls.fail((*WRITING, *READING), f"could not open the store {place}", "refused")
        loud = calls(*ASIDES[0], "-vv")
        config = calls("snapshot", "--show-config")
        assert "s3cret" not in "".join((loud.out, loud.err, config.out, config.err))


def test_a_server_that_does_not_answer(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CONNECT_TIMEOUT_SECONDS", 1)  # libpq waits for two
    with socket.create_server(("127.0.0.1", 0)) as mute:
        calls.env["DBOPT_STORE_URL"] = f"postgresql://ann:s3cret@127.0.0.1:{mute.getsockname()[1]}/fleet"
        done = calls(*ASIDES[0])
        assert (done.code, done.err.count("dbopt: warning: ")) == (0, 1)
        assert "timeout" in done.err
        assert "s3cret" not in done.err


def test_a_server_that_is_slow(calls: Calls, on_server: str, database: Database) -> None:
    database.sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_catalog.pg_sleep(10); RETURN new; END';"
        " CREATE TRIGGER dawdle BEFORE INSERT ON dbopt.targets FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
    calls.go_on("could not write to the store", "statement timeout", "pg_stat_activity", "nothing new is kept")
    calls.fail(WRITING, "could not write to the store", "statement timeout")
    calls.succeed(READING)


def test_tables_that_another_session_has_locked(calls: Calls, on_server: str, database: Database) -> None:
    with database.connect() as holder:
        holder.execute("LOCK TABLE dbopt.targets, dbopt.alembic_version")
        calls.go_on("could not open the store", "timeout", "pg_stat_activity")
        calls.fail((*WRITING, *READING), "could not open the store", "timeout", "pg_stat_activity")


def test_rights_that_were_taken_away(calls: Calls, on_server: str, database: Database) -> None:
    database.sql(
        "CREATE ROLE store_writer LOGIN; GRANT USAGE ON SCHEMA dbopt TO store_writer;"
        " GRANT SELECT ON ALL TABLES IN SCHEMA dbopt TO store_writer"
    )
    try:
        calls.env["DBOPT_STORE_URL"] = on_server.replace("//postgres@", "//store_writer:s3cret@")
        calls.go_on("could not write to the store", "permission denied", "Give yourself the right")
        calls.fail(WRITING, "permission denied", "Give yourself the right")
        calls.succeed(READING)
        database.sql("REVOKE USAGE ON SCHEMA dbopt FROM store_writer")
        calls.go_on("could not open the store", "GRANT USAGE ON SCHEMA dbopt")
        assert "s3cret" not in calls(*WRITING[0], "-vv").err
    finally:
        database.sql("DROP OWNED BY store_writer; DROP ROLE store_writer")


def test_a_server_of_a_newer_dbopt(calls: Calls, on_server: str, database: Database) -> None:
    database.sql("UPDATE dbopt.alembic_version SET version_num = '9999'")
    calls.go_on("newer dbopt", "9999")
    calls.fail((*WRITING, *READING), "newer dbopt", "9999")


def test_a_standby(calls: Calls, server_binaries: object) -> None:
    """A store on a server that was not promoted yet can be read."""
    with pair(server_binaries) as (primary, standby):  # type: ignore[arg-type]

        def url(of: Database) -> str:
            parts = sa.engine.make_url("postgresql+psycopg://postgres@/postgres")
            query = dict(item.split("=", 1) for item in of.conninfo.split() if item.startswith(("host=", "port=")))
            return parts.set(query=query).render_as_string(hide_password=False)

        calls.env["DBOPT_STORE_URL"] = url(primary.database)
        calls.succeed((*WRITING, *WRITING))
        caught_up(primary, standby)
        calls.env["DBOPT_STORE_URL"] = url(standby.database)
        calls.go_on("could not write to the store", "read-only transaction")
        calls.fail(WRITING, "could not write to the store", "read-only transaction")
        calls.succeed(READING)


def test_many_first_readings_at_once(
    spawn_cli: Callable[..., subprocess.Popen[str]], database: Database, url: str
) -> None:
    """Whoever is first makes the tables; every reading is kept, and no time is counted twice."""
    env = {"DBOPT_STORE_URL": url}
    processes = [spawn_cli("snapshot", "-d", database.conninfo, "--skip", "tables", env=env) for _ in range(4)]
    for process in processes:
        assert (process.communicate(timeout=60), process.returncode) == (("", ""), 0)
    made = sa.create_engine(locate(url).url)  # type: ignore[union-attr]
    schema = "" if url.startswith("sqlite") else "dbopt."
    with made.connect() as connection:
        query = f"SELECT from_at, to_at FROM {schema}intervals WHERE family = 'server' ORDER BY to_at"
        spans = connection.execute(sa.text(query)).all()
        heads = connection.execute(sa.text(f"SELECT count(*) FROM {schema}snapshot_heads")).scalar_one()
    made.dispose()
    assert heads >= 3
    assert all(later[0] >= earlier[1] for earlier, later in itertools.pairwise(spans))


def test_two_commands_bring_a_store_of_an_earlier_dbopt_up_to_date(
    spawn_cli: Callable[..., subprocess.Popen[str]], database: Database, url: str
) -> None:
    """At once: one of them does, the other waits, and what was there stays."""
    place = locate(url)
    assert place is not None
    place.make_private_file()
    with alembic_on(url) as (config, connection):
        command.upgrade(config, "0002")
        connection.exec_driver_sql("INSERT INTO targets (server, dbname) VALUES ('1', 'app')")
        connection.exec_driver_sql(
            "INSERT INTO health_findings (target_id, check_id, subject, status, runs, first_at, last_at, is_over)"
            " VALUES (1, 'unused-index', 'of old', 'warning', 7, '2026-01-01', '2026-01-02', false)"
        )
    calls = (("health", "--only", "prepared-transaction", "--fail-on", "never"), ("snapshot", "--skip", "tables"))
    processes = [spawn_cli(*argv, "-d", database.conninfo, env={"DBOPT_STORE_URL": url}) for argv in calls]
    for process in processes:
        assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)
    with alembic_on(url) as (_, connection):
        assert migrate.revision(connection) == HEAD
        found = connection.exec_driver_sql("SELECT subject, runs FROM health_findings WHERE NOT is_over").all()
        assert [tuple(row) for row in found] == [("of old", 7)]
        assert connection.exec_driver_sql("SELECT count(*) FROM snapshot_heads").scalar_one() >= 2
