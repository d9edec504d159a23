"""Rows as a table for people. Cells fold, they are never cut; a cell is plain text, never markup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dbopt.render.escape import visible
from dbopt.render.lines import raw
from dbopt.values import dataclass

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`name` is the key for programs, `title` the head for people, `show` a value's form for people."""

    name: str
    title: str | None = None
    show: Callable[[Any], str] = raw
    style: Callable[[Any], str] | None = None  # of a value; its word always says the same
    align: Literal["left", "right"] = "left"


def table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> Table:
    """Columns without any value are left out."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    used = [number for number in range(len(columns)) if any(row[number] is not None for row in rows)]
    result = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for number in used:
        column = columns[number]
        result.add_column(visible(column.title or column.name), justify=column.align, overflow="fold")
    for row in rows:
        cells = []
        for number in used:
            column, value = columns[number], row[number]
            shown = "" if value is None else visible(column.show(value))
            style = "" if value is None or column.style is None else column.style(value)
            cells.append(Text(shown, style=style, overflow="fold"))
        result.add_row(*cells)
    return result
