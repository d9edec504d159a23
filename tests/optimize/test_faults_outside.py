"""What is not the database: the store, the terminal, a pooler, the wrong server. The build does not depend on them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pooler
import pytest
from helpers import index_names

from dbopt.errors import ServerUnfit
from dbopt.postgres.server import inspect
from tests.health.standby import caught_up, pair
from tests.optimize.held import BY_HELD, ON_OTHER, POSTS, held_pid, holding
from tests.optimize.runs import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Result
    from server import Database, Server

    from dbopt.embedded import Binaries
    from dbopt.postgres.server import Server as InspectedServer

    Cli = Callable[..., Result]

TIMEOUT_SECONDS = 40


@pytest.fixture
def posts(database: Database, project: Project) -> Database:
    database.sql(POSTS)
    project.wants(BY_HELD, ON_OTHER)
    return database


@pytest.fixture
def listened(project: Project) -> Iterator[subprocess.Popen[bytes]]:
    """dbopt at work, whose words go into pipes."""
    command = [sys.executable, "-m", "dbopt", "optimize", str(project.folder), "--yes", "-d", project.conninfo]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_nobody_listens_any_more(project: Project, posts: Database, listened: subprocess.Popen[bytes]) -> None:
    """As when `head` or a terminal has ended: what was begun is done."""
    assert listened.stdout is not None
    assert listened.stderr is not None
    with holding(posts):
        held_pid(posts)
        listened.stdout.close()
        listened.stderr.close()
    assert listened.wait(TIMEOUT_SECONDS) == 0
    project.assert_settled()


def test_the_store_is_locked_by_another_program(
    project: Project, posts: Database, run_cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dbopt.store.sqlite.LOCK_WAIT_SECONDS", 0.1)
    store = tmp_path / "store.db"
    env = {"DBOPT_STORE_URL": f"sqlite:///{store}"}
    assert run_cli("store", "upgrade", env=env).code == 0
    with sqlite3.connect(store, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        result = run_cli("optimize", str(project.folder), "--yes", "-d", project.conninfo, env=env)
        other.execute("ROLLBACK")
    other.close()
    assert result.code == 0
    assert "the run goes on without being recorded" in result.err
    project.assert_settled()


def test_a_pooler_is_refused_and_a_plan_made(project: Project, posts: Database, pg: Server, run_cli: Cli) -> None:
    with pooler.pooled(pg, posts) as conninfo:
        assert run_cli("plan", str(project.folder), "-d", conninfo).code == 0
        result = run_cli("optimize", str(project.folder), "--yes", "-d", conninfo)
    assert result.code == 3
    assert "a connection pooler stands between dbopt and the server" in result.err
    assert "5432" in result.err
    assert index_names(posts, "posts") == ["posts_pkey"]


def test_a_standby_is_refused(server_binaries: Binaries, run_cli: Cli, tmp_path: Path) -> None:
    with pair(server_binaries) as (primary, standby), Project(primary.database, tmp_path / "specs") as project:
        primary.database.sql(POSTS)
        caught_up(primary, standby)
        project.wants(BY_HELD, ON_OTHER)
        for command in (["optimize", str(project.folder), "--yes"], ["plan", str(project.folder)]):
            result = run_cli(*command, "-d", standby.database.conninfo)
            assert result.code == 3
            assert "standby" in result.err
            assert str(primary.home / "socket") in result.err  # where the primary is
        assert index_names(primary.database, "posts") == ["posts_pkey"]


def test_releases_that_corrupt_indexes(project: Project, posts: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """14.0 to 14.3 build concurrently without some of the rows: the plan is made, nothing is applied."""
    plan = project.plan()
    with project.session(read_only=True, statement_timeout_ms=1000, lock_timeout_ms=1000) as conn:
        here = inspect(conn)
    releases = (130000, 140000, 140003, 140004, 150000)
    unfit = [number for number in releases if _at(here, number).corrupts_concurrent_builds]
    assert unfit == [140000, 140003]
    monkeypatch.setattr("dbopt.optimize.sessions.inspect", lambda conn: _at(here, 140003))
    with pytest.raises(ServerUnfit, match="miss rows"):
        project.run(plan)
    assert index_names(posts, "posts") == ["posts_pkey"]


def _at(server: InspectedServer, version_num: int) -> InspectedServer:
    return replace(server, version_num=version_num)
