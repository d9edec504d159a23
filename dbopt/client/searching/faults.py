"""What a search lacks on the server: a text search configuration, or pg_trgm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import exc

from dbopt.client.failures import sqlstate
from dbopt.errors import ServerUnfit, UsageError

if TYPE_CHECKING:
    from sqlalchemy import orm

    from dbopt.client.searching.search import Search

_UNDEFINED_FUNCTION = "42883"
_NO_CONFIG = frozenset(("42704", "3F000"))  # undefined_object, invalid_schema_name

_IS_CONFIG = sa.text("SELECT /* dbopt client: a configuration */ CAST(:config AS pg_catalog.regconfig)")
_CONFIGS = sa.text(
    """
    SELECT /* dbopt client: text search configurations */ c.oid::pg_catalog.regconfig::text AS name
      FROM pg_catalog.pg_ts_config AS c
     ORDER BY 1
    """
)
_TRGM = sa.text(
    """
    SELECT /* dbopt client: where pg_trgm is */ e.extnamespace::pg_catalog.regnamespace::text AS name
      FROM pg_catalog.pg_extension AS e
     WHERE e.extname = 'pg_trgm'
    """
)


def missing(search: Search, error: exc.ProgrammingError, session: orm.Session | None) -> Exception:
    """The error by its name; itself, where it is about something else. `session`: one to ask with, which has failed;
    None within the caller's transaction, where nothing can be asked any more.
    """
    if session is not None:
        session.rollback()
    if search.substring and sqlstate(error) == _UNDEFINED_FUNCTION:
        return _trgm(session)
    if not search.substring and sqlstate(error) in _NO_CONFIG:
        return _config(search.config, error, session)
    return error


def _trgm(session: orm.Session | None) -> ServerUnfit:
    schema = None if session is None else session.scalar(_TRGM)
    if schema is not None:
        return ServerUnfit(
            "pg_trgm is not on the search_path",
            detail=f"it is in the schema {schema}",
            hint=f"Add {schema} to the role's search_path: ALTER ROLE ... SET search_path = ..., {schema};",
        )
    return ServerUnfit("a search for substrings needs pg_trgm", hint="CREATE EXTENSION pg_trgm;")


def _config(config: str, error: exc.ProgrammingError, session: orm.Session | None) -> Exception:
    words = f"this database has no text search configuration {config}"
    if session is None:
        return UsageError(words, detail=_said(error), hint="SELECT cfgname FROM pg_ts_config; lists those that it has.")
    try:
        session.execute(_IS_CONFIG, {"config": config})
    except exc.ProgrammingError:
        session.rollback()
        known = session.scalars(_CONFIGS).all()
        return UsageError(words, hint=f"It has: {', '.join(known)}.")
    return error  # it is there, and something else is not


def _said(error: exc.ProgrammingError) -> str:
    return str(error.orig).partition("\n")[0]
