"""Tables, indexes and rights that somebody changes between the plan and the step, or that queue behind a build."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import assert_index, index_names, invalid_indexes, wait_until
from psycopg.conninfo import make_conninfo

from tests.optimize.held import BY_HELD, ON_OTHER, POSTS, held_pid, holding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

    from tests.optimize.runs import Project

BY_AUTHOR = "name: by_author, table: posts, keys: [author], priority: 1"


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql(POSTS)
    return database


@contextlib.contextmanager
def queueing(database: Database, statement: str) -> Iterator[None]:
    """A statement that waits for its lock at the begin of the block, and has ended well when the block has.

    It looks for deadlocks after 5 s: until then, somebody else has to step back.
    """
    with database.connect(autocommit=True) as conn, ThreadPoolExecutor(max_workers=1) as thread:
        conn.execute("SET deadlock_timeout = '5s'")
        pid = conn.info.backend_pid
        done = thread.submit(conn.execute, statement)  # type: ignore[call-overload]  # tests paste SQL together
        waits = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
        wait_until(lambda: database.sql(waits, [pid]) or done.done(), "the queue")
        assert not done.done(), done.result()
        yield
        done.result(timeout=30)


# Between the plan and the step


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ("ALTER TABLE posts RENAME TO articles", "ALTER TABLE articles RENAME TO posts"),
        ("ALTER TABLE posts DROP author", "ALTER TABLE posts ADD author int"),
        ("DROP TABLE posts", "CREATE TABLE posts (id int PRIMARY KEY, author int, title text)"),
        ("CREATE TABLE by_author (id int)", "DROP TABLE by_author"),
    ],
    ids=["table renamed", "column dropped", "table dropped", "name taken"],
)
def test_the_table_is_another_by_then(project: Project, posts: Database, change: str, back: str) -> None:
    """The step fails in words, the next one runs; when things are as they were, one run does the rest."""
    plan = project.wants(BY_AUTHOR, ON_OTHER).plan()
    posts.sql(change)
    run = project.run(plan)
    assert run.statuses == {"by_author": "failed", "on_other": "applied"}
    [error], [hint] = run.errors, run.hints
    assert "by_author" in error
    assert hint
    assert invalid_indexes(posts) == []
    posts.sql(back)
    project.assert_converges()


def test_the_column_has_another_type_by_then(project: Project, posts: Database) -> None:
    plan = project.wants(BY_AUTHOR, ON_OTHER).plan()
    posts.sql("ALTER TABLE posts ALTER author TYPE text")
    project.run(plan)
    assert invalid_indexes(posts) == []
    project.assert_converges()
    assert_index(posts, "public.posts (author)")


def test_the_table_belongs_to_somebody_else_by_then(project: Project, posts: Database) -> None:
    role = f"owner_{posts.name}"
    posts.sql(f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}")
    posts.sql(f"ALTER TABLE posts OWNER TO {role}; ALTER TABLE other OWNER TO {role}")
    try:
        project.conninfo = make_conninfo(posts.conninfo, user=role)
        plan = project.wants(BY_AUTHOR, ON_OTHER).plan()
        posts.sql("ALTER TABLE posts OWNER TO CURRENT_USER")
        run = project.run(plan)
        assert run.statuses == {"by_author": "failed", "on_other": "applied"}
        assert "[SQLSTATE 42501]" in run.errors[0]
        assert "SET ROLE" in (run.hints[0] or "")
        assert project.plan().refused[0].error == f"role {role} does not own public.posts, whose owner is postgres"
        posts.sql(f"ALTER TABLE posts OWNER TO {role}")
        project.assert_converges()
    finally:
        posts.sql(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


def test_somebody_has_dropped_the_index_to_be_replaced(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX by_author ON posts (title)")
    plan = project.wants(BY_AUTHOR, ON_OTHER).plan()
    posts.sql("DROP INDEX by_author")
    run = project.run(plan)
    assert run.statuses["on_other"] == "applied"
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


def test_somebody_has_dropped_what_is_to_be_dropped(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX gone ON posts (title)")
    plan = project.wants("name: gone, table: posts, state: absent").plan(prune_foreign=True)
    posts.sql("DROP INDEX gone")
    project.run(plan).assert_applied()
    project.assert_settled()


def test_somebody_has_made_the_very_index(project: Project, posts: Database) -> None:
    plan = project.wants(BY_AUTHOR, ON_OTHER).plan()
    posts.sql("CREATE INDEX by_author ON posts (author)")
    assert project.run(plan).statuses["on_other"] == "applied"
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


def test_somebody_drops_the_index_that_was_just_built(project: Project, posts: Database) -> None:
    posts.sql(
        "CREATE FUNCTION undo() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN DROP INDEX by_author; END $$;"
        "CREATE EVENT TRIGGER undo ON ddl_command_end WHEN TAG IN ('COMMENT') EXECUTE FUNCTION undo()"
    )
    run = project.wants(BY_AUTHOR, ON_OTHER).run()
    assert run.statuses["by_author"] == "failed"
    posts.sql("DROP EVENT TRIGGER undo")
    project.assert_converges()


def test_a_trigger_that_lets_nothing_be_dropped(project: Project, posts: Database) -> None:
    posts.sql(
        "CREATE INDEX by_author ON posts (author); CREATE INDEX gone ON posts (title);"
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_author'::regclass;"
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'never on a Friday'; END $$;"
        "CREATE EVENT TRIGGER no ON sql_drop EXECUTE FUNCTION no()"
    )
    project.wants(BY_AUTHOR, ON_OTHER, "name: gone, table: posts, state: absent")
    run = project.run(project.plan(prune_foreign=True))
    assert run.statuses == {"by_author": "failed", "on_other": "applied", "gone": "failed"}
    assert all("never on a Friday [SQLSTATE P0001]" in error for error in run.errors)
    posts.sql("DROP EVENT TRIGGER no")
    project.run(project.plan(prune_foreign=True)).assert_applied()
    project.assert_settled()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


# Behind a build


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE posts",
        "VACUUM FULL posts",
        "VACUUM posts",
    ],
)
def test_what_queues_behind_a_build_has_its_turn(project: Project, posts: Database, statement: str) -> None:
    """At its end, a build waits for all who have a snapshot, and those who wait for it have one: it steps back."""
    posts.sql(f"ALTER DATABASE {posts.name} SET deadlock_timeout = '1min'")
    project.wants(BY_HELD, ON_OTHER)
    with holding(posts) as release:
        run = project.start()
        held_pid(posts)
        with queueing(posts, statement):
            release()
    run.finish().assert_applied()
    project.assert_settled()
    assert_index(posts, "public.posts (held(author))")


def test_the_table_is_dropped_behind_a_build(project: Project, posts: Database) -> None:
    posts.sql(f"ALTER DATABASE {posts.name} SET deadlock_timeout = '1min'")
    project.wants(BY_HELD, ON_OTHER)
    with holding(posts) as release:
        run = project.start()
        held_pid(posts)
        with queueing(posts, "DROP TABLE posts"):
            release()
    run.finish()
    assert run.statuses["on_other"] == "applied"
    assert invalid_indexes(posts) == []
    assert project.plan().refused[0].error == "table public.posts does not exist"
    project.wants(ON_OTHER).assert_settled()


def test_the_database_is_dropped_under_a_build(project: Project, posts: Database) -> None:
    """With all its sessions: nobody waits for its return."""
    project.wants(BY_HELD, ON_OTHER)
    with psycopg.connect(make_conninfo(posts.conninfo, dbname="postgres"), autocommit=True) as admin:
        with holding(posts):
            run = project.start()
            held_pid(posts)
            admin.execute(f"DROP DATABASE {posts.name} WITH (FORCE)")
            wait_until(lambda: run.ended, "the end of the run")
        run.finish()
        assert set(run.statuses.values()) == {"failed"}
        [error], [hint] = run.errors, run.hints
        assert error.startswith("could not connect to ")
        assert hint is not None
        assert "psql -l" in hint
        admin.execute(f"CREATE DATABASE {posts.name}")  # for the fixture to drop


def test_the_schema_gets_another_name_under_a_build(project: Project, posts: Database) -> None:
    """Which takes no lock on the table."""
    posts.sql("CREATE SCHEMA here; ALTER TABLE posts SET SCHEMA here")
    project.wants("name: by_held, table: posts, schema: here, keys: [{expr: public.held(author)}]", ON_OTHER)
    with holding(posts):
        run = project.start()
        held_pid(posts)
        posts.sql("ALTER SCHEMA here RENAME TO there")
    run.finish()
    assert run.statuses == {"by_held": "failed", "on_other": "applied"}
    assert invalid_indexes(posts) == []
    posts.sql("ALTER SCHEMA there RENAME TO here")
    project.assert_converges()


def test_somebody_reindexes_what_is_to_be_replaced(project: Project, posts: Database) -> None:
    """Concurrently, which holds its own locks for as long: ours goes on after it."""
    posts.sql("CREATE INDEX by_author ON posts (held(author))")
    plan = project.wants(BY_AUTHOR).plan()
    with ThreadPoolExecutor(max_workers=1) as thread:
        with holding(posts):
            theirs = thread.submit(posts.sql, "REINDEX INDEX CONCURRENTLY by_author")
            held_pid(posts)
            run = project.start(plan)
            wait_until(lambda: run.blockers() or run.ended, "our waiting")
            assert not run.ended
        theirs.result(timeout=30)
    run.finish().assert_applied()
    project.assert_settled()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]
