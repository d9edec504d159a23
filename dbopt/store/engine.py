"""A store's engine and the manners of its sessions: nothing waits long, writers take turns, readers wait for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from dbopt.store import sqlite
from dbopt.store.tables import SCHEMA

if TYPE_CHECKING:
    import sqlite3

    from dbopt.store.location import Location

CONNECT_TIMEOUT_SECONDS = 5

_READ = "dbopt_read"


def make_engine(location: Location) -> sa.Engine:
    """One connection, opened when it is first used."""
    if (path := location.path) is not None:
        engine = sa.create_engine(
            location.url,
            creator=lambda: sqlite.connect(path, sqlite.LOCK_WAIT_SECONDS, reading=True),
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
    sqlite.prepare(connection)


def _sqlite_begin(connection: sa.Connection) -> None:
    reading = bool(connection.get_execution_options().get(_READ))
    connection.exec_driver_sql(sqlite.begin(reading=reading))


def _postgresql_begin(connection: sa.Connection) -> None:
    # For the transaction only: with a pooler, the session is not ours.
    settings: dict[str, Any] = {
        "search_path": SCHEMA,
        "statement_timeout": f"{sqlite.LOCK_WAIT_SECONDS}s",
        "lock_timeout": f"{sqlite.LOCK_WAIT_SECONDS}s",
    }
    connection.exec_driver_sql(
        "SELECT " + ", ".join(f"pg_catalog.set_config('{name}', %({name})s, true)" for name in settings), settings
    )
