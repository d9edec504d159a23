"""Budgets: which entries they refuse, with which words, and which they leave alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt.optimize.pace import Built, Pace
from dbopt.optimize.plan import PlanOptions, make_plan
from dbopt.postgres.server import inspect
from dbopt.spec.finding import Severity
from dbopt.spec.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from server import Database

    from dbopt.optimize.steps import Plan
    from tests.optimize.runs import Project


@pytest.fixture
def t(database: Database) -> Database:
    database.sql("CREATE TABLE t (a int, b int, c int, d int)")
    database.sql("INSERT INTO t SELECT g, g, g, g FROM generate_series(1, 1000) AS g; ANALYZE t")
    return database


@pytest.fixture
def plan(project: Project) -> Callable[..., Plan]:
    """The plan of a file with this budget and these entries."""

    def make(budget: str, *entries: str) -> Plan:
        path = project.wants(*entries).folder / "shop.yaml"
        path.write_text(
            path.read_text().replace("indexes:", f"budget: {{{budget}}}\nindexes:" if budget else "indexes:")
        )
        return project.plan()

    return make


def entry(name: str, column: str, more: str = "") -> str:
    return f"name: {name}, table: t, keys: [{column}]{more}"


def tree(database: Database) -> None:
    database.sql("CREATE TABLE t (a int) PARTITION BY RANGE (a)")
    for n in (0, 1):
        database.sql(f"CREATE TABLE t{n} PARTITION OF t FOR VALUES FROM ({n}000) TO ({n + 1}000)")
    database.sql("INSERT INTO t SELECT * FROM generate_series(0, 1999); ANALYZE t")


def steps(plan: Plan) -> list[tuple[str, str | None]]:
    return [(step.action.value, step.index) for step in plan.steps]


def refused(plan: Plan) -> dict[str, str]:
    """The refused entries and why; each has its finding, an error."""
    told = {item.index: item.error for item in plan.refused}
    errors = {f.index: f.message for f in plan.findings if f.severity is Severity.ERROR}
    assert told == errors
    assert {f.code for f in plan.findings if f.severity is Severity.ERROR} <= {"over-budget"}
    return {name: why or "" for name, why in told.items() if name}


def unknown(plan: Plan) -> list[str | None]:
    return [finding.index for finding in plan.findings if finding.code == "budget-unknown"]


# Of one index


@pytest.mark.parametrize(("size", "fits"), [("40kB", True), ("39kB", False)])
@pytest.mark.usefixtures("t")
def test_size(plan: Callable[..., Plan], size: str, fits: bool) -> None:
    made = plan("", entry("i", "a", f", budget: {{size: {size}}}"), entry("j", "b"))
    assert steps(made) == ([("create", "i"), ("create", "j")] if fits else [("create", "j")])
    assert refused(made) == ({} if fits else {"i": "i would take about 40kB, its budget is 39kB"})


def test_size_of_a_replacement_is_that_of_the_new_index(plan: Callable[..., Plan], t: Database) -> None:
    t.sql("CREATE INDEX i ON t (a, b, c, d)")
    assert steps(plan("", entry("i", "a", ", budget: {size: 40kB}"))) == [("replace", "i")]
    assert refused(plan("", entry("i", "a", ", budget: {size: 8kB}")))


def test_what_is_there_is_not_touched(plan: Callable[..., Plan], t: Database) -> None:
    t.sql("CREATE INDEX i ON t (a)")
    made = plan("total: 8kB, per_table_indexes: 1", entry("i", "a", ", budget: {size: 8kB}"))
    assert (steps(made), refused(made), unknown(made)) == ([], {}, [])


def test_without_statistics_a_warning(plan: Callable[..., Plan], database: Database) -> None:
    database.sql("CREATE TABLE t (a int, b int) WITH (autovacuum_enabled = off)")
    made = plan("total: 1GB", entry("i", "a", ", budget: {size: 1kB}"), entry("j", "b"))
    assert steps(made)[:2] == [("create", "i"), ("create", "j")]
    assert unknown(made) == ["i", "j"]
    [first, _] = [finding for finding in made.findings if finding.code == "budget-unknown"]
    assert first.message == (
        "the size of i cannot be estimated, so its budget and the budget of domain shop could not be checked"
    )
    assert first.hint is not None
    assert first.hint.startswith('Without statistics nothing can be known: ANALYZE "public"."t";')


def test_a_tree_counts_as_a_whole(plan: Callable[..., Plan], database: Database) -> None:
    """The parts that an earlier run has built count as well."""
    tree(database)
    small, enough = ", budget: {size: 79kB}", ", budget: {size: 80kB}"
    assert refused(plan("", entry("i", "a", small))) == {"i": "i would take about 80kB, its budget is 79kB"}
    assert refused(plan("", entry("i", "a", enough))) == {}
    database.sql("CREATE INDEX t0_i ON t0 (a)")
    assert refused(plan("", entry("i", "a", small))) == {"i": "i would take about 80kB, its budget is 79kB"}


# Of all indexes of a file


def test_total_refuses_the_last_by_priority(plan: Callable[..., Plan], t: Database) -> None:
    t.sql("CREATE INDEX there ON t (d)")
    entries = (
        entry("there", "d", ", priority: 9"),
        entry("last", "a", ", priority: 3"),
        entry("first", "b", ", priority: 1"),
        entry("second", "c", ", priority: 2"),
    )
    made = plan("total: 125kB", *entries)
    assert steps(made) == [("create", "first"), ("create", "second")]
    message = "with last the indexes of domain shop would take about 160kB, their budget is 125kB"
    assert refused(made) == {"last": message}


def test_a_replacement_takes_the_place_of_the_old_index(plan: Callable[..., Plan], t: Database) -> None:
    t.sql("CREATE INDEX i ON t (b)")
    assert steps(plan("total: 40kB", entry("i", "a"))) == [("replace", "i")]


# The number of indexes


def test_per_table_indexes_counts_what_is_there(plan: Callable[..., Plan], t: Database) -> None:
    t.sql("ALTER TABLE t ADD PRIMARY KEY (a); CREATE INDEX foreign_one ON t (d)")
    made = plan("per_table_indexes: 3", entry("x", "b", ", priority: 2"), entry("y", "c", ", priority: 1"))
    assert steps(made) == [("create", "y")]
    assert refused(made) == {"x": "x would be index number 4 of public.t, 3 are allowed"}


def test_per_table_indexes_lets_leave_and_rename(plan: Callable[..., Plan], t: Database) -> None:
    """A dropped one makes room whatever its priority, a renamed or replaced one takes none, an INVALID one has none."""
    t.sql("CREATE INDEX gone ON t (d) ; COMMENT ON INDEX gone IS '[dbopt:1 shop/gone sha=000000000000]'")
    t.sql("CREATE INDEX other ON t (a); CREATE INDEX broken ON t (c); CREATE INDEX changed ON t (d, a)")
    t.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
    made = plan(
        "per_table_indexes: 3",
        entry("renamed", "a"),
        entry("changed", "d"),
        entry("broken", "c"),
        "name: gone, table: t, state: absent, priority: 200",
    )
    assert refused(made) == {}
    assert sorted(steps(made)) == [
        ("drop", "gone"), ("rename", "renamed"), ("repair", "broken"), ("replace", "changed")
    ]  # fmt: skip


def test_what_is_pruned_makes_room(plan: Callable[..., Plan], project: Project, t: Database) -> None:
    t.sql("CREATE INDEX gone ON t (d); COMMENT ON INDEX gone IS '[dbopt:1 shop/gone sha=000000000000]'")
    t.sql("CREATE INDEX more ON t (d, c)")
    assert refused(plan("per_table_indexes: 2", entry("i", "a")))
    path = project.folder / "shop.yaml"
    prune = "schema: public, extras: prune, guard: {unused_for: 1ms}"
    path.write_text(path.read_text().replace("schema: public", prune))
    made = project.plan()
    assert (steps(made), refused(made)) == ([("create", "i"), ("drop", "gone")], {})


@pytest.mark.usefixtures("t")
def test_an_entry_that_is_refused_takes_no_room(plan: Callable[..., Plan]) -> None:
    made = plan(
        "per_table_indexes: 1, total: 50kB",
        entry("i", "a", ", priority: 1, budget: {size: 1kB}"),
        entry("j", "b", ", priority: 2"),
        entry("k", "c", ", priority: 3"),
    )
    assert steps(made) == [("create", "j")]
    assert sorted(refused(made)) == ["i", "k"]


# The time of a build


def paced(project: Project, *past: Built) -> Plan:
    """The plan of someone who has seen builds."""
    with project.session(read_only=True) as conn:
        return make_plan(conn, inspect(conn), load([project.folder]), options=PlanOptions(pace=Pace(past)))


SLOW = Built("btree", size_bytes=40 * 1024, table_bytes=48 * 1024, seconds=90.0)  # as large as those of t


@pytest.mark.usefixtures("t")
def test_time(project: Project) -> None:
    project.wants(
        entry("enough", "a", ", budget: {build: 91s}"), entry("less", "b", ", budget: {build: 89s}"), entry("none", "c")
    )
    made = paced(project, SLOW)
    assert sorted(steps(made)) == [("create", "enough"), ("create", "none")]
    assert refused(made) == {"less": "the build of less would take about 1 min 30 s, its budget is 1 min 29 s"}
    assert [step.estimate and step.estimate["build_seconds"] for step in made.steps] == [pytest.approx(90, abs=0.5)] * 2


@pytest.mark.usefixtures("t")
def test_a_time_that_nobody_knows(project: Project) -> None:
    project.wants(entry("i", "a", ", budget: {build: 5min}"), entry("h", "b", ", method: hash, budget: {build: 5min}"))
    made = paced(project, SLOW)
    assert sorted(steps(made)) == [("create", "h"), ("create", "i")]
    assert [(finding.index, finding.code, finding.severity) for finding in made.findings] == [
        ("h", "build-time-unknown", Severity.INFO)
    ]


def test_the_builds_of_a_tree_count_together(project: Project, database: Database) -> None:
    tree(database)
    project.wants(entry("i", "a", ", budget: {build: 179s}"))
    each = Built("btree", size_bytes=40 * 1024, table_bytes=40 * 1024, seconds=90.0)
    assert refused(paced(project, each)) == {
        "i": "the build of i would take about 3 min 00 s, its budget is 2 min 59 s"
    }
    database.sql("CREATE INDEX t0_i ON t0 (a)")
    assert refused(paced(project, each)) == {}


# Whole trees


def test_a_tree_that_is_replaced_takes_the_place_of_the_old_one(plan: Callable[..., Plan], database: Database) -> None:
    tree(database)
    database.sql("CREATE INDEX i ON t (a DESC); ANALYZE t, t0, t1")
    limit = ", budget: {{size: {}}}"
    assert refused(plan("total: 80kB", entry("i", "a", limit.format("80kB")))) == {}
    assert set(refused(plan("", entry("i", "a", limit.format("79kB"))))) == {"i"}
    made = plan("total: 80kB", entry("i", "a"), entry("j", "a", ", priority: 200"))
    assert set(refused(made)) == {"j"}
