"""One statement in depth, as a value: what `dbopt slow-queries show ID` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.values import dataclass
from dbopt.workload.model import Planned
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.workload.finding import Relation
    from dbopt.workload.model import Span, Statement
    from dbopt.workload.plan import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What it did in a stretch of the past. None: not known; a mean of no calls is none either."""

    from_at: datetime
    to_at: datetime
    calls_per_second: float | None
    mean_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """`text`: the statement laid out for reading; None: it is shown as it is. `trend`: the oldest first; () where
    nothing is kept. `relations`: those of the plan, or of the text.
    """

    statement: Statement
    span: Span
    before: Span | None = None
    text: str | None = None
    trend: tuple[Point, ...] = ()
    relations: tuple[Relation, ...] = ()
    slow_ms: float
    notes: tuple[str, ...] = ()
    lacks: tuple[tuple[str, str | None], ...] = ()  # what could not be had: reason, what to type

    @property
    def plans(self) -> tuple[Node, ...]:
        """Usually one; of a rule several."""
        planned = self.statement.planned
        if not isinstance(planned, Planned):
            return ()
        return tuple(tree for document in planned.documents if (tree := root(document)) is not None)
