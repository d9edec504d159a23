"""`dbopt stats` as people and programs call it, on a real server."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers import open_transaction, wait_until
from prometheus_client.parser import text_string_to_metric_families

from tests.health.waiting import running
from tests.stats.shop import ODD, settled, use

HOUR_AGO = timedelta(hours=1, minutes=5)


def by_name(document, what="tables"):
    return {item["name"]: item for item in document[what]}


def age_the_store(by=HOUR_AGO):
    """As if its readings had been taken that much earlier."""
    from dataclasses import replace

    from dbopt.store import plain
    from dbopt.store.location import locate
    from dbopt.store.packing import pack_part, unpack_part

    location = locate(None)
    with plain.transaction(location, reading=False, wait_seconds=5) as session:
        for target_id, family, packed in session.rows("SELECT target_id, family, packed FROM snapshot_heads", {}):
            part = unpack_part(family, packed)
            older = replace(part, taken_at=part.taken_at - by)
            values = {
                "target_id": target_id,
                "family": family,
                "taken_at": session.moment(older.taken_at),
                "packed": pack_part(older),
            }
            session.run(
                "UPDATE snapshot_heads SET taken_at = :taken_at, packed = :packed"
                " WHERE target_id = :target_id AND family = :family",
                [values],
            )


def test_sizes_are_the_servers_own(stats, shop):
    tables = by_name(stats(shop, "tables", "--format", "json").json)
    [(table, indexes, toast)] = shop.sql(
        "SELECT pg_table_size(oid), pg_indexes_size(oid), CASE WHEN reltoastrelid = 0 THEN 0"
        " ELSE pg_total_relation_size(reltoastrelid) END FROM pg_class WHERE oid = 'shop.customers'::regclass"
    )
    found = tables["customers"]
    assert (found["heap_bytes"] + found["toast_bytes"], found["index_bytes"]) == (table, indexes)
    assert (found["toast_bytes"], found["total_bytes"]) == (toast, table + indexes)
    assert (found["rows"], found["kind"], found["relation"]) == (100, "table", "shop.customers")
    assert tables[ODD]["schema"] == "Odd Schema"
    assert "temporary" not in tables


def test_partitions_are_one_line_or_many(stats, shop):
    whole = stats(shop, "--format", "json", "--table", "shop.events").json
    [events] = whole["tables"]
    assert (events["name"], events["kind"], events["partitions"], events["rows"]) == (
        "events",
        "partitioned table",
        2,
        5000,
    )
    assert {name: item["partitions"] for name, item in by_name(whole, "indexes").items()} == {
        "events_pkey": 2,
        "events_at": 2,
    }
    parts = stats(shop, "--format", "json", "--table", "events", "--partitions").json
    assert {name: item["partition_of"] for name, item in by_name(parts).items()} == {
        "events_1": "shop.events",
        "events_2": "shop.events",
    }
    assert sum(item["total_bytes"] for item in parts["tables"]) == events["total_bytes"]
    assert len(parts["indexes"]) == 4
    assert whole["totals"] == parts["totals"]
    [one] = stats(shop, "tables", "--format", "json", "--table", "events_1", "--partitions").json["tables"]
    assert one["name"] == "events_1"


def test_indexes_say_whose_they_are_and_what_they_repeat(stats, shop):
    indexes = by_name(stats(shop, "indexes", "--format", "json").json, "indexes")
    paid = indexes["orders_paid"]
    assert (paid["spec"], paid["is_marked"], paid["redundant_with"], paid["is_duplicate"]) == (
        "shop/orders_paid",
        True,
        "shop.orders_paid_id",
        False,
    )
    key, email = indexes["customers_pkey"], indexes["customers_email_key"]
    assert (key["is_primary"], key["is_unique"], key["is_constraint"], key["is_valid"]) == (True, True, True, True)
    assert (email["is_primary"], email["is_constraint"], email["redundant_with"]) == (False, True, None)


def test_an_invalid_index_is_said_to_be(stats, database):
    database.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)")
    with contextlib.suppress(Exception):
        database.sql("CREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)")
    result = stats(database, "indexes", "--format", "table")
    assert "INVALID" in result.out.splitlines()[-2]
    assert stats(database, "--format", "json").json["totals"]["invalid_indexes"] == 1


# The window


def test_the_first_call_speaks_of_the_servers_statistics(stats, shop):
    document = stats(shop, "--format", "json").json
    window = document["window"]
    assert window["basis"] == "reset"
    assert datetime.fromisoformat(window["from"]) <= datetime.now(UTC)
    assert document["totals"]["growth_bytes"] is None  # nobody knows
    assert document["tables"][0]["growth_bytes"] is None
    table = stats(shop, "--no-store", "--format", "table").out
    assert "when the server's statistics began" in table
    assert "growth" not in table


def test_what_is_stored_is_compared_with(stats, shop):
    stats(shop)
    age_the_store()
    use(shop, scans=40, whole=2)
    document = stats(shop, "--format", "json").json
    assert document["window"]["basis"] == "stored"
    assert document["window"]["seconds"] == pytest.approx(HOUR_AGO.total_seconds(), abs=60)
    orders, index = by_name(document)["orders"], by_name(document, "indexes")["orders_pkey"]
    assert (orders["seq_scan"], orders["seq_tup_read"], orders["rows_a_scan"]) == (2, 40000, 20000)
    assert (orders["idx_scan"], orders["idx_tup_fetch"], index["idx_scan"]) == (40, 40, 40)
    assert by_name(document)["customers"]["seq_scan"] == 0  # which is known
    assert document["totals"]["growth_bytes"] == 0
    lifetime = stats(shop, "--no-store", "--format", "json").json
    assert by_name(lifetime)["orders"]["seq_scan"] >= 2
    assert lifetime["window"]["basis"] == "reset"


def test_growth_is_of_tables_and_their_indexes(stats, database):
    database.sql("CREATE TABLE t (a int); CREATE TABLE goes AS SELECT 1 AS x; CREATE INDEX t_a ON t (a)")
    stats(database)
    age_the_store()
    database.sql("INSERT INTO t SELECT generate_series(1, 5000); ANALYZE t; DROP TABLE goes")
    database.sql("CREATE TABLE fresh AS SELECT generate_series(1, 1000) AS x")
    [(table, index, fresh)] = database.sql("SELECT pg_table_size('t'), pg_table_size('t_a'), pg_table_size('fresh')")
    document = stats(database, "--format", "json").json
    tables = by_name(document)
    assert tables["t"]["growth_bytes"] == table + index - 8192  # the empty index has a page
    assert (tables["t"]["growth_rows"], tables["fresh"]["growth_bytes"]) == (5000, fresh)
    assert list(tables) == ["t", "fresh"]
    by_growth = stats(database, "tables", "--sort", "growth", "--reverse", "--since", "2h", "--format", "json").json
    assert list(by_name(by_growth)) == ["fresh", "t"]


def test_minutes_are_no_window_unless_asked_for(stats, shop):
    stats(shop)
    age_the_store(timedelta(minutes=5))
    document = stats(shop, "--format", "json").json
    assert document["window"]["basis"] == "reset"
    assert "reach back 5 min" in document["window"]["notes"][0]
    asked = stats(shop, "--since", "1h", "--format", "json").json
    assert (asked["window"]["basis"], asked["window"]["notes"]) == ("stored", ["nothing older is stored"])


def test_since_a_mark_or_the_servers_reset(stats, shop, run_cli):
    for since in ("reset", "7d"):
        document = stats(shop, "--since", since, "--no-store", "--format", "json").json
        assert document["window"]["basis"] == "reset"
    assert "no earlier reading is stored" in document["window"]["notes"][0]


def test_no_store_leaves_nothing(stats, shop, tmp_path):
    url = f"sqlite:///{tmp_path}/s.db"
    stats(shop, "--no-store", DBOPT_STORE_URL=url)
    assert not (tmp_path / "s.db").exists()
    stats(shop, DBOPT_STORE_URL=url)
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as store:
        assert {row[0] for row in store.execute("SELECT family FROM snapshot_heads")} == {"server", "tables", "indexes"}


def test_a_store_that_cannot_be_used_is_one_warning(stats, shop, tmp_path):
    (tmp_path / "s.db").write_text("my notes\n" * 1000)
    result = stats(shop, "--format", "json", DBOPT_STORE_URL=f"sqlite:///{tmp_path}/s.db")
    assert (result.code, len(result.json["tables"])) == (0, 4)
    assert result.err.count("warning: ") == 1


# What nobody knows


def test_right_after_a_reset_zero_is_not_said_for_unknown(stats, database):
    database.sql("CREATE TABLE t WITH (autovacuum_enabled = false) AS SELECT generate_series(1, 1000) AS a; ANALYZE t")
    database.sql("DELETE FROM t WHERE a <= 300")
    dead = "SELECT pg_stat_get_dead_tuples('t'::regclass)"
    wait_until(lambda: database.sql(dead) == [(300,)], "counting")
    [before] = stats(database, "tables", "--format", "json").json["tables"]
    assert (before["rows"], before["n_dead_tup"], before["dead_ratio"]) == (700, 300, 0.3)
    database.sql("SELECT pg_stat_reset()")
    wait_until(lambda: database.sql(dead) == [(0,)], "the reset")
    [after] = stats(database, "tables", "--no-store", "--format", "json").json["tables"]
    assert (after["rows"], after["n_dead_tup"], after["last_analyze"], after["seq_scan"]) == (1000, None, None, 0)
    assert "?" in stats(database, "tables", "--no-store", "--format", "table").out


def test_rows_that_were_never_counted(stats, database):
    database.sql("CREATE TABLE t WITH (autovacuum_enabled = false) AS SELECT generate_series(1, 1000) AS a")
    wait_until(lambda: database.sql("SELECT pg_stat_get_live_tuples('t'::regclass)") == [(1000,)], "counting")
    database.sql("SELECT pg_stat_reset()")
    wait_until(lambda: database.sql("SELECT pg_stat_get_live_tuples('t'::regclass)") == [(0,)], "the reset")
    document = stats(database, "--format", "json").json
    assert (document["tables"][0]["rows"], document["totals"]["tables_not_counted"]) == (None, 1)


def test_an_empty_database(stats, database):
    document = stats(database, "--format", "json").json
    assert (document["tables"], document["indexes"], document["schemas"]) == ([], [], [])
    assert [share["ratio"] for share in document["coverage"]["shares"]] == [None, None, None]
    result = stats(database, "--format", "table")
    assert (result.code, result.out.count("no data")) == (0, 3)
    for what in ("tables", "indexes", "schemas"):
        assert stats(database, what).out == ""


def test_a_bare_role_sees_all_of_it(stats, shop):
    shop.sql("CREATE ROLE stats_bare LOGIN")
    try:
        document = stats(shop, "--format", "json", user="stats_bare").json
        own = stats(shop, "--format", "json", "--no-store").json
        assert document["totals"] == own["totals"]
        assert document["coverage"] == own["coverage"]
    finally:
        shop.sql("DROP ROLE stats_bare")


# Locks


def test_behind_a_queue_of_locks_only_a_size_is_lost(stats, shop):
    exact = by_name(stats(shop, "tables", "--no-store", "--format", "json").json)
    with (
        open_transaction(shop, "SELECT count(*) FROM shop.orders"),
        running(shop, "ALTER TABLE shop.orders ADD COLUMN extra int"),
    ):
        found = by_name(stats(shop, "--no-store", "--format", "json").json)
        table = stats(shop, "tables", "--no-store", "--format", "table").out
    assert {name: item["is_estimated"] for name, item in found.items()} == {name: name == "orders" for name in exact}
    for name in ("customers", "events"):
        assert found[name]["total_bytes"] == exact[name]["total_bytes"]
    assert found["orders"]["total_bytes"] == pytest.approx(exact["orders"]["total_bytes"], rel=0.1)
    assert "~" in next(line for line in table.splitlines() if line.startswith("shop.orders"))


# Words of the call


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table"], "invalid value for"),
        (["indexes", "--sort", "dead"], "indexes cannot be sorted by dead"),
        (["coverage", "--sort", "size"], "coverage cannot be sorted by size"),
        (["--sort", "colour"], "invalid value for '--sort'"),
        (["--since", "yesterday"], "--since takes a duration or a date, not yesterday"),
        (["--since", "2999-01-01"], "--since 2999-01-01 lies ahead"),
        (["--limit", "0"], "invalid value for '--limit'"),
        (["--format", "nagios"], "nagios"),
    ],
)
def test_words_that_make_no_sense(run_cli, words, message):
    result = run_cli("stats", "-h", "/nowhere", *words)
    assert (result.code, result.out) == (3, "")
    assert message in result.err


def test_a_table_that_is_not_there(stats, shop):
    result = stats(shop, "--table", "order")
    assert (result.code, result.out) == (3, "")
    assert "no table fits --table order" in result.err
    assert "Did you mean shop.orders?" in result.err


def test_of_several_targets_one_that_fails_hides_no_other(stats, shop):
    Path("dbopt.yaml").write_text(
        f'targets: {{main: {{dsn: "{shop.conninfo}"}}, gone: {{dsn: "host=127.0.0.1 port=1 dbname=app"}}}}\n'
    )
    result = stats(shop, "--all-targets", "--format", "json", DBOPT_DSN="")
    assert (result.code, [item["target"]["name"] for item in result.json["targets"]]) == (3, ["main"])
    assert "could not connect" in result.err


# Formats


def test_top_of_the_list_and_how_many_more(stats, shop):
    out = stats(shop, "indexes", "--limit", "2", "--format", "table").out
    assert "and 5 more: --limit 7" in out
    result = stats(shop, "indexes", "--limit", "2")
    assert (len(result.out.splitlines()), "and 5 more: --limit 7" in result.err) == (2, True)
    assert len(stats(shop, "indexes").out.splitlines()) == 7  # nothing is cut in a pipe


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_fits_the_screen(stats, shop, width):
    result = stats(shop, "tables", "--format", "table", COLUMNS=str(width))
    rows = result.out.split("tables by size\n")[1]
    assert max(len(line) for line in rows.splitlines() if "left out" not in line) <= max(width, 60)
    assert ("left out on this screen: " in rows) == (width < 200)
    assert "[bold]" in rows.replace("\n", "")


def test_records_carry_their_window(stats, shop):
    for what, number in (("tables", 4), ("indexes", 7), ("schemas", 2), ("coverage", 3)):
        rows = list(csv.DictReader(io.StringIO(stats(shop, what, "--format", "csv").out)))
        assert len(rows) == number
        assert {row["basis"] for row in rows} == {"reset"}
        assert all(row["since"] and row["collected_at"] and row["target"] for row in rows)
    odd = [line for line in stats(shop, "tables").out.splitlines() if ODD in line]
    assert len(odd) == 1


def test_prometheus_text_is_valid_and_limited(stats, shop):
    text = stats(shop, "--format", "prometheus", "--limit", "2").out
    families = {family.name: family for family in text_string_to_metric_families(text)}
    sizes = families["dbopt_table_size_bytes"].samples
    assert {(sample.labels["table"], sample.labels["part"]) for sample in sizes} == {
        (table, part) for table in ("orders", "events") for part in ("heap", "index", "toast")
    }
    assert {family.type for name, family in families.items() if name.endswith("_scans")} == {"counter"}
    assert len(families["dbopt_index_size_bytes"].samples) == 2
    everything = stats(shop, "--format", "prometheus").out
    assert any(
        sample.labels.get("table") == ODD
        for family in text_string_to_metric_families(everything)
        for sample in family.samples
    )


def test_prometheus_counters_are_the_servers(stats, shop):
    """Not those of a window: Prometheus takes differences itself."""
    stats(shop)
    age_the_store()
    text = stats(shop, "--format", "prometheus").out
    [found] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "dbopt_table_seq_rows_read_total" and sample.labels["table"] == "orders"
    ]
    assert found == settled(shop)[1] > 0


def test_the_json_document_has_all_of_it(stats, shop):
    document = json.loads(stats(shop, "--format", "json").out)
    assert {"target", "collected_at", "window", "totals", "counts", "coverage", "schemas", "tables", "indexes"} <= set(
        document
    )
    assert document["counts"] == {"tables": 4, "indexes": 7, "schemas": 2}
    assert sum(schema["total_bytes"] for schema in document["schemas"]) == document["totals"]["total_bytes"]
