"""A spec entry to its CREATE INDEX.

Identifiers are quoted by psycopg; `expr`, `where` and `sql` went through PostgreSQL's grammar in the loader and go
through it here again, so that this module is safe whoever calls it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt import grammar
from dbopt.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.spec.model import IndexSpec, Key

_BARE_VALUE = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*")
_LOOKS_COMMENTED = re.compile(r"--|/\*")


def create_index(
    entry: IndexSpec,
    *,
    schema: str,
    name: str,
    table: str | None = None,
    concurrently: bool,
    only: bool = False,
    tablespace: str | None = None,
) -> sql.Composed:
    """CREATE INDEX for an entry, under a name and on a table of choice (the twin, a partition, the table itself).

    `tablespace` stands in where the spec is silent. Raises SpecError for text that is not what it should be.
    """
    target = sql.Identifier(schema, table if table is not None else entry.table.name)
    if entry.sql is not None:
        return sql.Composed([_from_sql(entry, schema, name, table, concurrently, only)])
    parts: list[sql.Composable] = [
        sql.SQL("CREATE UNIQUE INDEX " if entry.is_unique else "CREATE INDEX "),
        sql.SQL("CONCURRENTLY " if concurrently else ""),
        sql.Identifier(name),
        sql.SQL(" ON ONLY " if only else " ON "),
        target,
        sql.SQL(" USING {} (").format(sql.Identifier(entry.method)),
        sql.SQL(", ").join([_key(key) for key in entry.keys]),
        sql.SQL(")"),
    ]
    if entry.include:
        parts.append(sql.SQL(" INCLUDE ({})").format(sql.SQL(", ").join(map(sql.Identifier, entry.include))))
    if entry.nulls_not_distinct:
        parts.append(sql.SQL(" NULLS NOT DISTINCT"))
    if entry.with_:
        parts.append(sql.SQL(" WITH ({})").format(_parameters(entry.with_)))
    space = entry.tablespace or tablespace
    if space is not None:
        parts.append(sql.SQL(" TABLESPACE {}").format(sql.Identifier(space)))
    if entry.where is not None:
        parts.append(sql.SQL(" WHERE "))
        parts.append(_expression(entry.where))
    return sql.Composed(parts)


def columns_used(entry: IndexSpec) -> set[str]:
    """The column names that an entry mentions, those in expressions included; some may be names of other things."""
    return {parts[-1] for parts in names_used(entry)}


def names_used(entry: IndexSpec) -> set[tuple[str, ...]]:
    """All that an entry mentions where a column could stand, in its parts: `(total,)`, `(invoices, total)`,
    `(invoices, *)`.
    """
    if entry.sql is not None:
        statement = grammar.parse_create_index(entry.sql)
        elements = [item.index_elem for item in (*statement.index_params, *statement.index_including_params)]
        return {(element.name,) for element in elements if element.name} | set(grammar.column_references(statement))
    columns = [key.column for key in entry.keys if key.column is not None] + list(entry.include)
    names: set[tuple[str, ...]] = {(column,) for column in columns}
    for text in [key.expr for key in entry.keys] + [entry.where]:
        if text is not None:
            names |= set(grammar.column_references(grammar.parse_expression(text)))
    return names


def named_columns(entry: IndexSpec) -> list[tuple[str, str]]:
    """(path in the spec, column) of the columns that are named as such, not inside an expression."""
    named = [(f"keys.{n}", key.column) for n, key in enumerate(entry.keys) if key.column is not None]
    return named + [(f"include.{n}", column) for n, column in enumerate(entry.include)]


def _key(key: Key) -> sql.Composable:
    parts: list[sql.Composable] = []
    if key.column is not None:
        parts.append(sql.Identifier(key.column))
    else:
        assert key.expr is not None
        parts.append(sql.SQL("({})").format(_expression(key.expr)))
    if key.collation is not None:
        parts.append(sql.SQL("COLLATE {}").format(_maybe_qualified(key.collation)))
    if key.opclass is not None:
        parts.append(_maybe_qualified(key.opclass))
        if key.opclass_options:
            parts.append(sql.SQL("({})").format(_parameters(key.opclass_options)))
    if key.order is not None:
        parts.append(sql.SQL("DESC" if key.order == "desc" else "ASC"))
    if key.nulls is not None:
        parts.append(sql.SQL("NULLS FIRST" if key.nulls == "first" else "NULLS LAST"))
    return sql.SQL(" ").join(parts)


def _maybe_qualified(name: str) -> sql.Identifier:
    """A collation or operator class. `en_US.utf8` is one name; `"ext"."gin_trgm_ops"` in quotes is a qualified one, and
    so is `ext.gin_trgm_ops` for words that end in `_ops`: no collation does.
    """
    quoted = re.findall(r'"((?:[^"]|"")+)"', name) if name.startswith('"') else []
    if quoted:
        return sql.Identifier(*(part.replace('""', '"') for part in quoted))
    if "." in name and name.endswith("_ops"):
        return sql.Identifier(*name.split(".", 1))
    return sql.Identifier(name)


def _expression(text: str) -> sql.Composable:
    """An expression as it stands; one with comments is written anew, since `--` would swallow what follows."""
    try:
        node = grammar.parse_expression(text)
    except grammar.GrammarError as exc:
        raise SpecError("an expression of the spec cannot be used", detail=f"{exc.message}: {text}") from exc
    clean = grammar.expression_text(node) if _LOOKS_COMMENTED.search(text) else text.strip()
    return sql.SQL(clean)


def _parameters(parameters: Mapping[str, str]) -> sql.Composable:
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name.lower()), _value(value)) for name, value in parameters.items()
    )


def _value(value: str) -> sql.Composable:
    if _BARE_VALUE.fullmatch(value):
        return sql.SQL(value)
    return sql.Literal(value)


def _from_sql(
    entry: IndexSpec, schema: str, name: str, table: str | None, concurrently: bool, only: bool
) -> sql.Composable:
    """The escape hatch: the same statement with our name, table and CONCURRENTLY."""
    assert entry.sql is not None
    node = grammar.parse_one(entry.sql)
    if not node.HasField("index_stmt"):
        raise SpecError("`sql` of the spec cannot be used", detail="expected one CREATE INDEX statement")
    statement = node.index_stmt
    statement.idxname = name
    statement.concurrent = concurrently
    statement.if_not_exists = False
    statement.relation.schemaname = schema
    statement.relation.catalogname = ""
    statement.relation.inh = not only
    if table is not None:
        statement.relation.relname = table
    return sql.SQL(grammar.deparse(node))
