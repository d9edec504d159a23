"""Whether there is room on disk for what a build writes, where that can be known.

dbopt is a client. It knows a server's disks only where the server runs on the same machine and sees the same file
systems; whatever leaves a doubt (a container, a pooler, a tunnel, a role that may not read data_directory) means that
nothing is known, and nothing is said.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import struct
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.optimize.pace import method_of
from dbopt.optimize.steps import Action
from dbopt.postgres.storage import STORAGE
from dbopt.units import format_bytes, parse_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbopt.optimize.steps import Step
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.postgres.storage import Storage

# What a build writes besides the index, for each byte of it: as bench/estimates.py --room measures it on 13 and 18, or
# a little more. Files of the sort; in GIN's case it is the validation that sorts, as many rows as there are elements.
_SORT_SHARE = {"btree": 1.0, "hash": 1.0, "gist": 1.4, "gin": 3.0, "spgist": 0.3, "brin": 0.0}
_WAL_SHARE = {"btree": 0.9, "hash": 2.2, "gist": 1.0, "gin": 0.6, "spgist": 0.9, "brin": 1.2}
# Equal keys share their index tuples, but not in the sort: each row is one, of a header, a key and its length there.
_SORTED_ROW_BYTES = 8 + 8 + 4


@dataclass(frozen=True, slots=True)
class Lack:
    """A file system without room for a build. `place`: where that is, as the server calls it."""

    place: str
    needed_bytes: int
    left_bytes: int

    def __str__(self) -> str:
        return f"about {format_bytes(self.needed_bytes)} in {self.place}, {format_bytes(self.left_bytes)} are left"


@dataclass(frozen=True, slots=True)
class _Write:
    place: str
    path: Path
    device: int
    size_bytes: int
    stays: bool


class Disk:
    """The server's file systems, and what a plan has used up of them so far. Nothing is asked before it is needed."""

    def __init__(self, conn: Connection, server: Server) -> None:
        self._conn = conn
        self._server = server
        self._used: Counter[int] = Counter()  # bytes, by device

    def free(self, tablespace: str | None) -> int | None:
        """Bytes that may be written to a tablespace; None: not known. No tablespace: that of new indexes."""
        storage = self._storage
        path = None if storage is None else _place(storage, tablespace or storage.of_indexes)
        return None if path is None else _free(path)

    def admit(self, steps: Iterable[Step], replaced: Mapping[str | None, int]) -> Lack | None:
        """None: as far as is known there is room for the steps, one after the other, and then it is used up.
        `replaced`: bytes of indexes that go in the end, by tablespace; None is the database's own.
        """
        if (storage := self._storage) is None:
            return None
        used = self._used.copy()
        for step in steps:
            writes = _writes(storage, step, replaced)
            needed = used.copy()
            for write in writes:
                needed[write.device] += write.size_bytes
            for write in writes:
                free = _free(write.path)
                if free is not None and needed[write.device] > free:
                    before = self._used[write.device]
                    return Lack(write.place, needed[write.device] - before, max(free - before, 0))
            used.update({write.device: write.size_bytes for write in writes if write.stays})
        for tablespace, size_bytes in replaced.items():
            if gone := _write("", _place(storage, tablespace or storage.of_database), size_bytes, stays=False):
                used[gone.device] -= gone.size_bytes
        self._used = used
        return None

    @functools.cached_property
    def _storage(self) -> Storage | None:
        """Where the server writes, if it runs here and sees what we see. One statement, none if it cannot be here."""
        try:
            if not _may_be_here(self._conn):
                return None
            [storage] = STORAGE.rows(self._conn, self._server.version)
            is_here = _is_child_of_peer(self._conn, storage.backend_pid) and _sees_the_same(storage.backend_pid)
        except OSError:  # no /proc, or a process that is hidden from us
            return None
        return storage if is_here else None


def free(conn: Connection, server: Server, tablespace: str | None) -> int | None:
    """Bytes free for an index in a tablespace (None: where new indexes go); None: not known."""
    return Disk(conn, server).free(tablespace)


def _writes(storage: Storage, step: Step, replaced: Mapping[str | None, int]) -> list[_Write]:
    """What a build writes, and where: as much of it as is known."""
    method = method_of(step)
    if method is None or step.estimate is None or "size_bytes" not in step.estimate:
        return []
    size = step.estimate["size_bytes"]
    sorted_bytes = size * _SORT_SHARE.get(method, 0.0)
    if method == "btree":
        sorted_bytes = max(sorted_bytes, step.estimate.get("rows", 0) * _SORTED_ROW_BYTES)
    if sorted_bytes <= _memory(step, storage):
        sorted_bytes = 0
    logged = min(size * _WAL_SHARE.get(method, 1.0), storage.max_wal_size_bytes)  # then it is used again
    # A replacement stays in the tablespace of the old index, unless the spec names another.
    kept = next(iter(replaced), None) if step.action is Action.REPLACE else None
    tablespace = step.proofs[0].definition.tablespace or kept or storage.of_indexes
    sorts = [name.strip().strip('"') for name in storage.of_sorts.split(",")]
    writes = [_write(f"tablespace {tablespace}", _place(storage, tablespace), size, stays=True)]
    if len(sorts) == 1:  # of several, the server takes one by chance
        writes.append(_write(f"tablespace {sorts[0]}", _place(storage, sorts[0]), sorted_bytes, stays=False))
    writes.append(_write("pg_wal", _inside(storage, "pg_wal"), logged, stays=False))
    return [write for write in writes if write is not None]


def _place(storage: Storage, tablespace: str) -> Path | None:
    locations = dict(zip(storage.tablespaces, storage.locations, strict=True))
    location = locations.get(tablespace)
    if location is None:
        return None
    return Path(location) if location.startswith("/") else _inside(storage, location or "base")


def _write(place: str, path: Path | None, size_bytes: float, *, stays: bool) -> _Write | None:
    if path is None:
        return None
    try:
        return _Write(place, path, path.stat().st_dev, round(size_bytes), stays)
    except OSError:
        return None


def _memory(step: Step, storage: Storage) -> int:
    asked = step.settings.get("maintenance_work_mem")
    return storage.maintenance_work_mem_bytes if asked is None else parse_bytes(asked)


def _free(path: Path) -> int | None:
    """What is left to those who are not root."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


# The same machine, and the same file systems


def _socket(conn: Connection) -> socket.socket:
    return socket.socket(fileno=os.dup(conn.pgconn.socket))


def _may_be_here(conn: Connection) -> bool:
    if sys.platform != "linux":  # where /proc tells who is who
        return False
    with _socket(conn) as ours:
        return ours.family == socket.AF_UNIX or ipaddress.ip_address(ours.getpeername()[0]).is_loopback


def _is_child_of_peer(conn: Connection, pid: int) -> bool:
    """Whether process `pid` here is the backend that serves us: the peer of a Unix-domain socket is who listens, the
    postmaster, so it has to be the parent. Over loopback, which may be a tunnel, the title tells our own port.
    """
    with _socket(conn) as ours:
        if ours.family == socket.AF_UNIX:
            peer, _, _ = struct.unpack("3i", ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return _parent(pid) == int(peer)
        host, port = ours.getsockname()[:2]
    return f" {host}({port})".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])  # proc_pid_stat(5): ppid


def _sees_the_same(pid: int) -> bool:
    """Whether a process has our mounts: each mount namespace has mount IDs of its own, and a changed root shows too."""
    return Path(f"/proc/{pid}/mountinfo").read_bytes() == Path("/proc/self/mountinfo").read_bytes()


def _inside(storage: Storage, name: str) -> Path | None:
    """A folder of the data directory. Only its owner sees into it: to others, `base` is where the directory is, unless
    something is mounted there, and `pg_wal`, often a link, may be anywhere.
    """
    if storage.data_directory is None:
        return None
    path = Path(storage.data_directory, name)
    try:
        path.stat()
    except PermissionError:
        mounted = f" {path} ".encode() in Path("/proc/self/mountinfo").read_bytes()
        return None if mounted or name != "base" else Path(storage.data_directory)
    except OSError:
        return None
    return path
