"""Sums, averages and counts of rows, all of them or by groups, and from the cache where that is wanted.

What comes out is what the server says: a sum or an average of no rows is None, their number 0, numeric is Decimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa

from dbopt.client.reading.clauses import conditions, orders, several
from dbopt.client.shape import entity, shape
from dbopt.client.tables import tables_of
from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbopt.client.cache import Cached
    from dbopt.client.reading.clauses import OrderBy, Where
    from dbopt.client.shape import Model
    from dbopt.client.work import Work

# What is aggregated: all rows of a model, those of a select with its joins and conditions, or of a subquery.
Aggregated: TypeAlias = "Model | sa.Select[Any] | sa.FromClause"
GroupBy: TypeAlias = "str | sa.ColumnElement[Any] | Sequence[str | sa.ColumnElement[Any]] | Mapping[str, Any]"

_FUNCTIONS: Mapping[str, Callable[[Any], sa.ColumnElement[Any]]] = {
    "count": sa.func.count,
    "count_distinct": lambda column: sa.func.count(sa.distinct(column)),
    "sum": sa.func.sum,
    "avg": sa.func.avg,
    "min": sa.func.min,
    "max": sa.func.max,
}


def aggregate(
    work: Work,
    what: Aggregated,
    values: Mapping[str, sa.ColumnElement[Any] | str],
    *,
    where: Where = (),
    group_by: GroupBy = (),
    having: Where = (),
    order_by: OrderBy = (),
    limit: int | None = None,
    cache: Cached | float | None = None,
) -> Any:
    """Without `group_by` a dict of the values, with it a list of dicts, one a group: what it is grouped by, then the
    values.

    `values`: by the names that they get, aggregates of SQLAlchemy, `func.sum(Order.total).filter(Order.paid)`, or short
    "count", "sum:total", "avg:total", "min:total", "max:total", "count:total", "count_distinct:total". `group_by`:
    columns by name, or expressions with a label or in a dict of names. `order_by` of groups: names of values or groups,
    with "-" in front for descending, or expressions; what they are grouped by decides between equals. Raises
    UsageError.
    """
    base, column = _source(what)
    groups = _groups(group_by, column)
    computed = {name: _value(name, value, column) for name, value in _checked(values).items()}
    if both := sorted(groups.keys() & computed.keys()):
        raise UsageError(f"{both[0]!r} is the name of a group and of a value", hint="Give the value another name.")
    if not groups and (several(having) or several(order_by) or limit is not None):
        raise UsageError("only groups can be chosen from, ordered and limited", hint="Pass `group_by`.")
    if limit is not None and limit < 1:
        raise UsageError("groups cannot be limited so", detail=f"found limit={limit!r}, not a number from 1")
    labelled = {name: expression.label(name) for name, expression in {**groups, **computed}.items()}

    def named(name: str) -> Any:
        if name not in labelled:
            raise UsageError(f"no value or group is called {name!r}", hint=f"There are: {', '.join(labelled)}.")
        return labelled[name]

    statement = (
        base.with_only_columns(*labelled.values(), maintain_column_froms=True)
        .where(*conditions(where))
        .group_by(*groups.values())
        .having(*conditions(having))
        .order_by(*orders(order_by, named), *groups.values())  # the same order each time
        .limit(limit)
    )

    def read() -> Any:
        with work.session() as session:
            return [tuple(row) for row in session.execute(statement)]

    rows = read() if cache is None else work.cached(("aggregate", statement), tables_of(statement), cache, read)
    dicts = [dict(zip(labelled, row, strict=True)) for row in rows]
    return dicts if groups else dicts[0]


def _source(what: Aggregated) -> tuple[sa.Select[Any], Callable[[str], Any]]:
    """A select of it, and what goes by a name there. Raises UsageError."""
    if isinstance(what, sa.FromClause) and not isinstance(what, sa.Table):
        return sa.select(sa.literal(1)).select_from(what), lambda name: _column(what.c, name)
    if not isinstance(what, sa.Select):
        own = entity(what)
        return sa.select(sa.literal(1)).select_from(own.mapper.class_ if own.mapper else own.table), own.attribute
    if what._group_by_clauses or what._has_row_limiting_clause or what._distinct or what._having_criteria:
        raise UsageError(
            "what this select gives is more than rows of tables",
            detail="it has GROUP BY, DISTINCT, LIMIT or OFFSET",
            hint="Pass its subquery, select(...).subquery(), and columns of that.",
        )
    asked = shape(what)
    found = asked.entity.attribute if asked.entity else lambda name: _column(what.selected_columns, name)
    return what.order_by(None), found


def _column(columns: Any, name: str) -> Any:
    if name not in columns:
        raise UsageError(f"there is no column {name!r}", hint=f"There are: {', '.join(columns.keys())}.")
    return columns[name]


def _checked(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(values, Mapping) or not values:
        raise UsageError(
            "there is nothing to compute",
            hint='Pass a dict of names and aggregates, {"orders": "count", "total": func.sum(Order.total)}.',
        )
    return values


def _value(name: str, value: Any, column: Callable[[str], Any]) -> sa.ColumnElement[Any]:
    if not isinstance(value, str):
        return _expression(name, value)
    function, _, argument = value.partition(":")
    if value == "count":
        return sa.func.count()
    if function not in _FUNCTIONS or not argument:
        raise UsageError(
            f"{name} cannot be computed by {value!r}",
            hint=f'Write "count", or one of {", ".join(_FUNCTIONS)} and a column: "sum:total".',
        )
    return _FUNCTIONS[function](column(argument))


def _groups(group_by: GroupBy, column: Callable[[str], Any]) -> dict[str, sa.ColumnElement[Any]]:
    if isinstance(group_by, Mapping):
        return {
            name: column(each) if isinstance(each, str) else _expression(name, each) for name, each in group_by.items()
        }
    groups: dict[str, sa.ColumnElement[Any]] = {}
    for each in several(group_by):
        name = each if isinstance(each, str) else getattr(each, "key", None)
        if not isinstance(name, str):
            raise UsageError(
                "a group has no name", hint="Give the expression a label: func.lower(User.email).label(...)."
            )
        if name in groups:
            raise UsageError(f"two groups are called {name!r}", hint="Give one of the expressions a label.")
        groups[name] = column(each) if isinstance(each, str) else _expression(name, each)
    return groups


def _expression(name: str, given: Any) -> sa.ColumnElement[Any]:
    made = given.__clause_element__() if hasattr(given, "__clause_element__") else given
    if isinstance(made, sa.Label):
        made = made.element
    if not isinstance(made, sa.ColumnElement):
        raise UsageError(
            f"{name} is a {type(given).__name__}", hint="Pass expressions of SQLAlchemy, or names of columns."
        )
    return made
