"""What `db.metrics()` gives: values, with nothing in them of anybody's rows."""

from __future__ import annotations

from dataclasses import field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbopt.client.meter.histogram import Histogram
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.client.cache import CacheFigures
    from dbopt.client.connections.pool import PoolFigures


@dataclass(frozen=True, slots=True)
class Queries:
    """Some statements together: how many have ended, failed ones included, and how long the application waited for
    them, the way there and back included. Times are None where there were none.
    """

    count: int
    errors: int
    slow: int
    rows: int  # given back or written, as far as the server tells
    durations: Histogram = field(repr=False, compare=False)

    @property
    def seconds(self) -> float:
        return self.durations.sum

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.count if self.count else None

    @property
    def mean_ms(self) -> float | None:
        return self.durations.sum * 1000 / self.count if self.count else None

    @property
    def max_ms(self) -> float | None:
        return self.durations.max * 1000 if self.count else None

    @property
    def p50_ms(self) -> float | None:
        return self._quantile_ms(0.5)

    @property
    def p95_ms(self) -> float | None:
        return self._quantile_ms(0.95)

    @property
    def p99_ms(self) -> float | None:
        return self._quantile_ms(0.99)

    def as_dict(self) -> dict[str, Any]:
        names = ("mean_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms")
        counts = {name: getattr(self, name) for name in ("count", "errors", "slow", "rows", "seconds")}
        return counts | {name: getattr(self, name) for name in names}

    def _quantile_ms(self, q: float) -> float | None:
        seconds = self.durations.quantile(q)
        return None if seconds is None else seconds * 1000


@dataclass(frozen=True, slots=True)
class Slow:
    """A statement that took longer than the threshold, without its values: how often, and when the last time."""

    text: str
    operation: str
    table: str | None
    count: int
    seconds: float
    max_ms: float
    last_at: datetime

    @property
    def mean_ms(self) -> float:
        return self.seconds * 1000 / self.count


@dataclass(frozen=True, slots=True)
class Recent:
    """One statement that has ended. `error`: its SQLSTATE, or what stands for that (meter.ERRORS); None: it did not
    fail.
    """

    at: datetime
    operation: str
    table: str | None
    duration_ms: float
    rows: int | None  # None: not told
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What this process has done with its database since `since`: its start, its fork, or the last reset."""

    since: datetime
    taken_at: datetime
    total: Queries
    by_operation: Mapping[str, Queries]
    by_table: Mapping[str, Queries]  # the main table of each; statements without one are not in it
    by_operation_and_table: Mapping[tuple[str, str | None], Queries]
    errors_by_class: Mapping[str, int]  # the first two characters of SQLSTATE, or what stands for them
    slow_threshold_ms: float
    slow: tuple[Slow, ...]  # the slowest first
    recent: tuple[Recent, ...]  # the last one first
    pool: PoolFigures | None
    cache: CacheFigures | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: times in ISO 8601, operation and table as a list of objects."""
        return {
            "since": self.since.isoformat(),
            "taken_at": self.taken_at.isoformat(),
            "total": self.total.as_dict(),
            "by_operation": {name: one.as_dict() for name, one in self.by_operation.items()},
            "by_table": {name: one.as_dict() for name, one in self.by_table.items()},
            "by_operation_and_table": [
                {"operation": operation, "table": table, **one.as_dict()}
                for (operation, table), one in self.by_operation_and_table.items()
            ],
            "errors_by_class": dict(self.errors_by_class),
            "slow_threshold_ms": self.slow_threshold_ms,
            "slow": [_plain(one) | {"mean_ms": one.mean_ms} for one in self.slow],
            "recent": [_plain(one) for one in self.recent],
            "pool": None if self.pool is None else _plain(self.pool),
            "cache": None if self.cache is None else _plain(self.cache),
        }


def _plain(value: Any) -> dict[str, Any]:
    """Its fields; a histogram as what the application's own statements have."""
    made: dict[str, Any] = {}
    for name in (one.name for one in fields(value)):
        found = getattr(value, name)
        if isinstance(found, Histogram):
            quantiles = {f"{name}_p{q}_ms": found.quantile(q / 100) for q in (50, 95, 99)}
            made |= {name: None if seconds is None else seconds * 1000 for name, seconds in quantiles.items()}
        else:
            made[name] = found.isoformat() if isinstance(found, datetime) else found
    return made
