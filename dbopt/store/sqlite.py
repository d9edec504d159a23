"""The manners of a session on a SQLite store, whoever opens it: SQLAlchemy or the driver alone."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The store is an aside of a job that matters more: it may hold it up for so long, once.
LOCK_WAIT_SECONDS = 5


# What SQLite says where it cannot make the two files beside a store by which it is read (https://sqlite.org/wal.html):
# its disk is full or read-only, or its folder is not ours.
_NOT_BESIDE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)


def connect(path: Path, wait_seconds: float, *, reading: bool) -> sqlite3.Connection:
    """On a file that is there. `reading`: also where nothing can be written, if nobody is writing there either."""
    connection = _connect(path, "mode=rw", wait_seconds)
    if reading:
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")
        except sqlite3.OperationalError as exc:
            connection.close()
            if exc.sqlite_errorcode & 0xFF not in _NOT_BESIDE or _is_written(path):
                raise
            return _connect(path, "mode=ro&immutable=1", wait_seconds)
    return connection


def _connect(path: Path, mode: str, wait_seconds: float) -> sqlite3.Connection:
    # By one thread after the other, never by two at once.
    return sqlite3.connect(
        f"{path.as_uri()}?{mode}", uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False
    )


def _is_written(path: Path) -> bool:
    """Whether there may be something in the log that is not in the file yet."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def prepare(connection: sqlite3.Connection) -> None:
    """Nothing waits long, writers take turns, readers wait for nobody."""
    connection.isolation_level = None  # transactions begin where we say, not where sqlite3 guesses
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")  # under WAL: a power cut may cost the last rows, never the file
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        # Kept in the file. Refused while another process does the same, and on a file that is read-only: both are fine.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")


def begin(*, reading: bool) -> str:
    """The statement that a transaction begins with.

    One that reads first and writes later fails when another one wrote in between, without waiting.
    """
    return "BEGIN" if reading else "BEGIN IMMEDIATE"
