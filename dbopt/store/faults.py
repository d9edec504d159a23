"""What can be wrong with a store, as errors that say what to type."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import sqlalchemy.exc

from dbopt.errors import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.store.location import Location

# Words of SQLite, the operating system and PostgreSQL, and what to do about them. The first that fits wins.
_REASONS = (
    ("database is locked", "Another program holds the store: `lsof {store}` names it."),
    ("lock timeout", "Another session holds the store's tables: look at pg_stat_activity there."),
    ("statement timeout", "The store's server is slow or blocked: look at pg_stat_activity there."),
    ("file is not a database", "Move it away with `mv {store} {store}.bad`; dbopt then makes a new one."),
    ("malformed", "Move it away with `mv {store} {store}.bad`; dbopt then makes a new one."),
    ("readonly database", "Make it and its folder writable for you, or name another with DBOPT_STORE_URL."),
    ("ermission denied", "Give yourself the right to write there, or name another store with DBOPT_STORE_URL."),
    ("read-only", "Name a store in a place that can be written with DBOPT_STORE_URL."),
    ("unable to open database file", "Make the folder and make it writable for you, or set DBOPT_STORE_URL."),
    ("No such file or directory", "Make the folder, or name another store with DBOPT_STORE_URL."),
    ("disk is full", "Free some space on its disk, or name a store elsewhere with DBOPT_STORE_URL."),
    ("disk I/O error", "Check its disk and the space left there, or name a store elsewhere with DBOPT_STORE_URL."),
    ("No space left", "Free some space on its disk, or name a store elsewhere with DBOPT_STORE_URL."),
)
_HINT = "`dbopt store status` looks at it; DBOPT_STORE_URL names another, and `none` none at all."


@contextlib.contextmanager
def faults(location: Location, action: str) -> Iterator[None]:
    """Turn whatever the store's database or file system says into StoreUnusable: `could not ACTION the store STORE`."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError) as exc:
        words = _words(exc)
        hint = next((hint for key, hint in _REASONS if key in words), _HINT)
        raise StoreUnusable(
            f"could not {action} the store {location}", detail=words, hint=hint.format(store=location)
        ) from exc


def _words(exc: Exception) -> str:
    """The driver's own words: SQLAlchemy's add the statement and its parameters."""
    cause = getattr(exc, "orig", None) or exc
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " / ".join(line.strip() for line in str(cause).splitlines() if line.strip())
