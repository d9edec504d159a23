"""Pools of connections inside of applications that are full, or that somebody has waited for in vain.

Each process of an application has a pool of its own, which the server cannot see: what is judged is what processes with
dbopt.client have published within the last five minutes, and of several the fullest, for one that is full is not made
good by another that is empty. Measured is the mean of the readings, some ten seconds apart, so that a moment at which
all connections were lent out is no problem yet. A caller who did not get a connection in time is one: a warning, and
critical from one in a hundred on.

Connections that are held for long are the usual cause: by slow statements, or by transactions that stay open while
something else is waited for. The remedy shows what the application's sessions do. Only then make the pool larger
(DB_MAX_CONNECTIONS), and only as far as the server has slots.
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import SQL, Literal

from dbopt.health.applications import NEEDS, WITHIN, by_application, in_processes, sums
from dbopt.health.check import Check, Gap, Group, Limit, NotJudged, Status, Unit, above
from dbopt.postgres.server import FACTS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.applications import Process
    from dbopt.health.scene import Scene

_GUIDE = "guide of Thrive-Send: pool use below 80 %, alert above 90 % for 5 minutes"
_SESSIONS = SQL(
    "SELECT pid, state, now() - xact_start AS xact_age, now() - state_change AS state_age, wait_event, query\n"
    "  FROM pg_catalog.pg_stat_activity WHERE application_name = {application} ORDER BY xact_start;"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """The fullest pool of an application."""

    application: str
    instance: str
    processes: int
    used: float
    size: float
    timeouts: float  # of all its pools
    status: Status
    gap: Gap | None

    @property
    def ratio(self) -> float:
        return self.used / self.size

    @property
    def detail(self) -> str:
        words = f"{self.used:.1f} of {self.size:.0f} connections lent out on average {WITHIN}"
        if self.processes > 1:
            words += f" by {self.instance}, the fullest of {in_processes(self.processes)}"
        if self.timeouts:
            callers = "1 caller" if self.timeouts == 1 else f"{self.timeouts:.0f} callers"
            words += f"; {callers} got none in time"
        return words


def _uses(_rows: Sequence[object], scene: Scene) -> Iterator[Use]:
    found = [use for name, processes in by_application(scene) for use in _fullest(name, processes, scene)]
    if not found:
        raise NotJudged("no application has told of its pool")
    yield from found


def _fullest(application: str, processes: Sequence[Process], scene: Scene) -> Iterator[Use]:
    """None where no process tells."""
    pools = []
    for process in processes:
        used, size = process.level("pool_used"), process.level("pool_size")
        if used is not None and size is not None and size[0] > 0:
            pools.append((used[0] / size[0], used[0], size[0], used[1], process.instance))
    if not pools:
        return
    acquired, timeouts = sums(processes, "pool_acquires", "pool_timeouts") or (0.0, 0.0)
    known = [pool for pool in pools if pool[3] >= scene.limits["min_looks"]]
    ratio, used_mean, size_mean, _, instance = max(known or pools)
    looks = max(pool[3] for pool in pools)
    yield Use(
        application=application,
        instance=instance,
        processes=len(processes),
        used=used_mean,
        size=size_mean,
        timeouts=timeouts,
        status=_status(scene, ratio if known else None, acquired, timeouts),
        gap=None if known or timeouts else Gap(f"too few readings for a mean: {looks} {WITHIN}"),
    )


def _status(scene: Scene, ratio: float | None, acquired: float, timeouts: float) -> Status:
    status = Status.OK if ratio is None else scene.thresholds.judge(ratio)
    if not timeouts:
        return status
    is_common = timeouts >= scene.limits["timeout_ratio"] * (acquired + timeouts)
    return max(status, Status.CRITICAL if is_common else Status.WARNING, key=lambda one: one.rank)


CHECK: Check[Use] = Check(
    id="client-pool-exhausted",
    title="Applications that run out of connections",
    group=Group.CLIENTS,
    query=FACTS,  # what is judged stands in the store; these have been answered already
    rows=_uses,
    unit=Unit.RATIO,
    thresholds=above(warning=0.8, critical=0.9, source=_GUIDE),
    limits=(
        Limit("min_looks", 6, Unit.COUNT, "our own reasoning: the readings of a minute; fewer are a moment"),
        Limit("timeout_ratio", 0.01, Unit.RATIO, "our own reasoning: callers in vain that make the pool an outage"),
    ),
    subject=lambda use: use.application,
    measure=lambda use: use.ratio,
    grade=lambda use: use.status,
    gap=lambda use: use.gap,
    detail=lambda use: use.detail,
    remedy=lambda use: _SESSIONS.format(application=Literal(use.application)).as_string(),
    needs=NEEDS,
    gauge=True,
)
