"""Start and stop the private server.

dbopt-XXXXXXXX/      ours; root lets the server's account pass
    pgsql/           a copy of the binaries, where the server's account could not reach them
    data/  socket/   the server's
    log              what initdb and the server said
server.json          in the folder that the caller names, else here: how another process finds the server again
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dbopt.embedded.account import Account, unprivileged
from dbopt.embedded.binaries import Binaries, find_binaries
from dbopt.embedded.guard import Guard
from dbopt.embedded.launch import HINT_FOLDER, PORT, launch
from dbopt.errors import Error

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_PATH_MAX_BYTES = 103  # sun_path is 104 bytes with its closing zero on macOS, 108 on Linux
STOP_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.02
STATE_FILE = "server.json"


class EmbeddedServer:
    """A running private server. As a context manager it stops at the end of the block."""

    def __init__(
        self, *, pid: int, directory: Path, superuser: str, state_file: Path, guard: Guard | None = None
    ) -> None:
        self.pid = pid
        self.directory = directory
        self.superuser = superuser
        self.conninfo = (
            f"host={_quoted(str(directory / 'socket'))} port={PORT} user={_quoted(superuser)} dbname=postgres"
        )
        self._state_file = state_file
        self._guard = guard
        self._owner = os.getpid()
        self._stopped = False
        self._kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._kept:
            self.stop()

    def keep(self) -> None:
        """From here on the server outlives this process, and the end of a `with` block; `find_kept` finds it again."""
        atexit.unregister(self._stop_at_exit)
        self._kept = True
        if self._guard is not None:
            self._guard.dismiss()

    def stop(self) -> None:
        """Fast shutdown (sessions are ended, their transactions rolled back); then the folder goes."""
        if self._stopped:
            return
        self._stopped = True
        atexit.unregister(self._stop_at_exit)
        _end(self.pid)
        _remove(self.directory, self._state_file)
        if self._guard is not None:
            self._guard.dismiss()

    def _stop_at_exit(self) -> None:
        if os.getpid() == self._owner:  # a forked child that ends has no say in its parent's server
            self.stop()


def start(
    directory: Path | None = None,
    *,
    binaries: Binaries | None = None,
    settings: Mapping[str, str] | None = None,
    superuser: str = "postgres",
) -> EmbeddedServer:
    """A new server, accepting connections. `settings` go over SETTINGS.

    It ends with this process, however that ends, unless `keep()` is called; then `find_kept(directory)` finds it
    again, in this process or any other. `directory` is the server's own folder unless given.
    """
    binaries = binaries or find_binaries()
    account = unprivileged()
    if directory is not None and find_kept(directory) is not None:
        raise Error(f"a server is already running for {directory}", hint="Stop it first: dbopt demo --stop.")
    home = _make_home(account)
    state_file = (directory or home).absolute() / STATE_FILE
    guard = Guard(home, state_file)
    try:
        pid = launch(home, binaries, account, settings or {}, superuser)
        state_file.parent.mkdir(parents=True, exist_ok=True)
        with state_file.open("x") as state:  # exclusively: two that start at once do not both get the place
            json.dump({"directory": str(home), "pid": pid, "superuser": superuser}, state)
    except OSError as exc:
        guard.fire()
        raise Error("could not start a private PostgreSQL", detail=str(exc), hint=HINT_FOLDER) from exc
    except BaseException:
        guard.fire()
        raise
    server = EmbeddedServer(pid=pid, directory=home, superuser=superuser, state_file=state_file, guard=guard)
    atexit.register(server._stop_at_exit)
    return server


def find_kept(state_dir: Path) -> EmbeddedServer | None:
    """The server that was started with this directory, if it still runs. What a dead one left is removed."""
    state_file = state_dir / STATE_FILE
    try:
        state = json.loads(state_file.read_text())
        home, pid, superuser = Path(state["directory"]), int(state["pid"]), str(state["superuser"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise Error(f"could not read {state_file}", detail=str(exc), hint="Remove the file, then start anew.") from exc
    if home.is_dir() and home.stat().st_uid != os.geteuid():
        raise Error(
            f"{home} belongs to another account", hint=f"Stop the server as that account, or remove {state_file}."
        )
    if not _answers(home):  # gone, and after a restart of the machine the pid may be somebody else's
        _remove(home, state_file)
        return None
    return EmbeddedServer(pid=pid, directory=home, superuser=superuser, state_file=state_file)


def _make_home(account: Account | None) -> Path:
    """A new private folder, short enough for a socket and open to the account."""
    refusals = []
    for base in dict.fromkeys((tempfile.gettempdir(), "/tmp")):
        example = Path(base, "dbopt-XXXXXXXX", "socket", f".s.PGSQL.{PORT}")
        if len(os.fsencode(example)) > SOCKET_PATH_MAX_BYTES:
            refusals.append(f"{base} is too long for the path of a Unix socket")
            continue
        if account is not None and not account.can_reach(Path(base)):
            refusals.append(f"{base} is closed to the account that would run the server")
            continue
        try:
            home = Path(tempfile.mkdtemp(prefix="dbopt-", dir=base))
        except OSError as exc:
            refusals.append(str(exc))
            continue
        if account is not None:
            os.chown(home, -1, account.gid)
            home.chmod(0o710)
        return home
    raise Error("no folder for a private PostgreSQL", detail="; ".join(refusals), hint=HINT_FOLDER)


def _answers(home: Path) -> bool:
    """Whether a server listens: only a living one accepts on a socket that lies in a private folder."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(home / "socket" / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
        return True


def _end(pid: int) -> None:
    """Fast shutdown, then immediate shutdown, then SIGKILL."""
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if _gone(pid):
                return
            time.sleep(POLL_SECONDS)


def _gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid  # our child: takes the exit status, leaves no zombie
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _remove(home: Path, state_file: Path) -> None:
    state_file.unlink(missing_ok=True)
    try:
        shutil.rmtree(home)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise Error(f"could not remove {home}", detail=str(exc)) from exc


def _quoted(value: str) -> str:
    """A value of a conninfo string."""
    if value and not set(value) & set(" '\\\t\n"):
        return value
    return "'{}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))
