"""What is read of the tables of some plans: what it says, what it costs, and what a lock costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import open_transaction

from dbopt.postgres.server import inspect
from dbopt.workload.finding import Key
from dbopt.workload.model import Counters, Statement
from dbopt.workload.plan import Node, root
from dbopt.workload.scene import EXPRESSIONS_LOCK_TIMEOUT_MS, Facts, scene, scenes_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from server import Database, Server

_TABLES = """
    CREATE SCHEMA "Odd ""one";
    CREATE DOMAIN short AS varchar(9);
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE "Odd ""one"."Ta ble" (id int PRIMARY KEY, gone int, s short, m mood, j json, n numeric(10, 2),
                                        a int[], js json[], p point, r int4range, pair "pg_class")
        WITH (autovacuum_enabled = off);
    ALTER TABLE "Odd ""one"."Ta ble" DROP COLUMN gone;
    INSERT INTO "Odd ""one"."Ta ble" (id, s, n)
    SELECT g, CASE WHEN g % 4 > 0 THEN 'x' END, g % 50 FROM generate_series(1, 1000) AS g;
    CREATE INDEX by_lower ON "Odd ""one"."Ta ble" (n DESC, lower(s::text) text_pattern_ops) INCLUDE (m) WHERE n > 3;
    CREATE INDEX by_hash ON "Odd ""one"."Ta ble" USING hash (m);
    ANALYZE "Odd ""one"."Ta ble";

    CREATE TABLE fresh (id int) WITH (autovacuum_enabled = off);
    INSERT INTO fresh SELECT 1 FROM generate_series(1, 100);
    CREATE TABLE other (id int, b int) WITH (autovacuum_enabled = off);
    CREATE INDEX other_b ON other ((b + 1));

    CREATE TABLE events (id int, kind int) PARTITION BY RANGE (id);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100) WITH (autovacuum_enabled = off);
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (kind);
    CREATE TABLE events_21 PARTITION OF events_2 FOR VALUES FROM (0) TO (9) WITH (autovacuum_enabled = off);
    INSERT INTO events SELECT g, g % 7 FROM generate_series(0, 199) AS g;
    ANALYZE events;
    CREATE INDEX events_kind ON events (kind);
"""
ODD = ('Odd "one', "Ta ble")


@pytest.fixture(scope="module")
def database(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(_TABLES)
        yield fresh


@pytest.fixture
def conn(database: Database) -> psycopg.Connection[Any]:
    return database.connect(autocommit=True)


def _plan(conn: psycopg.Connection[Any], query: str, options: str = "VERBOSE, FORMAT JSON") -> Node:
    row = conn.execute(f"EXPLAIN ({options}) {query}").fetchone()  # type: ignore[call-overload]  # tests paste SQL
    assert row is not None
    plan = root(row[0][0])
    assert plan is not None
    return plan


def _facts(conn: psycopg.Connection[Any], *queries: str) -> Facts:
    return scenes_facts(conn, inspect(conn), [_plan(conn, query) for query in queries])


def test_a_table(conn: psycopg.Connection[Any]) -> None:
    table = _facts(conn, 'SELECT * FROM "Odd ""one"."Ta ble"').relations[ODD]
    assert (table.rows, table.relkind, table.is_temporary, table.parent) == (1000.0, "r", False, None)
    assert table.size_bytes > 0
    assert table.size_bytes % 8192 == 0
    assert [column.name for column in table.columns] == ["id", "s", "m", "j", "n", "a", "js", "p", "r", "pair"]
    types = {column.name: (column.type_name, column.base_type) for column in table.columns}
    assert types["s"] == ("short", "character varying")
    assert types["n"] == ("numeric", None)
    orderable = {column.name for column in table.columns if column.is_orderable}
    assert orderable == {"id", "s", "m", "n", "a", "r"}
    s = table.column("s")
    assert s is not None
    assert (s.has_statistics, s.null_frac, s.n_distinct, s.most_common_freq) == (True, 0.25, 1.0, 0.75)
    number = table.column("n")
    assert number is not None
    assert number.n_distinct == 50.0
    assert number.correlation is not None


def test_its_indexes(conn: psycopg.Connection[Any]) -> None:
    indexes = {index.name: index for index in _facts(conn, 'SELECT * FROM "Odd ""one"."Ta ble"').relations[ODD].indexes}
    assert list(indexes) == ["Ta ble_pkey", "by_hash", "by_lower"]
    assert indexes["Ta ble_pkey"].is_unique
    assert indexes["by_hash"].method == "hash"
    found = indexes["by_lower"]
    assert found.keys == (
        Key(column="n", expression=None, opclass="numeric_ops", is_descending=True, nulls_first=True),
        Key(column=None, expression="lower((s)::text)", opclass="text_pattern_ops"),
    )
    assert found.include == ("m",)
    assert found.predicate == "(n > (3)::numeric)"
    assert found.is_valid
    assert not found.is_unique


def test_what_was_never_analyzed(conn: psycopg.Connection[Any]) -> None:
    table = _facts(conn, "SELECT * FROM fresh").relations["public", "fresh"]
    assert (table.rows, table.size_bytes) == (None, 0)
    assert not any(column.has_statistics for column in table.columns)


def test_partitions(conn: psycopg.Connection[Any]) -> None:
    facts = _facts(conn, "SELECT * FROM events WHERE id = 150")
    leaf, top = facts.relations["public", "events_21"], facts.relations["public", "events"]
    assert (leaf.rows, leaf.parent) == (100.0, ("public", "events"))
    assert (top.rows, top.relkind, top.parent) == (200.0, "p", None)
    assert top.size_bytes == 2 * leaf.size_bytes
    kind = top.column("kind")
    assert kind is not None
    assert kind.n_distinct == 7.0  # of all of them
    assert [index.name for index in top.indexes] == ["events_kind"]
    assert ("public", "events_2") not in facts.relations


def test_one_question_for_all_statements(conn: psycopg.Connection[Any]) -> None:
    plans = [_plan(conn, "SELECT * FROM fresh"), _plan(conn, "SELECT * FROM events WHERE id = 150")]
    facts = scenes_facts(conn, inspect(conn), plans)
    statement = Statement(fingerprint=None, counters=Counters())
    assert set(scene(facts, statement, plans[0]).relations) == {("public", "fresh")}
    found = scene(facts, statement, plans[1])
    assert set(found.relations) == {("public", "events_21"), ("public", "events")}
    [scan] = [node for node in found.nodes if node.relation is not None]
    assert found.relation(scan) is facts.relations["public", "events_21"]
    assert scene(facts, statement, None).relations == {}


def test_nothing_to_ask_for(conn: psycopg.Connection[Any]) -> None:
    assert _facts(conn).relations == {}
    assert _facts(conn, "SELECT 1").relations == {}
    gone = Node(0, 0, {"Node Type": "Seq Scan", "Relation Name": "nowhere", "Schema": "public"}, (), 1.0)
    assert scenes_facts(conn, inspect(conn), [gone]).relations == {}


def test_a_plan_without_schemas(conn: psycopg.Connection[Any]) -> None:
    """As auto_explain writes them into a log."""
    plan = _plan(conn, "SELECT * FROM fresh", "FORMAT JSON")
    facts = scenes_facts(conn, inspect(conn), [plan])
    found = scene(facts, Statement(fingerprint=None, counters=Counters()), plan)
    assert found.relation(plan) is not None


def test_settings_of_a_new_session(conn: psycopg.Connection[Any]) -> None:
    [(multiplier,)] = conn.execute("SELECT current_setting('hash_mem_multiplier')::float8")
    conn.execute("SET work_mem = '512MB'; SET hash_mem_multiplier = 9")
    facts = _facts(conn, "SELECT * FROM fresh")
    assert (facts.work_mem_bytes, facts.hash_mem_multiplier) == (4 * 1024 * 1024, multiplier)
    assert facts.extensions == {"plpgsql"}
    assert facts.extension_schemas == {}


def test_statistics_that_the_role_may_not_see(database: Database) -> None:
    database.sql("CREATE ROLE scene_reader LOGIN; GRANT SELECT ON fresh, other TO scene_reader")
    database.sql("ALTER TABLE other ENABLE ROW LEVEL SECURITY")
    try:
        conn = database.connect(autocommit=True, user="scene_reader")
        own = database.connect(autocommit=True)
        names = ("SELECT * FROM fresh", "SELECT * FROM events WHERE id = 150", "SELECT * FROM other")
        plans = [_plan(own, query) for query in names]
        facts = scenes_facts(conn, inspect(conn), plans)
        statement = Statement(fingerprint=None, counters=Counters())
        assert [scene(facts, statement, plan).may_see_statistics for plan in plans] == [True, False, False]
        hidden = facts.relations["public", "events_21"]
        assert hidden.rows == 100.0
        assert not any(column.has_statistics for column in hidden.columns)
        conn.close()
    finally:
        database.sql("ALTER TABLE other DISABLE ROW LEVEL SECURITY")
        database.sql("DROP OWNED BY scene_reader; DROP ROLE scene_reader")


def test_a_locked_table_costs_its_own_expressions(database: Database, conn: psycopg.Connection[Any]) -> None:
    plans = [_plan(conn, query) for query in ('SELECT * FROM "Odd ""one"."Ta ble"', "SELECT * FROM other")]
    conn.execute("SET statement_timeout = '10s'")  # waiting for the lock would end in an error
    with open_transaction(database, 'LOCK TABLE "Odd ""one"."Ta ble", events IN ACCESS EXCLUSIVE MODE'):
        facts = scenes_facts(conn, inspect(conn), plans)
    table = facts.relations[ODD]
    assert table.rows == 1000.0
    assert len(table.columns) == 10
    found = next(index for index in table.indexes if index.name == "by_lower")
    assert [(key.column, key.expression) for key in found.keys] == [("n", None), (None, None)]
    assert found.predicate == ""  # there is one, and it could not be read
    [other] = facts.relations["public", "other"].indexes
    assert other.keys[0].expression == "((b + 1))"
    # The session is as it was.
    [(timeout,)] = conn.execute("SHOW lock_timeout")
    assert timeout != f"{EXPRESSIONS_LOCK_TIMEOUT_MS}ms"


def test_a_partitioned_table_that_is_locked(database: Database, conn: psycopg.Connection[Any]) -> None:
    plan = _plan(conn, "SELECT * FROM events")
    conn.execute("SET statement_timeout = '10s'")
    with open_transaction(database, "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"):
        assert scenes_facts(conn, inspect(conn), [plan]).relations["public", "events"].rows == 200.0
