"""`db.metrics()` for Prometheus, by the collector of its own client library (`pip install 'dbopt[prometheus]'`).

    from prometheus_client import REGISTRY
    from dbopt.client.prometheus import collector
    REGISTRY.register(collector(db))

Durations are histograms by operation; what is by table as well are plain counters, as each bucket is a series of its
own. A reset of the metrics looks like a restart of the process, which Prometheus expects of counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from dbopt.errors import UsageError
from dbopt.snapshot.durations import BOUNDS_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

    from dbopt.client.aio import AsyncDatabase
    from dbopt.client.database import Database
    from dbopt.client.meter import Histogram, Metrics, Queries

    Measured: TypeAlias = Database | AsyncDatabase


def collector(databases: Measured | Mapping[str, Measured]) -> Collector:
    """For a registry: of a Database or an AsyncDatabase, or of several by name, which becomes the label `database`.
    Raises UsageError where prometheus_client is not installed.
    """
    try:
        from prometheus_client.registry import Collector as Base
    except ImportError:
        raise UsageError(
            "prometheus_client is not installed", hint="Install it: pip install 'dbopt[prometheus]'"
        ) from None
    named = isinstance(databases, Mapping)
    every: Mapping[str, Measured] = databases if isinstance(databases, Mapping) else {"": databases}

    class DatabaseCollector(Base):
        def describe(self) -> Iterable[Metric]:
            """The names alone: nothing is asked for them."""
            return _families(named=named)

        def collect(self) -> Iterator[Metric]:
            families = {family.name: family for family in _families(named=named)}
            for name, database in every.items():
                _fill(families, database.metrics(), [name] if named else [])
            yield from families.values()

    return DatabaseCollector()


def _families(*, named: bool) -> list[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    own = ("database",) if named else ()
    by_table = (*own, "operation", "table")

    def counter(name: str, words: str, labels: Sequence[str] = own) -> Metric:
        return CounterMetricFamily(f"dbopt_client_{name}", words, labels=labels)

    def gauge(name: str, words: str, unit: str = "") -> Metric:
        return GaugeMetricFamily(f"dbopt_client_{name}", words, labels=own, unit=unit)

    def histogram(name: str, words: str, labels: Sequence[str]) -> Metric:
        return HistogramMetricFamily(f"dbopt_client_{name}", words, labels=labels, unit="seconds")

    return [
        counter("queries", "Statements that have ended, the failed ones included.", by_table),
        counter("query_errors", "Of them, those that have failed.", by_table),
        counter("slow_queries", "Of them, those above the threshold of this application.", by_table),
        counter("query_rows", "Rows that they gave back or wrote.", by_table),
        counter("query_time_seconds", "For how long they were waited for.", by_table),
        counter("errors", "Statements that have failed, by the class of SQLSTATE.", (*own, "sqlstate_class")),
        histogram("query_duration_seconds", "How long statements took, the way included.", (*own, "operation")),
        gauge("pool_size", "The most connections that the pool may have."),
        gauge("pool_open", "Those that are open."),
        gauge("pool_used", "Those that are lent out."),
        gauge("pool_waiting", "Callers that wait for one."),
        counter("pool_timeouts", "Times that a caller has waited in vain."),
        counter("pool_wait_seconds", "For how long callers have waited for others to give one back."),
        histogram("pool_acquire_duration_seconds", "How long it took to get a connection.", own),
        counter("cache_hits", "Answers that came from the cache."),
        counter("cache_misses", "Answers that it was asked for and did not have."),
        counter("cache_stale_hits", "Of the hits, those that were too old, while a new answer was made."),
        counter("cache_uncached", "Of the misses, answers that could not be kept."),
        counter("cache_errors", "Times that Redis, or the session that listens, has failed."),
        counter("cache_evictions", "Entries that it has dropped to make room."),
        gauge("cache_entries", "Entries that it holds."),
        gauge("cache_size_bytes", "What they take.", "bytes"),
    ]


def _fill(families: Mapping[str, Any], metrics: Metrics, own: Sequence[str]) -> None:
    def count(name: str, value: float, labels: Sequence[str] = own) -> None:
        families[f"dbopt_client_{name}"].add_metric(labels, value)

    def level(name: str, value: float) -> None:
        families[f"dbopt_client_{name}"].add_metric(own, value)

    def durations(name: str, histogram: Histogram, labels: Sequence[str]) -> None:
        families[f"dbopt_client_{name}"].add_metric(labels, _buckets(histogram), histogram.sum)

    for (operation, table), queries in metrics.by_operation_and_table.items():
        for name, value in _counts(queries):
            count(name, value, [*own, operation, table or ""])
    for kind, value in metrics.errors_by_class.items():
        count("errors", value, [*own, kind])
    for operation, queries in metrics.by_operation.items():
        durations("query_duration_seconds", queries.durations, [*own, operation])
    if (pool := metrics.pool) is not None:
        level("pool_size", pool.size)
        level("pool_open", pool.open)
        level("pool_used", pool.used)
        level("pool_waiting", pool.waiting)
        count("pool_timeouts", pool.timeouts)
        count("pool_wait_seconds", pool.wait_seconds)
        durations("pool_acquire_duration_seconds", pool.acquire, own)
    if (cache := metrics.cache) is not None:
        count("cache_hits", cache.hits)
        count("cache_misses", cache.misses)
        count("cache_stale_hits", cache.stale)
        count("cache_uncached", cache.uncached)
        count("cache_errors", cache.errors)
        if cache.entries is not None and cache.bytes is not None and cache.evictions is not None:  # not in Redis
            count("cache_evictions", cache.evictions)
            level("cache_entries", cache.entries)
            level("cache_size_bytes", cache.bytes)


def _counts(queries: Queries) -> Iterator[tuple[str, float]]:
    yield "queries", queries.count
    yield "query_errors", queries.errors
    yield "slow_queries", queries.slow
    yield "query_rows", queries.rows
    yield "query_time_seconds", queries.seconds


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """As Prometheus has them: how many took no longer than each."""
    bounds = [*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf"]
    return list(zip(bounds, accumulate(histogram.up_to(BOUNDS_MS)), strict=True))
