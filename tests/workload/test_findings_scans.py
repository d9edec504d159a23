"""What findings say of scans: real plans of a shop, and plans made by hand where the server's choice is no matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until

from dbopt.workload.finding import Column, Index, Key, Relation, Scene
from dbopt.workload.findings import load
from dbopt.workload.model import Counters, Statement
from dbopt.workload.plan import root
from tests.workload.real_plans import Shop, keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.workload.model import Advice

# Nothing may be analyzed but where a test says so.
_SHOP = """
    CREATE TABLE orders (
        id int PRIMARY KEY, email text, customer_no varchar(20), code char(8), status text, region int,
        placed_at timestamptz, due timestamp, note text, tags text[], data jsonb, late boolean, paid_at timestamptz
    ) WITH (autovacuum_enabled = off);
    INSERT INTO orders
    SELECT g, 'someone' || g || '@example.org', 'c' || g % 5000, 'k' || g % 30000,
           CASE WHEN g % 1000 = 0 THEN 'open' ELSE (ARRAY['sent', 'paid', 'done'])[1 + g % 3] END, g % 10,
           timestamptz '2026-01-01' + g * interval '5 minutes', timestamp '2026-01-01' + g * interval '5 minutes',
           md5(g::text) || md5((g + 1)::text), ARRAY['t' || g % 700], jsonb_build_object('a', g % 900), g % 2 = 0,
           CASE WHEN g % 500 > 0 THEN now() END
      FROM generate_series(1, 40000) AS g ORDER BY md5(g::text);
    CREATE INDEX orders_customer_no ON orders (customer_no);
    CREATE INDEX orders_code ON orders (code);
    CREATE INDEX orders_region ON orders (region);
    ANALYZE orders;

    CREATE TABLE shops (id int PRIMARY KEY, name text) WITH (autovacuum_enabled = off);
    INSERT INTO shops SELECT g, 'shop ' || g FROM generate_series(1, 500) AS g;
    ANALYZE shops;
    CREATE TABLE refs (id int, order_id numeric) WITH (autovacuum_enabled = off);
    INSERT INTO refs SELECT g, g FROM generate_series(1, 100) AS g;
    ANALYZE refs;

    CREATE TABLE fresh (id int PRIMARY KEY, email text) WITH (autovacuum_enabled = off);
    INSERT INTO fresh SELECT g, 'f' || g FROM generate_series(1, 20000) AS g;
    CREATE TABLE fresh_small (LIKE shops) WITH (autovacuum_enabled = off);
    INSERT INTO fresh_small SELECT * FROM shops;
    CREATE TABLE widened (id int, a int) WITH (autovacuum_enabled = off);
    INSERT INTO widened SELECT g, g FROM generate_series(1, 12000) AS g;
    ANALYZE widened;
    ALTER TABLE widened ADD COLUMN b int DEFAULT 3;

    CREATE TABLE events (id int, kind int, body text) PARTITION BY RANGE (id);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (6000) WITH (autovacuum_enabled = off);
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (6000) TO (12001) WITH (autovacuum_enabled = off);
    INSERT INTO events SELECT g, g % 3000, md5(g::text) FROM generate_series(1, 12000) AS g;
    ANALYZE events;
"""


@pytest.fixture(scope="module")
def database(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(_SHOP)
        counted = "SELECT pg_stat_get_live_tuples('fresh'::regclass)"
        wait_until(lambda: fresh.sql(counted)[0][0] > 0, "counting the rows of a table")
        yield fresh


@pytest.fixture(scope="module")
def shop(database: Database) -> Iterator[Shop]:
    shop = Shop(database)
    yield shop
    shop.close()


def _rows(rows: float) -> Counters:
    """Of a statement that gives back so many a call."""
    return Counters(calls=10, rows=10 * rows)


def _codes(shop: Shop, query: str, **how: Any) -> list[str]:
    scene = shop.scene(query, **how)
    codes = ("sequential-scan", "filter-discards-rows", "function-on-column", "leading-wildcard", "implicit-cast")
    return [code for code in (*codes, "statistics-missing") if list(load(code).look(scene))]


def test_an_index_for_a_scan_that_keeps_few(shop: Shop) -> None:
    [advice] = shop.look("sequential-scan", "SELECT * FROM orders o WHERE o.email = $1 AND o.status = $2")
    assert advice.message == ("reads all of orders, 40,000 rows, to keep about 1: ((o.email = $1) AND (o.status = $2))")
    assert keys(advice) == ["email"]  # one row has it: the status narrows nothing down
    assert advice.spec is not None
    assert advice.spec["name"] == "orders_email_idx"
    assert advice.spec["table"] == {"schema": "public", "name": "orders"}
    assert advice.spec["serves"] == [{"query": "SELECT * FROM orders o WHERE o.email = $1 AND o.status = $2"}]
    assert advice.hint == "An index on orders (email) finds them."
    assert advice.nodes == (0,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM orders",
        "SELECT * FROM orders LIMIT 10",
        "SELECT * FROM orders WHERE late",  # half of them
        "SELECT * FROM orders WHERE status = $1",  # a quarter of them, for what the planner knows
        "SELECT * FROM orders WHERE region <> $1",
        "SELECT status, count(*) FROM orders GROUP BY status",
        "SELECT * FROM shops WHERE name = $1",  # small
        "SELECT * FROM orders WHERE id = $1",
        "SELECT * FROM orders WHERE region = $1 LIMIT 5",  # the first are soon found
        "SELECT * FROM orders WHERE id % 2 = $1 OR region = 2",
        # Beside what the statement costs else.
        "SELECT count(*) FROM orders a CROSS JOIN generate_series(1, 500) WHERE EXISTS"
        " (SELECT FROM orders b WHERE b.email = 'x') OR a.region >= 0",
    ],
)
def test_silent_where_nothing_is_wrong(shop: Shop, query: str) -> None:
    assert _codes(shop, query) == []


def test_what_was_really_given_back_counts(shop: Shop) -> None:
    """A queue: few rows have the status that is asked for, though the planner takes it for one of four."""
    query = "SELECT * FROM orders WHERE status = $1 ORDER BY id"
    assert shop.look("sequential-scan", query) == []
    [advice] = shop.look("sequential-scan", query, counters=_rows(40))
    assert advice.message.startswith("reads all of orders, 40,000 rows, to keep 40: ")
    assert keys(advice) == ["status"]
    # The planner expects eight, and it was most of the table.
    expected = "SELECT * FROM orders WHERE customer_no || '' = $1 AND email > ''"
    assert shop.look("function-on-column", expected) != []
    assert shop.look("function-on-column", expected, counters=_rows(30_000)) == []
    # What is counted, or cut off, says nothing of the rows kept.
    assert shop.look("sequential-scan", "SELECT count(*) FROM orders WHERE status = $1", counters=_rows(1)) == []
    assert shop.look("sequential-scan", f"{query} LIMIT 1", counters=_rows(1)) == []


def test_a_range_and_null(shop: Shop) -> None:
    query = "SELECT * FROM orders WHERE placed_at BETWEEN $1 AND $2 AND status = $3"
    assert keys(shop.look("sequential-scan", query)[0]) == ["status", "placed_at"]
    assert keys(shop.look("sequential-scan", "SELECT * FROM orders WHERE paid_at IS NULL")[0]) == ["paid_at"]


def test_what_gin_can_search(shop: Shop) -> None:
    [advice] = shop.look("sequential-scan", "SELECT * FROM orders WHERE tags @> $1")
    assert advice.spec is not None
    assert (advice.spec["method"], advice.spec["keys"]) == ("gin", ["tags"])
    [advice] = shop.look("sequential-scan", "SELECT * FROM orders WHERE data @> $1")
    assert keys(advice) == ["data"]


def test_each_side_of_an_or(shop: Shop) -> None:
    query = "SELECT * FROM orders WHERE email = $1 OR placed_at = $2 OR id = $3"
    found = shop.look("sequential-scan", query)
    assert [keys(advice) for advice in found] == [["email"], ["placed_at"]]
    assert shop.look("sequential-scan", "SELECT * FROM orders WHERE email = $1 OR note || 'x' = $2") == []
    assert shop.look("sequential-scan", "SELECT * FROM orders WHERE email = $1 OR status = $2") == []


def test_partitions_are_one_table(shop: Shop) -> None:
    """Neither of them is large."""
    [advice] = shop.look("sequential-scan", "SELECT * FROM events WHERE kind = $1")
    assert advice.message.startswith("reads all of events, 12,000 rows, to keep about 4:")
    assert len(advice.nodes) == 2
    assert advice.spec is not None
    assert (advice.spec["table"], advice.spec["keys"]) == ({"schema": "public", "name": "events"}, ["kind"])


def test_in_several_processes(shop: Shop) -> None:
    """Each of them is given its part of the rows; together they are as many."""
    settings = {
        "max_parallel_workers_per_gather": "2",
        "parallel_setup_cost": "0",
        "parallel_tuple_cost": "0",
        "min_parallel_table_scan_size": "0",
    }
    scene = shop.scene("SELECT * FROM orders WHERE email || status = $1", settings=settings)
    assert scene.nodes[0].node_type == "Gather"
    query = "SELECT * FROM orders WHERE status = $1"
    assert shop.look("sequential-scan", query, settings=settings) == []
    [advice] = shop.look("sequential-scan", "SELECT * FROM orders WHERE email = $1", settings=settings)
    assert advice.message.startswith("reads all of orders, 40,000 rows, to keep about ")


def test_the_plan_that_was_run_counts(shop: Shop) -> None:
    query = "SELECT count(*) FROM orders WHERE status = $1"
    [advice] = shop.look("sequential-scan", query, "open", analyze=True)
    assert "reads all of orders, 40,000 rows, to keep 40:" in advice.message
    assert "open" not in str(advice.message)  # a value is nobody's business
    assert shop.look("sequential-scan", query, "paid", analyze=True) == []


def test_changes_are_scans_too(shop: Shop) -> None:
    [advice] = shop.look("sequential-scan", "UPDATE orders SET note = $1 WHERE email = $2")
    assert keys(advice) == ["email"]


def test_an_invalid_index_is_to_be_mended(shop: Shop, database: Database) -> None:
    query = "SELECT * FROM orders WHERE email = $1"
    database.sql("CREATE INDEX orders_email ON orders (email)")
    try:
        assert shop.look("sequential-scan", query) == []  # it is used
        database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_email'::regclass")
        [advice] = shop.look("sequential-scan", query)
        assert advice.spec is None
        assert advice.hint is not None
        assert advice.hint.endswith('REINDEX INDEX CONCURRENTLY "public"."orders_email";')
    finally:
        database.sql("DROP INDEX orders_email")


@pytest.mark.parametrize("count", [400, 2_000])
def test_the_planner_would_take_it(shop: Shop, database: Database, count: int) -> None:
    """The fraction from which on it is said: with an index, the server's choice is the index."""
    query = f"SELECT * FROM orders WHERE id % {40_000 // count} = 1"
    database.sql(f"CREATE INDEX probe ON orders ((id % {40_000 // count})); ANALYZE orders")
    try:
        assert any("Bitmap" in kind or "Index" in kind for kind in shop.nodes(query))
    finally:
        database.sql("DROP INDEX probe")


def test_an_index_that_finds_too_many(shop: Shop) -> None:
    query = "SELECT * FROM orders WHERE region = $1 AND email = $2"
    settings = {"enable_seqscan": "off"}  # as if the table were too large for it
    [advice] = shop.look("filter-discards-rows", query, settings=settings)
    assert advice.message.startswith("orders_region finds about 4,000 rows of orders, of which about 1 are kept: ")
    assert keys(advice) == ["email"]
    query = "SELECT * FROM orders WHERE region = $1 AND customer_no = $2"
    scene = shop.scene(query, settings=settings)
    assert list(load("filter-discards-rows").look(scene)) == []  # customer_no finds eight, region drops seven
    query = "SELECT * FROM orders WHERE region = $1 AND tags[1] = $2"
    assert shop.look("filter-discards-rows", query, settings=settings) == []  # no plain column
    query = "SELECT * FROM orders WHERE region = $1 AND paid_at IS NULL"
    [advice] = shop.look("filter-discards-rows", query, settings=settings)
    assert set(keys(advice)) == {"paid_at", "region"}


def test_a_filter_that_discards_in_truth(shop: Shop) -> None:
    query = "SELECT * FROM orders WHERE region = $1 AND status <> $2 AND late"
    settings = {"enable_seqscan": "off"}
    assert shop.look("filter-discards-rows", query, "1", "x", settings=settings, analyze=True)[0].spec is not None
    query = "SELECT * FROM orders WHERE region = $1 AND length(note) > $2"
    [advice] = shop.look("filter-discards-rows", query, "1", "64", settings=settings, analyze=True)
    assert advice.message.startswith("orders_region finds 4,000 rows of orders, of which 0 are kept")
    assert advice.spec is None
    assert advice.hint is not None
    assert "partial index" in advice.hint


def test_a_function_with_an_index_on_the_expression(shop: Shop, database: Database) -> None:
    query = "SELECT * FROM orders WHERE lower(email) = $1"
    assert _codes(shop, query) == ["function-on-column"]
    [advice] = shop.look("function-on-column", query)
    assert advice.spec is not None
    assert (advice.spec["name"], advice.spec["keys"]) == ("orders_lower_email_idx", [{"expr": "lower(email)"}])
    database.sql("CREATE INDEX probe ON orders (lower(email)); ANALYZE orders")
    try:
        assert _codes(shop, query) == []
        # There is one, and the planner has its reasons.
        assert (
            shop.look("function-on-column", query, settings={"enable_bitmapscan": "off", "enable_indexscan": "off"})
            == []
        )
    finally:
        database.sql("DROP INDEX probe")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("date(placed_at) = $1", "placed_at >= $1 AND placed_at < $1 + 1"),
        ("placed_at::date = $1", "placed_at >= $1 AND placed_at < $1 + 1"),
        ("due::date = $1", "due >= $1 AND due < $1 + 1"),
        ("extract(year FROM due) = $1", "make_date($1, 1, 1)"),
        ("date_part('year', due) = $1", "make_date($1, 1, 1)"),
        ("date_trunc('day', due) = $1", "interval '1 day'"),
    ],
)
def test_a_time_is_asked_for_as_a_range(shop: Shop, condition: str, words: str) -> None:
    query = f"SELECT * FROM orders WHERE {condition}"
    assert _codes(shop, query) == ["function-on-column"]
    [advice] = shop.look("function-on-column", query)
    assert advice.hint is not None
    assert words in advice.hint
    assert keys(advice) == ["placed_at" if "placed" in condition else "due"]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("region + 1 = $1", "move what is computed"),
        ("data ->> 'a' = $1", "jsonb_build_object"),
        ("data ->> $2 = $1", "jsonb_build_object"),
        ("coalesce(status, '') = $1", "Write it without"),
        ("left(email, 3) = $1", "If left is IMMUTABLE"),
        ("date_part('month', due) = $1", "IMMUTABLE"),  # of any year: no range
    ],
)
def test_an_expression_without_an_index(shop: Shop, condition: str, words: str) -> None:
    [advice] = shop.look("function-on-column", f"SELECT * FROM orders WHERE {condition}")
    assert advice.spec is None
    assert advice.hint is not None
    assert words in advice.hint


def test_searching_texts(shop: Shop) -> None:
    [advice] = shop.look("leading-wildcard", "SELECT * FROM orders WHERE email LIKE $1")
    assert "only if the pattern's beginning is known" in advice.message
    assert advice.spec is not None
    assert advice.spec["keys"] == [{"column": "email", "opclass": "gin_trgm_ops"}]
    assert (advice.spec["method"], advice.spec["needs"]) == ("gin", {"extension": "pg_trgm"})
    assert advice.hint is not None
    assert "text_pattern_ops" in advice.hint
    assert advice.hint.endswith("CREATE EXTENSION pg_trgm;")
    [advice] = shop.look("leading-wildcard", "SELECT * FROM orders WHERE email ILIKE $1")
    assert "case does not matter" in advice.message
    [advice] = shop.look("leading-wildcard", "SELECT * FROM orders WHERE lower(email) LIKE $1")
    assert keys(advice) == [{"expr": "lower(email)", "opclass": "gin_trgm_ops"}]
    [advice] = shop.look("leading-wildcard", "SELECT * FROM orders WHERE email LIKE '%someone77%'")
    assert "begins with a wildcard" in advice.message
    assert "someone77" not in f"{advice.message} {advice.why} {advice.hint}"
    [advice] = shop.look("leading-wildcard", "SELECT * FROM orders WHERE email ~ $1 AND customer_no = customer_no")
    assert advice.spec is not None


def test_texts_that_need_no_trigrams(shop: Shop, database: Database) -> None:
    assert shop.look("leading-wildcard", "SELECT * FROM shops WHERE name LIKE $1") == []
    assert shop.look("leading-wildcard", "SELECT * FROM orders WHERE email NOT LIKE $1") == []
    query = "SELECT * FROM orders WHERE email LIKE $1"
    assert shop.look("leading-wildcard", query, counters=_rows(20_000)) == []
    [(collation,)] = database.sql("SELECT datcollate FROM pg_database WHERE datname = current_database()")
    known = "SELECT * FROM orders WHERE email LIKE 'someone77%'"
    [advice] = shop.look("leading-wildcard", known)
    assert keys(advice) == [{"column": "email", "opclass": "text_pattern_ops"}], collation


def test_a_cast_keeps_the_index_away(shop: Shop) -> None:
    query = "SELECT * FROM orders WHERE id = $1::numeric"
    assert _codes(shop, query) == ["implicit-cast"]
    [advice] = shop.look("implicit-cast", query)
    assert "as id (integer) is cast to numeric:" in advice.message
    assert advice.hint is not None
    assert "CAST(... AS integer)" in advice.hint
    assert advice.spec is None  # there is one on it
    [advice] = shop.look("implicit-cast", "SELECT * FROM orders WHERE code = $1::text")
    assert "as code (character) is cast to text:" in advice.message
    assert advice.hint is not None
    assert "AS bpchar" in advice.hint
    [advice] = shop.look("implicit-cast", "SELECT * FROM orders WHERE due::text = $1")
    assert keys(advice) == ["due"]
    [advice] = shop.look("implicit-cast", "SELECT * FROM orders WHERE id::text = ANY ($1)")
    assert advice.hint is not None
    assert "id = ANY (CAST(... AS integer[]))" in advice.hint


def test_casts_that_do_no_harm(shop: Shop) -> None:
    assert _codes(shop, "SELECT * FROM orders WHERE customer_no = $1") == []  # printed as (customer_no)::text
    assert _codes(shop, "SELECT * FROM orders WHERE code = $1") == []
    assert _codes(shop, "SELECT * FROM shops WHERE id = $1::numeric") == []


def test_a_cast_of_what_is_joined(shop: Shop) -> None:
    query = "SELECT * FROM refs r JOIN orders o ON o.id = r.order_id WHERE r.id = $1"
    [advice] = shop.look("implicit-cast", query)
    assert "as id (integer) is cast to numeric to be joined with r.order_id" in advice.message
    assert shop.look("implicit-cast", "SELECT * FROM orders a JOIN orders o ON o.id::numeric = a.region::numeric") == []


def test_tables_and_columns_that_nobody_knows(shop: Shop) -> None:
    [advice] = shop.look("statistics-missing", "SELECT * FROM fresh WHERE email = $1")
    assert advice.message.startswith("fresh was never analyzed, about ")
    assert advice.hint == 'ANALYZE "public"."fresh";'
    # Nothing else is said of what nobody knows.
    assert _codes(shop, "SELECT * FROM fresh WHERE email = $1") == ["statistics-missing"]
    [advice] = shop.look("statistics-missing", "SELECT * FROM widened w JOIN shops s ON s.id = w.b WHERE w.a > $1")
    assert advice.message == "b of widened has no statistics, and is compared"


def test_statistics_that_are_not_missing(shop: Shop) -> None:
    for query in (
        "SELECT * FROM fresh WHERE id = $1",  # one row, by its key
        "SELECT * FROM fresh_small WHERE name = $1",
        "SELECT * FROM widened WHERE a = $1",
        "SELECT * FROM orders WHERE data ->> 'a' = $1",
    ):
        assert shop.look("statistics-missing", query) == [], query


def test_statistics_that_the_role_may_not_see(shop: Shop, database: Database) -> None:
    scene = shop.scene("SELECT * FROM widened WHERE b = $1")
    found = load("statistics-missing").look
    assert list(found(scene)) != []
    blind = Scene(statement=scene.statement, plan=scene.plan, relations=scene.relations, may_see_statistics=False)
    assert list(found(blind)) == []


def test_no_plan_no_finding() -> None:
    statement = Statement(fingerprint=None, counters=Counters())
    for code in ("sequential-scan", "filter-discards-rows", "function-on-column", "leading-wildcard", "implicit-cast"):
        assert list(load(code).look(Scene(statement=statement, plan=None, relations={}))) == []


def _by_hand(plan: dict[str, Any], relation: Relation) -> list[Advice]:
    tree = root({"Plan": plan})
    statement = Statement(fingerprint=None, counters=Counters())
    scene = Scene(statement=statement, plan=tree, relations={(relation.schema, relation.name): relation})
    return list(load("sequential-scan").look(scene))


def _table(**fields: Any) -> Relation:
    column = Column(name="a", attnum=1, type_name="integer", has_statistics=True, n_distinct=-1.0, null_frac=0.0)
    base = {"oid": 1, "schema": "public", "name": "t", "relkind": "r", "rows": 10_000.0, "size_bytes": 0}
    return Relation(**{**base, "columns": (column,), **fields})


def _scan(**fields: Any) -> dict[str, Any]:
    base = {"Node Type": "Seq Scan", "Relation Name": "t", "Schema": "public", "Alias": "t", "Filter": "(a = $1)"}
    return {**base, "Plan Rows": 1, "Total Cost": 100.0, **fields}


@pytest.mark.parametrize(
    ("relation", "is_said"),
    [
        ({}, True),
        ({"rows": 9_999.0}, False),
        ({"rows": 9_999.0, "size_bytes": 8 * 1024 * 1024}, True),
        ({"rows": None, "size_bytes": 1 << 30}, False),
        ({"is_temporary": True}, False),
        ({"schema": "pg_catalog"}, False),
    ],
)
def test_limits(relation: dict[str, Any], is_said: bool) -> None:
    table = _table(**relation)
    assert bool(_by_hand(_scan(Schema=table.schema), table)) is is_said


def test_limits_of_what_is_kept_and_of_cost() -> None:
    table = _table()
    assert _by_hand(_scan(**{"Plan Rows": 500}), table) != []
    assert _by_hand(_scan(**{"Plan Rows": 501}), table) == []
    above = {"Node Type": "Aggregate", "Plan Rows": 1, "Plans": [_scan()]}
    assert _by_hand({**above, "Total Cost": 500.0}, table) != []
    assert _by_hand({**above, "Total Cost": 501.0}, table) == []
    # A LIMIT that has enough after a tenth of the table.
    limit = {"Node Type": "Limit", "Total Cost": 10.0, "Plan Rows": 1}
    assert _by_hand({**limit, "Plans": [_scan(**{"Plan Rows": 10})]}, table) == []
    assert _by_hand({**limit, "Plans": [_scan(**{"Plan Rows": 10})]}, _table(rows=100_000.0)) != []
    sort = {"Node Type": "Sort", "Total Cost": 101.0, "Plan Rows": 10, "Plans": [_scan(**{"Plan Rows": 10})]}
    assert _by_hand({**limit, "Total Cost": 101.0, "Plans": [sort]}, table) != []


def test_a_partial_index_is_no_index_for_all() -> None:
    key = Key(column="a", expression=None, opclass="int4_ops")
    index = Index(name="t_a_idx", method="btree", keys=(key,))
    assert _by_hand(_scan(), _table(indexes=(index,))) == []
    partial = Index(name="t_a_idx", method="btree", keys=(key,), predicate="(b > 0)")
    [advice] = _by_hand(_scan(), _table(indexes=(partial,)))
    assert advice.spec is not None
    assert advice.spec["name"] == "t_a_idx1"
