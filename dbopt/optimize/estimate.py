"""How big an index will be that is not there yet, from what ANALYZE knows.

Statistics are read for all tables at once and without a lock on them. Three things are asked besides, for the few
indexes that need them: how many rows a predicate lets in (the planner; it takes ACCESS SHARE on the table for an
instant and gives up after LOCK_TIMEOUT_MS), what an expression without statistics makes of the typical values of its
columns (statistics.py), and statistics that somebody created about an expression. Where anything is missing there is no
estimate: better none than an invented one.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.optimize import size_btree, size_other
from dbopt.optimize.expression import Examined, examine
from dbopt.optimize.predicate import Rule, about_columns
from dbopt.optimize.size_btree import Column
from dbopt.postgres import statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.optimize.canonical import Definition, KeyForm
    from dbopt.optimize.collect import Actual
    from dbopt.optimize.predicate import Said
    from dbopt.optimize.steps import Step
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.postgres.statistics import ColumnStatistics, CombinedStatistics, ExpressionStatistics

LOCK_TIMEOUT_MS = 100  # a plan with 100 locked tables shall not take minutes
_SPREAD_BYTES = 8  # lengths of which only the average is known lie this far apart: every alignment is met


@dataclass(frozen=True, slots=True)
class Estimate:
    size_bytes: int
    rows: int


@dataclass(slots=True)
class Estimator:
    """Estimates for one plan. `prepare` reads statistics once for all the indexes that may be asked about."""

    conn: Connection
    server: Server
    actual: Actual
    columns: dict[tuple[int, str], ColumnStatistics] = field(default_factory=dict)
    combined: dict[int, list[CombinedStatistics]] = field(default_factory=lambda: defaultdict(list))
    equal_image: frozenset[str] = frozenset()
    nondeterministic: frozenset[str] = frozenset()
    locked: set[int] = field(default_factory=set)  # oids of tables that could not be asked about
    selectivities: dict[tuple[int, str], float | None] = field(default_factory=dict)
    examined: dict[tuple[int, str], Examined | None] = field(default_factory=dict)

    def prepare(self, wanted: Iterable[tuple[Table, Definition]]) -> None:
        """Three or four statements, however many indexes; none for none."""
        pairs: dict[tuple[int, str | None], None] = {}
        for table, form in wanted:
            names = {key.column for key in form.keys if key.column is not None} | set(form.include)
            if form.has_expressions:
                names = {column.column for column in self.actual.columns.get(table.oid, ())}
                pairs |= {(index.oid, None): None for index in self._on_expressions(table)}
            pairs |= {(table.oid, name): None for name in names}
        if not pairs:
            return
        version = self.server.version
        asked = {"oids": [oid for oid, _ in pairs], "columns": [name for _, name in pairs]}
        for row in statistics.COLUMN_STATISTICS.rows(self.conn, version, asked):
            self.columns[row.relation_oid, row.column] = row
        tables = {"oids": list({oid for oid, _ in pairs})}
        for combination in statistics.COMBINED_STATISTICS.rows(self.conn, version, tables):
            self.combined[combination.table_oid].append(combination)
        self.equal_image = frozenset(row.opclass for row in statistics.EQUAL_IMAGE.rows(self.conn, version))
        self.nondeterministic = frozenset(row.collation for row in statistics.NONDETERMINISTIC.rows(self.conn, version))

    def with_estimate(self, step: Step) -> Step:
        """The step with its estimate, if it builds an index and there is one."""
        proof = next((proof for proof in step.proofs if proof.index == step.index), None)
        table = self.actual.tables.get((step.schema, step.table))
        if proof is None or table is None or not any(text.startswith("CREATE") for text in step.statements):
            return step
        estimate = self.estimate(table, proof.definition)
        if estimate is None:
            return step
        return replace(step, estimate={"size_bytes": estimate.size_bytes, "rows": estimate.rows})

    def estimate(self, table: Table, form: Definition) -> Estimate | None:
        if table.reltuples <= 0:  # never analyzed, or empty then: the planner does not believe that either
            return None
        said = about_columns(form.predicate)
        selectivity = self._selectivity(table, form.predicate) if form.predicate is not None else 1.0
        if selectivity is None:
            return None
        rows = max(table.reltuples * selectivity, 1.0)
        size = self._size(table, form, rows, selectivity, said)
        return None if size is None else Estimate(size, round(rows))

    def _size(
        self, table: Table, form: Definition, rows: float, selectivity: float, said: Mapping[str, Said]
    ) -> int | None:
        parameters = dict(form.parameters)
        keys = [self._key(table, key, rows, selectivity, said) for key in form.keys]
        include = [self._column(table, name, rows, selectivity, said) for name in form.include]
        if any(column is None for column in (*keys, *include)):
            return None
        known, covered = [key for key in keys if key], [column for column in include if column]
        match form.method:
            case "btree":
                return size_btree.btree(
                    rows,
                    known,
                    covered,
                    deduplicates=self._deduplicates(form),
                    fillfactor=int(parameters.get("fillfactor", 90)),
                    distinct=self._combinations(table, form, selectivity),
                )
            case "hash":
                return size_other.hash_(rows, known[0], fillfactor=int(parameters.get("fillfactor", 75)))
            case "brin":
                opclasses = [key.opclass for key in form.keys]
                pages = int(parameters.get("pages_per_range", 128))
                return size_other.brin(table.relpages, known, opclasses, pages_per_range=pages)
        return None

    def _deduplicates(self, form: Definition) -> bool:
        """Whether equal keys share index tuples when the index is built."""
        return (
            not form.unique
            and not form.include
            and ("deduplicate_items", "off") not in form.parameters
            and all(key.opclass in self.equal_image for key in form.keys)
            and all(key.collation not in self.nondeterministic for key in form.keys)
        )

    # Columns and expressions

    def _key(
        self, table: Table, key: KeyForm, rows: float, selectivity: float, said: Mapping[str, Said]
    ) -> Column | None:
        if key.column is not None:
            return self._column(table, key.column, rows, selectivity, said)
        assert key.expression is not None
        for index in self._on_expressions(table):
            for number, other in enumerate(self.actual.definition(index).keys, start=1):
                found = self._numbered(index.oid, number) if other.expression == key.expression else None
                if found is not None and found.null_frac is not None and not index.has_predicate:
                    return stored(found, table.reltuples, rows, selectivity, None)
        name = (table.oid, key.expression)
        if name not in self.examined:
            self.examined[name] = self._examine(table, key.expression)
        seen = self.examined[name]
        return None if seen is None else stored(seen, table.reltuples, rows, selectivity, None)

    def _column(
        self, table: Table, name: str, rows: float, selectivity: float, said: Mapping[str, Said]
    ) -> Column | None:
        found = self.columns.get((table.oid, name))
        return None if found is None else stored(found, table.reltuples, rows, selectivity, said.get(name))
