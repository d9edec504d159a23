"""How much of the pools before the database is in use.

A pool is whatever has these levels in its family: PgBouncer, read by `postgres/pgbouncer.py` into the family POOLER,
and the pools inside applications, which publish themselves as families `clients/<application>/<instance>`.

    pool_used            connections to the server that are lent out
    pool_size            the most that there may be
    pool_used_ratio      of a family of several pools, the use of the fullest one
    pool_waiting         clients that wait for one
    pool_wait_seconds    for how long the first of them has waited
    pool_open            connections to the server that are open, lent out or not
    pool_longest_held_seconds    for how long the one has been lent out that has been so the longest
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics import processes
from dbopt.metrics.metric import Goal, Group, Metric, Unit
from dbopt.snapshot.model import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.metrics.window import Window
    from dbopt.snapshot.model import Interval

POOLER = "pooler"  # the family of PgBouncer

_NONE = "no pool is known"


def pools(window: Window) -> Iterator[Interval]:
    for family, interval in window.intervals.items():
        if (family == POOLER or family.startswith(CLIENTS)) and "pool_used" in interval.levels:
            yield interval


def _sum(window: Window, name: str) -> float | None:
    pooler = window.intervals.get(POOLER)
    known = [
        None if pooler is None or name not in pooler.levels else pooler.levels[name].mean,
        processes.level(processes.processes(window), name),
    ]
    told = [level for level in known if level is not None]
    return sum(told) if told else None


def _use(window: Window) -> float | None:
    """Of the fullest: one pool that is full is not made good by another that is empty."""
    shares = []
    for pool in pools(window):
        fullest, size = (pool.levels.get(name) for name in ("pool_used_ratio", "pool_size"))
        if fullest is not None:
            shares.append(fullest.mean)
        elif size is not None and size.mean > 0:
            shares.append(pool.levels["pool_used"].mean / size.mean)
    return max(shares, default=None)


def _longest(window: Window, name: str) -> float | None:
    return max((pool.levels[name].greatest for pool in pools(window) if name in pool.levels), default=None)


METRICS = (
    Metric(
        name="pool_used_ratio",
        title="Pool use",
        group=Group.POOL,
        unit=Unit.RATIO,
        meaning="Connections that a pool has lent out, as a share of its size; of several pools the fullest one.",
        families=(POOLER, CLIENTS),
        value=_use,
        goal=Goal(target=0.8, alert=0.9, below=True, source="the guide: connection pool use"),
        lacks=_NONE,
    ),
    Metric(
        name="pool_connections",
        title="Lent out",
        group=Group.POOL,
        unit=Unit.COUNT,
        meaning="Connections that all pools have lent out.",
        families=(POOLER, CLIENTS),
        value=lambda window: _sum(window, "pool_used"),
        lacks=_NONE,
    ),
    Metric(
        name="pool_connections_open",
        title="Open",
        group=Group.POOL,
        unit=Unit.COUNT,
        meaning="Connections that the pools of applications have open, lent out or not.",
        families=(CLIENTS,),
        value=lambda window: _sum(window, "pool_open"),
        lacks="no application has told of its pool",
    ),
    Metric(
        name="pool_longest_held_seconds",
        title="Longest held",
        group=Group.POOL,
        unit=Unit.SECONDS,
        meaning="For how long an application had kept a connection of its pool, the worst of the looks.",
        families=(CLIENTS,),
        value=lambda window: _longest(window, "pool_longest_held_seconds"),
        lacks="no application has told of its pool",
    ),
    Metric(
        name="pool_waiting",
        title="Waiting for a connection",
        group=Group.POOL,
        unit=Unit.COUNT,
        meaning="Clients that wait until a pool has a connection for them.",
        families=(POOLER, CLIENTS),
        value=lambda window: _sum(window, "pool_waiting"),
        lacks=_NONE,
    ),
    Metric(
        name="pool_wait_seconds",
        title="Longest wait",
        group=Group.POOL,
        unit=Unit.SECONDS,
        meaning="How long the client that had waited longest for a connection had waited, the worst of the looks.",
        families=(POOLER, CLIENTS),
        value=lambda window: _longest(window, "pool_wait_seconds"),
        lacks=_NONE,
    ),
)
