"""What went wrong between an operation and the server, by name. Integrity and data errors stay SQLAlchemy's own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import exc

from dbopt.errors import ConnectionLost, ReadOnlyServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

READ_ONLY = "25006"  # read_only_sql_transaction


@contextlib.contextmanager
def named(engine: sa.Engine) -> Iterator[None]:
    """Raises ConnectionLost or ReadOnlyServer for what SQLAlchemy, or psycopg beneath it, says in its own way; all else
    goes through.
    """
    try:
        yield
    except (exc.DBAPIError, psycopg.Error) as error:
        where = f"{engine.url.host or 'local socket'}/{engine.url.database or ''}"
        words = str(getattr(error, "orig", error)).strip().partition("\n")[0] or None
        # psycopg's errors do not say whether the connection lives: what only libpq says means that it does not.
        is_bare = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
        if getattr(error, "connection_invalidated", False) or is_bare or is_lost(error):
            raise ConnectionLost(
                f"the connection to {where} was lost",
                detail=words,
                hint="Nothing of the open transaction remains: try it again.",
            ) from error
        if sqlstate(error) == READ_ONLY:
            raise ReadOnlyServer(
                f"{where} only lets this session read",
                detail=words,
                hint="Connect to the primary: target_session_attrs=read-write in the URL finds it among several hosts.",
            ) from error
        raise


def is_lost(error: BaseException) -> bool:
    """Whether the server has ended the session with this error."""
    original = getattr(error, "orig", error)
    return isinstance(original, psycopg.Error) and original.diag.severity_nonlocalized in ("FATAL", "PANIC")


def sqlstate(error: BaseException) -> str | None:
    """Of SQLAlchemy's error, or of the driver's."""
    original = getattr(error, "orig", error)
    return getattr(original, "sqlstate", None)
