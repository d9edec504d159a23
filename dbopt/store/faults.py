"""What can be wrong with a store, as errors that say what to type."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import sys
from typing import TYPE_CHECKING

from dbopt.errors import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbopt.errors import Error
    from dbopt.store.location import Location

logger = logging.getLogger("dbopt")

# Words of SQLite, the operating system and PostgreSQL, and what to do about them. The first that fits wins.
_FULL = "no space is left on its disk"
_GRANT = "GRANT USAGE ON SCHEMA dbopt TO the role of its URL, or name another store with DBOPT_STORE_URL."
_REASONS = (
    (_FULL, "Free some space there, or name a store elsewhere with DBOPT_STORE_URL."),
    ("database is locked", "Another program holds the store: `lsof {store}` names it."),
    ("lock timeout", "Another session holds the store's tables: look at pg_stat_activity there."),
    ("statement timeout", "The store's server is slow or blocked: look at pg_stat_activity there."),
    ("file is not a database", "Move it away with `mv {store} {store}.bad`; dbopt then makes a new one."),
    ("malformed", "Move it away with `mv {store} {store}.bad`; dbopt then makes a new one."),
    ('relation "alembic_version" does not exist', _GRANT),
    ("no schema has been selected", _GRANT),
    ("readonly database", "Make it and its folder writable for you, or name another with DBOPT_STORE_URL."),
    ("ermission denied", "Give yourself the right to write there, or name another store with DBOPT_STORE_URL."),
    ("read-only", "Name a store in a place that can be written with DBOPT_STORE_URL."),
    ("unable to open database file", "Make the folder and make it writable for you, or set DBOPT_STORE_URL."),
    ("No such file or directory", "Make the folder, or name another store with DBOPT_STORE_URL."),
    ("disk is full", "Free some space on its disk, or name a store elsewhere with DBOPT_STORE_URL."),
    ("disk I/O error", "Check its disk and the space left there, or name a store elsewhere with DBOPT_STORE_URL."),
    ("No space left", "Free some space on its disk, or name a store elsewhere with DBOPT_STORE_URL."),
)
_LEAST_FREE_BYTES = 65_536  # what the file beside a store takes that is shared by its readers
_HINT = "`dbopt store status` looks at it; DBOPT_STORE_URL names another, and `none` none at all."


@contextlib.contextmanager
def faults(location: Location, action: str) -> Iterator[None]:
    """Turn whatever the store's database or file system says into StoreUnusable: `could not ACTION the store STORE`."""
    try:
        yield
    except _classes() as exc:
        words = _words(exc)
        if location.path is not None and _is_full(location.path):
            words = f"{words}: {_FULL}"
        hint = next((hint for key, hint in _REASONS if key in words), _HINT)
        raise StoreUnusable(
            f"could not {action} the store {location}", detail=words, hint=hint.format(store=location)
        ) from exc


def _is_full(path: Path) -> bool:
    """SQLite calls that an input/output error, or says that it cannot open a file beside the store."""
    import shutil

    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < _LEAST_FREE_BYTES
    return False


def warn(error: Error, consequence: str) -> None:
    """The one warning, in the form of an error: what happened, why, what to type."""
    lines = [f"{error.message}; {consequence}"]
    lines += [f"  {name}: {text}" for name, text in (("detail", error.detail), ("hint", error.hint)) if text]
    logger.warning("%s", "\n".join(lines))


def _classes() -> tuple[type[Exception], ...]:
    """SQLAlchemy's are among them only where something has loaded it: that costs a third of a second."""
    loaded = sys.modules.get("sqlalchemy.exc")
    return (sqlite3.Error, OSError, *((loaded.SQLAlchemyError,) if loaded else ()))


def _words(exc: Exception) -> str:
    """The driver's own words: SQLAlchemy's add the statement and its parameters."""
    cause = getattr(exc, "orig", None) or exc
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    diag = getattr(cause, "diag", None)  # of psycopg, where the server has said something
    if diag is not None and diag.message_primary:
        return str(diag.message_primary)
    return " / ".join(line.strip() for line in str(cause).splitlines() if line.strip())
