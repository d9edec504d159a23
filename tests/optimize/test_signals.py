"""`dbopt optimize` as a process of its own, that gets signals while it builds."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from helpers import index_names, invalid_indexes, open_transaction, wait_until

from tests.optimize.runs import building

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

    from tests.optimize.runs import Project

    Spawn = Callable[..., subprocess.Popen[str]]

BY_AUTHOR = "name: by_author, table: posts, keys: [author], priority: 1"
BY_ID = "name: by_id, table: posts, keys: [id, author], priority: 2"
WRITE = "UPDATE posts SET author = 1 WHERE id = 1"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"  # the last phase waits for it, a drop does not
TIMEOUT_SECONDS = 30


@pytest.fixture
def posts(database: Database, project: Project) -> Database:
    database.sql(
        "CREATE TABLE posts (id int PRIMARY KEY, author int);"
        "INSERT INTO posts SELECT i, i FROM generate_series(1, 500) AS i; ANALYZE posts"
    )
    project.wants(BY_AUTHOR, BY_ID)
    return database


def arguments(project: Project, *more: str) -> list[str]:
    return ["optimize", str(project.folder), "--yes", "-d", project.conninfo, "--format", "json", *more]


def dbopts(database: Database) -> list[int]:
    """dbopt's sessions in this database."""
    rows = database.sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbopt%'"
    )
    return [pid for (pid,) in rows]


def ended(process: subprocess.Popen[str]) -> tuple[int, list[Any], str]:
    """(exit code, events, stderr)."""
    out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize(("signum", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_build_and_leaves_nothing(
    project: Project,
    posts: Database,
    spawn_cli: Spawn,
    run_cli: Callable[..., Result],
    signum: int,
    expected: int,
) -> None:
    with open_transaction(posts, SNAPSHOT):
        process = spawn_cli(*arguments(project))
        wait_until(lambda: invalid_indexes(posts) == ["by_author"], "a build")
        process.send_signal(signum)
        code, events, err = ended(process)
        assert code == expected
        assert building(posts) == []
        assert dbopts(posts) == []
        assert index_names(posts, "posts") == ["posts_pkey"]
    result = events[-1]
    assert result["event"] == "result"
    assert [(item["index"], item["status"]) for item in result["items"]] == [
        ("by_author", "failed"),
        ("by_id", "failed"),
    ]
    assert "interrupted" in result["items"][0]["error"]
    assert result["items"][1]["error"] == "not started: interrupted"
    assert "Traceback" not in err
    assert run_cli(*arguments(project)).code == 0
    project.assert_settled()


def test_more_signals_do_not_keep_it_from_cleaning_up(project: Project, posts: Database, spawn_cli: Spawn) -> None:
    with open_transaction(posts, SNAPSHOT):
        process = spawn_cli(*arguments(project))
        wait_until(lambda: invalid_indexes(posts) == ["by_author"], "a build")
        with open_transaction(posts, WRITE):  # holds up the removal
            process.send_signal(signal.SIGINT)
            wait_until(lambda: any(query.startswith("DROP") for _, query in building(posts)), "the removal")
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 130
    assert index_names(posts, "posts") == ["posts_pkey"]
    assert "Traceback" not in err


def test_what_a_killed_one_left_building_is_awaited_and_not_built_twice(
    project: Project, posts: Database, spawn_cli: Spawn, run_cli: Callable[..., Result]
) -> None:
    with open_transaction(posts, SNAPSHOT):
        killed = spawn_cli(*arguments(project))
        wait_until(lambda: invalid_indexes(posts) == ["by_author"], "a build")
        [(oid,)] = posts.sql("SELECT 'by_author'::regclass::oid")
        killed.kill()
        killed.wait()
        [(orphan, _)] = building(posts)  # the server builds on
        wait_until(lambda: dbopts(posts) == [orphan], "the end of the other session, and of its lock")

        again = run_cli(*arguments(project, "--wait", "1s"))
        assert again.code == 1
        items = {item["index"]: item for item in again.json_lines[-1]["items"]}
        assert items["by_author"]["status"] == "failed"
        assert f"its pid {orphan} waits itself" in items["by_author"]["error"]
        # One that stood behind it in the queue would have made it a deadlock's victim.
        assert items["by_id"]["status"] == "failed"
        assert f"pid {orphan}" in items["by_id"]["error"]
        assert [pid for pid, _ in building(posts)] == [orphan]
        assert index_names(posts, "posts") == ["by_author", "posts_pkey"]

        patient = spawn_cli(*arguments(project, "--wait", "30s"))
        wait_until(lambda: len(dbopts(posts)) == 3, "one that waits")
    code, events, _ = ended(patient)
    assert code == 0
    assert events[-1]["applied"] == 2
    assert {"event": "step_started", "action": "adopt"}.items() <= events[1].items()
    assert posts.sql("SELECT 'by_author'::regclass::oid") == [(oid,)]
    assert index_names(posts, "posts") == ["by_author", "by_id", "posts_pkey"]
    project.assert_settled()


def test_a_second_one_is_turned_away(project: Project, posts: Database, run_cli: Callable[..., Result]) -> None:
    with open_transaction(posts, WRITE) as writer:
        first = project.start()
        first.until_it_waits_for(writer)
        posts.sql("CREATE TABLE other (id int)")
        project.wants("name: on_other, table: other, keys: [id]")
        second = run_cli(*arguments(project))
        assert second.code == 3
        assert f"another dbopt is at work on {posts.name}" in second.err
        assert "user postgres" in second.err
    first.finish().assert_applied()
