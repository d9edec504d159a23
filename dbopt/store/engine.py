"""A store's engine and the manners of its sessions: nothing waits long, writers take turns, readers wait for nobody."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from dbopt.store.tables import SCHEMA

if TYPE_CHECKING:
    from dbopt.store.location import Location

# The store is an aside of a job that matters more: it may hold it up for so long, once.
LOCK_WAIT_SECONDS = 5
CONNECT_TIMEOUT_SECONDS = 5

_READ = "dbopt_read"


def make_engine(location: Location) -> sa.Engine:
    """One connection, opened when it is first used."""
    if location.path is not None:
        engine = sa.create_engine(
            location.url,
            connect_args={"timeout": LOCK_WAIT_SECONDS},
            pool_size=1,
        )
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    engine = sa.create_engine(
        location.url,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "dbopt store",
            "prepare_threshold": None,  # poolers in transaction mode
        },
        pool_size=1,
        pool_pre_ping=True,  # hours may pass between two steps
        hide_parameters=True,
    )
    event.listen(engine, "begin", _postgresql_begin)
    return engine


def reader(engine: sa.Engine) -> sa.Engine:
    """The same engine for reading: takes no write lock."""
    return engine.execution_options(**{_READ: True})


def _sqlite_connected(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _sqlite_begin says, not where sqlite3 guesses
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")  # under WAL: a power cut may cost the last rows, never the file
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        # Kept in the file. Refused while another process does the same, and on a file that is read-only: both are fine.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")


def _sqlite_begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later fails when another one wrote in between, without waiting.
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(_READ) else "BEGIN IMMEDIATE")


def _postgresql_begin(connection: sa.Connection) -> None:
    # For the transaction only: with a pooler, the session is not ours.
    settings: dict[str, Any] = {
        "search_path": SCHEMA,
        "statement_timeout": f"{LOCK_WAIT_SECONDS}s",
        "lock_timeout": f"{LOCK_WAIT_SECONDS}s",
    }
    connection.exec_driver_sql(
        "SELECT " + ", ".join(f"pg_catalog.set_config('{name}', %({name})s, true)" for name in settings), settings
    )
