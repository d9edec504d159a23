"""What applications say of themselves, all their processes together: see `dbopt/store/clients.py`.

A process is a family `clients/APPLICATION/INSTANCE` with one subject. Its queries take longer than the server's
statements: on the way, in the pool's queue and in the driver. The use of its pool is in pool.py, with PgBouncer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Goal, Group, Metric, Unit
from dbopt.snapshot.model import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window
    from dbopt.snapshot.model import Interval

_NO_QUERIES = "no application has told of statements"


def _told(window: Window, *names: str) -> dict[str, Interval]:
    """The processes that count all of it, by family."""
    return {
        family: interval
        for family, interval in window.intervals.items()
        if family.startswith(CLIENTS) and all(window.counts(family, name) for name in names)
    }


def _sums(window: Window, *names: str) -> tuple[float, ...] | None:
    """Over the processes that count all of it."""
    told = _told(window, *names)
    return tuple(sum(window.sum(family, name) or 0.0 for family in told) for name in names) if told else None


def _sum(name: str) -> Callable[[Window], float | None]:
    return lambda window: None if (sums := _sums(window, name)) is None else sums[0]


def _mean(part: str, whole: str, unit: float = 1) -> Callable[[Window], float | None]:
    def value(window: Window) -> float | None:
        sums = _sums(window, part, whole)
        return None if sums is None or not sums[1] else sums[0] / sums[1] * unit

    return value


def _hits(window: Window) -> float | None:
    sums = _sums(window, "cache_hits", "cache_misses")
    return None if sums is None else window.ratio(*sums)


def _queries(window: Window) -> float | None:
    """A second of all processes: some of them were there for a part of the time only."""
    sums, told = _sums(window, "queries"), _told(window, "queries").values()
    if sums is None:
        return None
    return sums[0] / (max(item.to_at for item in told) - min(item.from_at for item in told)).total_seconds()


METRICS = (
    Metric(
        name="client_queries_per_second",
        title="Queries",
        group=Group.CLIENTS,
        unit=Unit.PER_SECOND,
        meaning="Statements that the applications have sent and that have ended, those that failed included.",
        families=(CLIENTS,),
        value=_queries,
        lacks=_NO_QUERIES,
    ),
    Metric(
        name="client_query_ms",
        title="Query time, mean",
        group=Group.CLIENTS,
        unit=Unit.MILLISECONDS,
        meaning="For how long the applications have waited for a statement, with the way there and back.",
        families=(CLIENTS,),
        value=_mean("query_seconds", "queries", 1000),
        goal=Goal(target=100, alert=500, below=True, source="the guide: average query time"),
        of=_sum("queries"),
        of_what="queries",
        lacks=_NO_QUERIES,
    ),
    Metric(
        name="client_slow_queries",
        title="Slow queries",
        group=Group.CLIENTS,
        unit=Unit.COUNT,
        meaning="Statements that took longer than the application's own threshold, SLOW_QUERY_THRESHOLD.",
        families=(CLIENTS,),
        value=_sum("slow_queries"),
        adds_up=True,
        lacks=_NO_QUERIES,
    ),
    Metric(
        name="client_error_ratio",
        title="Errors",
        group=Group.CLIENTS,
        unit=Unit.RATIO,
        meaning="The share of the applications' statements that failed.",
        families=(CLIENTS,),
        value=_mean("errors", "queries"),
        goal=Goal(target=0.001, alert=0.01, below=True, source="the guide: error rate; alert: our own choice"),
        of=_sum("queries"),
        of_what="queries",
        lacks=_NO_QUERIES,
    ),
    Metric(
        name="client_cache_hit_ratio",
        title="Cache hit ratio",
        group=Group.CLIENTS,
        unit=Unit.RATIO,
        meaning="The share of answers that came from the applications' own caches, of all that those were asked for."
        " The second guide expected 60 to 80 % of repeated reads.",
        families=(CLIENTS,),
        value=_hits,
        goal=Goal(target=0.8, alert=0.6, below=False, source="the guide: cache hit rate"),
        lacks="no application's cache was asked for anything",
    ),
    Metric(
        name="client_pool_wait_ms",
        title="Wait for a connection, mean",
        group=Group.CLIENTS,
        unit=Unit.MILLISECONDS,
        meaning="For how long the applications have waited until their pool lent them a connection.",
        families=(CLIENTS,),
        value=_mean("pool_wait_seconds", "pool_acquires", 1000),
        lacks="no application's pool has lent a connection out",
    ),
    Metric(
        name="client_pool_timeouts",
        title="No connection in time",
        group=Group.CLIENTS,
        unit=Unit.COUNT,
        meaning="Times that an application has waited for a connection of its pool in vain.",
        families=(CLIENTS,),
        value=_sum("pool_timeouts"),
        adds_up=True,
        lacks="no application has told of its pool",
    ),
)
