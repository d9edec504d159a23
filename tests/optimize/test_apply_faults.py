"""Statements and sessions that fail under way: what is left, what is said, and that one more run reaches the spec."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import index_names, invalid_indexes, open_transaction, wait_until
from psycopg.conninfo import make_conninfo
from server import Database, Server

from dbopt import embedded
from dbopt.errors import ConnectionFailed
from tests.optimize.runs import Project, builder_pid, building

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.optimize.runs import Background

BY_AUTHOR = "name: by_author, table: posts, keys: [author]"
ON_OTHER = "name: on_other, table: other, keys: [id], where: id > 5"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"  # the last phase waits for it, a drop does not
SCHEMA = (
    "CREATE TABLE other (id int PRIMARY KEY);"
    "CREATE TABLE posts (id int PRIMARY KEY, author int, title text);"
    "INSERT INTO posts SELECT i, i % 250, md5(i::text) FROM generate_series(1, 500) AS i; ANALYZE posts"
)


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql(SCHEMA)
    return database


@contextlib.contextmanager
def held_up(project: Project, database: Database, *entries: str) -> Iterator[Background]:
    """A run whose first build waits for a snapshot; that goes at the end of the block."""
    project.wants(*entries)
    plan = project.plan()
    with open_transaction(database, SNAPSHOT) as holder:
        run = project.start(plan)
        run.until_it_waits_for(holder)
        yield run


def control_pid(database: Database) -> int:
    """The session that watches, and holds the runner's lock."""
    [(pid,)] = database.sql(
        "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()"
    )
    return int(pid)


# The statement fails


def test_duplicates_fail_one_index_and_leave_nothing(project: Project, posts: Database) -> None:
    project.wants("name: one_author, table: posts, keys: [author], unique: true, priority: 1", ON_OTHER)
    run = project.run()
    [error], [hint] = run.errors, run.hints
    assert "250 values are there more than once: (author)=(" in error
    assert hint is not None
    assert "DELETE FROM" in hint
    assert run.statuses == {"one_author": "failed", "on_other": "applied"}
    assert index_names(posts, "posts") == ["posts_pkey"]
    posts.sql("DELETE FROM posts WHERE id > 250")
    project.assert_converges()


def test_a_build_that_somebody_cancels_leaves_nothing(project: Project, posts: Database) -> None:
    with held_up(project, posts, BY_AUTHOR) as run:
        pid = builder_pid(posts)
        posts.sql("SELECT pg_cancel_backend(%s)", [pid])
        wait_until(lambda: "removed the unfinished index by_author" in run.notices, "the removal")
    run.finish()
    [error], [hint] = run.errors, run.hints
    assert "[SQLSTATE 57014]" in error
    assert hint is not None
    assert "pg_cancel_backend" in hint
    assert index_names(posts, "posts") == ["posts_pkey"]
    project.assert_converges()


def test_an_event_trigger_that_objects_fails_the_item(project: Project, posts: Database) -> None:
    posts.sql("CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on a Friday'; END $$")
    project.wants(BY_AUTHOR)
    plan = project.plan()
    for instant in ("start", "end"):
        tags = "WHEN TAG IN ('CREATE INDEX')"
        posts.sql(f"CREATE EVENT TRIGGER no ON ddl_command_{instant} {tags} EXECUTE FUNCTION no()")
        run = project.run(plan)
        [error] = run.errors
        assert "not on a Friday" in error
        assert index_names(posts, "posts") == ["posts_pkey"]
        posts.sql("DROP EVENT TRIGGER no")
    project.assert_converges()


def test_a_name_that_was_taken_meanwhile_stays_theirs(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    posts.sql("CREATE INDEX by_author ON posts (title)")
    run = project.run(plan)
    [error] = run.errors
    assert "[SQLSTATE 42P07]" in error
    assert posts.sql("SELECT pg_get_indexdef('by_author'::regclass)")[0][0].endswith("(title)")


def test_a_limit_on_temporary_files_fails_the_item(project: Project, posts: Database) -> None:
    posts.sql("INSERT INTO posts SELECT i, i, md5(i::text) FROM generate_series(501, 30000) AS i")
    posts.sql(f"ALTER DATABASE {posts.name} SET temp_file_limit = '100kB'")
    posts.sql(f"ALTER DATABASE {posts.name} SET maintenance_work_mem = '1MB'")
    project.wants("name: by_title, table: posts, keys: [title]", ON_OTHER)
    run = project.run()
    [error] = run.errors
    assert "[SQLSTATE 53400]" in error
    assert run.statuses == {"by_title": "failed", "on_other": "applied"}
    assert index_names(posts, "posts") == ["posts_pkey"]
    posts.sql(f"ALTER DATABASE {posts.name} RESET ALL")
    project.assert_converges()


def test_a_full_disk_fails_one_index_and_leaves_nothing(tiny_disk: str, project: Project, posts: Database) -> None:
    posts.sql("INSERT INTO posts SELECT i, i, md5(i::text) FROM generate_series(501, 60000) AS i")
    big = f"name: by_title, table: posts, keys: [title], tablespace: {tiny_disk}"
    project.wants(big, ON_OTHER)
    run = project.run()
    [error], [hint] = run.errors, run.hints
    assert "[SQLSTATE 53100]" in error
    assert hint is not None
    assert "Free space" in hint
    assert run.statuses == {"by_title": "failed", "on_other": "applied"}
    assert index_names(posts, "posts") == ["posts_pkey"]
    posts.sql("DELETE FROM posts WHERE id > 500")
    posts.sql("VACUUM posts")
    project.assert_converges()
    posts.sql("DROP INDEX by_title")  # before its tablespace


# A session is lost


def test_a_lost_building_session_is_opened_again(project: Project, posts: Database) -> None:
    with held_up(project, posts, f"{BY_AUTHOR}, priority: 1", ON_OTHER) as run:
        posts.sql("SELECT pg_terminate_backend(%s)", [builder_pid(posts)])
        wait_until(lambda: "removed the unfinished index by_author" in run.notices, "the removal")
    run.finish()
    [error] = run.errors
    assert "by_author" in error
    assert run.statuses == {"by_author": "failed", "on_other": "applied"}
    assert index_names(posts, "posts") == ["posts_pkey"]
    project.assert_converges()


def test_a_lost_watching_session_is_opened_again(project: Project, posts: Database) -> None:
    with held_up(project, posts, BY_AUTHOR, ON_OTHER) as run:
        first = control_pid(posts)
        seen = len(run.events)
        posts.sql("SELECT pg_terminate_backend(%s)", [first])
        wait_until(lambda: len(run.events) > seen + 1, "the watch going on")
        assert control_pid(posts) != first  # and it has the runner's lock again
    run.finish().assert_applied()
    project.assert_settled()


def test_both_sessions_lost(project: Project, posts: Database) -> None:
    with held_up(project, posts, f"{BY_AUTHOR}, priority: 1", ON_OTHER) as run:
        pids = [builder_pid(posts), control_pid(posts)]
        posts.sql("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
        wait_until(lambda: "removed the unfinished index by_author" in run.notices, "the removal")
    run.finish().assert_applied()  # it comes back to what a lost server has cost
    project.assert_settled()


def test_a_run_that_lost_the_runners_lock_to_another_stops(
    project: Project, posts: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbopt.optimize.lane.RECONNECT_SECONDS", 1.0)
    other = posts.connect(autocommit=True)
    with ThreadPoolExecutor(max_workers=1) as thread:
        with held_up(project, posts, f"{BY_AUTHOR}, priority: 1", ON_OTHER) as run:
            [lock] = posts.sql("SELECT classid::int, objid::int FROM pg_locks WHERE locktype = 'advisory'")
            took = thread.submit(other.execute, "SELECT pg_advisory_lock(%s::int, %s::int)", lock)
            wait_until(lambda: posts.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"), "it")
            posts.sql("SELECT pg_terminate_backend(%s)", [control_pid(posts)])
            took.result(timeout=20)
            seen = len(run.events)
            wait_until(lambda: len(run.events) > seen + 1, "the watch going on")
        run.finish()
    assert run.statuses == {"by_author": "applied", "on_other": "failed"}
    assert any("another dbopt is at work" in error for error in run.errors)
    other.close()
    project.assert_converges()


def test_no_slot_for_a_second_session_changes_nothing(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    posts.sql("DROP ROLE IF EXISTS single; CREATE ROLE single LOGIN CONNECTION LIMIT 1")
    project.conninfo = make_conninfo(posts.conninfo, user="single")
    try:
        with pytest.raises(ConnectionFailed) as caught:
            project.run(plan)
        assert "too many connections" in (caught.value.detail or "")
        assert index_names(posts, "posts") == ["posts_pkey"]
    finally:
        posts.sql("DROP ROLE single")


def test_a_server_that_ends_no_build_does_not_hold_us_for_ever(
    project: Project, posts: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbopt.optimize.worker.CANCEL_PATIENCE_SECONDS", 1.0)
    with held_up(project, posts, BY_AUTHOR, ON_OTHER) as run:
        pid = builder_pid(posts)
        os.kill(pid, signal.SIGSTOP)  # as a backend on a disk that does not answer
        try:
            run.interrupt().finish()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert run.result.interrupted
        [error], [hint] = run.errors, run.hints
        assert "does not end the build" in error
        assert hint is not None
        assert f"pg_terminate_backend({pid})" in hint
    wait_until(lambda: not building(posts), "its end")
    project.assert_converges()


# The server is lost


@pytest.fixture
def own_server(server_binaries: embedded.Binaries) -> Iterator[Server]:
    with embedded.start(binaries=server_binaries) as running:
        yield Server(running)


def test_a_crash_under_a_build_is_survived(own_server: Server, tmp_path: Path) -> None:
    """A backend that dies takes all others along; the server recovers as after an immediate stop."""
    with own_server.database() as database, Project(database, tmp_path / "specs") as project:
        database.sql(SCHEMA)
        database.sql("CHECKPOINT")  # a private server commits asynchronously: a crash would undo the last moment
        project.wants(f"{BY_AUTHOR}, priority: 1", ON_OTHER)
        plan = project.plan()
        holder = database.connect()
        holder.execute(SNAPSHOT)
        run = project.start(plan)
        run.until_it_waits_for(holder.info.backend_pid)
        os.kill(builder_pid(database), signal.SIGKILL)
        run.finish()
        assert any("waiting for the server" in notice for notice in run.notices)
        run.assert_applied()
        assert invalid_indexes(database) == []
        project.assert_settled()


def test_a_server_that_does_not_come_back_ends_the_run(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbopt.optimize.lane.RECONNECT_SECONDS", 1.0)
    database = Database(own_server.conninfo, "postgres")
    database.sql(SCHEMA)
    with Project(database, tmp_path / "specs") as project:
        project.wants(f"{BY_AUTHOR}, priority: 1", ON_OTHER)
        plan = project.plan()
        holder = database.connect()
        holder.execute(SNAPSHOT)
        run = project.start(plan)
        run.until_it_waits_for(holder.info.backend_pid)
        own_server.embedded.stop()
        run.finish()
        database.close()
    assert run.statuses == {"by_author": "failed", "on_other": "failed"}
    [item] = [item for item in run.result.items if item.index == "on_other"]
    assert item.error is not None
    assert item.error.startswith("not started: could not connect")
