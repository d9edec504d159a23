"""Findings that are not about scans alone, on plans that a real server makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dbopt.workload.model import Counters

from .real_plans import Shop, keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

# 60,000 orders of 5,000 customers: 15,000 of a status, 12 of a customer; in no order but that of their ids.
_TABLES = """
    CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL, region text, city text);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, created_at timestamptz,
                         total numeric NOT NULL, note text, deleted_at timestamptz, "isPaid" boolean NOT NULL,
                         shard int NOT NULL);
    CREATE INDEX orders_created_at ON orders (created_at);
    CREATE TABLE items (id int PRIMARY KEY, order_id int NOT NULL, sku text, price numeric);
    CREATE TABLE events (id int, at date, kind text) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    ALTER TABLE customers SET (autovacuum_enabled = off);
    ALTER TABLE orders SET (autovacuum_enabled = off);
    ALTER TABLE items SET (autovacuum_enabled = off);
    ALTER TABLE events_1 SET (autovacuum_enabled = off);
    ALTER TABLE events_2 SET (autovacuum_enabled = off);
    INSERT INTO customers SELECT i, 'u' || i || '@example.com', 'r' || i % 50, 'c' || i % 50
                            FROM generate_series(1, 5000) AS i;
    INSERT INTO orders SELECT i, i * 7919 % 5000 + 1, (ARRAY['new', 'paid', 'sent', 'done'])[1 + i % 4],
                              '2026-01-01'::timestamptz + i * 7919 % 60000 * interval '1 min', i * 31 % 1000,
                              repeat('x', 60), CASE WHEN i % 10 = 0 THEN now() END, i % 2 = 0, i % 25
                         FROM generate_series(1, 60000) AS i;
    INSERT INTO items SELECT i, i % 60000 + 1, 's' || i % 500, i % 77 FROM generate_series(1, 80000) AS i;
    INSERT INTO events SELECT i, '2026-01-01'::date + i % 59, 'k' || i % 5 FROM generate_series(1, 30000) AS i;
    CREATE TABLE wide (id int PRIMARY KEY, filler char(1000)) WITH (autovacuum_enabled = off);
    INSERT INTO wide SELECT i, 'x' FROM generate_series(1, 12000) AS i;
    VACUUM ANALYZE wide; VACUUM ANALYZE customers; VACUUM ANALYZE orders; VACUUM ANALYZE items; ANALYZE events;
"""
SPILLING = {"work_mem": "256kB"}


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Shop]:
    with pg.database() as database:
        for statement in _TABLES.split(";\n"):
            for part in statement.split("; "):
                database.sql(part)
        found = Shop(database)
        yield found
        found.close()


JOBS = """
    SELECT * FROM orders WHERE status = $1 AND deleted_at IS NULL
     ORDER BY total DESC NULLS LAST, id LIMIT $2 FOR UPDATE SKIP LOCKED
"""


@pytest.mark.parametrize(
    ("query", "expected", "where"),
    [
        ("SELECT * FROM orders ORDER BY total LIMIT 10", ["total"], None),
        ("SELECT * FROM orders AS o ORDER BY o.total DESC, o.id DESC LIMIT $1", ["total", "id"], None),
        (
            "SELECT * FROM orders WHERE status = $1 ORDER BY total DESC, id LIMIT 10",
            ["status", {"column": "total", "order": "desc"}, "id"],
            None,
        ),
        ('SELECT * FROM orders WHERE "isPaid" ORDER BY total LIMIT 10', ["isPaid", "total"], None),
        (JOBS, ["status", {"column": "total", "order": "desc", "nulls": "last"}, "id"], "deleted_at IS NULL"),
        ("SELECT * FROM events WHERE kind = $1 ORDER BY id LIMIT 5", ["kind", "id"], None),
    ],
)
def test_the_index_that_spares_a_sort(shop: Shop, query: str, expected: list[Any], where: str | None) -> None:
    [advice] = shop.look("avoidable-sort", query)
    assert keys(advice) == expected
    assert advice.spec is not None
    assert advice.spec.get("where") == where
    assert advice.spec["table"]["name"] == ("events" if "events" in query else "orders")
    assert "sorts " in advice.message
    assert {"Sort", "Seq Scan"} <= {node.node_type for node in shop.scene(query).nodes if node.number in advice.nodes}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM orders WHERE customer_id = $1 ORDER BY total LIMIT 10",  # twelve rows
        "SELECT * FROM orders WHERE note LIKE $1 ORDER BY total LIMIT 10",  # how many would be read until ten fit?
        "SELECT * FROM orders WHERE status = ANY ($1) ORDER BY total LIMIT 10",
        "SELECT * FROM orders ORDER BY created_at DESC LIMIT 10",  # has an index
        "SELECT * FROM orders ORDER BY lower(note) LIMIT 10",
        "SELECT * FROM orders ORDER BY total LIMIT 30000",  # half of them
        "SELECT * FROM orders ORDER BY total",
        "SELECT o.* FROM orders AS o JOIN customers AS c ON c.id = o.customer_id ORDER BY c.email LIMIT 10",
        "SELECT * FROM customers ORDER BY email LIMIT 10",  # a small table
    ],
)
def test_sorts_that_nobody_needs_to_hear_of(shop: Shop, query: str) -> None:
    assert shop.look("avoidable-sort", query) == []


def test_whoever_fetches_most_of_the_rows_has_them_sorted(shop: Shop) -> None:
    query = "SELECT * FROM orders ORDER BY total LIMIT $1"
    assert shop.look("avoidable-sort", query, counters=Counters(calls=10, rows=10 * 100))
    assert not shop.look("avoidable-sort", query, counters=Counters(calls=10, rows=10 * 20_000))


@pytest.mark.parametrize("query", [JOBS, "SELECT * FROM orders WHERE status = $1 ORDER BY total DESC, id LIMIT 10"])
def test_with_that_index_the_planner_does_not_sort(pg: Server, shop: Shop, query: str) -> None:
    [advice] = shop.look("avoidable-sort", query)
    parts = [key if isinstance(key, dict) else {"column": key} for key in keys(advice)]
    columns = ", ".join(
        f"{key['column']} {key.get('order', '')} {'NULLS ' + key['nulls'] if 'nulls' in key else ''}" for key in parts
    )
    assert advice.spec is not None
    where = f"WHERE {advice.spec['where']}" if "where" in advice.spec else ""
    try:
        shop.database.sql(f"CREATE INDEX made ON orders ({columns}) {where}")
        limited = query.replace("LIMIT $2", "LIMIT 10")
        assert not any("Sort" in node for node in shop.nodes(limited))
        assert shop.look("avoidable-sort", limited) == []
    finally:
        shop.database.sql("DROP INDEX IF EXISTS made")


def test_nulls_elsewhere_are_another_order(shop: Shop) -> None:
    [advice] = shop.look("avoidable-sort", "SELECT * FROM orders ORDER BY created_at DESC NULLS LAST LIMIT 10")
    assert keys(advice) == [{"column": "created_at", "order": "desc", "nulls": "last"}]
    assert advice.spec is not None
    assert advice.spec["name"] not in {"orders_created_at", "orders_pkey"}


def test_a_sort_that_spills(shop: Shop) -> None:
    query = "SELECT * FROM orders ORDER BY note, total"
    [estimated] = shop.look("sort-spills", query, settings=SPILLING, users=("web app",))
    [run] = shop.look("sort-spills", query, settings=SPILLING, analyze=True)
    assert "sort of 60,000 rows of orders takes about" in estimated.message
    assert "work_mem is 256kB" in estimated.message
    assert "sort of 60,000 rows of orders went to disk" in run.message
    assert estimated.hint is not None
    assert "SET LOCAL work_mem = '32MB';" in estimated.hint
    assert """ALTER ROLE "web app" SET work_mem = '32MB';""" in estimated.hint
    assert run.hint is not None
    assert "ALTER ROLE" not in run.hint  # nobody knows whose statement it is
    assert estimated.spec is None  # all rows are wanted: an index would read them one by one
    # And the hint is enough.
    assert shop.look("sort-spills", query, settings={"work_mem": "32MB"}, analyze=True) == []
    assert shop.look("sort-spills", query, settings={"work_mem": "32MB"}) == []


def test_an_estimated_spill_that_nothing_bears_out(shop: Shop) -> None:
    query = "SELECT * FROM orders ORDER BY note, total"
    assert not shop.look("sort-spills", query, settings=SPILLING, counters=Counters(calls=3, temp_blks_written=0))
    assert shop.look("sort-spills", query, settings=SPILLING, counters=Counters(calls=3, temp_blks_written=900))
    assert shop.look("sort-spills", query, settings=SPILLING, counters=Counters(calls=3))  # not counted
    assert not shop.look("sort-spills", f"{query} LIMIT $1", settings=SPILLING)  # keeps the first ones only


def test_a_hash_and_a_grouping_that_spill(shop: Shop) -> None:
    join = "SELECT o.*, i.price FROM orders AS o JOIN items AS i ON i.order_id = o.id"
    hashed = {**SPILLING, "enable_mergejoin": "off", "enable_nestloop": "off"}
    [estimated] = shop.look("sort-spills", join, settings=hashed)
    [run] = shop.look("sort-spills", join, settings=hashed, analyze=True)
    assert "hash table of " in estimated.message
    assert "hash table of " in run.message
    assert "went to disk" in run.message
    assert shop.look("sort-spills", join, settings={**hashed, "work_mem": "64MB"}, analyze=True) == []
    group = "SELECT order_id, sku, count(*) FROM items GROUP BY order_id, sku"
    grouped = {"work_mem": "128kB", "enable_sort": "off"}
    [estimated] = shop.look("sort-spills", group, settings=grouped)
    [run] = shop.look("sort-spills", group, settings=grouped, analyze=True)
    assert " groups of items is planned in " in estimated.message
    assert "grouping of 60,000 groups of items went to disk" in run.message
    assert shop.look("sort-spills", group, settings={**grouped, "work_mem": "64MB"}) == []


def test_a_spill_of_few_of_the_rows_has_an_index_besides(shop: Shop) -> None:
    query = "SELECT * FROM orders WHERE shard = 7 ORDER BY total"  # one in 25
    [advice] = shop.look("sort-spills", query, settings={"work_mem": "64kB"}, analyze=True)
    assert keys(advice) == ["shard", "total"]
    assert advice.hint is not None
    assert advice.hint.startswith("An index on orders (shard, total) has them in this order. Or SET LOCAL work_mem")
    [advice] = shop.look("sort-spills", query.replace("shard = 7", "id > 7"), settings=SPILLING, analyze=True)
    assert advice.spec is None


@pytest.mark.parametrize(
    ("query", "settings", "said", "expected"),
    [
        (
            "SELECT c.id, (SELECT count(*) FROM items AS i WHERE i.order_id = c.id) FROM customers AS c",
            {},
            "reads all of items i, 80,000 rows, about 5,000 times",
            ["order_id"],
        ),
        (
            "SELECT c.id, x.id FROM customers AS c, LATERAL (SELECT i.id FROM items AS i WHERE i.order_id = c.id"
            " ORDER BY i.price LIMIT 1) AS x",
            {},
            "reads all of items i, 80,000 rows, about 5,000 times",
            ["order_id"],
        ),
        (
            "SELECT count(*) FROM orders AS a JOIN customers AS b ON a.customer_id = b.id OR a.note = b.email",
            {},
            "compares each of 60,000 rows of a with 5,000 rows of b",
            None,
        ),
        (
            "SELECT count(*) FROM orders AS a, customers AS b",
            {},
            "joins every row of a with every row of b: 60,000 times 5,000",
            None,
        ),
        (
            "SELECT * FROM orders WHERE id NOT IN (SELECT order_id FROM items)",
            {"work_mem": "64kB"},
            "goes through the 80,000 rows of a subquery on items",
            None,
        ),
    ],
)
def test_rows_that_are_read_again_and_again(
    shop: Shop, query: str, settings: dict[str, str], said: str, expected: list[str] | None
) -> None:
    [advice] = shop.look("nested-loop-over-many-rows", query, settings=settings)
    assert advice.message.startswith(said)
    assert (None if advice.spec is None else keys(advice)) == expected
    assert advice.hint is not None
    # A call that takes a millisecond does not do that.
    quick = Counters(calls=1000, total_exec_time_ms=1000)
    assert shop.look("nested-loop-over-many-rows", query, settings=settings, counters=quick) == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM orders AS o JOIN customers AS c ON c.id = o.customer_id WHERE o.id = $1",
        "SELECT * FROM orders AS o JOIN customers AS c ON c.id = o.customer_id",
        "SELECT * FROM orders AS a JOIN customers AS b ON a.total < b.id LIMIT 10",  # stops early
        "SELECT count(*) FROM orders AS a, (SELECT max(id) AS m FROM customers) AS b WHERE a.id < b.m",
        "SELECT o.id, (SELECT c.email FROM customers AS c WHERE c.id = o.customer_id) FROM orders AS o",
        "SELECT * FROM orders WHERE id NOT IN (SELECT order_id FROM items)",  # fits into a hash table
        "SELECT c.id FROM customers AS c WHERE EXISTS (SELECT FROM items AS i WHERE i.order_id = c.id)",
    ],
)
def test_loops_that_are_right(shop: Shop, query: str) -> None:
    assert shop.look("nested-loop-over-many-rows", query, settings={"work_mem": "16MB"}) == []


def test_a_join_is_named_without_its_values(shop: Shop) -> None:
    query = "SELECT count(*) FROM orders AS a JOIN customers AS b ON a.note = b.email OR b.city = 'hush' OR a.id < b.id"
    [advice] = shop.look("nested-loop-over-many-rows", query)
    assert "hush" not in f"{advice.message} {advice.why} {advice.hint}"


def test_columns_that_depend_on_each_other(shop: Shop) -> None:
    query = "SELECT count(*) FROM customers WHERE region = 'r7' AND city = 'c7'"
    [advice] = shop.look("row-estimate-off", query, analyze=True)
    assert advice.message == "Seq Scan on customers: 2 rows expected, 100 rows found (50 times as many)"
    assert advice.hint is not None
    try:
        # As it is said: the statement between the texts is one that can be typed.
        create = advice.hint[advice.hint.index("CREATE STATISTICS") :].split(";")[0]
        shop.database.sql(create)
        shop.database.sql("ANALYZE customers")
        assert shop.look("row-estimate-off", query, analyze=True) == []
    finally:
        shop.database.sql("DROP STATISTICS IF EXISTS customers_region_city_stat")
        shop.database.sql("ANALYZE customers")


def test_the_lowest_node_is_where_it_begins(shop: Shop) -> None:
    query = (
        "SELECT * FROM customers AS c JOIN orders AS o ON o.customer_id = c.id WHERE c.region = 'r7' AND c.city = 'c7'"
    )
    [advice] = shop.look("row-estimate-off", query, analyze=True)
    assert advice.message.startswith("Seq Scan on customers c: ")
    assert len(advice.nodes) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM orders WHERE status = 'new'",
        "SELECT * FROM orders WHERE customer_id = 7",  # twelve, whatever was expected
        "SELECT * FROM orders ORDER BY id LIMIT 5",  # stops early
        "SELECT 1 WHERE EXISTS (SELECT FROM orders WHERE status = 'new')",
        "SELECT * FROM orders AS o JOIN items AS i ON i.order_id = o.id WHERE o.id < 1000",
    ],
)
def test_estimates_that_are_right_or_were_not_put_to_the_test(shop: Shop, query: str) -> None:
    assert shop.look("row-estimate-off", query, analyze=True) == []


def test_more_rows_a_call_than_the_plan_for_any_values_expects(shop: Shop) -> None:
    many = Counters(calls=10, rows=10 * 5_000)
    query = "SELECT * FROM orders WHERE customer_id = $1"  # expects twelve
    [advice] = shop.look("row-estimate-off", query, counters=many)
    assert "a call gives 5,000 rows on average" in advice.message
    [advice] = shop.look("row-estimate-off", "DELETE FROM orders WHERE customer_id = $1", counters=many)
    assert "a call changes 5,000 rows on average" in advice.message
    assert advice.hint is not None
    assert advice.hint.startswith('ANALYZE "public"."orders";')
    for other in (
        "SELECT * FROM orders WHERE customer_id = ANY ($1)",  # what the planner has to assume
        "SELECT * FROM orders WHERE note LIKE $1 AND customer_id = $2",
        "SELECT * FROM orders WHERE created_at BETWEEN $1 AND $2 AND customer_id = $3",
        "SELECT * FROM orders WHERE customer_id = $1 LIMIT $2",
        "SELECT * FROM generate_series(1, $1)",
        "SELECT * FROM orders WHERE status = $1",  # 15,000 expected
    ):
        assert shop.look("row-estimate-off", other, counters=many) == []
    # Fewer than expected may be a cursor's doing.
    few = Counters(calls=10, rows=10)
    assert shop.look("row-estimate-off", "SELECT * FROM orders WHERE status = $1", counters=few) == []
    assert shop.look("row-estimate-off", query, counters=Counters(calls=10)) == []


PAGE = "SELECT id, total FROM orders ORDER BY total DESC, id LIMIT $1 OFFSET $2"


def test_paging_with_offset(shop: Shop) -> None:
    deep = Counters(calls=10, rows=200, shared_blks_hit=9_000, shared_blks_read=0)
    [advice] = shop.look("offset-paging", PAGE, counters=deep)
    assert (
        "reads and sorts, for each page with OFFSET, up to 60,000 rows: a call reads 900 blocks to give back 20 rows"
        in advice.message
    )
    assert advice.hint is not None
    assert "WHERE (total < $3 OR (total = $3 AND id > $4)) ORDER BY total DESC, id LIMIT" in advice.hint
    [advice] = shop.look(
        "offset-paging", "SELECT * FROM orders AS o WHERE o.id > $3 ORDER BY o.created_at DESC LIMIT $1 OFFSET $2"
    )
    assert advice.message == "pages with OFFSET through up to 20,000 rows"
    assert advice.hint is not None
    assert "AND (o.created_at, o.id) < ($4, $5) ORDER BY o.created_at DESC, o.id DESC LIMIT" in advice.hint


def test_the_hint_of_paging_is_a_statement_with_the_same_rows(shop: Shop) -> None:
    [advice] = shop.look("offset-paging", PAGE)
    assert advice.hint is not None
    clause = advice.hint[advice.hint.index("WHERE") : advice.hint.index(" LIMIT")]
    rows = shop.database.sql(PAGE.replace("$1", "20").replace("$2", "100"))
    last = shop.database.sql(PAGE.replace("$1", "1").replace("$2", "99"))[0]
    text = f"SELECT id, total FROM orders {clause} LIMIT 20".replace("$3", str(last[1])).replace("$4", str(last[0]))
    assert shop.database.sql(text) == rows


@pytest.mark.parametrize(
    ("query", "counters"),
    [
        (PAGE, Counters(calls=10, rows=200, shared_blks_hit=250, shared_blks_read=0)),  # the first page
        (PAGE, Counters(calls=10, rows=10_000, shared_blks_hit=2_000, shared_blks_read=0)),  # large pages
        ("SELECT * FROM orders WHERE customer_id = $1 ORDER BY id LIMIT $2 OFFSET $3", Counters()),  # of twelve
        ("SELECT * FROM orders ORDER BY total LIMIT $1", Counters()),
        ("SELECT * FROM orders ORDER BY total LIMIT $1 OFFSET 0", Counters()),
    ],
)
def test_paging_that_costs_nothing(shop: Shop, query: str, counters: Counters) -> None:
    assert shop.look("offset-paging", query, counters=counters) == []


def test_a_bitmap_that_is_too_large(shop: Shop) -> None:
    query = "SELECT count(filler) FROM wide WHERE id > 100"  # 1,700 pages; 64 kB are room for 1,024
    bitmap = {"enable_seqscan": "off", "enable_indexscan": "off", "work_mem": "64kB"}
    [advice] = shop.look("lossy-bitmap", query, settings=bitmap, analyze=True)
    assert advice.message.startswith("Bitmap Heap Scan on wide: ")
    assert "pages were kept as a whole" in advice.message
    assert advice.hint is not None
    assert "SET LOCAL work_mem = '1MB';" in advice.hint
    assert shop.look("lossy-bitmap", query, settings={**bitmap, "work_mem": "1MB"}, analyze=True) == []
    assert shop.look("lossy-bitmap", query, settings=bitmap) == []  # estimates do not tell
