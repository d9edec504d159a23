"""Which selects pages can be made of, and what tells one of them from another."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import Over
from sqlalchemy.sql.selectable import SelectBase

from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.client.paging.keyset import Key
    from dbopt.client.shape import Readable, Shape

FINGERPRINT_BYTES = 16


def check_select(statement: Readable) -> sa.Select[Any]:
    """Raises UsageError for what is no plain select."""
    if not isinstance(statement, sa.Select):
        is_union = isinstance(statement, sa.CompoundSelect)
        raise _refused("a UNION" if is_union else "SQL in a text", _AS_SUBQUERY if is_union else _AS_COLUMNS)
    for attribute, (clause, hint) in _CLAUSES.items():
        found = getattr(statement, attribute)
        if found is not None and found is not False and found != ():
            raise _refused(f"a select with {clause}", hint)
    return statement


def check_pageable(statement: sa.Select[Any]) -> None:
    """Raises UsageError for what a condition on its rows would give other values."""
    if any(not isinstance(column, sa.Column) and _has_window(column) for column in statement.selected_columns):
        raise _refused("a select with window functions", _AS_SUBQUERY)


_AS_SUBQUERY = "Page a select of it: select(statement.subquery()), with unique=(...) for what makes its rows unique."
_AS_COLUMNS = "Name its columns, and page a select of it: select(text(...).columns(...).subquery()), with unique=(...)."
_LEFT_OUT = "Leave it out: a page has `size`, `after` and `before`, and is for reading."
# By the attributes of a Select that hold them.
_CLAUSES = {
    "_limit_clause": ("LIMIT", _LEFT_OUT),
    "_offset_clause": ("OFFSET", _LEFT_OUT),
    "_fetch_clause": ("FETCH", _LEFT_OUT),
    "_for_update_arg": ("FOR UPDATE", _LEFT_OUT),
    "_distinct": ("DISTINCT", _AS_SUBQUERY),
    "_group_by_clauses": ("GROUP BY", _AS_SUBQUERY),
    "_having_criteria": ("HAVING", _AS_SUBQUERY),
}


def _refused(what: str, hint: str) -> UsageError:
    return UsageError(f"{what} cannot be paged", hint=hint)


def _has_window(clause: Any) -> bool:
    """Of its own; those of subqueries are a matter of theirs."""
    if isinstance(clause, Over):
        return True
    return not isinstance(clause, SelectBase) and any(map(_has_window, clause.get_children()))


def text_of(asked: Shape, ordered: sa.Select[Any], keys: Sequence[Key], dialect: sa.Dialect) -> str:
    """Of what is selected nothing but where it comes from, if that is a mapped class or a table: the application's next
    version may have more columns.
    """
    statement = ordered.order_by(None).order_by(*(key.order(forward=True) for key in keys))
    if asked.entity is not None and asked.entity.mapper is not None:
        mapper = asked.entity.mapper
        names = (mapper.get_property_by_column(column).key for column in mapper.primary_key)
        statement = statement.with_only_columns(*(getattr(mapper.class_, name) for name in names))
    elif asked.entity is not None:
        statement = statement.with_only_columns(sa.literal_column("1"), maintain_column_froms=True)
    return str(statement.compile(dialect=dialect))


def fingerprint(text: str, values: Iterable[sa.BindParameter[Any]], dialect: sa.Dialect) -> str:
    """The same in all processes."""
    said = repr((text, [_plain(value.effective_value, value.type, dialect) for value in values]))
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()[:FINGERPRINT_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


_SAY_THEMSELVES = (
    *(type(None), bool, int, float, str, bytes, decimal.Decimal, uuid.UUID),
    *(datetime.date, datetime.time, datetime.timedelta),
)


def _plain(value: Any, kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Any:
    """What is equal in all processes where the value is: objects of the application as their type sends them."""
    if isinstance(value, enum.Enum):
        return (type(value).__name__, value.name)
    if isinstance(value, _SAY_THEMSELVES):
        return value
    if isinstance(value, dict):
        return sorted((repr(key), repr(_plain(inner, kind, dialect))) for key, inner in value.items())
    if isinstance(value, set | frozenset):
        return sorted(repr(_plain(inner, kind, dialect)) for inner in value)
    if isinstance(value, list | tuple):
        return [_plain(inner, kind, dialect) for inner in value]
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    sent = value if process is None else process(value)
    return sent if isinstance(sent, _SAY_THEMSELVES) else repr(sent)
