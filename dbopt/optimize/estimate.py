"""How big an index will be that is not there yet, from what ANALYZE knows.

Statistics are read for all tables at once and without a lock on any. Four things are asked besides, for the indexes
that need them: how many rows a predicate lets in (the planner knows), what an expression without statistics makes of
its columns' values (expression.py), statistics that somebody has created about an expression, and what some rows of the
table hold where statistics cannot tell (elements.py, together.py). But for the second they take ACCESS SHARE on the
table for an instant, and are given LOCK_TIMEOUT_MS for it. Where anything is missing there is no estimate: better none
than an invented one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg import sql

from dbopt.optimize import selectivity
from dbopt.postgres import statistics
from dbopt.sizes import btree, gin, other, together
from dbopt.sizes.btree import PAGE_BYTES
from dbopt.sizes.distinct import distinct_values
from dbopt.sizes.elements import Source, of_scalar, of_values
from dbopt.sizes.expression import columns_in, examine
from dbopt.sizes.predicate import about_columns
from dbopt.sizes.stored import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dbopt.optimize.canonical import Definition, KeyForm
    from dbopt.optimize.collect import Actual
    from dbopt.optimize.pace import Pace
    from dbopt.optimize.steps import Step
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server
    from dbopt.postgres.statistics import ColumnStatistics, CombinedStatistics, ExpressionStatistics
    from dbopt.sizes.gin import Elements
    from dbopt.sizes.predicate import Said

T = TypeVar("T")

LOCK_TIMEOUT_MS = 100  # a plan with 100 locked tables shall not take minutes
# Where statistics say too little, some rows are read: as long as that takes no longer in all, and of tables whose
# indexes could be more than some pages.
SAMPLING_SECONDS = 3.0
SAMPLED_LEAST_ROWS = 1000
_DISPROVED = 0.5  # results that differ: so much less than was expected


@dataclass(slots=True)
class Estimator:
    """Estimates for one plan. `prepare` reads statistics once, for all the indexes that may be asked about."""

    conn: Connection
    server: Server
    actual: Actual
    pace: Pace
    _columns: dict[int, dict[str, ColumnStatistics]] = field(default_factory=lambda: defaultdict(dict))  # by relation
    _combined: dict[int, list[CombinedStatistics]] = field(default_factory=lambda: defaultdict(list))
    _with_expressions: frozenset[int] = frozenset()  # oids of tables with created statistics about expressions
    _equal_image: frozenset[str] = frozenset()
    _nondeterministic: frozenset[str] = frozenset()
    _locked: set[int] = field(default_factory=set)  # oids of tables that were found locked
    _rows: dict[tuple[int, str], float | None] = field(default_factory=dict)
    _expressions: dict[tuple[int, str], ColumnStatistics | None] = field(default_factory=dict)
    _together: dict[tuple[int, tuple[str, ...]], float | None] = field(default_factory=dict)
    _elements_of: dict[tuple[int, KeyForm], Elements | None] = field(default_factory=dict)
    _sampled_seconds: float = 0.0

    def prepare(self, wanted: Iterable[tuple[Table, Definition]]) -> None:
        """Five statements, however many indexes, and some for their predicates; none for none."""
        asked: dict[tuple[int, str | None], None] = {}
        partial: dict[tuple[int, str], Table] = {}
        for table, form in wanted:
            if form.predicate is not None and table.reltuples > 0:
                partial[table.oid, form.predicate] = table
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
        self._with_expressions |= frozenset(row.table_oid for row in about)
        self._equal_image = frozenset(row.opclass for row in statistics.EQUAL_IMAGE.rows(self.conn, version))
        self._nondeterministic = frozenset(
            row.collation for row in statistics.NONDETERMINISTIC.rows(self.conn, version)
        )
        self._foresee(partial)

    def estimated(self, step: Step) -> Step:
        """The step with its estimate, if it builds an index and enough is known."""
        proof = next((proof for proof in step.proofs if proof.index == step.index), None)
        table = self.actual.tables.get((step.schema, step.table))
        if proof is None or table is None or table.relkind == "p" or not step.builds:
            return step
        known = self.estimate(table, proof.definition)
        if known is None:
            return step
        known = {**known, "table_bytes": table.relpages * PAGE_BYTES}
        seconds = self.pace.seconds(replace(step, estimate=known))
        return replace(step, estimate=known if seconds is None else {**known, "build_seconds": seconds})

    def estimate(self, table: Table, form: Definition) -> Mapping[str, float] | None:
        """`size_bytes` and `rows` of an index of this definition; None where statistics are missing."""
        if table.reltuples <= 0:  # never analyzed, or empty then; the planner does not believe in empty tables either
            return None
        rows = self._rows_of(table, form.predicate)
        if rows is None:
            return None
        size = self._gin(table, form, rows) if form.method == "gin" else self._size(table, form, rows)
        return None if size is None else {"size_bytes": size, "rows": round(rows)}

    def _gin(self, table: Table, form: Definition, rows: float) -> int | None:
        elements = [self._elements(table, key) for key in form.keys]
        known = [one for one in elements if one is not None]
        return gin.gin(rows, table.relpages, table.reltuples, known) if len(known) == len(elements) else None

    def _size(self, table: Table, form: Definition, rows: float) -> int | None:
        found = [self._key(table, key) for key in form.keys] + [self._column(table, name) for name in form.include]
        known = [column for column in found if column is not None]
        if len(known) < len(found):
            return None
        said = self._said(table, form)
        columns = [stored(column, table.reltuples, rows, said.get(column.column)) for column in known]
        keys, include = columns[: len(form.keys)], columns[len(form.keys) :]
        opclasses = [key.opclass for key in form.keys]
        parameters = dict(form.parameters)
        match form.method:
            case "btree":
                return btree.btree(
                    rows,
                    keys,
                    include,
                    deduplicates=self._deduplicates(form),
                    fillfactor=int(parameters.get("fillfactor", 90)),
                    distinct=self._combinations(table, form, known) if form.predicate is None else None,
                )
            case "hash":
                return other.hash_table(
                    table.reltuples, rows, keys[0], fillfactor=int(parameters.get("fillfactor", 75))
                )
            case "brin":
                pages_per_range = int(parameters.get("pages_per_range", 128))
                return other.brin(table.relpages, table.reltuples, keys, opclasses, pages_per_range=pages_per_range)
            case "gist":
                elements = [
                    self._elements(table, key) if other.is_gist_array(key.opclass) else None for key in form.keys
                ]
                return other.gist(
                    rows,
                    columns,
                    [*opclasses, *[""] * len(include)],
                    elements=[None if one is None else one.per_row for one in elements] + [None] * len(include),
                    sorts=self.server.sorts_ranges_for_gist,
                )
            case "spgist" if not include:
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

    def _combinations(self, table: Table, form: Definition, found: Sequence[ColumnStatistics]) -> float | None:
        """How many combinations of the keys there are, where somebody has had them counted, or some rows tell."""
        names = {key.column for key in form.keys}
        for combination in self._combined.get(table.oid, ()):
            numbers = dict(zip(combination.columns, combination.attnums, strict=False))
            wanted = {numbers.get(name or "") for name in names}
            for listed, count in json.loads(combination.n_distinct).items():
                if len(names) > 1 and {int(number) for number in listed.split(",")} == wanted:
                    return float(count)
        keys = form.keys
        if len(keys) < 2 or not self._deduplicates(form) or not together.is_open(found[: len(keys)], table.reltuples):
            return None
        asked = tuple(key.column or key.expression or "" for key in keys)
        read = [sql.Identifier(key.column) if key.column else sql.SQL(key.expression or "") for key in keys]
        return self._in_some_rows(table, asked, read)

    def _in_some_rows(
        self, table: Table, asked: tuple[str, ...], read: Sequence[sql.Composable], *, dependent: bool = False
    ) -> float | None:
        """How many different ones there are of some columns or expressions, by what some pages of the table hold."""
        if (table.oid, asked) not in self._together:
            rows = self._sampled(table, lambda: together.sample(self.conn, table, read))
            counted = together.combinations(rows, table.relpages, dependent=dependent) if rows else None
            self._together[table.oid, asked] = counted
        return self._together[table.oid, asked]

    def _said(self, table: Table, form: Definition) -> Mapping[str, Said]:
        """What the predicate says about columns, and about expressions over one of them: NULL goes through most."""
        said = dict(about_columns(form.predicate))
        for key in form.keys:
            if key.expression is not None and said:
                names = columns_in(key.expression, [column.column for column in self.actual.columns.get(table.oid, ())])
                if len(names) == 1 and names[0] in said:
                    said[key.expression] = said[names[0]]
        return said

    def _elements(self, table: Table, key: KeyForm) -> Elements | None:
        """What the values of a key consist of."""
        types = {column.column: column.type for column in self.actual.columns.get(table.oid, ())}
        names = [key.column] if key.expression is None else columns_in(key.expression, types)
        known_columns = [column for name in names if (column := self._column(table, name)) is not None]
        if not known_columns or len(known_columns) < len(names):
            return None
        found = max(known_columns, key=lambda column: (column.avg_width or 0, column.column))
        asked = table.oid, key
        if asked not in self._elements_of:
            beside = tuple(column.column for column in known_columns if column is not found)
            if beside:  # there are as many texts as there are of the one that varies most
                distinct = max(distinct_values(column, table.reltuples) for column in known_columns)
                found = replace(found, n_distinct=distinct, common_freqs=[], bounds=None)
            source = Source(table, found, types[found.column], key.expression, beside)
            known = of_values(self.conn, source, key.opclass, lambda ask: self._sampled(table, ask))
            if known is None and (values := self._key(table, key)) is not None:
                known = of_scalar(values, key.opclass, table.reltuples)
            self._elements_of[asked] = known
        return self._elements_of[asked]

    def _key(self, table: Table, key: KeyForm) -> ColumnStatistics | None:
        return self._column(table, key.column) if key.expression is None else self._expression(table, key.expression)

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
        counted = self._in_some_rows(table, (expression,), [sql.SQL(expression)], dependent=True)
        if counted is None or seen.n_distinct is None or counted > _DISPROVED * seen.n_distinct:
            return seen  # what it owes to statistics of a whole sample is better than what some pages say
        return replace(seen, n_distinct=counted, common_freqs=[])

    def _created(self, table: Table) -> list[ExpressionStatistics]:
        return statistics.EXPRESSION_STATISTICS.rows(self.conn, self.server.version, {"oids": [table.oid]})

    def _rows_of(self, table: Table, predicate: str | None) -> float | None:
        """How many rows a predicate lets in. The planner's share of the rows it sees now, of the rows that we see."""
        if predicate is None:
            return table.reltuples
        asked = table.oid, predicate
        if asked not in self._rows:
            found = self._patiently(table, lambda: selectivity.rows_let_in(self.conn, {asked: table}))
            self._rows[asked] = found[asked] if found is not None else None
        return self._rows[asked]

    def _foresee(self, partial: Mapping[tuple[int, str], Table]) -> None:
        """What `_rows_of` would ask for each of them, at one go where nothing is in the way."""
        every = list(partial.items())
        for first in range(0, len(every), selectivity.AT_A_TIME):
            try:
                with self._patience():
                    self._rows |= selectivity.rows_let_in(self.conn, dict(every[first : first + selectivity.AT_A_TIME]))
            except psycopg.Error:
                if self.conn.closed:
                    raise

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        with self.conn.transaction(force_rollback=True):
            # A policy that hides rows from the planner would make the index seem small.
            self.conn.execute(
                "/* dbopt: for a question about tables */ SELECT"
                " pg_catalog.set_config('lock_timeout', %s, true),"
                " pg_catalog.set_config('row_security', 'off', true)",
                (str(LOCK_TIMEOUT_MS),),
            )
            yield

    def _sampled(self, table: Table, ask: Callable[[], T]) -> T | None:
        """The answer to what reads some rows of a table. None also for a small one, and when a plan has read enough."""
        if table.reltuples < SAMPLED_LEAST_ROWS or self._sampled_seconds >= SAMPLING_SECONDS:
            return None
        started = time.monotonic()
        answer = self._patiently(table, ask)
        self._sampled_seconds += time.monotonic() - started
        return answer

    def _patiently(self, table: Table, ask: Callable[[], T]) -> T | None:
        """The answer to what takes a lock on a table. None where that is not to be had, or the role may not ask."""
        if table.oid in self._locked:
            return None
        try:
            with self._patience():
                return ask()
        except psycopg.errors.LockNotAvailable:
            self._locked.add(table.oid)
        except psycopg.Error:
            if self.conn.closed:
                raise
        return None
