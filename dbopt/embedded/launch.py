"""Make a cluster and bring its server up, as ourselves or as another account."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from dbopt.embedded.account import Account, copy_binaries
from dbopt.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dbopt.embedded.binaries import Binaries

PORT = 5432  # only part of the socket's name: the server has no TCP port
START_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_TAIL_LINES = 6
HINT_FOLDER = "Choose a folder with more room, open to all and with a short name: export TMPDIR=/var/tmp"

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    # A sample needs no durability. Never for data that anybody would miss.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def launch(home: Path, binaries: Binaries, account: Account | None, settings: Mapping[str, str], superuser: str) -> int:
    """initdb and postgres in the folder `home`; the pid of a server that accepts connections."""
    data, socket_dir, log = home / "data", home / "socket", home / "log"
    data.mkdir(mode=0o700)
    socket_dir.mkdir(mode=0o700)
    bindir = binaries.bindir
    if account is not None:
        account.owns(data, socket_dir)
        if not account.can_reach(bindir / "postgres"):
            bindir = copy_binaries(bindir, home / "pgsql")
    _initdb(bindir, data, log, account, superuser)
    preload = {"shared_preload_libraries": "pg_stat_statements"} if binaries.has_library("pg_stat_statements") else {}
    sockets = {"unix_socket_directories": '"{}"'.format(str(socket_dir).replace('"', '""'))}
    with (data / "postgresql.conf").open("a") as conf:
        for name, value in {**SETTINGS, **preload, **settings, **sockets}.items():
            conf.write("{} = '{}'\n".format(name, value.replace("\\", "\\\\").replace("'", "''")))
    with _spawned([str(bindir / "postgres"), "-D", str(data)], log, data, account) as process:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not _ready(data):
            if process.poll() is not None:
                raise Error("the private PostgreSQL did not start", detail=_tail(log))
            if time.monotonic() > deadline:
                raise Error(f"the private PostgreSQL was not ready in {START_TIMEOUT_SECONDS:.0f} s", detail=_tail(log))
            time.sleep(POLL_SECONDS)
        process.returncode = 0  # from here on the pid is all we keep, and Popen shall not warn that the server runs
        return process.pid


def _initdb(bindir: Path, data: Path, log: Path, account: Account | None, superuser: str) -> None:
    command = [str(bindir / "initdb"), "-D", str(data), "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-sync"]
    for locale in ("C.UTF-8", "C"):  # the second sorts the same, and every system has it
        with _spawned([*command, f"--locale={locale}"], log, data, account) as process:
            if process.wait() == 0:
                return
        if "invalid locale name" not in log.read_text(errors="replace"):
            break
    raise Error("initdb failed", detail=_tail(log), hint=HINT_FOLDER)


@contextlib.contextmanager
def _spawned(command: list[str], log: Path, data: Path, account: Account | None) -> Iterator[subprocess.Popen[bytes]]:
    """In a session of its own: a Ctrl-C on the terminal is for us, and we then end the process in good order."""
    foreign = ("PG", "LC_", "LANG")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with log.open("ab") as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            cwd=data,
            env={**environment, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            umask=0o077,
            **(account.switch() if account else {}),
        )
    try:
        yield process
    except BaseException:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)  # both programs clean up on it; SIGKILL would leave shared memory
            process.wait()
        raise


def _ready(data: Path) -> bool:
    """The postmaster says so itself, in the eighth line of its pid file."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return " / ".join([line.strip() for line in lines if line.strip()][-LOG_TAIL_LINES:])
