"""Which tables a statement reads: what a cached answer hangs on.

By compiling it, which is the one walk that sees all of them: joins along relationships, subqueries, CTEs. A function or
a view that reads others is not looked into. Remembered by the statement's cache key, so that values do not count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg
from sqlalchemy.util import LRUCache

from dbopt.client.shape import entity

if TYPE_CHECKING:
    from dbopt.client.shape import Model

_READING = re.compile(r"\b(select|table)\b", re.I)
REMEMBERED = 1_000  # statements, each some kilobytes at the most


def tables_of(*statements: Model | sa.Executable) -> frozenset[str]:
    """Names as SQLAlchemy's Table.fullname has them: without quotes, the schema in front where the model names one."""
    return frozenset().union(*map(_tables_of, statements))


def _tables_of(statement: Model | sa.Executable) -> frozenset[str]:
    if isinstance(statement, sa.Table):
        return frozenset((statement.fullname,))
    if not isinstance(statement, sa.ClauseElement):
        statement = entity(cast("Model", statement)).select()  # a subclass has rows in several tables
    key = statement._generate_cache_key()  # as SQLAlchemy's own examples of caching do
    if key is None:
        return _compiled(statement)
    known: frozenset[str] | None = _known.get(key.key)
    if known is None:
        known = _known[key.key] = _compiled(statement)
    return known


def _compiled(statement: sa.ClauseElement) -> frozenset[str]:
    seen: _Seeing = statement.compile(dialect=_dialect)  # type: ignore[assignment]
    if not seen.has_text:
        return frozenset(seen.tables)
    from dbopt.client.meter.statements import statement as parsed

    return frozenset(seen.tables) | frozenset(parsed(str(seen)).reads)


def _may_read(text: str) -> bool:
    """`*` and most other pieces of SQL do not."""
    return _READING.search(text) is not None


class _Seeing(PGCompiler_psycopg):
    """Notes the tables that it writes, and whether SQL that it only passes on may read more."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.tables: set[str] = set()
        self.has_text = False
        super().__init__(*args, **options)

    def visit_table(self, table: Any, asfrom: bool = False, **options: Any) -> Any:  # type: ignore[override]
        if asfrom:
            self.tables.add(table.fullname)
        return super().visit_table(table, asfrom=asfrom, **options)  # type: ignore[no-untyped-call]

    def visit_textclause(self, textclause: Any, add_to_result_map: Any = None, **options: Any) -> Any:
        self.has_text |= _may_read(textclause.text)
        return super().visit_textclause(textclause, add_to_result_map, **options)  # type: ignore[no-untyped-call]

    def visit_column(self, column: Any, *args: Any, **options: Any) -> Any:
        self.has_text |= column.is_literal and _may_read(column.name)
        return super().visit_column(column, *args, **options)


class _Dialect(PGDialect_psycopg):
    statement_compiler = _Seeing
    supports_statement_cache = True


_dialect = _Dialect()  # type: ignore[no-untyped-call]
_known: LRUCache[Any, frozenset[str]] = LRUCache(REMEMBERED)
