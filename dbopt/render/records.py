"""A list of records in whichever format is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import csv, json, lines
from dbopt.render.output import Format
from dbopt.render.table import Column, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.render.output import Output

__all__ = ["Column", "write_data", "write_records"]


def write_records(
    output: Output,
    command: str,
    key: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    *,
    more: Mapping[str, object] | None = None,
) -> None:
    """`key` names the list in the JSON document, `more` is what else stands there: target, summary."""
    match output.format:
        case Format.TABLE:
            if rows:
                output.out.print(table(columns, rows))
        case Format.JSON:
            records = [dict(zip([column.name for column in columns], row, strict=True)) for row in rows]
            json.write_document(output.out, json.document(command, **{key: records}, **(more or {})))
        case Format.LINES | Format.CSV:
            write_data(output, columns, rows)


def write_data(output: Output, columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """The two formats that are nothing but the records."""
    if output.format is Format.CSV:
        output.out.write(csv.document([column.name for column in columns], rows))
    else:
        output.out.write("".join(lines.line(row) + "\n" for row in rows))
