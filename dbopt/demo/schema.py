"""The sample schemas: read from our own compact YAML, given back as DDL.

In the order of a load: types, tables, then (after the rows, since an index is built faster than it is kept up) keys and
indexes, then foreign keys. Scripts of several statements go to the server in one round trip.
"""

from __future__ import annotations

from dataclasses import field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from psycopg import sql

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

APPS = ("thrive_send", "neonhub")


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str  # without the [] of an array
    array: bool
    nullable: bool
    default: str | None  # an SQL expression

    @classmethod
    def parse(cls, name: str, text: str) -> Column:
        """`TYPE`, `TYPE?`, `TYPE[]?`, `TYPE = EXPRESSION`."""
        type_, _, default = text.partition(" = ")
        nullable = type_.endswith("?")
        type_ = type_.removesuffix("?")
        return cls(name, type_.removesuffix("[]"), type_.endswith("[]"), nullable, default or None)


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: one column, always to the primary key `id` of `table`."""

    column: str
    table: str
    on_delete: str
    on_update: str


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    references: Mapping[str, Reference] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, entry: Mapping[str, Any]) -> Table:
        return cls(
            name,
            {column: Column.parse(column, text) for column, text in entry["columns"].items()},
            tuple(entry.get("key", ())),
            tuple(map(tuple, entry.get("unique", ()))),
            tuple(map(tuple, entry.get("indexes", ()))),
            {column: Reference(column, *rest) for column, rest in entry.get("references", {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Schema:
    app: str
    enums: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Table]

    def type_of(self, column: Column) -> sql.Composable:
        """The column's type as SQL. Only enum types are names that need quoting."""
        base = sql.Identifier(column.type) if column.type in self.enums else sql.SQL(column.type)
        return sql.SQL("{}[]").format(base) if column.array else base

    def types_ddl(self) -> sql.Composed:
        return _script(
            sql.SQL("CREATE TYPE {} AS ENUM ({})").format(
                sql.Identifier(name), sql.SQL(", ").join(map(sql.Literal, labels))
            )
            for name, labels in self.enums.items()
        )

    def tables_ddl(self, tables: Iterable[Table]) -> sql.Composed:
        """Tables with their keys and indexes."""
        return _script(part for table in tables for part in (self.bare_table_ddl(table), self.keys_ddl(table)))

    def bare_table_ddl(self, table: Table) -> sql.Composed:
        return sql.SQL("CREATE TABLE {} ({})").format(
            sql.Identifier(table.name), sql.SQL(", ").join(map(self._column, table.columns.values()))
        )

    def keys_ddl(self, table: Table) -> sql.Composed:
        """Primary key, unique indexes, other indexes."""
        return _script(_keys(table))

    def references_ddl(self) -> sql.Composed:
        """Foreign keys: one statement a table, so that each table is locked once."""
        return _script(_references(table) for table in self.tables.values() if table.references)

    def _column(self, column: Column) -> sql.Composable:
        parts = [sql.Identifier(column.name), self.type_of(column)]
        if not column.nullable:
            parts.append(sql.SQL("NOT NULL"))
        if column.default is not None:
            parts.append(sql.SQL("DEFAULT " + column.default))
        return sql.SQL(" ").join(parts)


def load(app: str) -> Schema:
    """The schema of one of APPS."""
    text = (files("dbopt.demo") / f"{app}.schema.yaml").read_text(encoding="utf-8")
    data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # both are the safe loader
    return Schema(
        data["app"],
        {name: tuple(labels) for name, labels in data["enums"].items()},
        {name: Table.parse(name, entry) for name, entry in data["tables"].items()},
    )


def _keys(table: Table) -> Iterable[sql.Composable]:
    name = sql.Identifier(table.name)
    if table.key:
        yield sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(
            name, sql.Identifier(f"{table.name}_pkey"), _columns(table.key)
        )
    kinds = [("UNIQUE INDEX", "key", table.unique), ("INDEX", "idx", table.indexes)]
    for kind, suffix, entries in kinds:
        for columns in entries:
            yield sql.SQL("CREATE " + kind + " {} ON {} ({})").format(
                sql.Identifier("_".join([table.name, *columns, suffix])), name, _columns(columns)
            )


def _references(table: Table) -> sql.Composable:
    clauses = [
        sql.SQL("ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} (id) ON DELETE {} ON UPDATE {}").format(
            sql.Identifier(f"{table.name}_{reference.column}_fkey"),
            sql.Identifier(reference.column),
            sql.Identifier(reference.table),
            sql.SQL(reference.on_delete.upper()),
            sql.SQL(reference.on_update.upper()),
        )
        for reference in table.references.values()
    ]
    return sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(table.name), sql.SQL(", ").join(clauses))


def _columns(names: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _script(statements: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(";\n").join(statements)
