"""The form of a figure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window
    from dbopt.snapshot.model import Family


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


@dataclass(frozen=True, slots=True)
class Goal:
    """What the figure should be, and where somebody should look. `below`: less is better."""

    target: float
    alert: float
    below: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`value` is pure and gives None where there is no data. `families` are those that it reads."""

    name: str  # snake case, as people type it: cache_hit_ratio
    title: str
    group: Group
    unit: Unit
    meaning: str  # a sentence or two, for `--help`, docs and Prometheus
    families: tuple[Family, ...]
    value: Callable[[Window], float | None]
    goal: Goal | None = None
