"""What plans cost that hope to stop early, of a real server's plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt.suggest.cost.honest import honest_cost, is_bounding
from dbopt.suggest.cost.session import Session
from dbopt.suggest.model import GENERIC
from suggest.asking import World, candidate, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

    from dbopt.suggest.model import Name, Probe
    from dbopt.workload.finding import Relation
    from dbopt.workload.plan import Node

ROWS = 20_000
SCHEMA = f"""
    CREATE TABLE orders (id int PRIMARY KEY, customer int, status text, created_at int, note text)
      WITH (autovacuum_enabled = off);
    INSERT INTO orders SELECT g, g % 500, CASE WHEN g % 100 = 0 THEN 'open' ELSE 'done' END, g, repeat('x', 80)
      FROM generate_series(1, {ROWS}) g;
    CREATE TABLE customers (id int PRIMARY KEY, country int) WITH (autovacuum_enabled = off);
    INSERT INTO customers SELECT g, g % 50 FROM generate_series(0, 499) g;
    CREATE TABLE lines (order_id int, n int) WITH (autovacuum_enabled = off);
    INSERT INTO lines SELECT g, 1 FROM generate_series(1, {ROWS}) g;
    CREATE INDEX by_time ON orders (created_at);
    CREATE INDEX by_customer_time ON orders (customer, created_at);
    CREATE INDEX of_order ON lines (order_id);
    CREATE TABLE calls AS SELECT id, status, created_at, note FROM orders;
    CREATE INDEX by_time_status ON calls (created_at, status);
    CREATE TABLE parts (id int, at int, kind int) PARTITION BY RANGE (at);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10000);
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10000) TO (30000);
    INSERT INTO parts SELECT g, g, g % 900 FROM generate_series(1, {ROWS}) g;
    CREATE INDEX by_at ON parts (at);
    ANALYZE;
"""


@pytest.fixture(scope="module")
def world(pg: Server) -> Iterator[World]:
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        made = World(fresh)
        yield made
        made.conn.close()


def plan(world: World, query: str, probe: Probe = GENERIC) -> Node:
    subject = world.subject(query)
    with Session(world.conn, world.server) as session:
        [found] = session.explain([(subject, probe)])
    assert found is not None
    assert found.root is not None
    return found.root


def whole(node: Node) -> float:
    """The cost of the scan that is the deepest, read to its end."""
    return [item for item in node.walk() if item.relation is not None][-1].total_cost


BY_TIME = "SELECT * FROM orders WHERE status = 'open' ORDER BY created_at LIMIT 10"
# Each: an index has the order, and something drops rows behind it.
HOPEFUL = [
    (BY_TIME, "Index Scan using by_time"),
    ("SELECT * FROM orders WHERE note <> 'x' AND customer = 5 ORDER BY created_at LIMIT 2", "by_customer_time"),
    ("SELECT max(created_at) FROM orders WHERE status = 'open'", "by_time"),
    ("SELECT * FROM (SELECT * FROM orders OFFSET 0) o WHERE status = 'open' LIMIT 10", "Seq Scan"),
    ("SELECT * FROM orders WHERE status = 'open' LIMIT 10", "Seq Scan"),
    (
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer AND c.country = 7"
        " ORDER BY o.created_at LIMIT 9",
        "by_time",
    ),
    ("SELECT * FROM parts WHERE kind = 7 ORDER BY at LIMIT 3", "Index Scan using parts_"),
]
# Each: the Limit takes what it says, or all is read anyway.
SURE = [
    ("SELECT * FROM orders ORDER BY created_at LIMIT 10", "by_time"),
    ("SELECT * FROM orders WHERE customer = $1 ORDER BY created_at DESC LIMIT 10", "by_customer_time"),
    (
        "SELECT * FROM orders WHERE customer = 5 AND created_at < $1 ORDER BY created_at DESC LIMIT 5",
        "by_customer_time",
    ),
    ("SELECT * FROM calls WHERE (created_at, status) > (5, 'a') ORDER BY created_at, status LIMIT 5", "by_time_status"),
    ("SELECT * FROM orders WHERE status = 'open' ORDER BY note LIMIT 10", "Sort"),
    ("SELECT max(created_at), min(created_at) FROM orders", "by_time"),
    ("SELECT o.*, l.n FROM orders o LEFT JOIN lines l ON l.order_id = o.id ORDER BY o.created_at LIMIT 3", "by_time"),
    ("SELECT o.*, l.n FROM orders o JOIN lines l ON l.order_id = o.id ORDER BY o.created_at LIMIT 3", "by_time"),
    ("SELECT created_at, count(*) FROM orders GROUP BY 1 ORDER BY 1 LIMIT 3", "by_time"),
    ("SELECT count(*) FROM orders WHERE status = 'open'", "Seq Scan"),
    ("SELECT * FROM parts ORDER BY at LIMIT 3", "parts_"),
]


@pytest.mark.parametrize(("query", "through"), HOPEFUL, ids=[query for query, _ in HOPEFUL])
def test_rows_that_are_dropped_make_a_limit_read_on(world: World, query: str, through: str) -> None:
    node = plan(world, query)
    assert through in " ".join(item.words for item in node.walk())
    assert honest_cost(node) > 3 * node.total_cost


@pytest.mark.parametrize(("query", "through"), SURE, ids=[query for query, _ in SURE])
def test_a_limit_that_nothing_keeps_from_stopping_is_believed(world: World, query: str, through: str) -> None:
    node = plan(world, query)
    assert through in " ".join(item.words for item in node.walk())
    assert honest_cost(node) == pytest.approx(node.total_cost)


def relations(world: World, *names: str) -> dict[Name, Relation]:
    return {name: table.relation for name, table in world.tables(*names).items()}


def test_as_much_is_read_as_has_to_be_dropped(world: World) -> None:
    node = plan(world, BY_TIME)
    everything = whole(node)
    assert honest_cost(node) == pytest.approx(everything, rel=0.01)  # nobody has said how many rows pass
    known = relations(world, "orders")
    # One in a hundred is open: the others come first.
    assert honest_cost(node, known) == pytest.approx(everything * 0.99 + node.total_cost * 0.01, rel=0.01)
    # Nearly all pass, so it makes little difference in which order.
    most = plan(world, "SELECT * FROM orders WHERE status <> 'open' ORDER BY created_at LIMIT 10")
    assert honest_cost(most, known) < 0.02 * whole(most)
    # What an index finds is all that can be read.
    few = plan(world, "SELECT * FROM orders WHERE status = 'open' AND customer = 100 ORDER BY created_at LIMIT 10")
    assert honest_cost(few, known) <= whole(few) + 0.1 < 0.3 * everything


def test_of_what_the_index_finds_only_the_filter_drops(world: World) -> None:
    known = relations(world, "orders")
    # One customer in 500, most of whose orders pass: the share of the whole table says nothing.
    node = plan(world, "SELECT * FROM orders WHERE customer = $1 AND status <> 'open' ORDER BY created_at LIMIT 2")
    assert "by_customer_time" in " ".join(item.words for item in node.walk())
    assert honest_cost(node, known) < node.total_cost + 0.1 * whole(node)
    # Few of them pass: all may have to be read.
    few = plan(world, "SELECT * FROM orders WHERE customer = 100 AND status = 'open' ORDER BY created_at LIMIT 1")
    assert honest_cost(few, known) > 0.5 * whole(few)
    # Of a partial index, what its predicate says is no filter.
    partly = plan(world, "SELECT * FROM orders WHERE note <> 'x' AND customer = $1 ORDER BY created_at LIMIT 2")
    made = {"by_customer_time": candidate("orders", "customer", "created_at", where="status = 'open'")}
    assert honest_cost(partly, known, made) <= honest_cost(partly, {}, made)


def test_a_key_behind_the_order_drops_rows_within_the_index(world: World) -> None:
    query = "SELECT created_at FROM calls WHERE status = 'open' ORDER BY created_at LIMIT 10"
    node = plan(world, query)
    assert "Index Cond" in next(item for item in node.walk() if item.index_name).raw
    assert honest_cost(node) == node.total_cost  # nobody has said which keys the index has
    assert honest_cost(node, relations(world, "calls")) > 0.9 * whole(node)
    made = {"by_time_status": candidate("calls", "created_at", "status")}
    assert honest_cost(node, {}, made) > 0.9 * whole(node)
    made = {"by_time_status": candidate("calls", "status", "created_at")}
    assert honest_cost(node, {}, made) == node.total_cost


def test_what_is_run_again_and_again_is_counted_as_often(world: World) -> None:
    query = (
        "SELECT * FROM customers c, LATERAL (SELECT * FROM orders o WHERE o.customer = c.id AND o.note <> 'x'"
        " ORDER BY o.created_at LIMIT 1) newest"
    )
    node = plan(world, query)
    assert {item.node_type for item in node.walk()} >= {"Nested Loop", "Limit"}
    limit = next(item for item in node.walk() if item.node_type == "Limit")
    extra = honest_cost(limit) - limit.total_cost
    assert honest_cost(node) - node.total_cost == pytest.approx(500 * extra)
    below = plan(world, query + " LIMIT 5")
    assert honest_cost(below) - below.total_cost == pytest.approx(5 * extra, rel=0.05)


def test_values_can_make_the_difference(world: World) -> None:
    query = "SELECT * FROM orders WHERE status = $1 ORDER BY created_at LIMIT 10"
    known = relations(world, "orders")
    rare, common = (plan(world, query, values(text)) for text in ("'open'", "'done'"))
    assert honest_cost(rare, known) > 20 * honest_cost(common, known)


@pytest.mark.parametrize(
    ("condition", "keys", "expected"),
    [
        ("(a = $1)", ("a", "b"), True),
        ("((a = $1) AND (b > $2))", ("a", "b"), True),
        ("(b = $1)", ("a", "b"), False),
        ("((a > $1) AND (b = $2))", ("a", "b"), False),
        ("((a = $1) AND (c = $2))", ("a", "b", "c"), False),
        ("((a = ANY ($1)) AND (b IS NULL) AND (c < 5) AND (c > 1))", ("a", "b", "c"), True),
        ("((a IS NOT NULL) AND (b = $2))", ("a", "b"), False),
        ("(ROW(a, b) < ROW($1, $2))", ("a", "b"), True),
        ("((c = 1) AND (ROW(a, b) < ROW($1, $2)))", ("c", "a", "b"), True),
        ("((c = 1) AND (ROW(a, b) < ROW($1, $2)))", ("a", "b", "c"), False),
        ("((lower((a)::text) = $1) AND (b = $2))", ("lower(a::text)", "b"), True),
        ("((b = $2) AND (lower((a)::text) > $1))", ("lower((a)::text)", "b"), False),
        ("((a)::text = $1)", ("a", "b"), True),
        ("(something(a) = 1)", ("a", "b"), True),
    ],
)
def test_a_condition_bounds_a_scan_as_long_as_it_is_about_the_first_keys(
    condition: str, keys: tuple[str, ...], expected: bool
) -> None:
    assert is_bounding(condition, keys) is expected
