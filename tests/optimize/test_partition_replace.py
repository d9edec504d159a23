"""Another definition for the index of a partition tree: built beside, swapped by renames, the old tree dropped."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from helpers import index_comment, invalid_indexes, open_transaction

from dbopt.optimize import kinds, partition_swap
from dbopt.optimize.steps import Action

from .trees import (
    ENTRY,
    THREE_LEVELS,
    TWO_LEAVES,
    assert_whole,
    cut,
    keys,
    leave_invalid,
    leaves_of,
    names,
    oids,
    parts,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

    from dbopt.optimize.steps import Plan
    from tests.optimize.runs import Project

CHANGED = ENTRY.replace("[id, at]", "[note, id, at]")
AGAIN = ENTRY.replace("[id, at]", "[at]")
NAMES = {"ev_by_id", "ev_1_by_id", "ev_2_by_id"}


@pytest.fixture
def built(project: Project, database: Database) -> Database:
    """A tree of two leaves with the index of ENTRY; the spec wants that of CHANGED."""
    database.sql(TWO_LEAVES)
    project.wants(ENTRY).run().assert_applied()
    project.wants(CHANGED)
    return database


def broken_off(plan: Plan) -> Iterator[Plan]:
    """The plan as far as a run has come that was killed: after each step, and inside the last one."""
    for count in range(1, len(plan.steps)):
        yield cut(plan, count)
    last = plan.steps[-1]
    blocks = kinds.groups(last.statements)
    for count in range(1, len(blocks)):
        done = [one for block in blocks[:count] for one in ("BEGIN", *block, "COMMIT")]
        proofs = last.proofs if count == len(blocks) - 1 else ()
        yield replace(plan, steps=(*plan.steps[:-1], replace(last, statements=tuple(done), proofs=proofs)))


def test_steps_and_their_words(project: Project, built: Database) -> None:
    plan = project.plan()
    assert [(step.action, step.index, step.table) for step in plan.steps] == [
        (Action.CREATE, "ev_by_id_dbopt_new", "ev"),
        (Action.CREATE, "ev_1_by_id_dbopt_new", "ev_1"),
        (Action.CREATE, "ev_2_by_id_dbopt_new", "ev_2"),
        (Action.ATTACH, "ev_by_id_dbopt_new", "ev"),
        (Action.ATTACH, "ev_by_id_dbopt_new", "ev"),
        (Action.REPLACE, "ev_by_id", "ev"),
    ]
    swap = plan.steps[-1]
    assert swap.reason == "the definition changed: keys id, at -> note, id, at"
    assert swap.statements[-5:] == (
        "BEGIN",
        'ALTER INDEX "public"."ev_by_id" RENAME TO "ev_by_id_dbopt_old"',
        'ALTER INDEX "public"."ev_by_id_dbopt_new" RENAME TO "ev_by_id"',
        "COMMIT",
        'DROP INDEX "public"."ev_by_id_dbopt_old"',
    )
    assert any("its 2 partitions for an instant" in hazard for hazard in swap.hazards)
    assert {step.group for step in plan.steps} == {"public.ev"}


def test_each_name_stands_for_a_valid_index_at_every_moment(project: Project, built: Database) -> None:
    seen: set[int] = set()
    ended = threading.Event()

    def sample() -> None:
        with built.connect(autocommit=True) as conn:
            while not ended.is_set():
                row = conn.execute(
                    "SELECT count(*) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
                    " WHERE c.relname = ANY (%s) AND i.indisvalid AND i.indisready",
                    [list(NAMES)],
                ).fetchone()
                assert row is not None
                seen.add(row[0])

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        project.run().assert_applied()
    finally:
        ended.set()
        sampler.join()
    assert seen == {3}
    assert keys(built, "ev_by_id") == "note, id, at"
    assert_whole(built, "ev_by_id")
    assert names(built) == NAMES
    project.assert_settled()


@pytest.mark.parametrize("number", [0, 2, 4, 5, 6])
def test_resumed_wherever_it_broke_off(project: Project, built: Database, number: int) -> None:
    """No leaf is built twice, and no working name is left."""
    parts_of_it = list(broken_off(project.plan()))
    assert len(parts_of_it) == 7
    project.run(parts_of_it[number]).assert_applied()
    before = leaves_of(built, "note, id, at")
    rest = project.plan()
    project.run(rest).assert_applied()
    assert before <= leaves_of(built, "note, id, at")
    assert sum("CONCURRENTLY" in one for step in rest.steps for one in step.statements) == 2 - len(before)
    assert names(built) == NAMES
    assert keys(built, "ev_by_id") == "note, id, at"
    assert_whole(built, "ev_by_id")
    assert (index_comment(built, "ev_by_id") or "").startswith("a test [dbopt:1 shop/ev_by_id ")
    project.assert_settled()


def test_taken_back_wherever_it_broke_off(project: Project, built: Database) -> None:
    """The old tree is there still: it stays, under its names."""
    before = oids(built)
    for part in [*broken_off(project.plan())][:-1]:
        project.wants(CHANGED)
        project.run(part).assert_applied()
        project.wants(ENTRY).assert_converges()
        assert names(built) == NAMES
        assert oids(built) == before
        assert_whole(built, "ev_by_id")


@pytest.mark.parametrize("count", [1, 5])
def test_changed_once_more_amid_a_change(project: Project, built: Database, count: int) -> None:
    project.run(cut(project.plan(), count)).assert_applied()
    project.wants(AGAIN).assert_converges()
    assert names(built) == NAMES
    assert keys(built, "ev_1_by_id") == "at"
    assert_whole(built, "ev_by_id")


@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_definition_of_a_half_built_tree_changes(project: Project, database: Database, count: int) -> None:
    """What hangs loose of the old one goes, too."""
    database.sql(TWO_LEAVES)
    project.run(cut(project.wants(ENTRY).plan(), count)).assert_applied()
    project.wants(CHANGED).assert_converges()
    assert names(database) == NAMES
    assert_whole(database, "ev_by_id")
    assert keys(database, "ev_1_by_id") == "note, id, at"


@pytest.mark.parametrize("count", [11, 13, 17])
def test_subtrees_that_are_not_attached_yet(project: Project, database: Database, count: int) -> None:
    """They go with all of their parts, whether the change is taken back or is another one by then."""
    database.sql(THREE_LEVELS)
    project.wants(ENTRY).run().assert_applied()
    before = oids(database)
    plan = project.wants(CHANGED).plan()
    assert len(plan.steps) == 18
    project.run(cut(plan, count)).assert_applied()
    loose = database.sql(
        "SELECT relname FROM pg_class WHERE relkind = 'I' AND NOT relispartition AND relname LIKE '%dbopt_new'"
    )
    assert len(loose) > 1 or count == 17
    if count == 13:
        project.wants(AGAIN).assert_converges()
        assert keys(database, "ev_2_rest_by_id") == "at"
    else:
        project.wants(ENTRY).assert_converges()
        assert oids(database) == before
    assert names(database).isdisjoint({name for name in names(database) if "dbopt" in name})
    assert_whole(database, "ev_by_id")


def test_three_levels(project: Project, database: Database) -> None:
    database.sql(THREE_LEVELS)
    project.wants(ENTRY).assert_converges()
    before = names(database)
    project.wants(CHANGED).assert_converges()
    assert names(database) == before
    assert_whole(database, "ev_by_id")


def test_one_that_it_was(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES + "CREATE INDEX old ON ev (note)")
    plan = project.wants(ENTRY + ", was: [old]").plan()
    assert plan.steps[-2].reason == "it was old, and the definition changed: keys note -> id, at"
    project.run(cut(plan, 3)).assert_applied()
    project.assert_converges()
    assert names(database) == NAMES
    assert_whole(database, "ev_by_id")


def test_equal_leaves_are_adopted_under_their_names(project: Project, built: Database) -> None:
    built.sql('CREATE INDEX "By hand" ON ev_1 (note, id, at)')
    before = oids(built)
    project.assert_converges()
    assert parts(built, "ev_by_id") == ["By hand", "ev_2_by_id"]
    assert oids(built)["By hand"] == before["By hand"]
    assert names(built) == {"ev_by_id", "By hand", "ev_2_by_id"}


def test_nothing_of_a_leaf_is_lost(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES + "ALTER TABLE ev ALTER id SET NOT NULL, ALTER at SET NOT NULL")
    entry = ENTRY.replace("[id, at]", "[id, at], unique: true")
    project.wants(entry).run().assert_applied()
    database.sql(
        "ALTER TABLE ev_1 CLUSTER ON ev_1_by_id; COMMENT ON INDEX ev_2_by_id IS 'of the second';"
        "ALTER TABLE ev REPLICA IDENTITY USING INDEX ev_by_id;"
        "ALTER TABLE ev_2 REPLICA IDENTITY USING INDEX ev_2_by_id"
    )
    plan = project.wants(entry + ", include: [note]").plan()
    assert any(hazard.startswith("moves replica identities") for hazard in plan.steps[-1].hazards)
    project.run(plan).assert_applied()
    assert index_comment(database, "ev_2_by_id") == "of the second"
    assert database.sql("SELECT indexrelid::regclass::text FROM pg_index WHERE indisclustered") == [("ev_1_by_id",)]
    identities = database.sql("SELECT indexrelid::regclass::text FROM pg_index WHERE indisreplident ORDER BY 1")
    assert identities == [("ev_2_by_id",), ("ev_by_id",)]
    project.assert_settled()


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("ALTER TABLE ev_1 ADD CONSTRAINT uq UNIQUE USING INDEX ev_1_by_id", "its part uq backs constraint uq"),
        (
            "ALTER TABLE ev_1 REPLICA IDENTITY USING INDEX ev_1_by_id",
            "its part ev_1_by_id is the replica identity of a partition",
        ),
        ("ALTER TABLE ev REPLICA IDENTITY USING INDEX ev_by_id", "it is the table's replica identity"),
    ],
)
def test_what_stands_on_a_tree_keeps_it(project: Project, database: Database, there: str, message: str) -> None:
    database.sql(TWO_LEAVES + "ALTER TABLE ev ALTER id SET NOT NULL, ALTER at SET NOT NULL")
    entry = ENTRY.replace("[id, at]", "[id, at], unique: true")
    project.wants(entry)
    if "CONSTRAINT" in there:
        database.sql("CREATE UNIQUE INDEX ev_1_by_id ON ev_1 (id, at)")
        database.sql(there)
        database.sql("CREATE UNIQUE INDEX ev_by_id ON ev (id, at)")
    else:
        project.run()
        database.sql(there)
    said, _ = refusal(project.wants(CHANGED))
    assert said.startswith(f"ev_by_id differs from the spec and cannot be replaced: {message} (")


def test_a_part_with_an_entry_of_its_own_keeps_it(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES)
    leaf = "name: leaf_own, table: ev_1, keys: [id, at]"
    project.wants(leaf).run()
    project.wants(leaf, ENTRY).assert_converges()
    said, _ = refusal(project.wants(leaf, CHANGED))
    assert "its part leaf_own has an entry of its own (shop)" in said


@pytest.mark.parametrize("name", ["ev_1_by_id_dbopt_new", "ev_2_by_id_dbopt_old", "ev_by_id_dbopt_old"])
def test_working_names_that_are_taken(project: Project, built: Database, name: str) -> None:
    built.sql(f'CREATE TABLE "{name}" ()')
    said, _ = refusal(project)
    assert said.startswith(f"the name {name}, for public.ev")
    assert said.endswith("belongs to a relation")


def test_no_swap_with_a_tree_that_is_not_whole(project: Project, built: Database) -> None:
    before = oids(built)
    plan = project.plan()
    built.sql("INSERT INTO ev VALUES (1, 1)")  # twice now
    plan = project.wants(ENTRY.replace("[id, at]", "[id, at], unique: true")).plan()
    run = project.run(plan)
    assert run.statuses["ev_by_id"] == "failed"
    assert before.items() <= oids(built).items()
    assert keys(built, "ev_by_id") == "id, at"
    built.sql("DELETE FROM ev WHERE id = 1")
    project.assert_converges()
    assert names(built) == NAMES


def test_a_reader_keeps_the_old_tree_for_a_while(project: Project, built: Database) -> None:
    """The new one is in its place already; the drop is what is left to do, in this run or in the next."""
    with open_transaction(built, "SELECT FROM ev_2") as reader:
        run = project.run(wait_seconds=0.3)
        assert [f"pid {reader}" in error for error in run.errors] == [True]
        assert keys(built, "ev_by_id") == "note, id, at"
        assert_whole(built, "ev_by_id")
    assert [step.statements for step in project.plan().steps] == [('DROP INDEX "public"."ev_by_id_dbopt_old"',)]
    project.assert_converges()
    assert names(built) == NAMES


def test_names_change_in_small_transactions(project: Project, built: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_swap, "LOCKS_PER_TRANSACTION", 2)
    plan = project.plan()
    assert [len(block) for block in kinds.groups(plan.steps[-1].statements)] == [2, 2, 2, 1]
    project.run(plan).assert_applied()
    assert names(built) == NAMES


def test_a_broken_leaf_of_the_new_tree_is_built_anew(project: Project, built: Database) -> None:
    project.run(cut(project.plan(), 1)).assert_applied()
    leave_invalid(built, "ev_1_by_id_dbopt_new", "ev_1")
    project.assert_converges()
    assert names(built) == NAMES
    assert invalid_indexes(built) == []


def test_partitions_that_come_and_go_amid_a_change(project: Project, built: Database) -> None:
    plan = project.plan()
    built.sql("DROP TABLE ev_2; CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM (20) TO (30)")
    run = project.run(plan)
    assert run.statuses["ev_by_id"] == "failed"
    assert "a partition came meanwhile" in " ".join(run.errors)
    assert keys(built, "ev_by_id") == "id, at"
    project.assert_converges()
    assert_whole(built, "ev_by_id")
    assert not [name for name in names(built) if "dbopt" in name]
