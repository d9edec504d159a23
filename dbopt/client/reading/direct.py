"""The application's own statements: read, from the cache where that is wanted, or executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy.sql.dml import UpdateBase

from dbopt.client.shape import Shape, entity, shape
from dbopt.client.tables import tables_of
from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.client.cache import Cached
    from dbopt.client.shape import Model, Readable
    from dbopt.client.work import Work


def rows(
    work: Work,
    statement: Readable | Model | UpdateBase,
    parameters: Mapping[str, Any] | None = None,
    *,
    cache: Cached | float | None = None,
) -> list[Any]:
    """All rows: objects of a mapped class, dicts of a table, else SQLAlchemy's Rows. `parameters`: for what the
    statement leaves open. What it writes (RETURNING, functions) is committed, outside of a caller's transaction.
    Raises ConnectionFailed, ConnectionLost, PoolExhausted, ReadOnlyServer.
    """
    asked = _returning(statement) if isinstance(statement, UpdateBase) else shape(statement)

    def read() -> list[Any]:
        with work.session() as session:
            found = asked.fetch(session, parameters=parameters)
            if work.within is None:  # what brings rows may have written, too: RETURNING, a function
                session.commit()
            return found

    if cache is None:
        return read()
    if isinstance(statement, UpdateBase):
        raise UsageError("a statement that writes cannot be answered from the cache", hint="Leave `cache` out.")
    asked.check_cacheable()
    key = ("rows", asked.statement, sorted(parameters.items())) if parameters else ("rows", asked.statement)
    return asked.unpack(work.cached(key, tables_of(asked.statement), cache, lambda: asked.pack(read())))


def one(
    work: Work,
    statement: Readable | Model | UpdateBase,
    parameters: Mapping[str, Any] | None = None,
    *,
    cache: Cached | float | None = None,
) -> Any:
    """The first row, None where there is none. As `rows` in all else."""
    found = rows(work, statement, parameters, cache=cache)
    return found[0] if found else None


def scalar(
    work: Work,
    statement: Readable | UpdateBase,
    parameters: Mapping[str, Any] | None = None,
    *,
    cache: Cached | float | None = None,
) -> Any:
    """The first column of the first row, None where there is none. As `rows` in all else."""
    found = one(work, statement, parameters, cache=cache)
    if isinstance(found, dict):
        return next(iter(found.values()))
    return found[0] if isinstance(found, sa.Row) else found


def execute(
    work: Work,
    statement: sa.Executable,
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> int | None:
    """Run a statement that writes, once for each set of parameters, all of them or none; the number of rows that it
    wrote, None where the server does not tell. Raises ConnectionFailed, ConnectionLost, PoolExhausted, ReadOnlyServer.
    """
    if isinstance(parameters, list | tuple) and not parameters:
        return 0  # for SQLAlchemy it is as if none were given: one row of defaults
    with work.transaction() as session:
        result = session.execute(statement, parameters)
        count = getattr(result, "rowcount", -1)
    return None if count < 0 else int(count)


def _returning(statement: UpdateBase) -> Shape:
    """Of an INSERT, UPDATE or DELETE."""
    returned = statement._returning  # its public description fails for a whole class
    if not returned:
        raise UsageError(
            f"{statement.__visit_name__.upper()} without RETURNING brings no rows",
            hint="Add .returning(...), or pass it to `execute`, which says how many rows it wrote.",
        )
    is_whole = len(returned) == 1 and isinstance(returned[0], sa.FromClause)
    described = statement.entity_description
    own = entity(described.get("expr", described["table"])) if is_whole else None
    return Shape(cast("Readable", statement), own)
