"""ORDER BY as callers write it, and as a select has it: expressions, directions, places of NULL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression, _label_reference, _textual_label_reference

from dbopt.client.reading.clauses import orders
from dbopt.errors import UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.client.shape import Shape


@dataclass(frozen=True, slots=True)
class Item:
    expression: sa.ColumnElement[Any]
    descending: bool
    nulls_first: bool


def with_order(asked: Shape, statement: sa.Select[Any], order_by: Any) -> sa.Select[Any]:
    """The statement in this order, in its own where there is none given. Raises UsageError."""
    given = _expressions(asked, statement, order_by)
    try:
        return statement.order_by(None).order_by(*given) if given else statement
    except exc.ArgumentError as error:
        raise UsageError("a page cannot be ordered by that", detail=str(error), hint=_HINT) from error


def items(asked: Shape, ordered: sa.Select[Any], dialect: sa.Dialect) -> list[Item]:
    """What the statement is ordered by, each expression once. Raises UsageError for what has no order."""
    found: dict[int, Item] = {}
    for clause in ordered._order_by_clauses:
        item = _item(asked, ordered, clause)
        _check_orderable(item.expression, dialect)
        found.setdefault(hash(item.expression), item)  # annotated columns have the hash of the column
    return list(found.values())


def columns(asked: Shape, statement: sa.Select[Any], named: Any) -> list[sa.ColumnElement[Any]]:
    """As in ORDER BY, without directions."""
    return [_item(asked, statement, clause).expression for clause in _expressions(asked, statement, named)]


_HINT = 'Pass columns, attributes or their names, with a "-" in front or .desc() for descending order.'
_DIRECTIONS = {operators.asc_op: False, operators.desc_op: True}
_NULLS = {operators.nulls_first_op: True, operators.nulls_last_op: False}


def _expressions(asked: Shape, statement: sa.Select[Any], given: Any) -> Sequence[Any]:
    several = list(given) if isinstance(given, list | tuple) else [given]
    for each in several:
        if each is None:  # SQLAlchemy's way to take an order back
            raise UsageError("a page cannot be ordered by None", hint=_HINT)
        if isinstance(getattr(each, "property", None), orm.RelationshipProperty):  # a condition, to SQLAlchemy
            raise UsageError(f"a page cannot be ordered by the relationship {each.key}", hint=_HINT)
    return orders(several, lambda name: _named(asked, statement, name))


def _named(asked: Shape, statement: sa.Select[Any], name: str) -> Any:
    """What goes by this name: an attribute of the class, a column of the table, a column or label of the select."""
    if asked.entity is not None and asked.entity.mapper is not None:
        mapper = asked.entity.mapper
        known = [key for key in mapper.all_orm_descriptors.keys() if key not in mapper.relationships]  # noqa: SIM118
        if name in known:
            return getattr(mapper.class_, name)
    else:
        selected = [(column._proxy_key, column) for column in statement.selected_columns]  # as in Row._fields
        found = [column for key, column in selected if key == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"several columns of the select are called {name}", hint="Pass the column itself.")
        known = [key for key, _ in selected if key is not None]
    raise UsageError(f"a page cannot be ordered by {name!r}", hint=f"Valid names: {', '.join(known)}.")


def _item(asked: Shape, statement: sa.Select[Any], clause: Any) -> Item:
    descending, nulls_first = False, None
    while True:
        if isinstance(clause, _textual_label_reference):
            clause = _named(asked, statement, clause.element)
        elif isinstance(clause, UnaryExpression) and clause.modifier in _DIRECTIONS:
            descending, clause = _DIRECTIONS[clause.modifier], clause.element
        elif isinstance(clause, UnaryExpression) and clause.modifier in _NULLS:
            nulls_first, clause = _NULLS[clause.modifier], clause.element
        elif isinstance(clause, _label_reference | sa.Label):
            clause = clause.element
        elif isinstance(clause, sa.ColumnClause) and clause.is_literal and clause.name.isdecimal():
            raise UsageError("a page cannot be ordered by the number of a column", hint=_HINT)
        elif isinstance(clause, sa.ColumnElement):
            return Item(clause, descending, descending if nulls_first is None else nulls_first)
        elif hasattr(clause, "__clause_element__"):
            clause = clause.__clause_element__()
        else:
            raise UsageError("a page cannot be ordered by that", detail=f"found a {type(clause).__name__}", hint=_HINT)


def _check_orderable(expression: sa.ColumnElement[Any], dialect: sa.Dialect) -> None:
    kind = expression.type._unwrapped_dialect_impl(dialect)
    if isinstance(kind, sa.JSON) and not isinstance(kind, JSONB):
        raise UsageError(
            "a page cannot be ordered by a value of type json",
            detail="the type has no order; that of jsonb has one",
            hint='Order by one of its texts, column["name"].as_string(), or by the column cast to jsonb.',
        )
