"""`dbopt snapshot`, as cron and people call it."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_runner import cli_arguments
from psycopg.conninfo import make_conninfo

from dbopt.snapshot.model import Family
from dbopt.store import plain, snapshots
from dbopt.store.location import default_path, locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database


@pytest.fixture
def app(database: Database) -> Database:
    database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100); ANALYZE t")
    return database


@pytest.fixture
def bare(app: Database) -> Iterator[str]:
    """The connection string of a role without rights."""
    app.sql("DROP ROLE IF EXISTS snapshot_bare; CREATE ROLE snapshot_bare LOGIN")
    yield make_conninfo(app.conninfo, user="snapshot_bare")
    app.sql("DROP ROLE snapshot_bare")


def kept(table: str) -> int:
    with sqlite3.connect(default_path()) as connection:
        [[count]] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    connection.close()
    return int(count)


def test_cron_hears_nothing(app: Database, run_cli: Callable[..., Result]) -> None:
    for _ in range(2):  # right after each other: it is asked for, so it is kept
        assert run_cli("snapshot", "-d", app.conninfo) == type(run_cli("--version"))(0, "", "")
    assert kept("intervals") == kept("snapshot_heads") > 3


def test_what_was_kept(app: Database, run_cli: Callable[..., Result]) -> None:
    run_cli("snapshot", "-d", app.conninfo)
    app.sql("SELECT count(*) FROM t")
    result = run_cli("snapshot", "-d", app.conninfo, "--format", "json", "--skip", "statements", "--skip", "io")
    assert (result.code, result.json["command"], result.json["store"]) == (0, "snapshot", str(default_path()))
    [target] = result.json["targets"]
    assert (target["dbname"], target["texts"]) == (app.name, 0)
    families = {row["family"]: row for row in result.json["families"]}
    assert list(families) == ["server", "relations", "tables", "indexes"]
    assert all(row["kept"] and row["seconds"] > 0 and row["interval_bytes"] > 0 for row in families.values())
    assert (families["tables"]["subjects"], families["indexes"]["subjects"]) == (1, 1)


def test_for_people(app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("snapshot", "-d", app.conninfo, "--format", "table", env={"COLUMNS": "80"})
    head, _, columns, *_ = result.out.splitlines()
    assert f" ({app.name}) at 20" in head
    assert columns.split()[:3] == ["family", "counted", "reading"]
    assert result.out.endswith(f"kept in {default_path()}\n")
    assert max(map(len, result.out.splitlines())) <= 100


def test_what_a_role_may_not_see_is_told_with_the_grant(
    app: Database, bare: str, run_cli: Callable[..., Result]
) -> None:
    if not app.sql("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"):
        pytest.skip("this server has no pg_stat_statements")
    app.sql("CREATE EXTENSION pg_stat_statements")
    result = run_cli("snapshot", "-d", bare, "--format", "table")
    assert result.code == 0
    assert 'for statements: GRANT pg_read_all_stats TO "snapshot_bare";\n' in result.out
    assert run_cli("snapshot", "-d", bare).err == ""


def test_what_the_server_does_not_answer_is_a_warning(app: Database, bare: str, run_cli: Callable[..., Result]) -> None:
    app.sql("REVOKE EXECUTE ON FUNCTION pg_stat_get_numscans(oid) FROM PUBLIC")
    result = run_cli("snapshot", "-d", bare)
    assert (result.code, result.out) == (1, "")
    for family in ("relations", "tables", "indexes"):
        assert f": {family} could not be read: permission denied for function pg_stat_get_numscans" in result.err
    assert kept("snapshot_heads") >= 1


def test_texts_come_without_values(app: Database, run_cli: Callable[..., Result]) -> None:
    if not app.sql("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"):
        pytest.skip("this server has no pg_stat_statements")
    app.sql("CREATE EXTENSION pg_stat_statements; SELECT count(*) FROM t, t AS u, t AS v WHERE 4711 > t.id")
    result = run_cli("snapshot", "-d", app.conninfo, "--format", "json")
    assert result.json["targets"][0]["texts"] == result.json["targets"][0]["texts_all"] > 0
    with sqlite3.connect(default_path()) as connection:
        texts = [text for (text,) in connection.execute("SELECT query FROM statement_texts")]
    connection.close()
    assert any("FROM t, t AS u" in text for text in texts)
    assert not any("4711" in text for text in texts)


@pytest.mark.parametrize("url", ["none", "sqlite:////not/here/store.db", "mysql://store"])
def test_without_a_store_nothing_is_done(url: str, app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("snapshot", "-d", app.conninfo, env={"DBOPT_STORE_URL": url})
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("dbopt: error: ")
    assert "hint: " in result.err


def test_a_target_that_is_down_costs_the_others_nothing(app: Database, run_cli: Callable[..., Result]) -> None:
    Path("dbopt.yaml").write_text(
        f"targets:\n  down: {{dsn: 'host=/not/here dbname=app'}}\n  up: {{dsn: \"{app.conninfo}\"}}\n",
        encoding="utf-8",
    )
    result = run_cli("snapshot", "--all-targets", "--format", "lines")
    assert result.code == 3
    assert {line.split("\t")[0] for line in result.out.splitlines()} == {"up"}
    assert result.err.startswith("dbopt: error: could not connect to ")
    assert result.err.count("dbopt: ") == 1


def test_two_at_once_lose_nothing_and_count_nothing_twice(app: Database, run_cli: Callable[..., Result]) -> None:
    run_cli("snapshot", "-d", app.conninfo)
    before = commits(app)
    running = [
        subprocess.Popen(
            cli_arguments(["snapshot", "-d", app.conninfo]), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    assert [(process.communicate(timeout=60), process.returncode) for process in running] == [((b"", b""), 0)] * 4
    run_cli("snapshot", "-d", app.conninfo)
    after = commits(app)
    location = locate(None)
    assert location is not None
    with plain.transaction(location, reading=True, wait_seconds=5) as session:
        found = snapshots.intervals(session, 1, Family.SERVER)
    for earlier, later in itertools.pairwise(found):
        assert earlier.to_at == later.from_at
    counted = sum(item.count("database", "xact_commit") or 0 for item in found)
    assert 0 < counted <= after - before + 10


def commits(app: Database) -> int:
    [[count]] = app.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return int(count)


def test_the_server_is_always_read(run_cli: Callable[..., Result]) -> None:
    result = run_cli("snapshot", "--skip", "server")
    assert (result.code, "the family server is always read" in result.err) == (3, True)


def test_an_unknown_family(run_cli: Callable[..., Result]) -> None:
    result = run_cli("snapshot", "--skip", "everything")
    assert result.code == 3
    assert "relations" in result.err
    assert "statements" in result.err
