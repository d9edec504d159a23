"""What may stand in a plan: every statement that dbopt writes, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers import index_names

from dbopt.errors import PlanMismatch
from dbopt.optimize.kinds import Kind, groups, kind, require_settings
from dbopt.optimize.steps import Action, Plan, Step, Target

if TYPE_CHECKING:
    from server import Database

    from tests.optimize.runs import Project

OURS = {
    'CREATE INDEX CONCURRENTLY "i" ON "s"."t" USING "btree" ("a")': Kind.BUILD,
    'CREATE UNIQUE INDEX CONCURRENTLY "i" ON "s"."t" USING "btree" (lower(a)) INCLUDE (b) WHERE c > 1': Kind.BUILD,
    'CREATE INDEX "i" ON ONLY "s"."t" USING "btree" ("a")': Kind.SHORT,
    'DROP INDEX CONCURRENTLY "s"."i"': Kind.DROP,
    'DROP INDEX "s"."i"': Kind.DROP_TREE,
    'ANALYZE "s"."t"': Kind.ANALYZE,
    "BEGIN": Kind.BEGIN,
    "COMMIT": Kind.COMMIT,
    'ALTER INDEX "s"."i" RENAME TO "j"': Kind.SHORT,
    'ALTER INDEX "s"."i" ATTACH PARTITION "s"."j"': Kind.SHORT,
    'ALTER INDEX "s"."i" ALTER COLUMN 1 SET STATISTICS 100': Kind.SHORT,
    'ALTER TABLE "s"."t" CLUSTER ON "i"': Kind.SHORT,
    'ALTER TABLE "s"."t" REPLICA IDENTITY USING INDEX "i"': Kind.SHORT,
    "COMMENT ON INDEX \"s\".\"i\" IS 'it''s; here'": Kind.SHORT,
}

FOREIGN = [
    "",
    "-- nothing",
    "SELECT 1",
    "SELECT pg_terminate_backend(1)",
    "DROP TABLE s.t",
    "DROP TABLE IF EXISTS s.t",
    "TRUNCATE s.t",
    "DELETE FROM s.t",
    "VACUUM s.t",
    "VACUUM ANALYZE s.t",
    "VACUUM FULL s.t",
    "ANALYZE",
    "ANALYZE t",
    "ANALYZE VERBOSE s.t",
    "ANALYZE s.t (a)",
    "ANALYZE s.t, s.u",
    "CREATE TABLE s.t ()",
    "CREATE INDEX i ON s.t (a)",
    "CREATE INDEX CONCURRENTLY ON s.t (a)",
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "CREATE INDEX CONCURRENTLY i ON other_db.s.t (a)",
    "CREATE INDEX CONCURRENTLY i ON ONLY s.t (a)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a)",
    "CREATE INDEX IF NOT EXISTS i ON ONLY s.t (a)",
    "CREATE INDEX CONCURRENTLY i ON s.t (a); DROP TABLE s.t",
    "CREATE INDEX CONCURRENTLY i ON s.t (a); CREATE INDEX CONCURRENTLY j ON s.t (a)",
    "DROP INDEX i",
    "DROP INDEX s.i, s.j",
    "DROP INDEX s.i CASCADE",
    "DROP INDEX IF EXISTS s.i",
    "DROP INDEX CONCURRENTLY i",
    "DROP INDEX CONCURRENTLY d.s.i",
    "DROP INDEX CONCURRENTLY s.i, s.j",
    "DROP INDEX CONCURRENTLY s.i CASCADE",
    "DROP INDEX CONCURRENTLY IF EXISTS s.i",
    "REINDEX INDEX CONCURRENTLY s.i",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "START TRANSACTION",
    "COMMIT AND CHAIN",
    "ROLLBACK",
    "PREPARE TRANSACTION 'x'",
    "ALTER TABLE s.t DROP COLUMN a",
    "ALTER TABLE s.t CLUSTER ON i, DROP COLUMN a",
    "ALTER TABLE ONLY s.t CLUSTER ON i",
    "ALTER TABLE IF EXISTS s.t CLUSTER ON i",
    "ALTER TABLE t CLUSTER ON i",
    "ALTER TABLE s.t ALTER COLUMN a SET STATISTICS 100",
    "ALTER TABLE s.t REPLICA IDENTITY NOTHING",
    "ALTER TABLE s.t REPLICA IDENTITY FULL",
    "ALTER TABLE s.t REPLICA IDENTITY DEFAULT",
    "ALTER TABLE ONLY s.t REPLICA IDENTITY USING INDEX i",
    "ALTER TABLE t REPLICA IDENTITY USING INDEX i",
    "ALTER TABLE s.t REPLICA IDENTITY USING INDEX i, DROP COLUMN a",
    "ALTER TABLE s.t ATTACH PARTITION s.u DEFAULT",
    "ALTER TABLE s.t RENAME TO u",
    "ALTER TABLE s.t RENAME COLUMN a TO b",
    "ALTER INDEX s.i SET TABLESPACE fast",
    "ALTER INDEX i RENAME TO j",
    "ALTER INDEX IF EXISTS s.i RENAME TO j",
    "COMMENT ON TABLE s.t IS 'x'",
    "COMMENT ON INDEX i IS 'x'",
    "SET ROLE postgres",
    "DO $$ BEGIN END $$",
    "COPY s.t TO PROGRAM 'true'",
    "CREATE INDEX CONCURRENTLY i ON s.t (",
    "CREATE INDEX CONCURRENTLY \x00",
]


@pytest.mark.parametrize(("statement", "expected"), OURS.items(), ids=OURS)
def test_ours(statement: str, expected: Kind) -> None:
    assert kind(statement) is expected


@pytest.mark.parametrize("statement", FOREIGN)
def test_foreign(statement: str) -> None:
    with pytest.raises(PlanMismatch) as caught:
        kind(statement)
    assert caught.value.message == "the plan holds a statement that dbopt does not run"
    assert "\n" not in caught.value.message


RENAME = 'ALTER INDEX "s"."i" RENAME TO "j"'
BUILD = 'CREATE INDEX CONCURRENTLY "i" ON "s"."t" USING "btree" ("a")'


def test_statements_between_begin_and_commit_stay_together() -> None:
    assert groups([BUILD, "BEGIN", RENAME, RENAME, "COMMIT", RENAME]) == [(BUILD,), (RENAME, RENAME), (RENAME,)]


@pytest.mark.parametrize(
    "statements",
    [
        ["BEGIN", RENAME],
        ["BEGIN"],
        ["BEGIN", "COMMIT"],
        ["COMMIT"],
        [RENAME, "COMMIT"],
        ["BEGIN", "BEGIN", "COMMIT"],
        ["BEGIN", BUILD, "COMMIT"],
        ["BEGIN", RENAME, BUILD, "COMMIT"],
        ["BEGIN", 'ANALYZE "s"."t"', "COMMIT"],
        ["BEGIN", 'DROP INDEX "s"."i"', "COMMIT"],
    ],
)
def test_a_transaction_holds_short_statements_only_and_ends(statements: list[str]) -> None:
    with pytest.raises(PlanMismatch):
        groups(statements)


def test_settings_are_those_of_a_build() -> None:
    require_settings({"maintenance_work_mem": "1GB", "max_parallel_maintenance_workers": "2"})
    with pytest.raises(PlanMismatch, match="does not run"):
        require_settings({"session_replication_role": "replica"})


@pytest.mark.parametrize(
    ("statements", "settings"),
    [(("DROP TABLE public.posts",), {}), (("BEGIN", RENAME), {}), (("ANALYZE public.posts",), {"role": "postgres"})],
)
def test_nothing_of_a_plan_runs_when_one_part_of_it_is_foreign(
    project: Project, database: Database, statements: tuple[str, ...], settings: dict[str, str]
) -> None:
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, author int)")
    good = ('CREATE INDEX CONCURRENTLY "by_author" ON "public"."posts" ("author")',)
    steps = [
        Step(action=Action.CREATE, index="i", schema="public", table="posts", statements=run, reason="", settings=sets)
        for run, sets in ((good, {}), (statements, settings))
    ]
    target = Target(dbname=database.name, server_version="", system_identifier=None)
    with pytest.raises(PlanMismatch):
        project.run(Plan(target=target, steps=tuple(steps)))
    assert index_names(database, "posts") == ["posts_pkey"]


def test_every_statement_of_a_real_plan_is_ours(project: Project, database: Database) -> None:
    database.sql(
        "CREATE TABLE posts (id int PRIMARY KEY, author int, title text);"
        "CREATE INDEX changed ON posts (lower(title)); COMMENT ON INDEX changed IS 'it''s';"
        "ALTER TABLE posts CLUSTER ON changed; ALTER INDEX changed ALTER COLUMN 1 SET STATISTICS 5;"
        "CREATE INDEX was ON posts (author);"
        "CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);"
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
        "CREATE INDEX by_id ON parts (at)"
    )
    project.wants(
        "name: changed, table: posts, keys: [{expr: upper(title)}]",
        "name: is, table: posts, keys: [author], was: [was]",
        "name: by_day, table: parts, keys: [at, id]",
        "name: by_id, table: parts, keys: [id]",
        "name: odd, table: posts, sql: CREATE INDEX odd ON posts USING hash (author)",
    )
    plan = project.plan()
    assert plan.refused == ()
    assert {kind(statement) for step in plan.steps for statement in step.statements} == set(Kind)
    project.run(plan).assert_applied()
    project.assert_settled()
