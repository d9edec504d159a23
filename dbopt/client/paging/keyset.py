"""What a page is ordered by, and which rows stand after a place in that order: pure, expressions of SQLAlchemy.

Where keys have one direction and no NULLs, the rows from a place on (or up to it) are those of a row comparison, which
an index on the keys serves from its first row on. Otherwise they are the union of a few ranges that follow each other:
those that agree with the place in all keys but the last, in all but the last two, ... Each range is served like that.
As one condition with OR they would be read by one statement instead of one after the other, from the first row on that
agrees in the first key: that is done where few are known to agree.

All comparing is left to the server, whose text of a value goes there and back: `CAST(key AS text)`, and a parameter
without a type, which takes that of what it is compared with. So microseconds, numerics, infinity, collations, enums,
arrays and types that nobody here knows stay what they are.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Condition: TypeAlias = "sa.ColumnElement[bool]"
# The keys of a row, as the server writes them; None: NULL.
Values: TypeAlias = "tuple[str | None, ...]"


class _AsCompared(sa.types.UserDefinedType[str]):
    """Of a parameter: the server takes the type of the other side."""

    cache_ok = True


@dataclass(frozen=True, slots=True)
class Key:
    expression: sa.ColumnElement[Any]
    descending: bool
    nulls_first: bool
    nullable: bool

    @property
    def tables(self) -> frozenset[int]:
        """By their hashes, which annotated ones have in common with others."""
        columns = (part for part in visitors.iterate(self.expression) if isinstance(part, sa.ColumnClause))
        return frozenset(hash(column.table) for column in columns)

    def order(self, *, forward: bool) -> sa.ColumnElement[Any]:
        descending, nulls_first = self.descending is forward, self.nulls_first is forward
        ordered = self.expression.desc() if descending else self.expression.asc()
        if nulls_first is descending:  # PostgreSQL's default
            return ordered
        return ordered.nulls_first() if nulls_first else ordered.nulls_last()

    def texts(self) -> tuple[sa.ColumnElement[Any], ...]:
        """What a SELECT has to bring of a row for `read`: it means the same in sessions with other settings."""
        affinity = self.expression.type._type_affinity  # of SQLAlchemy's kinds of types; it has no public name
        if affinity in _OF_DATES:  # in ISO 8601, whatever DateStyle is
            return (sa.func.to_json(self.expression).op("#>>")(sa.literal_column("'{}'")),)
        text = sa.cast(self.expression, sa.Text)
        if affinity in _MAYBE_FLOAT:  # all digits, whatever extra_float_digits is
            is_float = sa.func.pg_typeof(self.expression).in_(_FLOAT_TYPES)
            return (text, sa.case((is_float, sa.func.record_send(sa.func.row(self.expression)))))
        return (text,)

    def read(self, values: Sequence[Any]) -> str | None:
        """The key's value of what `texts` brought of a row."""
        text: str | None = values[0]
        if text is None or len(values) == 1 or values[1] is None:
            return text
        # A count of fields, then for each its type, its length and itself.
        _, _, length = struct.unpack_from(">iIi", values[1])
        return repr(struct.unpack_from(">f" if length == 4 else ">d", values[1], 12)[0])


_OF_DATES = (sa.DateTime, sa.Date)
_MAYBE_FLOAT = (sa.Float, sa.Numeric, sa.types.NullType)
_FLOAT_TYPES: list[Any] = [
    sa.literal_column("'real'::pg_catalog.regtype"),
    sa.literal_column("'double precision'::pg_catalog.regtype"),
]


def parameters(values: Values) -> Mapping[str, str]:
    """For the conditions below, which have a parameter for each value that is not NULL."""
    return {_parameter(n): value for n, value in enumerate(values) if value is not None}


def is_there(keys: Sequence[Key], nulls: Sequence[bool]) -> Condition:
    """Whether a row has just the values. `nulls`: which of them are NULL."""
    return sa.and_(*(_equal(keys, nulls, n) for n in range(len(keys))))


def ranges(
    keys: Sequence[Key], nulls: Sequence[bool], *, forward: bool, inclusive: bool, shared: int | None = None
) -> list[Condition]:
    """Conditions of the rows after the values (before them: not `forward`), each row under just one of them; the ranges
    follow each other in that direction. `inclusive`: a row with just the values, too. `shared`: only in so many keys
    may many rows agree; None: in any.
    """
    found = _ranges(keys, nulls, 0, forward, inclusive, len(keys) if shared is None else shared)
    return [sa.and_(*conditions) for conditions in found]


def _ranges(
    keys: Sequence[Key], nulls: Sequence[bool], at: int, forward: bool, inclusive: bool, shared: int
) -> list[list[Condition]]:
    """Of the rows that agree in the first `at` keys."""
    if at == len(keys):
        return [[]] if inclusive else []
    key, nulls_first = keys[at], keys[at].nulls_first is forward
    end = at + 1 if nulls[at] else _end_of_run(keys, nulls, at, forward)
    equal = [_equal(keys, nulls, n) for n in range(at, end)]
    if nulls[at]:
        among = [[*equal, *more] for more in _ranges(keys, nulls, end, forward, inclusive, shared)]
        return [*among, [key.expression.is_not(None)]] if nulls_first else among
    ahead, from_there = (operators.lt, operators.le) if key.descending is forward else (operators.gt, operators.ge)
    if end == len(keys):
        found = [[_compared(keys, at, end, from_there if inclusive else ahead)]]
    else:
        among = [[*equal, *more] for more in _ranges(keys, nulls, end, forward, inclusive, shared)]
        found = [*among, [_compared(keys, at, end, ahead)]]
        if end > shared:
            found = [[_compared(keys, at, end, from_there), sa.or_(*(sa.and_(*each) for each in found))]]
    if key.nullable and not nulls_first:
        found.append([key.expression.is_(None)])
    return found


def _end_of_run(keys: Sequence[Key], nulls: Sequence[bool], at: int, forward: bool) -> int:
    """Up to where one row comparison says it all. It leaves rows with NULL out, which is right for those that come
    before the values, and for those that come after all others as the range after it. An index serves one on a single
    table only.
    """
    end = at + 1
    while (
        end < len(keys)
        and keys[end].tables == keys[at].tables
        and keys[end].descending is keys[at].descending
        and not nulls[end]
        and (not keys[end].nullable or keys[end].nulls_first is forward)
    ):
        end += 1
    return end


def _equal(keys: Sequence[Key], nulls: Sequence[bool], at: int) -> Condition:
    return keys[at].expression.is_(None) if nulls[at] else _compared(keys, at, at + 1, operators.eq)


def _compared(keys: Sequence[Key], start: int, end: int, operator: Any) -> Condition:
    expressions = [key.expression for key in keys[start:end]]
    given = [sa.bindparam(_parameter(n), type_=_AsCompared()) for n in range(start, end)]
    if end - start == 1:
        return BinaryExpression(expressions[0], given[0], operator, type_=sa.Boolean())
    return BinaryExpression(sa.tuple_(*expressions), sa.tuple_(*given), operator, type_=sa.Boolean())


def _parameter(at: int) -> str:
    return f"dbopt_page_key_{at}"
