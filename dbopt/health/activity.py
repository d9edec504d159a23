"""What happened in each database of the server lately: the counters of pg_stat_database over a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Gap
from dbopt.health.deltas import Counters
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.databases import DatabaseState

# That nothing happened since counters were reset says something from then on. Our own choice: what matters in a busy
# database happens within a minute.
_YOUNG_SECONDS = 60.0
_OLD = Gap(
    "the counters have run for too long to speak of the present",
    "Run dbopt health again: it judges what happened since this run.",
)


@dataclass(frozen=True, slots=True)
class Activity:
    """`values` by the counters' names."""

    datname: str
    seconds: float
    values: Mapping[str, float]
    gap: Gap | None = None

    @property
    def window(self) -> str:
        return f"within {format_duration(self.seconds)}"


def counters(rows: Sequence[DatabaseState], *names: str) -> Iterator[Counters]:
    """Of the databases that can be connected to."""
    for row in rows:
        if row.datname is not None and row.allows_connections:
            yield Counters(row.datname, row.stats_since, {name: getattr(row, name) for name in names})


def lately(
    rows: Sequence[DatabaseState], scene: Scene, measure: Callable[[Activity], float], *names: str
) -> Iterator[Activity]:
    """Each database's window, or why there is none. A problem is one in a window of any length."""
    now = scene.surroundings.now
    for item in counters(rows, *names):
        found = scene.delta(item)
        if found is None:
            yield Activity(item.subject, 0.0, {}, _OLD)
            continue
        activity = Activity(item.subject, found.seconds, found.values)
        age = None if item.since is None else (now - item.since).total_seconds()
        problem = scene.thresholds.judge(measure(activity)).is_problem
        if age is not None and age < _YOUNG_SECONDS and not problem:
            reason = f"the counters were reset only {format_duration(round(age))} ago"
            activity = Activity(item.subject, found.seconds, found.values, Gap(reason, "Run dbopt health again."))
        yield activity
