"""One runner at a time: the second one is told at once who is first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction

from dbopt.errors import AnotherRunner
from tests.optimize.runs import Project

if TYPE_CHECKING:
    from pathlib import Path

    from server import Database, Server

BY_AUTHOR = "name: by_author, table: posts, keys: [author]"
WRITE = "UPDATE posts SET author = 1"


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, author int); INSERT INTO posts VALUES (1, 1)")
    return database


def test_the_second_is_told_who_is_first(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    with open_transaction(posts, WRITE) as writer:
        run = project.start(plan)
        run.until_it_waits_for(writer)
        [(holder,)] = posts.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        with pytest.raises(AnotherRunner) as caught:
            project.run(plan)
        assert caught.value.message == f"another dbopt is at work on {posts.name}"
        assert re.fullmatch(rf"pid {holder}, user postgres, dbopt optimize, for \S.*", caught.value.detail or "")
        assert str(holder) in (caught.value.hint or "")
        assert not run.ended
    run.finish().assert_applied()
    project.run()  # the lock is free again


def test_a_role_without_rights_is_told_the_same(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    posts.sql("DROP ROLE IF EXISTS plain_role; CREATE ROLE plain_role LOGIN")
    try:
        with open_transaction(posts, WRITE) as writer:
            run = project.start(plan)
            run.until_it_waits_for(writer)
            own, project.conninfo = project.conninfo, f"{project.conninfo} user=plain_role"
            with pytest.raises(AnotherRunner) as caught:
                project.run(plan)
            project.conninfo = own
            assert "user postgres" in (caught.value.detail or "")
        run.finish()
    finally:
        posts.sql("DROP ROLE plain_role")


def test_the_first_one_having_ended_the_second_goes_on(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    with open_transaction(posts, WRITE) as writer:
        run = project.start(plan)
        run.until_it_waits_for(writer)
        run.interrupt().finish()
    project.assert_converges()


def test_the_lock_is_one_databases_own(project: Project, posts: Database, pg: Server, tmp_path: Path) -> None:
    project.wants(BY_AUTHOR)
    plan = project.plan()
    with pg.database() as elsewhere, open_transaction(posts, WRITE) as writer:
        run = project.start(plan)
        run.until_it_waits_for(writer)
        elsewhere.sql("CREATE TABLE posts (id int PRIMARY KEY, author int)")
        with Project(elsewhere, tmp_path / "elsewhere") as other:
            other.wants(BY_AUTHOR).assert_converges()
        assert not run.ended
    run.finish().assert_applied()


def test_locks_of_applications_are_not_ours(project: Project, posts: Database) -> None:
    project.wants(BY_AUTHOR)
    one, two = 0x64626F70, 1
    with posts.connect(autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s::int8), pg_advisory_lock(%s, %s)", [(one << 32) + two, one, two + 1])
        project.run().assert_applied()
