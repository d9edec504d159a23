"""Rows asked for by the values of a key: many values as arrays, whose text is the same however many there are.

The arrays are a table in the statement, `unnest(...) WITH ORDINALITY`, joined to the key: the server's own equality
says which row belongs to which value (citext, collations, blanks at the end of char, 1.0 and 1), and its number says it
here. It is read by the key's index, as `= ANY (array)` is, and nearly as quickly.
"""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from dbopt.errors import UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

# A value, or a tuple of one for each of several columns.
Key: TypeAlias = Any

_NAME = "dbopt_asked"
_BIGINT = range(-(2**63), 2**63)
# Other Python types than the column's own that stand for the same values.
_ALSO: Mapping[type, type] = {uuid.UUID: str, decimal.Decimal: int, float: int}
_MOMENTS = (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)
_CHECKED = (int, str, bytes, uuid.UUID, decimal.Decimal, float, *_MOMENTS)
# Kinds of types whose limits (a length, digits) a cast would obey by cutting off and rounding. Texts have a
# collation, too, that of the column counts in a comparison.
_LIMITED = (sa.String, sa.Numeric, sa.DateTime, sa.Time, INTERVAL)
_LIMITS = re.compile(r"\(\s*\d+\s*(,\s*-?\d+\s*)?\)")


def key_of(values: Sequence[Any]) -> Key:
    return values[0] if len(values) == 1 else tuple(values)


@dataclass(frozen=True, slots=True)
class Asked:
    """Columns that rows are asked for by, and what they are called where something is wrong with a value."""

    columns: Sequence[sa.ColumnElement[Any]]
    names: Sequence[str]

    def check(self, keys: Sequence[Key]) -> None:
        """Raises UsageError for values of the wrong type or of several, and names the first place."""
        for number, (column, name) in enumerate(zip(self.columns, self.names, strict=True)):
            values = self._values(keys, number)
            kinds = set(map(type, values))
            wanted = _python_types(column.type)
            if len(kinds) > 1 or not all(_is_one(kind, wanted) for kind in kinds):
                _refuse(name, values, wanted)

    def possible(self, keys: Iterable[Key]) -> list[Key]:
        """Without those that no row can have, which the server would refuse to look for."""
        keys = list(keys)
        for number, column in enumerate(self.columns):
            test = _test(column.type)
            if test is not None:
                are_possible = map(test, self._values(keys, number))
                keys = [key for key, is_possible in zip(keys, are_possible, strict=True) if is_possible]
        return keys

    def _values(self, keys: Sequence[Key], number: int) -> Sequence[Any]:
        """Of one column."""
        return keys if len(self.columns) == 1 else [key[number] for key in keys]

    def table(self, keys: Sequence[Key]) -> sa.TableValuedAlias:
        """`keys` as a table: k0, k1, ... and n, from 1."""
        types = [column.type for column in self.columns]
        arrays = [
            sa.bindparam(None, _spellings(self._values(keys, number), kind), Array(kind), unique=True)
            for number, kind in enumerate(types)
        ]
        named = [sa.column(f"k{number}", kind) for number, kind in enumerate(types)]
        return sa.func.unnest(*arrays).table_valued(*named, with_ordinality="n").render_derived(name=_NAME)

    def condition(self, table: sa.TableValuedAlias) -> sa.ColumnElement[bool]:
        return sa.and_(*(column == table.c[f"k{number}"] for number, column in enumerate(self.columns)))


class Array(UserDefinedType[Any]):
    """An array of a column's type without its limits: `varchar(3)` would find "abc" for "abcd". Whole numbers are
    bigint, so that one that is too large for the column is merely not found; indexes serve those, too.
    """

    cache_ok = True
    render_bind_cast = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        self.item = item

    def get_col_spec(self, **options: Any) -> str:
        if isinstance(_plain(self.item), sa.Integer):
            return "BIGINT[]"
        written = str(_dialect.type_compiler_instance.process(self.item, **options))
        if _is_limited(self.item):
            written = _LIMITS.sub("", written).partition(" COLLATE ")[0]
        return f"{'bpchar' if written == 'CHAR' else written}[]"  # CHAR without a length is of one character

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        one = self.item.dialect_impl(dialect).bind_processor(dialect)
        if one is not None:
            return lambda values: [one(value) for value in values]
        if isinstance(self.item, sa.Integer):
            # As the server writes it: psycopg would look into each for what has to be quoted.
            return lambda values: f"{{{','.join(map(int.__repr__, values))}}}"
        return None


_dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _is_limited(kind: TypeEngine[Any]) -> bool:
    # The name of an enum may have parentheses, and float(24) is another type than float.
    plain = _plain(kind)
    return isinstance(plain, _LIMITED) and not isinstance(plain, sa.Enum | sa.Float)


def _python_types(kind: TypeEngine[Any]) -> tuple[type, ...]:
    """Of the values that a column compares with. Empty: whatever it takes."""
    if isinstance(kind, TypeDecorator):
        return ()
    if isinstance(kind, sa.Enum):
        return (kind.enum_class, str) if kind.enum_class else (str,)
    try:
        own = kind.python_type
    except NotImplementedError:
        return ()
    return tuple(each for each in (own, _ALSO.get(own)) if each) if own in _CHECKED else ()


def _is_one(kind: type, wanted: Collection[type]) -> bool:
    """A bool is no whole number here, and a point in time is no date: the server would make one of it."""
    if kind is type(None):
        return False
    if not wanted or kind in wanted:
        return True
    is_other = kind is bool or (issubclass(kind, datetime.datetime) and datetime.datetime not in wanted)
    return issubclass(kind, tuple(wanted)) and not is_other


def _refuse(name: str, values: Sequence[Any], wanted: Collection[type]) -> None:
    for place, value in enumerate(values):
        found = f"position {place} (from 0) is a {type(value).__name__}"
        if value is None:
            raise UsageError(f"an id for {name} is None", detail=f"at position {place} (from 0)")
        if not _is_one(type(value), wanted):
            names = " or ".join(kind.__name__ for kind in wanted)
            raise UsageError(f"an id for {name} has the wrong type", detail=f"{found}, not {names}")
        if type(value) is not type(values[0]):
            before = type(values[0]).__name__
            raise UsageError(f"ids for {name} have several types", detail=f"{found}, those before are {before}")


def _test(kind: TypeEngine[Any]) -> Callable[[Any], bool] | None:
    """Whether a column of this type could have a value. None: any."""
    if isinstance(kind, sa.Enum):
        labels = frozenset(kind.enums)
        return lambda value: not isinstance(value, str) or isinstance(value, kind.enum_class or ()) or value in labels
    if isinstance(kind, sa.Integer):
        return lambda value: value in _BIGINT
    if isinstance(kind, sa.String):
        return lambda value: not isinstance(value, str) or _is_text(value)
    if isinstance(kind, sa.Uuid):
        return lambda value: not isinstance(value, str) or _is_uuid(value)
    return None


def _is_text(value: str) -> bool:
    """PostgreSQL stores neither NUL nor half a surrogate pair."""
    if "\0" in value:
        return False
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spellings(values: Sequence[Any], kind: TypeEngine[Any]) -> Sequence[Any]:
    """As the server reads them: Python takes more spellings of a UUID than PostgreSQL."""
    if not isinstance(kind, sa.Uuid) or not values or not isinstance(values[0], str):
        return values
    return [str(uuid.UUID(value)) for value in values]


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True
