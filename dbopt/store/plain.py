"""SQL on the store as text with `:name` parameters, the same for both databases.

For what must be quick: on a file, the driver alone does it, as importing SQLAlchemy takes a third of a second. It is
loaded only where tables have to be made or migrated, and for a store on PostgreSQL.
"""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from dbopt.store import fresh, sqlite
from dbopt.store.faults import faults
from dbopt.store.head import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from dbopt.store.location import Location


class Session(Protocol):
    """One transaction."""

    is_file: bool  # SQLite; else PostgreSQL

    def rows(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]: ...

    def run(self, sql: str, values: Sequence[Mapping[str, object]]) -> None:
        """Once for each of the values; not at all for none."""

    def moment(self, at: datetime) -> object:
        """As a parameter."""


def make_ready(location: Location) -> None:
    """Make the store's tables, or bring them to this dbopt's revision, where that is needed. Raises StoreUnusable."""
    if location.path is not None:
        with faults(location, "open"):
            location.make_private_file()
            with _file(location.path, sqlite.LOCK_WAIT_SECONDS, reading=True) as file:
                if _revision(file) == HEAD:
                    return
                is_new = fresh.is_empty(file)
            if is_new:
                with _file(location.path, sqlite.LOCK_WAIT_SECONDS, reading=False) as file:
                    fresh.make_tables(file)
                    if _revision(file) == HEAD:
                        return
    from dbopt.store.repository import Store

    with contextlib.closing(Store(location)) as store:
        store.make_ready()


@contextlib.contextmanager
def transaction(location: Location, *, reading: bool, wait_seconds: float) -> Iterator[Session]:
    """On a store that is ready. What is wrong with it becomes StoreUnusable. `wait_seconds`: for a file's lock."""
    with faults(location, "read" if reading else "write to"):
        if location.path is None:
            with _engine(location, reading=reading) as connection:
                yield _OfServer(connection)
            return
        with _file(location.path, wait_seconds, reading=reading) as file:
            sqlite.prepare(file)
            file.execute(sqlite.begin(reading=reading))
            yield _OfFile(file)
            file.execute("COMMIT")


class _OfFile:
    is_file = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, dict(values)).fetchall()

    def run(self, sql: str, values: Sequence[Mapping[str, object]]) -> None:
        self._connection.executemany(sql, values)

    def moment(self, at: datetime) -> object:
        # As SQLAlchemy writes them, so that texts compare as times do.
        return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


class _OfServer:
    is_file = False

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        import sqlalchemy as sa

        return [tuple(row) for row in self._connection.execute(sa.text(sql), dict(values))]

    def run(self, sql: str, values: Sequence[Mapping[str, object]]) -> None:
        import sqlalchemy as sa

        if values:
            self._connection.execute(sa.text(sql), [dict(item) for item in values])

    def moment(self, at: datetime) -> object:
        return at


def as_moment(value: Any) -> datetime:
    """A time that came back."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@contextlib.contextmanager
def _engine(location: Location, *, reading: bool) -> Iterator[sa.Connection]:
    from dbopt.store.engine import make_engine, reader

    engine = make_engine(location)
    try:
        with (reader(engine) if reading else engine).begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _file(path: Path, wait_seconds: float, *, reading: bool) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite.connect(path, wait_seconds, reading=reading))


def _revision(connection: sqlite3.Connection) -> str | None:
    """None where there are no tables yet."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])
