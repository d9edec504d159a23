"""The outermost frame: usage errors, exit codes, what stderr may say, closed pipes, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_runner import cli_arguments

from dbopt.cli import main
from dbopt.cli.messages import MaskedStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result

SECRET = "s3cr3t-Pa55"


@pytest.mark.parametrize(
    ("argv", "err"),
    [
        (
            "pla",
            'dbopt: error: unknown command "pla"\n'
            "  detail: commands: init, lint, plan, optimize, export, migration, health, metrics, stats, slow-queries,"
            " suggest, reset-metrics, snapshot, history, report, store, demo\n"
            "  hint: Did you mean plan?\n",
        ),
        ("--verbos plan", "dbopt: error: unknown option --verbos\n  hint: Did you mean --verbose? Try dbopt --help.\n"),
        (
            "plan --chekc",
            "dbopt: error: unknown option --chekc\n  hint: Did you mean --check? Try dbopt plan --help.\n",
        ),
        ("plan --out", "dbopt: error: option '--out' requires an argument\n  hint: Try dbopt --help.\n"),
        ("plan -v -q", "dbopt: error: -v and -q contradict each other\n  hint: Use one of them.\n"),
        (
            "init -d app",
            "dbopt: error: init connects to no database\n  hint: Leave -h, -p, -U, -d, -t and --all-targets out.\n",
        ),
        (
            "-d app init",
            "dbopt: error: init connects to no database\n  hint: Leave -h, -p, -U, -d, -t and --all-targets out.\n",
        ),
        (
            "lint -d app",
            "dbopt: error: lint asks no database unless told to\n  hint: Add --online, or leave the database out.\n",
        ),
        (
            "optimize --plan p.json indexes/",
            "dbopt: error: --plan runs just that plan\n  hint: Leave SPEC, --prune-foreign and --adopt out.\n",
        ),
        ("plan -c nowhere.yaml", "dbopt: error: could not read nowhere.yaml\n  detail: no such file\n"),
        ("-c nowhere.yaml plan", "dbopt: error: could not read nowhere.yaml\n  detail: no such file\n"),
    ],
)
def test_usage_errors(argv: str, err: str, run_cli: Callable[..., Result]) -> None:
    result = run_cli(*argv.split())
    assert (result.code, result.out, result.err) == (3, "", err)


def test_bad_format_names_the_valid_ones(run_cli: Callable[..., Result]) -> None:
    result = run_cli("lint", "--format", "xml")
    assert result.code == 3
    for name in ("table", "lines", "json", "csv"):
        assert name in result.err


@pytest.mark.parametrize("flag", [[], ["-v"], ["-vv"]])
def test_a_defect_is_one_message_and_its_traceback_is_for_vv(
    flag: list[str], run_cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError(f"password={SECRET}")

    monkeypatch.setattr("dbopt.config.read", broken)
    result = run_cli("lint", *flag)
    assert result.code == 3
    assert "dbopt: error: internal error: KeyError: 'password=********" in result.err
    assert "  hint: This is a defect of dbopt." in result.err
    assert ("Traceback" in result.err) == (flag == ["-vv"])
    assert SECRET not in result.err


def test_interrupt_outside_of_a_change(run_cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dbopt.config.read", interrupted)
    result = run_cli("lint")
    assert (result.code, result.out, result.err) == (130, "", "")


def test_a_closed_pipe_is_quiet() -> None:
    """`dbopt --show-config | head -0`"""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(cli_arguments(["--help"]), stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"postgres://me:{SECRET}@db1/app", "postgres://me:********@db1/app"),
        (f"host=db1 password={SECRET} user=me", "host=db1 password=******** user=me"),
        (f"password = 'a {SECRET}' x", "password = ******** x"),
        (f"sslpassword={SECRET}", "sslpassword=********"),
        ("it is known-word here", "it is ******** here"),
        ("unknown-words stay", "unknown-words stay"),
        ("no password supplied", "no password supplied"),
    ],
)
def test_masks(text: str, shown: str) -> None:
    stream = MaskedStream(sys.stderr)
    stream.add_secrets({"known-word"})
    assert stream.mask(text) == shown


def test_main_returns_and_never_raises(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 3
    assert capsys.readouterr().out == ""


def test_completion_of_commands_and_targets(run_cli: Callable[..., Result]) -> None:
    env = {"_DBOPT_COMPLETE": "complete_bash", "COMP_WORDS": "dbopt pl", "COMP_CWORD": "1"}
    assert run_cli(env=env).out.split() == ["plan"]
    from pathlib import Path

    Path("dbopt.yaml").write_text('targets: {main: {dsn: "host=a"}, reports: {dsn: "host=b"}}\n', encoding="utf-8")
    env |= {"COMP_WORDS": "dbopt plan -t ", "COMP_CWORD": "3"}
    assert run_cli(env=env).out.split() == ["main", "reports"]
