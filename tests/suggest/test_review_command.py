"""`dbopt suggest --review`, from promises that are weeks old to the index that is dropped."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from helpers import index_names, wait_until
from jsonschema import Draft202012Validator
from store.readings import opened
from store.values import events_of, make_plan, record

from dbopt.postgres.connect import connect
from dbopt.postgres.reviewed_indexes import REVIEWED_INDEXES
from dbopt.postgres.server import inspect
from dbopt.render.suggest_schema import schema
from dbopt.snapshot.model import Family, Part, Subject
from dbopt.store import snapshots, suggestions, targets
from dbopt.store.targets import Whose
from dbopt.suggest.model import Basis, Candidate, Key, WriteCost
from dbopt.suggest.remembering import Promise, PromisedStatement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_runner import Result
    from server import Database

    Run = Callable[..., Result]

DAY = timedelta(days=1)
SETUP = """
    CREATE EXTENSION pg_stat_statements;
    CREATE SCHEMA app;
    CREATE TABLE app.orders (a int, b int, "c c" int);
    INSERT INTO app.orders SELECT i, i, i FROM generate_series(1, 1000) i;
    CREATE INDEX orders_1 ON app.orders (a);
    CREATE INDEX orders_2 ON app.orders (b);
    ANALYZE app.orders;
"""


def promise(index: str, column: str, queryid: int) -> Promise:
    statement = PromisedStatement(
        fingerprint=None, queryids=(queryid,), cost_before=900.0, cost_after=8.0, calls=50.0, mean_ms=30.0
    )
    return Promise(
        schema="app",
        table="orders",
        index=index,
        candidate=Candidate(relation=("app", "orders"), keys=(Key(column=column),)),
        size_bytes=40960,
        writes=WriteCost(),
        benefit=0.5,
        basis=Basis.HYPOPG,
        statements=(statement,),
    )


def statements(at: datetime, **spent: tuple[float, float]) -> Part:
    subjects = {}
    for name, counts in spent.items():
        key = f"{name.removeprefix('q')}/10/1"
        subjects[key] = Subject(key, name.removeprefix("q"), counts)
    return Part(
        family=Family.STATEMENTS,
        taken_at=at,
        lineage="made up",
        counts=("calls", "total_exec_time_ms"),
        subjects=subjects,
    )


@pytest.fixture
def store(database: Database, tmp_path: Path) -> str:
    """Three promises of a month ago, two of them built ten days later; the one made its statement faster."""
    database.sql(SETUP)
    url = f"sqlite:///{tmp_path}/store.db"
    now = datetime.now(UTC)
    with connect(database.conninfo, command="test", read_only=True) as conn:
        server = inspect(conn)
    whose = Whose.of_server(server, "unnamed")
    promised = [promise("orders_1", "a", 7), promise("orders_2", "b", 8), promise("orders_3", "c c", 9)]
    with opened(url) as session:
        target_id = targets.find_or_add(session, whose)
        suggestions.keep(session, target_id, promised, target_name="unnamed", promised_at=now - 30 * DAY)
        for part in (
            statements(now - 26 * DAY, q7=(0, 0), q8=(0, 0)),
            statements(now - 21 * DAY, q7=(100, 4000), q8=(100, 4000)),
            statements(now - 19 * DAY, q7=(100, 4000), q8=(100, 4000)),
            statements(now - DAY, q7=(300, 4200), q8=(300, 11_800)),
        ):
            snapshots.keep(session, whose, "unnamed", [part])
        snapshots.keep_texts(session, target_id, {7: "SELECT * FROM app.orders WHERE a = $1"})
    plan = make_plan(2, dbname=server.dbname, system_identifier=server.system_identifier)
    record(url, events_of(plan), clock=lambda: now - 20 * DAY)
    with database.connect(autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off")
        conn.execute("SELECT FROM app.orders WHERE a = 1; SELECT FROM app.orders WHERE b = 1")
    scanned = "SELECT count(*) FROM pg_stat_user_indexes WHERE idx_scan > 0"
    wait_until(lambda: database.sql(scanned) == [(2,)], "both indexes were scanned")
    return url


def test_from_the_promise_to_the_drop(database: Database, store: str, run_cli: Run, tmp_path: Path) -> None:
    env = {"DBOPT_STORE_URL": store}

    def review(*words: str) -> Result:
        return run_cli("suggest", "--review", "-d", database.conninfo, *words, env=env)

    shown = review("--format", "table")
    assert (shown.code, shown.err) == (0, "")
    assert "3 suggestions: 1 no faster, 1 earned, 1 not applied\n" in shown.out
    day = f"{datetime.now(UTC).astimezone() - 20 * DAY:%Y-%m-%d}"
    assert f"\n\nno faster: orders_2 on app.orders, since {day}\n" in shown.out
    assert "  1 scan; its statements take 39.0 ms and took 40.0 ms\n" in shown.out
    assert f"\n\nearned: orders_1 on app.orders, since {day}\n" in shown.out
    assert "  queryid 7: 40.0 ms before, 1.0 ms since (200 calls): SELECT * FROM app.orders WHERE a = $1\n" in shown.out
    assert "\n\nnot applied: orders_3 on app.orders\n  there is no such index\n" in shown.out
    assert "  - name: orders_2\n" in shown.out
    assert f"  dbopt suggest -d '{database.conninfo}' --review -o unearned.yaml\n" in shown.out

    found = review("--format", "json").json
    Draft202012Validator(schema()).validate(found)
    assert [(one["index"], one["verdict"]) for one in found["suggestions"]] == [
        ("orders_2", "no faster"),
        ("orders_1", "earned"),
        ("orders_3", "not applied"),
    ]
    earned = found["suggestions"][1]
    assert earned["statements"] == [
        {
            "fingerprint": None,
            "queryids": ["7"],
            "query": "SELECT * FROM app.orders WHERE a = $1",
            "cost_before": 900.0,
            "cost_after": 8.0,
            "before": {"calls": 100.0, "mean_ms": 40.0},
            "after": {"calls": 200.0, "mean_ms": 1.0},
        }
    ]
    size = database.sql("SELECT pg_relation_size('app.orders_1')")[0][0]
    assert (earned["size_bytes"], earned["promised_size_bytes"], earned["scans"]) == (size, 40960, 1)
    assert found["proposals"][0]["state"] == "absent"
    assert found["target"]["dbname"] == database.name

    rows = list(csv.DictReader(review("--format", "csv").out.splitlines()))
    assert [row["verdict"] for row in rows] == ["no faster", "earned", "not applied"]
    assert [line.split("\t")[3] for line in review().out.splitlines()] == ["orders_2", "orders_1", "orders_3"]
    page = review("--format", "markdown").out
    assert "| no faster | orders\\_2 |" in page or "| no faster | orders_2 |" in page
    assert "```yaml\n- name: orders_2\n" in page

    path = tmp_path / "unearned.yaml"
    written = review("-o", str(path), "-q")
    assert (written.code, written.err) == (0, "")
    assert run_cli("lint", str(path)).code == 0
    assert review("-o", str(path)).code == 3, "it is there already"
    again = review("--update", str(path))
    assert (again.code, f"{path}: up to date" in again.err, "--prune-foreign" in again.err) == (0, True, True)

    call = ("optimize", str(path), "-d", database.conninfo)
    assert run_cli(*call, "--yes", env=env).code == 1, "it bears no mark"
    assert run_cli(*call, "--yes", "--prune-foreign", env=env).code == 0
    assert index_names(database, "app.orders") == ["orders_1"]
    gone = next(one for one in review("--format", "json").json["suggestions"] if one["index"] == "orders_2")
    assert (gone["verdict"], gone["reason"]) == ("gone", f"dropped on {datetime.now(UTC):%Y-%m-%d}")


def test_nothing_to_review(database: Database, run_cli: Run, tmp_path: Path) -> None:
    env = {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"}
    call = ("suggest", "--review", "-d", database.conninfo)
    for form in ("table", "markdown"):
        shown = run_cli(*call, "--format", form, env=env)
        assert (shown.code, shown.err) == (0, "")
        assert "no suggestion is kept" in shown.out
    shown = run_cli(*call, env=env)
    assert (shown.code, shown.out) == (0, "")
    assert "no suggestion is kept" in shown.err
    assert run_cli(*call, "--format", "json", env=env).json["suggestions"] == []
    path = tmp_path / "unearned.yaml"
    assert "is not written" in run_cli(*call, "-o", str(path), env=env).err
    assert not path.exists()


def test_without_a_store_it_says_what_to_do(database: Database, run_cli: Run) -> None:
    refused = run_cli("suggest", "--review", "-d", database.conninfo, env={"DBOPT_STORE_URL": "none"})
    assert refused.code == 3
    assert "there is no store" in refused.err
    assert "DBOPT_STORE_URL" in refused.err


def test_an_index_that_is_first_seen_is_remembered(database: Database, store: str, run_cli: Run) -> None:
    """Nobody's ledger tells when it was made: it counts from the first review that has found it."""
    database.sql('CREATE INDEX by_hand ON app.orders ("c c")')
    call = ("suggest", "--review", "-d", database.conninfo, "--format", "json")
    env = {"DBOPT_STORE_URL": store}
    first = run_cli(*call, env=env).json["suggestions"][-1]
    assert (first["index"], first["promised_as"], first["verdict"], first["since"]) == (
        "by_hand",
        "orders_3",
        "too early",
        None,
    )
    second = run_cli(*call, env=env).json["suggestions"][-1]
    assert (second["index"], second["verdict"]) == ("by_hand", "too early")
    assert second["since"] is not None


def test_what_a_spec_was_written_with_is_kept(database: Database, run_cli: Run, tmp_path: Path) -> None:
    """Unless nothing shall be; a list that is only shown promises nothing."""
    database.sql("""
        CREATE TABLE notes (id int, author int, body text);
        INSERT INTO notes SELECT i, i, 'n' FROM generate_series(1, 20000) i; ANALYZE notes;
    """)
    workload = tmp_path / "reads.sql"
    workload.write_text("-- calls: 100\nSELECT body FROM notes WHERE author = 4711;")
    env = {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db", "DATABASE_URL": database.conninfo}

    def call(*words: str) -> Result:
        result = run_cli("suggest", *words, env=env)
        assert result.code == 0, result.err
        return result

    def reviewed() -> list[tuple[str, str, str]]:
        found = call("--review", "--format", "json").json["suggestions"]
        return [(one["table"], one["index"], one["verdict"]) for one in found]

    call("--workload", str(workload))
    call("--workload", str(workload), "--no-store", "-o", str(tmp_path / "unkept.yaml"))
    assert reviewed() == []
    call("--workload", str(workload), "-o", str(tmp_path / "kept.yaml"))
    [(table, index, verdict)] = reviewed()
    assert (table, verdict) == ("notes", "not applied")
    assert f"- name: {index}\n" in (tmp_path / "kept.yaml").read_text()
    applied = run_cli("optimize", str(tmp_path / "kept.yaml"), "--yes", env=env)
    assert applied.code == 0, applied.err
    assert reviewed() == [("notes", index, "too early")]


def test_the_indexes_of_a_tree_are_counted_together(database: Database) -> None:
    """Also of those in other schemas; quoted names, operator classes and orders as they are."""
    database.sql("""
        CREATE SCHEMA "Odd one"; CREATE SCHEMA leaves;
        CREATE TABLE "Odd one"."T t" (a int, b text) PARTITION BY RANGE (a);
        CREATE TABLE leaves.t1 PARTITION OF "Odd one"."T t" FOR VALUES FROM (0) TO (10);
        CREATE TABLE leaves.t2 PARTITION OF "Odd one"."T t" FOR VALUES FROM (10) TO (20);
        INSERT INTO "Odd one"."T t" VALUES (1, 'x'), (11, 'y');
        CREATE INDEX "I i" ON "Odd one"."T t" (b text_pattern_ops, a DESC NULLS LAST);
        CREATE INDEX part ON leaves.t1 (lower(b)) INCLUDE (a) WHERE a > 3;
    """)
    with database.connect(autocommit=True) as conn:
        names = {"schemas": ["Odd one", "leaves", "none"], "names": ["T t", "t1", "t"]}
        found = {row.index: row for row in REVIEWED_INDEXES.rows(conn, database.server_version, names)}
    tree = found["I i"]
    assert (tree.table_schema, tree.table, tree.columns, tree.opclasses, tree.indoption) == (
        "Odd one",
        "T t",
        ["b", "a"],
        ["text_pattern_ops", None],
        [0, 1],
    )
    assert sorted(zip(tree.part_schemas or (), tree.part_names or (), strict=True)) == [
        ("leaves", "t1_b_a_idx"),
        ("leaves", "t2_b_a_idx"),
    ]
    assert tree.size_bytes == sum(
        database.sql("SELECT sum(pg_relation_size(i)) FROM unnest(%s::oid[]) AS i", [tree.oids])[0]
    )
    part = found["part"]
    assert (part.columns, part.has_predicate, part.oids) == ([None, "a"], True, [part.oid])
    assert sorted(found) == ["I i", "part", "t1_b_a_idx"]
