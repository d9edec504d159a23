"""How a run behaves towards others: what it puts off, makes room for, waits for and leaves. Real sessions."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from helpers import index_names, invalid_indexes, open_transaction, wait_until

from dbopt.optimize.apply import ApplyOptions
from dbopt.optimize.events import Progress, StepFinished, StepPutOff, StepStarted, Waiting
from dbopt.optimize.pace import Built, Pace
from tests.optimize.runs import PATIENCE_SECONDS, builder_pid, building

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    import psycopg
    from server import Database

    from tests.optimize.runs import Background, Project

BY_AUTHOR = "name: by_author, table: posts, keys: [author], priority: 1"
BY_TITLE = "name: by_title, table: posts, keys: [title], priority: 1"
ON_OTHER = "name: on_other, table: other, keys: [id], priority: 2"
WRITE = "UPDATE posts SET author = 1 WHERE id = 1"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql(
        "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other SELECT generate_series(1, 300);"
        "CREATE TABLE posts (id int PRIMARY KEY, author int, title text);"
        "INSERT INTO posts SELECT i, i % 250, md5(i::text) FROM generate_series(1, 500) AS i; ANALYZE"
    )
    return database


def finished(run: Background) -> list[str | None]:
    """The steps in the order of their ends."""
    return [event.step.index for event in run.of(StepFinished)]


def in_thread(conn: psycopg.Connection[Any], statement: str) -> Future[object]:
    """The statement, sent now and not waited for."""
    pool = ThreadPoolExecutor(max_workers=1)
    work: Future[object] = pool.submit(conn.execute, statement.encode())
    pool.shutdown(wait=False)
    return work


def waits(database: Database, pid: int) -> bool:
    [(count,)] = database.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'", [pid]
    )
    return bool(count)


# Looking first, giving up, coming back


def test_what_waits_for_a_writer_is_not_started_and_leaves_nothing(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    with open_transaction(posts, WRITE) as writer:
        run = project.start(plan, wait_seconds=0.5)
        run.finish()
        assert run.waits_for(writer)
        assert index_names(posts, "posts") == ["posts_pkey"]
    [put_off] = run.of(StepPutOff)
    assert f"pid {writer}" in put_off.reason
    assert len(run.of(StepStarted)) == 2
    [error] = run.errors
    assert "gave up waiting after" in error
    assert f"pid {writer}" in error
    project.assert_converges()


def test_the_next_table_comes_first_and_then_this_one_again(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR, BY_TITLE, ON_OTHER)
    plan = project.plan()
    with open_transaction(posts, WRITE):
        run = project.start(plan, wait_seconds=0.5)
        wait_until(lambda: run.of(StepFinished), "the other table")
    run.finish().assert_applied()
    assert finished(run) == ["on_other", "by_author", "by_title"]
    assert len(run.of(StepPutOff)) == 1  # its whole table is put off at once
    project.assert_settled()


def test_a_snapshot_that_was_waited_for_in_vain_is_not_waited_for_by_every_step(
    project: Project, posts: Database
) -> None:
    project.wants(BY_AUTHOR, BY_TITLE, ON_OTHER)
    plan = project.plan()
    with open_transaction(posts, SNAPSHOT) as holder:
        run = project.start(plan, wait_seconds=0.5)
        run.finish()
        assert invalid_indexes(posts) == []
    assert run.statuses == {"by_author": "failed", "by_title": "failed", "on_other": "failed"}
    assert all(f"pid {holder}" in error for error in run.errors)
    # Each round waits once for it, whatever number of steps it has.
    waits_of = [event.step.index for event in run.of(Waiting)]
    assert [index for n, index in enumerate(waits_of) if n == 0 or waits_of[n - 1] != index] == ["by_author"]
    project.assert_converges()


def test_the_budget_bounds_a_drop_before_it_is_sent(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (author)")
    project.wants("name: by_author, table: posts, state: absent")
    plan = project.plan(prune_foreign=True)
    with open_transaction(posts, "SELECT 1 FROM posts") as reader:  # a lock that no build minds
        run = project.start(plan, wait_seconds=0.5).finish()
        assert run.waits_for(reader)
        assert invalid_indexes(posts) == []
        assert index_names(posts, "posts") == ["by_author", "posts_pkey"]
    assert run.statuses == {"by_author": "failed"}
    project.run(plan).assert_applied()
    assert index_names(posts, "posts") == ["posts_pkey"]


# Making room


@pytest.fixture
def held_up(project: Project, posts: Database) -> Iterator[Background]:
    """A build at its last phase, with its lock on posts, until the test ends it."""
    project.wants(BY_AUTHOR)
    plan = project.plan()
    with open_transaction(posts, SNAPSHOT) as holder:
        run = project.start(plan)
        run.until_it_waits_for(holder)
        yield run


def test_a_build_makes_room_for_those_who_pile_up_behind_it(held_up: Background, posts: Database) -> None:
    run = held_up
    alter = posts.connect(autocommit=True)
    reader = posts.connect(autocommit=True)
    altering = in_thread(alter, "ALTER TABLE posts ADD COLUMN more int")
    wait_until(lambda: waits(posts, alter.info.backend_pid), "the ALTER TABLE in the queue")
    assert not run.of(StepPutOff)  # alone it harms nobody
    reading = in_thread(reader, "SELECT count(*) FROM posts")
    altering.result(timeout=PATIENCE_SECONDS)
    reading.result(timeout=PATIENCE_SECONDS)  # while the snapshot is still there
    wait_until(lambda: run.of(StepPutOff), "the room made")
    [put_off] = run.of(StepPutOff)
    assert f"pid {alter.info.backend_pid}" in put_off.reason
    wait_until(lambda: len(run.of(StepStarted)) == 2, "the second try")
    alter.close()
    reader.close()


def test_who_insists_builds_on(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    with open_transaction(posts, SNAPSHOT) as holder:
        run = project.start(plan, options=ApplyOptions(wait_seconds=PATIENCE_SECONDS, yields=False))
        run.until_it_waits_for(holder)
        builder = builder_pid(posts)
        alter, reader = posts.connect(autocommit=True), posts.connect(autocommit=True)
        altering = in_thread(alter, "ALTER TABLE posts ADD COLUMN more int")
        wait_until(lambda: waits(posts, alter.info.backend_pid), "the ALTER TABLE in the queue")
        reading = in_thread(reader, "SELECT count(*) FROM posts")
        wait_until(lambda: waits(posts, reader.info.backend_pid), "the reader behind it")
        seen = len(run.events)
        wait_until(lambda: len(run.events) > seen + 3, "more looks at the build")
        assert builder_pid(posts) == builder
    run.finish().assert_applied()
    assert not run.of(StepPutOff)
    altering.result(timeout=PATIENCE_SECONDS)
    reading.result(timeout=PATIENCE_SECONDS)
    alter.close()
    reader.close()


# Ending those who are in the way


def test_idle_sessions_are_ended_only_when_asked_for_and_idle_for_long_enough(
    project: Project, posts: Database
) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    writer = posts.connect()
    writer.execute(WRITE)
    patient = ApplyOptions(wait_seconds=1.0, cancel_idle_seconds=3600)
    run = project.start(plan, options=patient).finish()
    assert run.statuses == {"by_author": "failed"}
    writer.execute("SELECT 1")  # still there
    run = project.start(plan, options=ApplyOptions(wait_seconds=PATIENCE_SECONDS, cancel_idle_seconds=0.5)).finish()
    run.assert_applied()
    assert any(notice.startswith(f"ended pid {writer.info.backend_pid}") for notice in run.notices)
    writer.close()


# The window


def test_nothing_is_started_that_does_not_fit(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR, ON_OTHER)
    plan = project.plan()
    slow = Pace([Built(method="btree", size_bytes=8192, table_bytes=None, seconds=3600.0)])
    run = project.start(plan, options=ApplyOptions(until=time.monotonic() + 600, pace=slow)).finish()
    assert run.statuses == {"by_author": "left", "on_other": "left"}
    assert run.result.left == 2
    assert all("are left" in (item.error or "") for item in run.result.items)
    assert index_names(posts, "posts") == ["posts_pkey"]
    over = project.start(plan, options=ApplyOptions(until=time.monotonic() - 1)).finish()
    assert over.statuses == {"by_author": "left", "on_other": "left"}
    project.start(plan, options=ApplyOptions(until=time.monotonic() + 600)).finish().assert_applied()


# Lanes


def test_jobs_build_on_different_tables_at_once(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR, BY_TITLE, ON_OTHER)
    plan = project.plan()
    with open_transaction(posts, SNAPSHOT) as holder:
        run = project.start(plan, options=ApplyOptions(wait_seconds=PATIENCE_SECONDS, jobs=3))
        run.until_it_waits_for(holder)
        if posts.server_version >= (14,):  # before it, every build would wait for the others at its end
            wait_until(lambda: len(building(posts)) == 2, "two builds")
            tables = {event.step.table for event in run.of(StepStarted)}
            assert tables == {"posts", "other"}
        assert not any(event.step.index == "by_title" for event in run.of(StepStarted))
    run.finish().assert_applied()
    project.assert_settled()


def test_jobs_take_as_many_sessions_as_there_are(project: Project, posts: Database) -> None:
    posts.sql(
        "DROP ROLE IF EXISTS pair; CREATE ROLE pair LOGIN CONNECTION LIMIT 2;"
        "ALTER TABLE posts OWNER TO pair; ALTER TABLE other OWNER TO pair; GRANT ALL ON SCHEMA public TO pair"
    )
    try:
        project.wants(BY_AUTHOR, ON_OTHER)
        plan = project.plan()
        project.conninfo = f"{posts.conninfo} user=pair"
        run = project.start(plan, options=ApplyOptions(jobs=2)).finish()
        run.assert_applied()
        assert any("only 1 of 2 jobs" in notice for notice in run.notices)
    finally:
        posts.sql("DROP OWNED BY pair; DROP ROLE pair")


def test_duplicates_are_looked_for_before_a_unique_build(project: Project, posts: Database) -> None:
    project.wants("name: one_author, table: posts, keys: [author], unique: true")
    run = project.start(project.plan()).finish()
    [error] = run.errors
    assert "(author)=" in error
    assert not any(event.phase.startswith("building") for event in run.of(Progress))
    assert invalid_indexes(posts) == []
