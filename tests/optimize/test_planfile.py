"""A plan in a file comes back as it was, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.errors import PlanMismatch
from dbopt.optimize import planfile
from dbopt.optimize.steps import Action, Plan, Step, Target
from dbopt.postgres.server import inspect
from tests.optimize.runs import Project

if TYPE_CHECKING:
    from pathlib import Path

    from server import Database, Server


@pytest.fixture
def plan(project: Project, database: Database) -> Plan:
    """One with steps of several kinds, findings, a refusal, waiting sessions and an index that is right."""
    database.sql('CREATE TABLE posts (id int PRIMARY KEY, author int, "it\'s" text); INSERT INTO posts VALUES (1, 1)')
    database.sql("CREATE INDEX right_one ON posts (author); CREATE INDEX changed ON posts (author DESC)")
    database.sql("CREATE INDEX old ON posts (id, author)")
    project.wants(
        "name: right_one, table: posts, keys: [author]",
        'name: changed, table: posts, keys: [author, id], where: "author IN (1, 2)"',
        "name: 'näme \"quoted\" %s {}', table: posts, keys: [{expr: 'lower(\"it''s\")'}], build: {parallel_workers: 0}",
        "name: renamed, table: posts, keys: [id, author], was: [old]",
        "name: bad, table: nowhere, keys: [a]",
    )
    with database.connect() as conn:
        conn.execute("UPDATE posts SET author = 2")
        return project.plan()


def test_round_trip(plan: Plan, tmp_path: Path) -> None:
    assert {step.action.value for step in plan.steps} == {"create", "replace", "rename", "analyze"}
    assert any(step.waits_for for step in plan.steps)
    assert plan.refused
    path = tmp_path / "plan.json"
    planfile.write(plan, path)
    assert planfile.read(path) == plan
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".dbopt")] == []


def test_a_plan_from_a_file_is_applied(plan: Plan, project: Project, tmp_path: Path) -> None:
    planfile.write(plan, tmp_path / "plan.json")
    again = planfile.read(tmp_path / "plan.json")
    matches(project, again)
    project.run(again).assert_applied()
    assert project.plan().steps == ()
    with pytest.raises(PlanMismatch) as caught:  # once is enough
        matches(project, again)
    assert "have changed since the plan was made" in caught.value.message


def matches(project: Project, plan: Plan) -> None:
    with project.session(read_only=True) as conn:
        planfile.require_match(conn, inspect(conn), plan)


def test_another_state_is_refused(project: Project, database: Database) -> None:
    database.sql(
        "CREATE TABLE posts (id int, author int); CREATE INDEX old ON posts (id);"
        " CREATE INDEX changed ON posts (author); CREATE INDEX right_one ON posts (author, id)"
    )
    project.wants("name: right_one, table: posts, keys: [author, id]", "name: i, table: nowhere, keys: [a]")
    for change in (
        "CREATE INDEX further ON posts (id)",
        "DROP INDEX old",
        "ALTER INDEX changed RENAME TO other",
        "ALTER INDEX other SET (fillfactor = 50)",
        "COMMENT ON INDEX right_one IS 'x [dbopt:1 shop/right_one sha=0123456789ab]'",
        "DROP TABLE posts",
        "CREATE TABLE nowhere (a int)",
    ):
        current = project.plan()
        matches(project, current)
        database.sql(change)
        with pytest.raises(PlanMismatch) as caught:
            matches(project, current)
        assert caught.value.hint == "Make the plan anew and review it: dbopt plan --out FILE.", change


def test_what_does_not_matter_is_no_other_state(plan: Plan, project: Project, database: Database) -> None:
    database.sql("INSERT INTO posts SELECT n, n FROM generate_series(2, 1000) AS n; ANALYZE posts; SELECT * FROM posts")
    database.sql("CREATE TABLE further (a int); CREATE INDEX elsewhere ON further (a)")
    matches(project, plan)


def test_another_database_is_refused(plan: Plan, pg: Server, tmp_path: Path) -> None:
    with pg.database() as other, Project(other, tmp_path / "other") as there, pytest.raises(PlanMismatch) as caught:
        matches(there, plan)
    assert caught.value.message == f"the plan was made for another database than {other.name}"


SMALL = Plan(
    target=Target(dbname="app", server_version="18.1", system_identifier="7000000000000000001"),
    steps=(
        Step(
            action=Action.DROP,
            index="i",
            schema="public",
            table="posts",
            statements=('DROP INDEX CONCURRENTLY "public"."i"',),
            reason="a test",
        ),
    ),
)


def tampered(path: Path, change: Any) -> None:
    planfile.write(SMALL, path)
    assert planfile.read(path) == SMALL
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def put(statement: str) -> Any:
    def change(document: dict[str, Any]) -> None:
        document["plan"]["steps"][0]["statements"].append(statement)

    return change


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE posts",
        "DROP INDEX changed",
        "DROP INDEX CONCURRENTLY a; DROP TABLE posts",
        "CREATE INDEX i ON posts (id)",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON posts (id)",
        "ALTER TABLE posts DROP COLUMN author",
        "ALTER TABLE posts RENAME TO gone",
        "COMMENT ON TABLE posts IS 'x'",
        "BEGIN; DROP TABLE posts",
        "VACUUM FULL posts",
        "ROLLBACK",
        "SELECT 1",
        "SET ROLE postgres",
        "not SQL",
        "",
    ],
)
def test_a_foreign_statement_is_refused(tmp_path: Path, statement: str) -> None:
    tampered(tmp_path / "plan.json", put(statement))
    with pytest.raises(PlanMismatch) as caught:
        planfile.read(tmp_path / "plan.json")
    assert caught.value.message == "the plan holds a statement that dbopt does not run"


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("dbopt_plan"),
        lambda document: document.update(dbopt_plan=2),
        lambda document: document.pop("plan"),
        lambda document: document["plan"].pop("target"),
        lambda document: document["plan"]["steps"][0].pop("statements"),
        lambda document: document["plan"]["steps"][0].update(action="explode"),
        lambda document: document["plan"].update(steps="DROP TABLE posts"),
    ],
)
def test_a_plan_of_another_form_is_refused(tmp_path: Path, change: Any) -> None:
    tampered(tmp_path / "plan.json", change)
    with pytest.raises(PlanMismatch, match="is no plan of this dbopt"):
        planfile.read(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no plan"),
        (b"hello", "is no plan"),
        (b"\x00\xff\xfe\x80" * 100, "is no plan"),
        (b"[" * 100_000, "is no plan"),
        (b"[]", "is no plan of this dbopt"),
        (b"null", "is no plan of this dbopt"),
        (b'{"dbopt_plan": 1}', "is no plan of this dbopt"),
        (b" " * (100 * 1024 * 1024), "is too large for a plan"),
    ],
    ids=["empty", "text", "binary", "deep", "list", "null", "hollow", "100MB"],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(PlanMismatch, match=message):
        planfile.read(path)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(PlanMismatch, match="could not read the plan"):
        planfile.read(tmp_path / "missing.json")
    with pytest.raises(PlanMismatch, match="could not read the plan"):
        planfile.read(tmp_path)
    with pytest.raises(PlanMismatch, match="could not write the plan"):
        planfile.write(SMALL, tmp_path / "missing" / "plan.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PlanMismatch, match="could not write the plan"):
        planfile.write(SMALL, tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".dbopt")] == []
