"""Real servers and the command line, for every test.

DBOPT_TEST_PG names a folder of PostgreSQL binaries (tests/matrix.py sets it); without it, the server that dbopt itself
would find. One server a session, one database a test.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest
from cli_runner import Spawned, cli_arguments, run_in_process
from packaging.specifiers import SpecifierSet
from server import Database, Server

from dbopt import embedded
from dbopt.embedded import binaries as finding
from dbopt.errors import Error

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cli_runner import Result

BINARIES = pytest.StashKey[embedded.Binaries]()

# Whoever runs the tests has variables that would change what a program prints, or where it connects. Some libraries
# read theirs when they are imported, therefore here and not in a fixture.
_CHOSEN = os.environ.get("DBOPT_TEST_PG")
_SCREEN = {"NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLUMNS", "LINES", "GITHUB_ACTIONS", "DATABASE_URL"}
for _name in [name for name in os.environ if name in _SCREEN or name.startswith(("PG", "DBOPT_"))]:
    if _name != finding.VARIABLE:  # which server to run is the caller's choice
        del os.environ[_name]


if "PYTEST_XDIST_WORKER" in os.environ:  # a worker ignores Ctrl-C, and so would all programs that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "leave out what no server has a part in: tests/matrix.py runs the rest once for each of them"
    parser.addoption("--with-server", action="store_true", help=help_text)
    parser.addoption("--update-snapshots", action="store_true", help="write texts that tests compare with anew")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.basetemp is None:  # pytest's own folder would stay; --basetemp is for who wants to look into it
        config.option.basetemp = scratch = tempfile.mkdtemp(prefix="dbopt-tests-")
        config.add_cleanup(lambda: shutil.rmtree(scratch, ignore_errors=True))
    try:
        config.stash[BINARIES] = (
            finding.inspect(finding.Path(_CHOSEN), "DBOPT_TEST_PG") if _CHOSEN else embedded.find_binaries()
        )
    except Error as exc:
        raise pytest.UsageError(f"{exc.message}: {exc.detail}") from exc
    finally:
        os.environ.pop(finding.VARIABLE, None)


def pytest_report_header(config: pytest.Config) -> str:
    found = config.stash[BINARIES]
    return f"server: {found} in {found.bindir}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.with_server:
        asked = {item: "server_binaries" in getattr(item, "fixturenames", ()) for item in items}
        config.hook.pytest_deselected(items=[item for item in items if not asked[item]])
        items[:] = [item for item in items if asked[item]]
    major = config.stash[BINARIES].version[0]
    for item in items:
        for mark in item.iter_markers("pg"):
            if str(major) not in SpecifierSet(*mark.args):
                item.add_marker(pytest.mark.skip(reason=f"for PostgreSQL {mark.args[0]}, this is {major}"))


@pytest.fixture
def update_snapshots(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-snapshots"))


@pytest.fixture(autouse=True)
def clean_surroundings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No configuration of the person who runs the tests, and none of the checkout's; the work is done in `tmp_path`."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("CONFIG", "STATE", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def server_binaries(pytestconfig: pytest.Config) -> embedded.Binaries:
    """What this session runs on."""
    return pytestconfig.stash[BINARIES]


@pytest.fixture(scope="session")
def pg(server_binaries: embedded.Binaries) -> Iterator[Server]:
    """The session's server."""
    with embedded.start(binaries=server_binaries) as running:
        yield Server(running)


@pytest.fixture
def database(pg: Server) -> Iterator[Database]:
    """An empty database of this test's own."""
    with pg.database() as fresh:
        yield fresh


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`run_cli("plan", "--check", env={...}, stdin="y\\n")`: in this process, so that a failure has its traceback."""

    def run(*argv: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Result:
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            return run_in_process(argv, capsys, patch, stdin)

    return run


@pytest.fixture
def spawn_cli() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`spawn_cli("optimize", "--yes")`: a process of its own, for signals."""
    with Spawned() as spawned:

        def spawn(*argv: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
            return spawned.start(cli_arguments(argv), {**os.environ, **(env or {})})

        yield spawn
