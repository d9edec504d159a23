"""Indexes of partition trees on a real server: built from the leaves up, resumed anywhere, each leaf once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers import invalid_indexes

from dbopt.optimize.steps import Action

from .trees import ENTRY, THREE_LEVELS, assert_whole, cut, leaves, oids, parts

if TYPE_CHECKING:
    from server import Database

    from tests.optimize.runs import Project

NO_PARTITIONS = "CREATE TABLE ev (id int, at int, region text, note text) PARTITION BY RANGE (at)"
ONE_LEVEL = f"""
    {NO_PARTITIONS};
    CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
    CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20);
    CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
    INSERT INTO ev SELECT g, g % 40, 'eu', 'Note ' || g FROM generate_series(1, 400) g;
"""
DEFINITIONS = [
    "keys: [id], where: at > 5 AND note IS NOT NULL",
    "keys: [{expr: lower(note), opclass: text_pattern_ops}, {column: id, order: desc, nulls: last}]",
    "keys: [id], include: [note], with: {fillfactor: 70}",
    "keys: [{column: note, collation: C}], where: 'id IN (1, 2)'",
    "keys: [id], method: hash",
    "keys: [at, id], unique: true",
    "sql: CREATE INDEX ev_x6 ON ev USING btree (((note || region)))",
]
LONG = "Part " + "ä" * 29  # 63 bytes


@pytest.mark.parametrize("schema", [NO_PARTITIONS, ONE_LEVEL, THREE_LEVELS], ids=["empty", "one", "three"])
def test_builds_the_tree_once(project: Project, database: Database, schema: str) -> None:
    database.sql(schema)
    project.wants(ENTRY)
    assert project.plan().findings == ()
    run = project.run()
    run.assert_applied()
    assert_whole(database, "ev_by_id")
    assert {f"{leaf}_by_id" for leaf in leaves(database, "ev")} == set(parts(database, "ev_by_id", kind="i"))
    project.assert_settled()


def test_steps_and_their_words(project: Project, database: Database) -> None:
    database.sql(ONE_LEVEL)
    plan = project.wants(ENTRY).plan()
    assert [(step.action, step.index, step.table) for step in plan.steps] == [
        (Action.CREATE, "ev_by_id", "ev"),
        (Action.CREATE, "ev_1_by_id", "ev_1"),
        (Action.CREATE, "ev_2_by_id", "ev_2"),
        (Action.CREATE, "ev_rest_by_id", "ev_rest"),
        (Action.ATTACH, "ev_by_id", "ev"),
        (Action.ATTACH, "ev_by_id", "ev"),
        (Action.ATTACH, "ev_by_id", "ev"),
        (Action.ANALYZE, None, "ev"),
    ]
    top = plan.steps[0]
    assert (top.statements[0], top.statements[-1]) == ("BEGIN", "COMMIT")  # never there without its mark
    assert plan.steps[1].statements == (
        'CREATE INDEX CONCURRENTLY "ev_1_by_id" ON "public"."ev_1" USING "btree" ("id", "at")',
    )


def test_a_tree_is_one_group(project: Project, database: Database) -> None:
    """Whoever names a partition works in its tree; a tree that was not read is none."""
    database.sql(THREE_LEVELS + "CREATE TABLE alone (id int); CREATE INDEX gone ON ev_1 (note)")
    own = [f"name: own_{n}, table: {table}, keys: [note]" for n, table in enumerate(["ev_2", "ev_2_rest", "ev_rest"])]
    alone = "name: of_alone, table: alone, keys: [id]"
    plan = project.wants(ENTRY, *own, alone, "name: gone, table: ev_1, state: absent").plan(prune_foreign=True)
    assert {Action.DROP, Action.ANALYZE, Action.CREATE} <= {step.action for step in plan.steps}
    assert {step.group for step in plan.steps if step.table != "alone"} == {"public.ev"}
    assert {step.group for step in plan.steps if step.table == "alone"} == {"public.alone"}
    plan = project.wants(*own).plan()
    assert {step.group for step in plan.steps} == {"public.ev_2", "public.ev_rest"}


def test_only_the_top_is_marked(project: Project, database: Database) -> None:
    database.sql(THREE_LEVELS)
    project.wants(ENTRY).run()
    marked = database.sql("SELECT objoid::regclass::text FROM pg_description WHERE description LIKE '%[dbopt:1 %'")
    assert marked == [("ev_by_id",)]


def test_odd_leaf_names(project: Project, database: Database) -> None:
    """Two leaves whose names have their first 62 bytes in common get two indexes, whatever the template adds."""
    names = ["Ev 2", 'a"b', "p.q", LONG, LONG[:-1] + "xx"]
    database.sql(NO_PARTITIONS)
    for number, name in enumerate(names):
        quoted = name.replace('"', '""')
        bounds = f"({number * 10}) TO ({number * 10 + 10})"
        database.sql(f'CREATE TABLE "{quoted}" PARTITION OF ev FOR VALUES FROM {bounds}')
    assert leaves(database, "ev") == sorted(names)
    project.wants('name: ev_by_id, table: ev, keys: [id], partitions: {name: "{leaf} by the id"}')
    project.run().assert_applied()
    assert_whole(database, "ev_by_id")
    assert {"Ev 2 by the id", 'a"b by the id', "p.q by the id"} < set(parts(database, "ev_by_id"))
    assert len(set(parts(database, "ev_by_id"))) == len(names)
    project.assert_settled()


def test_partitions_in_other_schemas(project: Project, database: Database) -> None:
    """An index lies where its table does: the same name in two schemas, and a changed definition."""
    database.sql(NO_PARTITIONS)
    for number, schema in enumerate(["north", 'Odd "one']):
        quoted = schema.replace('"', '""')
        bounds = f"({number * 10}) TO ({number * 10 + 10})"
        database.sql(f'CREATE SCHEMA "{quoted}"; CREATE TABLE "{quoted}".part PARTITION OF ev FOR VALUES FROM {bounds}')
    for keys in ("[id]", "[at]"):
        project.wants(f'name: ev_by_id, table: ev, keys: {keys}, partitions: {{name: "{{leaf}}_x"}}').assert_converges()
        assert_whole(database, "ev_by_id")
        assert parts(database, "ev_by_id") == ["part_x", "part_x"]


def test_names_without_a_template(project: Project, database: Database) -> None:
    database.sql(ONE_LEVEL)
    project.wants("name: ev_by_id, table: ev, keys: [id]").run().assert_applied()
    assert parts(database, "ev_by_id") == ["ev_1_ev_by_id", "ev_2_ev_by_id", "ev_rest_ev_by_id"]


def test_every_kind_of_definition(project: Project, database: Database) -> None:
    """Over leaves whose columns have other numbers than the top's."""
    database.sql(
        """
        CREATE TABLE ev (gone int, id int, at int, gone_too text, region text, note text) PARTITION BY RANGE (at);
        CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
        ALTER TABLE ev DROP COLUMN gone, DROP COLUMN gone_too;
        CREATE TABLE ev_2 (note text, extra int, at int, id int, region text);
        ALTER TABLE ev_2 DROP COLUMN extra;
        ALTER TABLE ev ATTACH PARTITION ev_2 FOR VALUES FROM (10) TO (20);
        INSERT INTO ev SELECT g, g % 20, 'eu', 'Note ' || g FROM generate_series(1, 15) g;
        """
    )
    entries = [f"name: ev_x{number}, table: ev, {text}" for number, text in enumerate(DEFINITIONS)]
    project.wants(*entries).run().assert_applied()
    for number in range(len(entries)):
        assert_whole(database, f"ev_x{number}")
    project.assert_settled()


def test_a_new_tree_is_analyzed_from_its_top(project: Project, database: Database) -> None:
    database.sql(ONE_LEVEL)
    plan = project.wants("name: ev_low, table: ev, keys: [{expr: lower(note)}]").plan()
    assert [step.statements for step in plan.steps if step.action is Action.ANALYZE] == [('ANALYZE "public"."ev"',)]
    assert plan.steps[-1].action is Action.ANALYZE
    project.run(plan)
    assert database.sql("SELECT count(DISTINCT tablename) FROM pg_stats WHERE tablename LIKE '%ev_low'") == [(3,)]


def test_analyzed_later_where_the_run_broke_off_before(project: Project, database: Database) -> None:
    database.sql(ONE_LEVEL + "ANALYZE ev")
    project.wants("name: ev_low, table: ev, keys: [{expr: lower(note)}]")
    project.run(cut(project.plan(), -1)).assert_applied()
    assert [step.action for step in project.plan().steps] == [Action.ANALYZE]


def test_unique_needs_every_partition_key(project: Project, database: Database) -> None:
    database.sql(THREE_LEVELS)
    for keys, missing in [("[id]", "at"), ("[id, at]", "region"), ("[{expr: at + 0}, region]", "at")]:
        plan = project.wants(f"name: ev_uni, table: ev, keys: {keys}, unique: true").plan()
        assert plan.steps == ()
        assert [finding.code for finding in plan.findings] == ["unique-needs-partition-key"]
        assert f"({missing})" in plan.findings[0].message
        assert plan.findings[0].hint == f"Add {missing} to the keys."


def test_unique_with_every_partition_key(project: Project, database: Database) -> None:
    database.sql(THREE_LEVELS)
    project.wants("name: ev_uni, table: ev, keys: [id, at, region, note], unique: true").run().assert_applied()
    assert_whole(database, "ev_uni")


def test_duplicates_in_one_leaf_cost_only_that_leaf(project: Project, database: Database) -> None:
    database.sql(ONE_LEVEL + "INSERT INTO ev VALUES (1, 1), (1, 1)")
    run = project.wants("name: ev_uni, table: ev, keys: [id, at], unique: true").run()
    assert "ev_1_ev_uni" in run.errors[0]
    assert run.statuses["ev_uni"] == "failed"
    assert parts(database, "ev_uni") == ["ev_2_ev_uni", "ev_rest_ev_uni"]
    before = oids(database)
    database.sql("DELETE FROM ev WHERE id = 1 AND at = 1")
    project.assert_converges()
    assert_whole(database, "ev_uni")
    assert before.items() <= oids(database).items()


def test_sixty_leaves(project: Project, database: Database) -> None:
    database.sql(NO_PARTITIONS)
    database.sql(
        "DO $$ BEGIN FOR n IN 1..60 LOOP EXECUTE format("
        "'CREATE TABLE leaf_%s PARTITION OF ev FOR VALUES FROM (%s) TO (%s)', n, n * 10, n * 10 + 10); END LOOP; END $$"
    )
    plan = project.wants("name: ev_low, table: ev, keys: [{expr: lower(note)}], where: id > 0").plan()
    assert len(plan.steps) == 1 + 60 + 60 + 1
    project.run(plan).assert_applied()
    assert_whole(database, "ev_low")
    project.assert_settled()
    assert invalid_indexes(database) == []
