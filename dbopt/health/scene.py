"""What a check sees beside its own rows."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar

from dbopt.health.check import NotJudged
from dbopt.health.deltas import Counters, Delta, Sample, delta
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbopt.health.bloat import Measured
    from dbopt.health.check import Gap, Thresholds
    from dbopt.postgres.query import Query
    from dbopt.postgres.server import Server
    from dbopt.postgres.surroundings import Surroundings

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one database said in one snapshot: the rows of each query, or why there are none."""

    server: Server
    surroundings: Surroundings
    rows: Mapping[Query[Any], Sequence[Any]]
    gaps: Mapping[Query[Any], Gap] = field(default_factory=dict)
    statements: int = 0  # sent to the server
    round_trips: int = 0
    exact: Mapping[int, Measured] = field(default_factory=dict)  # relations that were read, by oid: --exact


@dataclass(frozen=True, slots=True)
class Scene:
    """One check's view: the facts, its own limits, and what the last run saw."""

    facts: Facts
    check_id: str
    limits: Mapping[str, float]
    before: Sample | None = None
    show_literals: bool = False  # values inside of live statements are somebody's data
    thresholds: Thresholds | None = None  # that its rows will be judged by, where there are many to choose from

    @property
    def server(self) -> Server:
        return self.facts.server

    @property
    def surroundings(self) -> Surroundings:
        return self.facts.surroundings

    def rows(self, query: Query[Row]) -> Sequence[Row]:
        """Raises NotJudged where the query failed."""
        gap = self.facts.gaps.get(query)
        if gap is not None:
            raise NotJudged(gap.reason, hint=gap.hint, blind=gap.blind)
        return self.facts.rows[query]

    def deltas(self, counters: Iterable[Counters]) -> Iterator[Delta]:
        """Of each subject that has a window; raises NotJudged where no subject has one."""
        before = {} if self.before is None else {c.subject: c for c in self.before.counters.get(self.check_id, ())}
        before_at = None if self.before is None else self.before.taken_at
        counters = tuple(counters)
        found = [delta(now, self.surroundings.now, before.get(now.subject), before_at) for now in counters]
        usable = [item for item in found if item is not None]
        if counters and not usable:
            raise NotJudged(
                "the counters have run for too long to speak of the present",
                hint="Run dbopt health again: it judges what happened since this run.",
            )
        yield from usable
