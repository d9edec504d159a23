"""lint, plan, optimize and init from the outside: exit codes, what is on stdout, what is asked."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_runner import cli_arguments
from helpers import assert_index, index_names, invalid_indexes, open_transaction, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

SPEC = "spec: 1\ndomain: a\nindexes:\n  - {name: t_x, table: t, keys: [x], why: test}\n"


@pytest.fixture
def app(database: Database) -> Database:
    """A database with a table, a spec that wants one index on it."""
    database.sql("CREATE TABLE t (x int, y text); ANALYZE t")
    analyzed = "SELECT pg_stat_get_last_analyze_time('t'::regclass) IS NOT NULL"
    wait_until(lambda: database.sql(analyzed) == [(True,)], "that ANALYZE is counted: else a plan has a step for it")
    Path("indexes").mkdir()
    Path("indexes/a.yaml").write_text(SPEC, encoding="utf-8")
    return database


def test_lint_says_what_it_looked_at(app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("lint", "--format", "table")
    assert (result.code, result.out, result.err) == (0, "no findings in 1 file, 1 index\n", "")


def test_lint_of_a_broken_spec(run_cli: Callable[..., Result]) -> None:
    Path("broken.yaml").write_text("spec: 1\ndomain: [a\n", encoding="utf-8")
    result = run_cli("lint", "broken.yaml", "--format", "json")
    assert result.code == 1
    assert result.json["findings"][0]["file"] == "broken.yaml"


def test_lint_online(app: Database, run_cli: Callable[..., Result]) -> None:
    Path("indexes/a.yaml").write_text(SPEC.replace("keys: [x]", "keys: [nix]"), encoding="utf-8")
    assert run_cli("lint").code == 0
    result = run_cli("lint", "--online", "-d", app.conninfo, "--format", "json")
    assert result.code == 1
    assert result.json["findings"][0]["index"] == "t_x"


@pytest.mark.parametrize("argv", [["plan"], ["optimize", "--yes"]])
def test_a_broken_spec_stops_the_others(argv: list[str], app: Database, run_cli: Callable[..., Result]) -> None:
    Path("indexes/a.yaml").write_text("spec: 1\ndomain: a\nindexes: 5\n", encoding="utf-8")
    result = run_cli(*argv, "-d", app.conninfo)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("dbopt: error: 1 problem in 1 spec file\nindexes/a.yaml:3:")


def test_plan_changes_nothing_and_check_tells(app: Database, run_cli: Callable[..., Result]) -> None:
    assert run_cli("plan", "-d", app.conninfo).code == 0
    assert run_cli("plan", "-d", app.conninfo, "--check").code == 1
    assert index_names(app, "t") == []
    assert run_cli("optimize", "-d", app.conninfo, "--yes").code == 0
    assert_index(app, "public.t (x)")
    assert run_cli("plan", "-d", app.conninfo, "--check").code == 0


def test_plan_names_the_command_to_go_on(app: Database, run_cli: Callable[..., Result]) -> None:
    secret = app.conninfo + " password=s3cr3t-Pa55"
    result = run_cli("plan", "-d", secret, "--format", "table", "--adopt")
    assert "\nTo apply: dbopt optimize -d '" in result.out
    assert result.out.endswith("--adopt\n")
    assert "s3cr3t-Pa55" not in result.out


def test_plan_in_a_file(app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("plan", "-d", app.conninfo, "--out", "plan.json", "--format", "table")
    assert result.out.rstrip().endswith("--plan plan.json")
    assert run_cli("optimize", "-d", app.conninfo, "--plan", "plan.json", "--yes").code == 0
    again = run_cli("optimize", "-d", app.conninfo, "--plan", "plan.json", "--yes")
    assert again.code == 3
    assert "have changed since the plan was made" in again.err


def test_optimize_without_a_terminal_changes_nothing(app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("optimize", "indexes/a.yaml", "-d", app.conninfo, "--wait", "10m", "--format", "lines")
    assert (result.code, result.out) == (3, "")
    assert "error: nothing was changed" in result.err
    command = result.err.rstrip().rpartition("hint: ")[2]
    assert command.startswith("dbopt optimize indexes/a.yaml -d ")
    assert command.endswith(" --wait 10m --yes")
    assert index_names(app, "t") == []


def test_optimize_dry_run_is_plan(app: Database, run_cli: Callable[..., Result]) -> None:
    plan = run_cli("plan", "-d", app.conninfo, "--format", "json")
    dry = run_cli("optimize", "--dry-run", "-d", app.conninfo, "--format", "json")
    assert (dry.code, dry.json) == (0, plan.json)
    assert index_names(app, "t") == []


def test_optimize_as_json_lines(app: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("optimize", "--yes", "-d", app.conninfo, "--format", "json")
    assert result.code == 0
    assert result.json_lines[0]["event"] == "run_started"
    last = result.json_lines[-1]
    assert (last["event"], last["applied"], last["items"][0]["status"]) == ("result", 1, "applied")
    second = run_cli("optimize", "-d", app.conninfo, "--format", "json").json_lines[-1]
    assert (second["applied"], second["unchanged"]) == (0, 1)


def test_optimize_that_could_not_make_an_index(app: Database, run_cli: Callable[..., Result]) -> None:
    app.sql("INSERT INTO t VALUES (1), (1)")
    Path("indexes/a.yaml").write_text(SPEC.replace("why:", "unique: true, why:"), encoding="utf-8")
    result = run_cli("optimize", "--yes", "-d", app.conninfo, "--format", "json")
    assert result.code == 1
    assert result.json_lines[-1]["failed"] == 1
    assert invalid_indexes(app) == []


def test_a_run_is_recorded(app: Database, run_cli: Callable[..., Result]) -> None:
    run_cli("optimize", "--yes", "-d", app.conninfo)
    assert f"\t{app.name}\t" in run_cli("history", "--format", "lines").out


@pytest.mark.parametrize(("answer", "code", "indexes"), [("n\n", 1, []), ("\n", 1, []), ("y\n", 0, ["t_x"])])
def test_optimize_asks_on_a_terminal(answer: str, code: int, indexes: list[str], app: Database) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        cli_arguments(["optimize", "-d", app.conninfo, "--no-color"]),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    )
    os.close(terminal)
    os.write(controller, answer.encode())
    said = b""
    with contextlib.suppress(OSError):  # the end of a terminal that nobody holds open any more
        while chunk := os.read(controller, 100_000):
            said += chunk
    os.close(controller)
    process.communicate(timeout=20)
    assert b"Apply this plan? [y/N] " in said
    assert process.returncode == code
    assert index_names(app, "t") == indexes


# Not the builds on the plan's twins, which are in the view too.
BUILDING = "SELECT 1 FROM pg_stat_progress_create_index WHERE command = 'CREATE INDEX CONCURRENTLY'"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_cleans_up_and_goes_on_later(
    signum: int,
    code: int,
    app: Database,
    spawn_cli: Callable[..., subprocess.Popen[str]],
    run_cli: Callable[..., Result],
) -> None:
    # A snapshot older than the build: it waits for that, and the removal of what it leaves does not.
    with open_transaction(app, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"):
        process = spawn_cli("optimize", "--yes", "-d", app.conninfo, "--format", "json")
        wait_until(lambda: app.sql(BUILDING), "the build")
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "dbopt: interrupted: ending the build" in err
    assert '"interrupted": true' in out.splitlines()[-1]
    assert invalid_indexes(app) == []
    assert run_cli("optimize", "--yes", "-d", app.conninfo).code == 0
    assert_index(app, "public.t (x)")


def test_a_reader_that_leaves_ends_no_run(app: Database) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        cli_arguments(["optimize", "--yes", "-d", app.conninfo, "--format", "json"]), stdout=write, check=False
    )
    os.close(write)
    assert done.returncode == 0
    assert_index(app, "public.t (x)")


def test_init_then_lint(run_cli: Callable[..., Result]) -> None:
    result = run_cli("init")
    assert result.code == 0
    assert all(Path(line).is_file() for line in result.out.splitlines())
    assert run_cli("lint").code == 0
    again = run_cli("init")
    assert again.code == 3
    assert "exists already" in again.err
