"""What a plan refuses, in which words; and what stands in its way on a busy server."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import open_transaction, wait_until
from psycopg.conninfo import make_conninfo

from dbopt.errors import NotPermitted
from tests.optimize.runs import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server import Database

    from dbopt.optimize.steps import Plan
    from dbopt.spec.finding import Finding

# A plan waits at most once for the locks of all tables together, then briefly for each.
PLAN_SECONDS = 8.0


@pytest.fixture
def posts(database: Database) -> Database:
    database.sql(
        "CREATE TYPE state AS ENUM ('draft', 'published', 'archived');"
        'CREATE TABLE posts (id int PRIMARY KEY, author int, title text, s state, doc json, "createdAt" timestamptz);'
        "CREATE VIEW shown AS SELECT * FROM posts;"
        "CREATE SEQUENCE numbers;"
        "CREATE TABLE others (id int); CREATE INDEX others_id ON others (id);"
        "CREATE SCHEMA crm; CREATE TABLE crm.accounts (id int)"
    )
    return database


def refusal(plan: Plan) -> Finding:
    """Of the only entry, which gets no step."""
    assert plan.steps == ()
    assert len(plan.refused) == 1
    [found] = [one for one in plan.findings if one.severity.value == "error"]
    assert found.file is not None
    assert found.line == 5  # of the entry, behind the head of the file
    return found


@pytest.mark.parametrize(
    ("entry", "code", "message", "hint"),
    [
        ("table: post, keys: [id]", "missing-table", "table public.post does not exist", "Did you mean posts?"),
        (
            "table: accounts, keys: [id]",
            "missing-table",
            "table public.accounts does not exist",
            "It is there in schema crm: set `schema:` or `defaults: {schema: ...}`.",
        ),
        (
            "table: posts, keys: [autor]",
            "missing-column",
            "column autor of public.posts does not exist",
            "Did you mean author?",
        ),
        (
            "table: posts, keys: [createdat]",
            "missing-column",
            "column createdat of public.posts does not exist",
            "Did you mean createdAt?",
        ),
        (
            "table: posts, keys: [id], include: [zzz]",
            "missing-column",
            "column zzz of public.posts does not exist",
            "The table has: id, author, title, s, doc, createdAt.",
        ),
        (
            "table: posts, keys: [id], where: createdAt IS NULL",
            "missing-column",
            'column "createdat" does not exist [SQLSTATE 42703]',
            'Perhaps you meant to reference the column "posts.createdAt".',
        ),
        (
            "table: posts, method: gin, keys: [{column: title, opclass: gin_trgm_ops}]",
            "missing-object",
            'operator class "gin_trgm_ops" does not exist for access method "gin" [SQLSTATE 42704]',
            'CREATE EXTENSION "pg_trgm";',
        ),
        (
            "table: posts, keys: [doc]",
            "missing-object",
            'data type json has no default operator class for access method "btree" [SQLSTATE 42704]',
            "You must specify an operator class for the index or define a default operator class for the data type.",
        ),
        (
            "table: posts, keys: [title], needs: {extension: hstore}",
            "missing-extension",
            "extension hstore is not installed in {dbname}",
            'CREATE EXTENSION "hstore";',
        ),
        (
            "table: posts, keys: [id], where: s = 'publshed'",
            "wrong-value",
            'invalid input value for enum state: "publshed" [SQLSTATE 22P02]',
            "Did you mean published?",
        ),
        (
            "table: posts, keys: [id], where: s = 'zzzzz'",
            "wrong-value",
            'invalid input value for enum state: "zzzzz" [SQLSTATE 22P02]',
            "Its labels are: draft, published, archived.",
        ),
        (
            "table: posts, keys: [{expr: 'to_char(\"createdAt\", ''YYYY'')'}]",
            "not-immutable",
            "functions in index expression must be marked IMMUTABLE [SQLSTATE 42P17]",
            "An index holds what was true when a row was written: leave out now() and the like, "
            "or make the function IMMUTABLE if it truly is.",
        ),
        (
            "table: shown, keys: [id]",
            "not-a-table",
            "public.shown is a view, which cannot have indexes",
            "Name the table behind it, or make it a materialized view.",
        ),
        ("table: numbers, keys: [id]", "not-a-table", "public.numbers is a sequence, which cannot have indexes", None),
        (
            "table: {schema: pg_catalog, name: pg_class}, keys: [oid]",
            "not-a-user-table",
            "pg_catalog.pg_class is a system or temporary table",
            None,
        ),
        (
            "table: posts, keys: [id], method: rum",
            "missing-object",
            'access method "rum" does not exist [SQLSTATE 42704]',
            'CREATE EXTENSION "rum";',
        ),
        (
            "table: posts, keys: [id], tablespace: nowhere",
            "missing-object",
            'tablespace "nowhere" does not exist [SQLSTATE 42704]',
            None,
        ),
        (
            "table: posts, keys: [{column: title, collation: xx_XX}]",
            "missing-object",
            'collation "xx_XX" for encoding "UTF8" does not exist [SQLSTATE 42704]',
            None,
        ),
    ],
)
def test_a_definition_that_cannot_be(
    project: Project, posts: Database, entry: str, code: str, message: str, hint: str | None
) -> None:
    found = refusal(project.wants(f"name: i, {entry}").plan())
    assert (found.code, found.message) == (code, message.replace("{dbname}", posts.name))
    assert found.hint == hint


def test_a_foreign_table(project: Project, posts: Database) -> None:
    posts.sql("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w")
    posts.sql("CREATE FOREIGN TABLE far (id int) SERVER s")
    found = refusal(project.wants("name: i, table: far, keys: [id]").plan())
    assert found.message == "public.far is a foreign table, which cannot have indexes"


@pytest.mark.parametrize(("name", "of"), [("others", "another relation"), ("others_id", "an index of others")])
def test_a_name_that_is_taken(project: Project, posts: Database, name: str, of: str) -> None:
    found = refusal(project.wants(f"name: {name}, table: posts, keys: [author]").plan())
    assert (found.code, found.message) == ("name-taken", f"the name {name} belongs to {of} in schema public")


# Rights


@pytest.fixture
def stranger(posts: Database, tmp_path: Path) -> Iterator[Project]:
    """The specs in the hands of a role that may connect and make temporary tables, and owns nothing."""
    role = f"stranger_{posts.name}"
    posts.sql(
        f"CREATE ROLE {role} LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {role}"
    )
    project = Project(posts, tmp_path / "strange")
    project.conninfo = make_conninfo(posts.conninfo, user=role)
    try:
        with project:
            yield project
    finally:
        posts.sql(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


def test_who_does_not_own_the_table(stranger: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX i ON posts (id) WHERE s IN ('draft', 'archived')")
    found = refusal(stranger.wants("name: j, table: posts, keys: [{expr: lower(title)}]").plan())
    [(owner,)] = posts.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'posts'")
    role = f"stranger_{posts.name}"
    assert found.code == "not-owner"
    assert found.message == f"role {role} does not own public.posts, whose owner is {owner}"
    assert found.hint == f'GRANT "{owner}" TO "{role}"; or connect as {owner}'


def test_who_does_not_own_the_table_can_compare(stranger: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX i ON posts (id) WHERE s IN ('draft', 'archived')")
    stranger.wants("name: i, table: posts, keys: [id], where: s = 'archived' OR s = 'draft'").assert_settled()
    assert refusal(stranger.wants("name: i, table: posts, keys: [author]").plan()).code == "not-owner"
    stranger.wants("name: i, table: posts, state: absent")
    assert refusal(stranger.plan(prune_foreign=True)).code == "not-owner"


def test_who_may_not_create_in_the_schema(stranger: Project, posts: Database) -> None:
    posts.sql(f"ALTER TABLE posts OWNER TO stranger_{posts.name}")
    found = refusal(stranger.wants("name: i, table: posts, keys: [id]").plan())
    assert found.message == f"role stranger_{posts.name} may not create objects in schema public"
    posts.sql(f"GRANT CREATE ON SCHEMA public TO stranger_{posts.name}")
    stranger.assert_converges()


def test_who_may_not_make_temporary_tables(stranger: Project, posts: Database) -> None:
    posts.sql(f"REVOKE TEMPORARY ON DATABASE {posts.name} FROM PUBLIC")
    with pytest.raises(NotPermitted) as caught:
        stranger.wants("name: i, table: posts, keys: [id]").plan()
    assert caught.value.hint == f'GRANT TEMPORARY ON DATABASE "{posts.name}" TO "stranger_{posts.name}";'


# Locks


@contextlib.contextmanager
def queued(database: Database, statement: str) -> Iterator[None]:
    """A statement that waits for its lock, in a session of its own, until the test is over."""
    with database.connect(autocommit=True) as conn:

        def run() -> None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                conn.execute(statement)  # type: ignore[call-overload]

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(
            lambda: database.sql("SELECT 1 FROM pg_locks WHERE NOT granted AND pid = %s", [conn.info.backend_pid]),
            "waiting for the lock",
        )
        try:
            yield
        finally:
            conn.cancel()
            thread.join()


def timed(project: Project) -> Plan:
    started = time.monotonic()
    plan = project.plan()
    assert time.monotonic() - started < PLAN_SECONDS
    return plan


ENTRIES = (
    "name: i, table: posts, keys: [id], where: author > 0",
    "name: j, table: posts, keys: [author]",
    "name: others_id, table: others, keys: [id]",
    "name: others_new, table: others, keys: [{expr: id + 1}]",
)


def test_a_locked_table_costs_the_others_nothing(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX i ON posts (id) WHERE author > 0; CREATE INDEX k ON others (id) WHERE id > 0")
    with open_transaction(posts, "LOCK TABLE posts IN ACCESS EXCLUSIVE MODE"):
        plan = timed(project.wants(*ENTRIES))
    assert {item.index for item in plan.refused} == {"i", "j"}
    assert {one.code for one in plan.findings if one.severity.value == "error"} == {"table-locked"}
    assert [step.index for step in plan.steps if step.index] == ["others_new"]
    assert [item.index for item in plan.unchanged] == ["others_id"]


def test_a_table_with_a_queue_for_its_lock(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX i ON posts (id) WHERE author > 0")
    with open_transaction(posts, "SELECT * FROM posts"), queued(posts, "ALTER TABLE posts ADD COLUMN more int"):
        plan = timed(project.wants(*ENTRIES))
    assert {item.index for item in plan.refused} == {"i", "j"}


def test_plain_indexes_are_compared_in_spite_of_a_lock(project: Project, posts: Database) -> None:
    posts.sql("CREATE INDEX j ON posts (author)")
    with open_transaction(posts, "LOCK TABLE posts IN ACCESS EXCLUSIVE MODE"):
        plan = timed(project.wants(ENTRIES[1], "name: n, table: posts, keys: [{expr: lower(title)}]"))
    assert [item.index for item in plan.unchanged] == ["j"]
    assert [step.index for step in plan.steps if step.index] == ["n"]
    assert plan.refused == ()


def test_what_a_locked_table_has_is_not_guessed_at(project: Project, posts: Database) -> None:
    """A partial index whose predicate could not be read is not taken for a whole one."""
    posts.sql("CREATE INDEX part ON posts (author) WHERE id > 5")
    with open_transaction(posts, "LOCK TABLE posts IN ACCESS EXCLUSIVE MODE"):
        plan = timed(project.wants("name: j, table: posts, keys: [author]"))
    assert [one.code for one in plan.findings] == ["table-locked"]
