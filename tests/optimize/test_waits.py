"""Whom a build or drop waits for, foreseen and in fact; what happens when that takes longer than it may."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import index_names, invalid_indexes, open_transaction, wait_until
from server import Server

from dbopt import embedded
from dbopt.optimize.apply import ApplyOptions
from dbopt.optimize.events import Waiting
from dbopt.optimize.waits import OTHER_BUILD, READERS, SNAPSHOTS, WRITERS
from tests.optimize.runs import PATIENCE_SECONDS, Project, building

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server import Database

    from dbopt.optimize.steps import Blocker

BY_AUTHOR = "name: by_author, table: posts, keys: [author]"
WRITE = "UPDATE posts SET author = 1 WHERE id = 1"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other"
VALIDATION = "waiting for writers before validation"
SHORT_SECONDS = 1.0  # a budget that is meant to be overdrawn


@pytest.fixture
def posts(database: Database) -> Database:
    fill(database)
    return database


def fill(database: Database) -> None:
    database.sql(
        "CREATE TABLE other (id int PRIMARY KEY);"
        "CREATE TABLE posts (id int PRIMARY KEY, author int);"
        "INSERT INTO posts SELECT i, i FROM generate_series(1, 500) AS i; ANALYZE posts"
    )


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if whoever is waited for came just after the look around that each statement begins with."""
    monkeypatch.setattr("dbopt.optimize.waits.standing", lambda *_, **__: ())


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The removal of a leftover that cannot succeed yet is given up at once."""
    monkeypatch.setattr("dbopt.optimize.lane.CLEANUP_SECONDS", 0.3)


def foreseen(project: Project) -> tuple[Blocker, ...]:
    [step] = project.plan().steps
    return step.waits_for


# Who is waited for

BLOCKING = {
    "a writer": (WRITE, WRITERS),
    "a deleted row": ("DELETE FROM posts WHERE id = 2", WRITERS),
    "a lock": ("LOCK TABLE posts IN SHARE ROW EXCLUSIVE MODE", WRITERS),
    "an old snapshot": (SNAPSHOT, SNAPSHOTS),
    "an open cursor": ("DECLARE c CURSOR FOR SELECT * FROM other", SNAPSHOTS),
}
HARMLESS = {
    "a reader of the table": "SELECT count(*) FROM posts",
    "rows locked elsewhere": "SELECT * FROM other FOR UPDATE",
    "rows locked here": "SELECT * FROM posts WHERE id = 1 FOR UPDATE",
    "a writer elsewhere": "INSERT INTO other VALUES (1)",
    "an advisory lock": "SELECT pg_advisory_lock(1)",
    "nothing at all": "SELECT 1",
}


@pytest.mark.parametrize(("statement", "phase"), BLOCKING.values(), ids=BLOCKING)
def test_those_who_are_waited_for(project: Project, posts: Database, statement: str, phase: str) -> None:
    project.wants(BY_AUTHOR)
    with open_transaction(posts, statement) as pid:
        assert [(one.pid, one.phase) for one in foreseen(project)] == [(pid, phase)]
        run = project.start()
        run.until_it_waits_for(pid)
    run.finish().assert_applied()
    [blocker, *_] = [one for one in run.blockers() if one.pid == pid]
    assert blocker.usename == "postgres"
    assert blocker.state == "idle in transaction"
    assert blocker.xact_age_seconds is not None
    assert blocker.phase in (phase, "waiting for a lock")
    project.assert_settled()


@pytest.mark.parametrize("statement", HARMLESS.values(), ids=HARMLESS)
def test_those_who_are_not(project: Project, posts: Database, statement: str) -> None:
    project.wants(BY_AUTHOR)
    with open_transaction(posts, statement) as pid:
        assert foreseen(project) == ()
        run = project.run(wait_seconds=SHORT_SECONDS)
    run.assert_applied()
    assert not run.waits_for(pid)


def test_an_idle_reader_whose_statement_had_parameters_is_waited_for(project: Project, posts: Database) -> None:
    """In READ COMMITTED too: the portal of the extended protocol keeps its snapshot."""
    project.wants(BY_AUTHOR)
    with posts.connect() as reader:
        reader.execute("SELECT count(*) FROM other WHERE id > %s", [1])
        assert [(one.pid, one.phase) for one in foreseen(project)] == [(reader.info.backend_pid, SNAPSHOTS)]
        run = project.start()
        run.until_it_waits_for(reader.info.backend_pid)
    run.finish().assert_applied()


def test_snapshots_and_tables_of_other_databases_do_not_matter(project: Project, posts: Database, pg: Server) -> None:
    project.wants(BY_AUTHOR)
    same_oids = pg.database(template=posts.name)
    with same_oids as twin, open_transaction(twin, SNAPSHOT), open_transaction(twin, WRITE):
        assert foreseen(project) == ()
        project.run(wait_seconds=SHORT_SECONDS).assert_applied()


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM posts", WRITE])
def test_a_drop_waits_for_readers_too(project: Project, posts: Database, statement: str) -> None:
    posts.sql("CREATE INDEX gone ON posts (author)")
    project.wants("name: gone, table: posts, keys: [author], state: absent")
    plan = project.plan(prune_foreign=True)
    with open_transaction(posts, statement) as pid:
        [step] = project.plan(prune_foreign=True).steps
        assert [(one.pid, one.phase) for one in step.waits_for] == [(pid, READERS)]
        run = project.start(plan)
        run.until_it_waits_for(pid)
    run.finish().assert_applied()
    assert index_names(posts, "posts") == ["posts_pkey"]


@pytest.fixture
def preparing(server_binaries: embedded.Binaries) -> Iterator[Database]:
    """A database on a server that can prepare transactions."""
    settings = {"max_prepared_transactions": "3"}
    with embedded.start(binaries=server_binaries, settings=settings) as running, Server(running).database() as database:
        fill(database)
        yield database


def test_a_prepared_transaction_is_named(preparing: Database, tmp_path: Path, soon: None) -> None:
    for gid, statement in (("transfer 7", WRITE), ("elsewhere", "INSERT INTO other VALUES (1)")):
        with preparing.connect() as conn:
            conn.execute(statement)
            conn.execute(f"PREPARE TRANSACTION '{gid}'")
    with Project(preparing, tmp_path / "specs") as project:
        project.wants(BY_AUTHOR)
        assert [(one.gid, one.pid, one.phase) for one in foreseen(project)] == [("transfer 7", None, WRITERS)]
        run = project.run(wait_seconds=SHORT_SECONDS)
        assert {one.gid for one in run.blockers()} == {"transfer 7"}
        [error] = run.errors
        assert "prepared transaction transfer 7" in error
        preparing.sql("COMMIT PREPARED 'transfer 7'")
        project.assert_converges()  # the other one, elsewhere, is not waited for
    preparing.sql("ROLLBACK PREPARED 'elsewhere'")


# When it takes too long


def test_a_build_that_would_wait_too_long_for_a_writer_is_not_started(project: Project, posts: Database) -> None:
    """So there is nothing that somebody would have to clean up."""
    project.wants(BY_AUTHOR)
    with open_transaction(posts, WRITE) as pid:
        run = project.run(wait_seconds=SHORT_SECONDS)
        [error] = run.errors
        assert f"for pid {pid} (postgres" in error
        assert index_names(posts, "posts") == ["posts_pkey"]
    project.assert_converges()


def test_a_drop_that_would_wait_too_long_for_a_reader_is_not_started(project: Project, posts: Database) -> None:
    """The index stays as it was: valid."""
    posts.sql("CREATE INDEX gone ON posts (author)")
    project.wants("name: gone, table: posts, keys: [author], state: absent")
    with open_transaction(posts, "SELECT count(*) FROM posts") as pid:
        run = project.run(project.plan(prune_foreign=True), wait_seconds=SHORT_SECONDS)
        [error] = run.errors
        assert f"for pid {pid} (postgres" in error
        assert invalid_indexes(posts) == []


def test_a_build_that_waits_too_long_for_a_writer_is_ended(
    project: Project, posts: Database, unforeseen: None, soon: None
) -> None:
    project.wants(BY_AUTHOR, "name: on_other, table: other, keys: [id], where: id > 5")
    with open_transaction(posts, WRITE) as pid:
        run = project.run(wait_seconds=SHORT_SECONDS)
        assert run.waits_for(pid)
        [error] = run.errors
        assert f"for pid {pid} (postgres" in error
        assert invalid_indexes(posts) == ["by_author"]  # nobody could remove it while the writer is there
        assert run.statuses == {"by_author": "failed", "on_other": "applied"}
        assert (run.result.applied, run.result.failed) == (1, 1)
        assert building(posts) == []
    project.assert_converges()
    assert invalid_indexes(posts) == []


def test_what_is_left_is_removed_when_the_writer_goes_meanwhile(
    project: Project, posts: Database, unforeseen: None
) -> None:
    project.wants(BY_AUTHOR)
    with open_transaction(posts, WRITE) as pid:
        run = project.start(wait_seconds=SHORT_SECONDS)
        run.until_it_waits_for(pid)
        wait_until(lambda: [q for _, q in building(posts) if q.startswith("DROP")], "the removal")
    run.finish().assert_applied()  # it has come back
    assert run.notices == ["removed the unfinished index by_author"]
    project.assert_settled()


def test_a_build_that_waits_too_long_for_a_snapshot_is_ended(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    with open_transaction(posts, SNAPSHOT) as pid:
        run = project.run(wait_seconds=SHORT_SECONDS)
        assert {one.pid for one in run.blockers(SNAPSHOTS)} == {pid}
        [error] = run.errors
        assert f"for pid {pid} (postgres" in error
        assert run.notices == ["removed the unfinished index by_author"]  # a drop waits for locks, not for snapshots
        assert index_names(posts, "posts") == ["posts_pkey"]
    project.assert_converges()


def test_every_phase_of_waiting_has_its_own_budget(project: Project, posts: Database, unforeseen: None) -> None:
    """Three waits, each well within the budget (a busy machine may stall), together beyond it."""
    project.wants(BY_AUTHOR)
    with contextlib.ExitStack() as snapshot, contextlib.ExitStack() as second:
        with open_transaction(posts, WRITE) as first:
            run = project.start(wait_seconds=8 * SHORT_SECONDS)
            run.until_it_waits_for(first)
            wait_until(lambda: run.blockers(WRITERS), "the first phase")
            snapshot_pid = snapshot.enter_context(open_transaction(posts, SNAPSHOT))
            posts.sql(f"SELECT pg_sleep({5 * SHORT_SECONDS})")
            # A writer that begins now is waited for before validation: the index is not yet known to it.
            later = second.enter_context(open_transaction(posts, WRITE.replace("1", "2")))
        run.until_it_waits_for(later)
        posts.sql(f"SELECT pg_sleep({5 * SHORT_SECONDS})")
        second.close()
        run.until_it_waits_for(snapshot_pid)
        assert not run.ended
    run.finish().assert_applied()
    assert run.blockers(WRITERS)
    assert run.blockers(VALIDATION)
    assert run.blockers(SNAPSHOTS)


def test_without_a_budget_it_waits_for_ever(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    with open_transaction(posts, WRITE) as pid:
        run = project.start(wait_seconds=None)
        run.until_it_waits_for(pid)
        assert not run.ended
    run.finish().assert_applied()


def test_a_drop_that_waits_too_long_is_finished_by_the_next_run(
    project: Project, posts: Database, unforeseen: None, soon: None
) -> None:
    posts.sql("CREATE INDEX gone ON posts (author)")
    project.wants("name: gone, table: posts, keys: [author], state: absent")
    with open_transaction(posts, "SELECT count(*) FROM posts") as pid:
        run = project.run(project.plan(prune_foreign=True), wait_seconds=SHORT_SECONDS)
        [error], [hint] = run.errors, run.hints
        assert f"for pid {pid}" in error
        assert hint is not None
        assert "gone was left INVALID" in hint
        assert invalid_indexes(posts) == ["gone"]
    project.assert_converges()
    assert index_names(posts, "posts") == ["posts_pkey"]


def test_a_drop_that_waits_too_long_is_finished_by_its_second_try(
    project: Project, posts: Database, unforeseen: None
) -> None:
    posts.sql("CREATE INDEX gone ON posts (author)")
    project.wants("name: gone, table: posts, keys: [author], state: absent")
    plan = project.plan(prune_foreign=True)
    with open_transaction(posts, "SELECT count(*) FROM posts") as pid:
        run = project.start(plan, wait_seconds=SHORT_SECONDS)
        run.until_it_waits_for(pid)
        wait_until(lambda: invalid_indexes(posts), "the first try being given up")
        wait_until(lambda: len(building(posts)) == 1 and run.of(Waiting)[-1].waited_seconds < 0.5, "the second try")
    run.finish().assert_applied()
    assert index_names(posts, "posts") == ["posts_pkey"]


# Others at the same work


@contextlib.contextmanager
def beside(work: Callable[[], Any]) -> Iterator[Any]:
    """A call in another thread, whose result is asked for at the end."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        future = thread.submit(work)
        yield future
        future.result(timeout=30)


def test_somebody_elses_build_on_the_table_is_let_end(project: Project, posts: Database) -> None:
    """Queueing behind it would make its last phase wait for us: a deadlock, and theirs would die."""
    project.wants(BY_AUTHOR)
    plan = project.plan()
    theirs = "CREATE INDEX CONCURRENTLY theirs ON posts (author, id)"
    writer = posts.connect()
    writer.execute(WRITE)
    with beside(lambda: posts.sql(theirs)):
        wait_until(lambda: invalid_indexes(posts), "their build")
        run = project.start(plan)
        wait_until(lambda: run.blockers(OTHER_BUILD), "our waiting")
        assert not run.waits_for(writer.info.backend_pid)
        assert building(posts) == []
        writer.rollback()
    run.finish().assert_applied()
    assert invalid_indexes(posts) == []
    assert index_names(posts, "posts") == ["by_author", "posts_pkey", "theirs"]


def test_giving_up_on_somebody_elses_build_leaves_nothing(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    theirs = "CREATE INDEX CONCURRENTLY theirs ON posts (author, id)"
    writer = posts.connect()
    writer.execute(WRITE)
    with beside(lambda: posts.sql(theirs)):
        wait_until(lambda: invalid_indexes(posts), "their build")
        run = project.run(plan, wait_seconds=SHORT_SECONDS)
        [error] = run.errors
        assert "gave up waiting" in error
        assert "by_author" not in index_names(posts, "posts")
        writer.rollback()
    project.assert_converges()


def test_a_comment_does_not_end_somebodys_reindex(project: Project, posts: Database) -> None:
    """It waits for the REINDEX with a snapshot, for which that one waits in turn: too short for either to die of it."""
    project.wants(BY_AUTHOR).run().assert_applied()
    project.wants(f"{BY_AUTHOR}, comment: another text")
    plan = project.plan()
    writer = posts.connect()
    writer.execute(WRITE)
    with beside(lambda: posts.sql("REINDEX INDEX CONCURRENTLY by_author")):
        wait_until(lambda: invalid_indexes(posts), "the reindexing")
        run = project.start(plan)
        wait_until(lambda: run.notices, "a first try")
        writer.rollback()
    run.finish().assert_applied()
    project.assert_settled()


def test_vacuum_is_waited_for(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    with posts.connect(autocommit=True) as janitor:
        # A crawl: what it costs is charged after each page.
        janitor.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1; DELETE FROM posts WHERE id % 2 = 0")

        def clean() -> None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                janitor.execute("VACUUM posts")

        with beside(clean):
            wait_until(lambda: posts.sql("SELECT pid FROM pg_stat_progress_vacuum"), "the vacuum")
            run = project.start(plan)
            run.until_it_waits_for(janitor.info.backend_pid)
            janitor.cancel_safe()
    run.finish().assert_applied()
    project.assert_settled()


def test_a_build_that_loses_a_deadlock_is_tried_again(project: Project, posts: Database, unforeseen: None) -> None:
    project.wants(BY_AUTHOR)
    with posts.connect() as rival:
        rival.execute("SET deadlock_timeout = '1min'")  # it is ours that finds the deadlock, and dies of it
        rival.execute(WRITE)
        run = project.start(options=ApplyOptions(wait_seconds=PATIENCE_SECONDS, yields=False))
        run.until_it_waits_for(rival.info.backend_pid)
        rival.execute("LOCK TABLE posts IN SHARE UPDATE EXCLUSIVE MODE")
        rival.commit()
    run.finish().assert_applied()
    assert any("trying again (1 of 2)" in notice for notice in run.notices)
    project.assert_settled()


def test_a_build_that_is_in_a_deadlock_makes_room_and_comes_back(
    project: Project, posts: Database, unforeseen: None
) -> None:
    project.wants(BY_AUTHOR)
    with posts.connect() as rival:
        rival.execute("SET deadlock_timeout = '1min'")
        rival.execute(WRITE)
        run = project.start()
        run.until_it_waits_for(rival.info.backend_pid)
        rival.execute("LOCK TABLE posts IN SHARE UPDATE EXCLUSIVE MODE")
        rival.commit()
    run.finish().assert_applied()
    assert "removed the unfinished index by_author" in run.notices
    project.assert_settled()
