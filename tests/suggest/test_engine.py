"""The whole engine on real servers: with HypoPG, and without."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until

from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.suggest import file, inputs
from dbopt.suggest.engine import suggest
from dbopt.suggest.model import Basis, Risk
from dbopt.suggest.options import Options
from suggest.worlds import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.suggest.model import Report

SHOP = """
    CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL, city text, joined timestamptz NOT NULL);
    INSERT INTO customers SELECT g, 'Someone' || g || '@example.test', 'city ' || g % 50,
           timestamptz '2026-01-01' + g * interval '1 minute' FROM generate_series(1, 20000) AS g;
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, state text NOT NULL, total int NOT NULL,
                         placed_at timestamptz NOT NULL, paid_at timestamptz, notes text);
    INSERT INTO orders SELECT g, 1 + (g * 7919) % 500, CASE WHEN g % 200 = 0 THEN 'open' ELSE 'done' END, g % 1000,
           timestamptz '2026-01-01' + g * interval '10 seconds', CASE WHEN g % 500 > 0 THEN now() END, repeat('n', 60)
      FROM generate_series(1, 60000) AS g;
    CREATE TABLE "Odd Names" ("Id" int PRIMARY KEY, "Or der" int NOT NULL);
    INSERT INTO "Odd Names" SELECT g, g % 5000 FROM generate_series(1, 20000) AS g;
    VACUUM ANALYZE
"""
WORKLOAD = """
    -- calls: 1000
    SELECT id, total FROM orders WHERE customer_id = $1 ORDER BY placed_at DESC LIMIT 10;
    -- calls: 500
    SELECT * FROM customers WHERE lower(email) = $1;
    -- calls: 100
    SELECT count(*) FROM orders WHERE paid_at IS NULL;
    -- calls: 100
    SELECT o.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.city = $1 AND o.total > $2;
    -- calls: 10
    SELECT id FROM orders WHERE total = $1 AND notes LIKE $2 ORDER BY placed_at LIMIT 5;
    -- calls: 50
    SELECT * FROM "Odd Names" WHERE "Or der" = $1;
    -- calls: 3
    UPDATE orders SET notes = $2 WHERE state = 'open' AND total = $1;
    -- calls: 2
    SELECT * FROM nowhere WHERE id = $1;
"""


def asked(database: Database, workload: str = WORKLOAD, **options: object) -> Report:
    conn = connect(database.conninfo, command="suggest", read_only=True)
    try:
        found = inputs.numbered(inputs.chosen(file.read(workload, "w.sql").found, inputs.Wanted(everything=True)))
        chosen = Options(**options)  # type: ignore[arg-type]
        return suggest(conn, inspect(conn), found.items, chosen, unread=found.unread)
    finally:
        conn.close()


def made(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in report.suggestions:
        found.setdefault(one.candidate.relation[1], []).append(words(one.candidate))
    return {table: sorted(items) for table, items in sorted(found.items())}


@pytest.fixture(scope="module")
def shop(hypo_server: Server) -> Iterator[Database]:
    with hypo_server.database() as fresh:
        fresh.sql("CREATE EXTENSION hypopg")
        fresh.sql(SHOP.removesuffix("VACUUM ANALYZE\n"))
        fresh.sql("VACUUM ANALYZE")
        yield fresh


@pytest.fixture(scope="module")
def plain_shop(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(SHOP.removesuffix("VACUUM ANALYZE\n"))
        fresh.sql("VACUUM ANALYZE")
        yield fresh


def test_what_a_person_would_make(shop: Database) -> None:
    report = asked(shop)
    found = made(report)
    assert (report.basis, report.hypopg_version) == (Basis.HYPOPG, "1.3.1")
    assert report.complete
    assert found["customers"] == ["(city)", "(lower(email))"] or found["customers"][-1] == "(lower(email))"
    assert found["Odd Names"] == ["(Or der)"]
    # The one that finds a customer's orders gives their order, too, and serves the join as well.
    [leading] = [item for item in found["orders"] if item.startswith("(customer_id")]
    assert leading.startswith("(customer_id, placed_at")
    assert any(item.endswith("where paid_at IS NULL") for item in found["orders"])
    assert [one.item.shown for one in report.unread] == ["SELECT * FROM nowhere WHERE id = $1"]


def test_nothing_costs_more_and_nothing_was_made(shop: Database) -> None:
    before = shop.sql("SELECT count(*) FROM pg_class")
    report = asked(shop)
    assert len(report.outcomes) == 7
    for outcome in report.outcomes:
        assert outcome.after.cost <= outcome.before.cost * 1.01 + 1
    assert sum(one.after.cost for one in report.outcomes) < 0.3 * sum(one.before.cost for one in report.outcomes)
    assert shop.sql("SELECT count(*) FROM pg_class") == before


def test_an_early_stop_over_a_filter_is_no_reason(shop: Database) -> None:
    text = "SELECT id FROM orders WHERE notes ~ $1 ORDER BY placed_at LIMIT 5;"
    assert made(asked(shop, text)) == {}


def test_a_budget_is_kept(shop: Database) -> None:
    whole = asked(shop)
    sizes = [one.size.size_bytes for one in whole.suggestions if one.size is not None]
    report = asked(shop, budget_bytes=sum(sizes) // 2)
    assert 0 < sum(one.size.size_bytes for one in report.suggestions if one.size) <= sum(sizes) // 2
    assert report.budget_bytes == sum(sizes) // 2
    share = asked(shop, budget_share=0.1)
    assert share.budget_bytes == int(share.heap_bytes * 0.1)


def test_one_index_is_the_best_one(shop: Database) -> None:
    [only] = asked(shop, max_indexes=1).suggestions
    assert only.candidate.relation[1] == "orders"
    assert words(only.candidate).startswith("(customer_id")


def test_out_of_time_the_list_is_what_there_was_time_for(shop: Database) -> None:
    report = asked(shop, time_limit_seconds=0.000_001)
    assert not report.suggestions
    assert not report.complete or report.unread
    assert {one.hint for one in report.unread} >= {"Give more with --time-limit."}


def test_writing_weighs_against_reading(shop: Database) -> None:
    inserts = "-- calls: 1000000\nINSERT INTO orders (id, customer_id) VALUES ($1, $2);\n"
    reads = "-- calls: 1\nSELECT id FROM orders WHERE total = $1;\n"
    assert made(asked(shop, reads)) != {}
    assert made(asked(shop, inserts + reads)) == {}
    assert made(asked(shop, inserts + reads, write_weight=0.0)) != {}


def test_the_reason_says_what_each_column_is_for(shop: Database) -> None:
    [leading] = [one for one in asked(shop).suggestions if words(one.candidate).startswith("(customer_id, placed_at")]
    assert "customer_id" in leading.reason
    assert "placed_at" in leading.reason
    assert leading.name.startswith("orders_customer_id_placed_at")


def test_without_hypopg_it_is_reckoned_and_said(plain_shop: Database) -> None:
    report = asked(plain_shop)
    found = made(report)
    assert report.basis is Basis.STATISTICS
    assert any("HypoPG" in reason for reason, _ in report.lacks)
    assert all(Risk.UNPROVED in one.risks for one in report.suggestions)
    assert any(item.startswith("(customer_id, placed_at") for item in found["orders"])
    assert "(lower(email))" in found["customers"]
    assert found["Odd Names"] == ["(Or der)"]


def test_a_locked_table_costs_its_statements_alone(plain_shop: Database) -> None:
    holder = plain_shop.connect()
    holder.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
    try:
        report = asked(plain_shop)
    finally:
        holder.close()
    assert "orders" in made(report)
    assert "customers" not in made(report)
    assert any("lock" in one.reason for one in report.unread)


def test_of_a_partitioned_table_the_parent_gets_the_index(database: Database) -> None:
    database.sql(
        """
        CREATE TABLE events (id int, kind int, at date) PARTITION BY RANGE (at);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
        CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
        INSERT INTO events SELECT g, g % 5000, date '2026-01-01' + g % 365 FROM generate_series(1, 40000) AS g
        """
    )
    database.sql("ANALYZE")
    report = asked(database, "SELECT * FROM events WHERE kind = $1;")
    assert [(one.candidate.relation, words(one.candidate)) for one in report.suggestions] == [
        (("public", "events"), "(kind)")
    ]


def test_a_table_without_statistics_is_named(database: Database) -> None:
    database.sql("CREATE TABLE fresh (id int, a int) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO fresh SELECT g, g FROM generate_series(1, 50000) AS g")
    # Before 15 the rows are counted a little later.
    counted = "SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'fresh'"
    wait_until(lambda: database.sql(counted) == [(50_000,)], "counting the rows")
    report = asked(database, "SELECT * FROM fresh WHERE a = $1;")
    assert any("ANALYZE" in (hint or "") for _, hint in report.lacks)


def test_nothing_to_suggest_is_no_error(database: Database) -> None:
    database.sql("CREATE TABLE small (id int PRIMARY KEY)")
    report = asked(database, "SELECT * FROM small WHERE id = $1;")
    assert (report.suggestions, report.drops, len(report.outcomes)) == ((), (), 1)


def test_the_same_bytes_whatever_the_hash_seed(shop: Database) -> None:
    texts = set()
    for seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "dbopt", "suggest", "-d", shop.conninfo, "--no-store", "--workload", "-", "-o", "-"],
            input=WORKLOAD,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        texts.add(done.stdout)
    assert len(texts) == 1
    assert "customer_id" in texts.pop()


def test_no_constant_of_a_file_is_logged(plain_shop: Database, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="dbopt.sql"):
        asked(plain_shop, "SELECT * FROM customers WHERE email = 'vera.example' AND city = $1;")
    assert "/* dbopt: explain */" in caplog.text
    assert "vera" not in caplog.text


def test_what_only_values_show_is_said_with_them_and_without_their_plan(shop: Database) -> None:
    report = asked(shop, "SELECT id FROM customers WHERE email LIKE $1;")
    [one] = report.suggestions
    assert words(one.candidate).startswith("(email text_pattern_ops")
    [helped] = one.helped
    assert helped.probe != "generic"
    assert helped.after < helped.before
    assert not helped.uses
    [outcome] = report.outcomes
    assert (outcome.before.plan, outcome.after.plan) == (None, None)
