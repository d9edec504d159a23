"""What builds, drops and rebuilds of others have left when they failed: made by real failures, put right by one run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import assert_index, index_names, invalid_indexes, open_transaction

from tests.optimize.held import BY_HELD, POSTS, held_pid, holding

if TYPE_CHECKING:
    from server import Database

    from tests.optimize.runs import Project

BY_AUTHOR = "name: by_author, table: posts, keys: [author]"
WRITER = "UPDATE posts SET author = 1 WHERE id = 1"
READER = "SELECT count(*) FROM posts"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other"


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql(POSTS)
    return database


def fails(database: Database, statement: str, timeout: str = "lock_timeout") -> None:
    """As another tool sends it, with a timeout that cuts it short."""
    with database.connect(autocommit=True) as conn:
        conn.execute(f"SET {timeout} = '200ms'")
        with pytest.raises((psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)):
            conn.execute(statement)  # type: ignore[call-overload]  # tests paste SQL together


def flags(database: Database, index: str) -> tuple[bool, bool]:
    [(valid, ready)] = database.sql(
        "SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = %s::regclass", [index]
    )
    return valid, ready


@pytest.mark.parametrize(
    ("blocker", "timeout", "ready"),
    [(WRITER, "lock_timeout", False), (SNAPSHOT, "lock_timeout", True), (SNAPSHOT, "statement_timeout", True)],
    ids=["writer", "snapshot", "statement"],
)
def test_a_build_that_a_timeout_cut_short(
    project: Project, posts: Database, blocker: str, timeout: str, ready: bool
) -> None:
    with open_transaction(posts, blocker):
        fails(posts, "CREATE INDEX CONCURRENTLY by_author ON posts (author)", timeout)
    assert flags(posts, "by_author") == (False, ready)
    # What many tools do next, and take for success.
    posts.sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS by_author ON posts (author)")
    assert invalid_indexes(posts) == ["by_author"]
    project.wants(BY_AUTHOR).assert_converges()
    assert_index(posts, "public.posts (author)")


@pytest.mark.parametrize(("blocker", "left"), [(WRITER, "by_author_ccnew"), (READER, "by_author_ccold")])
def test_a_reindex_that_a_timeout_cut_short(project: Project, posts: Database, blocker: str, left: str) -> None:
    project.wants(BY_AUTHOR).run()
    with open_transaction(posts, blocker):
        fails(posts, "REINDEX INDEX CONCURRENTLY by_author")
        fails(posts, "REINDEX INDEX CONCURRENTLY by_author")
    assert invalid_indexes(posts) == [left, f"{left}1"]
    project.assert_converges()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]


def test_a_drop_that_a_timeout_cut_short(project: Project, posts: Database) -> None:
    """The index was valid, and is not any more: what the spec wants is built anew, what it does not want goes."""
    posts.sql("CREATE INDEX gone ON posts (title)")
    project.wants(BY_AUTHOR).run()
    with open_transaction(posts, READER):
        fails(posts, "DROP INDEX CONCURRENTLY by_author")
        fails(posts, "DROP INDEX CONCURRENTLY gone")
    assert invalid_indexes(posts) == ["by_author", "gone"]
    project.wants(BY_AUTHOR, "name: gone, table: posts, state: absent")
    project.run(project.plan(prune_foreign=True)).assert_applied()
    assert index_names(posts, "posts") == ["by_author", "posts_pkey"]
    project.assert_settled()


def test_a_unique_build_over_duplicates_and_its_reindex(project: Project, posts: Database) -> None:
    for statement in ("CREATE UNIQUE INDEX CONCURRENTLY one ON posts (author)", "REINDEX INDEX CONCURRENTLY one"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            posts.sql(statement)
    assert invalid_indexes(posts) == ["one", "one_ccnew"]
    project.wants("name: one, table: posts, keys: [author], unique: true")
    assert project.run().statuses == {"one": "failed"}
    posts.sql("DELETE FROM posts WHERE id >= 250")
    project.assert_converges()
    assert index_names(posts, "posts") == ["one", "posts_pkey"]


def test_a_reindex_that_is_under_way_is_nobodys_leftover(project: Project, posts: Database) -> None:
    project.wants(BY_HELD).run().assert_applied()
    with ThreadPoolExecutor(max_workers=1) as thread:
        with holding(posts):
            theirs = thread.submit(posts.sql, "REINDEX INDEX CONCURRENTLY by_held")
            pid = held_pid(posts)
            assert invalid_indexes(posts) == ["by_held_ccnew"]
            plan = project.plan()
            assert [step.statements for step in plan.steps] == []
            project.run(plan)
            assert held_pid(posts) == pid
        theirs.result(timeout=30)
    project.assert_settled()
    assert index_names(posts, "posts") == ["by_held", "posts_pkey"]
