"""The rows of an upsert as the application gives them, in pieces: which columns each of them has, and what SQLAlchemy
adds to it on its way into the database. No server.

Rows that give the same columns are a set. What a row leaves out is not None: it gets the column's default when the row
is inserted, and stays what it is when the row is there.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import AsyncIterable, Iterable, Mapping, Sized
from dataclasses import field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm

from dbopt.errors import BadRow, UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from dbopt.client.shape import Entity

    Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RowSet:
    """Rows with the same columns, by their names in the model."""

    number: int
    given: tuple[str, ...]  # by the application
    made: Mapping[str, Callable[[_Context], Any]]  # one by one, here: default=
    computed: Mapping[str, sa.ColumnElement[Any]]  # by the server: default=func.now()

    @property
    def sent(self) -> tuple[str, ...]:
        return (*self.given, *self.made)


@dataclass(frozen=True, slots=True)
class Part:
    """What a piece has of one set: numbers of the rows in the input, and their values in the order of `sent`."""

    rows: RowSet
    numbers: list[int] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Piece:
    parts: tuple[Part, ...]
    is_last: bool

    @property
    def count(self) -> int:
        return sum(len(part.numbers) for part in self.parts)

    @property
    def first(self) -> int:
        return min(part.numbers[0] for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of rows with such keys."""

    rows: RowSet
    get: Callable[[Mapping[Any, Any]], Values]
    # Of an object: where None is what SQLAlchemy leaves out as well.
    omitted: tuple[str, ...] = ()


class Reader:
    """Reads an input once. `sets`: those that have come up so far."""

    def __init__(self, own: Entity, rows: Iterable[Any] | AsyncIterable[Any], size: int) -> None:
        """`size`: rows a piece. Raises UsageError for what has no rows."""
        self.own = own
        self.size = size
        self.total = len(rows) if isinstance(rows, Sized) else None
        self.read = 0
        self.sets: dict[frozenset[str], RowSet] = {}
        self._rows = _iterator(rows)
        self._names = _names(own)
        self._plans: dict[tuple[Any, ...], _Plan] = {}  # by the keys of a mapping
        self._object_plans: dict[tuple[str, ...], _Plan] = {}  # by the attributes that are set
        self._reduced_plans: dict[tuple[str, ...], _Plan] = {}  # by those that are left of them
        self._context = _Context(own)

    def pieces(self) -> Iterator[Piece]:
        """None for an empty input. Raises BadRow, and UsageError for names that there are not."""
        ahead = list(itertools.islice(self._rows, 1))
        while ahead:
            parts: dict[int, Part] = {}
            for row in itertools.chain(ahead, itertools.islice(self._rows, self.size - 1)):
                self._add(row, parts)
                self.read += 1
            ahead = list(itertools.islice(self._rows, 1))
            yield Piece(tuple(parts[number] for number in sorted(parts)), is_last=not ahead)

    def name(self, given: Any) -> str:
        """Of the model, for a name of an attribute or a column, or for one of these. Raises UsageError."""
        name = given if isinstance(given, str) else _name_of(given, self.own)
        found = None if name is None else self._names.get(name)
        if found is None:
            what = (
                f"column {given!r}" if isinstance(given, str) else f"such column: a {type(given).__name__} of another"
            )
            raise UsageError(f"{self.own.name} has no {what}", hint=f"It has: {', '.join(self.own.columns)}.")
        return found

    def _add(self, row: Any, parts: dict[int, Part]) -> None:
        keys: tuple[Any, ...]
        if type(row) is dict or isinstance(row, Mapping):
            keys = tuple(row)
            plan = self._plans.get(keys) or self._plan(keys)
        else:
            row, plan = self._object(row)
        rows = plan.rows
        values = plan.get(row)
        if rows.made:
            values = self._context.completed(rows, values)
        part = parts.get(rows.number)
        if part is None:
            part = parts[rows.number] = Part(rows)
        part.numbers.append(self.read)
        part.values.append(values)

    def _plan(self, keys: tuple[Any, ...]) -> _Plan:
        names: dict[str, Any] = {}
        for key in keys:
            try:
                name = self.name(key)
            except UsageError as error:
                raise BadRow(error.message, row=self.read, hint=error.hint) from None
            if name in names:
                raise BadRow(f"column {name} of {self.own.name} is given twice", row=self.read, column=name)
            names[name] = key
        plan = self._planned(names)
        self._plans[keys] = plan
        return plan

    def _planned(self, keys: Mapping[str, Any]) -> _Plan:
        """`keys`: under which a row has the value, by name of the model."""
        if not keys:
            raise BadRow("a row without columns", row=self.read)
        for name in keys:
            if self.own.columns[name].computed is not None:
                raise BadRow(
                    f"column {name} of {self.own.name} is computed by the server",
                    row=self.read,
                    column=name,
                    hint="Leave it out.",
                )
        rows = self.sets.get(frozenset(keys))
        if rows is None:
            rows = self.sets[frozenset(keys)] = _row_set(self.own, len(self.sets), tuple(keys))
        ordered = tuple(keys[name] for name in rows.given)
        if len(ordered) == 1:
            [only] = ordered
            return _Plan(rows, lambda row: (row[only],))
        return _Plan(rows, operator.itemgetter(*ordered))

    def _object(self, row: Any) -> tuple[Mapping[str, Any], _Plan]:
        """As SQLAlchemy's own INSERT: attributes that were set, and None only where there is no default."""
        if isinstance(row, sa.Row):
            named = row._asdict()
            return named, self._plans.get(tuple(named)) or self._plan(tuple(named))
        mapper = self.own.mapper
        if mapper is None or not isinstance(row, mapper.class_):
            expected = "mapping" if mapper is None else f"mapping nor a {self.own.name}"
            raise BadRow(f"a {type(row).__name__} is no {expected}", row=self.read)
        state = sa.inspect(row)
        if state.mapper is not mapper:
            raise BadRow(
                f"a {type(row).__name__} is more than a {self.own.name}",
                row=self.read,
                hint="Upsert objects of each class by themselves.",
            )
        values = state.dict
        if expired := state.expired_attributes.intersection(self.own.columns).difference(values):
            raise BadRow(
                f"a {type(row).__name__} has expired attributes",
                row=self.read,
                column=min(expired),
                hint="Refresh it, or leave it in the session that it is from.",
            )
        keys = tuple(values)
        plan = self._object_plans.get(keys)
        if plan is None:
            plan = self._planned({name: name for name in self.own.columns if name in values})
            omitted = tuple(name for name in plan.rows.given if _leaves_out_none(self.own.columns[name]))
            plan = self._object_plans[keys] = _Plan(plan.rows, plan.get, omitted)
        if any(values[name] is None for name in plan.omitted):
            left = tuple(n for n in plan.rows.given if not (n in plan.omitted and values[n] is None))
            plan = self._reduced_plans.get(left)
            if plan is None:
                plan = self._reduced_plans[left] = self._planned({name: name for name in left})
        return values, plan


class _Context:
    """What functions of `default=` may be given: of SQLAlchemy's context, the values of their row."""

    def __init__(self, own: Entity) -> None:
        self._own = own
        self._columns = own.columns
        self.current_parameters: dict[str, Any] = {}

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> dict[str, Any]:
        del isolate_multiinsert_groups  # each row is by itself
        return self.current_parameters

    def completed(self, rows: RowSet, values: Values) -> Values:
        self.current_parameters = current = {
            self._columns[name].key: value for name, value in zip(rows.given, values, strict=True)
        }
        added = []
        for name, make in rows.made.items():
            value = current[self._columns[name].key] = make(self)
            added.append(value)
        return (*values, *added)


def _row_set(own: Entity, number: int, given: tuple[str, ...]) -> RowSet:
    made: dict[str, Callable[[_Context], Any]] = {}
    computed: dict[str, sa.ColumnElement[Any]] = {}
    mapper = own.mapper
    for name, column in own.columns.items():
        default = column.default
        if name in given:
            continue
        if mapper is not None and column is mapper.polymorphic_on and mapper.polymorphic_identity is not None:
            made[name] = _constant(mapper.polymorphic_identity)
        elif mapper is not None and column is mapper.version_id_col and mapper.version_id_generator:
            made[name] = _versions(mapper)
        elif default is None:
            continue
        elif isinstance(default, sa.Sequence):
            if not default.optional:  # optional: where there is no SERIAL
                computed[name] = default.next_value()
        elif default.is_clause_element:
            computed[name] = default.arg
        elif default.is_callable:
            made[name] = default.arg  # SQLAlchemy has made all take a context
        elif default.is_scalar:
            made[name] = _constant(default.arg)
    return RowSet(number, given, made, computed)


def _constant(value: Any) -> Callable[[_Context], Any]:
    return lambda _: value


def _versions(mapper: orm.Mapper[Any]) -> Callable[[_Context], Any]:
    """Of a new row."""
    generator = mapper.version_id_generator
    assert callable(generator)
    return lambda _: generator(None)


def _leaves_out_none(column: sa.Column[Any]) -> bool:
    """Whether SQLAlchemy inserts the default for an object whose attribute is None."""
    has_default = column.default is not None or column.server_default is not None or column.primary_key
    return has_default and not column.type.should_evaluate_none


def _names(own: Entity) -> dict[str, str]:
    """By all names that a column has: as attribute, as column, in the database. The first ones win."""
    names = {name: name for name in own.columns}
    for spelling in (operator.attrgetter("key"), operator.attrgetter("name")):
        for name, column in own.columns.items():
            names.setdefault(spelling(column), name)
    return names


def _name_of(given: Any, own: Entity) -> str | None:
    """Of an attribute or a column of this model."""
    if isinstance(given, orm.QueryableAttribute):
        is_own = own.mapper is not None and own.mapper.isa(given.parent.mapper)
        return given.key if is_own else None
    if isinstance(given, sa.Column):
        return next((name for name, column in own.columns.items() if column is given), None)
    return None


def _iterator(rows: Any) -> Iterator[Any]:
    if isinstance(rows, AsyncIterable):
        return _awaited(rows)
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
        raise UsageError(
            f"rows cannot be a {type(rows).__name__}",
            hint="Pass a list, a generator or another iterable of mappings or objects.",
        )
    return iter(rows)


def _awaited(rows: AsyncIterable[Any]) -> Iterator[Any]:
    """Of AsyncDatabase, whose operations run in a greenlet."""
    from sqlalchemy.exc import MissingGreenlet
    from sqlalchemy.util import await_only

    iterator = aiter(rows)
    while True:
        try:
            row = await_only(_next(iterator))
        except MissingGreenlet:
            raise UsageError(
                f"rows cannot be a {type(rows).__name__} here", hint="Asynchronous iterables need AsyncDatabase."
            ) from None
        if row is _END:
            return
        yield row


_END = object()


async def _next(iterator: Any) -> Any:
    return await anext(iterator, _END)


def unique_names(reader: Reader, given: Any, what: str) -> tuple[str, ...]:
    """One name, or several. Raises UsageError."""
    several = isinstance(given, Iterable) and not isinstance(given, str | orm.QueryableAttribute | sa.Column)
    names = [reader.name(each) for each in (given if several else (given,))]
    if len(set(names)) < len(names):
        raise UsageError(f"{what} names a column twice", detail=f"found {', '.join(names)}")
    return tuple(names)


def given_names(rows: RowSet, wanted: Collection[str] | None, key: Sequence[str]) -> tuple[str, ...]:
    """What of a row that is there is to be changed: of the columns that are wanted (None: all but the key) those that
    the application has given.
    """
    return tuple(name for name in rows.given if (name not in key if wanted is None else name in wanted))
