"""`dbopt history` and `dbopt store`, as people and programs call them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbopt.store.head import HEAD
from dbopt.store.location import default_path

from .values import CALLER, events_of, make_plan, record


@pytest.fixture
def runs():
    """Run 1 is old and had a failure, run 2 was killed, run 3 is on another database."""
    today = datetime.now(UTC)
    words = "canceling statement due to lock timeout"
    failed = events_of(make_plan(), error=words, hint="Try again when pid 4711 is gone.")
    record(None, failed, clock=lambda: today - timedelta(days=30))
    record(None, list(events_of(make_plan()))[:4], clock=lambda: today)
    record(None, events_of(make_plan(dbname="crm")), replace(CALLER, target_name="customers"), clock=lambda: today)


def test_history_lists_the_newest_runs_first(run_cli, runs):
    result = run_cli("history", "--format", "json")
    assert result.code == 0
    assert result.json["command"] == "history"
    assert [(run["id"], run["target_name"], run["outcome"]) for run in result.json["runs"]] == [
        (3, "customers", "done"),
        (2, "main", "unfinished"),
        (1, "main", "attention"),
    ]
    last = result.json["runs"][0]
    assert (last["applied"], last["unchanged"], last["seconds"], last["role"]) == (2, 3, 3.0, "deployer")
    assert (last["server"], last["spec_digest"]) == ("7000000000000000001", "5bec")
    assert result.json["runs"][1]["finished_at"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--limit", "1"], [3]),
        (["--since", "7d"], [3, 2]),
        (["--since", "2020-01-31"], [3, 2, 1]),
        (["--since", "2999-01-31T12:00Z"], []),
        (["-d", "crm"], [3]),
        (["-d", "app"], [2, 1]),
    ],
)
def test_history_of_some(run_cli, runs, arguments, expected):
    result = run_cli("history", "--format", "json", *arguments)
    assert ([run["id"] for run in result.json["runs"]], result.code) == (expected, 0)


def test_history_says_that_there_is_more(run_cli, runs):
    assert run_cli("history", "--limit", "1").err == "dbopt: there are older runs: --limit 5 shows more\n"
    assert run_cli("history", "--limit", "3").err == ""


def test_history_as_a_table(run_cli, runs):
    head, _, *rows = run_cli("history", "--format", "table", env={"COLUMNS": "80"}).out.splitlines()
    assert head.split() == ["run", "started", "target", "indexes", "time", "outcome"]
    assert [row.split()[-1] for row in rows[:3]] == ["done", "unfinished", "attention"]
    assert "customers   2 applied, 3" in rows[0]
    assert "1 applied, 1 failed, 3" in rows[2]
    assert rows[3].split() == ["unchanged"]  # a narrow screen folds between words


def test_history_of_one_run(run_cli, runs):
    result = run_cli("history", "1", "--format", "json")
    assert (result.code, result.json["run"]["id"]) == (0, 1)
    first, second = result.json["steps"]
    assert first["statements"] == ['CREATE INDEX CONCURRENTLY "orders_1" ON "app"."orders" ("a")']
    assert (first["table"], first["index"], first["size_bytes"]) == ("app.orders", "orders_1", 8192)
    assert (second["outcome"], second["error"]) == ("attention", "canceling statement due to lock timeout")


def test_history_of_one_run_for_people(run_cli, runs):
    out = run_cli("history", "1", "--format", "table").out
    assert out.startswith("run 1: optimize on main (app, PostgreSQL 16.2), attention in 3.0 s\nstarted ")
    assert out.endswith(
        "step 2: is not there\n"
        "  error: canceling statement due to lock timeout\n"
        "  hint: Try again when pid 4711 is gone.\n"
        'CREATE INDEX CONCURRENTLY "orders_2" ON "app"."orders" ("a");\n'
    )


def test_history_of_one_run_as_csv(run_cli, runs):
    first, second = csv.DictReader(io.StringIO(run_cli("history", "2", "--format", "csv").out))
    assert (first["outcome"], second["outcome"], second["seconds"]) == ("done", "unfinished", "")


def test_history_of_nothing(run_cli):
    result = run_cli("history")
    assert (result.code, result.out, result.err) == (0, "", "dbopt: no runs are recorded\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["99"], ["there is no run 99", "the newest are 3, 2, 1"]),
        (["1", "--limit", "5"], ["--limit and --since choose among runs"]),
        (["--since", "yesterday"], ["--since takes a duration or a date, not yesterday"]),
        (["--since", "99999999999999d"], ["--since takes a duration or a date"]),
        (["--limit", "0"], ["limit"]),
    ],
)
def test_history_refuses(run_cli, runs, arguments, words):
    result = run_cli("history", *arguments)
    assert (result.code, result.out) == (3, "")
    for word in words:
        assert word in result.err


def test_history_without_a_store(run_cli):
    result = run_cli("history", env={"DBOPT_STORE_URL": "none"})
    assert (result.code, "there is no store" in result.err) == (3, True)


def test_store_status_and_upgrade(run_cli, url):
    env = {"DBOPT_STORE_URL": url}
    before = run_cli("store", "status", "--format", "json", env=env)
    assert (before.code, before.json["stores"][0]["state"]) == (1, "absent")
    upgraded = run_cli("store", "upgrade", "--format", "json", env=env)
    after = run_cli("store", "status", "--format", "json", env=env)
    assert (upgraded.code, after.code) == (0, 0)
    assert upgraded.json["stores"] == after.json["stores"]
    [status] = after.json["stores"]
    assert {name: status[name] for name in ("state", "revision", "head", "runs", "oldest")} == {
        "state": "current",
        "revision": HEAD,
        "head": HEAD,
        "runs": 0,
        "oldest": None,
    }
    assert status["size_bytes"] >= status["used_bytes"] > 0
    assert set(after.json["tables"].values()) == {0}


def test_store_status_of_a_broken_file(run_cli):
    default_path().parent.mkdir(parents=True)
    default_path().write_text("my notes\n" * 1000)
    result = run_cli("store", "status")
    assert (result.code, result.out) == (3, "")
    assert f"could not read the store {default_path()}" in result.err
    assert "hint: Move it away with `mv " in result.err
