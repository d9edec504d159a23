"""`dbopt store`: status, prune and export, as people and programs call them."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_runner import cli_arguments
from store.readings import keep, opened, part

from dbopt.store.location import default_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result

    Run = Callable[..., Result]

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def url() -> str:
    """The default store, with the readings of a hundred days."""
    default_path().parent.mkdir(parents=True)
    url = f"sqlite:///{default_path()}"
    names = {f"table_{n}": float(n) for n in range(300)}
    keep(url, *(part(NOW - n * DAY, 100 - n, **names) for n in range(100, 0, -1)))
    return url


def test_status(url: str, run_cli: Run) -> None:
    result = run_cli("store", "status", "--format", "json")
    [status] = result.json["stores"]
    assert (result.code, status["targets"], status["runs"]) == (0, 1, 0)
    assert result.json["tables"]["snapshot_heads"] == 1
    assert status["size_bytes"] >= status["used_bytes"]
    assert datetime.fromisoformat(status["oldest"]) == NOW - 100 * DAY
    assert datetime.fromisoformat(status["newest"]) == NOW - DAY
    assert (status["retention_age_seconds"], status["retention_size_bytes"]) == (730 * 86400, 1024**3)


def test_status_for_people(url: str, run_cli: Run) -> None:
    lines = dict(line.split(maxsplit=1) for line in run_cli("store", "status", "--format", "table").out.splitlines())
    assert list(lines) == ["store", "state", "size", "reaches", "holds", "keeps"]
    assert lines["keeps"] == "730 days, at most 1GB"
    assert "1 database" in lines["holds"]


def test_what_the_configuration_keeps(url: str, run_cli: Run) -> None:
    Path("dbopt.yaml").write_text("retention: {age: 30.5d, size: none}\n", encoding="utf-8")
    assert run_cli("store", "status", "--format", "table").out.endswith("keeps      30.5 days\n")
    told = run_cli("store", "prune", "--dry-run", "--format", "json")
    assert told.json["pruned"][0]["dry_run"] is True
    done = run_cli("store", "prune", "--format", "json")
    assert done.json["tables"] == told.json["tables"] == {"intervals": 69}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("retention: {age: 5 fortnights}", "retention.age: expected an age such as 90d, 6mo or 2y, or none"),
        ("retention: {size: 5}", "retention.size: expected at least 1MB, found 5"),
        ("retention: {sise: 1GB}", 'unknown key "sise"'),
        ("retention: 2y", "retention is a mapping of keys to values"),
    ],
)
def test_a_configuration_that_makes_no_sense(text: str, words: str, run_cli: Run) -> None:
    Path("dbopt.yaml").write_text(text + "\n", encoding="utf-8")
    result = run_cli("store", "status")
    assert (result.code, result.out) == (3, "")
    assert words in result.err
    assert "dbopt.yaml:1:" in result.err


def test_prune(url: str, run_cli: Run) -> None:
    before = default_path().stat().st_size
    told = run_cli("store", "prune", "--older-than", "20.5d", "--dry-run", "--format", "table")
    assert told.out.startswith("would go: 79 intervals\n")
    assert default_path().stat().st_size == before
    done = run_cli("store", "prune", "--older-than", "20.5d", "--format", "table")
    assert (done.code, done.out.splitlines()[0]) == (0, "dropped: 79 intervals")
    assert default_path().stat().st_size < before
    assert stat.S_IMODE(default_path().stat().st_mode) == 0o600
    with opened(url) as session:
        assert session.rows("SELECT count(*) FROM intervals", {}) == [(20,)]
    assert run_cli("store", "prune", "--older-than", "20.5d", "--format", "table").out.startswith("nothing went\n")


def test_prune_to_a_size_that_cannot_be_had(url: str, run_cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbopt.config.retention.SIZE_LEAST_BYTES", 1)
    result = run_cli("store", "prune", "--max-size", "1kB")
    assert result.code == 1
    assert "what is left is bigger than asked for" in result.err


def test_export(url: str, run_cli: Run) -> None:
    result = run_cli("store", "export")
    assert (result.code, result.err) == (0, "")
    head, *rows = result.json_lines
    assert (head["kind"], head["schema_version"]) == ("store", 1)
    assert [row["kind"] for row in rows].count("interval") > 50
    young = run_cli("store", "export", "--since", "7d").json_lines
    assert 5 <= len([row for row in young if row["kind"] == "interval"]) <= 7
    json.dumps(young, allow_nan=False)


def test_an_export_that_nobody_reads_to_its_end(url: str) -> None:
    """Or that finds no room: neither is the store's fault."""
    command = shlex.join(cli_arguments(["store", "export"]))
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (json.loads(piped.stdout)["kind"], piped.stderr, piped.returncode) == ("store", "", 141)
    full = subprocess.run(
        ["bash", "-c", f"{command} > /dev/full"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (full.returncode, full.stderr.splitlines()[0]) == (3, "dbopt: error: could not write to stdout")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "--older-than", "90d"], "--older-than belongs to dbopt store prune"),
        (["prune", "--since", "7d"], "--since belongs to dbopt store export"),
        (["export", "--dry-run"], "--dry-run belongs to dbopt store prune"),
        (["prune", "--older-than", "1h"], "at least 1d, found 1h"),
        (["prune", "--max-size", "big"], "a size such as 200MB or 2GB"),
        (["export", "--since", "lately"], "--since takes a duration or a date"),
        (["export", "--format", "csv"], "store export writes JSON"),
        (["prune"], "there is no store"),
        (["export"], "there is no store"),
        (["shrink"], "shrink"),
    ],
)
def test_words_that_make_no_sense(arguments: list[str], words: str, run_cli: Run) -> None:
    result = run_cli("store", *arguments)
    assert (result.code, result.out) == (3, "")
    assert words in result.err
    assert not default_path().exists()
