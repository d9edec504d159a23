"""How big indexes would be that are not there yet: the estimator of `optimize`, asked about candidates.

Hundreds of them are asked about, most of them made of the same columns. So statistics are read once a table, and the
rows that tell which values go together (sizes/together.py) once a table as well, however many combinations need them.
What is read does not depend on how fast the server is: the same database gives the same list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dbopt.optimize.collect import read_tables
from dbopt.optimize.pace import Pace
from dbopt.sizes.btree import PAGE_BYTES
from dbopt.suggest.candidates.expressions import may_be_key
from dbopt.suggest.definitions import Definitions
from dbopt.suggest.estimating import FrugalEstimator
from dbopt.suggest.model import Candidate, Key, Name, Size
from dbopt.values import dataclass
from dbopt.workload.conditions import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.postgres.catalog import Table as CatalogTable
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.model import Subject, Table

# Leaves of a partitioned table that are looked at, the largest; the others are taken to be like them. Our own.
LEAVES_MAX = 8
_COMPARING = ("=", "= ANY", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class ExpressionValues:
    """What is known of the values of an expression. `n_distinct`: as in pg_stats, negative is a share of the rows.
    `common_freqs`: of the most common values, each a share of all rows.
    """

    n_distinct: float | None
    null_frac: float
    common_freqs: tuple[float, ...]


class Sizer:
    """Sizes of candidates on the tables of a workload. `conn` is in autocommit; nothing is written."""

    def __init__(
        self, conn: Connection, server: Server, tables: Mapping[Name, Table], *, pace: Pace | None = None
    ) -> None:
        self._conn = conn
        self._server = server
        self._tables = tables
        self._pace = pace or Pace()
        self._actual: Actual | None = None
        self._estimator: FrugalEstimator | None = None
        self._definitions: Definitions | None = None
        self._prepared: set[Candidate] = set()
        self._known: dict[int, set[str]] = defaultdict(set)  # columns by the table's oid
        self._sizes: dict[Candidate, Size | None] = {}
        self._expressions = _Expressions(self)

    def prepare(self, candidates: Iterable[Candidate]) -> None:
        """Read what is needed for all of these at once. Raises psycopg errors if the connection is lost."""
        new = [item for item in dict.fromkeys(candidates) if item not in self._prepared]
        self._prepared.update(new)
        new = [item for item in new if item.relation in self._tables]
        if not new:
            return
        self._start()
        assert self._estimator is not None
        assert self._definitions is not None
        places = [(table, item) for item in new for table in self._places(item.relation)[0]]
        self._definitions.prepare(places)
        forms = [(table, self._definitions.definition(table, item)) for table, item in places]
        self._estimator.expect(forms)
        self._estimator.prepare(self._unknown(forms))

    def _start(self) -> None:
        """Read the tables, once."""
        if self._estimator is None:
            self._actual = read_tables(self._conn, self._server, sorted(self._tables))
            self._estimator = FrugalEstimator(self._conn, self._server, self._actual, self._pace)
            self._definitions = Definitions(self._conn, self._server, self._actual.columns)

    def _unknown(self, forms: Sequence[tuple[CatalogTable, Definition]]) -> list[tuple[CatalogTable, Definition]]:
        """Those about columns of which nothing has been read, or with a predicate."""
        assert self._estimator is not None
        found = []
        for table, form in forms:
            names = {key.column for key in form.keys if key.column is not None} | set(form.include)
            if form.has_expressions:
                names |= {column.column for column in self._estimator.actual.columns.get(table.oid, ())}
            if not names <= self._known[table.oid] or not self._estimator.knows(table, form.predicate):
                found.append((table, form))
            self._known[table.oid] |= names
        return found

    def size(self, candidate: Candidate) -> Size | None:
        """None: statistics are missing, or nothing is known of the method."""
        if candidate not in self._sizes:
            self.prepare([candidate])
            self._sizes[candidate] = self._measured(candidate) if candidate.relation in self._tables else None
        return self._sizes[candidate]

    def foresee(self, subjects: Iterable[Subject]) -> None:
        """Look at the values of all expressions that statements compare, so that `expressions` has them. What waits for
        locks and must not be in a transaction is over then. Raises psycopg errors.
        """
        wanted: dict[Candidate, None] = {}
        for subject in subjects:
            for access in subject.accesses:
                for condition in (*access.conditions, *access.joins):
                    table = self._tables.get(access.relation)
                    if table is None or condition.kind not in (Kind.FUNCTION, Kind.CAST):
                        continue
                    if condition.operator in _COMPARING and may_be_key(condition.expression, table.relation):
                        wanted[Candidate(access.relation, (Key(expression=condition.expression),))] = None
        self._start()
        self.prepare(sorted(wanted))
        for item in wanted:
            self._expressions.get((item.relation, item.keys[0].expression))

    def expressions(self) -> Mapping[tuple[Name, str], ExpressionValues]:
        """What is known of the values of expressions, each looked at when it is first asked for or foreseen."""
        return self._expressions

    def values(self, name: Name, expression: str) -> ExpressionValues | None:
        """None: nothing is known of it. Raises psycopg errors if the connection is lost."""
        if name not in self._tables:
            return None
        self.prepare([Candidate(name, (Key(expression=expression),))])
        assert self._estimator is not None
        for table in self._places(name)[0]:
            known = self._estimator.values(table, expression)
            if known is not None and known.null_frac is not None:
                return ExpressionValues(known.n_distinct, known.null_frac, tuple(known.common_freqs))
        return None

    def _places(self, name: Name) -> tuple[list[CatalogTable], float]:
        """The tables where an index of it would have entries, the largest; and how many times their rows all have."""
        assert self._actual is not None
        wanted = self._tables[name].leaves or (name,)
        found = [
            table
            for one in wanted
            if (table := self._actual.tables.get(one)) is not None and table.relkind in ("r", "m")
        ]
        found.sort(key=lambda table: (-table.reltuples, table.schema, table.table))
        known = [table for table in found if table.reltuples > 0]
        looked_at = known[:LEAVES_MAX]
        rows = sum(table.reltuples for table in looked_at)
        return looked_at, sum(table.reltuples for table in known) / rows if rows else 1.0

    def _measured(self, candidate: Candidate) -> Size | None:
        assert self._estimator is not None
        assert self._definitions is not None
        tables, times = self._places(candidate.relation)
        bytes_ = rows = heap = known_rows = 0.0
        for table in tables:
            known = self._estimator.estimate(table, self._definitions.definition(table, candidate))
            if known is not None:
                bytes_ += known["size_bytes"]
                rows += known["rows"]
                heap += table.relpages * PAGE_BYTES
                known_rows += table.reltuples
        if not known_rows:
            return None
        times *= sum(table.reltuples for table in tables) / known_rows
        size = round(bytes_ * times)
        seconds = self._pace.foreseen(candidate.method, {"size_bytes": size, "table_bytes": heap * times})
        return Size(size_bytes=size, rows=rows * times, build_seconds=seconds)


class _Expressions(Mapping[tuple[Name, str], ExpressionValues]):
    """By table and expression."""

    def __init__(self, sizer: Sizer) -> None:
        self._sizer = sizer
        self._known: dict[tuple[Name, str], ExpressionValues | None] = {}

    def __getitem__(self, key: tuple[Name, str]) -> ExpressionValues:
        if key not in self._known:
            self._known[key] = self._sizer.values(*key)
        found = self._known[key]
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[tuple[Name, str]]:
        return iter([key for key, found in self._known.items() if found is not None])

    def __len__(self) -> int:
        return sum(found is not None for found in self._known.values())
