"""Running applications, as their processes publish themselves to the store; what the checks on them have in common.

A pool or a cache is inside of a process: the server knows nothing of it. Who has ended, or was not heard of for half a
minute, is not among them (`dbopt/store/clients.py`), so that nothing here is about what is over.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from dbopt.health.check import Need
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from dbopt.health.scene import Scene
    from dbopt.snapshot.model import Interval, Part

# The guide alerts when a pool was too full "for 5 minutes".
WINDOW = timedelta(minutes=5)
WITHIN = f"within {WINDOW // timedelta(minutes=1)} minutes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One that runs. `now`: its last reading. `lately`: what it did within WINDOW; None: it has only begun."""

    application: str
    instance: str
    started_at: datetime
    now: Part
    lately: Interval | None

    def count(self, name: str) -> float | None:
        """What it has counted within WINDOW. None: it does not count that."""
        if self.lately is None or self.lately.seconds <= 0:
            return None
        key = next(iter(self.now.subjects))
        return self.lately.count(key, name)

    def level(self, name: str) -> tuple[float, int] | None:
        """The mean within WINDOW, and of how many looks."""
        level = None if self.lately is None else self.lately.levels.get(name)
        return None if level is None else (level.mean, level.samples)


NEEDS = (
    Need(
        met=lambda scene: scene.facts.applications is not None,
        reason="the store was not looked at, where applications publish their figures",
        hint=lambda _: "Name it with DBOPT_STORE_URL, or `store:` in dbopt.yaml, and leave --no-store out.",
    ),
    Need(
        met=lambda scene: bool(scene.facts.applications),
        reason="no running application publishes figures of its pool and cache",
        hint=lambda _: "Applications with dbopt.client do, where DBOPT_STORE_URL names this store.",
    ),
)


def by_application(scene: Scene) -> Iterator[tuple[str, Sequence[Process]]]:
    processes = sorted(scene.facts.applications or (), key=lambda process: (process.application, process.instance))
    for name, members in groupby(processes, key=lambda process: process.application):
        yield name, tuple(members)


def sums(processes: Sequence[Process], *names: str) -> tuple[float, ...] | None:
    """Over those that count all of it; None: none does."""
    counted = [[value for name in names if (value := process.count(name)) is not None] for process in processes]
    whole = [values for values in counted if len(values) == len(names)]
    return tuple(map(sum, zip(*whole, strict=True))) if whole else None


def in_processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"
