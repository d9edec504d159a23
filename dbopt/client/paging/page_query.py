"""A query that pages are made of: its keys, its fingerprint, and the statements that read it.

What can be told from a statement without its values is remembered: working out what makes rows unique costs more than
reading a page. Remembered as a whole are a model in an order of names, and selects of one with the same plain values.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.util import LRUCache

from dbopt.client.paging import ordering
from dbopt.client.paging.keyset import Key, is_there, ranges
from dbopt.client.paging.pageable import check_pageable, check_select, fingerprint, text_of
from dbopt.client.paging.uniqueness import Sources
from dbopt.client.shape import shape
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from dbopt.client.paging.keyset import Values
    from dbopt.client.shape import Model, Readable, Shape

T = TypeVar("T")

REMEMBERED = 1_000  # queries, each some kilobytes at the most
REMEMBERED_OF_ONE = 50  # statements: for each direction, and which values of a position are NULL
LONGEST_VALUES = 1_000  # characters of the values of a statement that is remembered with them
LIMIT = "dbopt_page_limit"  # a parameter


class Query:
    """What it makes are statements with parameters: keyset.parameters of the position, and LIMIT."""

    def __init__(self, asked: Shape, ordered: sa.Select[Any], keys: Sequence[Key], own_fingerprint: str) -> None:
        self.asked = asked
        self.ordered = ordered.order_by(None).order_by(*(key.order(forward=True) for key in keys))
        self.keys = keys
        self.fingerprint = own_fingerprint
        self.texts = [key.texts() for key in keys]
        self._made: LRUCache[Hashable, Any] = LRUCache(REMEMBERED_OF_ONE)

    @property
    def hidden(self) -> int:
        """Columns at the end of a row that are not the caller's, without `is_there`."""
        return sum(map(len, self.texts))

    def read(self, brought: Sequence[Any]) -> Values:
        """The keys of a row, from its hidden columns."""
        values, at = [], 0
        for key, texts in zip(self.keys, self.texts, strict=True):
            values.append(key.read(brought[at : at + len(texts)]))
            at += len(texts)
        return tuple(values)

    def first(self, *, forward: bool) -> sa.Select[Any]:
        """From the one end or the other."""
        return self._once(("first", forward), lambda: self._page(None, None, forward))

    def from_position(self, nulls: tuple[bool, ...], shared: int, *, forward: bool) -> list[sa.Select[Any]]:
        """One after the other: the row at the position, if there is one, and those after or before it. Their last
        column says whether a row is the one at the position. `nulls`: which values of the position are NULL; `shared`:
        as for keyset.ranges.
        """

        def make() -> list[sa.Select[Any]]:
            same = is_there(self.keys, nulls)
            conditions = ranges(self.keys, nulls, forward=forward, inclusive=True, shared=shared)
            return [self._page(condition, same, forward) for condition in conditions]

        return self._once(("from", nulls, shared, forward), make)

    def is_any(self, nulls: tuple[bool, ...], *, forward: bool) -> sa.Select[Any]:
        """Whether there are rows after the position (before it: not `forward`), one there not counted. By the nearest
        one, in order, which the index finds that serves the page; EXISTS might be planned as a scan of the table up to
        the first row that fits, which may be far.
        """

        def make() -> sa.Select[Any]:
            nearest: list[sa.Select[Any]] = [
                sa.select(sa.literal_column("1")).select_from(
                    self._ordered(forward).where(condition).limit(_limit()).subquery()
                )
                for condition in ranges(self.keys, nulls, forward=forward, inclusive=False)
            ]
            return sa.select(sa.or_(sa.false(), *(one.scalar_subquery().is_not(None) for one in nearest)))

        return self._once(("any", nulls, forward), make)

    def _page(
        self, condition: sa.ColumnElement[bool] | None, same: sa.ColumnElement[bool] | None, forward: bool
    ) -> sa.Select[Any]:
        hidden = [text for texts in self.texts for text in texts] + ([] if same is None else [same])
        page = self._ordered(forward).limit(_limit())
        page = page.add_columns(*(column.label(f"dbopt_page_{n}") for n, column in enumerate(hidden)))
        return page if condition is None else page.where(condition)

    def _ordered(self, forward: bool) -> sa.Select[Any]:
        if forward:
            return self.ordered
        return self.ordered.order_by(None).order_by(*(key.order(forward=False) for key in self.keys))

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        made: T | None = self._made.get(key)
        if made is None:
            made = self._made[key] = make()
        return made


def _limit() -> sa.BindParameter[int]:
    """Part of the text: a plan for any number of rows would be one for many."""
    return sa.bindparam(LIMIT, type_=sa.Integer(), literal_execute=True)


@dataclass(frozen=True, slots=True)
class _Known:
    """Of all statements that differ in values only."""

    nullable: tuple[bool, ...]  # of the expressions in its order
    added: tuple[tuple[sa.ColumnElement[Any], bool], ...]  # columns that make it unique, and whether they are nullable
    text: str


_queries: LRUCache[Any, Query] = LRUCache(REMEMBERED)
_known: LRUCache[Any, _Known] = LRUCache(REMEMBERED)


def query_of(what: Model | Readable, order_by: Any, unique: Any, dialect: sa.Dialect) -> Query:
    """By `order_by`, else by the select's own ORDER BY, and then by what makes its rows unique: the columns that the
    caller calls so, else those of Sources.missing, in the direction of the last one, so that one index serves them all.
    Raises UsageError, NoUniqueKey.
    """
    names = _names(order_by), _names(unique)
    if None in names or not isinstance(what, type | sa.Table):
        return _made(what, order_by, unique, dialect)
    known: Query | None = _queries.get((what, *names))
    if known is None:
        known = _queries[what, *names] = _made(what, order_by, unique, dialect)
    return known


def _names(given: Any) -> tuple[str, ...] | None:
    """None: not only names."""
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(several) if all(isinstance(each, str) for each in several) else None


def _made(what: Model | Readable, order_by: Any, unique: Any, dialect: sa.Dialect) -> Query:
    asked = shape(what)
    statement = check_select(asked.statement)
    ordered = ordering.with_order(asked, statement, order_by)
    named = ordering.columns(asked, statement, unique)
    cache_key = ordered._generate_cache_key()  # as SQLAlchemy's own examples of caching do
    key = None if cache_key is None else (cache_key.key, *map(hash, named))
    # Of Rows, columns may be asked for by objects of the caller's own statement. Execution options are in no cache key.
    is_whole = cache_key is not None and asked.entity is not None and not statement.get_execution_options()
    with_values = _values(cache_key.bindparams) if cache_key is not None and is_whole else None
    if with_values is not None and (made := _queries.get((key, with_values))) is not None:
        return made
    items = ordering.items(asked, ordered, dialect)
    known = None if key is None else _known.get(key)
    if known is None:
        check_pageable(statement)
        sources = Sources.of(asked, statement)
        known = _worked_out(asked, ordered, items, named or None, sources, dialect)
        # The columns of an alias are those of one statement, as are expressions.
        if key is not None and sources.are_tables and all(isinstance(column, sa.Column) for column in named):
            _known[key] = known
    values = ordered.compile(dialect=dialect).binds.values() if cache_key is None else cache_key.bindparams
    query = Query(asked, ordered, _keys(items, known), fingerprint(known.text, values, dialect))
    if with_values is not None and _known.get(key) is known:
        _queries[key, with_values] = query
    return query


def _values(parameters: Iterable[sa.BindParameter[Any]]) -> tuple[str, ...] | None:
    """What they are, to the last digit; None where that is not certain of a value, or long."""
    values = [parameter.effective_value for parameter in parameters]
    if not all(type(value) in _PLAIN for value in values):
        return None
    said = tuple(map(repr, values))
    return said if sum(map(len, said)) <= LONGEST_VALUES else None


_PLAIN = frozenset((type(None), bool, int, str, uuid.UUID))


def _worked_out(
    asked: Shape,
    ordered: sa.Select[Any],
    items: Sequence[ordering.Item],
    named: Sequence[sa.ColumnElement[Any]] | None,
    sources: Sources,
    dialect: sa.Dialect,
) -> _Known:
    there = [item.expression for item in items]
    seen = set(map(hash, there))
    added = [column for column in (named or sources.missing(there)) if hash(column) not in seen]
    nullable = sources.is_nullable
    known = _Known(tuple(map(nullable, there)), tuple((column, nullable(column)) for column in added), "")
    return replace(known, text=text_of(asked, ordered, _keys(items, known), dialect))


def _keys(items: Sequence[ordering.Item], known: _Known) -> list[Key]:
    keys = [
        Key(item.expression, item.descending, item.nulls_first, nullable)
        for item, nullable in zip(items, known.nullable, strict=True)
    ]
    last = keys[-1].descending if keys else False
    return keys + [Key(column, last, last, nullable) for column, nullable in known.added]
