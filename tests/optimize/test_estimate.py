"""Estimated sizes of indexes against the sizes that they have once built, on the session's server."""

from __future__ import annotations

import math
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction

from dbopt.optimize import estimate
from dbopt.optimize.estimate import LOCK_TIMEOUT_MS
from dbopt.postgres.statistics import ColumnStatistics
from dbopt.sizes import btree, other
from dbopt.sizes.btree import Column
from dbopt.sizes.distinct import distinct_values
from dbopt.sizes.predicate import Rule, Said, about_columns
from tests.optimize.runs import Project
from tests.optimize.shapes import BTREE, EXPRESSIONS, OTHERS, ROWS, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.optimize.steps import Step


def statement(shape: str, name: str) -> str:
    unique = "UNIQUE " if shape.startswith("UNIQUE ") else ""
    return f"CREATE {unique}INDEX {name} ON shapes {shape.removeprefix('UNIQUE ')}"


@pytest.fixture(scope="module")
def shapes(pg: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pg.database() as database, Project(database, tmp_path_factory.mktemp("shapes") / "specs") as project:
        database.sql(TABLE)
        database.sql("VACUUM FULL ANALYZE shapes")
        yield project


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(estimate, "SAMPLING_SECONDS", math.inf)
    monkeypatch.setattr("dbopt.sizes.expression.EVALUATION_MS", 30_000)


def test_a_slow_function_does_not_hold_up_a_plan(
    project: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.sql(
        "CREATE FUNCTION slowly(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql"
        " AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN i; END $$;"
        "CREATE TABLE few (id int); INSERT INTO few SELECT generate_series(1, 300); ANALYZE few"
    )
    project.wants("name: few_slowly, table: few, keys: [{expr: slowly(id)}]")
    monkeypatch.setattr("dbopt.sizes.expression.EVALUATION_MS", 100)
    assert project.plan().steps[0].estimate is None  # it would take five seconds to know
    monkeypatch.setattr("dbopt.sizes.expression.EVALUATION_MS", 30_000)
    assert project.plan().steps[0].estimate is not None


def errors(project: Project, asked: tuple[str, ...]) -> dict[str, float]:
    """By shape, how far the estimate is from the built index, as a share of that."""
    quoted = [statement(shape, f"x{n}").replace("'", "''") for n, shape in enumerate(asked)]
    project.wants(*(f"name: x{n}, table: shapes, sql: '{text}'" for n, text in enumerate(quoted)))
    plan = project.plan()
    assert plan.refused == ()
    estimated = {step.index: step.estimate for step in plan.steps if step.builds}
    found = {}
    for number, shape in enumerate(asked):
        amounts = estimated[f"x{number}"]
        assert amounts is not None, shape
        project.database.sql(statement(shape, "built"))
        [(size,)] = project.database.sql("SELECT pg_relation_size('built')")
        project.database.sql("DROP INDEX built")
        found[shape] = amounts["size_bytes"] / size - 1
    return found


@pytest.mark.parametrize(
    ("asked", "worst", "median"),
    [
        pytest.param(BTREE, 0.10, 0.02, id="btree"),
        pytest.param(EXPRESSIONS, 0.10, 0.03, id="btree-expressions"),
        pytest.param(OTHERS, 0.30, 0.10, id="others"),
    ],
)
def test_estimates_are_near(shapes: Project, asked: tuple[str, ...], worst: float, median: float) -> None:
    found = errors(shapes, asked)
    assert {shape: round(error, 3) for shape, error in found.items() if abs(error) > worst} == {}
    assert statistics.median(map(abs, found.values())) <= median, found


@pytest.mark.pg(">= 14")
def test_statistics_that_somebody_created_about_an_expression_count(shapes: Project) -> None:
    """Nothing else knows how few values it has: those of its column, evaluated, hardly ever meet."""
    shapes.database.sql("CREATE STATISTICS squares ON (pair % 97 * 100000) FROM shapes; ANALYZE shapes (pair)")
    found = errors(shapes, ("((pair % 97 * 100000))",))
    shapes.database.sql("DROP STATISTICS squares")
    assert abs(found["((pair % 97 * 100000))"]) < 0.05


def test_rows_of_a_partial_index(shapes: Project) -> None:
    shapes.wants("name: x, table: shapes, keys: [id], where: status = 'open'")
    [step] = shapes.plan().steps
    [(rows,)] = shapes.database.sql("SELECT count(*) FROM shapes WHERE status = 'open'")
    assert step.estimate is not None
    assert step.estimate["rows"] == pytest.approx(rows, rel=0.05)


# Steps


def built(project: Project, *entries: str) -> list[Step]:
    return [step for step in project.wants(*entries).plan().steps if step.builds]


def fill(database: Database, table: str = "t") -> None:
    database.sql(f"CREATE TABLE {table} (a int, b text)")
    database.sql(f"INSERT INTO {table} SELECT g, 'b' || g FROM generate_series(1, 1000) AS g")


def test_without_statistics_there_is_none(project: Project, database: Database) -> None:
    fill(database)
    database.sql("ALTER TABLE t SET (autovacuum_enabled = off)")
    assert [step.estimate for step in built(project, "name: i, table: t, keys: [a]")] == [None]
    database.sql("ANALYZE t (a)")
    steps = built(project, "name: i, table: t, keys: [a]", "name: j, table: t, keys: [b]")
    assert [(step.index, step.estimate is None) for step in steps] == [("i", False), ("j", True)]


def test_an_empty_table_has_none(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE t (a int); ANALYZE t")
    assert [step.estimate for step in built(project, "name: i, table: t, keys: [a]")] == [None]


def test_a_repair_and_a_replacement_have_one(project: Project, database: Database) -> None:
    fill(database)
    database.sql("CREATE INDEX i ON t (a); CREATE INDEX j ON t (a); ANALYZE t")
    database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass")
    steps = built(project, "name: i, table: t, keys: [a]", "name: j, table: t, keys: [b]")
    size = {(step.action, step.index): step.estimate["size_bytes"] for step in steps if step.estimate}
    assert size == {("repair", "i"): 5 * 8192, ("replace", "j"): 5 * 8192}


def test_what_builds_nothing_has_none(project: Project, database: Database) -> None:
    fill(database)
    database.sql("CREATE INDEX was ON t (a); ANALYZE t")
    steps = project.wants("name: i, table: t, keys: [a]").plan().steps
    assert [(step.action, step.estimate) for step in steps] == [("rename", None)]


def test_each_leaf_of_a_partition_tree_has_its_own(project: Project, database: Database) -> None:
    database.sql("CREATE TABLE p (a int, b text) PARTITION BY RANGE (a)")
    database.sql("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000)")
    database.sql("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (100000)")
    database.sql("INSERT INTO p SELECT g, 'b' || g FROM generate_series(0, 9999) AS g; ANALYZE p")
    steps = built(project, "name: i, table: p, keys: [a]")
    rows = {step.table: step.estimate and step.estimate["rows"] for step in steps}
    assert rows == {"p": None, "p1": 1000, "p2": 9000}


def test_a_locked_table_costs_one_short_wait(project: Project, database: Database) -> None:
    """Only its partial indexes and created statistics take a lock; the others have their estimate all the same."""
    fill(database)
    database.sql("CREATE STATISTICS both_ (ndistinct) ON a, b FROM t; ANALYZE t")
    partial = [f"name: p{n}, table: t, keys: [a], where: a > {n}" for n in range(8)]
    with open_transaction(database, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"):
        started = time.monotonic()
        steps = built(project, "name: i, table: t, keys: [a, b]", *partial)
        seconds = time.monotonic() - started
    assert {step.index for step in steps if step.estimate is not None} == {"i"}
    assert len(steps) == 9
    assert seconds < 5 + LOCK_TIMEOUT_MS / 1000


def test_a_role_that_may_not_read_gets_no_numbers_about_rows(project: Project, database: Database) -> None:
    fill(database)
    database.sql("ANALYZE t; CREATE ROLE est_owner; ALTER TABLE t OWNER TO est_owner")
    try:
        database.sql("REVOKE SELECT ON t FROM est_owner; GRANT CREATE ON SCHEMA public TO est_owner")
        project.conninfo += " options='-c role=est_owner'"
        entries = ("name: i, table: t, keys: [a]", "name: p, table: t, keys: [a], where: a > 1")
        assert [step.estimate for step in built(project, *entries)] == [None, None]
    finally:
        database.sql("DROP OWNED BY est_owner CASCADE; DROP ROLE est_owner")


def test_an_expression_that_fails_for_typical_values_has_none(project: Project, database: Database) -> None:
    fill(database)
    database.sql("ANALYZE t")
    steps = built(project, "name: i, table: t, keys: [{expr: 'substr(b, 2)::int / (a - 500)'}]")
    assert [step.estimate for step in steps] == [None]


# On paper


def column(length: float, *, distinct: float = ROWS, null_frac: float = 0.0, common: tuple[float, ...] = ()) -> Column:
    return Column(
        lengths=(length,),
        common_lengths=(length,),
        align=8,
        varying=False,
        null_frac=null_frac,
        distinct=distinct,
        common=common,
    )


@pytest.mark.parametrize(
    ("rows", "key", "pages"),
    [
        (0, column(8), 1),
        (1, column(8), 2),
        (366, column(8), 2),  # so many entries of 20 bytes fill a leaf to 90 %
        (380, column(8), 4),  # two leaves need a root
        (100_000, column(8, distinct=100_000), 276),
        (100_000, column(4, distinct=1, common=(1.0,)), 87),  # 9 posting lists of 132 rows on a page
        (100_000, column(8, null_frac=1.0, distinct=0), 87),  # NULL is a value like any other
    ],
)
def test_pages_of_a_btree(rows: int, key: Column, pages: int) -> None:
    """As PostgreSQL builds them."""
    assert btree.btree(rows, [key], deduplicates=True) == pages * 8192


def test_unique_and_covering_indexes_share_nothing() -> None:
    key = column(8, distinct=10)
    apart = btree.btree(ROWS, [key], deduplicates=False)
    assert btree.btree(ROWS, [key], [column(8)], deduplicates=False) > apart
    assert btree.btree(ROWS, [key], deduplicates=True) < apart / 2


@pytest.mark.parametrize(
    ("common", "said", "really"),
    [
        ([], -1.0, 150_000),
        ([], 3_000, 3_000),
        ([], 0, 150_000),
        ([0.25], -0.3713, 112_501),  # a quarter of the rows have one value, the others have each their own
        ([0.25], -0.75, 112_501),
        ([0.5, 0.25, 0.25], 3, 3),
    ],
)
def test_distinct_values(common: list[float], said: float, really: int) -> None:
    """`said` is what ANALYZE made of such a table of 150,000 rows, from a sample of 30,000."""
    found = ColumnStatistics(
        relation_oid=1,
        column="a",
        attnum=1,
        type="int4",
        attlen=4,
        attalign="i",
        null_frac=0.0,
        avg_width=4,
        n_distinct=said,
        common_freqs=common,
        bounds=101 if sum(common) < 1 else None,
        element_freqs=[],
        elements=None,
        element_len=None,
        element_bytes=None,
        common_lengths=None,
        lengths=None,
    )
    assert distinct_values(found, 150_000) == pytest.approx(really, rel=0.03)


@pytest.mark.parametrize(("rows", "buckets"), [(0, 2), (614, 2), (615, 4), (157_184, 512), (157_185, 640)])
def test_buckets_of_a_hash_index(rows: int, buckets: int) -> None:
    assert other.hash_table(rows, 0, column(4)) == (buckets + 2) * 8192


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        (None, {}),
        ("(a IS NULL)", {"a": Said(Rule.IS_NULL)}),
        ("(a IS NOT NULL)", {"a": Said(Rule.RESTRICTED)}),
        ("(status = 'open'::text)", {"status": Said(Rule.ONE_OF, 1)}),
        ("((kind)::text = ANY ((ARRAY['x'::varchar, 'y'::varchar])::text[]))", {"kind": Said(Rule.ONE_OF, 2)}),
        ("(active AND (NOT bad) AND (a > 5))",
         {"active": Said(Rule.ONE_OF, 1), "bad": Said(Rule.ONE_OF, 1), "a": Said(Rule.RESTRICTED)}),
        ("((a > 5) AND (a = 7))", {"a": Said(Rule.ONE_OF, 1)}),
        ("((a = 1) OR (b = 2))", {}),
        ("(lower(a) = 'x'::text)", {}),
        ("this is no expression", {}),
    ],
)  # fmt: skip
def test_what_a_predicate_says_about_columns(predicate: str | None, said: dict[str, Said]) -> None:
    assert about_columns(predicate) == said
