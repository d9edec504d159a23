"""A changed index that is the table's replica identity: replaced with the identity moved, or refused saying so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.optimize.runs import Project

if TYPE_CHECKING:
    from server import Database

WITH_INCLUDE = "name: users_key, table: users, keys: [tenant, login], include: [name], unique: true"


@pytest.fixture
def users(database: Database) -> Database:
    """Published, so that an UPDATE without a replica identity is an error."""
    database.sql(
        "CREATE TABLE users (tenant int NOT NULL, login text NOT NULL, name text, mail text);"
        "INSERT INTO users SELECT i % 7, 'login' || i, 'name' || i, 'mail' || i FROM generate_series(1, 2000) AS i;"
        "CREATE UNIQUE INDEX users_key ON users (tenant, login);"
        "ALTER TABLE users REPLICA IDENTITY USING INDEX users_key; ANALYZE users;"
        "CREATE PUBLICATION everything FOR TABLE users"
    )
    return database


def identity(database: Database) -> list[str]:
    rows = database.sql("SELECT indexrelid::regclass::text FROM pg_index WHERE indisreplident ORDER BY 1")
    return [name for (name,) in rows]


def test_the_identity_moves_with_the_index_and_updates_go_on(project: Project, users: Database) -> None:
    project.wants(WITH_INCLUDE)
    plan = project.plan()
    assert any("replica identity" in hazard for hazard in plan.steps[0].hazards)
    errors: list[str] = []
    stop = threading.Event()

    def write() -> None:
        with users.connect(autocommit=True) as conn:
            while not stop.is_set():
                try:
                    conn.execute("UPDATE users SET name = name || '' WHERE tenant = 3")
                except psycopg.Error as exc:
                    errors.append(str(exc))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        project.run(plan).assert_applied()
    finally:
        stop.set()
        writer.join()
    assert errors == []
    assert identity(users) == ["users_key"]
    assert users.sql("SELECT relreplident FROM pg_class WHERE relname = 'users'") in ([("i",)], [(b"i",)])
    assert users.sql("SELECT pg_get_indexdef('users_key'::regclass)")[0][0].endswith("INCLUDE (name)")
    project.assert_settled()


@pytest.mark.parametrize(
    "entry",
    [
        "name: users_key, table: users, keys: [tenant, login]",
        "name: users_key, table: users, keys: [tenant, login], unique: true, where: tenant > 1",
        "name: users_key, table: users, keys: [tenant, mail], unique: true",
        "name: users_key, table: users, keys: [{expr: lower(login)}], unique: true",
    ],
)
def test_what_can_be_no_identity_does_not_replace_one(project: Project, users: Database, entry: str) -> None:
    plan = project.wants(entry).plan()
    [refused] = plan.refused
    assert plan.steps == ()
    assert "replica identity" in (refused.error or "")
    assert identity(users) == ["users_key"]
