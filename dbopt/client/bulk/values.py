"""Values of rows as SQLAlchemy and psycopg would send them, whatever the way they go: the text that COPY takes.

A parameter of SQLAlchemy has a type of its own, from which the server casts; the text of COPY is read as the column's
type. For most values that is the same. For the others (a bool for an integer column, a time with a zone for a column
without) the server is asked what a cast makes of them: reading them would be an error, or drop the zone unsaid.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from psycopg import Error as DriverError
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.json import Json, Jsonb
from sqlalchemy import exc
from sqlalchemy.types import UserDefinedType

from dbopt.errors import BadRow, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dbopt.client.bulk.rows import Part
    from dbopt.client.bulk.target import Target, TargetColumn
    from dbopt.client.shape import Entity

# By their numbers in pg_type.dat: they are part of the wire protocol and do not change.
UNKNOWN, BOOL, BYTEA, TEXT, INT8, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC = 0, 16, 17, 25, 20, 1082, 1114, 1184, 1700
RECORD = 2249
_INTEGERS = (21, 23, INT8)
_FLOATS = (700, 701)
_INTEGER_LISTS, _FLOAT_LISTS, _NUMERIC_LIST = (1005, 1007, 1016), (1021, 1022), 1231
_TEXTS = (TEXT, 1043, 1042, 19)  # varchar, bpchar, name
_JSON, _JSONB = 114, 3802
# Where the text of the one, read as the other, is what a cast gives.
_ALIKE = (
    {(one, other) for one in _INTEGERS for other in (*_INTEGERS, *_FLOATS, NUMERIC, *_TEXTS, 26)}
    | {(one, other) for one in (*_FLOATS, NUMERIC) for other in _FLOATS}
    | {(one, other) for one in _INTEGER_LISTS for other in (*_INTEGER_LISTS, *_FLOAT_LISTS, _NUMERIC_LIST)}
    | {(one, other) for one in (*_FLOAT_LISTS, _NUMERIC_LIST) for other in _FLOAT_LISTS}
    | {(DATE, TIMESTAMP), (DATE, TIMESTAMPTZ), (TIMESTAMP, DATE), (TIMESTAMP, TIMESTAMPTZ)}
    | {(_JSON, _JSONB), (_JSONB, _JSON)}
)
# Of these psycopg sends all values as one type, or, whole numbers, as types that are alike.
_UNIFORM = (int, float, str, bool, bytes, decimal.Decimal, uuid.UUID, datetime.date, datetime.timedelta, Json, Jsonb)

_TYPE_NAME = "/* dbopt: a type's name */ SELECT pg_catalog.format_type(%(oid)s::oid, -1)"

# What psycopg raises for a value that it has no text for.
_UNSENDABLE = (DriverError, ValueError, TypeError)


class Named(UserDefinedType[Any]):
    """A type as the server spells it."""

    cache_ok = True

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling

    def get_col_spec(self, **_: Any) -> str:
        return self.spelling.replace("%", "%%")  # psycopg's placeholders


class Sender:
    """On one connection, for one table."""

    def __init__(self, connection: sa.Connection, own: Entity, target: Target, parts: Sequence[Part]) -> None:
        """`parts`: a sample. Raises UsageError for columns that the table does not have, or does not let be written."""
        self.connection = connection
        self.own = own
        self._dialect = connection.dialect
        self._transformer = Transformer(connection.connection.driver_connection)
        self._processors: dict[str, Callable[[Any], Any] | None] = {}
        self._carriers: dict[str, TargetColumn | Named] = {}
        self._is_plain: dict[tuple[str, type], bool] = {}
        self._target = target
        self._sample = parts

    def columns(self, part: Part) -> list[Sequence[Any]]:
        """By column, in the order of `sent`: what psycopg takes, and the server reads as the column's type.

        Raises BadRow.
        """
        columns: list[Sequence[Any]] = []
        by_column: Iterable[Sequence[Any]] = zip(*part.values, strict=True) if part.rows.sent else ()
        for name, values in zip(part.rows.sent, by_column, strict=True):
            columns.append(self._sent(name, values, part.numbers))
        return columns

    def texts(self, name: str, values: Sequence[Any], numbers: Sequence[int]) -> str:
        """What `columns` gives of a column, as one array of texts. Raises BadRow."""
        try:
            items = [self._text(value) for value in values]
        except _UNSENDABLE as error:
            self.blame([(name, values)], numbers, error)
            raise
        written = ",".join("NULL" if item is None else _quoted(item) for item in items)
        if "\0" in written:
            row = next(number for number, item in zip(numbers, items, strict=True) if item and "\0" in item)
            raise BadRow("text with a NUL character", row=row, column=name, hint=_NUL_HINT)
        return f"{{{written}}}"

    def carrier(self, name: str) -> TargetColumn | Named:
        """The type that values of this column go as: its own, or, where SQLAlchemy puts a function around them, what
        that function takes.
        """
        if name not in self._carriers:
            found = self._target.columns.get(self.own.columns[name].name)
            if found is None:
                raise UsageError(
                    f"the table of {self.own.name} has no column {self.own.columns[name].name}",
                    hint="Has the migration that adds it been run?",
                )
            if found.is_generated:
                raise UsageError(f"column {name} of {self.own.name} is computed by the server", hint="Leave it out.")
            has_function = getattr(self.impl(name), "_has_bind_expression", False)
            self._carriers[name] = self._argument(name) if has_function else found
        return self._carriers[name]

    def impl(self, name: str) -> Any:
        """SQLAlchemy's type for PostgreSQL."""
        return self.own.columns[name].type.dialect_impl(self._dialect)

    def blame(self, columns: Iterable[tuple[str, Sequence[Any]]], numbers: Sequence[int], error: BaseException) -> None:
        """Raises BadRow for the value that psycopg could not make a text of; returns when there is none such."""
        for name, values in columns:
            for number, value in zip(numbers, values, strict=True):
                if isinstance(value, str) and "\0" in value:
                    raise BadRow("text with a NUL character", row=number, column=name, hint=_NUL_HINT) from None
                try:
                    self._text(value)
                except _UNSENDABLE:
                    kind, what = type(value).__name__, type(error).__name__
                    raise BadRow(f"a {kind} cannot be sent ({what})", row=number, column=name) from None

    def _sent(self, name: str, values: Sequence[Any], numbers: Sequence[int]) -> Sequence[Any]:
        kinds = set(map(type, values))
        if any(issubclass(kind, sa.ClauseElement) for kind in kinds):
            values = _without_expressions(name, values, numbers)
            kinds = set(map(type, values))
        if (process := self._processor(name)) is not None:
            values = _processed(process, name, values, numbers)
            kinds = set(map(type, values))
        try:
            if not all(self._goes_as_it_is(name, kind, values) for kind in kinds):
                return self._cast(name, values)
        except _UNSENDABLE as error:
            self.blame([(name, values)], numbers, error)
            raise
        return [None if value is _NULL else value for value in values] if type(_NULL) in kinds else values

    def _processor(self, name: str) -> Callable[[Any], Any] | None:
        if name not in self._processors:
            self._processors[name] = self.impl(name).bind_processor(self._dialect)
        return self._processors[name]

    def _goes_as_it_is(self, name: str, kind: type, values: Sequence[Any]) -> bool:
        if kind in _AS_THEY_ARE:
            return True
        carrier = self.carrier(name)
        if isinstance(carrier, Named):
            return True
        known = self._is_plain.get((name, kind))
        if known is not None:
            return known
        of_kind = [value for value in values if type(value) is kind]
        if kind is datetime.datetime and carrier.type_oid == TIMESTAMPTZ:
            is_plain = self._is_plain[name, kind] = True  # what has no zone is taken for a time of the session's
        elif kind in _UNIFORM:
            is_plain = self._is_plain[name, kind] = self._is_read_as(of_kind[0], carrier)
        else:
            is_plain = all(self._is_read_as(value, carrier) for value in of_kind)
        return is_plain

    def _is_read_as(self, value: Any, column: TargetColumn) -> bool:
        sent = self._oid(value)
        if sent in (UNKNOWN, TEXT, column.type_oid) or (sent, column.type_oid) in _ALIKE:
            return True
        return type(value) is int or (sent == RECORD and column.is_composite)

    def _oid(self, value: Any) -> int:
        return self._transformer.get_dumper(value, PyFormat.TEXT).oid

    def _cast(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """With what is not read as it is in the words of the server: one question for each type sent."""
        carrier = self.carrier(name)
        assert not isinstance(carrier, Named)
        odd: dict[int, list[int]] = {}
        for place, value in enumerate(values):
            if type(value) not in _AS_THEY_ARE and not self._is_read_as(value, carrier):
                odd.setdefault(self._oid(value), []).append(place)
        cast = [None if value is _NULL else value for value in values]
        for oid, places in odd.items():
            sent_as = Named(self.connection.exec_driver_sql(_TYPE_NAME, {"oid": oid}).scalar_one())
            written = ",".join(_quoted(self._text(values[place]) or "") for place in places)
            given = unnested({"v": f"{{{written}}}"})
            read = sa.cast(sa.cast(given.c.v, sent_as), Named(carrier.plain_type_name))
            text = sa.cast(read, Named("text"))
            try:
                made = self.connection.scalars(sa.select(text)).all()
            except exc.DBAPIError as error:
                error.add_note(f"column {name} of the input")
                raise
            for place, value in zip(places, made, strict=True):
                cast[place] = value
        return cast

    def _text(self, value: Any) -> str | None:
        """As psycopg writes it."""
        if type(value) is str:
            value.encode()  # half a surrogate pair
            return value
        if value is None or value is _NULL:
            return None
        dumped = self._transformer.get_dumper(value, PyFormat.TEXT).dump(value)
        return None if dumped is None else bytes(dumped).decode(self._transformer.encoding)

    def _argument(self, name: str) -> Named:
        """Of a function that a type puts around its values (bind_expression): by the first value there is."""
        process = self._processor(name)
        for part in self._sample:
            if name in part.rows.sent:
                place = part.rows.sent.index(name)
                given = (row[place] for row in part.values)
                sent = (process(value) if process else value for value in given if value is not None)
                oid = next((INT8 if type(value) is int else self._oid(value) for value in sent), UNKNOWN)
                if oid not in (UNKNOWN, TEXT):
                    return Named(self.connection.exec_driver_sql(_TYPE_NAME, {"oid": oid}).scalar_one())
        return Named("text")


_NULL = sa.null()
_AS_THEY_ARE = (str, type(None), type(_NULL))
_NUL_HINT = "PostgreSQL stores all characters but this one; bytea takes it."


def unnested(arrays: dict[str, str]) -> sa.TableValuedAlias:
    """Arrays of texts side by side as rows."""
    values = [
        sa.cast(sa.bindparam(None, array, sa.types.NullType(), unique=True), Named("text[]"))
        for array in arrays.values()
    ]
    columns = [sa.column(name, Named("text")) for name in arrays]
    return sa.func.unnest(*values).table_valued(*columns, name="given").render_derived()


def _quoted(item: str) -> str:
    """An item of an array."""
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _without_expressions(name: str, values: Sequence[Any], numbers: Sequence[int]) -> Sequence[Any]:
    """sqlalchemy.null() is the one expression that is a value: SQL's NULL also where None is JSON's."""
    made = []
    for number, value in zip(numbers, values, strict=True):
        if isinstance(value, type(_NULL)):
            made.append(_NULL)
        elif isinstance(value, sa.ClauseElement):
            raise BadRow(
                "an SQL expression is no value",
                row=number,
                column=name,
                hint="Leave the column out and give it a default, or write such rows by an INSERT of their own.",
            )
        else:
            made.append(value)
    return made


def _processed(
    process: Callable[[Any], Any], name: str, values: Sequence[Any], numbers: Sequence[int]
) -> Sequence[Any]:
    try:
        return [value if value is _NULL else process(value) for value in values]
    except Exception:  # whatever a type of the application's own raises
        for number, value in zip(numbers, values, strict=True):
            try:
                value is _NULL or process(value)
            except Exception as error:  # noqa: BLE001 - it is told by its name, as its words may hold the value
                raise BadRow(
                    f"a {type(value).__name__} that the column's type refuses ({type(error).__name__})",
                    row=number,
                    column=name,
                ) from None
        raise
