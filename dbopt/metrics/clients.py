"""What applications say of themselves, all their processes together: see `dbopt/store/clients.py`.

A process is a family `clients/APPLICATION/INSTANCE` with one subject. Its queries take longer than the server's
statements: on the way, in the pool's queue and in the driver. The use of its pool is in pool.py, with PgBouncer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics import processes
from dbopt.metrics.metric import Goal, Group, Metric, Unit
from dbopt.snapshot.model import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window

_NO_QUERIES = "no application has told of statements"
_NO_CACHE = "no application has told of its cache"
_NO_DURATIONS = "no application has told how long its statements took, one by one"


def _total(name: str) -> Callable[[Window], float | None]:
    return lambda window: processes.total(processes.processes(window), name)


def _level(name: str) -> Callable[[Window], float | None]:
    return lambda window: processes.level(processes.processes(window), name)


def _quotient(part: str, whole: str, unit: float = 1) -> Callable[[Window], float | None]:
    return lambda window: processes.quotient(processes.processes(window), part, whole, unit)


def _quantile(q: float) -> Callable[[Window], float | None]:
    return lambda window: processes.quantile_ms(processes.processes(window), q)


def _durations(percent: int) -> Metric:
    return Metric(
        name=f"client_query_p{percent}_ms",
        title=f"Query time, p{percent}",
        group=Group.CLIENTS,
        unit=Unit.MILLISECONDS,
        meaning=f"{'Half' if percent == 50 else f'{percent} %'} of the applications' statements took no longer, with"
        " the way there and back. Counted between powers of two, where durations are taken as even.",
        families=(CLIENTS,),
        value=_quantile(percent / 100),
        lacks=_NO_DURATIONS,
    )


METRICS = (
    Metric(
        name="client_queries_per_second",
        title="Queries",
        group=Group.CLIENTS,
        unit=Unit.PER_SECOND,
        meaning="Statements that the applications have sent and that have ended, those that failed included.",
        families=(CLIENTS,),
        value=lambda window: processes.rate(processes.processes(window), "queries"),
        lacks=_NO_QUERIES,
    ),
    Metric(
        name="client_query_ms",
        title="Query time, mean",
        group=Group.CLIENTS,
        unit=Unit.MILLISECONDS,
        meaning="For how long the applications have waited for a statement, with the way there and back.",
        families=(CLIENTS,),
        value=_quotient("query_seconds", "queries", 1000),
        goal=Goal(target=100, alert=500, below=True, source="the guide: average query time"),
        of=_total("queries"),
        of_what="queries",
        lacks=_NO_QUERIES,
    ),
    *(_durations(percent) for percent in (50, 95, 99)),
    Metric(
        name="client_slow_queries",
        title="Slow queries",
        group=Group.CLIENTS,
        unit=Unit.COUNT,
        meaning="Statements that took longer than the application's own threshold, SLOW_QUERY_THRESHOLD.",
        families=(CLIENTS,),
        value=_total("slow_queries"),
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
        value=_quotient("errors", "queries"),
        goal=Goal(target=0.001, alert=0.01, below=True, source="the guide: error rate; alert: our own choice"),
        of=_total("queries"),
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
        value=lambda window: processes.share(processes.processes(window), "cache_hits", "cache_misses"),
        goal=Goal(target=0.8, alert=0.6, below=False, source="the guide: cache hit rate"),
        lacks="no application's cache was asked for anything",
    ),
    Metric(
        name="client_cache_stale",
        title="Cached answers past their time",
        group=Group.CLIENTS,
        unit=Unit.COUNT,
        meaning="Answers of the applications' caches that were too old, and were given while new ones were made.",
        families=(CLIENTS,),
        value=_total("cache_stale"),
        adds_up=True,
        lacks=_NO_CACHE,
    ),
    Metric(
        name="client_cache_evictions",
        title="Answers dropped for room",
        group=Group.CLIENTS,
        unit=Unit.COUNT,
        meaning="Answers that the applications' caches have dropped to make room for others.",
        families=(CLIENTS,),
        value=_total("cache_evictions"),
        adds_up=True,
        lacks=_NO_CACHE,
    ),
    Metric(
        name="client_cache_entries",
        title="Cached answers",
        group=Group.CLIENTS,
        unit=Unit.COUNT,
        meaning="Answers in the caches of all applications together; the mean of the looks.",
        families=(CLIENTS,),
        value=_level("cache_entries"),
        lacks=_NO_CACHE,
    ),
    Metric(
        name="client_cache_bytes",
        title="Caches' size",
        group=Group.CLIENTS,
        unit=Unit.BYTES,
        meaning="What the caches of all applications take together; the mean of the looks.",
        families=(CLIENTS,),
        value=_level("cache_bytes"),
        lacks=_NO_CACHE,
    ),
    Metric(
        name="client_pool_wait_ms",
        title="Wait for a connection, mean",
        group=Group.CLIENTS,
        unit=Unit.MILLISECONDS,
        meaning="For how long the applications have waited until their pool lent them a connection.",
        families=(CLIENTS,),
        value=_quotient("pool_wait_seconds", "pool_acquires", 1000),
        lacks="no application's pool has lent a connection out",
    ),
    Metric(
        name="client_pool_timeouts",
        title="No connection in time",
        group=Group.CLIENTS,
        unit=Unit.COUNT,
        meaning="Times that an application has waited for a connection of its pool in vain.",
        families=(CLIENTS,),
        value=_total("pool_timeouts"),
        adds_up=True,
        lacks="no application has told of its pool",
    ),
)
