"""The manners of a session on a SQLite store, whoever opens it: SQLAlchemy or the driver alone."""

from __future__ import annotations

import contextlib
import sqlite3

# The store is an aside of a job that matters more: it may hold it up for so long, once.
LOCK_WAIT_SECONDS = 5


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
