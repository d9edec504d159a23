"""Many rows by their ids, some hundred a statement (asked.py has how), and which ids have none.

Chunks are read side by side, each in a session of its own and so at a time of its own: who needs them all as of one
moment reads within a transaction, where they come one after the other.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence  # which a Row of SQLAlchemy is, and no tuple
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from dbopt.client.reading.asked import Asked
from dbopt.client.reading.clauses import conditions
from dbopt.client.reading.picked import picked
from dbopt.client.shape import entity
from dbopt.client.tables import tables_of
from dbopt.errors import NoUniqueKey, RowsMissing, UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import orm

    from dbopt.client.cache import Cached
    from dbopt.client.reading.asked import Key
    from dbopt.client.reading.clauses import Where
    from dbopt.client.reading.picked import Picked
    from dbopt.client.shape import Model
    from dbopt.client.work import Work

# bench/fetch_many.py: below 500 the round trips show, above 2,000 nothing is gained any more.
CHUNK_SIZE = 1_000
CONCURRENCY = 4


@dataclass(frozen=True, slots=True)
class Found:
    """Each id once, in the order in which it was first asked for. Ids of several columns are tuples."""

    by_id: Mapping[Any, Any]
    missing: Sequence[Any]  # ids that have no row, those included that the column's type cannot hold

    @property
    def items(self) -> list[Any]:
        """The rows, in the order of their ids."""
        return list(self.by_id.values())


def fetch_many(
    work: Work,
    model: Model,
    ids: Iterable[Any],
    *,
    columns: Sequence[str] = (),
    key: str | Sequence[str] | None = None,
    where: Where = (),
    chunk_size: int = CHUNK_SIZE,
    concurrency: int = CONCURRENCY,
    cache: Cached | float | None = None,
    missing: Literal["report", "raise"] = "report",
) -> Found:
    """Rows by primary key, or by `key`, another column or columns that are unique; of several columns an id is a tuple
    in their order. Objects of a mapped class, dicts of a table; with `columns` Rows or dicts of those.

    `where`: what else a row has to be. `chunk_size`: ids a statement. `concurrency`: statements, and connections, at a
    time. `cache`: an entry for each chunk of the sorted ids, whatever their order was; objects of a caller's session
    are read anew.

    Raises UsageError for ids of several types, of another type than the column's, None; NoUniqueKey; with `missing`
    "raise" RowsMissing.
    """
    if chunk_size < 1 or concurrency < 1 or missing not in ("report", "raise"):
        raise UsageError(
            "fetch_many cannot work so",
            detail=f"found chunk_size={chunk_size!r}, concurrency={concurrency!r}, missing={missing!r}",
            hint='Both numbers are at least 1; `missing` is "report" or "raise".',
        )
    own = entity(model)
    names = own.key if key is None else (key,) if isinstance(key, str) else tuple(key)
    asked = Asked([own.attribute(name) for name in names], [f"{own.name}.{name}" for name in names])
    given = _keys(ids, names, own.name)
    asked.check(given)
    keys = _distinct(given, own.name)
    possible = _sorted(asked.possible(keys))
    reading = _Reading(work, picked(own, columns), asked, conditions(where), cache)
    tasks = [
        functools.partial(reading.read, possible[start : start + chunk_size])
        for start in range(0, len(possible), chunk_size)
    ]
    rows: dict[Key, Any] = {}
    for found in work.each(tasks, concurrency):
        rows.update(found)
    result = Found(
        by_id={each: rows[each] for each in keys if each in rows},
        missing=[each for each in keys if each not in rows],
    )
    if result.missing and missing == "raise":
        raise RowsMissing(
            f"{len(result.missing)} of {len(keys)} ids of {own.name} have no row", missing=tuple(result.missing)
        )
    return result


@dataclass(frozen=True, slots=True)
class _Reading:
    work: Work
    picked: Picked
    asked: Asked
    where: Sequence[sa.ColumnElement[bool]]
    cache: Cached | float | None

    def read(self, chunk: Sequence[Key], session: orm.Session) -> dict[Key, Any]:
        statement = self._statement(chunk)
        is_own = self.work.within is not None and not self.picked.names
        if self.cache is None or is_own:
            return self._by_key(chunk, *self._fetch(session, statement, len(chunk)))
        self.picked.check_cacheable()

        def make() -> Any:
            with self.work.session() as own:  # it may be called once more, when `session` is no longer open
                numbers, items = self._fetch(own, statement, len(chunk))
            return numbers, self.picked.pack(items)

        numbers, packed = self.work.cached(("fetch_many", statement), tables_of(statement), self.cache, make)
        return self._by_key(chunk, numbers, self.picked.unpack(packed))

    def _statement(self, chunk: Sequence[Key]) -> sa.Select[Any]:
        table = self.asked.table(chunk)
        both = sa.and_(self.asked.condition(table), *self.where)
        source, elements = self.picked.source, self.picked.elements
        if not self.is_aligned:
            return sa.select(table.c.n, *elements).join_from(table, source, both)
        return sa.select(*elements).join_from(table, source, both, isouter=True).order_by(table.c.n)

    def _fetch(self, session: orm.Session, statement: sa.Select[Any], asked: int) -> tuple[list[int], list[Any]]:
        """Numbers of the ids that were found, and what was found."""
        result = session.execute(statement)
        if not self.is_aligned:
            rows = result.unique().all() if self.picked.loads_joined else result.all()
            return [row[0] for row in rows], self.picked.items(rows)
        objects = result.scalars().all()
        if len(objects) > asked:
            raise self._not_unique()
        numbers = [number for number, each in enumerate(objects, 1) if each is not None]
        return numbers, [each for each in objects if each is not None]

    @property
    def is_aligned(self) -> bool:
        """Whether there is one object for each id, None where there is none: SQLAlchemy makes those twice as fast as
        rows that have a number, too. What a class loads along by joining comes in several rows, though.
        """
        return not self.picked.names and not self.picked.loads_joined

    def _by_key(self, chunk: Sequence[Key], numbers: Sequence[int], items: Sequence[Any]) -> dict[Key, Any]:
        found = {chunk[number - 1]: item for number, item in zip(numbers, items, strict=True)}
        if len(found) < len(items):
            raise self._not_unique()
        return found

    def _not_unique(self) -> NoUniqueKey:
        return NoUniqueKey(
            f"one id of {self.picked.entity.name} has several rows",
            detail=f"by {', '.join(self.asked.names)}",
            hint="Name columns as `key` that are unique together, or narrow the rows down by `where`.",
        )


def _keys(ids: Iterable[Any], names: Sequence[str], model: str) -> list[Key]:
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise UsageError(f"ids of {model} are a {type(ids).__name__}", hint="Pass a list, also of a single one.")
    if len(names) == 1:
        return list(ids)
    keys = list(ids)
    for place, each in enumerate(keys):
        if not isinstance(each, Sequence) or isinstance(each, str) or len(each) != len(names):
            raise UsageError(
                f"an id of {model} is no tuple of ({', '.join(names)})",
                detail=f"position {place} (from 0) is a {type(each).__name__}",
            )
    return [tuple(each) for each in keys]


def _distinct(keys: Sequence[Key], model: str) -> list[Key]:
    try:
        return list(dict.fromkeys(keys))
    except TypeError as exc:
        raise UsageError(f"ids of {model} cannot be compared", detail=str(exc)) from exc


def _sorted(keys: list[Key]) -> list[Key]:
    """Neighbours in the index together, and the same chunks for the cache however they come."""
    try:
        return sorted(keys)
    except TypeError:  # what cannot be compared stays as it came
        return keys
