"""What the proof measures, as values. Times are milliseconds unless the name says otherwise."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from dbopt.demo.paths import Effort
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.demo.walkthrough import Comparison
    from dbopt.stats.coverage import Coverage

# Both guides: a pool of 30 connections instead of 5, for a thousand users at once.
CONNECTIONS = 30
USERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is done. A crowd comes in over `warm_up_seconds`, and is watched for `seconds` after that."""

    effort: Effort
    users: tuple[int, ...]
    seconds: float
    warm_up_seconds: float
    reads: int  # of the cache's workload


CROWDS = (10, 100, USERS)
# Twenty runs are the fewest of which the 95th of a hundred is not the greatest.
FULL = Scale(effort=Effort(21, 200, 1.0), users=CROWDS, seconds=10.0, warm_up_seconds=3.0, reads=100_000)
SHORT = Scale(effort=Effort(5, 100, 0.2), users=CROWDS, seconds=3.0, warm_up_seconds=2.0, reads=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Users that read at once, each his next query when he has the answer and `think_seconds` (mean) have passed.

    `asked` and `errors` are of the whole of it, `answered` of the time that it was watched for, the times of each
    answer that came after the warm-up, waiting for a connection included (None: there was none). `served`: users who
    were answered at least once, and saw no error.
    """

    users: int
    think_seconds: float
    cached: bool
    seconds: float
    asked: int
    answered: int
    served: int
    p50_ms: float | None
    p95_ms: float | None
    errors: Mapping[str, int] = field(default_factory=dict)  # by class
    connections: int = 0  # the most that the pool had open
    hit_ratio: float | None = None

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What some work cost the server: pg_stat_statements' account, and the CPU time of its sessions (Linux only)."""

    statements: int
    exec_time_ms: float
    buffers: int  # shared, hit or read
    cpu_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The workload read once, one query after the other, with or without the cache. None: there was no such answer."""

    seconds: float
    hits: int
    misses: int
    cached_p50_ms: float | None
    cached_p95_ms: float | None
    other_p50_ms: float | None  # answered by the database
    other_p95_ms: float | None
    bill: Bill | None  # None: the server has no pg_stat_statements

    @property
    def hit_ratio(self) -> float | None:
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """The same reads without the cache, with it, and with it while one call in a hundred writes.

    `different`: how many of them nobody had asked before, which no cache can have an answer to.
    """

    reads: int
    different: int
    writes: int  # of the third
    without: Reading
    with_cache: Reading
    with_writes: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One application before and after `dbopt optimize`."""

    app: str
    title: str
    rows: Mapping[str, int]  # by table
    settings: Mapping[str, str]  # of the server
    applied: int
    failed: int
    comparisons: tuple[Comparison, ...]
    coverage: tuple[Coverage, Coverage]
    before: tuple[Crowd, ...]
    after: tuple[Crowd, ...]
    caching: Caching
