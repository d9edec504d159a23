"""The estimator of `optimize`, for hundreds of candidates made of the same columns.

Rows that tell which values go together are read once a table, however many combinations ask. How much is read does not
depend on how fast the server is: the same database gives the same sizes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from psycopg import sql

from dbopt.optimize.estimate import SAMPLED_LEAST_ROWS, Estimator
from dbopt.sizes import together
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.optimize.canonical import Definition, KeyForm
    from dbopt.optimize.collect import Actual
    from dbopt.optimize.pace import Pace
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.postgres.statistics import ColumnStatistics

# Questions whose answer takes reading rows, each up to 300 pages: some 20 ms. Our own.
SAMPLES_MAX = 60
SAMPLED_ROWS = 5_000  # half of what a plan reads: each combination takes a moment to count, and there are many


@dataclass(frozen=True, slots=True)
class _Read:
    """Some rows of a table: the page that each lies on, and hashes of the values, by column or expression."""

    pages: Sequence[int]
    columns: Mapping[str, Sequence[int | None]]

    @classmethod
    def of(cls, names: Sequence[str], rows: together.Sampled) -> _Read:
        columns = list(zip(*(values for _, values in rows), strict=True)) or [()] * len(names)
        return cls([page for page, _ in rows], dict(zip(names, columns, strict=True)))


class FrugalEstimator(Estimator):
    """For many indexes on the same tables: rows are read once a table, and so many times in all, not for so long."""

    def __init__(self, conn: Connection, server: Server, actual: Actual, pace: Pace) -> None:
        super().__init__(conn, server, actual, pace)
        self._expected: dict[int, dict[str, sql.Composable]] = defaultdict(dict)
        self._read: dict[int, _Read] = {}
        self._samples = 0

    def knows(self, table: Table, predicate: str | None) -> bool:
        return predicate is None or (table.oid, predicate) in self._rows

    def expect(self, forms: Iterable[tuple[Table, Definition]]) -> None:
        """Keys that may be asked about together."""
        for table, form in forms:
            if form.method == "btree" and len(form.keys) > 1 and form.predicate is None and not form.include:
                for key in form.keys:
                    self._expected[table.oid][key.column or key.expression or ""] = _readable(key)
            elif form.method == "btree" and form.has_expressions:
                for key in form.keys:
                    if key.expression is not None:
                        self._expected[table.oid][key.expression] = _readable(key)

    def values(self, table: Table, expression: str) -> ColumnStatistics | None:
        return self._expression(table, expression)

    def _sampled(self, table: Table, ask: Callable[[], Any]) -> Any:
        if table.reltuples < SAMPLED_LEAST_ROWS or self._samples >= SAMPLES_MAX:
            return None
        self._samples += 1
        return self._patiently(table, ask)

    def _in_some_rows(
        self, table: Table, asked: tuple[str, ...], read: Sequence[sql.Composable], *, dependent: bool = False
    ) -> float | None:
        if (table.oid, asked) not in self._together:
            self._together[table.oid, asked] = self._counted(table, asked, read, dependent=dependent)
        return self._together[table.oid, asked]

    def _counted(
        self, table: Table, asked: tuple[str, ...], read: Sequence[sql.Composable], *, dependent: bool
    ) -> float | None:
        known = self._read.get(table.oid)
        if known is None or not known.columns.keys() >= set(asked):
            wanted = {**self._expected[table.oid], **dict(zip(asked, read, strict=True))}
            rows = self._some_rows(table, list(wanted.values()))
            if rows is None and len(wanted) > len(asked):  # one of the others may be why
                wanted = dict(zip(asked, read, strict=True))
                rows = self._some_rows(table, read)
            known = self._read[table.oid] = _Read.of(list(wanted), rows or ())
        chosen = list(zip(known.pages, zip(*(known.columns[text] for text in asked), strict=True), strict=True))
        return together.combinations(chosen, table.relpages, dependent=dependent) if chosen else None

    def _some_rows(self, table: Table, read: Sequence[sql.Composable]) -> together.Sampled | None:
        rows: together.Sampled | None = self._sampled(
            table, lambda: together.sample(self.conn, table, read, rows_max=SAMPLED_ROWS)
        )
        return rows


def _readable(key: KeyForm) -> sql.Composable:
    return sql.Identifier(key.column) if key.column is not None else sql.SQL(key.expression or "")
