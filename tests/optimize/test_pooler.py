"""A connection pooler in transaction mode between dbopt and the server: plans are made, nothing is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pooler
import psycopg
import pytest
from helpers import index_names

from dbopt.errors import ServerUnfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from tests.optimize.runs import Project


@pytest.fixture
def pooled(pg: Server, database: Database) -> Iterator[str]:
    """The conninfo of this test's database behind the pooler."""
    with pooler.pooled(pg, database) as conninfo:
        yield conninfo


def test_nothing_is_applied_through_it(project: Project, database: Database, pooled: str) -> None:
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, author int); INSERT INTO posts VALUES (1, 1); ANALYZE posts")
    project.wants("name: by_author, table: posts, keys: [author]")
    project.conninfo = pooled
    plan = project.plan()
    assert [step.index for step in plan.steps] == ["by_author"]
    with pytest.raises(ServerUnfit) as caught:
        project.run(plan)
    assert caught.value.message == "a connection pooler stands between dbopt and the server"
    assert "5432" in (caught.value.hint or "")
    assert index_names(database, "posts") == ["posts_pkey"]


def test_other_clients_of_it_are_not_left_our_settings(project: Project, database: Database, pooled: str) -> None:
    """A setting of a session stays with the server's session, which the pooler gives to the next client."""
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, author int); INSERT INTO posts VALUES (1, 1); ANALYZE posts")
    project.wants("name: by_author, table: posts, keys: [author]")
    project.conninfo = pooled
    names = ("default_transaction_read_only", "statement_timeout", "lock_timeout")

    def settings() -> list[object]:
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as conn:
            return [conn.execute(f"SHOW {name}").fetchone() for name in names]

    before = settings()
    plan = project.plan()
    with pytest.raises(ServerUnfit):
        project.run(plan)
    assert settings() == before
