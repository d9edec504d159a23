"""Sessions of dbopt that are ended, limited, stopped or set otherwise, most of them in the middle of a build."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from helpers import index_names, invalid_indexes, wait_until
from psycopg.conninfo import make_conninfo

from tests.optimize.held import BY_HELD, ON_OTHER, POSTS, held_pid, holding

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database

    from tests.optimize.runs import Project

    Spawn = Callable[..., subprocess.Popen[str]]
    Cli = Callable[..., Result]

TIMEOUT_SECONDS = 40
NO_STORE = {"DBOPT_STORE_URL": "none"}  # whose first use takes as long as all the rest
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbopt%'"


@pytest.fixture
def posts(database: Database, project: Project) -> Database:
    database.sql(POSTS)
    project.wants(BY_HELD, ON_OTHER)
    return database


@pytest.fixture
def owner(posts: Database) -> Iterator[str]:
    """A role that owns the tables, and has no other right."""
    role = f"owner_{posts.name}"
    posts.sql(
        f"CREATE ROLE {role} LOGIN; ALTER TABLE posts OWNER TO {role}; ALTER TABLE other OWNER TO {role};"
        f"GRANT CREATE ON SCHEMA public TO {role}"
    )
    yield role
    posts.sql(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


def arguments(project: Project, *more: str) -> list[str]:
    return ["optimize", str(project.folder), "--yes", "-d", project.conninfo, "--format", "json", *more]


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """(exit code, index -> item, stderr)."""
    out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert "Traceback" not in err, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["event"] == "result"
    return process.returncode, {item["index"]: item for item in lines[-1]["items"]}, err


def assert_converges(project: Project, run_cli: Cli) -> None:
    """One more run exits 0, everything is there, and nothing else."""
    again = run_cli(*arguments(project), env=NO_STORE)
    assert again.code == 0, again.err
    assert invalid_indexes(project.database) == []
    assert index_names(project.database, "posts") == ["by_held", "posts_pkey"]
    assert index_names(project.database, "other") == ["on_other", "other_pkey"]
    project.assert_settled()


def test_the_building_session(project: Project, posts: Database, spawn_cli: Spawn, run_cli: Cli) -> None:
    with holding(posts):
        process = spawn_cli(*arguments(project), env=NO_STORE)
        posts.sql("SELECT pg_cancel_backend(%s)", [held_pid(posts)])
        wait_until(lambda: index_names(posts, "other") == ["on_other", "other_pkey"], "the next step")
    code, items, _ = ended(process)
    assert code in (0, 1)  # tried again, or said
    assert invalid_indexes(posts) == []
    assert items["on_other"]["status"] == "applied"
    assert_converges(project, run_cli)


def test_all_sessions_at_once(project: Project, posts: Database) -> None:
    with holding(posts):
        run = project.start()
        held_pid(posts)
        posts.sql(f"SELECT pg_terminate_backend(pid) {OURS}")
        wait_until(lambda: index_names(posts, "other") == ["on_other", "other_pkey"], "the next step")
    run.finish()
    assert run.statuses["on_other"] == "applied"
    assert invalid_indexes(posts) == []
    project.assert_converges()


def test_the_process_stands_still_for_a_while(
    project: Project, posts: Database, spawn_cli: Spawn, run_cli: Cli
) -> None:
    """As in a suspended container: the server builds on, and what it has built is found to be good."""
    with holding(posts):
        process = spawn_cli(*arguments(project), env=NO_STORE)
        held_pid(posts)
        process.send_signal(signal.SIGSTOP)
    wait_until(lambda: posts.sql("SELECT 1 FROM pg_index WHERE indisvalid AND indexrelid = 'by_held'::regclass"), "it")
    process.send_signal(signal.SIGCONT)
    code, items, _ = ended(process)
    assert code == 0
    assert {item["status"] for item in items.values()} == {"applied"}
    assert_converges(project, run_cli)


@pytest.mark.pg(">= 14")
def test_a_server_that_looks_for_lost_clients(
    project: Project, posts: Database, spawn_cli: Spawn, run_cli: Cli
) -> None:
    """client_connection_check_interval: whether the orphaned build ends by it or not, the next run comes to the end."""
    posts.sql(f"ALTER DATABASE {posts.name} SET client_connection_check_interval = '50ms'")
    with holding(posts):
        process = spawn_cli(*arguments(project), env=NO_STORE)
        held_pid(posts)
        process.kill()
        process.wait()
    assert_converges(project, run_cli)


@pytest.mark.parametrize("whose", ["role", "database"])
def test_read_only_by_default(project: Project, posts: Database, owner: str, run_cli: Cli, whose: str) -> None:
    """A setting that is meant for people and their tools: dbopt optimize is told to write."""
    what = f"ROLE {owner}" if whose == "role" else f"DATABASE {posts.name}"
    writable = posts.connect(autocommit=True)
    writable.execute(f"ALTER {what} SET default_transaction_read_only = on")
    project.conninfo = make_conninfo(posts.conninfo, user=owner)
    assert run_cli(*arguments(project), env=NO_STORE).code == 0
    writable.execute(f"ALTER {what} RESET ALL")
    assert_converges(project, run_cli)


def test_timeouts_given_with_the_connection(project: Project, posts: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=50ms")
    project.conninfo = make_conninfo(posts.conninfo, options="-c statement_timeout=100ms -c lock_timeout=100ms")
    with holding(posts):
        run = project.start()
        pid = held_pid(posts)
        posts.sql("SET statement_timeout = 0; SELECT pg_sleep(0.5)")  # five times what the settings would allow
        assert held_pid(posts) == pid
    run.finish().assert_applied()
    project.assert_settled()


def test_timeouts_that_come_into_force_under_way(project: Project, posts: Database, owner: str) -> None:
    """They hold for new sessions: those that dbopt opens in place of lost ones."""
    project.conninfo = make_conninfo(posts.conninfo, user=owner)
    project.wants(BY_HELD, "name: also_held, table: other, keys: [{expr: held(id)}], priority: 2")
    with holding(posts):
        run = project.start()
        first = held_pid(posts)
        for name in ("statement_timeout", "lock_timeout"):
            posts.sql(f"ALTER ROLE {owner} SET {name} = '400ms'")
        posts.sql(f"SELECT pg_terminate_backend(pid) {OURS}")
        wait_until(lambda: held_pid(posts) != first, "another build")
        second = held_pid(posts)
        posts.sql("SELECT pg_sleep(1)")  # more than twice what the settings would allow
        assert held_pid(posts) == second
    run.finish()
    assert run.statuses["also_held"] == "applied"
    assert invalid_indexes(posts) == []
    project.assert_converges()


def test_a_search_path_that_hides_tables_and_catalogs(project: Project, posts: Database, owner: str) -> None:
    posts.sql(
        "CREATE SCHEMA hiding; GRANT USAGE ON SCHEMA hiding TO PUBLIC;"
        "CREATE TABLE hiding.posts (id int); CREATE TABLE hiding.pg_index (indexrelid oid);"
        f"CREATE TABLE hiding.pg_class (oid oid); ALTER ROLE {owner} SET search_path = hiding, pg_catalog"
    )
    project.conninfo = make_conninfo(posts.conninfo, user=owner)
    project.wants("name: by_lower, table: posts, keys: [{expr: lower(title)}]").assert_converges()
    assert index_names(posts, "public.posts") == ["by_lower", "posts_pkey"]


# Not enough sessions


@pytest.mark.parametrize("limit", [0, 1])
def test_too_many_connections(project: Project, posts: Database, owner: str, run_cli: Cli, limit: int) -> None:
    """Neither of the two sessions to be had, or no second one: nothing has been begun."""
    project.conninfo = make_conninfo(posts.conninfo, user=owner)
    posts.sql(f"ALTER ROLE {owner} CONNECTION LIMIT {limit}")
    result = run_cli(*arguments(project), env=NO_STORE)
    assert result.code == 3
    assert "too many connections" in result.err
    assert "hint:" in result.err
    assert index_names(posts, "posts") == ["posts_pkey"]
    assert index_names(posts, "other") == ["other_pkey"]
    posts.sql(f"ALTER ROLE {owner} CONNECTION LIMIT -1")
    assert_converges(project, run_cli)
