"""`serves.expect` judged by the planner of a real server; the statements are never run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction

from dbopt.optimize.plan import make_plan
from dbopt.postgres import connect
from dbopt.postgres.server import inspect
from dbopt.spec.load import load

from .runs import Project
from .trees import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server import Database, Server

SCHEMA = """
    CREATE SCHEMA app;
    CREATE TABLE app.orders (id int PRIMARY KEY, customer int, status text, due date, "Total" int);
    INSERT INTO app.orders SELECT g, g % 500, CASE WHEN g % 50 = 0 THEN 'open' ELSE 'paid' END,
           date '2026-01-01' + g % 90, g FROM generate_series(1, 20000) g;
    CREATE INDEX by_customer ON app.orders (customer, due);
    CREATE TABLE app.calls (n int);
    CREATE FUNCTION app.touch(n int) RETURNS int VOLATILE LANGUAGE sql
      AS 'INSERT INTO app.calls VALUES (n) RETURNING n';
    CREATE VIEW app.open_orders AS SELECT * FROM app.orders WHERE status = 'open';
    ANALYZE;
"""
INDEX = "name: by_customer, table: {schema: app, name: orders}, keys: [customer, due]"
USED = "SELECT id FROM orders WHERE customer = $1 ORDER BY due LIMIT 5"


@pytest.fixture(scope="module")
def orders(pg: Server) -> Iterator[Database]:
    """One for all tests: nothing here changes a row."""
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        yield fresh


@pytest.fixture
def project(orders: Database, tmp_path: Path) -> Iterator[Project]:
    with Project(orders, tmp_path / "specs") as made:
        yield made


def served(*statements: tuple[str, str], index: str = INDEX) -> str:
    """An entry with statements (JSON is YAML), each with what is expected of it."""
    serves = ", ".join(f"{{query: {json.dumps(query)}, expect: {{{expect}}}}}" for query, expect in statements)
    return f"{index}, serves: [{serves}]"


def said(project: Project, *statements: tuple[str, str], index: str = INDEX) -> list[tuple[str, str]]:
    plan = project.wants(served(*statements, index=index)).plan()
    assert plan.steps == ()
    return [(finding.code, finding.message) for finding in plan.findings]


@pytest.mark.parametrize(
    "query",
    [
        USED,
        "SELECT id FROM orders WHERE customer = 7 ORDER BY due",
        'SELECT sum("Total") FROM app.orders WHERE customer = $1 AND due > $2::date;',
        "WITH mine AS (SELECT * FROM orders WHERE customer = $1) SELECT * FROM mine -- at the end",
        "SELECT * FROM orders WHERE customer = $1 FOR UPDATE",
        "UPDATE orders SET status = $2 WHERE customer = $1",
        "DELETE FROM orders WHERE customer = 3",
        "INSERT INTO calls SELECT id FROM orders WHERE customer = $1",
        "SELECT touch(id) FROM orders WHERE customer = 8",
        "SELECT id FROM open_orders WHERE customer = $1",
        "SELECT '100%' FROM orders WHERE customer = $1",
    ],
)
def test_used(project: Project, orders: Database, query: str) -> None:
    assert said(project, (query, "uses: true")) == []
    [(code, message)] = said(project, (query, "uses: false"))
    assert (code, message) == ("not-used", "by_customer is used")


def test_nothing_is_run(project: Project, orders: Database) -> None:
    before = orders.sql("SELECT sum(hashtext(o::text)), count(*) FROM app.orders o")
    said(
        project,
        ("DELETE FROM orders", "uses: true"),
        ("UPDATE orders SET customer = $1", "uses: true"),
        ("INSERT INTO calls VALUES ($1)", "uses: true"),
        ("SELECT touch(1)", "no_sort: true"),
        ("SELECT touch($1)", "no_sort: true"),
        ("SELECT id FROM orders WHERE customer = touch(2)", "no_sort: true"),
        ("WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone", "no_sort: true"),
        ("SELECT * INTO copied FROM orders", "no_sort: true"),
    )
    assert orders.sql("SELECT sum(hashtext(o::text)), count(*) FROM app.orders o") == before
    assert orders.sql("SELECT count(*) FROM app.calls") == [(0,)]
    assert orders.sql("SELECT to_regclass('app.copied')") == [(None,)]


def test_what_is_used_instead(project: Project, orders: Database) -> None:
    """Each statement has its own findings, at its own place."""
    assert said(
        project,
        (USED, "uses: true, no_sort: true"),
        ("SELECT * FROM orders WHERE status = $1 ORDER BY due", "uses: true, no_sort: true"),
        ("SELECT * FROM orders WHERE id = 4", "uses: true"),
        ("SELECT * FROM calls", "uses: true"),
        ("SELECT 1", "uses: true"),
    ) == [
        ("not-used", "by_customer is there, but not used: Seq Scan on orders"),
        ("sorts", "a statement that by_customer serves still sorts"),
        ("not-used", "by_customer is there, but not used: Index Scan using orders_pkey on orders"),
        ("not-used", "by_customer is there, but not used: Seq Scan on calls"),
        ("not-used", "by_customer is there, but not used: no scan"),
    ]


def test_sorts(project: Project, orders: Database) -> None:
    query = "SELECT * FROM orders WHERE customer = $1 ORDER BY status"
    assert said(project, (query, "no_sort: false"), (USED, "no_sort: true")) == []
    assert said(project, (query, "no_sort: true"), (USED, "no_sort: false")) == [
        ("sorts", "a statement that by_customer serves still sorts"),
        ("sorts", "a statement that by_customer serves does not sort"),
    ]


def test_what_cannot_be_planned(project: Project, orders: Database) -> None:
    """A warning each, and the ones behind it are planned all the same."""
    findings = said(
        project,
        ("SELECT * FROM nowhere", "uses: true"),
        ("SELECT * FROM nowhere WHERE id = $1", "uses: true"),
        ("SELECT wrong FROM orders WHERE customer = $1", "uses: true"),
        ("SELECT touch(1, 2)", "no_sort: true"),
        (USED, "uses: true, no_sort: true"),
    )
    assert [message for _, message in findings] == [
        'a statement it serves cannot be planned: relation "nowhere" does not exist',
        'a statement it serves cannot be planned: relation "nowhere" does not exist',
        'a statement it serves cannot be planned: column "wrong" does not exist',
        "a statement it serves cannot be planned: function touch(integer, integer) does not exist",
    ]
    assert {code for code, _ in findings} == {"serves-not-planned"}


@pytest.mark.parametrize(
    "query", ["DROP TABLE app.orders", "SELECT 1; DROP TABLE app.orders", "ANALYZE app.orders", ""]
)
def test_refused_by_the_grammar(project: Project, orders: Database, query: str) -> None:
    """The entry is refused whole, before a server sees any of it."""
    plan = project.wants(served((query or "-- nothing", "uses: true"))).plan()
    assert [(finding.severity, finding.code) for finding in plan.findings] == [("error", "serves-syntax")]
    assert (plan.steps, len(plan.refused)) == ((), 1)
    assert orders.sql("SELECT count(*) > 0 FROM app.orders") == [(True,)]


def test_the_session_is_left_as_it_was(project: Project, orders: Database) -> None:
    """Whatever went wrong in between: no prepared statement, no setting, no transaction."""
    project.wants(
        served(
            ("SELECT * FROM orders WHERE customer = 10 / $1", "uses: true"),
            ("SELECT * FROM nowhere WHERE id = $1", "uses: true"),
            (USED, "uses: true"),
        )
    )
    with connect.connect(
        orders.conninfo, command="plan", read_only=True, settings={"search_path": '"$user", app'}
    ) as conn:
        before = conn.execute("SHOW search_path").fetchone()
        make_plan(conn, inspect(conn), load([project.folder]))
        assert conn.execute("SELECT name FROM pg_prepared_statements").fetchall() == []
        assert conn.execute("SHOW search_path").fetchone() == before
        assert conn.execute("SHOW plan_cache_mode").fetchone() == ("auto",)
        assert conn.info.transaction_status.name == "IDLE"


@pytest.mark.pg("< 16")
def test_values_that_a_type_does_not_take(project: Project, orders: Database) -> None:
    """Before 16 a generic plan takes values, and NULL is all that dbopt has; nothing stays prepared."""
    orders.sql("CREATE DOMAIN app.positive AS int NOT NULL")
    query = "SELECT * FROM orders WHERE customer = $1::positive"
    assert (
        said(project, (query, "uses: true"), (query, "uses: true"), (USED, "uses: true"))
        == [
            (
                "serves-not-planned",
                "a statement it serves cannot be planned: domain positive does not allow null values",
            )
        ]
        * 2
    )


def test_a_failure_half_way_leaves_nothing_prepared(project: Project, orders: Database) -> None:
    """The lock is asked for when the statement is explained, after it was prepared."""
    project.wants(served((USED, "uses: true"), (USED.replace("5", "6"), "uses: true")))
    with (
        connect.connect(orders.conninfo, command="plan", read_only=True, lock_timeout_ms=100) as conn,
        open_transaction(orders, "LOCK TABLE app.orders IN ACCESS EXCLUSIVE MODE"),
    ):
        plan = make_plan(conn, inspect(conn), load([project.folder]))
        assert [finding.message for finding in plan.findings] == [
            "a statement it serves cannot be planned: canceling statement due to lock timeout"
        ] * 2
        assert conn.execute("SELECT name FROM pg_prepared_statements").fetchall() == []


def test_planning_that_takes_too_long_is_given_up(project: Project, orders: Database) -> None:
    """A function that claims to be IMMUTABLE is called by the planner."""
    orders.sql(
        "CREATE FUNCTION app.slow() RETURNS int IMMUTABLE LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM pg_sleep(30); RETURN 1; END'"
    )
    project.wants(served(("SELECT * FROM orders WHERE customer = slow()", "uses: true"), (USED, "uses: true")))
    with connect.connect(orders.conninfo, command="plan", read_only=True, statement_timeout_ms=500) as conn:
        plan = make_plan(conn, inspect(conn), load([project.folder]))
    assert [finding.message for finding in plan.findings] == [
        "a statement it serves cannot be planned: canceling statement due to statement timeout"
    ]


def test_mixed_case_names(project: Project, orders: Database) -> None:
    orders.sql(
        'CREATE SCHEMA "My App"; CREATE TABLE "My App"."Line Items" ("Order" int, n int);'
        'INSERT INTO "My App"."Line Items" SELECT g, g FROM generate_series(1, 9000) g;'
        'CREATE INDEX "By ""Order""" ON "My App"."Line Items" ("Order"); ANALYZE'
    )
    index = """name: 'By "Order"', table: {schema: My App, name: Line Items}, keys: [Order]"""
    query = 'SELECT n FROM "Line Items" WHERE "Order" = $1'
    assert said(project, (query, "uses: true"), index=index) == []


def test_rules_that_make_several_plans_or_none(project: Project, orders: Database) -> None:
    orders.sql("CREATE TABLE app.void (n int); CREATE RULE r AS ON INSERT TO app.void DO INSTEAD NOTHING")
    orders.sql(
        "CREATE RULE s AS ON DELETE TO app.calls DO ALSO UPDATE app.orders SET status = 'x' WHERE customer = OLD.n"
    )
    assert said(project, ("INSERT INTO void VALUES (1)", "uses: false"), ("DELETE FROM calls", "no_sort: false"))[
        0
    ] == (
        "sorts",
        "a statement that by_customer serves does not sort",
    )


def test_the_index_of_a_tree_is_known_by_its_parts(project: Project, orders: Database) -> None:
    """Plans name the leaf's index, adopted ones by whatever name they have."""
    orders.sql(
        "CREATE TABLE ev (id int, at int) PARTITION BY RANGE (at);"
        "CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10) PARTITION BY HASH (id);"
        "CREATE TABLE ev_1a PARTITION OF ev_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
        "CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20);"
        "INSERT INTO ev SELECT g, g % 20 FROM generate_series(1, 20000) g; CREATE INDEX odd ON ev_2 (id, at)"
    )
    project.wants(ENTRY).run().assert_applied()
    for query in (
        "SELECT * FROM ev WHERE id = $1",
        "SELECT * FROM ev_1 WHERE id = 5",
        "SELECT * FROM ev_2 WHERE id = 5",
    ):
        assert said(project, (query, "uses: true"), index=ENTRY) == []
    assert said(project, ("SELECT * FROM ev WHERE at = 5", "uses: true"), index=ENTRY) == [
        ("not-used", "ev_by_id is there, but not used: Seq Scan on ev_1a")
    ]
