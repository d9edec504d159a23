"""Costs by the planner with HypoPG, and reckoned where it cannot tell.

HypoPG makes no GIN and no GiST, and of an index on an expression the planner has no statistics: it takes equality to
find 0.5 % of the rows (DEFAULT_EQ_SEL, selfuncs.h), be it one row or half of them. Such candidates are grafted onto the
plan that the others give (grafts.py), where that is cheaper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from dbopt.suggest.cost import model, selectivity
from dbopt.suggest.cost.hypothetical import Hypothetical
from dbopt.suggest.cost.reckoned import Grafts, ground, identity
from dbopt.suggest.model import Basis
from dbopt.values import dataclass
from dbopt.workload.conditions import conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.cost.costing import Question
    from dbopt.suggest.cost.installed import HypoPG
    from dbopt.suggest.cost.reckoned import Expressions, Identity, Saved
    from dbopt.suggest.model import Candidate, Costed, Name, Size, Subject, Table

    _Asked = tuple[Identity, frozenset[Candidate]]

Set = frozenset["Candidate"]


@dataclass(frozen=True, slots=True)
class _Planned:
    """An answer of the planner. The subject is kept so that its id stays its own."""

    subject: Subject
    answer: Costed
    grafts: Grafts


class Combined:
    """A Costing for servers with HypoPG. To be entered, as Hypothetical."""

    def __init__(
        self,
        conn: Connection,
        server: Server,
        tables: Mapping[Name, Table],
        where: HypoPG,
        *,
        size: Callable[[Candidate], Size | None] | None = None,
        expressions: Expressions | None = None,
    ) -> None:
        self._planner = Hypothetical(conn, server, tables, where)
        self._relations = {name: table.relation for name, table in tables.items()}
        self._ground = ground(conn, server, tables, size=size, expressions=expressions)
        self._known: dict[_Asked, _Planned | None] = {}

    def __enter__(self) -> Self:
        self._planner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._planner.__exit__(kind, error, trace)

    @property
    def basis(self) -> Basis:
        return Basis.HYPOPG

    @property
    def explains(self) -> int:
        return self._planner.explains

    def makes(self, candidate: Candidate) -> bool:
        """Whether anything can be said about it."""
        return self._planner.makes(candidate) or self.is_reckoned(candidate)

    def is_proved(self, candidate: Candidate) -> bool:
        """Whether a planner has seen it."""
        return self._planner.makes(candidate) and not self.is_reckoned(candidate)

    def is_reckoned(self, candidate: Candidate) -> bool:
        """Whether HypoPG is not asked about it, because it cannot make it, or is known to be wrong."""
        if candidate.method not in model.METHODS or candidate.relation not in self._relations:
            return False
        if not self._planner.makes(candidate):
            return candidate not in self._planner.refused
        return any(self._is_guessed(candidate.relation, key.expression) for key in candidate.keys)

    def _is_guessed(self, name: Name, expression: str) -> bool:
        """Whether more is known of an expression's values than the planner would know."""
        if not expression:
            return False
        text = selectivity.normal(expression)
        found = conditions(f"({expression}) = $1")
        relation = self._relations[name]
        analyzed = (key.expression for index in relation.indexes for key in index.keys if key.expression is not None)
        if any(selectivity.normal(known) == text for known in analyzed):
            return False
        return self._ground.values(name, text) is not None or any(map(selectivity.keeps_apart, found))

    def ask(self, questions: Sequence[Question]) -> list[Costed | None]:
        """As Costing has it."""
        split = [self._split(candidates) for _, candidates, _ in questions]
        keys = [
            (identity(subject, probe), plain) for (subject, _, probe), (plain, _) in zip(questions, split, strict=True)
        ]
        new: dict[_Asked, Question] = {
            key: (subject, key[1], probe)
            for key, (subject, _, probe) in zip(keys, questions, strict=True)
            if key not in self._known
        }
        fresh = dict(zip(new, self._planner.ask(list(new.values())), strict=True))
        answers: list[Costed | None] = []
        for key, (subject, _, _), (plain, apart) in zip(keys, questions, split, strict=True):
            if apart and key not in self._known:  # plans are large: only those that are grafted onto are kept
                self._known[key] = self._planned(subject, fresh[key])
            known = self._known.get(key)
            if known is not None and apart:
                answers.append(self._saved(known, apart, plain).of(known.answer))
            else:
                answers.append(fresh.get(key, known.answer if known is not None else None))
        return answers

    def _split(self, candidates: Collection[Candidate]) -> tuple[Set, Set]:
        """What the planner is asked about, and what is grafted."""
        apart = frozenset(item for item in candidates if self.is_reckoned(item))
        return frozenset(candidates) - apart, apart

    def _planned(self, subject: Subject, answer: Costed | None) -> _Planned | None:
        if answer is None:
            return None
        roots = () if answer.plan is None else (answer.plan,)
        return _Planned(subject, answer, Grafts(roots, self._ground, subject.accesses, self._relations))

    def _saved(self, known: _Planned, apart: Set, plain: Set) -> Saved:
        """An expression that finds few rows makes others worth it that look up what these are joined with, which the
        planner does not know.
        """
        finds_few = any(key.expression for item in apart if item.method in ("btree", "hash") for key in item.keys)
        return known.grafts.saved(apart, plain if finds_few else ())
