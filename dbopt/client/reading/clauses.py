"""WHERE and ORDER BY as operations take them: one or several, expressions of SQLAlchemy, columns by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa

from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Where: TypeAlias = "sa.ColumnElement[bool] | Sequence[sa.ColumnElement[bool]]"
# Columns, attributes, expressions, or names, with "-" in front for descending order.
OrderBy: TypeAlias = "Any | Sequence[Any]"


def conditions(where: Where) -> Sequence[sa.ColumnElement[bool]]:
    """All of them have to hold. Raises UsageError."""
    given = several(where)
    for each in given:
        if isinstance(each, bool | str) or not (
            isinstance(each, sa.ClauseElement) or hasattr(each, "__clause_element__")
        ):
            raise UsageError(
                f"rows cannot be narrowed down by a {type(each).__name__}",
                hint="Pass conditions of SQLAlchemy, as in Post.status == 'open'; SQL in a text as sqlalchemy.text().",
            )
    return given


def orders(order_by: OrderBy, attribute: Callable[[str], Any]) -> Sequence[Any]:
    """`attribute`: what goes by a name; it raises UsageError for others."""

    def order(given: Any) -> Any:
        if not isinstance(given, str):
            return given
        column = attribute(given.removeprefix("-"))
        return column.desc() if given.startswith("-") else column

    return [order(each) for each in several(order_by)]


def several(given: Any) -> tuple[Any, ...]:
    """One may stand for a list of one."""
    return tuple(given) if isinstance(given, list | tuple) else (given,)
