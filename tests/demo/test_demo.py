"""`dbopt demo` from start to end, kept and stopped, interrupted; nothing of it stays."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import wait_until
from psycopg.conninfo import conninfo_to_dict

from dbopt.demo.app import DEFAULT_ROWS
from dbopt.embedded.binaries import VARIABLE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from cli_runner import Result

    from dbopt.embedded import Binaries

SMALL = ("--app", "neonhub", "--rows", "500")


@pytest.fixture(autouse=True)
def on_this_server(server_binaries: Binaries, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo runs on what the test session runs on."""
    monkeypatch.setenv(VARIABLE, str(server_binaries.bindir))


@pytest.fixture
def state_file() -> Path:
    """How a kept server is found."""
    return Path(os.environ["XDG_STATE_HOME"], "dbopt", "demo", "server.json")


def home_of(conninfo: str) -> Path:
    return Path(str(conninfo_to_dict(conninfo)["host"])).parent


def test_the_document_holds_every_path_measured_twice(run_cli: Callable[..., Result]) -> None:
    result = run_cli("demo", *SMALL, "--format", "json")
    assert result.code == 0, result.err
    document = result.json
    assert (document["command"], document["app"], document["conninfo"]) == ("demo", "neonhub", None)
    assert (document["applied"], document["failed"], document["refused"]) == (37, 0, 0)
    assert document["rows"]["analytics"] == 500
    assert document["summary"]["paths"] == len(document["paths"])
    assert document["coverage"]["foreign_keys_indexed"]["after"] == 1
    assert document["coverage"]["rows_by_index"]["before"] is None  # no table is large here
    for path in document["paths"]:
        assert path["times_faster"] == pytest.approx(path["before_ms"] / path["after_ms"])
        assert path["buffers_before"] > 0
        assert path["plan_before"]
        assert path["plan_after"]


def test_people_read_stages_plan_table_and_summary(run_cli: Callable[..., Result]) -> None:
    result = run_cli("demo", *SMALL, "--format", "table")
    assert result.code == 0, result.err
    assert "load NeonHub: " in result.out
    assert "  create leads_score_idx on public.leads: Leads above a score, best first\n" in result.out
    assert "Access path" in result.out
    assert "Times faster" in result.out
    assert "of 19 access paths at least 10 times faster" in result.out
    assert "  As before: User by email: " in result.out
    assert (
        "Index coverage, as the server counted it:\n"
        "  rows read from tables over 10,000 rows that an index found: no table has more than 10,000 rows\n"
        "  foreign keys with an index: 0 % before, 100 % after\n"
    ) in result.out
    assert result.err == ""


def test_quiet_lines_are_the_records_alone(run_cli: Callable[..., Result]) -> None:
    result = run_cli("demo", *SMALL, "-q", "--format", "lines")
    assert (result.code, result.err) == (0, "")
    assert [len(line.split("\t")) for line in result.out.splitlines()] == [11] * 19


def test_a_kept_server_goes_on_until_it_is_stopped(run_cli: Callable[..., Result], state_file: Path) -> None:
    kept = run_cli("demo", *SMALL, "--keep", "--format", "json")
    assert kept.code == 0, kept.err
    conninfo = kept.json["conninfo"]
    try:
        with psycopg.connect(conninfo) as conn:
            assert conn.execute("SELECT count(*) FROM analytics").fetchone() == (500,)
        tries = [shlex.split(line)[1:] for line in kept.err.splitlines() if line.startswith("  dbopt ")]
        assert [words[0] for words in tries] == ["plan", "lint", "health", "stats", "metrics", "demo"]
        for words in tries[:-1]:
            assert run_cli(*words, "--no-color").code in (0, 1), words
        again = run_cli("demo", *SMALL, "--keep")
        assert (again.code, "already running" in again.err) == (3, True)
        assert (
            run_cli("plan", "-d", conninfo, str(Path(__file__).parents[2] / "indexes/neonhub.yaml"), "--check").code
            == 0
        )
    finally:
        stopped = run_cli("demo", "--stop")
    assert stopped.code == 0
    assert not home_of(conninfo).exists()
    assert not state_file.parent.exists()
    assert "no server was left running" in run_cli("demo", "--stop").err


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing_even_with_keep(
    spawn_cli: Callable[..., subprocess.Popen[str]], state_file: Path, signum: int, code: int
) -> None:
    process = spawn_cli("demo", "--rows", "100000", "--keep")
    wait_until(lambda: state_file.exists() and state_file.read_text(), "the server")
    home = Path(json.loads(state_file.read_text())["directory"])
    wait_until(lambda: os.listdir(home / "data" / "base")[3:], "the demo's database")
    process.send_signal(signum)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert not home.exists()
    assert not state_file.exists()


@pytest.mark.parametrize("argv", [("--keep",), ("--app", "neonhub"), ("--rows", "500")])
def test_stop_stands_alone(run_cli: Callable[..., Result], argv: tuple[str, ...]) -> None:
    result = run_cli("demo", "--stop", *argv)
    assert (result.code, "--stop stands alone" in result.err) == (3, True)


def test_help_tells_the_default_scale(run_cli: Callable[..., Result]) -> None:
    assert f"default {DEFAULT_ROWS}." in " ".join(run_cli("demo", "--help").out.split())


def test_zero_rows_are_refused_and_not_the_default(run_cli: Callable[..., Result]) -> None:
    result = run_cli("demo", "--rows", "0")
    assert (result.code, "rows must be from 100" in result.err) == (3, True)
