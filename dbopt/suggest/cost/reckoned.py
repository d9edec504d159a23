"""What statements would cost with indexes, where no planner can be asked: reckoned from plans and statistics.

Each statement is planned as things are, once for each probe; candidates are grafted onto that plan (grafts.py). What
comes out is for ranking indexes. It is in the planner's units, but it is no plan, and says so.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Self

from dbopt.postgres.planner_costs import PLANNER_COSTS, RELATION_PAGES
from dbopt.suggest.cost import model
from dbopt.suggest.cost.grafting import Grafting
from dbopt.suggest.cost.grafts import grafted
from dbopt.suggest.cost.honest import honest_cost
from dbopt.suggest.cost.pages import Heap, index_pages
from dbopt.suggest.cost.scans import Ground
from dbopt.suggest.cost.selectivity import normal
from dbopt.suggest.cost.session import Session, costed
from dbopt.suggest.model import Basis, Costed
from dbopt.values import dataclass
from dbopt.workload.finding import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from types import TracebackType

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.cost.costing import Question
    from dbopt.suggest.cost.session import Explained
    from dbopt.suggest.model import Access, Candidate, Name, Probe, Size, Subject, Table
    from dbopt.suggest.sizes import ExpressionValues
    from dbopt.workload.finding import Relation
    from dbopt.workload.plan import Node

    Expressions = (
        Mapping[tuple[Name, str], ExpressionValues] | Callable[[], Mapping[tuple[Name, str], ExpressionValues]]
    )
    Identity = tuple[int, str, tuple[tuple[int, str], ...]]


def ground(
    conn: Connection,
    server: Server,
    tables: Mapping[Name, Table],
    *,
    size: Callable[[Candidate], Size | None] | None = None,
    expressions: Expressions | None = None,
) -> Ground:
    """What the reckoning stands on. `expressions`: what is known of values of expressions, by table and text, or what
    gives that when it is needed first. Raises psycopg.Error.
    """
    [costs] = PLANNER_COSTS.rows(conn, server.version)
    roots = {name: name for name in tables}
    for name, table in sorted(tables.items()):
        roots.update((leaf, name) for leaf in table.leaves)
    names = sorted(roots)
    parameters = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
    heaps = {
        (row.schema, row.name): Heap(row.rows, row.pages, row.visible_pages / row.pages if row.pages else 0.0)
        for row in RELATION_PAGES.rows(conn, server.version, parameters)
        if not tables[roots[row.schema, row.name]].leaves or (row.schema, row.name) not in tables
    }

    rows: dict[Name, float] = defaultdict(float)
    for name, heap in heaps.items():
        rows[roots[name]] += heap.rows

    def pages(candidate: Candidate, heap: Heap, columns: Mapping[str, Column], is_there: bool) -> float:
        known = size(candidate) if size is not None and not is_there else None
        if known is None or known.rows < 1:
            return index_pages(candidate, heap, columns, costs.page_bytes)
        return known.size_bytes / costs.page_bytes * max(1.0, heap.rows / known.rows)

    known_values: dict[tuple[Name, str], Column] = {}

    def values(name: Name, text: str) -> Column | None:
        nonlocal known_values
        if not known_values:  # they are asked for again until there are some
            found = (expressions() if callable(expressions) else expressions) or {}
            known_values = {(table, normal(one)): _column(one, item) for (table, one), item in found.items()}
        return known_values.get((name, text))

    return Ground(
        tables=tables,
        heaps=heaps,
        rows=rows,
        costs=costs,
        pages=pages,
        values=values,
        roots=roots,
    )


def _column(text: str, values: ExpressionValues) -> Column:
    return Column(
        name=text,
        attnum=0,
        type_name="",
        has_statistics=True,
        null_frac=values.null_frac,
        n_distinct=values.n_distinct,
        most_common_freq=max(values.common_freqs, default=None),
    )


class Grafts:
    """What candidates save on some plans of one statement."""

    def __init__(
        self, roots: Sequence[Node], on: Ground, accesses: Sequence[Access], relations: Mapping[Name, Relation]
    ) -> None:
        self._roots = roots
        self._ground = on
        self._accesses = accesses
        self._relations = relations
        self._parts: list[tuple[Grafting, float]] | None = None
        self._known: dict[tuple[tuple[Candidate, ...], int], Saved] = {}
        names = {node.relation for root in roots for node in root.walk() if node.relation is not None}
        self._tables = frozenset(on.roots[name] for name in names if name in on.roots)

    def saved(self, candidates: Iterable[Candidate], also: Iterable[Candidate] = ()) -> Saved:
        """`also`: candidates that are not worth it by themselves, but together with one of the others."""
        first = sorted({item for item in candidates if item.relation in self._tables})
        own = (*first, *sorted({item for item in also if item.relation in self._tables}.difference(first)))
        key = own, len(first)
        if key not in self._known:
            self._known[key] = self._saved(own, (1 << len(first)) - 1)
        return self._known[key]

    def _saved(self, candidates: tuple[Candidate, ...], wanted: int) -> Saved:
        if not wanted:
            return _NOTHING
        if self._parts is None:  # late: more may be known of expressions then
            self._parts = [self._part(root) for root in self._roots]
        before = cost = hoped = sum(now for _, now in self._parts)
        used: set[Candidate] = set()
        gone: set[Name] = set()
        for part, now in self._parts:
            found = grafted(part, candidates, wanted)
            if found is None:
                continue
            cost += found.cost - now
            hoped += found.hoped - now
            used.update(item for number, item in enumerate(candidates) if found.used >> number & 1)
            gone |= part.indexes_gone(found.gone)
        if not used or before <= 0:
            return _NOTHING
        least = min(LEAST_COST, before)
        return Saved(max(cost, least) / before, max(hoped, least) / before, frozenset(used), frozenset(gone))

    def _part(self, root: Node) -> tuple[Grafting, float]:
        def honest(node: Node) -> float:
            return honest_cost(node, self._relations)

        return Grafting(root, self._ground, self._accesses, honest), honest(root)


LEAST_COST = 0.05  # nothing is for nothing: a few times cpu_tuple_cost


@dataclass(frozen=True, slots=True)
class Saved:
    """`left`: of the cost; `hoped`: of it, what the planner would say. `gone`: existing indexes no longer used."""

    left: float
    hoped: float
    used: frozenset[Candidate]
    gone: frozenset[Name]

    def of(self, now: Costed) -> Costed:
        if not self.used:
            return now
        return Costed(
            cost=now.cost * self.left,
            planner_cost=now.cost * self.hoped,
            used=now.used | self.used,
            indexes=now.indexes - self.gone,
        )


_NOTHING = Saved(1.0, 1.0, frozenset(), frozenset())


def identity(subject: Subject, probe: Probe) -> Identity:
    """Of a question, apart from the candidates, for as long as the subject is kept."""
    return id(subject), probe.name, tuple(sorted(probe.values.items()))


@dataclass(frozen=True, slots=True)
class _Base:
    """A subject as it is. It is kept so that its id stays its own."""

    subject: Subject
    costed: Costed
    grafts: Grafts


class Reckoned:
    """A Costing for servers without HypoPG. To be entered, as the Session in it."""

    def __init__(
        self,
        conn: Connection,
        server: Server,
        tables: Mapping[Name, Table],
        *,
        size: Callable[[Candidate], Size | None] | None = None,
        expressions: Expressions | None = None,
    ) -> None:
        self._session = Session(conn, server)
        self._relations = {name: table.relation for name, table in tables.items()}
        self._ground = ground(conn, server, tables, size=size, expressions=expressions)
        self._bases: dict[Identity, _Base | None] = {}

    def __enter__(self) -> Self:
        self._session.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.__exit__(kind, error, trace)

    @property
    def basis(self) -> Basis:
        return Basis.STATISTICS

    @property
    def explains(self) -> int:
        return self._session.explains

    def makes(self, candidate: Candidate) -> bool:
        """Whether anything can be said about it."""
        return candidate.method in model.METHODS and candidate.relation in self._relations

    def is_proved(self, candidate: Candidate) -> bool:  # noqa: ARG002 - no planner has seen any
        return False

    def ask(self, questions: Sequence[Question]) -> list[Costed | None]:
        """As Costing has it."""
        self._plan(questions)
        answers = []
        for subject, candidates, probe in questions:
            base = self._bases[identity(subject, probe)]
            answers.append(None if base is None else base.grafts.saved(candidates).of(base.costed))
        return answers

    def _plan(self, questions: Collection[Question]) -> None:
        """What has not been planned yet, in one batch."""
        asked = {identity(subject, probe): (subject, probe) for subject, _, probe in questions}
        new = {key: pair for key, pair in asked.items() if key not in self._bases}
        if not new:
            return
        found = self._session.explain(list(new.values()))
        for (key, (subject, _)), explained in zip(new.items(), found, strict=True):
            self._bases[key] = None if explained is None else self._base(subject, explained)

    def _base(self, subject: Subject, explained: Explained) -> _Base:
        grafts = Grafts(explained.roots, self._ground, subject.accesses, self._relations)
        return _Base(subject, costed(explained, self._relations, {}), grafts)
