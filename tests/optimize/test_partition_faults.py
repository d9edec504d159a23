"""Partition trees that an earlier run, somebody else or an accident has left half-way."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from helpers import index_comment, invalid_indexes, open_transaction, wait_until

from dbopt.optimize.events import StepStarted
from dbopt.optimize.steps import Action

from .trees import ENTRY, THREE_LEVELS, TWO_LEAVES, assert_whole, cut, leave_invalid, names, oids, parts, refusal

if TYPE_CHECKING:
    from server import Database

    from tests.optimize.runs import Project

LOOKS_AGAIN = {14: 23, 15: 18, 16: 14, 17: 10, 18: 4}  # minor releases that mend an index by attaching again


def test_resumed_after_every_step(project: Project, database: Database) -> None:
    """No build is done twice, wherever the run before was killed."""
    database.sql(THREE_LEVELS)
    plan = project.wants(ENTRY).plan()
    stops = [1, 4, 8, 9, 13, 17]  # amid the tops, amid the leaves, around the first ATTACH, before the last
    assert len(plan.steps) == 18
    for count in stops:
        project.run(cut(plan, count)).assert_applied()
        before = oids(database)
        rest = project.plan()
        project.run(rest).assert_applied()
        assert_whole(database, "ev_by_id")
        assert before.items() <= oids(database).items()
        assert len([step for step in rest.steps if step.action is Action.CREATE]) == max(9 - count, 0)
        assert (index_comment(database, "ev_by_id") or "").startswith("a test [dbopt:1 shop/ev_by_id ")
        project.assert_settled()
        database.sql("DROP INDEX ev_by_id")


def test_a_broken_leaf_is_built_anew(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES)
    project.wants(ENTRY)
    leave_invalid(database, "ev_1_by_id", "ev_1")
    plan = project.plan()
    assert [(step.action, step.index) for step in plan.steps[:2]] == [("create", "ev_by_id"), ("repair", "ev_1_by_id")]
    assert plan.steps[1].statements[0] == 'DROP INDEX CONCURRENTLY "public"."ev_1_by_id"'
    assert [finding.code for finding in plan.findings] == []
    project.run(plan).assert_applied()
    assert_whole(database, "ev_by_id")
    project.assert_settled()


def test_equal_indexes_are_adopted_under_any_name(project: Project, database: Database) -> None:
    """One of a leaf, one of a subtree; not one that serves a constraint or is of another kind."""
    database.sql(THREE_LEVELS)
    database.sql(
        """
        CREATE INDEX "Made by hand" ON ev_1 (id, at);
        CREATE INDEX another ON ev_1 (id, at DESC);
        CREATE INDEX subtree ON ev_2 (id, at);
        ALTER TABLE ev_rest ADD CONSTRAINT ev_rest_pk UNIQUE (id, at);
        """
    )
    before = oids(database)
    project.wants(ENTRY).run().assert_applied()
    assert_whole(database, "ev_by_id")
    assert {"Made by hand", "subtree", "ev_rest_by_id"} <= set(parts(database, "ev_by_id"))
    assert before.items() <= oids(database).items()
    assert len(oids(database)) == len(before) + 1
    project.assert_settled()


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("INDEX ev_1_by_id ON ev_1 (id)", "ev_1_by_id of public.ev_1 has another definition: keys id -> id, at"),
        ("INDEX ev_1_by_id ON ev_2 (id)", "the name ev_1_by_id, for public.ev_1, belongs to an index of ev_2"),
        ("TABLE ev_1_by_id ()", "the name ev_1_by_id, for public.ev_1, belongs to a relation"),
        ("TABLE ev_by_id ()", "the name ev_by_id belongs to another relation in schema public"),
    ],
)
def test_names_that_are_taken(project: Project, database: Database, there: str, message: str) -> None:
    database.sql(TWO_LEAVES)
    database.sql(f"CREATE {there}")
    said, hint = refusal(project.wants(ENTRY))
    assert said == message
    assert hint.startswith("Choose another name")


def test_two_entries_with_one_template(project: Project, database: Database) -> None:
    """The first gets the names, the other is told."""
    database.sql(TWO_LEAVES)
    project.wants(ENTRY, ENTRY.replace("name: ev_by_id", "name: ev_z", 1).replace("[id, at]", "[note]"))
    plan = project.plan()
    assert [item.index for item in plan.refused] == ["ev_z"]
    assert plan.refused[0].error == "the name ev_1_by_id, for public.ev_1, belongs to an index of ev_1"
    project.run(plan)
    assert_whole(database, "ev_by_id")


def test_a_whole_tree_gets_its_new_name(project: Project, database: Database) -> None:
    database.sql(THREE_LEVELS)
    database.sql("CREATE INDEX old ON ev (id, at); CREATE INDEX other ON ev (note)")
    before = oids(database)
    plan = project.wants(ENTRY).plan()
    assert [(step.action, step.index) for step in plan.steps] == [("rename", "ev_by_id")]
    project.run(plan).assert_applied()
    assert_whole(database, "ev_by_id")
    assert oids(database) == before
    project.wants(ENTRY, "name: ev_note, table: ev, keys: [note], was: [other]")
    assert [step.reason for step in project.plan().steps] == ["the spec says it was other"]
    project.assert_converges()


SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"  # a build's last phase waits for it
ABSENT = "name: ev_by_id, table: ev, state: absent"


def test_remains_of_a_change_go_before_a_rename(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES)
    project.wants(ENTRY).run().assert_applied()
    project.run(cut(project.wants(ENTRY.replace("id, at", "note")).plan(), 3)).assert_applied()
    database.sql("ALTER INDEX ev_by_id RENAME TO by_hand")
    project.wants(ENTRY).assert_converges()
    assert names(database) == {"ev_by_id", "ev_1_by_id", "ev_2_by_id"}


@pytest.mark.parametrize("schema", [TWO_LEAVES, THREE_LEVELS], ids=["two", "three"])
def test_an_absent_tree_goes_at_one_go(project: Project, database: Database, schema: str) -> None:
    database.sql(schema)
    project.wants(ENTRY).run().assert_applied()
    plan = project.wants(ABSENT).plan()
    assert [(step.action, step.statements) for step in plan.steps] == [
        (Action.DROP, ('DROP INDEX "public"."ev_by_id"',))
    ]
    assert any("its" in hazard and "partitions for an instant" in hazard for hazard in plan.steps[0].hazards)
    project.run(plan).assert_applied()
    assert names(database) == set()
    project.assert_settled()


@pytest.mark.parametrize("count", [1, 3, 4])
def test_an_absent_tree_that_is_half_built(project: Project, database: Database, count: int) -> None:
    """What hangs loose goes first: the top is what tells whose it is."""
    database.sql(TWO_LEAVES + "CREATE INDEX theirs ON ev_1 (id, at, note)")
    project.run(cut(project.wants(ENTRY).plan(), count)).assert_applied()
    template = ENTRY.partition("keys: [id, at], ")[2]
    plan = project.wants(f"{ABSENT}, {template}").plan()
    assert plan.steps[-1].action is Action.DROP
    if len(plan.steps) > 1:
        project.run(cut(plan, 1)).assert_applied()
    project.assert_converges()
    assert names(database) == {"theirs"}


@pytest.mark.parametrize("count", [3, 5])
def test_an_absent_tree_amid_a_change(project: Project, database: Database, count: int) -> None:
    database.sql(TWO_LEAVES)
    project.wants(ENTRY).run().assert_applied()
    project.run(cut(project.wants(ENTRY.replace("id, at", "note")).plan(), count)).assert_applied()
    template = ENTRY.partition("keys: [id, at], ")[2]
    project.wants(f"{ABSENT}, {template}").assert_converges()
    assert names(database) == set()


def test_what_stands_on_an_absent_tree_keeps_it(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES + "CREATE UNIQUE INDEX ev_1_by_id ON ev_1 (id, at)")
    database.sql(
        "ALTER TABLE ev_1 ADD CONSTRAINT uq UNIQUE USING INDEX ev_1_by_id; CREATE UNIQUE INDEX ev_by_id ON ev (id, at)"
    )
    for name, needed in [
        ("ev_by_id", "its part uq backs constraint uq"),
        ("ev_2_id_at_idx", "it is part of an index of the partitioned table"),
    ]:
        project.wants(f"name: {name}, table: ev{'_2' * (name != 'ev_by_id')}, state: absent")
        message, hint = refusal(project)
        assert message == f"{name} cannot be dropped: {needed}"
        assert hint == "Drop it by a migration in a quiet moment, or take the entry out of the spec."


def test_a_reader_of_a_partition_keeps_a_tree_for_a_while(project: Project, database: Database) -> None:
    """It is waited for before the drop is sent, so that nobody queues behind that."""
    database.sql(TWO_LEAVES)
    project.wants(ENTRY).run().assert_applied()
    project.wants(ABSENT)
    with open_transaction(database, "SELECT FROM ev_2") as reader:
        [step] = project.plan().steps
        assert reader in {one.pid for one in step.waits_for}
        run = project.run(wait_seconds=0.3)
        assert run.waits_for(reader)
        assert "gave up waiting after" in run.errors[0]
        assert f"pid {reader}" in run.errors[0]
        patient = project.start()
        patient.until_it_waits_for(reader)
    patient.finish().assert_applied()
    assert names(database) == set()


def test_a_plain_index_is_not_dropped_as_a_tree(project: Project, database: Database) -> None:
    """Whatever a plan says: that would lock its table for as long as it takes."""
    database.sql(TWO_LEAVES)
    project.wants(ENTRY).run().assert_applied()
    plan = project.wants(ABSENT).plan()
    database.sql("CREATE INDEX plain ON ev_1 (note)")
    forged = replace(plan.steps[0], statements=('DROP INDEX "public"."plain"',), table="ev_1", index="plain")
    run = project.run(replace(plan, steps=(forged,)))
    assert run.errors == ["plain is no index of a partitioned table"]
    assert "plain" in names(database)


def test_prune_keeps_trees_and_their_parts(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES)
    leaf = "name: leaf_own, table: ev_1, keys: [id, at]"
    project.wants(leaf).run()
    project.wants(leaf, ENTRY).assert_converges()
    assert "leaf_own" in parts(database, "ev_by_id")
    project.wants("name: ev_x, table: ev_2, keys: [note]")
    spec = project.folder / "shop.yaml"
    spec.write_text(spec.read_text().replace("public}", "public, extras: prune}"))
    plan = project.plan(prune_foreign=True)
    assert {step.index for step in plan.steps if step.action is Action.DROP} == set()
    project.run(plan).assert_applied()
    assert_whole(database, "ev_by_id")


def test_the_text_of_a_half_built_tree_changes(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES)
    project.run(cut(project.wants(ENTRY).plan(), 2))
    project.wants(ENTRY + ", comment: another text").assert_converges()
    assert (index_comment(database, "ev_by_id") or "").startswith("another text [dbopt:1 ")


# Partitions that come and go


def test_partitions_attached_between_plan_and_run(project: Project, database: Database) -> None:
    """A plain one, and a tree whose indexes the server names itself once the top is there."""
    database.sql(TWO_LEAVES)
    plan = project.wants(ENTRY).plan()
    database.sql("CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM (20) TO (30)")
    assert project.run(plan).statuses["ev_by_id"] == "failed"
    database.sql(
        "CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM (30) TO (40) PARTITION BY RANGE (at);"
        "CREATE TABLE ev_4a PARTITION OF ev_4 FOR VALUES FROM (30) TO (35)"
    )
    before = oids(database)
    project.assert_converges()
    assert_whole(database, "ev_by_id")
    assert oids(database).keys() - before.keys() == {"ev_3_by_id"}


@pytest.mark.parametrize("away", ["DROP TABLE ev_2", "ALTER TABLE ev DETACH PARTITION ev_2"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_partition_gone_in_the_run(project: Project, database: Database, away: str, after: int) -> None:
    database.sql(TWO_LEAVES)
    plan = project.wants(ENTRY).plan()
    project.run(cut(plan, after))
    database.sql(away)
    project.run(plan if after == 0 else None)
    project.assert_converges()
    assert_whole(database, "ev_by_id")
    assert parts(database, "ev_by_id") == ["ev_1_by_id"]


def test_the_last_missing_partition_is_gone(project: Project, database: Database) -> None:
    """All parts are attached, and nothing makes the server notice: but attaching one of them again, since 2026. Before,
    the tree is made anew beside what is there.
    """
    database.sql(TWO_LEAVES)
    plan = project.wants(ENTRY).plan()
    project.run(cut(plan, 4)).assert_applied()
    [part] = parts(database, "ev_by_id")
    database.sql(f"DROP TABLE {'ev_2' if part == 'ev_1_by_id' else 'ev_1'}")
    major, minor = database.server_version
    mended = minor >= LOOKS_AGAIN.get(major, 99) or major > max(LOOKS_AGAIN)
    expected = {Action.ATTACH} if mended else {Action.CREATE, Action.ATTACH, Action.REPLACE, Action.ANALYZE}
    assert {step.action for step in project.plan().steps} == expected
    project.assert_converges()
    assert_whole(database, "ev_by_id")
    assert names(database) == {"ev_by_id", part}


def test_no_partition_is_left_of_a_half_built_tree(project: Project, database: Database) -> None:
    """There is nothing to attach again: on no release."""
    database.sql(TWO_LEAVES)
    project.run(cut(project.wants(ENTRY).plan(), 2)).assert_applied()
    database.sql("DROP TABLE ev_1, ev_2")
    project.assert_converges()
    assert_whole(database, "ev_by_id")
    assert names(database) == {"ev_by_id"}


def test_a_subtree_that_cannot_be_mended_is_made_anew(project: Project, database: Database) -> None:
    """Of a tree whose top has not got it yet."""
    database.sql(THREE_LEVELS)
    plan = project.wants(ENTRY).plan()
    subtree = next(n for n, step in enumerate(plan.steps) if step.action is Action.CREATE and step.table == "ev_2_eu")
    project.run(cut(plan, subtree + 1)).assert_applied()
    database.sql('DROP TABLE "Ev 2 eu 0", "Ev 2 eu 1"')
    project.assert_converges()
    assert_whole(database, "ev_by_id")


def test_a_partition_dropped_while_another_is_built(project: Project, database: Database) -> None:
    """The tree is whole without it, and no step has failed."""
    database.sql(TWO_LEAVES)
    project.wants(ENTRY)
    with open_transaction(database, SNAPSHOT) as reader:
        run = project.start()
        run.until_it_waits_for(reader)
        database.sql("DROP TABLE ev_2")
    run.finish().assert_applied()
    assert_whole(database, "ev_by_id")
    project.assert_settled()


def test_a_partition_attached_while_another_is_built(project: Project, database: Database) -> None:
    """The server gives it its part itself, also of a top that is not whole yet."""
    database.sql(TWO_LEAVES + "CREATE TABLE ev_3 (LIKE ev)")
    project.wants(ENTRY)
    with open_transaction(database, SNAPSHOT) as reader:
        run = project.start()
        run.until_it_waits_for(reader)
        database.sql("ALTER TABLE ev ATTACH PARTITION ev_3 FOR VALUES FROM (20) TO (30)")
    run.finish().assert_applied()
    assert_whole(database, "ev_by_id")
    project.assert_settled()


# Builds that are under way


def test_a_leaf_that_is_being_built_is_let_end(project: Project, database: Database) -> None:
    """As after the death of a client: the server builds on."""
    database.sql(TWO_LEAVES)
    project.wants(ENTRY)
    with ThreadPoolExecutor() as threads:
        with open_transaction(database, SNAPSHOT):
            build = threads.submit(database.sql, "CREATE INDEX CONCURRENTLY ev_1_by_id ON ev_1 (id, at)")
            wait_until(lambda: invalid_indexes(database), "a build")
            [(oid,)] = database.sql("SELECT 'ev_1_by_id'::regclass::oid::int8")
            plan = project.plan()
            assert (Action.ADOPT, "ev_1_by_id") in [(step.action, step.index) for step in plan.steps]
            assert not any(one.startswith("DROP") for step in plan.steps for one in step.statements)
            run = project.start(plan)
            wait_until(lambda: any(event.step.index == "ev_1_by_id" for event in run.of(StepStarted)), "its step")
        build.result(timeout=20)
    run.finish().assert_applied()
    assert oids(database)["ev_1_by_id"] == oid
    assert_whole(database, "ev_by_id")
    project.assert_settled()


def test_a_leaf_that_is_being_built_otherwise_is_refused(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES)
    project.wants(ENTRY)
    with ThreadPoolExecutor() as threads:
        with open_transaction(database, SNAPSHOT):
            build = threads.submit(database.sql, "CREATE INDEX CONCURRENTLY ev_1_by_id ON ev_1 (note)")
            wait_until(lambda: invalid_indexes(database), "a build")
            message, _ = refusal(project)
            assert message.startswith("ev_1_by_id is being built right now by pid ")
        build.result(timeout=20)


def test_a_broken_leaf_that_is_attached(project: Project, database: Database) -> None:
    """It can be neither dropped nor detached; what mends it is said."""
    database.sql(TWO_LEAVES)
    leave_invalid(database, "broken", "ev_1")
    database.sql("DELETE FROM ev a USING ev b WHERE a.id = b.id AND a.ctid > b.ctid")
    database.sql("CREATE UNIQUE INDEX ev_by_id ON ONLY ev (id, at); ALTER INDEX ev_by_id ATTACH PARTITION broken")
    project.wants(ENTRY + ", unique: true")
    message, hint = refusal(project)
    assert message == "broken of public.ev_1 is INVALID, and a part of ev_by_id already"
    database.sql(hint.partition(";")[0])
    project.assert_converges()  # another part is missing still, which makes the server look
    assert_whole(database, "ev_by_id")


@pytest.mark.pg(">= 14")
def test_a_partition_half_detached_is_none(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES)
    with open_transaction(database, "SELECT FROM ev"), database.connect(autocommit=True) as other:
        other.execute("SET statement_timeout = '300ms'")
        with pytest.raises(Exception, match="statement timeout"):
            other.execute("ALTER TABLE ev DETACH PARTITION ev_2 CONCURRENTLY")
    assert database.sql("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == [(1,)]
    project.wants(ENTRY).run()
    assert parts(database, "ev_by_id") == ["ev_1_by_id"]
    database.sql("ALTER TABLE ev DETACH PARTITION ev_2 FINALIZE")


@pytest.mark.parametrize("valid", [False, True], ids=["missing", "there"])
def test_a_foreign_partition(project: Project, database: Database, valid: bool) -> None:
    """The server never marks an index valid over one, but where CREATE INDEX has made it at one go."""
    database.sql(TWO_LEAVES)
    database.sql(
        "CREATE FOREIGN DATA WRAPPER anything; CREATE SERVER far FOREIGN DATA WRAPPER anything;"
        "CREATE FOREIGN TABLE ev_far PARTITION OF ev FOR VALUES FROM (20) TO (30) SERVER far"
    )
    project.wants(ENTRY)
    if valid:
        database.sql("CREATE INDEX ev_by_id ON ev (id, at)")
        project.assert_settled()
        return
    message, hint = refusal(project)
    assert message == "public.ev_far is a foreign partition: an index of public.ev cannot be made online"
    # As the hint has it.
    assert hint.startswith("Give each other partition of public.ev an entry of its own; CREATE INDEX on public.ev")
    project.wants("name: a, table: ev_1, keys: [id, at]", "name: b, table: ev_2, keys: [id, at]").assert_converges()
    database.sql("CREATE INDEX ev_by_id ON ev (id, at)")
    assert parts(database, "ev_by_id") == ["a", "b"]
    project.wants(ENTRY).assert_settled()


# Locks of others


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ev VALUES (1, 1)",
        "SELECT FROM ev_1 WHERE lower(note) = 'x'; INSERT INTO ev_1 VALUES (1, 1)",
        "LOCK TABLE ev_1 IN ACCESS EXCLUSIVE MODE",
        "TRUNCATE ev_1",
        "REINDEX INDEX ev_1_low",
    ],
)
def test_locks_are_waited_for(project: Project, database: Database, statement: str) -> None:
    """A plan is made meanwhile, without delay; the run goes on as soon as they are gone."""
    database.sql(TWO_LEAVES + "CREATE INDEX ev_1_low ON ev_1 (lower(note)); CREATE INDEX ON ev_2 (note) WHERE id > 0")
    project.wants(ENTRY)
    run = None
    with open_transaction(database, statement) as pid:
        started = time.monotonic()
        plan = project.plan()
        assert time.monotonic() - started < 5
        if not plan.refused:
            run = project.start(plan)
            time.sleep(1.2)
            assert not run.ended
            assert run.waits_for(pid) or run.notices
    if run is None:
        assert plan.refused[0].error == "public.ev_1 is locked exclusively, so that its indexes cannot be compared"
    else:
        run.finish().assert_applied()
        project.assert_settled()
    project.assert_converges()
    assert_whole(database, "ev_by_id")


def test_a_reader_of_an_adopted_index_is_waited_for(project: Project, database: Database) -> None:
    database.sql(TWO_LEAVES + "CREATE INDEX by_hand ON ev_1 (id, at)")
    with open_transaction(database, "SELECT FROM ev"):
        run = project.wants(ENTRY).start()
        wait_until(lambda: run.notices or run.ended, "a second try")
        assert "the lock is not to be had" in run.notices[0]
        assert not invalid_indexes(database) or invalid_indexes(database) == ["ev_by_id"]
    run.finish().assert_applied()
    assert_whole(database, "ev_by_id")
    project.assert_settled()
