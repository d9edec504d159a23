"""Help, as it is read: the texts themselves, and that the examples in them run as written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dbopt import __version__
from dbopt.cli import reference
from dbopt.cli.frame import COMMANDS, Commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

DOCS = Path(__file__).parents[2] / "docs"
SNAPSHOTS = Path(__file__).parent / "snapshots"
# With a server, or statements, of their own; their own tests run them.
EXAMPLES_OF_OTHERS = {"demo", "slow-queries", "suggest"}


@pytest.mark.parametrize(
    "argv",
    ["--help", "init --help", "lint --help", "plan --help", "optimize --help", "export --help", "health --help"],
)
def test_text(argv: str, run_cli: Callable[..., Result], update_snapshots: bool) -> None:
    """`pytest --update-snapshots` writes them anew, for the eye of a reviewer."""
    path = SNAPSHOTS / f"{argv.split()[0].strip('-')}.txt"
    result = run_cli(*argv.split(), env={"COLUMNS": "80"})
    if update_snapshots:
        path.write_text(result.out, encoding="utf-8")
    assert result == type(result)(0, path.read_text(encoding="utf-8"), "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, run_cli: Callable[..., Result]) -> None:
    text = run_cli(name, "--help").out
    summary = re.sub(r"\s+", " ", text)
    assert COMMANDS[name] in summary
    for part in ("Usage: dbopt", "Examples:", "Exit codes:"):
        assert part in text
    made: Any = Commands().get_command(None, name)
    assert len(made.examples) >= 2
    assert {0, 3, 130} <= set(made.exits)
    assert len(made.help.split("\n\n")) >= 2, "one line, then a paragraph"


def test_bare_call_is_help(run_cli: Callable[..., Result]) -> None:
    assert run_cli().out == run_cli("--help").out


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag: str, run_cli: Callable[..., Result]) -> None:
    assert run_cli(flag).out == f"dbopt {__version__}\n"


def test_reference_and_man_pages_are_fresh() -> None:
    """`python -m dbopt.cli.reference` makes them anew."""
    made = reference.files()
    found = {
        f"{folder}/{path.name}": path.read_text(encoding="utf-8")
        for folder in ("reference", "man")
        for path in (DOCS / folder).iterdir()
    }
    assert sorted(found) == sorted(made)
    for name, text in made.items():
        assert found[name] == text, f"docs/{name} is stale"


SPEC = """\
spec: 1
domain: example
indexes:
  - {name: t_x, table: t, keys: [x], why: an example}
"""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in EXAMPLES_OF_OTHERS])
def test_examples_run_as_written(name: str, run_cli: Callable[..., Result], database: Database) -> None:
    database.sql("CREATE TABLE t (x int)")
    if name != "init":
        Path("indexes").mkdir()
        Path("indexes/example.yaml").write_text(SPEC, encoding="utf-8")
    made: Any = Commands().get_command(None, name)
    for example in made.examples:
        words = shlex.split(example)
        assert words[0] == "dbopt"
        result = run_cli(*words[1:], env={"DATABASE_URL": database.conninfo})
        if name == "history" and words[-1].isdigit():
            assert "no run" in result.err  # its number is an example's
        else:
            assert result.code in (0, 1), result.err


def test_help_imports_nothing_that_costs() -> None:
    """Start-up is part of the interface; bench/ measures it, this says what would spoil it."""
    code = (
        "import sys; from dbopt.cli import main; main(['--help']);"
        "heavy = {'psycopg', 'pydantic', 'sqlalchemy', 'alembic', 'postgast', 'rich.table', 'rich.console', 'yaml'};"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
