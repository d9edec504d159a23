"""Costs by the planner itself, which is made to believe in indexes that are not there: HypoPG.

A candidate becomes a hypothetical index for as long as questions need it, on a partitioned table one on each partition.
Questions are asked in such an order that few have to be made and dropped; on tables that a statement does not read,
whatever is there may stay.

What to know of HypoPG's answers: its btrees know nothing of deduplication and are some 1.8 times too large, which makes
index-only scans a little dear; an index on an expression has no statistics, so that equality is taken to find 0.5 % of
the rows (DEFAULT_EQ_SEL, selfuncs.h), whatever the expression gives. Plans for values of a probe hold these values:
they are never to be shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.postgres.hypopg import RESET
from dbopt.suggest.cost.session import Session, costed
from dbopt.suggest.cost.shelf import Shelf
from dbopt.suggest.model import Basis
from dbopt.workload.explain import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.cost.costing import Question
    from dbopt.suggest.cost.installed import HypoPG
    from dbopt.suggest.model import Candidate, Costed, Name, Subject, Table


class Hypothetical:
    """A Costing. To be entered: one transaction, rolled back at the end, and nothing remains in the session.

    `tables`: by the names that candidates have.
    """

    def __init__(
        self,
        conn: Connection,
        server: Server,
        tables: Mapping[Name, Table],
        where: HypoPG,
        *,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    ) -> None:
        self._conn = conn
        self._session = Session(
            conn, server, statement_timeout_ms=statement_timeout_ms, lock_timeout_ms=lock_timeout_ms
        )
        self._shelf = Shelf(conn, tables, where.schema)
        self._relations = {name: table.relation for name, table in tables.items()}
        self._topmost = {leaf: name for name, table in tables.items() for leaf in table.leaves}
        self._reset = sql.SQL(RESET).format(schema=sql.Identifier(where.schema))
        self._read: dict[str, frozenset[Name]] = {}  # by the names of prepared statements

    def __enter__(self) -> Self:
        self._session.__enter__()
        try:
            self._conn.execute(self._reset)  # a pooler's session may have some of somebody's
        except BaseException as exc:
            self._session.__exit__(type(exc), exc, exc.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._conn.closed:
                self._session.back()
                self._conn.execute(self._reset)  # in the transaction: a pooler gives the next one another session
        finally:
            self._session.__exit__(kind, error, trace)

    @property
    def explains(self) -> int:
        return self._session.explains

    @property
    def basis(self) -> Basis:
        return Basis.HYPOPG

    @property
    def refused(self) -> Mapping[Candidate, str]:
        """Candidates that could not be made, and what the server said."""
        return self._shelf.refused

    def makes(self, candidate: Candidate) -> bool:
        """Whether the planner can be made to believe in it, as far as is known before it was tried."""
        return self._shelf.makes(candidate)

    def ask(self, questions: Sequence[Question]) -> list[Costed | None]:
        """As Costing says. Candidates that HypoPG cannot make are taken to be not there."""
        groups: dict[frozenset[Candidate], dict[object, list[int]]] = defaultdict(dict)
        for at, (subject, candidates, probe) in enumerate(questions):
            reads = self._reads(subject)
            wanted = frozenset(item for item in candidates if item.relation in reads and self.makes(item))
            plan = self._session.statement(subject).name, tuple(sorted(probe.values.items()))
            groups[wanted].setdefault(plan, []).append(at)
        # Sets that have much in common stand beside each other, so that little changes between them.
        often = Counter(item for wanted in groups for item in wanted)
        place = {item: number for number, item in enumerate(sorted(often, key=lambda item: (-often[item], item)))}
        sets = sorted(groups, key=lambda wanted: sorted(place[item] for item in wanted))
        ordered = [(wanted, same) for wanted in sets for same in groups[wanted].values()]
        self._shelf.want([(wanted, self._reads(questions[same[0]][0])) for wanted, same in ordered])
        first = [questions[same[0]] for _, same in ordered]
        explained = self._session.explain([(subject, probe) for subject, _, probe in first], self._shelf)
        answers: list[Costed | None] = [None] * len(questions)
        for number, ((_, same), found) in enumerate(zip(ordered, explained, strict=True)):
            if found is not None:
                answer = costed(found, self._relations, self._shelf.names(number))
                for at in same:
                    answers[at] = answer
        return answers

    def _reads(self, subject: Subject) -> frozenset[Name]:
        """The tables of a statement, of partitions the topmost: those that it asks, and those of its plan."""
        name = self._session.statement(subject).name
        if name not in self._read:
            nodes = [node for document in subject.planned.documents if (node := root(document)) is not None]
            planned = {node.relation for top in nodes for node in top.walk() if node.relation is not None}
            self._read[name] = subject.relations | {self._topmost.get(item, item) for item in planned}
        return self._read[name]
