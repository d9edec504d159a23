"""What a check sees beside its own rows."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar

from dbopt.health.check import NotJudged
from dbopt.health.deltas import delta
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from dbopt.health.applications import Process
    from dbopt.health.bloat import Measured
    from dbopt.health.check import Gap, Thresholds
    from dbopt.health.deltas import Counters, Delta
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
    applications: Sequence[Process] | None = None  # that run and publish themselves; None: nobody has looked


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One check's view: the facts, its own limits and thresholds, and its counters in an earlier run, by subject."""

    facts: Facts
    limits: Mapping[str, float]
    thresholds: Thresholds
    earlier: Mapping[str, Counters]
    earlier_at: datetime | None  # None: there was no such run
    show_literals: bool = False  # values inside of live statements are somebody's data

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

    @property
    def seconds_since(self) -> float:
        """The earlier run; 0 where there was none."""
        return 0.0 if self.earlier_at is None else (self.surroundings.now - self.earlier_at).total_seconds()

    def delta(self, now: Counters) -> Delta | None:
        """What one subject's counters did; None where no window of a useful length is known."""
        return delta(now, self.surroundings.now, self.earlier.get(now.subject), self.earlier_at)

    def deltas(self, counters: Iterable[Counters]) -> Iterator[Delta]:
        """Of each subject that has a window; raises NotJudged where no subject has one."""
        counters = tuple(counters)
        usable = [item for item in map(self.delta, counters) if item is not None]
        if counters and not usable:
            raise NotJudged(
                "the counters have run for too long to speak of the present",
                hint="Run dbopt health again: it judges what happened since this run.",
            )
        yield from usable
