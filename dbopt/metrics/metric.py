"""The form of a figure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window


class Unit(StrEnum):
    COUNT = "count"
    RATIO = "ratio"  # 0 to 1
    BYTES = "bytes"
    SECONDS = "seconds"
    MILLISECONDS = "ms"
    PER_SECOND = "per second"
    BYTES_PER_SECOND = "bytes per second"


class Group(StrEnum):
    CONNECTIONS = "connections"
    POOL = "pool"
    THROUGHPUT = "throughput"
    LATENCY = "latency"
    CACHE = "cache"
    IO = "io"
    WAL = "wal"
    CHECKPOINTS = "checkpoints"
    REPLICATION = "replication"
    VACUUM = "vacuum"
    CLIENTS = "clients"


class Standing(StrEnum):
    """Where a figure stands against its goal."""

    OK = "ok"
    ABOVE = "above target"
    BELOW = "below target"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Goal:
    """What the figure should be, and where somebody should look. `below`: less is better."""

    target: float
    alert: float
    below: bool
    source: str

    def standing(self, value: float) -> Standing:
        """What is at the target has not reached it; what is at the alert value is no alert yet."""
        if self.below:
            return Standing.OK if value < self.target else Standing.ALERT if value > self.alert else Standing.ABOVE
        return Standing.OK if value > self.target else Standing.ALERT if value < self.alert else Standing.BELOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`value` is pure and gives None where there is no data. `families` are those that it reads.

    A family that ends with a slash stands for all that begin so. `adds_up`: an amount of the whole window, which a
    longer one has more of. `of`: of how many, where that tells what the figure is worth, and `least`: of fewer it is
    not held against its goal. `lacks` says why there is no value although its families were read. `hidden`: only
    pg_read_all_stats sees it.
    """

    name: str  # snake case, as people type it: cache_hit_ratio
    title: str
    group: Group
    unit: Unit
    meaning: str  # a sentence or two, for `--help`, docs and Prometheus
    families: tuple[str, ...]
    value: Callable[[Window], float | None]
    goal: Goal | None = None
    adds_up: bool = False
    of: Callable[[Window], float | None] | None = None
    of_what: str = ""  # blocks, calls
    least: float = 0
    remark: Callable[[Window], str | None] | None = None  # for people, beside the value
    lacks: str | Callable[[Window], str] | None = None
    hidden: bool = False

    def reads(self, family: str) -> bool:
        return any(family.startswith(own) if own.endswith("/") else family == own for own in self.families)
