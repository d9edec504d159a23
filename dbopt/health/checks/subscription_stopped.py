"""Subscriptions of this database that apply no changes.

An enabled subscription has a worker; without one, or with one that fails again and again, the tables here fall behind
and the publisher keeps all WAL since. The reason stands in this server's log: the publisher cannot be reached, its slot
is gone, or a row here is in conflict with one that comes. Enabled without worker is critical. Disabled is a warning,
whether by an error (disable_on_error, 15+) or by hand: the slot on the publisher keeps WAL all the same. So is a worker
whose errors have grown since the last run (15+).
https://www.postgresql.org/docs/current/logical-replication-conflicts.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.health.check import Check, Gap, Group, Limit, NotJudged, Status, Unit, presence
from dbopt.health.deltas import Counters
from dbopt.health.replication import ON_PRIMARY
from dbopt.postgres.replication import SUBSCRIPTIONS, Subscription
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.deltas import Delta
    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Stopped:
    subscription: Subscription
    grade: Status
    errors: float  # since the last run, or in all
    detail: str
    gap: Gap | None = None


def _counters(rows: Sequence[Subscription]) -> Iterator[Counters]:
    for row in rows:
        if row.apply_errors is not None and row.sync_errors is not None:
            yield Counters(row.subname, None, {"errors": row.apply_errors + row.sync_errors})


def _stopped(rows: Sequence[Subscription], scene: Scene) -> Iterator[Stopped]:
    up = (scene.surroundings.now - scene.surroundings.postmaster_started).total_seconds()
    recent = _recent(rows, scene)
    for row in rows:
        total = (row.apply_errors or 0) + (row.sync_errors or 0)
        counted = f", {total} errors so far" if total else ""
        slot = f" (slot {row.slot_name} on the publisher)" if row.slot_name else ""
        if not row.enabled:
            why = "disabled, perhaps by an error" if row.disable_on_error else "disabled"
            yield Stopped(row, Status.WARNING, total, f"{why}{counted}{slot}")
        elif not row.working:
            gap = Gap(f"the server started {format_duration(up)} ago") if up < scene.limits["grace"] else None
            yield Stopped(row, Status.CRITICAL, total, f"enabled, but no worker applies changes{counted}{slot}", gap)
        elif row.subname in recent and recent[row.subname].values["errors"] > 0:
            window = recent[row.subname]
            errors = window.values["errors"]
            detail = f"{errors:.0f} errors within {format_duration(window.seconds)}{slot}"
            yield Stopped(row, Status.WARNING, errors, detail)


def _recent(rows: Sequence[Subscription], scene: Scene) -> dict[str, Delta]:
    try:
        return {found.subject: found for found in scene.deltas(_counters(rows))}
    except NotJudged:
        return {}  # no run before: whether the workers are there is seen without


def _remedy(stopped: Stopped) -> str:
    name = Identifier(stopped.subscription.subname).as_string()
    if not stopped.subscription.enabled:
        return (
            f"ALTER SUBSCRIPTION {name} ENABLE;  -- once the reason is gone: see this server's log\n"
            f"-- or, if it is no longer wanted: DROP SUBSCRIPTION {name};"
        )
    return (
        "-- this server's log says why; with the reason gone, or to stop it for now:\n"
        f"ALTER SUBSCRIPTION {name} DISABLE;"
    )


CHECK: Check[Stopped] = Check(
    id="subscription-stopped",
    title="Subscriptions that apply nothing",
    group=Group.REPLICATION,
    query=SUBSCRIPTIONS,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING, source="https://www.postgresql.org/docs/current/logical-replication-conflicts.html"
    ),
    limits=(Limit("grace", 10, Unit.SECONDS, "our own reasoning: workers start within seconds of the server"),),
    subject=lambda stopped: stopped.subscription.subname,
    measure=lambda stopped: stopped.errors,
    detail=lambda stopped: stopped.detail,
    remedy=_remedy,
    grade=lambda stopped: stopped.grade,
    gap=lambda stopped: stopped.gap,
    rows=_stopped,
    counters=_counters,
    needs=(ON_PRIMARY,),
)
