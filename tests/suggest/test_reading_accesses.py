"""What statements ask of tables: from real plans, on every major the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from psycopg.conninfo import make_conninfo

from dbopt.suggest.model import Item
from dbopt.suggest.reading.accesses import accesses
from dbopt.suggest.reading.prepare import Prepared
from dbopt.workload.model import Planned
from dbopt.workload.plan import root

from .readings import Reader, reading
from .worlds import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server import Database, Server

SCHEMA = """
    CREATE TABLE customers (id int PRIMARY KEY, email text, code varchar(10), region int, created_at timestamptz);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text, total int,
                         created_at timestamptz, note text);
    CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders, product int, qty int);
    CREATE TABLE codes (code text PRIMARY KEY, label text);
    CREATE TABLE pairs (a int, b int, note text, UNIQUE (a, b));
    CREATE TABLE docs (id int PRIMARY KEY, tenant int, body jsonb, tags text[], title text, parent int, flag boolean);
    CREATE INDEX ON orders (created_at);
    CREATE INDEX ON orders (customer_id) WHERE status = 'open';
    INSERT INTO customers SELECT g, 'e' || g, 'c' || g, g % 10, now() FROM generate_series(1, 500) AS g;
    INSERT INTO orders SELECT g, 1 + g % 500, 's' || g % 5, g, now() - g * interval '1 min', 'n'
      FROM generate_series(1, 2000) AS g;
    INSERT INTO lines SELECT g, CASE WHEN g % 3 = 0 THEN 1 + g % 2000 END, g % 100, 1 FROM generate_series(1, 3000) g;
    INSERT INTO codes SELECT 'c' || g, 'l' FROM generate_series(1, 300) AS g;
    INSERT INTO pairs SELECT g % 100, g, 'x' FROM generate_series(1, 800) AS g;
    INSERT INTO docs SELECT g, g % 20, '{}', ARRAY['t' || g % 9], 't' || g, g / 2, g % 50 = 0
      FROM generate_series(1, 500) AS g;

    CREATE TABLE ev (id int, kind int, at date, u int) PARTITION BY RANGE (at);
    CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE ev2 PARTITION OF ev FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (kind);
    CREATE TABLE ev21 PARTITION OF ev2 DEFAULT;
    INSERT INTO ev SELECT g, g % 7, date '2026-01-01' + g % 59, g % 100 FROM generate_series(1, 2000) AS g;
    CREATE TABLE base_log (id int, msg text); CREATE TABLE child_log (extra int) INHERITS (base_log);
    INSERT INTO base_log SELECT g, 'm' FROM generate_series(1, 300) AS g;
    INSERT INTO child_log SELECT g, 'm' FROM generate_series(1, 300) AS g;

    CREATE SCHEMA app; CREATE TABLE app.orders (id int PRIMARY KEY, only_app text);
    CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."Ta ble" ("I d" int, "select" text, "from" int, orders int);
    CREATE VIEW v_orders AS SELECT o.id, o.created_at AS at, c.email AS who
      FROM orders AS o JOIN customers AS c ON c.id = o.customer_id WHERE o.status <> 'gone';
    CREATE VIEW v_safe WITH (security_barrier) AS SELECT * FROM orders WHERE status = 's2';
    CREATE FUNCTION open_orders(int) RETURNS SETOF orders LANGUAGE sql STABLE
      AS 'SELECT * FROM orders WHERE customer_id = $1 AND status = ''s3''';
    ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON docs USING (tenant = pg_catalog.current_setting('app.tenant', true)::int);
    ANALYZE;
"""

CASES: list[tuple[str, str, list[str]]] = [
    (
        "an index gives the order, so that no Sort is in the plan; LIMIT is a parameter",
        "SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT $2",
        ["orders: customer_id = $1 | order created_at desc | limit -> *"],
    ),
    (
        "a partial index has taken its condition out of the plan",
        "SELECT id FROM orders WHERE status = 'open' AND customer_id = $1",
        ["orders: customer_id = $1, status = 'open'::text -> customer_id, id, status"],
    ),
    (
        "an OFFSET, and NULLS LAST",
        "SELECT id FROM orders ORDER BY total DESC NULLS LAST, id LIMIT 10 OFFSET $1",
        ["orders: order total desc nulls last, id | limit -> id, total"],
    ),
    (
        "expressions",
        "SELECT id FROM customers WHERE lower(email) = $1 ORDER BY lower(code), id DESC LIMIT 5",
        ["customers: lower(email) = $1 | order lower(code::text), id desc | limit -> code, email, id"],
    ),
    (
        "a collation of its own is no order of the column",
        'SELECT id FROM customers ORDER BY email COLLATE "C" LIMIT 5',
        ["customers:  -> email, id"],
    ),
    (
        "lists, ranges, patterns, a boolean, NULL, what GIN knows",
        "SELECT * FROM docs WHERE id IN (1, 2) AND tenant = ANY ($1) AND tags @> $2 AND title LIKE 'a%' AND flag"
        " AND parent IS NULL AND title >= $3",
        [
            "docs: flag = true, id = ANY '{1,2}'::int[], parent IS NULL, tags @> $2, tenant = ANY $1,"
            " title >= $3, title ~~ 'a%'::text -> *"
        ],
    ),
    (
        "casts that no index on the column knows",
        "SELECT id FROM orders WHERE created_at::date = $1 AND customer_id::text = $2",
        ["orders: created_at::date = $1 (no use), customer_id::text = $2 (no use) -> created_at, customer_id, id"],
    ),
    (
        "a page by its key",
        "SELECT id FROM orders WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT 20",
        ["orders: ROW(created_at, id) < ROW($1, $2) | order created_at desc, id desc | limit -> created_at, id"],
    ),
    (
        "an OR of one table is its own, with arms",
        "SELECT id FROM orders WHERE customer_id = $1 OR status = $2",
        ["orders: customer_id = $1 OR status = $2 (no use) -> customer_id, id, status"],
    ),
    (
        "an OR over two tables",
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status = $1 OR c.email = $2",
        [
            "customers c: join id = o.customer_id | residual -> email, id",
            "orders o: join customer_id = c.id | residual -> customer_id, id, status",
        ],
    ),
    (
        "a join that keeps every row, as of a foreign key",
        "SELECT c.email, o.total FROM orders o JOIN customers c ON c.id = o.customer_id"
        " ORDER BY o.created_at DESC LIMIT 10",
        [
            "customers c: join id = o.customer_id | residual -> email, id",
            "orders o: join customer_id = c.id | order created_at desc | limit -> created_at, customer_id, total",
        ],
    ),
    (
        "one that filters",
        "SELECT o.total FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.region = $1"
        " ORDER BY o.created_at DESC LIMIT 10",
        [
            "customers c: region = $1 | join id = o.customer_id | residual -> id, region",
            "orders o: join customer_id = c.id | order created_at desc | limit | residual"
            " -> created_at, customer_id, total",
        ],
    ),
    (
        "a foreign key that is NULL most of the time filters, too",
        "SELECT l.qty FROM lines l JOIN orders o ON o.id = l.order_id ORDER BY l.id LIMIT 10",
        [
            "lines l: join order_id = o.id | order id | limit | residual -> id, order_id, qty",
            "orders o: join id = l.order_id | residual -> id",
        ],
    ),
    (
        "both columns of a key keep every row, one of them does not",
        "SELECT l.id FROM lines l JOIN pairs p ON p.a = l.product AND p.b = l.qty JOIN pairs q ON q.a = l.product"
        " ORDER BY l.id LIMIT 3",
        [
            "lines l: join product = p.a, product = q.a, qty = p.b | order id | limit | residual -> id, product, qty",
            "pairs p: join a = l.product, a = q.a, b = l.qty | residual -> a, b",
            "pairs q: join a = l.product, a = p.a | residual -> a",
        ],
    ),
    (
        "three columns that are equal: each table may be looked up by either of the others",
        "SELECT count(*) FROM pairs p JOIN lines l ON l.product = p.a JOIN customers c ON c.region = l.product",
        [
            "customers c: join region = l.product, region = p.a | residual -> region",
            "lines l: join product = c.region, product = p.a | residual -> product",
            "pairs p: join a = c.region, a = l.product | residual -> a",
        ],
    ),
    (
        "the order of an equal column of another table",
        "SELECT o.id FROM lines l JOIN orders o ON o.id = l.order_id ORDER BY l.order_id LIMIT 3",
        [
            "lines l: join order_id = o.id | order order_id | limit | residual -> order_id",
            "orders o: join id = l.order_id | order id | limit | residual -> id",
        ],
    ),
    (
        "an outer join: only what may be missing is looked up; what is kept has its order",
        "SELECT c.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.status = $1"
        " ORDER BY c.created_at LIMIT 10",
        [
            "customers c: order created_at | limit -> created_at, id",
            "orders o: status = $1 | join customer_id = c.id | residual -> customer_id, status",
        ],
    ),
    (
        "an order of what may be missing no index gives",
        "SELECT o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id ORDER BY o.created_at LIMIT 10",
        ["customers c:  -> id", "orders o: join customer_id = c.id | residual -> created_at, customer_id, id"],
    ),
    (
        "a full join looks nothing up",
        "SELECT c.id, o.id FROM customers c FULL JOIN orders o ON o.customer_id = c.id",
        ["customers c: residual -> id", "orders o: residual -> customer_id, id"],
    ),
    (
        "EXISTS, from either side",
        "SELECT o.id FROM orders o WHERE EXISTS (SELECT FROM lines l WHERE l.order_id = o.id AND l.product = $1)"
        " ORDER BY o.created_at DESC LIMIT 5",
        [
            "lines l: product = $1 | join order_id = o.id | residual -> order_id, product",
            "orders o: join id = l.order_id | order created_at desc | limit | residual -> created_at, id",
        ],
    ),
    (
        "NOT EXISTS, from one",
        "SELECT c.id FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id)",
        ["customers c: residual -> id", "orders o: join customer_id = c.id | residual -> customer_id"],
    ),
    (
        "a subquery for each row",
        "SELECT c.email, (SELECT max(o.created_at) FROM orders o WHERE o.customer_id = c.id AND o.status = $1)"
        " FROM customers c WHERE c.region = $2",
        [
            "customers c: region = $2 -> email, id, region",
            "orders o: status = $1 | join customer_id = c.id | extreme created_at -> created_at, customer_id, status",
        ],
    ),
    (
        "a subquery for each row that filters, and one for all rows",
        "SELECT o.id FROM orders o WHERE o.customer_id = (SELECT c.id FROM customers c WHERE c.email = 'x')"
        " AND total > (SELECT avg(p.total) FROM orders p WHERE p.customer_id = o.customer_id)",
        [
            "customers c: email = 'x'::text -> email, id",
            "orders o: customer_id = $0 | residual -> customer_id, id, total",
            "orders p: join customer_id = o.customer_id -> customer_id, total",
        ],
    ),
    (
        "the last one of each",
        "SELECT c.id, l.total FROM customers c CROSS JOIN LATERAL"
        " (SELECT o.total FROM orders o WHERE o.customer_id = c.id ORDER BY o.created_at DESC LIMIT 1) l",
        [
            "customers c: residual -> id",
            "orders o: join customer_id = c.id | order created_at desc | limit -> created_at, customer_id, total",
        ],
    ),
    (
        "a limit inside is not one outside",
        "SELECT c.email FROM customers c JOIN (SELECT customer_id FROM orders ORDER BY total LIMIT 10) o"
        " ON o.customer_id = c.id",
        [
            "customers c: join id = o.customer_id | residual -> email, id",
            "orders: order total | limit -> customer_id, total",
        ],
    ),
    (
        "DISTINCT ON",
        "SELECT DISTINCT ON (customer_id) customer_id, created_at FROM orders ORDER BY customer_id, created_at DESC",
        ["orders: order customer_id, created_at desc -> created_at, customer_id"],
    ),
    ("DISTINCT", "SELECT DISTINCT customer_id FROM orders", ["orders: group customer_id -> customer_id"]),
    (
        "groups",
        "SELECT o.status, count(*) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY o.status",
        [
            "customers c: join id = o.customer_id | residual -> id",
            "orders o: join customer_id = c.id | group status -> customer_id, status",
        ],
    ),
    (
        "groups of several tables, and of an expression, are none",
        "SELECT o.status, c.region FROM orders o JOIN customers c ON c.id = o.customer_id"
        " GROUP BY o.status, c.region, lower(c.email)",
        [
            "customers c: join id = o.customer_id | residual -> email, id, region",
            "orders o: join customer_id = c.id -> customer_id, status",
        ],
    ),
    (
        "a window's order",
        "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY created_at DESC) AS n"
        " FROM orders) x WHERE n <= 3",
        ["orders: order customer_id, created_at desc -> created_at, customer_id, id"],
    ),
    (
        "all rows are counted, so that nothing stops early",
        "SELECT id, count(*) OVER () FROM orders WHERE status = $1 ORDER BY created_at LIMIT 20",
        ["orders: status = $1 | order created_at -> created_at, id, status"],
    ),
    (
        "sorted once more than the window is",
        "SELECT id, rank() OVER (ORDER BY total) FROM orders ORDER BY created_at LIMIT 20",
        ["orders: order total -> created_at, id, total"],
    ),
    (
        "the least and the greatest",
        "SELECT min(created_at), max(created_at) FROM orders WHERE customer_id = $1",
        ["orders: customer_id = $1 | extreme created_at -> created_at, customer_id"],
    ),
    ("not so beside a sum", "SELECT max(id), sum(total) FROM orders", ["orders:  -> id, total"]),
    ("any rows", "SELECT id FROM orders LIMIT 10", ["orders: limit -> id"]),
    ("a whole row", "SELECT o FROM orders o WHERE o.id = $1", ["orders o: id = $1 -> *"]),
    ("nothing but how many", "SELECT count(*) FROM orders", ["orders:  -> nothing"]),
    (
        "a list of values is a join",
        "SELECT o.total FROM orders o JOIN unnest($1::int[]) AS u(id) ON u.id = o.id",
        ["orders o: join id = u.id | residual -> id, total"],
    ),
    (
        "strings of two types",
        "SELECT d.label FROM customers c JOIN codes d ON d.code = c.code WHERE c.region = $1",
        [
            "codes d: join code = c.code::text | residual -> *",
            "customers c: region = $1 | join code::text = d.code -> code, region",
        ],
    ),
    (
        "the same table twice, aliases that are others' names",
        "SELECT orders.id FROM customers orders JOIN orders customers ON customers.customer_id = orders.id"
        " JOIN orders p ON p.customer_id = customers.customer_id AND p.id <> customers.id WHERE orders.email = $1",
        [
            "customers orders: email = $1 | join id = customers.customer_id, id = p.customer_id | residual"
            " -> email, id",
            "orders customers: join customer_id = orders.id, customer_id = p.customer_id | residual -> customer_id, id",
            "orders p: join customer_id = customers.customer_id, customer_id = orders.id | residual -> customer_id, id",
        ],
    ),
    (
        "tables of one name in two schemas",
        "SELECT p.total FROM app.orders o JOIN orders p ON p.id = o.id WHERE o.only_app = $1",
        ["app.orders o: only_app = $1 | join id = p.id -> *", "orders p: join id = o.id | residual -> id, total"],
    ),
    (
        "names that have to be quoted",
        'SELECT "select" FROM "Odd one"."Ta ble" AS "T t" WHERE "from" = $1 ORDER BY "I d" LIMIT 5',
        ['Odd one.Ta ble T t: "from" = $1 | order I d | limit -> I d, from, select'],
    ),
    (
        "a view, sorted by a column that it has renamed",
        "SELECT at FROM v_orders WHERE who = $1 ORDER BY at DESC LIMIT 10",
        [
            "customers c: email = $1 | join id = o.customer_id | residual -> email, id",
            "orders o: status <> 'gone'::text (no use) | join customer_id = c.id | order created_at desc | limit"
            " | residual -> created_at, customer_id, status",
        ],
    ),
    (
        "a view that is a barrier",
        "SELECT id FROM v_safe WHERE customer_id = $1 ORDER BY created_at LIMIT 5",
        [
            "orders: customer_id = $1, status = 's2'::text | order created_at | limit"
            " -> created_at, customer_id, id, status"
        ],
    ),
    (
        "a function that the planner sees through",
        "SELECT id FROM open_orders($1) ORDER BY created_at LIMIT 3",
        [
            "orders: customer_id = $1, status = 's3'::text | order created_at | limit"
            " -> created_at, customer_id, id, status"
        ],
    ),
    (
        "partitions are their topmost table, leaves of leaves too, whatever parts NULL is in",
        "SELECT e.u, c.email FROM ev e JOIN customers c ON c.id = e.u WHERE e.kind = $1 AND e.at >= $2"
        " ORDER BY e.at, e.id LIMIT 5",
        [
            "customers c: join id = e.u | residual -> email, id",
            "ev e: at >= $2, kind = $1 | join u = c.id | order at, id | limit -> *",
        ],
    ),
    (
        "one partition is left",
        "SELECT u FROM ev WHERE at = '2026-01-15' AND u = $1 ORDER BY kind",
        ["ev: at = '2026-01-15'::date, u = $1 | order kind -> at, kind, u"],
    ),
    ("a partition by its name", "SELECT id FROM ev1 e WHERE u = $1", ["ev e: u = $1 -> id, u"]),
    (
        "inheritance: each table for itself",
        "SELECT msg FROM base_log WHERE id = $1",
        ["base_log base_log_1: id = $1 -> *", "child_log base_log_2: id = $1 -> id, msg"],
    ),
    (
        "UNION ALL: each branch is joined and sorted",
        "SELECT u.id FROM (SELECT id, region AS k FROM customers WHERE email = $1 UNION ALL SELECT id, u FROM ev) u"
        " JOIN pairs p ON p.a = u.k ORDER BY u.id LIMIT 3",
        [
            "customers: email = $1 | join region = p.a | order id | limit | residual -> email, id, region",
            "ev: join u = p.a | order id | limit | residual -> id, u",
            "pairs p: join a = customers.region | residual -> a",
        ],
    ),
    (
        "UNION of the same table",
        "SELECT id FROM orders WHERE customer_id = $1 UNION ALL SELECT id FROM orders WHERE status = $2",
        ["orders orders_1: status = $2 -> id, status", "orders: customer_id = $1 -> customer_id, id"],
    ),
    (
        "what WITH keeps apart",
        "WITH x AS MATERIALIZED (SELECT customer_id, total FROM orders WHERE status = $1)"
        " SELECT c.email FROM x JOIN customers c ON c.id = x.customer_id WHERE x.total > 5",
        [
            "customers c: join id = x.customer_id | residual -> email, id",
            "orders: status = $1 -> customer_id, status, total",
        ],
    ),
    (
        "a tree from the top down",
        "WITH RECURSIVE t AS (SELECT id, parent FROM docs WHERE id = $1 UNION ALL SELECT d.id, d.parent FROM docs d"
        " JOIN t ON d.parent = t.id) SELECT * FROM t",
        ["docs d: join parent = t_1.id | residual -> id, parent", "docs: id = $1 -> id, parent"],
    ),
    ("rows by their place need no index", "SELECT id FROM orders WHERE ctid = $1", []),
    (
        "a sample is no search",
        "SELECT c.id, o.id FROM customers AS c TABLESAMPLE SYSTEM (10) JOIN orders o ON o.customer_id = c.id",
        ["orders o: join customer_id = c.id | residual -> customer_id, id"],
    ),
]


@pytest.fixture(scope="module")
def database(pg: Server) -> Iterator[Database]:
    """One for all: nothing here changes it."""
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        fresh.sql("CREATE ROLE reading_tenant LOGIN; GRANT SELECT ON docs TO reading_tenant")
        yield fresh
        fresh.sql("DROP OWNED BY reading_tenant; DROP ROLE reading_tenant")


@pytest.fixture(scope="module")
def reader(database: Database) -> Iterator[Reader]:
    with reading(database) as found:
        yield found


@pytest.mark.parametrize(("query", "expected"), [pytest.param(query, found, id=why) for why, query, found in CASES])
def test_what_a_statement_asks_of_its_tables(reader: Reader, query: str, expected: list[str]) -> None:
    assert reader.words(query) == sorted(expected)


def test_row_security_is_part_of_what_is_asked(database: Database) -> None:
    with reading(database, make_conninfo(database.conninfo, user="reading_tenant")) as found:
        assert found.words("SELECT id FROM docs WHERE title = $1 ORDER BY id") == [
            "docs: tenant = current_setting('app.tenant'::text, true)::int, title = $1 | order id -> id, tenant, title"
        ]


def test_the_result_of_a_query_is_no_parameter(reader: Reader) -> None:
    """Before 17 the plan writes both alike."""
    query = (
        "SELECT id FROM orders WHERE total > (SELECT max(total) FROM orders WHERE status = $1)"
        " AND customer_id = (SELECT max(id) FROM customers WHERE email = $2)"
    )
    found = [item for access in reader.accesses(query) for item in access.conditions]
    assert {item.columns[0]: item.other_side for item in found if item.columns[0] in ("total", "customer_id")} == {
        "total": "$0",
        "customer_id": "$0",
    }


def test_the_arms_of_an_or(reader: Reader) -> None:
    [access] = reader.accesses("SELECT id FROM orders WHERE customer_id = $1 OR status = $2")
    [condition] = access.conditions
    assert [arm.columns for arm in condition.arms] == [("customer_id",), ("status",)]


def test_the_same_whatever_indexes_there_are(database: Database) -> None:
    """What is wanted does not depend on what the planner would do today."""
    query = "SELECT id FROM lines WHERE product = $1 AND qty = $2 ORDER BY order_id LIMIT 3"
    with reading(database) as found:
        before = found.accesses(query)
        database.sql("CREATE INDEX reading_order ON lines (order_id); CREATE INDEX reading_other ON lines (product)")
        try:
            assert found.accesses(query) == before
        finally:
            database.sql("DROP INDEX reading_order, reading_other")


ODD: list[Mapping[str, Any]] = [
    {"Node Type": "Something New"},
    {"Node Type": "Hash Join", "Join Type": "Sideways", "Hash Cond": "(a.b === ", "Plans": [{"Node Type": "Hash"}]},
    {"Node Type": "Aggregate", "Output": ["max(t.a)", "((("]},
    {"Node Type": "Seq Scan", "Relation Name": "t", "Schema": "public"},
    {"Node Type": "Seq Scan", "Relation Name": "t", "Schema": "public", "Alias": "t", "Filter": "(t.a = ", "Output": 5},
    {
        "Node Type": "Sort",
        "Sort Key": ["(((", "t.a USING <<"],
        "Plans": [{"Node Type": "Unique", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "t", "Alias": "t"}]}],
    },
]


@pytest.mark.parametrize("plan", ODD, ids=str)
def test_a_plan_that_is_not_understood(plan: Mapping[str, Any]) -> None:
    """Less is asked then."""
    top = root({"Plan": plan})
    assert top is not None
    query = "SELECT 1"
    found = Prepared(
        item=Item(number=1, query=query, shown=query, calls=1),
        planned=Planned(query=query, documents=(), planned_at=None),  # type: ignore[arg-type]
        root=top,
        bare=top,
    )
    known = table({"a": {}})
    assert all(not access.conditions and not access.order for access in accesses(found, {known.name: known}))
