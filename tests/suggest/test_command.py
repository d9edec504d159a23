"""`dbopt suggest` on a real server, as its users call it."""

from __future__ import annotations

import json
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dbopt.cli.frame import Commands
from dbopt.spec.load import load
from dbopt.store import plain, suggestions
from dbopt.store.location import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database, Server

    Run = Callable[..., Result]

SECRET = "k5sesame"
LOOKUP = "SELECT id, note FROM orders WHERE customer_id = $1"
EVERYTHING = {"SLOW_QUERY_THRESHOLD": "1"}  # ms


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Database]:
    """Orders without an index for the lookups of their customers; customers go, and orders refer to them."""
    with pg.database() as made:
        made.sql("CREATE EXTENSION pg_stat_statements")
        made.sql("CREATE TABLE customers (id int PRIMARY KEY, email text) WITH (autovacuum_enabled = off)")
        made.sql(
            "CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note text) WITH (autovacuum_enabled = off);"
            " CREATE TABLE mails (id int PRIMARY KEY, customer int REFERENCES customers)"
        )
        made.sql("INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 2000) AS i")
        made.sql("INSERT INTO orders SELECT i, i % 1000, repeat('x', 100) FROM generate_series(1, 20000) AS i")
        made.sql("INSERT INTO mails SELECT i, i % 1000 + 1 FROM generate_series(1, 20000) AS i")
        made.sql("ANALYZE")
        made.sql("SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()")
        with made.connect(autocommit=True) as conn:
            for number in range(20):
                conn.execute(f"SELECT id, note FROM orders WHERE customer_id = {number} -- {SECRET}")
            conn.execute(f"SELECT count(*) FROM customers WHERE email = '{SECRET}'")
            conn.execute("SELECT relname FROM pg_class")
            conn.execute("SELECT 1 AS nothing")
            conn.execute("DELETE FROM customers WHERE id = 1999")
            conn.execute("ANALYZE customers")
        yield made


@pytest.fixture
def env(tmp_path: Path, shop: Database) -> dict[str, str]:
    return {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db", "DBOPT_DSN": shop.conninfo}


@pytest.fixture
def reads(tmp_path: Path) -> Path:
    path = tmp_path / "reads.sql"
    path.write_text(
        f"-- calls: 500\nSELECT id, note FROM orders WHERE customer_id = 7 AND note <> '{SECRET}';\n"
        f"SELEC nothing FROM orders WHERE note = '{SECRET}';\nSELECT * FROM nowhere;\nBEGIN;\n",
        encoding="utf-8",
    )
    return path


def document(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.err
    made: dict[str, Any] = result.json
    return made


def shown(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["query"]: item for item in made["statements"]}


def keys(path: Path) -> dict[str, list[str]]:
    """Tables, and what is to be indexed there, by columns."""
    [spec] = load([path]).files
    return {one.table.name: [key.column or key.expr or "" for key in one.keys] for one in spec.indexes}


# What the call has wrong.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--workload a.sql --since 1h", "--workload and --since contradict each other"),
        ("--workload a.sql --slow-query 1", "--workload and --slow-query contradict each other"),
        ("--workload a.sql --log x.log", "--workload and --log contradict each other"),
        ("--slow-query 1 --table t", "--slow-query and --table contradict each other"),
        ("--slow-query orders", "orders is no queryid"),
        ("--no-store --since 1h", "--no-store and --since contradict each other"),
        ("-o a.yaml --update b.yaml", "-o and --update contradict each other"),
        ("--explain a -o b.yaml", "--explain and -o contradict each other"),
        ("--review --drop", "--review and --drop contradict each other"),
        ("--review -o -", "--review writes its proposals to a file"),
        ("--scratch copy", "--scratch is for --drop"),
        ("--budget many", "invalid value for --budget"),
        ("--budget 5", "invalid value for --budget"),
        ("--budget 0%", "invalid value for --budget"),
        ("--budget nan%", "invalid value for --budget"),
        ("--budget 0MB", "invalid value for --budget"),
        ("--max-indexes 0", "--max-indexes"),
        ("--write-weight inf", "invalid value for --write-weight"),
        ("--write-weight -1", "--write-weight"),
        ("--time-limit soon", "invalid value for --time-limit"),
        ("--time-limit 0s", "invalid value for --time-limit"),
        ("--sample 0s", "invalid value for --sample"),
        ("--since 2999-01-01", "lies ahead"),
        ("--workload nowhere.sql", "could not read nowhere.sql"),
        ("--workload .", ". is a folder"),
        ("-o .", ". is a folder"),
        ("-o no/such/a.yaml", "there is no folder no/such"),
        ("--update nowhere.yaml", "there is no nowhere.yaml"),
        ("--log nowhere.log", "could not read nowhere.log"),
        ("--slow-query 12345678901", "no statement 12345678901"),
    ],
)
def test_what_the_call_has_wrong_is_told(options: str, words: str, run_cli: Run, env: dict[str, str]) -> None:
    result = run_cli("suggest", *options.split(), env=env)
    assert (result.code, result.out) == (3, ""), result.err
    assert words in result.err
    assert "  hint: " in result.err or "could not read nowhere.sql" in words or "invalid value" in result.err
    assert "Traceback" not in result.err


def test_of_one_database(run_cli: Run, shop: Database) -> None:
    dsn = json.dumps(shop.conninfo)
    Path("dbopt.yaml").write_text(f"targets: {{a: {{dsn: {dsn}}}, b: {{dsn: {dsn}}}}}\n", encoding="utf-8")
    result = run_cli("suggest", "--all-targets")
    assert (result.code, result.out) == (3, "")
    assert "suggest works on one target here" in result.err
    assert "Name one with -t." in result.err


def test_without_pg_stat_statements_every_step_is_told(run_cli: Run, pg: Server, reads: Path) -> None:
    with pg.database() as bare:
        result = run_cli("suggest", "-d", bare.conninfo, "--no-store")
        assert (result.code, result.out) == (3, "")
        assert "pg_stat_statements was not created in database" in result.err
        assert "CREATE EXTENSION pg_stat_statements;" in result.err
        assert "--sample 30s" in result.err
        assert "--workload FILE.sql" in result.err
        made = document(run_cli("suggest", "-d", bare.conninfo, "--workload", str(reads), "--format", "json"))
        assert made["suggestions"] == []
        sampled = run_cli("suggest", "-d", bare.conninfo, "--sample", "100ms", "--format", "json")
        [lack] = [item for item in document(sampled)["lacks"] if "pg_stat_statements" in item["reason"]]
        assert "CREATE EXTENSION pg_stat_statements;" in lack["hint"]


# Which statements it works on.


def test_what_the_server_has_counted(run_cli: Run, env: dict[str, str]) -> None:
    made = document(run_cli("suggest", "--format", "json", env=env))
    statements = shown(made)
    assert statements[LOOKUP]["calls"] == 20
    assert statements[LOOKUP]["origin"] == "pg_stat_statements"
    assert statements[LOOKUP]["queryids"] != []
    assert not any("pg_class" in query or "nothing" in query or "ANALYZE" in query for query in statements)
    [check] = [item for item in statements.values() if item["origin"] == "foreign-key"]
    assert check["query"] == 'SELECT 1 FROM ONLY "public"."mails" AS x WHERE x."customer" = $1'
    assert check["calls"] == 1
    assert made["window"].startswith("since the ")
    [note] = [note for note in made["notes"] if note.startswith("statements set aside")]
    assert "on system catalogs alone" in note
    tables = {one["table"] for one in made["suggestions"]}
    assert tables == {"orders", "mails"}


def test_only_what_names_a_table_or_is_called_often(run_cli: Run, env: dict[str, str]) -> None:
    made = document(run_cli("suggest", "--table", "public.orders", "--format", "json", env=env))
    assert set(shown(made)) == {LOOKUP}
    made = document(run_cli("suggest", "--min-calls", "20", "--format", "json", env=env))
    assert set(shown(made)) == {LOOKUP}


def test_one_statement(run_cli: Run, shop: Database, env: dict[str, str]) -> None:
    listed = document(run_cli("slow-queries", "--sort", "calls", "--format", "json", env=env))
    for words in ("orders", "DELETE"):
        [one] = [item for item in listed["statements"] if words in (item["query"] or "")]
        for name in (str(one["queryid"]), one["fingerprint"]):
            made = document(run_cli("suggest", "--slow-query", name, "--format", "json", env=env))
            queries = set(shown(made))
            assert one["query"] in queries
            assert len(queries) == (1 if words == "orders" else 2)  # with the check of the key
    [utility] = shop.sql(
        "SELECT queryid::text FROM pg_stat_statements WHERE query = 'ANALYZE customers'"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    result = run_cli("suggest", "--slow-query", utility[0], env=env)
    assert result.code == 3
    assert "has no plan" in result.err


def test_what_runs_for_long_by_now(run_cli: Run, shop: Database, env: dict[str, str]) -> None:
    """It is counted when it ends, if it ends."""
    query = f"SELECT count(*) FROM mails, pg_sleep(60) WHERE mails.id + mails.customer = 7 AND '{SECRET}' <> ''"
    busy = shop.connect(autocommit=True)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(busy.execute, query)
        try:
            wait_until(lambda: shop.sql(waiting) == [(1,)], "a statement at work")
            quick = document(run_cli("suggest", "--format", "json", env=env))
            made = document(run_cli("suggest", "--format", "json", env={**env, **EVERYTHING}))
            sampled = document(run_cli("suggest", "--sample", "200ms", "--format", "json", env=env))
        finally:
            busy.cancel()
    assert not any("pg_sleep" in query for query in shown(quick))  # not slow yet
    for found in (made, sampled):
        [one] = [item for query, item in shown(found).items() if "pg_sleep" in query]
        assert one["origin"] == "sample"
        assert SECRET not in json.dumps(found)


def test_what_a_timeout_has_canceled(run_cli: Run, shop: Database, env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    stamp = "2026-11-22 10:0{}:00.000 UTC [7] app@{} "
    log.write_text(
        "".join(
            stamp.format(minute, dbname)
            + "ERROR:  canceling statement due to statement timeout\n"
            + stamp.format(minute, dbname)
            + f"STATEMENT:  SELECT id FROM mails WHERE customer + id = {minute} {more}\n"
            for minute, dbname, more in (
                (1, shop.name, f"AND '{SECRET}' <> ''"),
                (3, shop.name, f"AND '{SECRET}' <> ''"),
                (4, "elsewhere", ""),
            )
        ),
        encoding="utf-8",
    )
    shop.sql(sql.SQL("ALTER DATABASE {} SET statement_timeout = '7s'").format(sql.Identifier(shop.name)))
    try:
        made = document(run_cli("suggest", "--log", str(log), "--format", "json", env=env))
    finally:
        shop.sql(sql.SQL("ALTER DATABASE {} RESET statement_timeout").format(sql.Identifier(shop.name)))
    [one] = [item for item in shown(made).values() if item["origin"] == "log"]
    assert one["query"] == "SELECT id FROM mails WHERE customer + id = $1 AND $2 <> $3"
    assert "the log has 2 statements that were canceled: each counts as 7,000 ms" in made["notes"]
    assert SECRET not in json.dumps(made)


def test_a_file(run_cli: Run, env: dict[str, str], reads: Path) -> None:
    result = run_cli("suggest", "--workload", str(reads), "--format", "json", env=env)
    made = document(result)
    assert set(shown(made)) == {"SELECT id, note FROM orders WHERE customer_id = $1 AND note <> $2"}
    assert {item["query"]: item["reason"] for item in made["unread"]} == {
        "SELEC nothing FROM orders WHERE note = ?": f"line 3 of {reads}: syntax error",
        "SELECT * FROM nowhere": 'relation "nowhere" does not exist',
    }
    assert "set aside: 1 statement without a plan (utility), line 5" in made["notes"]
    assert SECRET not in result.out + result.err
    piped = run_cli("suggest", "--workload", "-", "--format", "json", env=env, stdin=reads.read_text(encoding="utf-8"))
    assert set(shown(document(piped))) == set(shown(made))


def test_what_a_file_deletes_is_checked(run_cli: Run, env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "purge.sql"
    path.write_text("-- calls: 40\nDELETE FROM customers WHERE id = :id;\n", encoding="utf-8")
    made = document(run_cli("suggest", "--workload", str(path), "--format", "json", env=env))
    [check] = [item for item in shown(made).values() if item["origin"] == "foreign-key"]
    assert check["calls"] == 40
    [one] = made["suggestions"]
    assert (one["table"], [key["column"] for key in one["keys"]]) == ("mails", ["customer"])


def test_more_statements_than_can_be_planned(run_cli: Run, pg: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbopt.suggest.inputs.STATEMENTS_MAX", 20)
    with pg.database() as many:
        columns = ", ".join(f"c{number} int" for number in range(60))
        many.sql(f"CREATE EXTENSION pg_stat_statements; CREATE TABLE t ({columns})")
        with many.connect(autocommit=True) as conn:
            for number in range(60):
                conn.execute(f"SELECT c{number} FROM t")
        made = document(run_cli("suggest", "-d", many.conninfo, "--format", "json", env={"DBOPT_STORE_URL": "none"}))
        assert len(made["statements"]) == 20
        [note] = [note for note in made["notes"] if "left out" in note]
        assert "of the time and" in note


def test_a_role_that_only_looks(run_cli: Run, shop: Database, env: dict[str, str]) -> None:
    name = f"dbopt_test_{shop.name}"[:63]
    role = sql.Identifier(name)
    shop.sql(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    try:
        poor = {**env, "DBOPT_DSN": make_conninfo(shop.conninfo, user=name)}
        made = document(run_cli("suggest", "--format", "json", env=poor))
        assert any("hidden from" in item["reason"] for item in made["lacks"])
        shop.sql(sql.SQL("GRANT pg_monitor TO {}").format(role))
        shop.sql(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role))
        made = document(run_cli("suggest", "--format", "json", env=poor))
        assert {one["table"] for one in made["suggestions"]} == {"orders", "mails"}
    finally:
        shop.sql(sql.SQL("DROP OWNED BY {}").format(role))
        shop.sql(sql.SQL("DROP ROLE {}").format(role))


# Where the spec goes.


def test_from_a_workload_to_an_empty_plan(run_cli: Run, pg: Server, shop: Database, tmp_path: Path) -> None:
    with pg.database() as copy:
        copy.sql("CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note text)")
        copy.sql("INSERT INTO orders SELECT i, i % 1000, repeat('x', 100) FROM generate_series(1, 20000) AS i; ANALYZE")
        (tmp_path / "w.sql").write_text("SELECT id, note FROM orders WHERE customer_id = 7;", encoding="utf-8")
        env = {"DBOPT_DSN": copy.conninfo, "DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"}
        wanted = ("suggest", "--workload", "w.sql")
        result = run_cli(*wanted, "-o", "new.yaml", "--format", "table", env=env)
        assert result.code == 0, result.err
        assert "wrote new.yaml: 1 index" in result.err
        assert "plan new.yaml" in result.out + result.err
        assert keys(Path("new.yaml")) == {"orders": ["customer_id"]}
        location = locate(env["DBOPT_STORE_URL"])
        assert location is not None
        with plain.transaction(location, reading=True, wait_seconds=1) as kept:
            assert [one.promise.table for one in suggestions.kept(kept, 1)] == ["orders"]  # of the first target
        assert run_cli("lint", "new.yaml").code == 0
        assert run_cli("optimize", "new.yaml", "--yes", env=env).code == 0
        assert run_cli("plan", "--check", "new.yaml", env=env).code == 0
        again = run_cli(*wanted, "-o", "more.yaml", env=env)
        assert (again.code, again.out) == (0, "")
        assert "nothing to suggest: more.yaml is not written" in again.err
        assert not Path("more.yaml").exists()


def test_a_file_that_is_there_is_not_overwritten(run_cli: Run, env: dict[str, str], reads: Path) -> None:
    Path("mine.yaml").write_text("spec: 1\ndomain: mine\nindexes: []\n", encoding="utf-8")
    result = run_cli("suggest", "--workload", str(reads), "-o", "mine.yaml", env=env)
    assert (result.code, result.out) == (3, "")
    assert "mine.yaml is there already" in result.err
    assert "--update mine.yaml" in result.err


def test_a_name_that_another_spec_has(run_cli: Run, env: dict[str, str], reads: Path) -> None:
    other = (
        "spec: 1\ndomain: other\nindexes: [{name: orders_customer_id_idx, table: mails, keys: [customer], why: x}]\n"
    )
    Path("other.yaml").write_text(other, encoding="utf-8")
    result = run_cli("suggest", "--workload", str(reads), "-o", "new.yaml", "--format", "json", env=env)
    assert "other.yaml has an entry orders_customer_id_idx already" in result.err
    [spec] = load([Path("new.yaml")]).files
    assert [one.name for one in spec.indexes] == ["orders_customer_id_idx1"]
    assert [one["name"] for one in result.json["suggestions"]] == ["orders_customer_id_idx1"]
    assert run_cli("lint", ".").code == 0


def test_update_leaves_comments_alone(run_cli: Run, env: dict[str, str], reads: Path) -> None:
    path = Path("mine.yaml")
    before = (
        "spec: 1\ndomain: mine\nindexes:\n  # by hand\n  - name: orders_note\n    table: orders\n    keys: [note]\n"
    )
    path.write_text(f"{before}    why: search\n", encoding="utf-8")
    result = run_cli("suggest", "--workload", str(reads), "--update", str(path), env=env)
    assert result.code == 0, result.err
    assert "mine.yaml: 1 appended" in result.err
    assert path.read_text(encoding="utf-8").startswith(before)
    [spec] = load([path]).files
    assert [one.table.name for one in spec.indexes] == ["orders", "orders"]
    assert spec.indexes[0].name == "orders_note"
    text = path.read_text(encoding="utf-8")
    again = run_cli("suggest", "--workload", str(reads), "--update", str(path), env=env)
    assert "1 there already" in again.err
    assert path.read_text(encoding="utf-8") == text


def test_one_suggestion_in_depth(run_cli: Run, env: dict[str, str], reads: Path) -> None:
    wanted = ("suggest", "--workload", str(reads), "--explain")
    result = run_cli(*wanted, "orders_customer_id_idx", "--format", "table", env=env)
    assert result.code == 0, result.err
    assert "orders_customer_id_idx" in result.out
    result = run_cli(*wanted, "orders_idx", env=env)
    assert (result.code, result.out) == (3, "")
    assert "no index orders_idx is suggested" in result.err


def test_a_pipe_gets_the_spec_alone(run_cli: Run, env: dict[str, str], reads: Path) -> None:
    result = run_cli("suggest", "--workload", str(reads), "-o", "-", env=env)
    assert result.code == 0, result.err
    Path("piped.yaml").write_text(result.out, encoding="utf-8")
    assert keys(Path("piped.yaml")) == {"orders": ["customer_id"]}
    assert SECRET not in result.out


def test_nothing_is_kept_if_nothing_shall_be(run_cli: Run, env: dict[str, str], tmp_path: Path) -> None:
    assert run_cli("suggest", "--no-store", "-o", "new.yaml", env=env).code == 0
    assert not (tmp_path / "store.db").exists()


def test_a_password_is_not_repeated(run_cli: Run, env: dict[str, str], shop: Database) -> None:
    scratch = make_conninfo(shop.conninfo, password=SECRET)
    result = run_cli("suggest", "--drop", "--scratch", scratch, "--format", "table", env=env)
    assert SECRET not in result.out + result.err


def test_examples_run_as_written(run_cli: Run, env: dict[str, str], reads: Path) -> None:
    """But for the id."""
    listed = document(run_cli("slow-queries", "--sort", "calls", "--format", "json", env=env))
    queryid = next(item["queryid"] for item in listed["statements"] if "orders" in item["query"])
    made: Any = Commands().get_command(None, "suggest")
    assert reads.name == "reads.sql"
    for example in made.examples:
        words = [queryid if word.isdigit() else word for word in shlex.split(example)]
        result = run_cli(*words[1:], env=env)
        assert result.code == 0, (example, result.err)
