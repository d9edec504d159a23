"""How big an index will be that is not there yet, from what ANALYZE knows.

Statistics are read for all tables at once and without a lock on any. Three things are asked besides, for the few
indexes that need them: how many rows a predicate lets in (the planner knows; it takes ACCESS SHARE on the table for an
instant, and is given LOCK_TIMEOUT_MS for it), what an expression without statistics makes of its columns' values
(expression.py), and statistics that somebody has created about an expression (PostgreSQL locks the table to print it).
Where anything is missing there is no estimate: better none than an invented one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg import sql

from dbopt.postgres import statistics
from dbopt.sizes import btree, gin, other
from dbopt.sizes.elements import of_column
from dbopt.sizes.expression import examine
from dbopt.sizes.predicate import about_columns
from dbopt.sizes.stored import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.optimize.steps import Step
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server
    from dbopt.postgres.statistics import ColumnStatistics, CombinedStatistics, ExpressionStatistics

T = TypeVar("T")

LOCK_TIMEOUT_MS = 100  # a plan with 100 locked tables shall not take minutes


@dataclass(slots=True)
class Estimator:
    """Estimates for one plan. `prepare` reads statistics once, for all the indexes that may be asked about."""

    conn: Connection
    server: Server
    actual: Actual
    _columns: dict[int, dict[str, ColumnStatistics]] = field(default_factory=lambda: defaultdict(dict))  # by relation
    _combined: dict[int, list[CombinedStatistics]] = field(default_factory=lambda: defaultdict(list))
    _with_expressions: frozenset[int] = frozenset()  # oids of tables with created statistics about expressions
    _equal_image: frozenset[str] = frozenset()
    _nondeterministic: frozenset[str] = frozenset()
    _locked: set[int] = field(default_factory=set)  # oids of tables that were found locked
    _rows: dict[tuple[int, str], float | None] = field(default_factory=dict)
    _expressions: dict[tuple[int, str], ColumnStatistics | None] = field(default_factory=dict)

    def prepare(self, wanted: Iterable[tuple[Table, Definition]]) -> None:
        """Five statements, however many indexes; none for none."""
        asked: dict[tuple[int, str | None], None] = {}
        for table, form in wanted:
            names = {key.column for key in form.keys if key.column is not None} | set(form.include)
            if form.has_expressions:
                names |= {column.column for column in self.actual.columns.get(table.oid, ())}
                asked |= {(index.oid, None): None for index in self._expression_indexes(table)}
            asked |= {(table.oid, name): None for name in sorted(names)}
        if not asked:
            return
        version = self.server.version
        oids = [oid for oid, _ in asked]
        wish = {"oids": oids, "columns": [name for _, name in asked]}
        for row in statistics.COLUMN_STATISTICS.rows(self.conn, version, wish):
            self._columns[row.relation_oid][row.column] = row
        tables = {"oids": sorted(set(oids))}
        for combination in statistics.COMBINED_STATISTICS.rows(self.conn, version, tables):
            self._combined[combination.table_oid].append(combination)
        about = statistics.WITH_EXPRESSION_STATISTICS.rows(self.conn, version, tables)
        self._with_expressions = frozenset(row.table_oid for row in about)
        self._equal_image = frozenset(row.opclass for row in statistics.EQUAL_IMAGE.rows(self.conn, version))
        self._nondeterministic = frozenset(
            row.collation for row in statistics.NONDETERMINISTIC.rows(self.conn, version)
        )

    def estimated(self, step: Step) -> Step:
        """The step with its estimate, if it builds an index and enough is known."""
        proof = next((proof for proof in step.proofs if proof.index == step.index), None)
        table = self.actual.tables.get((step.schema, step.table))
        if proof is None or table is None or table.relkind == "p" or not step.builds:
            return step
        known = self.estimate(table, proof.definition)
        return step if known is None else replace(step, estimate=known)

    def estimate(self, table: Table, form: Definition) -> Mapping[str, float] | None:
        """`size_bytes` and `rows` of an index of this definition; None where statistics are missing."""
        if table.reltuples <= 0:  # never analyzed, or empty then; the planner does not believe in empty tables either
            return None
        rows = self._rows_of(table, form.predicate)
        if rows is None:
            return None
        found = [
            self._expression(table, key.expression) if key.expression is not None else self._column(table, key.column)
            for key in form.keys
        ]
        found += [self._column(table, name) for name in form.include]
        known = [column for column in found if column is not None]
        if len(known) < len(found):
            return None
        size = self._size(table, form, rows, known)
        return None if size is None else {"size_bytes": size, "rows": round(rows)}

    def _size(self, table: Table, form: Definition, rows: float, found: Sequence[ColumnStatistics]) -> int | None:
        said = about_columns(form.predicate)
        columns = [stored(column, table.reltuples, rows, said.get(column.column)) for column in found]
        keys, include = columns[: len(form.keys)], columns[len(form.keys) :]
        parameters = dict(form.parameters)
        match form.method:
            case "btree":
                return btree.btree(
                    rows,
                    keys,
                    include,
                    deduplicates=self._deduplicates(form),
                    fillfactor=int(parameters.get("fillfactor", 90)),
                    distinct=self._combinations(table, form) if form.predicate is None else None,
                )
            case "hash":
                return other.hash_table(
                    table.reltuples, rows, keys[0], fillfactor=int(parameters.get("fillfactor", 75))
                )
            case "brin":
                pages_per_range = int(parameters.get("pages_per_range", 128))
                opclasses = [key.opclass for key in form.keys]
                return other.brin(table.relpages, keys, opclasses, pages_per_range=pages_per_range)
            case "gin" if len(keys) == 1:
                elements = of_column(self.conn, table, found[0], form.keys[0].opclass)
                return None if elements is None else gin.gin(rows, table.relpages, table.reltuples, elements)
            case "gist" if len(keys) == 1:
                opclass = form.keys[0].opclass
                is_array = other.is_gist_array(opclass)
                elements = of_column(self.conn, table, found[0], opclass) if is_array else None
                return other.gist(
                    rows,
                    keys[0],
                    opclass,
                    elements=None if elements is None else elements.per_row,
                    sorts_ranges=self.server.sorts_ranges_for_gist,
                )
            case "spgist":
                return other.spgist(rows, keys[0], form.keys[0].opclass)
        return None  # of an extension's method nothing is known

    def _deduplicates(self, form: Definition) -> bool:
        """Whether rows with equal keys share index tuples when the index is built."""
        return (
            not form.unique
            and not form.include
            and ("deduplicate_items", "off") not in form.parameters
            and all(key.opclass in self._equal_image for key in form.keys)
            and all(key.collation not in self._nondeterministic for key in form.keys)
        )

    def _combinations(self, table: Table, form: Definition) -> float | None:
        """How many combinations of the keys there are, where somebody has had them counted."""
        names = {key.column for key in form.keys}
        for combination in self._combined.get(table.oid, ()):
            numbers = dict(zip(combination.columns, combination.attnums, strict=False))
            wanted = {numbers.get(name or "") for name in names}
            for listed, count in json.loads(combination.n_distinct).items():
                if len(names) > 1 and {int(number) for number in listed.split(",")} == wanted:
                    return float(count)
        return None

    def _column(self, table: Table, name: str | None) -> ColumnStatistics | None:
        found = self._columns[table.oid].get(name or "")
        return found if found is not None and found.null_frac is not None else None

    # What takes a statement of its own

    def _expression(self, table: Table, expression: str) -> ColumnStatistics | None:
        """From an index on the same expression, from CREATE STATISTICS about it, or from its columns."""
        asked = table.oid, expression
        if asked not in self._expressions:
            self._expressions[asked] = self._of_index(table, expression) or self._of_its_own(table, expression)
        return self._expressions[asked]

    def _expression_indexes(self, table: Table) -> list[Index]:
        """Partial ones have statistics about their rows only."""
        indexes = self.actual.indexes.get(table.oid, ())
        return [index for index in indexes if index.has_expressions and not index.has_predicate]

    def _of_index(self, table: Table, expression: str) -> ColumnStatistics | None:
        for index in self._expression_indexes(table):
            for number, key in enumerate(self.actual.definition(index).keys, start=1):
                if key.expression == expression:
                    columns = self._columns[index.oid].values()
                    found = next((column for column in columns if column.attnum == number), None)
                    if found is not None and found.null_frac is not None:
                        return replace(found, column=expression)
        return None

    def _of_its_own(self, table: Table, expression: str) -> ColumnStatistics | None:
        columns = self.actual.columns.get(table.oid, ())
        seen = examine(self.conn, table, columns, self._columns[table.oid], expression)
        if seen is None:
            return None
        created = self._patiently(table, lambda: self._created(table)) if table.oid in self._with_expressions else None
        for row in created or ():
            if row.expression.strip("()") == expression.strip("()"):
                return replace(seen, null_frac=row.null_frac, n_distinct=row.n_distinct, common_freqs=row.common_freqs)
        return seen

    def _created(self, table: Table) -> list[ExpressionStatistics]:
        return statistics.EXPRESSION_STATISTICS.rows(self.conn, self.server.version, {"oids": [table.oid]})

    def _rows_of(self, table: Table, predicate: str | None) -> float | None:
        """How many rows a predicate lets in. The planner's share of the rows it sees now, of the rows that we see."""
        if predicate is None:
            return table.reltuples
        asked = table.oid, predicate
        if asked not in self._rows:
            planned = self._patiently(table, lambda: (self._planned(table, predicate), self._planned(table, None)))
            self._rows[asked] = max(table.reltuples * planned[0] / max(planned[1], 1.0), 1.0) if planned else None
        return self._rows[asked]

    def _planned(self, table: Table, predicate: str | None) -> float:
        name = sql.Identifier(table.schema, table.table)
        where = sql.SQL(" WHERE {}").format(sql.SQL(predicate)) if predicate is not None else sql.SQL("")
        plan = self.conn.execute(sql.SQL("EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY {}{}").format(name, where))
        return float(plan.fetchall()[0][0][0]["Plan"]["Plan Rows"])

    def _patiently(self, table: Table, ask: Callable[[], T]) -> T | None:
        """The answer to what takes a lock on a table. None where that is not to be had, or the role may not ask."""
        if table.oid in self._locked:
            return None
        try:
            with self.conn.transaction(force_rollback=True):
                # A policy that hides rows from the planner would make the index seem small.
                self.conn.execute(
                    "/* dbopt: for one question about a table */ SELECT"
                    " pg_catalog.set_config('lock_timeout', %s, true),"
                    " pg_catalog.set_config('row_security', 'off', true)",
                    (str(LOCK_TIMEOUT_MS),),
                )
                return ask()
        except psycopg.errors.LockNotAvailable:
            self._locked.add(table.oid)
        except psycopg.Error:
            if self.conn.closed:
                raise
        return None
