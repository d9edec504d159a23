"""Applications one by one: what each has done in the window, and how it stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from dbopt.metrics import processes
from dbopt.metrics.breakdown import Breakdown, Measure, Row, by_size
from dbopt.metrics.metric import Group, Unit
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dbopt.metrics.processes import Processes
    from dbopt.metrics.window import Window
    from dbopt.snapshot.model import Part


@dataclass(frozen=True, slots=True)
class Application:
    """`did`: in the window, its ended processes too. `running`: the last reading of each process that runs."""

    did: Processes
    running: Sequence[Part]

    def stands(self, name: str) -> float | None:
        """A level in all processes that run and tell of it."""
        told = [part.levels[name] for part in self.running if name in part.levels]
        return sum(told) if told else None


_Value: TypeAlias = Callable[[Application], float | None]


def breakdowns(window: Window, lately: Mapping[str, Part]) -> Iterator[Breakdown]:
    """`lately`: the last reading of each process that runs, by family."""
    did = processes.processes(window)
    found = {
        name: Application(
            processes.of_application(did, name),
            [part for family, part in lately.items() if processes.application(family) == name],
        )
        for name in sorted({processes.application(family) for family in (*did, *lately)})
    }
    for name, title, measures in _BREAKDOWNS:
        rows = [Row(name, tuple(value(one) for _, value in measures)) for name, one in found.items()]
        told = [row for row in rows if any(value is not None for value in row.values)]
        if told:
            yield Breakdown(
                name=name,
                title=title,
                group=Group.CLIENTS,
                subject="application",
                measures=tuple(measure for measure, _ in measures),
                rows=by_size(told),
            )


def _stands(name: str) -> _Value:
    return lambda one: one.stands(name)


def _done(name: str) -> _Value:
    return lambda one: processes.total(one.did, name)


# Three, so that none is wider than a screen.
_BREAKDOWNS: Sequence[tuple[str, str, Sequence[tuple[Measure, _Value]]]] = (
    (
        "applications",
        "Applications",
        (
            (Measure("queries_per_second", "queries", Unit.PER_SECOND), lambda one: processes.rate(one.did, "queries")),
            (
                Measure("query_ms", "mean", Unit.MILLISECONDS),
                lambda one: processes.quotient(one.did, "query_seconds", "queries", 1000),
            ),
            (Measure("query_p95_ms", "p95", Unit.MILLISECONDS), lambda one: processes.quantile_ms(one.did, 0.95)),
            (Measure("slow_queries", "slow", Unit.COUNT), _done("slow_queries")),
            (Measure("errors", "errors", Unit.COUNT), _done("errors")),
            (Measure("processes", "processes", Unit.COUNT), lambda one: float(len(one.running))),
        ),
    ),
    (
        "application_pools",
        "Pools of applications",
        (
            (Measure("used", "lent out", Unit.COUNT), _stands("pool_used")),
            (Measure("size", "size", Unit.COUNT), _stands("pool_size")),
            (Measure("open", "open", Unit.COUNT), _stands("pool_open")),
            (Measure("waiting", "waiting", Unit.COUNT), _stands("pool_waiting")),
            (
                Measure("wait_ms", "mean wait", Unit.MILLISECONDS),
                lambda one: processes.quotient(one.did, "pool_wait_seconds", "pool_acquires", 1000),
            ),
            (Measure("timeouts", "in vain", Unit.COUNT), _done("pool_timeouts")),
        ),
    ),
    (
        "application_caches",
        "Caches of applications",
        (
            (
                Measure("hit_ratio", "hits", Unit.RATIO),
                lambda one: processes.share(one.did, "cache_hits", "cache_misses"),
            ),
            (Measure("entries", "entries", Unit.COUNT), _stands("cache_entries")),
            (Measure("bytes", "size", Unit.BYTES), _stands("cache_bytes")),
            (Measure("evictions", "dropped", Unit.COUNT), _done("cache_evictions")),
        ),
    ),
)
