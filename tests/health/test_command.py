"""`dbopt health` as people and cron call it, on a real server."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import open_transaction, wait_until

from dbopt.cli import completion
from dbopt.health.checks import check_ids
from dbopt.postgres import advisory

FAULTS = """
CREATE TABLE t (a int PRIMARY KEY, b int);
CREATE INDEX t_b ON t (b);
CREATE INDEX t_b_again ON t (b);
ALTER TABLE t ADD CONSTRAINT b_positive CHECK (b > 0) NOT VALID;
"""
ONLY = ("--only", "duplicate-index", "--only", "constraint-not-valid")


@pytest.fixture
def health(run_cli, database):
    """`dbopt health` on a database with two faults, for those two checks."""
    database.sql(FAULTS)

    def run(*argv, only=ONLY, env=None):
        return run_cli("health", *only, *argv, env={"DBOPT_DSN": database.conninfo, **(env or {})})

    return run


def configure(text):
    Path("dbopt.yaml").write_text(text, encoding="utf-8")


def found(document):
    return sorted(finding["subject"] for check in document["checks"] for finding in check["findings"])


BOTH = ["public.t.b_positive", "public.t_b_again"]


def test_findings_and_exit_code(health):
    result = health("--format", "json")
    assert (result.code, result.json["status"], found(result.json), result.err) == (1, "warning", BOTH, "")
    assert result.json["exit_code"] == 1


@pytest.mark.parametrize(("fail_on", "code"), [("warning", 1), ("critical", 0), ("never", 0)])
def test_fail_on_moves_the_line(health, fail_on, code):
    assert health("--fail-on", fail_on).code == code
    configure(f"health: {{fail_on: {fail_on}}}\n")
    assert health().code == code
    assert health("--fail-on", "warning").code == 1


def test_ignored_with_a_reason(health):
    configure(
        """\
health:
  ignore:
    - {check: "*", subject: "public.t*", reason: an example}
    - {check: duplicate-index, subject: "public.gone*", reason: long ago}
    - {check: duplicate-index, subject: "*", reason: old, until: 2020-01-31}
    - {check: unused-index, subject: "*", reason: its check does not run here}
"""
    )
    result = health("--format", "json")
    assert (result.code, result.json["status"], found(result.json)) == (0, "ok", [])
    ignored = [finding for check in result.json["checks"] for finding in check["ignored"]]
    assert sorted(finding["subject"] for finding in ignored) == BOTH
    assert {finding["reason"] for finding in ignored} == {"an example"}
    notes = result.json["notes"]
    assert [note.split(": it")[0] for note in notes] == [
        'the ignore entry of dbopt.yaml:5 for duplicate-index "*" has expired on 2020-01-31',
        'the ignore entry of dbopt.yaml:4 for duplicate-index "public.gone*" matches nothing',
    ]
    assert result.err == ""
    as_lines = health("--format", "lines")
    assert all(note in as_lines.err for note in notes)


def test_thresholds_and_skips_of_the_file(health, database):
    database.sql("CREATE TABLE big AS SELECT generate_series(1, 1000) AS x; ANALYZE big")
    configure("health:\n  skip: [duplicate-index]\n")
    assert found(health("--format", "json", only=("--group", "indexes")).json) == []
    assert found(health("--format", "json").json) == BOTH  # who asks for it gets it
    with open_transaction(database, "SELECT 1") as pid:
        configure("health: {checks: {idle-in-transaction: {warning: 0s, critical: 1d}}}\n")
        result = health("--format", "json", only=("--only", "idle-in-transaction"))
    assert any(str(pid) in subject for subject in found(result.json))
    assert result.code == 1


def test_a_mistake_in_the_file_stops_health_alone(health, run_cli):
    configure("health:\n  checks:\n    duplicate-idx: {warning: 1MB}\n")
    result = health()
    assert (result.code, result.out) == (3, "")
    assert 'dbopt.yaml:3:5: unknown check "duplicate-idx"' in result.err
    assert "hint: Did you mean duplicate-index?" in result.err
    assert run_cli("--show-config").code == 3
    assert run_cli("store", "status").code == 1


def test_show_config(run_cli):
    configure(
        """\
targets: {main: {dsn: host=db1, health: {fail_on: never}}}
health:
  checks: {blocked-sessions: {warning: 2min}}
  skip: [unused-index]
  ignore: [{check: deadlocks, subject: "*", reason: a queue, until: 2027-01-31}]
"""
    )
    settings = {
        row["name"]: (row["value"], row["origin"])
        for row in run_cli("--show-config", "--format", "json").json["settings"]
    }
    assert settings["health.checks.blocked-sessions.warning"] == ("2min", "dbopt.yaml:3")
    assert settings["health.skip"] == ("unused-index", "dbopt.yaml:4")
    assert settings["health.ignore"] == ("deadlocks * until 2027-01-31: a queue", "dbopt.yaml:5")
    assert settings["health.fail_on"] == ("warning", "default")
    assert settings["targets.main.health.fail_on"] == ("never", "dbopt.yaml:1")


# What earlier runs have found


def test_baseline(health, database):
    Path("before.json").write_text(health("--format", "json").out, encoding="utf-8")
    database.sql("CREATE INDEX t_b_third ON t (b)")
    result = health("--format", "json", "--baseline", "before.json")
    assert (result.code, found(result.json)) == (1, ["public.t_b_third"])
    known = [finding["subject"] for check in result.json["checks"] for finding in check["known"]]
    assert sorted(known) == BOTH
    database.sql("DROP INDEX t_b_third")
    assert health("--baseline", "before.json").code == 0


def test_baseline_of_another_database(health, database):
    document = health("--format", "json").json
    document["target"]["dbname"] = "another"
    Path("before.json").write_text(json.dumps(document), encoding="utf-8")
    result = health("--baseline", "before.json")
    assert (result.code, result.out) == (3, "")
    assert f"before.json says nothing about {database.name}" in result.err
    assert "it is about another" in result.err


def test_for_n_runs_in_a_row(health, database):
    for code in (0, 0, 1):
        result = health("--for", "3", "--format", "json")
        assert result.code == code
    database.sql("DROP INDEX t_b_again")
    health()
    database.sql("CREATE INDEX t_b_again ON t (b)")
    result = health("--for", "3", "--format", "json")
    assert found(result.json) == ["public.t.b_positive"]
    [pending] = [finding for check in result.json["checks"] for finding in check["pending"]]
    assert (pending["subject"], pending["reason"]) == ("public.t_b_again", "seen in 1 of 3 runs in a row")


def test_for_without_a_store_counts_at_once(health):
    result = health("--for", "3", "--format", "json", env={"DBOPT_STORE_URL": "none"})
    assert (result.code, found(result.json)) == (1, BOTH)
    assert result.json["notes"] == ["--for needs a store to count runs in: what is found counts at once"]


def test_no_store_leaves_the_store_alone(health, tmp_path):
    url = {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"}
    assert health("--no-store", env=url).code == 1
    assert not (tmp_path / "store.db").exists()
    assert health(env=url).code == 1
    assert (tmp_path / "store.db").exists()


def test_a_store_that_cannot_be_used_is_one_warning(health, tmp_path):
    (tmp_path / "store.db").write_text("my notes\n" * 1000)
    result = health("--format", "json", env={"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"})
    assert (result.code, found(result.json)) == (1, BOTH)
    assert result.err.count("warning: ") == 1
    assert "health goes on without what it remembers" in result.err


def test_counters_are_compared_with_an_earlier_run(health, database, tmp_path):
    """What a check says of rates speaks of the time since that run, not since the server's beginning."""
    only = ("--only", "cache-hit-ratio")
    url = {"DBOPT_STORE_URL": f"sqlite:///{tmp_path}/store.db"}
    counted = "SELECT xact_commit > 0 FROM pg_stat_database WHERE datname = current_database()"
    # Up to 14 the counters of a new database begin with what is first told of it.
    wait_until(lambda: database.sql(counted) == [(True,)], "counting of this database")
    health(only=only, env=url)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as store:
        store.execute("UPDATE health_samples SET taken_at = datetime('now', '-10 minutes')")
        store.commit()
    [check] = health("--format", "json", only=only, env=url).json["checks"]
    assert re.search("within 10 min", check["reason"])
    [check] = health("--format", "json", "--no-store", only=only, env=url).json["checks"]
    assert not re.search("within 10 min", check["reason"])


# Several targets


def test_one_target_that_fails_hides_no_other(health, database):
    configure(f'targets: {{main: {{dsn: "{database.conninfo}"}}, gone: {{dsn: "host=127.0.0.1 port=1 dbname=app"}}}}\n')
    result = health("--all-targets", "--format", "json", env={"DBOPT_DSN": ""})
    first, second = result.json["targets"]
    assert (first["target"]["name"], first["status"], found(first)) == ("main", "warning", BOTH)
    assert (second["target"]["name"], second["status"]) == ("gone", "critical")
    assert result.code == 2


def test_one_that_somebody_else_is_looking_at(health, database):
    with database.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s::int4, %s::int4)", [advisory._CLASS, advisory.Lock.HEALTH])
        alone = health()
        configure(
            f'targets: {{a: {{dsn: "{database.conninfo}"}}, b: {{dsn: "{database.conninfo} dbname=postgres"}}}}\n'
        )
        both = health("--all-targets", "--format", "json", env={"DBOPT_DSN": ""})
    assert (alone.code, alone.out) == (3, "")
    assert "another dbopt is at work" in alone.err
    assert [target["status"] for target in both.json["targets"]] == ["unknown", "ok"]
    assert "another dbopt is at work" in both.json["targets"][0]["checks"][0]["reason"]
    assert both.code == 3


# Words of the call


def test_list_and_explain_look_at_no_database(run_cli):
    listed = run_cli("health", "--list", "--format", "json", "-h", "/nowhere")
    assert [check["id"] for check in listed.json["checks"]] != []
    assert sorted(check["id"] for check in listed.json["checks"]) == check_ids()
    locks = run_cli("health", "--list", "--group", "locks", "--format", "json").json["checks"]
    assert {check["group"] for check in locks} == {"locks"}


def test_explain_says_what_was_set_where(run_cli):
    configure("health:\n  checks:\n    table-bloat: {warning: 42%, min_size: 3GB}\n")
    text = run_cli("health", "--explain", "table-bloat", "--format", "table").out
    assert "table-bloat: Bloated tables" in text
    for words in ("42%", "warning set in dbopt.yaml:3", "3GB", "set in dbopt.yaml:3"):
        assert words in text
    assert "SELECT" not in text.split("source")[1]
    assert "pg_catalog.pg_class" in run_cli("health", "--explain", "table-bloat", "--format", "table", "-v").out


@pytest.mark.parametrize("check_id", check_ids())
def test_every_check_is_explained(run_cli, check_id):
    result = run_cli("health", "--explain", check_id, "--format", "table")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{check_id}: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--list", "--watch", "2"], "--list and --watch contradict each other"),
        (["--list", "--fail-on", "never"], "--list and --fail-on contradict each other"),
        (["--list", "--explain", "deadlocks"], "--list and --explain contradict each other"),
        (["--explain", "deadlocks", "--only", "deadlocks"], "--explain and --only contradict each other"),
        (["--watch", "2", "--fix-spec", "x.yaml"], "--watch and --fix-spec contradict each other"),
        (["--watch", "2", "--for", "2"], "--watch and --for contradict each other"),
        (["--no-store", "--for", "2"], "--no-store and --for contradict each other"),
        (["--only", "deadlock"], 'unknown check "deadlock"'),
        (["--explain", "deadlock"], 'unknown check "deadlock"'),
        (["--skip", "deadlock"], 'unknown check "deadlock"'),
        (["--group", "lock"], 'unknown group "lock"'),
        (["--only", "deadlocks", "--skip", "deadlocks"], "no check is left to run"),
        (["--timeout", "5"], "invalid value for --timeout"),
        (["--timeout", "0s"], "invalid value for --timeout"),
        (["--timeout", "60d"], "invalid value for --timeout"),
        (["--for", "0"], "invalid value for '--for'"),
        (["--watch", "0"], "invalid value for '--watch'"),
        (["--fail-on", "ok"], "invalid value for '--fail-on'"),
        (["--baseline", "missing.json"], "could not read the baseline missing.json"),
    ],
)
def test_words_that_make_no_sense(run_cli, words, message):
    result = run_cli("health", "-h", "/nowhere", *words)
    assert (result.code, result.out) == (3, "")
    assert message in result.err


def test_a_statement_that_takes_too_long_is_unknown(health, database):
    with database.connect() as other:
        other.execute("SELECT 1")
        result = health("--timeout", "1ms", "--format", "json", only=())
    assert result.code in (0, 1, 3)  # quick machines answer in time
    assert health("--timeout", "2min").code == 1


def test_fix_spec(health, database):
    result = health("--fix-spec", "fixes.yaml", "--format", "json")
    assert result.code == 1
    assert "t_b_again" in Path("fixes.yaml").read_text(encoding="utf-8")
    assert "dbopt plan fixes.yaml" in result.err
    database.sql("DROP INDEX t_b_again")
    result = health("--fix-spec", "none.yaml", only=("--only", "duplicate-index"))
    assert (result.code, Path("none.yaml").exists()) == (0, False)
    assert "nothing that a spec could mend" in result.err


def test_the_shell_completes_checks_and_groups():
    assert completion.checks("deadl") == ["deadlocks"]
    assert completion.groups("lo") == ["locks"]


def test_a_whole_run_imports_neither_sqlalchemy_nor_alembic(health, database):
    """A monitor starts once a minute. What makes the store's tables, once, may cost more."""
    health()
    code = (
        "import sys; from dbopt.cli import main; main(sys.argv[1:]);"
        "heavy = {'sqlalchemy', 'alembic', 'postgast', 'rich.console'};"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)"
    )
    words = ["health", "-d", database.conninfo, "--format", "json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
