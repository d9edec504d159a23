"""How long statements take, as far as pg_stat_statements tells: means are exact, quantiles are estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Goal, Group, Metric, Unit
from dbopt.metrics.quantiles import Share, quantile
from dbopt.metrics.throughput import toplevel
from dbopt.snapshot.model import Family
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbopt.metrics.window import Window

_NO_CALLS = "no statement ended"
_ESTIMATED = (
    " Estimated: each statement's calls are taken as a log-normal distribution with their mean and standard deviation."
)


@dataclass(frozen=True, slots=True)
class Calls:
    """What one statement did: a user's, as in pg_stat_statements."""

    queryid: str
    calls: float
    total_exec_time_ms: float
    sum_squares_ms2: float
    rows: float

    @property
    def mean_ms(self) -> float:
        return self.total_exec_time_ms / self.calls

    @property
    def variance_ms2(self) -> float:
        """Never negative, whatever a long subtraction has left of it."""
        return max(0.0, self.sum_squares_ms2 / self.calls - self.mean_ms**2)


def calls(window: Window) -> Iterator[Calls]:
    """Of the statements that clients sent; what functions run is part of the statement that called them."""
    names = ("calls", "total_exec_time_ms", "sum_squares_ms2", "rows")
    for change, amounts in window.changes(Family.STATEMENTS, *names):
        if toplevel(change.key) and amounts[0] > 0:
            yield Calls(change.name, *amounts)


def slow(window: Window) -> list[Calls]:
    """Those whose mean is over the threshold, the ones that cost most first. One queryid once, whoever ran it."""
    together: dict[str, Calls] = {}
    for item in calls(window):
        other = together.get(item.queryid)
        together[item.queryid] = (
            item
            if other is None
            else Calls(
                item.queryid,
                item.calls + other.calls,
                item.total_exec_time_ms + other.total_exec_time_ms,
                item.sum_squares_ms2 + other.sum_squares_ms2,
                item.rows + other.rows,
            )
        )
    found = [item for item in together.values() if item.mean_ms > window.slow_ms]
    return sorted(found, key=lambda item: (-item.total_exec_time_ms, item.queryid))


def _mean(window: Window) -> float | None:
    found = list(calls(window))
    number = sum(item.calls for item in found)
    return sum(item.total_exec_time_ms for item in found) / number if number > 0 else None


def _quantile(share: float) -> Callable[[Window], float | None]:
    return lambda window: quantile(
        [Share(item.calls, item.mean_ms, item.variance_ms2) for item in calls(window)], share
    )


def _watched(window: Window, value: float) -> float | None:
    return value if window.counts(Family.STATEMENTS, "calls") else None


def _number(window: Window) -> float | None:
    return _watched(window, sum(item.calls for item in calls(window)))


def _over(window: Window) -> str:
    return f"over {window.slow_ms:g} ms on average"


def _metric(
    name: str,
    title: str,
    meaning: str,
    value: Callable[[Window], float | None],
    goal: Goal | None = None,
    unit: Unit = Unit.MILLISECONDS,
    *,
    adds_up: bool = False,
) -> Metric:
    return Metric(
        name=name,
        title=title,
        group=Group.LATENCY,
        unit=unit,
        meaning=meaning,
        families=(Family.STATEMENTS,),
        value=value,
        goal=goal,
        adds_up=adds_up,
        of=None if unit is Unit.COUNT else _number,
        of_what="calls",
        remark=_over if unit is Unit.COUNT else None,
        lacks=_NO_CALLS,
    )


METRICS = (
    _metric(
        "statement_time_mean_ms",
        "Mean time of a statement",
        "How long a statement of this database took on average, without the way to the client and back.",
        _mean,
        Goal(target=100, alert=500, below=True, source="the guide: average query time"),
    ),
    _metric(
        "statement_time_p50_ms",
        "Median, estimated",
        "Half of all calls took no longer." + _ESTIMATED,
        _quantile(0.5),
    ),
    _metric(
        "statement_time_p95_ms",
        "95 %, estimated",
        "95 % of all calls took no longer." + _ESTIMATED,
        _quantile(0.95),
    ),
    _metric(
        "statement_time_p99_ms",
        "99 %, estimated",
        "99 % of all calls took no longer." + _ESTIMATED,
        _quantile(0.99),
    ),
    _metric(
        "slow_statements",
        "Slow statements",
        "Statements whose calls took longer on average than slow_queries.threshold (SLOW_QUERY_THRESHOLD), 500 ms.",
        lambda window: _watched(window, len(slow(window))),
        unit=Unit.COUNT,
    ),
    _metric(
        "slow_statement_calls",
        "Calls of slow statements",
        "How often statements were called whose calls took longer on average than slow_queries.threshold.",
        lambda window: _watched(window, sum(item.calls for item in slow(window))),
        unit=Unit.COUNT,
        adds_up=True,
    ),
)
