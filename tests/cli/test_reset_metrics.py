"""`dbopt reset-metrics`: what is kept, what is reset, what is not, and who may."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from cli_runner import cli_arguments
from helpers import wait_until
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL

from dbopt.cli.resetting import State, _carried_out
from dbopt.postgres.resets import Function, Reset, What
from dbopt.snapshot.model import Family
from dbopt.store import marks, plain, snapshots
from dbopt.store.location import default_path, locate
from dbopt.store.marks import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database

    Run = Callable[..., Result]


@pytest.fixture
def app(database: Database) -> Database:
    """Two tables that were scanned, as everybody sees."""
    database.sql('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE "Odd One" (id int PRIMARY KEY, x text)')
    database.sql('INSERT INTO t VALUES (1); INSERT INTO "Odd One" VALUES (1)')
    database.sql('SELECT count(*) FROM t; SELECT count(*) FROM "Odd One"; SELECT * FROM t WHERE id = 1')
    # One of each is the look of CREATE TABLE for its key.
    wait_until(lambda: (scans(database, "t"), scans(database, "Odd One")) == (2, 2), "scans that are counted")
    return database


@pytest.fixture
def role(app: Database) -> Iterator[str]:
    """The connection string of a role with pg_monitor alone."""
    app.sql("DROP ROLE IF EXISTS reset_role; CREATE ROLE reset_role LOGIN; GRANT pg_monitor TO reset_role")
    yield make_conninfo(app.conninfo, user="reset_role")
    app.sql("DROP OWNED BY reset_role; DROP ROLE reset_role")


def scans(app: Database, table: str) -> int:
    [[count]] = app.sql("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = %s", [table])
    return int(count)


def commits(app: Database) -> int:
    [[count]] = app.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return int(count)


def since(app: Database) -> Any:
    [[at]] = app.sql("SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()")
    return at


@contextlib.contextmanager
def kept() -> Iterator[plain.Session]:
    location = locate(None)
    assert location is not None
    with plain.transaction(location, reading=True, wait_seconds=5) as session:
        yield session


def last_mark() -> marks.Mark | None:
    with kept() as session:
        return marks.last(session, 1)


def statements(app: Database) -> None:
    if not app.sql("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"):
        pytest.skip("this server has no pg_stat_statements")
    app.sql('CREATE SCHEMA "Ext"; CREATE EXTENSION pg_stat_statements SCHEMA "Ext"; SELECT 1; SELECT 1, 2')


def seen(app: Database) -> dict[str, int]:
    """The statements of this database in pg_stat_statements, with their queryids."""
    rows = app.sql(
        'SELECT query, queryid FROM "Ext".pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE'
        " datname = current_database())"
    )
    return {text: queryid for text, queryid in rows if text.startswith("SELECT $1")}


def test_a_baseline_touches_nothing_on_the_server(app: Database, run_cli: Run) -> None:
    before = since(app), scans(app, "t")
    result = run_cli("reset-metrics", "-d", app.conninfo, "--format", "json")
    assert (result.code, result.err) == (0, "")
    [row] = result.json["resets"]
    assert (row["kind"], row["state"], row["statements"]) == ("baseline", "marked", [])
    assert (since(app), scans(app, "t")) == before
    mark = last_mark()
    assert mark is not None
    assert (mark.id, mark.kind, mark.scope) == (row["mark"], Kind.BASELINE, "")
    with kept() as session:
        assert marks.parts(session, mark.id)[Family.TABLES].subjects
        assert snapshots.head(session, 1, Family.SERVER).taken_at == mark.marked_at  # type: ignore[union-attr]


def test_from_the_mark_on_only_what_came_since_counts(app: Database, run_cli: Run) -> None:
    run_cli("snapshot", "-d", app.conninfo)
    app.sql("SELECT count(*) FROM t")
    wait_until(lambda: scans(app, "t") == 3, "the scan")
    run_cli("reset-metrics", "-d", app.conninfo)
    app.sql("SELECT count(*) FROM t")
    wait_until(lambda: scans(app, "t") == 4, "another scan")
    run_cli("snapshot", "-d", app.conninfo)
    mark = last_mark()
    assert mark is not None
    [[oid]] = app.sql("SELECT 't'::regclass::oid::text")
    with kept() as session:
        found = snapshots.intervals(session, 1, Family.TABLES, mark.marked_at)
    assert sum(item.count(oid, "seq_scan") or 0 for item in found) == 1


def test_a_reset_of_the_database_keeps_what_was_counted(app: Database, run_cli: Run) -> None:
    run_cli("snapshot", "-d", app.conninfo)
    counted = scans(app, "t")
    before = since(app)
    result = run_cli("reset-metrics", "--server", "--database", "--yes", "-d", app.conninfo, "--format", "json")
    assert (result.code, [(row["what"], row["state"]) for row in result.json["resets"]]) == (0, [("database", "reset")])
    wait_until(lambda: since(app) != before, "the reset")
    assert scans(app, "t") == 0
    mark = last_mark()
    assert mark is not None
    assert (mark.kind, mark.scope.split()[:3]) == (Kind.RESET, ["counters", "of", "database"])
    [[oid]] = app.sql("SELECT 't'::regclass::oid::text")
    with kept() as session:
        part = marks.parts(session, mark.id)[Family.TABLES]
        head = snapshots.head(session, 1, Family.TABLES)
    assert part.subjects[oid].counts[part.counts.index("seq_scan")] == counted
    assert head is not None
    assert head.subjects[oid].counts[head.counts.index("seq_scan")] == 0  # read again, after it
    assert head.taken_at > mark.marked_at


def test_a_reset_of_one_table_leaves_the_others(app: Database, run_cli: Run) -> None:
    result = run_cli("reset-metrics", "--server", "--table", '"Odd One"', "--yes", "-d", app.conninfo)
    assert result.code == 0
    wait_until(lambda: scans(app, "Odd One") == 0, "the reset")
    assert scans(app, "t") > 0


def test_a_reset_of_all_tables_leaves_the_database_s_own_counters(app: Database, run_cli: Run) -> None:
    before = commits(app)
    assert run_cli("reset-metrics", "--server", "--tables", "--yes", "-d", app.conninfo).code == 0
    wait_until(lambda: scans(app, "Odd One") == scans(app, "t") == 0, "the reset")
    assert app.sql("SELECT idx_scan FROM pg_stat_user_indexes WHERE relname = 't'") == [(0,)]
    assert commits(app) >= before


def test_a_partitioned_table_is_its_partitions(app: Database, run_cli: Run) -> None:
    app.sql("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
    app.sql("INSERT INTO p VALUES (1); SELECT count(*) FROM p")
    wait_until(lambda: scans(app, "p1") == 1, "the scan")
    assert run_cli("reset-metrics", "--server", "--table", "p", "--yes", "-d", app.conninfo).code == 0
    wait_until(lambda: scans(app, "p1") == 0, "the reset")


def test_statements_of_this_database_alone(app: Database, run_cli: Run) -> None:
    statements(app)
    before = len(seen(app))
    result = run_cli("reset-metrics", "--server", "--statements", "--user", "reset_nobody", "--yes", "-d", app.conninfo)
    assert (result.code, 'there is no role "reset_nobody"' in result.err) == (3, True)
    [queryid] = [queryid for text, queryid in seen(app).items() if text == "SELECT $1, $2"]
    call = ["reset-metrics", "--server", "--statements", "-d", app.conninfo, "--yes"]
    assert run_cli(*call, "--queryid", str(queryid)).code == 0
    assert queryid not in seen(app).values()
    assert len(seen(app)) == before - 1
    again = run_cli(*call, "--queryid", str(queryid))
    assert (again.code, "no statement of this database has the queryid" in again.err) == (3, True)
    elsewhere = app.sql(
        'SELECT count(*) FROM "Ext".pg_stat_statements WHERE dbid <> (SELECT oid FROM pg_database'
        " WHERE datname = current_database())"
    )
    assert run_cli(*call).code == 0
    assert seen(app) == {}
    assert (
        app.sql(
            'SELECT count(*) FROM "Ext".pg_stat_statements WHERE dbid <> (SELECT oid FROM pg_database'
            " WHERE datname = current_database())"
        )
        >= elsewhere
    )


@pytest.mark.pg(">= 16")
def test_all_of_the_server(app: Database, run_cli: Run) -> None:
    statements(app)
    started = app.sql("SELECT clock_timestamp()")[0]
    result = run_cli("reset-metrics", "--server", "--all", "--yes", "-d", app.conninfo, "--format", "lines")
    assert result.code == 0
    assert [line.split("\t")[4] for line in result.out.splitlines()] == [
        "statements",
        "database",
        "io",
        "wal",
        "checkpoints",
    ]
    for view in ("pg_stat_io", "pg_stat_wal", "pg_stat_bgwriter"):
        assert app.sql(f"SELECT min(stats_reset) FROM {view}")[0] > started
    assert "Some are those of the whole server" not in result.out  # that was said to people, on stderr
    assert "Some are those of the whole server" in result.err


@pytest.mark.pg("< 14")
@pytest.mark.parametrize("option", ["--io", "--wal"])
def test_what_this_server_does_not_count(option: str, app: Database, run_cli: Run) -> None:
    result = run_cli("reset-metrics", "--server", option, "--yes", "-d", app.conninfo)
    assert (result.code, "came with PostgreSQL 1" in result.err) == (3, True)


def test_every_grant_that_is_missing_is_told_at_once(app: Database, role: str, run_cli: Run) -> None:
    statements(app)
    app.sql("REVOKE pg_monitor FROM reset_role")
    before = since(app), scans(app, "t")
    call = ["reset-metrics", "--server", "--statements", "--database", "--checkpoints", "--yes", "-d", role]
    result = run_cli(*call)
    assert (result.code, result.out) == (3, "")
    grants = [line.removeprefix("  hint:").strip() for line in result.err.splitlines() if "GRANT" in line]
    assert len(grants) == 5
    assert grants[0] == 'GRANT pg_read_all_stats TO "reset_role";'
    assert not default_path().exists() or last_mark() is None
    assert (since(app), scans(app, "t")) == before
    for grant in grants:
        app.sql(grant)
    assert run_cli(*call).code == 0
    wait_until(lambda: scans(app, "t") == 0, "the reset")


def test_who_may_connect_may_set_a_baseline(app: Database, role: str, run_cli: Run) -> None:
    app.sql("REVOKE pg_monitor FROM reset_role")
    assert run_cli("reset-metrics", "-d", role).code == 0
    mark = last_mark()
    assert mark is not None
    assert mark.role == "reset_role"


def test_without_a_terminal_nothing_is_changed(app: Database, run_cli: Run) -> None:
    before = since(app), scans(app, "t")
    result = run_cli("reset-metrics", "--server", "--tables", "--checkpoints", "-d", app.conninfo)
    assert (result.code, result.out) == (3, "")
    assert "error: nothing was changed: reset-metrics asks first" in result.err
    command = result.err.rstrip().rpartition("hint: ")[2]
    assert command.startswith("dbopt reset-metrics -d ")
    assert command.endswith(" --server --tables --checkpoints --yes")
    assert (since(app), scans(app, "t")) == before
    assert last_mark() is None


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1)])
def test_on_a_terminal_it_asks(answer: str, code: int, app: Database) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        cli_arguments(["reset-metrics", "--server", "--database", "-d", app.conninfo, "--no-color"]),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    )
    os.close(terminal)
    os.write(controller, answer.encode())
    said = b""
    with contextlib.suppress(OSError):  # the end of a terminal that nobody holds open any more
        while chunk := os.read(controller, 100_000):
            said += chunk
    os.close(controller)
    process.communicate(timeout=20)
    assert b'SELECT "pg_catalog"."pg_stat_reset"();' in said
    assert b"Reset these counters on the server? [y/N] " in said
    assert process.returncode == code
    assert (scans(app, "t") == 0) == (code == 0) or app.server_version < (15, 0)


@pytest.mark.parametrize("url", ["none", "sqlite:////not/here/store.db"])
def test_what_cannot_be_kept_is_not_reset(url: str, app: Database, run_cli: Run) -> None:
    call = ["reset-metrics", "--server", "--database", "--yes", "-d", app.conninfo]
    result = run_cli(*call, env={"DBOPT_STORE_URL": url})
    assert (result.code, result.out) == (3, "")
    assert scans(app, "t") > 0
    result = run_cli(*call, "--no-store", env={"DBOPT_STORE_URL": url})
    assert result.code == 0
    assert "is NOT kept" not in result.out
    wait_until(lambda: scans(app, "t") == 0, "the reset")


def test_a_store_that_is_locked_in_the_last_moment(app: Database, run_cli: Run, monkeypatch: Any) -> None:
    """It was there when the command began."""
    import sqlite3

    monkeypatch.setattr("dbopt.store.aside.PATIENCE_SECONDS", 0.2)
    run_cli("snapshot", "-d", app.conninfo)
    with contextlib.closing(sqlite3.connect(default_path(), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = run_cli("reset-metrics", "--server", "--database", "--yes", "-d", app.conninfo)
    assert (result.code, "database is locked" in result.err) == (3, True)
    assert "; nothing was reset" in result.err
    assert scans(app, "t") > 0


def test_a_failure_in_between_is_told_exactly(app: Database) -> None:
    def step(what: What, *calls: str) -> Reset:
        function = Function("pg_catalog", "pg_stat_reset", "", True, True)
        return Reset(what=what, function=function, calls=tuple(SQL(call).format() for call in calls), scope=what)

    planned = [
        step(What.WAL, "SELECT 1"),
        step(What.IO, "SELECT 1", "SELECT 1/0"),
        step(What.TABLES, "SELECT 1"),
        step(What.DATABASE, "SELECT pg_terminate_backend(pg_backend_pid())"),
        step(What.CHECKPOINTS, "SELECT 1"),
    ]
    with psycopg.connect(app.conninfo, autocommit=True) as conn:
        done = _carried_out(conn, planned, lambda: None)
    assert [item.state for item in done] == [
        State.RESET,
        State.FAILED,
        State.RESET,
        State.UNKNOWN,
        State.NOT_TRIED,
    ]
    assert done[1].error == "division by zero"
    with psycopg.connect(app.conninfo, autocommit=True) as conn:
        done = _carried_out(conn, planned[:2], lambda: 2)
    assert [item.state for item in done] == [State.NOT_TRIED, State.NOT_TRIED]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--server"], "--server has to know what to reset"),
        (["--io"], "--io says what to reset on the server, and a baseline resets nothing there"),
        (["--baseline", "--server", "--io"], "--baseline and --server contradict each other"),
        (["--server", "--tables", "--user", "app"], "--user chooses among statements"),
        (["--server", "--statements", "--queryid", "12x"], "invalid value for --queryid"),
        (["--server", "--statements", "--queryid", str(2**63)], "invalid value for --queryid"),
        (["--no-store"], "--no-store and a baseline contradict each other"),
        (["--server", "--client"], "clients' own counters are not on the server"),
    ],
)
def test_words_that_make_no_sense(arguments: list[str], words: str, run_cli: Run) -> None:
    result = run_cli("reset-metrics", "-d", "host=/not/here", *arguments)
    assert (result.code, result.out) == (3, "")
    assert words in result.err


@pytest.mark.parametrize("name", ["nix", "a.b.c.d", 'half"', "t_pkey", "pg_stat_activity"])
def test_names_that_are_no_table(name: str, app: Database, run_cli: Run) -> None:
    result = run_cli("reset-metrics", "--server", "--table", name, "--yes", "-d", app.conninfo)
    assert (result.code, result.out) == (3, "")
    assert " no table" in result.err
    assert "Traceback" not in result.err
