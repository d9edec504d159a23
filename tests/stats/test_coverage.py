"""Index coverage: each share against what was done on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import wait_until

from tests.stats.shop import use
from tests.stats.test_command import age_the_store


def shares(result):
    return {share["name"]: share for share in result.json["coverage"]["shares"]}


@pytest.fixture
def coverage(stats, shop):
    """Of what is done from here on."""
    stats(shop)
    age_the_store()
    return lambda *words: stats(shop, "coverage", "--format", "json", *words)


def test_rows_read_by_index_bitmap_and_as_a_whole(coverage, shop):
    use(shop, scans=30)
    use(shop, scans=10, bitmap=True)
    use(shop, whole=1)
    found = coverage()
    share = shares(found)["rows_by_index"]
    assert (share["part"], share["whole"]) == (40, 20040)
    assert share["ratio"] == pytest.approx(40 / 20040)
    [table] = found.json["coverage"]["read_by_sequential_scans"]
    assert (table["relation"], table["seq_tup_read"], table["idx_tup_fetch"]) == ("shop.orders", 20000, 40)
    assert found.json["coverage"]["tables_over_10000_rows"] == 1  # the others are smaller


def is_all_visible(shop, table):
    """After a VACUUM: whoever has an older snapshot, such as autovacuum, keeps pages from being marked."""
    shop.sql(f"VACUUM {table}")
    return shop.sql("SELECT relallvisible >= relpages FROM pg_class WHERE oid = %s::regclass", [table])[0][0]


def test_index_only_scans_are_the_difference_to_at_most(coverage, shop):
    before = shop.sql("SELECT pg_stat_get_tuples_returned('shop.orders_pkey'::regclass)")[0][0]
    wait_until(lambda: is_all_visible(shop, "shop.orders"), "VACUUM without an older snapshot beside it")
    shop.sql("SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM shop.orders WHERE id <= 500")
    read = "SELECT pg_stat_get_tuples_returned('shop.orders_pkey'::regclass)"
    wait_until(lambda: shop.sql(read)[0][0] >= before + 500, "counting")
    use(shop, whole=1)
    found = coverage()
    assert shares(found)["rows_by_index"]["part"] == 0
    assert found.json["coverage"]["rows_by_index_at_most"] == pytest.approx(500 / 20500, abs=0.001)


def test_nothing_read_is_no_data(coverage):
    share = shares(coverage())["rows_by_index"]
    assert (share["ratio"], share["part"], share["reason"]) == (None, 0, "nothing was read from them")


KEYS = """
CREATE TABLE parent (x int, y int, PRIMARY KEY (x, y), UNIQUE (x));
CREATE TABLE child (id int PRIMARY KEY, a int, b int, c int REFERENCES parent (x),
    CONSTRAINT two FOREIGN KEY (a, b) REFERENCES parent);
CREATE TABLE split (id int, c int REFERENCES parent (x)) PARTITION BY LIST (id);
CREATE TABLE split_1 PARTITION OF split FOR VALUES IN (1);
CREATE TABLE split_2 PARTITION OF split FOR VALUES IN (2);
CREATE TABLE bare (id int, c int REFERENCES parent (x)) PARTITION BY LIST (id);
"""
SERVED = {  # index: the keys that have one then, of child.c, child.two, split.c and bare.c
    "SELECT 1": set(),
    "CREATE INDEX ON child (c, a)": {"child_c_fkey"},
    "CREATE INDEX ON child (a, c)": set(),
    "CREATE INDEX ON child (b, a, id)": {"two"},
    "CREATE INDEX ON child (c) WHERE c IS NOT NULL": {"child_c_fkey"},
    "CREATE INDEX ON child (c) WHERE a > 0": set(),
    "CREATE INDEX ON split_1 (c)": set(),
    "CREATE INDEX ON split (c)": {"split_c_fkey"},
    "CREATE INDEX ON bare (c)": {"bare_c_fkey"},
}


DROP_ALL = """
DO $$ DECLARE i regclass; BEGIN
    FOR i IN SELECT c.oid FROM pg_class c JOIN pg_index x ON x.indexrelid = c.oid
              WHERE c.relname LIKE '%_idx%' AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
    LOOP EXECUTE 'DROP INDEX ' || i; END LOOP;
END $$
"""


@pytest.fixture(scope="module")
def keys(pg):
    with pg.database() as fresh:
        fresh.sql(KEYS)
        yield fresh


@pytest.mark.parametrize("index", SERVED)
def test_foreign_keys(stats, keys, index):
    """Of tables of any size: these are empty."""
    keys.sql(index)
    try:
        result = stats(keys, "coverage", "--no-store", "--format", "json")
    finally:
        keys.sql(DROP_ALL)
    share = shares(result)["foreign_keys_indexed"]
    assert (share["part"], share["whole"]) == (len(SERVED[index]), 4)
    without = {key["constraint"] for key in result.json["coverage"]["foreign_keys_without_index"]}
    assert without == {"child_c_fkey", "two", "split_c_fkey", "bare_c_fkey"} - SERVED[index]


SPEC = """\
spec: 1
domain: shop
defaults: {schema: shop}
indexes:
  - {name: orders_paid, table: orders, keys: [paid], why: another text than its comment has}
  - {name: events_at, table: events, keys: [at], why: of a partitioned table}
  - {name: orders_paid_id, table: orders, keys: [id, paid], why: other keys}
  - {name: orders_customer, table: orders, keys: [customer_id], why: not there}
  - {name: nowhere, table: nothing, keys: [id], why: no such table}
  - {name: events_id, table: events, keys: [id], why: a tree that is not there}
  - {name: gone, table: orders, state: absent, why: it counts for nothing}
"""


@pytest.fixture
def specs():
    Path("indexes").mkdir()
    Path("indexes/shop.yaml").write_text(SPEC, encoding="utf-8")


def test_specs_in_place(stats, shop, specs):
    result = stats(shop, "coverage", "--no-store", "--format", "json")
    share = shares(result)["specs_in_place"]
    assert (share["part"], share["whole"], share["ratio"]) == (2, 6, pytest.approx(1 / 3))
    why = {item["entry"]: item["reason"] for item in result.json["coverage"]["specs_not_in_place"]}
    assert set(why) == {"shop/orders_paid_id", "shop/orders_customer", "shop/nowhere", "shop/events_id"}
    assert "would replace it" in why["shop/orders_paid_id"]
    assert "would create it" in why["shop/orders_customer"]
    assert "does not exist" in why["shop/nowhere"]
    some = stats(shop, "coverage", "--no-store", "--format", "json", "--table", "events")
    assert (shares(some)["specs_in_place"]["part"], shares(some)["specs_in_place"]["whole"]) == (1, 2)


def test_an_unmarked_index_is_an_entrys_by_name(stats, shop, specs):
    indexes = stats(shop, "indexes", "--no-store", "--format", "json").json["indexes"]
    spec = {item["name"]: (item["spec"], item["is_marked"]) for item in indexes if item["spec"]}
    assert spec == {
        "orders_paid": ("shop/orders_paid", True),
        "events_at": ("shop/events_at", False),
        "orders_paid_id": ("shop/orders_paid_id", False),
    }
    assert "shop/events_at (unmarked)" in stats(shop, "indexes", "--no-store", "--format", "table").out


def test_a_tree_that_is_partly_there_is_not_in_place(stats, database):
    database.sql(
        "CREATE TABLE t (a int, at date) PARTITION BY RANGE (at);"
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
        "CREATE INDEX t_a ON ONLY t (a)"
    )
    Path("indexes").mkdir()
    Path("indexes/s.yaml").write_text(
        "spec: 1\ndomain: s\nindexes:\n  - {name: t_a, table: t, keys: [a], why: x}\n", encoding="utf-8"
    )
    before = shares(stats(database, "coverage", "--format", "json"))["specs_in_place"]
    database.sql("CREATE INDEX t_1_a ON t_1 (a); ALTER INDEX t_a ATTACH PARTITION t_1_a")
    after = shares(stats(database, "coverage", "--format", "json"))["specs_in_place"]
    assert ((before["part"], before["whole"]), (after["part"], after["whole"])) == ((0, 1), (1, 1))


def test_specs_that_cannot_be_read_hide_nothing_else(stats, shop):
    Path("indexes").mkdir()
    Path("indexes/shop.yaml").write_text("spec: 1\ndomain: shop\nindexes: 7\n", encoding="utf-8")
    result = stats(shop, "--no-store", "--format", "json")
    share = shares(result)["specs_in_place"]
    assert (result.code, share["ratio"], share["reason"]) == (0, None, "1 problem in 1 spec file")
    assert "dbopt lint" in share["hint"]


def test_a_right_that_a_plan_lacks_is_said_with_its_grant(stats, database):
    database.sql("CREATE ROLE stats_plain LOGIN")
    database.sql(f"REVOKE TEMPORARY ON DATABASE {database.name} FROM PUBLIC; CREATE TABLE t (a int)")
    Path("indexes").mkdir()
    Path("indexes/s.yaml").write_text(
        "spec: 1\ndomain: s\nindexes:\n  - {name: t_a, table: t, keys: [a], why: x}\n", encoding="utf-8"
    )
    try:
        share = shares(stats(database, "coverage", "--format", "json", user="stats_plain"))["specs_in_place"]
        table = stats(database, "coverage", "--format", "table", user="stats_plain").out
    finally:
        database.sql("DROP ROLE stats_plain")
    grant = f'GRANT TEMPORARY ON DATABASE "{database.name}" TO "stats_plain";'
    assert (share["ratio"], share["hint"], "may not create temporary tables" in share["reason"]) == (None, grant, True)
    assert grant in table
    assert "unknown" in table  # which is not `no data`
