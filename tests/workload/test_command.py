"""`dbopt slow-queries` on a real server, as its users call it."""

from __future__ import annotations

import json
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dbopt.cli.frame import Commands
from dbopt.cli.knowing import Knowledge
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot import changed
from dbopt.snapshot.collect import collect
from dbopt.snapshot.model import Family, Part, Subject
from dbopt.snapshot.texts import Fetched
from dbopt.store import plain, snapshots
from dbopt.store.aside import Aside
from dbopt.store.location import NONE, locate
from dbopt.store.targets import Whose
from dbopt.workload.model import Counters
from dbopt.workload.statements import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from cli_runner import Result
    from server import Database, Server

    from dbopt.postgres.connect import Connection

    Run = Callable[..., Result]

SECRET = "correct horse battery staple"
# Whatever it takes, somebody who sets 0.01 ms calls everything slow.
EVERYTHING = "0.01ms"


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Database]:
    """Orders without an index for the lookups of their customers, one by one."""
    with pg.database() as made:
        made.sql("CREATE EXTENSION pg_stat_statements")
        made.sql("CREATE TABLE customers (id int PRIMARY KEY, email text) WITH (autovacuum_enabled = off)")
        made.sql("CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note text) WITH (autovacuum_enabled = off)")
        made.sql("INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 1000) AS i")
        made.sql("INSERT INTO orders SELECT i, i % 1000, repeat('x', 100) FROM generate_series(1, 50000) AS i")
        made.sql("ANALYZE customers, orders")
        reset(made)
        work(made)
        yield made


def reset(shop: Database) -> None:
    shop.sql("SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()")


def work(shop: Database, lookups: int = 30) -> None:
    with shop.connect(autocommit=True) as conn:
        for number in range(lookups):
            conn.execute(f"SELECT id, note FROM orders WHERE customer_id = {number}")
            conn.execute(f"SELECT email FROM customers WHERE id = {number}")
        for count in (2, 3, 4):
            conn.execute(f"SELECT count(*) FROM orders WHERE id IN ({', '.join(map(str, range(count)))})")
        conn.execute(f"SELECT count(*) FROM orders WHERE note = '{SECRET}'")
        conn.execute("ANALYZE customers")


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    return {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"}


def call(run_cli: Run, shop: Database, *options: str, env: dict[str, str]) -> Result:
    return run_cli("slow-queries", "-d", shop.conninfo, *options, env=env)


def found(run_cli: Run, shop: Database, *options: str, env: dict[str, str]) -> dict[str, Any]:
    result = call(run_cli, shop, *options, "--format", "json", env=env)
    assert result.code == 0, result.err
    document: dict[str, Any] = result.json
    return document


def by_text(document: dict[str, Any], words: str) -> dict[str, Any]:
    [statement] = [item for item in document["statements"] if words in (item["query"] or "")]
    assert isinstance(statement, dict)
    return statement


def test_the_costly_lookup_comes_with_its_plan_and_its_cure(
    run_cli: Run, shop: Database, store: dict[str, str]
) -> None:
    document = found(run_cli, shop, "--min-mean", EVERYTHING, env=store)
    assert document["window"]["source"] == "since_reset"
    lookup = by_text(document, "WHERE customer_id =")
    assert lookup["calls"] == 30
    assert lookup["rows"] == 30 * 50
    assert lookup["relations"] == ["orders"]
    assert "Seq Scan on orders" in lookup["plan_summary"]["summary"]
    [finding] = [item for item in lookup["findings"] if item["code"] == "sequential-scan"]
    assert finding["spec"]["keys"] == ["customer_id"]


def test_lists_of_different_lengths_are_one_statement(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    lists = by_text(found(run_cli, shop, "--sort", "calls", "--limit", "50", env=store), "WHERE id IN")
    assert lists["calls"] == 3
    assert len(lists["queryids"]) == (1 if shop.server_version >= (18,) else 3)


def test_own_and_utility_statements_are_left_out_and_counted(
    run_cli: Run, shop: Database, store: dict[str, str]
) -> None:
    options = ("--sort", "calls", "--limit", "200")
    document = found(run_cli, shop, *options, env=store)
    assert {item["kind"] for item in document["statements"]} == {"select"}
    document = found(run_cli, shop, *options, "--own", "--utility", env=store)
    kinds = {item["kind"] for item in document["statements"]}
    assert {"dbopt", "utility"} <= kinds
    assert by_text(document, "ANALYZE customers")["no_plan"]["reason"] == "utility statements have no plan"


def test_values_are_nowhere(run_cli: Run, shop: Database, store: dict[str, str], tmp_path: Path) -> None:
    with shop.connect(autocommit=True) as conn:
        # Before 16, a utility statement is kept by the server as it was sent; DO still is.
        conn.execute(f"DO $$ BEGIN PERFORM '{SECRET}'; END $$")
    for form in ("table", "lines", "json", "csv", "markdown"):
        result = call(
            run_cli, shop, "--sort", "calls", "--limit", "200", "--utility", "-vv", "--format", form, env=store
        )
        assert result.code == 0
        assert SECRET not in result.out + result.err
    assert SECRET.encode() not in (tmp_path / "store.db").read_bytes()
    result = call(run_cli, shop, "--sort", "calls", "--limit", "200", "--utility", "--show-literals", env=store)
    assert SECRET in result.out


def test_a_second_call_asks_neither_for_texts_nor_for_plans(
    run_cli: Run, shop: Database, store: dict[str, str]
) -> None:
    options = ("--min-mean", EVERYTHING, "--table", "orders")
    found(run_cli, shop, *options, env=store)
    asked(shop)  # which is a statement that it has not seen yet, as are its own
    first = found(run_cli, shop, *options, env=store)
    before = asked(shop)
    second = found(run_cli, shop, *options, env=store)
    assert asked(shop) == before
    assert [item["plan_summary"] for item in second["statements"]] == [
        item["plan_summary"] for item in first["statements"]
    ]


def asked(shop: Database) -> list[tuple[object, ...]]:
    """How often dbopt had the server plan a statement of the shop's, and read its texts."""
    rows = shop.sql(
        "SELECT regexp_replace(query, '^.*dbopt: texts.*$', 'texts'), calls FROM pg_stat_statements"
        " WHERE query LIKE '%dbopt: texts%' OR query ~ '(EXPLAIN|PREPARE).*FROM orders' ORDER BY query"
    )
    assert rows
    return rows


def test_a_plan_that_becomes_another_one_is_told_with_its_time(run_cli: Run, pg: Server, store: dict[str, str]) -> None:
    with pg.database() as fresh:
        fresh.sql("CREATE EXTENSION pg_stat_statements")
        fresh.sql("CREATE TABLE logs (id int, kind int) WITH (autovacuum_enabled = off)")
        fresh.sql("INSERT INTO logs SELECT i, i % 1000 FROM generate_series(1, 50000) AS i; ANALYZE logs")
        fresh.sql("SELECT id FROM logs WHERE kind = 7")
        queryid = by_text(found(run_cli, fresh, "--sort", "calls", env=store), "FROM logs WHERE")["queryid"]
        fresh.sql("CREATE INDEX logs_kind ON logs (kind)")
        result = run_cli("slow-queries", "show", queryid, "-d", fresh.conninfo, "--format", "json", env=store)
        assert result.code == 0, result.err
        [flip] = result.json["statement"]["flips"]
        assert "Seq Scan on logs" in flip["before"]["summary"]
        assert "logs_kind" in flip["after"]["summary"]
        assert flip["before"]["last_at"] < flip["after"]["first_at"]
        listed = by_text(
            found(run_cli, fresh, "--sort", "calls", "--min-mean", EVERYTHING, env=store), "FROM logs WHERE"
        )
        assert listed["flips"] == [flip]


def test_show_takes_an_id_below_zero_and_a_fingerprint(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    for item in found(run_cli, shop, "--sort", "calls", "--limit", "50", env=store)["statements"]:
        for ident in (item["queryid"], item["fingerprint"]):
            result = run_cli("slow-queries", "show", ident, "-d", shop.conninfo, "--format", "json", env=store)
            assert result.code == 0, result.err
            assert result.json["statement"]["fingerprint"] == item["fingerprint"]


def test_analyze_runs_it_with_the_values_given(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    lookup = by_text(found(run_cli, shop, "--min-mean", EVERYTHING, env=store), "WHERE customer_id =")["queryid"]
    options = ("slow-queries", "show", lookup, "-d", shop.conninfo, "--analyze")
    result = run_cli(*options, env=store)
    assert result.code == 3
    assert "--value 1=" in result.err
    result = run_cli(*options, "--value", "1=7", "--format", "json", env=store)
    assert result.code == 0, result.err
    [document] = result.json["plan"]
    assert document["Plan"]["Actual Rows"] == 50


def test_what_the_call_has_wrong_is_told(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    for options, words in (
        (("show", "12345678901"), "no statement 12345678901"),
        (("show",), "one queryid"),
        (("show", "orders"), "no queryid"),
        (("list",), "has no list"),
        (("--since", "1h", "--interval", "1s"), "contradict"),
        (("--sort", "change"), "compares two times"),
        (("--value", "1=2"), "is for --analyze"),
        (("show", "1", "--timeout", "5s"), "is for --analyze"),
        (("--analyze",), "is for show"),
        (("show", "1", "--sample", "1s"), "contradict"),
        (("show", "1", "--log", "x.log"), "contradict"),
        (("show", "1", "--watch", "1"), "contradict"),
        (("--sample", "1s", "--database", "other"), "contradict"),
        (("--min-mean", "soon"), "--min-mean"),
        (("--database", "nowhere"), "no database nowhere"),
        (("--log", "/no/such/file"), "connects to no database"),
    ):
        result = call(run_cli, shop, *options, env=store)
        assert result.code == 3, options
        assert words in result.err, (options, result.err)
        assert "Traceback" not in result.err


def test_a_log_that_is_not_there_is_told(run_cli: Run) -> None:
    result = run_cli("slow-queries", "--log", "/no/such/file")
    assert result.code == 3
    assert "/no/such/file" in result.err


def test_the_store_tells_of_the_last_hour_and_of_yesterday(run_cli: Run, pg: Server, store: dict[str, str]) -> None:
    with pg.database() as fresh:
        fresh.sql("CREATE EXTENSION pg_stat_statements")
        fresh.sql("CREATE TABLE items (id int)")
        run = lambda *options: found(run_cli, fresh, "--sort", "calls", *options, env=store)  # noqa: E731
        fresh.sql("SELECT count(*) FROM items WHERE id = 1")
        run()
        fresh.sql("SELECT count(*) FROM items WHERE id = 1")
        document = run("--since", "1h")
        assert document["window"]["source"] == "snapshots"
        assert by_text(document, "FROM items")["calls"] == 1  # the one after the reading


def test_interval_counts_what_happens_in_it(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    document = found(run_cli, shop, "--interval", "100ms", "--sort", "calls", "--no-store", env=store)
    assert document["window"]["source"] == "interval"
    assert document["statements"] == []


def test_another_database_of_the_server_is_read_from_here(run_cli: Run, pg: Server, shop: Database) -> None:
    with pg.database() as bare:  # has no extension
        reset(shop)
        work(shop)
        bare.sql("CREATE TABLE there (id int); INSERT INTO there VALUES (1)")
        bare.sql("SELECT id FROM there WHERE id = 5")
        document = found(run_cli, shop, "--database", bare.name, "--sort", "calls", env={})
        statement = by_text(document, "FROM there")
        assert statement["plan_summary"]["summary"] == "Seq Scan on there"
        assert document["target"]["dbname"] == bare.name


def test_who_may_not_see_others_statements_sees_his_own(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    name = f"dbopt_test_{shop.name}"[:63]
    shop.sql(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    try:
        with shop.connect(autocommit=True) as conn:
            conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))
            conn.execute("SELECT 1 AS mine")
        result = run_cli(
            "slow-queries",
            "-d",
            make_conninfo(shop.conninfo, user=name),
            "--sort",
            "calls",
            "--format",
            "json",
            env=store,
        )
        document = result.json
        assert [item["query"] for item in document["statements"]] == ["SELECT $1 AS mine"]
        [lack] = [item for item in document["lacks"] if "hidden" in item["reason"]]
        assert lack["hint"] == f"GRANT pg_read_all_stats TO {name};" or name in lack["hint"]
    finally:
        shop.sql(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_without_the_extension_every_step_is_told(run_cli: Run, pg: Server, store: dict[str, str]) -> None:
    with pg.database() as bare:
        result = call(run_cli, bare, env=store)
        assert result.code == 3
        assert "CREATE EXTENSION pg_stat_statements;" in result.err
        assert "--sample 30s" in result.err


def test_a_sample_sees_what_is_at_work(run_cli: Run, pg: Server) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with pg.database() as bare, ThreadPoolExecutor(1) as pool, bare.connect(autocommit=True) as busy:
        pool.submit(busy.execute, f"SELECT pg_sleep(60), '{SECRET}'")
        try:
            wait_until(lambda: bare.sql(waiting) == [(1,)], "a statement at work")
            document = found(run_cli, bare, "--sample", "300ms", "--sort", "calls", env={})
        finally:
            busy.cancel()
        assert document["window"]["source"] == "sample"
        statement = by_text(document, "pg_sleep")
        assert statement["samples"] >= 1
        assert SECRET not in json.dumps(document)


def test_the_first_screen_names_what_to_type_next(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    result = call(run_cli, shop, "--min-mean", EVERYTHING, "--format", "table", env={**store, "COLUMNS": "80"})
    assert result.code == 0
    assert "sequential-scan" in result.out
    assert re.search(r"slow-queries show|show -?\d+", result.out)


def test_examples_run_as_written(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    """But for the id, and for how long a sample takes."""
    queryid = found(run_cli, shop, "--sort", "calls", env=store)["statements"][0]["queryid"]
    made: Any = Commands().get_command(None, "slow-queries")
    for example in made.examples:
        words = ["300ms" if word == "30s" else queryid if word.isdigit() else word for word in shlex.split(example)]
        result = run_cli(*words[1:], env={**store, "DATABASE_URL": shop.conninfo})
        assert result.code == 0, (example, result.err)


def test_a_statement_of_execute_is_what_was_prepared(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    with shop.connect(autocommit=True) as conn:
        conn.execute("PREPARE by_note (text) AS SELECT id FROM orders WHERE note = $1 AND id > 5")
        conn.execute("EXECUTE by_note('n')")
    item = by_text(found(run_cli, shop, "--sort", "calls", "--limit", "200", env=store), "PREPARE by_note")
    assert item["kind"] == "select"
    assert "orders" in item["plan_summary"]["summary"]


def test_without_an_earlier_time_the_costliest_are_shown(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    found(run_cli, shop, env=store)
    work(shop)
    document = found(run_cli, shop, "--since", "1h", "--vs", "1d", "--min-mean", EVERYTHING, env=store)
    assert by_text(document, "WHERE customer_id =")["calls"] == 30
    assert document["notes"] == ["nothing is kept about the time to compare with"]


def test_what_became_more_frequent_since_yesterday(run_cli: Run, shop: Database, store: dict[str, str]) -> None:
    """Yesterday's hour had ten lookups, today's has forty."""
    url = store["DBOPT_STORE_URL"]
    plain.make_ready(locate(url))
    with connect(shop.conninfo, command="test", read_only=True) as conn:
        server = inspect(conn)
        surroundings = SURROUNDINGS.rows(conn, server.version)[0]
        for hours, lookups in ((25, 10), (24, 0), (1, 40)):
            taken = collect(conn, server, surroundings, (Family.STATEMENTS,)).snapshot
            at = taken.taken_at - timedelta(hours=hours)
            parts = [replace(part, taken_at=at, asked_at=None) for part in taken.parts.values()]
            with plain.transaction(locate(url), reading=False, wait_seconds=1) as session:
                snapshots.keep(session, Whose.of_server(server, "main"), "main", parts)
            work(shop, lookups)
    document = found(run_cli, shop, "--since", "1h", "--vs", "1d", "--min-mean", EVERYTHING, env=store)
    assert document["sort"] == "change"
    lookup = by_text(document, "WHERE customer_id =")
    assert (lookup["calls"], lookup["before"]["calls"]) == (40, 10)
    assert lookup["factors"]["calls"] == pytest.approx(4, rel=0.1)
    result = call(
        run_cli, shop, "--since", "1h", "--vs", "1d", "--min-mean", EVERYTHING, "--format", "table", env=store
    )
    assert re.search(r"(3\.[5-9]|4(\.\d)?) times as often|x(3\.[5-9]|4(\.\d)?)", result.out), result.out


def test_what_has_changed_is_read_like_the_whole(shop: Database) -> None:
    """Reading after reading, with calls, a reset of one entry and one made anew in between."""
    with connect(shop.conninfo, command="test", read_only=True) as conn:
        server = inspect(conn)
        surroundings = SURROUNDINGS.rows(conn, server.version)[0]
        if not changed.can_read(server, surroundings):
            pytest.skip("this server is slow to look values up in a list")

        def whole() -> Part:
            return collect(conn, server, surroundings, (Family.STATEMENTS,)).snapshot.parts[Family.STATEMENTS]

        known = whole()
        new = "SELECT 1 AS never_before, 2 AS so_many, 3 AS columns"
        events: list[Callable[[], object]] = [lambda: work(shop, 3), lambda: None, lambda: shop.sql(new)]
        if server.version >= (17,):  # from 1.11 on it is seen that one was made anew and called as often as before
            events.append(lambda: (reset_one(shop, "never_before"), shop.sql(new)))
        for event in events:
            event()
            part = changed.statements(conn, surroundings, whole_of_server(conn, server, surroundings), known)
            now = whole()
            assert part is not None
            ours = {key for key, item in now.subjects.items() if item.name in own_ids(shop)}  # they count themselves
            assert {key: item for key, item in part.subjects.items() if key not in ours} == {
                key: item for key, item in now.subjects.items() if key not in ours
            }
            known = part


def whole_of_server(conn: Connection, server: Any, surroundings: Any) -> Part:
    return collect(conn, server, surroundings, ()).snapshot.parts[Family.SERVER]


def reset_one(shop: Database, words: str) -> None:
    shop.sql(
        "SELECT pg_stat_statements_reset(0, 0, queryid) FROM pg_stat_statements"
        f" WHERE query LIKE '%{words}%' AND query NOT LIKE '%reset%'"
    )


def own_ids(shop: Database) -> set[str]:
    """Whatever is asked about pg_stat_statements."""
    return {row[0] for row in shop.sql("SELECT queryid::text FROM pg_stat_statements WHERE query LIKE '%pg_stat%'")}


def test_long_texts_are_taken_apart_only_as_far_as_that_takes_no_time() -> None:
    """The others are known to be too much, and are not asked for again unless they are shown."""
    asked: list[tuple[int, ...]] = []

    def fetch(queryids: Collection[int], bytes_max: int) -> Fetched:
        asked.append(tuple(queryids))
        return Fetched({1: "SELECT a FROM t", 9: "/* dbopt: texts */ SELECT 1"}, frozenset({2}), 9)

    known = Knowledge(Aside(NONE, ""), fetch)
    entries = [
        Entry(queryid=queryid, userid=10, counters=Counters(calls=1, total_exec_time_ms=ms), seconds=1, toplevel=True)
        for queryid, ms in ((1, 50.0), (2, 40.0), (3, 10.0))
    ]
    known.learn(entries, [3], cost_ms=20)
    assert asked == [(1, 2, 3)]
    assert known.gone == {3}
    known.learn(entries, [], cost_ms=20)
    assert len(asked) == 1
    assert known.unread([1, 2, 3, 4]) == {4}
    trifle = [*entries, replace(entries[0], queryid=4, counters=Counters(calls=1, total_exec_time_ms=19))]
    known.learn(trifle, [4], cost_ms=20)
    assert len(asked) == 1  # to find out costs more than it does
    known.learn(trifle, [4], cost_ms=18)
    assert asked[1] == (4,)
    assert known.cost_ms(part_of({1: (1, 99.0), 9: (2, 36.0)})) == 18
    assert known.cost_ms(part_of({1: (1, 99.0)})) == 0


def part_of(counts: dict[int, tuple[float, float]]) -> Part:
    """Calls and ms of each id."""
    return Part(
        family="statements",
        taken_at=datetime(2026, 11, 22, tzinfo=UTC),
        lineage="a",
        counts=("calls", "total_exec_time_ms"),
        subjects={f"{key}/10/1": Subject(f"{key}/10/1", str(key), values) for key, values in counts.items()},
    )
