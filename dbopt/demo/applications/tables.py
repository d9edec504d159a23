"""The sample schemas as SQLAlchemy's tables: made from the same description that the demo creates them from.

What the applications' client used to make itself is a default here: ids, and `updatedAt`, which has none in the server.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

if TYPE_CHECKING:
    from dbopt.demo.schema import Column, Schema, Table

ID_BYTES = 12  # 25 characters with the letter in front, as long as the applications' own

_PLAIN: dict[str, sa.types.TypeEngine[Any]] = {
    "text": sa.Text(),
    "integer": sa.Integer(),
    "double precision": sa.Double(),
    "boolean": sa.Boolean(),
    "jsonb": pg.JSONB(),
    "timestamp(3)": pg.TIMESTAMP(precision=3),
}


def new_id() -> str:
    return "c" + secrets.token_hex(ID_BYTES)


def now() -> datetime:
    """In UTC and without a zone, as all times of both schemas."""
    return datetime.now(UTC).replace(tzinfo=None)


def metadata(schema: Schema) -> sa.MetaData:
    """All tables of an application, under their own names."""
    made = sa.MetaData()
    enums = {name: pg.ENUM(*labels, name=name, create_type=False) for name, labels in schema.enums.items()}
    for table in schema.tables.values():
        sa.Table(table.name, made, *(_column(table, column, enums) for column in table.columns.values()))
    for table in schema.tables.values():
        columns = made.tables[table.name].columns
        for suffix, entries in (("key", table.unique), ("idx", table.indexes)):
            for names in entries:
                name = "_".join((table.name, *names, suffix))
                sa.Index(name, *(columns[one] for one in names), unique=suffix == "key")
    return made


def _column(table: Table, column: Column, enums: dict[str, pg.ENUM]) -> sa.Column[Any]:
    keys = []
    if reference := table.references.get(column.name):
        on_delete, on_update = reference.on_delete.upper(), reference.on_update.upper()
        keys.append(sa.ForeignKey(f"{reference.table}.id", ondelete=on_delete, onupdate=on_update))
    is_id = table.key == (column.name,)
    is_touched = column.name == "updatedAt"
    return sa.Column(
        column.name,
        _type(column, enums),
        *keys,
        primary_key=column.name in table.key,
        nullable=column.nullable,
        server_default=None if column.default is None else sa.text(column.default),
        default=new_id if is_id else now if is_touched else None,
        onupdate=now if is_touched else None,
    )


def _type(column: Column, enums: dict[str, pg.ENUM]) -> sa.types.TypeEngine[Any]:
    base: sa.types.TypeEngine[Any]
    if column.type in enums:
        base = enums[column.type]
    elif length := re.fullmatch(r"varchar\((\d+)\)", column.type):
        base = sa.String(int(length[1]))
    else:
        base = _PLAIN[column.type]
    return pg.ARRAY(base) if column.array else base
