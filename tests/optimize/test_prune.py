"""What `extras: prune` drops, and what it keeps and says so, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers import index_names, invalid_indexes, wait_until

from dbopt.optimize.guard import NO_REPLICAS, UNUSED_FOR_SECONDS, ReplicaUse, Scanned
from dbopt.optimize.plan import PlanOptions, make_plan
from dbopt.optimize.steps import ItemStatus
from dbopt.postgres.server import inspect
from dbopt.spec.load import load
from dbopt.units import format_duration
from tests.health.standby import caught_up, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Result
    from server import Database

    from dbopt.embedded import Binaries
    from dbopt.optimize.steps import Plan, Step
    from tests.health.standby import Node
    from tests.optimize.runs import Project

SCHEMA = """
    CREATE TABLE owners (id int PRIMARY KEY);
    CREATE TABLE t (id int PRIMARY KEY, a int, b int, owner int REFERENCES owners, note text);
    INSERT INTO owners SELECT generate_series(1, 10);
    INSERT INTO t SELECT g, g % 50, g, g % 10 + 1, 'n' || g FROM generate_series(1, 2000) AS g;
    ANALYZE
"""
KEPT = "name: kept, table: t, keys: [a, b]"
HAIR = "guard: {unused_for: 1ms}"  # any window is long enough


@pytest.fixture
def shop(database: Database) -> Database:
    database.sql(SCHEMA)
    return database


def mark(name: str, domain: str = "shop") -> str:
    return f"COMMENT ON INDEX {name} IS 'of the test [dbopt:1 {domain}/{name} sha=000000000000]'"


def marked(shop: Database, *made: str) -> None:
    """Indexes as an earlier run has left them: `x ON t (a)`."""
    for index in made:
        unique = index.startswith("UNIQUE ")
        bare = index.removeprefix("UNIQUE ")
        shop.sql(f"CREATE {'UNIQUE ' * unique}INDEX {bare}")
        shop.sql(mark(bare.split()[0]))


def prune(
    project: Project, *entries: str, defaults: str = HAIR, foreign: bool = False, replicas: tuple[ReplicaUse, ...] = ()
) -> Plan:
    path = project.wants(*(entries or (KEPT,))).folder / "shop.yaml"
    path.write_text(path.read_text().replace("{schema: public}", f"{{schema: public, extras: prune, {defaults}}}"))
    options = PlanOptions(prune_foreign=foreign, replica_use=replicas)
    with project.session(read_only=True, statement_timeout_ms=20_000, lock_timeout_ms=2_000) as conn:
        return make_plan(conn, inspect(conn), load([project.folder]), options=options)


def dropped(plan: Plan) -> list[str | None]:
    return [step.index for step in plan.steps if step.action.value == "drop"]


def the_drop(plan: Plan) -> Step:
    [step] = [step for step in plan.steps if step.action.value == "drop"]
    return step


def why_kept(plan: Plan, index: str) -> str:
    """The reason of a refused item, which is that of its finding; the plan counts as drift for it."""
    [item] = [item for item in plan.refused if item.index == index]
    [finding] = [finding for finding in plan.findings if finding.index == index and finding.severity.value == "error"]
    assert (item.status, item.error) == (ItemStatus.REFUSED, finding.message)
    assert finding.hint
    assert plan.drifted
    head = f"{index}, which no spec names, is not pruned: "
    return finding.message.removeprefix(head)


# What goes


def test_an_index_that_another_one_stands_in_for(project: Project, shop: Database) -> None:
    marked(shop, "gone ON t (a)", "kept ON t (a, b)")
    plan = prune(project)
    assert dropped(plan) == ["gone"]
    assert the_drop(plan).reason == "the spec of domain shop no longer names it (extras: prune)"
    assert any("track_commit_timestamp" in hazard for hazard in the_drop(plan).hazards)
    project.run(plan).assert_applied()
    assert index_names(shop, "t") == ["kept", "t_pkey"]


def test_on_a_table_that_no_entry_is_about_any_more(project: Project, shop: Database) -> None:
    shop.sql("CREATE TABLE other (x int, y int); CREATE INDEX longer ON other (x, y)")
    marked(shop, "gone ON other (x)", "last ON other (y)", "kept ON t (a, b)")
    plan = prune(project)
    assert dropped(plan) == ["gone"]
    assert why_kept(plan, "last") == "no other index serves a search by y"


def test_of_two_that_could_go_for_each_other_one_stays(project: Project, shop: Database) -> None:
    marked(shop, "one ON t (b)", "two ON t (b)", "kept ON t (a, b)")
    plan = prune(project)
    assert dropped(plan) == ["one"]
    assert why_kept(plan, "two") == "no other index serves a search by b"


def test_an_invalid_one_needs_no_window(project: Project, shop: Database) -> None:
    marked(shop, "kept ON t (a, b)")
    with pytest.raises(Exception, match="duplicate"):
        shop.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (owner)")
    shop.sql(mark("broken"))
    plan = prune(project, defaults="guard: {unused_for: 60d}")
    assert dropped(plan) == ["broken"]
    project.run(plan).assert_applied()
    assert invalid_indexes(shop) == []


# What stays


def test_without_a_guard_of_the_file_a_month_is_asked_for(project: Project, shop: Database) -> None:
    marked(shop, "gone ON t (a)", "kept ON t (a, b)")
    path = project.wants(KEPT).folder / "shop.yaml"
    path.write_text(path.read_text().replace("{schema: public}", "{schema: public, extras: prune}"))
    plan = project.plan()
    assert dropped(plan) == []
    asked = format_duration(UNUSED_FOR_SECONDS)
    assert why_kept(plan, "gone").startswith(f"whether it was unused for {asked} is not known: the counters began ")


def test_one_that_is_used(project: Project, shop: Database) -> None:
    marked(shop, "gone ON t (a)")
    shop.sql("SET enable_seqscan = off; SELECT count(note) FROM t WHERE a = 7")
    count = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'gone'"
    wait_until(lambda: shop.sql(count) == [(1,)], "the scan's being counted")
    marked(shop, "kept ON t (a, b)")
    plan = prune(project, defaults="guard: {unused_for: 1h}" if shop.server_version >= (16,) else HAIR)
    assert dropped(plan) == []
    assert ("it was last used " if shop.server_version >= (16,) else "it was used since ") in why_kept(plan, "gone")


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ("gone ON t (note)", "no other index serves a search by note"),
        ("gone ON t (b, a)", "no other index serves a search by b"),
        ("gone ON t (lower(note), a)", "no other index serves a search by (lower(note))"),
        ("gone ON t USING gin (to_tsvector('simple', note))", "no other index serves a search by (to_tsvector("),
        ("gone ON t USING hash (a)", "no other index serves a search by a"),
        ("gone ON t (owner)", "no other index begins with the columns of foreign key t_owner_fkey"),
        ("UNIQUE gone ON t (b)", "it is unique, and no other index keeps b unique"),
        ("UNIQUE gone ON t (b, a) WHERE a > 0", "it is unique, and no other index keeps b, a unique"),
    ],
)
def test_the_last_of_its_kind(project: Project, shop: Database, index: str, why: str) -> None:
    marked(shop, index, "kept ON t (a, b)")
    shop.sql("CREATE INDEX partial ON t (b, a) WHERE a > 1")
    if "UNIQUE" in index:
        shop.sql("CREATE INDEX plain ON t (b)")
    plan = prune(project)
    assert dropped(plan) == []
    assert why_kept(plan, "gone").startswith(why)


@pytest.mark.parametrize(
    ("index", "other"),
    [
        ("UNIQUE gone ON t (b)", "UNIQUE INDEX other ON t (b)"),
        ("UNIQUE gone ON t (b, a) WHERE a > 0", "UNIQUE INDEX other ON t (b)"),
        ("UNIQUE gone ON t (id)", "INDEX other ON t (note)"),  # the primary key keeps it unique
        ("gone ON t (owner)", "INDEX other ON t (owner, a)"),
        ("gone ON t (b) WHERE a > 0", "INDEX other ON t (b DESC)"),
    ],
)
def test_its_kind_is_kept_by_another(project: Project, shop: Database, index: str, other: str) -> None:
    marked(shop, index, "kept ON t (a, b)")
    shop.sql(f"CREATE {other}")
    assert dropped(prune(project)) == ["gone"]


def test_an_index_that_the_plan_changes_is_no_kin(project: Project, shop: Database) -> None:
    """It serves the same searches now; when the plan has run, it serves others."""
    marked(shop, "gone ON t (a)", "kept ON t (a, owner)")
    assert dropped(prune(project, "name: kept, table: t, keys: [owner]")) == []
    assert dropped(prune(project, "name: kept, table: t, keys: [a, owner]")) == ["gone"]


def test_the_one_that_cluster_sorts_by(project: Project, shop: Database) -> None:
    marked(shop, "gone ON t (a)", "kept ON t (a, b)")
    shop.sql("ALTER TABLE t CLUSTER ON gone")
    assert why_kept(prune(project), "gone") == "CLUSTER sorts the table by it"


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("ALTER TABLE t ADD CONSTRAINT gone UNIQUE USING INDEX gone", "it backs constraint gone"),
        ("ALTER TABLE t REPLICA IDENTITY USING INDEX gone", "it is the table's replica identity"),
        ("CREATE TABLE r (b int REFERENCES t (b))", "foreign key r_b_fkey refers to it"),
    ],
)
def test_what_something_stands_on(project: Project, shop: Database, made: str, why: str) -> None:
    shop.sql("ALTER TABLE t ALTER b SET NOT NULL")
    marked(shop, "UNIQUE gone ON t (b)", "kept ON t (a, b)")
    shop.sql(f"CREATE UNIQUE INDEX other ON t (b); {made}")
    plan = prune(project)
    assert dropped(plan) == []
    assert why_kept(plan, "gone") == f"gone cannot be dropped: {why}"
    [finding] = [finding for finding in plan.findings if finding.index == "gone"]
    assert finding.code == "needed-by-constraint"
    assert 'COMMENT ON INDEX "public"."gone" IS NULL;' in (finding.hint or "")


def test_names_that_an_entry_had_or_works_with(project: Project, shop: Database) -> None:
    """An entry that is refused is no reason to drop what it would have changed."""
    marked(shop, "was_so ON t (a)", "kept_dbopt_new ON t (a)", "longer ON t (a, owner)")
    plan = prune(
        project, "name: kept, table: t, was: [was_so], keys: [nowhere]", "name: longer, table: t, keys: [a, owner]"
    )
    assert [item.index for item in plan.refused] == ["kept"]
    assert dropped(plan) == []


def test_an_index_that_is_renamed_is_not_pruned(project: Project, shop: Database) -> None:
    marked(shop, "before ON t (a, b)", "longer ON t (a, b, owner)")
    plan = prune(project, KEPT, "name: longer, table: t, keys: [a, b, owner]")
    assert [step.action.value for step in plan.steps if step.index == "kept"] == ["rename"]
    assert (dropped(plan), plan.refused) == ([], ())


# Others' indexes


def test_without_prune_foreign_others_are_left_alone(project: Project, shop: Database) -> None:
    marked(shop, "kept ON t (a, b)")
    shop.sql("CREATE INDEX theirs ON t (a)")
    shop.sql(f"CREATE INDEX others ON t (a); {mark('others', domain='crm')}")
    plan = prune(project)
    assert (dropped(plan), plan.refused) == ([], ())
    with_foreign = prune(project, foreign=True)
    assert dropped(with_foreign) == ["theirs"]  # another domain's is another team's
    assert the_drop(with_foreign).reason == "no spec names it (extras: prune)"


def test_of_others_what_is_no_extra_is_passed_over(project: Project, shop: Database) -> None:
    """Keys of constraints are everywhere, and an INVALID index of somebody is theirs to mend."""
    marked(shop, "kept ON t (a, b)")
    with pytest.raises(Exception, match="duplicate"):
        shop.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)")
    shop.sql("CREATE INDEX lonely ON t (note); CREATE TABLE elsewhere (x int, y int)")
    shop.sql("CREATE INDEX e1 ON elsewhere (x); CREATE INDEX e2 ON elsewhere (x, y)")
    plan = prune(project, foreign=True)
    assert dropped(plan) == []
    assert [item.index for item in plan.refused] == ["lonely"]


def test_only_the_owner_may(project: Project, shop: Database) -> None:
    marked(shop, "gone ON t (a)", "kept ON t (a, b)")
    shop.sql("DROP ROLE IF EXISTS visitor; CREATE ROLE visitor LOGIN")
    try:
        project.conninfo += " user=visitor"
        plan = prune(project)
        assert [item.error for item in plan.refused if item.index == "gone"] == [
            "role visitor does not own public.t, whose owner is postgres"
        ]
    finally:
        shop.sql("DROP ROLE visitor")


# Replicas


def test_what_a_replica_scans_stays(project: Project, shop: Database) -> None:
    marked(shop, "gone ON t (a)", "kept ON t (a, b)")
    idle = ReplicaUse(name="reports", seconds=60.0, scanned={})
    busy = ReplicaUse(name="search", seconds=60.0, scanned={("public", "gone"): Scanned("public", "gone", 3, None)})
    gone = ReplicaUse(name="far", problem="no route")
    assert dropped(prune(project, replicas=(idle,))) == ["gone"]
    assert why_kept(prune(project, replicas=(idle, busy)), "gone") == "the replica search has used it (scans: 3)"
    unknown = "whether the replica far uses it is not known: no route"
    assert why_kept(prune(project, replicas=(gone, idle)), "gone") == unknown


@pytest.fixture(scope="module")
def servers(server_binaries: Binaries) -> Iterator[tuple[Node, Node]]:
    """A primary, and a standby that lives on one of two unused indexes."""
    with pair(server_binaries) as (primary, standby):
        primary.database.sql(SCHEMA)
        for name, columns in (("read_there", "a"), ("idle", "a, owner"), ("kept", "a, b")):
            primary.database.sql(f"CREATE INDEX {name} ON t ({columns}); {mark(name)}")
        caught_up(primary, standby)
        standby.database.sql("SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT a FROM t WHERE a = 7")
        count = "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan > 0 AND relname = 't'"
        wait_until(lambda: standby.database.sql(count), "the scan's being counted")
        assert standby.database.sql(count) == [("read_there",)]
        yield primary, standby


@pytest.mark.parametrize("is_reachable", [True, False])
def test_the_replicas_of_the_configuration_are_asked(
    run_cli: Callable[..., Result], servers: tuple[Node, Node], tmp_path: Path, is_reachable: bool
) -> None:
    primary, standby = (node.database.conninfo for node in servers)
    far = standby if is_reachable else "host=/nowhere dbname=postgres"
    (tmp_path / "dbopt.yaml").write_text(
        f'targets: {{main: {{dsn: "{primary}"}}, reports: {{dsn: "{far}", replicas_of: main}}}}\n'
    )
    head = "spec: 1\ndomain: shop\ndefaults: {extras: prune, guard: {unused_for: 1ms}}\nindexes:\n"
    (tmp_path / "s.yaml").write_text(head + f"  - {{{KEPT}, why: a test}}\n")
    told = run_cli("plan", "s.yaml", "-t", "main", "--format", "json")
    plan = told.json
    refused = {item["index"]: item["reason"] for item in plan["refused"]}
    drops = [step for step in plan["steps"] if step["action"] == "drop"]
    if not is_reachable:
        unknown = "whether the replica reports uses it is not known: could not connect"
        assert [unknown in error for error in refused.values()] == [True, True]
        assert run_cli("plan", "s.yaml", "-t", "main", "--check").code == 1
        return
    assert not any(NO_REPLICAS in step["hazards"] for step in drops)
    if servers[0].database.server_version < (16,):  # later ones know that it was longer ago than is asked for
        assert [step["index"] for step in drops] == ["idle"]
        assert refused["read_there"].endswith(" is not pruned: the replica reports has used it (scans: 1)")
    blind = run_cli("plan", "s.yaml", "-d", primary, "--format", "json").json
    assert all(NO_REPLICAS in step["hazards"] for step in blind["steps"] if step["action"] == "drop")


# Partition trees


def test_a_tree_goes_as_a_whole(project: Project, shop: Database) -> None:
    shop.sql("CREATE TABLE ev (a int, b int) PARTITION BY RANGE (a)")
    shop.sql("CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10)")
    marked(shop, "tree ON ev (a)", "kept ON t (a, b)")
    assert why_kept(prune(project), "tree") == "no other index serves a search by a"
    shop.sql("CREATE INDEX longer ON ev (a, b)")
    plan = prune(project)
    assert dropped(plan) == ["tree"]
    project.run(plan).assert_applied()
    assert index_names(shop, "ev_1") == ["ev_1_a_b_idx"]


def test_a_tree_is_used_when_a_part_is(project: Project, shop: Database) -> None:
    shop.sql("CREATE TABLE ev (a int, b int) PARTITION BY RANGE (a)")
    shop.sql("CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10)")
    marked(shop, "tree ON ev (b)", "kept ON t (a, b)")
    shop.sql("SET enable_seqscan = off; SELECT * FROM ev_1 WHERE b = 1")
    count = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'ev_1_b_idx'"
    wait_until(lambda: shop.sql(count) == [(1,)], "the scan's being counted")
    plan = prune(project, defaults="guard: {unused_for: 1h}" if shop.server_version >= (16,) else HAIR)
    assert why_kept(plan, "tree").startswith("its part ev_1_b_idx: it was ")
