"""Candidates in the form of indexes that the catalogs have, made without any DDL: a session that may not write can ask
for it, and one on a standby.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt import grammar
from dbopt.optimize.canonical import Definition, KeyForm
from dbopt.postgres.operator_classes import DEFAULT_CLASSES, KEY_COLUMNS, NAMED_CLASSES
from dbopt.sizes.expression import EVALUATION_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from dbopt.postgres.catalog import Column, Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.operator_classes import KeyColumn
    from dbopt.postgres.server import Server
    from dbopt.suggest.model import Candidate, Key

_DEFAULT_COLLATION = "pg_catalog.default"


class Definitions:
    """`columns`: of each table by its oid. `prepare` asks for all candidates at once."""

    def __init__(self, conn: Connection, server: Server, columns: Mapping[int, Sequence[Column]]) -> None:
        self._conn = conn
        self._version = server.version
        self._columns = columns
        self._keys: dict[int, dict[str, KeyColumn]] = {}
        self._expressions: dict[tuple[int, str], int | None] = {}  # types
        self._defaults: dict[tuple[int, str], str] = {}  # by type and method
        self._typed: set[int] = set()
        self._named: dict[tuple[str, str], str] = {}  # by method and name

    def prepare(self, wanted: Sequence[tuple[Table, Candidate]]) -> None:
        """Three statements at most, and one for each table with new expressions."""
        new = sorted({table.oid for table, _ in wanted} - self._keys.keys())
        if new:
            keys: dict[int, dict[str, KeyColumn]] = {oid: {} for oid in new}
            for row in KEY_COLUMNS.rows(self._conn, self._version, {"oids": new}):
                keys[row.table_oid][row.column] = row
            self._keys |= keys
        expressions: dict[int, dict[str, None]] = defaultdict(dict)
        tables = {table.oid: table for table, _ in wanted}
        for table, candidate in wanted:
            for key in candidate.keys:
                if key.expression and (table.oid, key.expression) not in self._expressions:
                    expressions[table.oid][key.expression] = None
        for oid, texts in expressions.items():
            found = self._types(tables[oid], list(texts))
            self._expressions |= {(oid, expression): found.get(expression) for expression in texts}
        self._look_up(wanted)

    def _look_up(self, wanted: Sequence[tuple[Table, Candidate]]) -> None:
        keys = [(table.oid, key) for table, candidate in wanted for key in candidate.keys]
        types = {found for oid, key in keys if (found := self._type(oid, key)) is not None} - self._typed
        if types:
            for default in DEFAULT_CLASSES.rows(self._conn, self._version, {"types": sorted(types)}):
                self._defaults[default.type_oid, default.method] = default.opclass
            self._typed |= types
        names = {_parts(key.opclass)[-1] for _, key in keys if key.opclass} - {name for _, name in self._named}
        if names:
            for named in NAMED_CLASSES.rows(self._conn, self._version, {"names": sorted(names)}):
                self._named.setdefault((named.method, named.name), f"{named.schema}.{named.name}")

    def definition(self, table: Table, candidate: Candidate) -> Definition:
        """What was prepared, on one of the tables that it was prepared for."""
        return Definition(
            method=candidate.method,
            unique=False,
            nulls_not_distinct=False,
            keys=tuple(self._key(table.oid, candidate.method, key) for key in candidate.keys),
            include=candidate.include,
            predicate=candidate.where or None,
            parameters=candidate.parameters,
            tablespace=None,
        )

    def _key(self, oid: int, method: str, key: Key) -> KeyForm:
        type_oid = self._type(oid, key)
        if key.opclass:
            parts = _parts(key.opclass)
            opclass = ".".join(parts) if len(parts) > 1 else self._named.get((method, parts[0]), parts[0])
        else:
            opclass = self._defaults.get((type_oid or 0, method), "")
        return KeyForm(
            column=key.column or None,
            expression=key.expression or None,
            opclass=opclass,
            opclass_options=None,
            collation=self._collation(oid, key),
            descending=key.descending,
            nulls_first=key.nulls_first,
        )

    def _type(self, oid: int, key: Key) -> int | None:
        if key.expression:
            return self._expressions.get((oid, key.expression))
        found = self._keys.get(oid, {}).get(key.column)
        return None if found is None else found.type_oid

    def _collation(self, oid: int, key: Key) -> str | None:
        """Of an expression, that of its column, as long as it has but one and says no other."""
        known = self._keys.get(oid, {})
        if not key.expression:
            return known[key.column].collation if key.column in known else None
        named = [known[name].collation for name in _columns(key.expression) if name in known]
        return next((name for name in named if name is not None), _DEFAULT_COLLATION)

    def _types(self, table: Table, expressions: Sequence[str]) -> dict[str, int]:
        """Of what they give for a row of NULLs: that reads no table and takes no lock."""
        found = self._asked(table, expressions)
        if found is None and len(expressions) > 1:
            parts = [self._asked(table, [expression]) or {} for expression in expressions]
            return {expression: oid for part in parts for expression, oid in part.items()}
        return found or {}

    def _asked(self, table: Table, expressions: Sequence[str]) -> dict[str, int] | None:
        names = {name for expression in expressions for name in _columns(expression)}
        row = sql.SQL(", ").join(
            _nulls(column for column in self._columns.get(table.oid, ()) if column.column in names)
        )
        query = sql.SQL("/* dbopt: the types of some expressions */ SELECT {} FROM (SELECT {} OFFSET 0) AS {}").format(
            sql.SQL(", ").join(
                sql.SQL("pg_catalog.pg_typeof({})::oid::int8").format(sql.SQL(expression)) for expression in expressions
            ),
            row,
            sql.Identifier(table.table),
        )
        try:
            with self._conn.transaction(force_rollback=True):
                self._conn.execute(
                    "SELECT pg_catalog.set_config('statement_timeout', %s, true)", (f"{EVALUATION_MS}ms",)
                )
                answer = self._conn.execute(query).fetchone()
        except psycopg.Error:
            if self._conn.closed:
                raise
            return None
        return None if answer is None else dict(zip(expressions, answer, strict=True))


def _nulls(columns: Iterable[Column]) -> list[sql.Composed]:
    return [
        sql.SQL("NULL::{}{} AS {}").format(
            sql.SQL(column.type),
            sql.SQL(f" COLLATE {column.collation}" if column.collation else ""),
            sql.Identifier(column.column),
        )
        for column in columns
    ]


def _columns(expression: str) -> Collection[str]:
    try:
        return tuple(dict.fromkeys(grammar.column_names(grammar.parse_expression(expression))))
    except grammar.GrammarError:
        return ()


def _parts(opclass: str) -> tuple[str, ...]:
    """An operator class as a spec writes it, in its parts."""
    try:
        return next(grammar.column_references(grammar.parse_expression(opclass)), (opclass,))
    except grammar.GrammarError:
        return (opclass,)
