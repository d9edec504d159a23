"""`dbopt history` of figures, statements, tables and marks, as people and programs call it."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import subprocess
import sys
from datetime import datetime

import pytest

from dbopt.metrics.catalogue import METRICS
from dbopt.render.history_chart import COLUMNS_MAX
from dbopt.store import marks, snapshots
from dbopt.store.targets import Whose

from .past import DAY, HOUR, MINUTE, NOW, WHOSE, indexes, keep, opened, server, statements, tables

BRAILLE = re.compile("[\u2801-\u28ff]")
QUERYID = "-3416356442043621232"


def busy(number=13, *, start=None, name="main", whose=WHOSE, url):
    """A reading an hour: a commit a second, from one hour on twice as many."""
    start = start or NOW - (number - 1) * HOUR
    commits = [3600.0 * step + 3600.0 * max(0, step - 6) for step in range(number)]
    return keep(
        url,
        [server(start + step * HOUR, amount, hit=90.0 * step, read=10.0 * step) for step, amount in enumerate(commits)],
        whose=whose,
        name=name,
    )


def corrupt(url, which):
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE intervals SET packed = x'00ff' WHERE id IN ({which})")
    connection.close()


def test_every_point_for_programs(run_cli, url):
    busy(url=url)
    result = run_cli("history", "metric", "transactions_per_second", "--every", "1h", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [float(row["value"]) for row in rows] == [1.0] * 6 + [2.0] * 6
    assert {row["seconds"] for row in rows} == {"3600.0"}
    assert datetime.fromisoformat(rows[0]["from_at"]) == NOW - 12 * HOUR
    assert (rows[0]["unit"], rows[0]["target"], rows[0]["dbname"]) == ("per second", "main", "app")
    [line, *_] = run_cli("history", "metric", "transactions_per_second", "--every", "1h").out.splitlines()
    assert line.split("\t")[:4] == ["transactions_per_second", rows[0]["from_at"], rows[0]["to_at"], "1.0"]


def test_one_document_for_several_figures(run_cli, url):
    target_id = busy(url=url)
    with opened(url) as session:
        marks.add(
            session,
            target_id,
            "main",
            NOW - 3 * HOUR,
            kind=marks.Kind.BASELINE,
            scope="",
            os_user="ann",
            role="dbopt",
        )
    result = run_cli("history", "metric", "cache_hit_ratio", "transactions_per_second", "--format", "json")
    ratio, rate = result.json["series"]
    assert (ratio["series"], ratio["whole"], ratio["target_value"]) == ("cache_hit_ratio", 0.9, 0.8)
    assert (rate["whole"], rate["min"], rate["max"], rate["seconds"]) == (1.5, 1, 2, 12 * 3600)
    assert len(rate["points"]) == 12
    assert [mark["kind"] for mark in result.json["marks"]] == ["baseline"]
    since = run_cli("history", "metric", "connections", "--since", "reset", "--format", "json").json["series"][0]
    assert len(since["points"]) == 3


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_chart_fits_the_terminal(drawn, url, columns):
    busy(url=url)
    out = drawn("metric", "transactions_per_second", "cache_hit_ratio", columns=columns)
    assert len(BRAILLE.findall(out)) > 40
    assert max(map(len, out.splitlines())) <= min(columns, COLUMNS_MAX)
    assert "\x1b" not in out
    assert "mean 1.5/s, min 1/s" in out
    assert "target above 80 %, alert below 60 %" in out
    assert "12 points, one each 10 minutes" in " ".join(out.split())


def test_a_gap_is_not_drawn_over(drawn, url):
    """Rows that nobody can read are a gap."""
    busy(url=url)
    whole = drawn("metric", "connections", "--every", "1h")
    corrupt(url, "5, 6, 7")
    broken = drawn("metric", "connections", "--every", "1h")
    assert "9 points" in broken
    assert "not watched for 3 h 00 min of it" in broken
    assert 0 < len(BRAILLE.findall(broken)) < len(BRAILLE.findall(whole))


def test_a_failover_is_said_under_the_chart(drawn, url):
    parts = [server(NOW - (9 - step) * HOUR, step, lineage=f"7001/{1 + step // 5}") for step in range(10)]
    keep(url, parts)
    out = drawn("metric", "transactions_per_second", "--every", "1h")
    assert f"another machine took over: {NOW - 4 * HOUR:%Y-%m-%d %H:%M}" in out
    assert "┊" in out


def test_a_terminal_of_an_old_encoding_gets_the_numbers(url, spawn_cli):
    busy(url=url)
    process = spawn_cli(
        "history", "metric", "connections", "--format", "table", env={"PYTHONIOENCODING": "latin-1", "COLUMNS": "80"}
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "mean 5, the same all the time" in out
    assert not re.search(r"\\u", out)


def test_a_statement_with_a_negative_queryid(run_cli, drawn, url):
    parts = [statements(NOW - (3 - step) * HOUR, (f"{QUERYID}/10/1", step, step * 4, step)) for step in range(4)]
    target_id = keep(url, [part for step, part in enumerate(parts)] + [server(NOW, 1)])
    with opened(url) as session:
        snapshots.keep_texts(session, target_id, {int(QUERYID): "SELECT * FROM orders WHERE id = $1"})
    out = drawn("statement", QUERYID)
    assert f"statement {QUERYID} on main (app)\nSELECT * FROM orders WHERE id = $1\n" in out
    assert "mean 4.0 ms" in out
    found = run_cli("history", "statement", QUERYID, "--format", "json").json["series"]
    assert [item["series"] for item in found] == ["calls_per_second", "mean_exec_time_ms", "rows_per_second"]
    assert {item["subject"] for item in found} == {f"statement {QUERYID}"}
    wrong = run_cli("history", "statement", QUERYID[:-1])
    assert (wrong.code, f"near it are {QUERYID}" in wrong.err) == (3, True)


def test_a_table_and_its_indexes(drawn, run_cli, url):
    for step in range(4):
        at = NOW - (3 - step) * HOUR
        parts = [tables(at, orders=(8192.0 * step, step), other=(1.0, 0)), indexes(at, o_x=("orders", 8192, step))]
        keep(url, [server(at, 1), *parts])
    names = ["table_bytes", "index_bytes", "rows", "n_dead_tup", "seq_scans_per_second", "index_scans_per_second"]
    found = run_cli("history", "table", "orders", "--format", "json").json["series"]
    assert [item["series"] for item in found] == names
    assert [point["value"] for point in found[0]["points"]] == [8192, 16384, 24576]
    assert "last 24kB, min 8192B" in drawn("table", "public.orders")
    wrong = run_cli("history", "table", "order")
    assert (wrong.code, "Did you mean public.orders or public.other?" in wrong.err) == (3, True)


def test_a_table_that_was_dropped_is_still_there(run_cli, url):
    sizes = [{"orders": (100.0, 1)}, {"orders": (300.0, 2)}, {"kept": (1.0, 0)}]
    for step, size in enumerate(sizes):
        at = NOW - (2 - step) * HOUR
        keep(url, [server(at, 1), tables(at, **size)])
    [size, *_] = run_cli("history", "table", "public.orders", "--format", "json").json["series"]
    assert [point["value"] for point in size["points"]] == [300, 0]


def test_the_names_of_figures(run_cli, drawn):
    rows = run_cli("history", "metric").out.splitlines()
    assert [row.split("\t")[0] for row in rows] == list(METRICS)
    assert "  cache_hit_ratio, ratio (target above 80 %, alert below 60 %)\n" in drawn("metric", columns=60)


def test_marks(run_cli, drawn, url):
    target_id = busy(url=url)
    with opened(url) as session:
        for kind, scope, hours in ((marks.Kind.BASELINE, "", 2), (marks.Kind.RESET, "statements of ann", 1)):
            at = NOW - hours * HOUR
            marks.add(session, target_id, "main", at, kind=kind, scope=scope, os_user="ann", role="r")
    newest, oldest = run_cli("history", "marks", "--format", "json").json["marks"]
    assert (newest["kind"], newest["scope"], newest["os_user"], newest["target"]) == (
        "reset",
        "statements of ann",
        "ann",
        "main",
    )
    assert (oldest["kind"], oldest["scope"]) == ("baseline", None)
    assert run_cli("history", "marks", "--limit", "1").out.count("\n") == 1
    assert f"reset of statements of ann by ann: {NOW - HOUR:%Y-%m-%d %H:%M}" in drawn("metric", "connections")


# Which database


def test_several_databases_and_none_named(run_cli, url):
    busy(2, url=url)
    busy(2, url=url, name="reports", whose=Whose("7002", "reports", "7002"))
    result = run_cli("history", "metric", "connections")
    assert (result.code, result.out) == (3, "")
    assert "the store knows 2 databases" in result.err
    assert "main (app), reports (reports)" in result.err or "reports (reports), main (app)" in result.err
    assert "dbopt history metric connections -d " in result.err
    for named in (("-t", "reports"), ("-d", "reports")):
        assert "\treports\treports\t" in run_cli("history", "metric", "connections", *named).out
    both = run_cli("history", "metric", "connections", "-t", "main", "-t", "reports", "--format", "json").json
    assert [item["target"] for item in both["series"]] == ["main", "reports"]


def test_a_target_that_was_renamed_goes_by_both_names(run_cli, url):
    with opened(url) as session:
        session.run("INSERT INTO targets (id, server, dbname) VALUES (1, '7001', 'app')", [{}])
        row = {"at": session.moment(NOW - DAY)}
        session.run(
            "INSERT INTO health_runs (target_id, target_name, dbopt_version, collected_at, seconds, status, checks)"
            " VALUES (1, 'old', '1', :at, 1, 'ok', 1)",
            [row],
        )
    busy(3, url=url, name="new")
    for name in ("old", "new"):
        [series] = run_cli("history", "metric", "connections", "-t", name, "--format", "json").json["series"]
        assert (series["target"], len(series["points"])) == ("new", 2)


# What is off


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["metric", "cache_hit"], ['there is no figure "cache_hit"', "Did you mean cache_hit_ratio?"]),
        (["metrik"], ['there is no history of "metrik"', "Did you mean metric?"]),
        (["metric", "connections", "--since", "9000-01-01"], ["lies in the future"]),
        (["metric", "connections", "--since", "1d", "--until", "2d"], ["is not before --until 2d"]),
        (["metric", "connections", "--since", "soon"], ["--since takes a duration or a date, not soon"]),
        (["metric", "connections", "--since", "reset"], ["there is no mark of main to count from"]),
        (["metric", "connections", "--every", "1s"], ["--every 1s is too little"]),
        (["metric", "connections", "--every", "often"], ["--every: expected a duration"]),
        (["metric", "connections", "--limit", "3"], ["--limit is not for the history of metric"]),
        (["metric", "connections", "-d", "nowhere"], ["the store knows nothing of nowhere", "it knows main (app)"]),
        (["metric", "connections", "--sicne", "3d"], ["unknown option --sicne", "Did you mean --since?"]),
        (["statement"], ["statement takes a queryid"]),
        (["statement", "abc"], ['"abc" is no queryid']),
        (["statement", "7"], ["there is no statement 7 in the store", "no reading of pg_stat_statements is kept"]),
        (["table", "t"], ['there is no table "t" in the store', "no reading of tables is kept"]),
        (["health", "app"], ["health takes no name"]),
        (["health", "--check", "unused"], ['there is no check "unused"', "Did you mean unused-index?"]),
        (["12", "13"], ["one run at a time"]),
    ],
)
def test_what_is_refused(run_cli, url, words, said):
    busy(2, url=url)
    result = run_cli("history", *words)
    assert (result.code, result.out) == (3, "")
    for line in said:
        assert line in result.err


def test_nothing_in_that_time_says_what_there_is(run_cli, url):
    busy(3, url=url)
    result = run_cli("history", "metric", "connections", "--since", "2019-01-01", "--until", "2020-01-01")
    assert (result.code, result.out) == (0, "")
    assert f"kept is {NOW - 2 * HOUR:%Y-%m-%d %H:%M} to {NOW:%Y-%m-%d %H:%M}" in result.err
    lacking = run_cli("history", "metric", "pool_used_ratio", "--format", "json")
    assert (lacking.code, lacking.json["series"]) == (0, [])
    assert "nothing for pool_used_ratio of main was ever read" in lacking.err


def test_a_store_that_is_new_or_has_one_reading(run_cli, url):
    result = run_cli("history", "metric", "connections")
    assert (result.code, result.out) == (0, "")
    assert "no counters are kept yet" in result.err
    assert "no marks are kept" in run_cli("history", "marks").err
    assert "no runs of health are kept yet" in run_cli("history", "health").err
    keep(url, [server(NOW, 1)])
    assert "the next one makes the first point" in run_cli("history", "metric", "connections").err


def test_a_store_that_cannot_be_used(run_cli, url, tmp_path):
    none = run_cli("history", "metric", "connections", env={"DBOPT_STORE_URL": "none"})
    assert (none.code, "there is no store" in none.err) == (3, True)
    (tmp_path / "store.db").write_text("my notes\n" * 1000)
    damaged = run_cli("history", "metric", "connections")
    assert (damaged.code, "file is not a database" in damaged.err) == (3, True)
    gone = run_cli("history", "health", env={"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/not/here.db"})
    assert (gone.code, "could not open the store" in gone.err) == (3, True)


def test_names_and_words_of_others_steer_no_terminal(drawn, url):
    whose = Whose("7003", "a\x1b[2Jb", "7003")
    keep(url, [server(NOW - HOUR, 1), server(NOW, 2)], whose=whose, name="m\x1b[31m")
    assert "m\\x1b[31m (a\\x1b[2Jb)" in drawn("metric", "connections")


def test_what_is_slow_to_load_is_loaded_only_where_it_is_needed(url):
    busy(3, url=url)
    code = (
        "import sys; from dbopt.cli import main; main(['history', 'metric', 'connections', '--format', 'lines']);"
        "heavy = {'plotext', 'sqlalchemy', 'alembic', 'pydantic', 'postgast', 'rich.console'};"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_minutes(run_cli, url):
    """A reading a minute, as cron takes it."""
    keep(url, [server(NOW - (10 - step) * MINUTE, 60.0 * step) for step in range(11)])
    [series] = run_cli("history", "metric", "transactions_per_second", "--format", "json").json["series"]
    assert (series["every_seconds"], len(series["points"]), series["whole"]) == (60, 10, 1)


# Health


@pytest.fixture
def looked_at(url):
    """Ten looks an hour apart: one finding is still there, one is gone, one was seen once."""
    rows = [
        ("unused-index", "public.a_x", "warning", 9, 9, 0, 0),
        ("deadlocks", "app", "critical", 4, 8, 2, 1),
        ("deadlocks", "app\x1b[2J", "critical", 1, 5, 5, 1),
    ]
    with opened(url) as session:
        session.run("INSERT INTO targets (id, server, dbname) VALUES (1, '7001', 'app')", [{}])
        session.run(
            "INSERT INTO health_runs (target_id, target_name, dbopt_version, collected_at, seconds, status, checks)"
            " VALUES (1, 'main', '1', :at, 1, 'warning', 40)",
            [{"at": session.moment(NOW - hours * HOUR)} for hours in range(10)],
        )
        session.run(
            "INSERT INTO health_findings (target_id, check_id, subject, status, measure, runs, first_at, last_at,"
            " is_over) VALUES (1, :check, :subject, :status, 3.5, :runs, :first, :last, :over)",
            [
                {
                    "check": check,
                    "subject": subject,
                    "status": status,
                    "runs": runs,
                    "over": over,
                    "first": session.moment(NOW - first * HOUR),
                    "last": session.moment(NOW - last * HOUR),
                }
                for check, subject, status, runs, first, last, over in rows
            ],
        )
        session.run(
            "INSERT INTO health_checks (target_id, check_id, status, first_at, last_at, is_over)"
            " VALUES (1, 'deadlocks', 'critical', :first, :last, 1)",
            [{"first": session.moment(NOW - 8 * HOUR), "last": session.moment(NOW - 2 * HOUR)}],
        )


def test_health_over_time_for_people(drawn, looked_at):
    out = drawn("health", columns=60)
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "main (app)"
    assert lines[1].startswith("10 runs of health, ")
    there, gone = lines.index("still there at the last look"), lines.index("gone")
    assert lines[there + 1] == "warning   unused-index: public.a_x"
    assert lines[there + 2] == f"since {NOW - 9 * HOUR:%Y-%m-%d %H:%M}, for 9 h 00 min, in 9 runs"
    assert lines[gone + 1] == "critical  deadlocks: app"  # what was there last comes first
    assert lines[gone + 3] == "critical  deadlocks: app\\x1b[2J"
    assert lines[gone + 4] == f"seen once, {NOW - 5 * HOUR:%Y-%m-%d %H:%M}"
    one = drawn("health", "--check", "deadlocks")
    assert "unused-index" not in one
    assert "what deadlocks said" in one


def test_health_over_time_for_programs(run_cli, looked_at):
    document = run_cli("history", "health", "--format", "json").json
    assert [(item["check"], item["state"], item["runs"]) for item in document["findings"]] == [
        ("unused-index", "there", 9),
        ("deadlocks", "gone", 4),
        ("deadlocks", "gone", 1),
    ]
    assert [(item["status"], item["runs"]) for item in document["runs"]] == [("warning", 10)]
    few = run_cli("history", "health", "--limit", "1")
    assert (few.out.count("\n"), "--limit 5 shows more" in few.err) == (1, True)
    young = run_cli("history", "health", "--since", f"{(NOW - 2 * HOUR).isoformat()}", "--format", "json").json
    assert [item["check"] for item in young["findings"]] == ["unused-index", "deadlocks"]
