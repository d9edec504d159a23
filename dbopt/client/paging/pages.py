"""Pages by the keys of their first and last rows ("keyset"): the 1,000th costs what the first does.

A page is asked for by the place it begins or ends at, which is between two rows, so it is well defined whatever has
been inserted or deleted meanwhile: rows that were there all the time come once, whichever way one goes through them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import exc

from dbopt.client.failures import sqlstate
from dbopt.client.paging import cursors
from dbopt.client.paging.cursors import Position
from dbopt.client.paging.keyset import parameters
from dbopt.client.paging.page_query import LIMIT, Query, query_of
from dbopt.client.tables import tables_of
from dbopt.errors import InvalidCursor, NoUniqueKey, UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import sqlalchemy as sa
    from sqlalchemy import orm

    from dbopt.client.cache import Cached
    from dbopt.client.paging.keyset import Values
    from dbopt.client.shape import Model, Readable
    from dbopt.client.work import Work

T = TypeVar("T")

SIZE = 10
LARGEST_SIZE = 10_000  # rows of a page, all of which are in memory at once
# What the server says when it cannot read a value that it has written, because the column has another type by now:
# invalid_text_representation, numeric_value_out_of_range, invalid_datetime_format, datetime_field_overflow.
_UNREADABLE = frozenset(("22P02", "22003", "22007", "22008"))
_COMPUTED = frozenset(("42803", "42P20"))  # grouping_error, windowing_error


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`items` are in the order that was asked for, whichever way the page was come to. A cursor is None where there is
    nothing on that side.
    """

    items: list[T]
    next_cursor: str | None
    previous_cursor: str | None
    has_next: bool
    has_previous: bool


def paginate(
    work: Work,
    what: Model | Readable,
    *,
    order_by: Any = (),
    size: int = SIZE,
    after: str | None = None,
    before: str | None = None,
    unique: Any = (),
    cache: Cached | float | None = None,
) -> Page[Any]:
    """At most `size` rows of a mapped class, a table or a select: those that follow the cursor `after`, or precede
    `before`; without either, the first ones.

    `order_by`: columns, attributes, expressions or names, with .desc(), nulls_last() and so on, or a "-" before a name;
    without it, the select's own ORDER BY. The primary key is added where rows could be equal in all that, in the
    direction of the last column; of a join, the keys of all tables that one row of another could meet several rows of.
    `unique`: columns that are unique together, instead of those, where there is no primary key.

    A cursor is of any page of the same query: tables, filters with their values, and order; `size` may differ. Only
    `work.cursor_secrets` tell true cursors: the first signs, all are accepted; without any, those of other processes
    are refused.

    Raises UsageError, NoUniqueKey, InvalidCursor.
    """
    if type(size) is not int or not 1 <= size <= LARGEST_SIZE:
        raise UsageError(f"a page has 1 to {LARGEST_SIZE} rows", detail=f"found size={size!r}")
    if after is not None and before is not None:
        raise UsageError("a page is after one cursor or before one", hint="Pass `after` or `before`, not both.")
    query = query_of(what, order_by, unique, work.engine.dialect)
    cursor = before if after is None else after
    position = None
    if cursor is not None:
        position = cursors.read(cursor, query.fingerprint, len(query.keys), work.cursor_secrets)
    asking = _Asking(query, position, forward=before is None, size=size)
    found = asking.read(work) if cache is None else _cached(work, asking, cache)

    def signed(position: Position | None) -> str | None:
        return None if position is None else cursors.sign(position, query.fingerprint, work.cursor_secrets)

    following, preceding = signed(found.following), signed(found.preceding)
    return Page(found.items, following, preceding, following is not None, preceding is not None)


def iterate(
    work: Work,
    what: Model | Readable,
    *,
    order_by: Any = (),
    size: int = SIZE,
    after: str | None = None,
    unique: Any = (),
) -> Iterator[Page[Any]]:
    """All pages from there on, each read when it is asked for; between two of them no connection is held."""
    while True:
        page = paginate(work, what, order_by=order_by, size=size, after=after, unique=unique)
        yield page
        if page.next_cursor is None:
            return
        after = page.next_cursor


@dataclass(frozen=True, slots=True)
class _Found:
    """A page before its cursors are signed: so it is the same for all processes, whatever their secrets are."""

    items: list[Any]
    following: Position | None
    preceding: Position | None


def _cached(work: Work, asking: _Asking, how: Cached | float) -> _Found:
    """Positions are kept, not cursors: whoever gets them signs with a secret of its own."""
    asked, position = asking.query.asked, asking.position
    asked.check_cacheable()

    def make() -> Any:
        found = asking.read(work)
        ends = (found.following, found.preceding)
        return [asked.pack(found.items), *(end and [list(end.keys), end.is_after, end.shared] for end in ends)]

    key = ["pages", asking.query.ordered, asking.size, asking.forward]
    if position is not None:
        key += [list(position.keys), position.is_after]
    packed, *ends = work.cached(key, tables_of(asking.query.ordered), how, make)
    return _Found(asked.unpack(packed), *(end and Position(tuple(end[0]), *end[1:]) for end in ends))


@dataclass(frozen=True, slots=True)
class _Rows:
    items: list[Any]
    keys: list[Values]
    is_first_there: bool = False  # whether the first row is the one at the position


@dataclass(frozen=True, slots=True)
class _Asking:
    query: Query
    position: Position | None
    forward: bool
    size: int

    def read(self, work: Work) -> _Found:
        """One row more than the page has tells whether there are others. The row at the position, which the page before
        it ended with, tells that there is something behind; only where it is gone has that to be asked.
        """
        with work.session() as session:
            try:
                found, is_any_behind = self._rows(session, is_own=work.within is None)
            except exc.DBAPIError as error:
                if (its_name := self._named(error)) is None:
                    raise
                raise its_name from error
        items, keys, is_any_ahead = found.items[: self.size], found.keys[: self.size], len(found.keys) > self.size
        has_next, has_previous = is_any_ahead, is_any_behind
        if not self.forward:
            items.reverse()
            keys.reverse()
            has_next, has_previous = has_previous, has_next
        first = last = self.position
        if keys:
            shared = _shared(keys[0], keys[-1])
            first, last = Position(keys[0], False, shared), Position(keys[-1], True, shared)
        return _Found(items, last if has_next else None, first if has_previous else None)

    def _rows(self, session: orm.Session, *, is_own: bool) -> tuple[_Rows, bool]:
        """As far as the direction goes, up to one more than the page has, and whether there are rows behind them."""
        position, query = self.position, self.query
        if position is None:
            found = self._fetch(session, query.first(forward=self.forward), {}, self.size + 1)
            _check_unique(found)
            return found, False
        nulls = tuple(value is None for value in position.keys)
        values = parameters(position.keys)
        is_behind = position.is_after is self.forward  # the row at the position
        statements = query.from_position(nulls, position.shared, forward=self.forward)
        if is_own and len(statements) > 1:  # a row that is moved meanwhile is not to come twice
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        wanted, found = self.size + 1 + is_behind, _Rows([], [])
        for statement in statements:
            more = self._fetch(session, statement, values, wanted - len(found.keys))
            is_there = found.is_first_there or (not found.keys and more.is_first_there)
            found = _Rows(found.items + more.items, found.keys + more.keys, is_there)
            if len(found.keys) == wanted:
                break
        _check_unique(found)
        if is_behind and found.is_first_there:
            return _Rows(found.items[1:], found.keys[1:]), True
        statement = query.is_any(nulls, forward=not self.forward)
        return found, bool(session.scalar(statement, {**values, LIMIT: 1}))

    def _fetch(self, session: orm.Session, statement: sa.Select[Any], values: Mapping[str, str], limit: int) -> _Rows:
        query, entity = self.query, self.query.asked.entity
        result = session.execute(statement, {**values, LIMIT: limit})
        if entity is None:
            frozen = result.freeze()
            rows = frozen.data
        else:
            # What joined eager loading asks for; different rows have different keys, and stay.
            rows = result.unique().all() if entity.mapper else result.all()
        if not rows:
            return _Rows([], [])
        width = len(rows[0]) - query.hidden - (0 if self.position is None else 1)
        if entity is None:
            items: list[Any] = list(frozen().columns(*range(width)).all())
        elif entity.mapper is None:
            items = [dict(zip(entity.columns, row, strict=False)) for row in rows]
        else:
            items = [row[0] for row in rows]
        return _Rows(items, [query.read(row[width:]) for row in rows], self.position is not None and rows[0][-1])

    def _named(self, error: exc.DBAPIError) -> Exception | None:
        state = sqlstate(error)
        if self.position is not None and state in _UNREADABLE:
            return InvalidCursor(
                "the server cannot read the values of the cursor any more",
                detail="a column that the page is ordered by has another type than it had",
                hint="Begin at the first page, without a cursor.",
            )
        if state in _COMPUTED:
            return UsageError(
                "a select with aggregates or window functions cannot be paged",
                hint="Page a select of it: select(statement.subquery()), with unique=(...).",
            )
        return None


def _shared(one: Values, other: Values) -> int:
    """In how many keys, from the first one on, they agree."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))


def _check_unique(found: _Rows) -> None:
    if len(set(found.keys)) < len(found.keys):
        raise NoUniqueKey(
            "two rows of a page are equal in all that it is ordered by",
            detail="one of them could be left out at the end of a page",
            hint="Say which columns of the select are unique together and NOT NULL: unique=(...).",
        )
