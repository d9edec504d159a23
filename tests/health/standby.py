"""A primary and its standby, for real, in two seconds and with any server's binaries: pg_basebackup is not needed.

    with pair(binaries) as (primary, standby): ...

The standby's files are copied while the primary is in backup mode; it streams from there, through the slot SLOT.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers import wait_until
from psycopg import OperationalError
from server import Database

from dbopt import embedded
from dbopt.embedded.account import unprivileged
from dbopt.embedded.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from dbopt.embedded import Binaries

SLOT = "standby"  # on the primary; also what the standby calls itself

_PRIMARY = {"wal_level": "logical", "max_wal_senders": "10", "max_replication_slots": "10", "hot_standby": "on"}
_STANDBY = {"wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "200ms", "primary_slot_name": SLOT}


@dataclass(frozen=True, slots=True)
class Node:
    """One of the two. It can be stopped, and started again."""

    home: Path
    postgres: str  # the program

    @property
    def database(self) -> Database:
        return Database(f"host={self.home / 'socket'} port=5432 user=postgres dbname=postgres", "postgres")

    def reload(self, **settings: str) -> None:
        """Settings into its file, where the last of a name wins, and from there into the server."""
        configure(self.home, settings)
        loaded = "SELECT pg_conf_load_time()"
        before = self.database.sql(loaded)
        self.database.sql("SELECT pg_reload_conf()")
        wait_until(lambda: self.database.sql(loaded) != before, "reloading the configuration")
        time.sleep(0.05)  # the other processes hear of it a moment after the sessions' parent

    def stop(self, signum: int = signal.SIGQUIT) -> None:
        """At once, as in a crash: nobody waits for the other node. With SIGINT in good order, ending its sessions."""
        pid = int((self.home / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, signum)
        wait_until(lambda: _gone(pid), "the end of the server")

    def start(self) -> None:
        account = unprivileged()
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(
                [self.postgres, "-D", str(self.home / "data")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home / "data",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                umask=0o077,
                **(account.switch() if account else {}),
            )
        wait_until(lambda: self._answers() or process.poll() is not None, "the start of the server")
        assert process.poll() is None, (self.home / "log").read_text(errors="replace")
        process.returncode = 0  # its pid is in its pid file, and Popen shall not warn that it runs

    def _answers(self) -> bool:
        with contextlib.suppress(OperationalError):
            return bool(self.database.sql("SELECT 1"))
        return False


@contextlib.contextmanager
def pair(
    binaries: Binaries, settings: Mapping[str, str] | None = None, standby_settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Node, Node]]:
    """A primary and a standby that has caught up with it."""
    with embedded.start(binaries=binaries, settings={**_PRIMARY, **(settings or {})}) as server:
        primary = Node(server.directory, shlex.split((server.directory / "data/postmaster.opts").read_text())[0])
        standby = Node(server.directory / "standby", primary.postgres)
        _copy(primary, standby.home)
        upstream = f"host={primary.home / 'socket'} port=5432 user=postgres application_name={SLOT}"
        sockets = {"unix_socket_directories": str(standby.home / "socket")}
        configure(standby.home, {**_STANDBY, "primary_conninfo": upstream, **(standby_settings or {}), **sockets})
        guard = Guard(standby.home, standby.home / "none")
        try:
            standby.start()
            caught_up(primary, standby)
            yield primary, standby
        finally:
            for node in (standby, primary):
                if (node.home / "data" / "postmaster.pid").exists():
                    node.stop()
            guard.dismiss()


def caught_up(primary: Node, standby: Node) -> None:
    """Waits until the standby has replayed all that the primary has written by now."""
    primary.database.sql("SET synchronous_commit = local; SELECT pg_logical_emit_message(true, 'caught up', '')")
    [(now,)] = primary.database.sql("SELECT pg_current_wal_flush_lsn()::text")
    reached = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    wait_until(lambda: standby.database.sql(reached, [now]) == [(True,)], "replaying")
    streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= %s::pg_lsn"
    wait_until(lambda: primary.database.sql(streaming, [now]) != [(0,)], "the standby's report")


def configure(home: Path, settings: Mapping[str, str]) -> None:
    with (home / "data" / "postgresql.conf").open("a") as conf:
        conf.writelines("{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in settings.items())


def _copy(primary: Node, home: Path) -> None:
    with primary.database.connect(autocommit=True) as conn:
        conn.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
        new = conn.info.server_version >= 150000
        begin = "pg_backup_start('copy', fast => true)" if new else "pg_start_backup('copy', true, false)"
        end = "pg_backup_stop(wait_for_archive => false)" if new else "pg_stop_backup(false, false)"
        conn.execute(f"SELECT {begin}")
        # WAL comes by streaming, slots are each server's own.
        shutil.copytree(primary.home / "data", home / "data", ignore=_left_out(primary.home / "data"))
        row = conn.execute(f"SELECT labelfile FROM {end}").fetchone()
    assert row is not None
    (home / "data" / "backup_label").write_text(row[0])
    (home / "data" / "standby.signal").touch()
    (home / "socket").mkdir()
    home.chmod(0o755)
    (home / "data").chmod(0o700)
    account = unprivileged()
    if account is not None:
        account.owns(home, home / "socket", home / "data", *(home / "data").rglob("*"))


def _left_out(data: Path) -> Callable[[str, list[str]], set[str]]:
    emptied = {str(data / name) for name in ("pg_wal", "pg_replslot", "pg_stat_tmp", "pg_dynshmem", "pg_notify")}

    def ignored(folder: str, names: list[str]) -> set[str]:
        if folder in emptied:
            return set(names)
        return {"postmaster.pid", "postmaster.opts", "pg_internal.init"} & set(names)

    return ignored


def _gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid  # our child: takes the exit status, leaves no zombie
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
