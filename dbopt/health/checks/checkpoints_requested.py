"""Checkpoints that come because max_wal_size is full, not because checkpoint_timeout is over.

A checkpoint writes all changed pages, and after it the first change of each page writes the whole page to WAL again. So
checkpoints that follow each other quickly make for more writes and more WAL, which fills max_wal_size sooner. The cure
is a larger max_wal_size; what it costs is disk space, and time for recovery after a crash.

Reported where, within the window shown, so many were requested: the larger part of all in a window of an hour or more,
or one after the other faster than checkpoint_warning. Only if enough WAL was written for max_wal_size to be the cause:
CHECKPOINT, base backups and CREATE DATABASE request checkpoints too.
https://www.postgresql.org/docs/current/wal-configuration.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Limit, Unit, above
from dbopt.health.deltas import Counters
from dbopt.health.replication import ON_PRIMARY
from dbopt.postgres.settings import SETTINGS, by_name
from dbopt.postgres.wal import WAL_STATE, WalState
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

# WAL between two checkpoints is at least half of max_wal_size, if that is why they come: it is divided by one plus
# checkpoint_completion_target, which is at most 1. And as many again may have been asked for by hand.
_PART_MIN = 0.25
_MAX_WAL_SIZE_STEP = 1024**3


@dataclass(frozen=True, slots=True)
class Checkpoints:
    requested: float
    timed: float
    seconds: float
    wal_bytes: float
    max_wal_size: float
    share: float
    gap: Gap | None = None


def _counters(rows: Sequence[WalState]) -> Iterator[Counters]:
    for row in rows:
        yield Counters(
            "server",
            row.checkpoints_since,
            {"requested": row.checkpoints_requested, "timed": row.checkpoints_timed, "wal_bytes": row.wal_bytes},
        )


def _checkpoints(rows: Sequence[WalState], scene: Scene) -> Iterator[Checkpoints]:
    settings = by_name(scene.rows(SETTINGS))
    size, quick = settings["max_wal_size"].amount, settings["checkpoint_warning"].amount or scene.limits["interval"]
    for found in scene.deltas(_counters(rows)):
        requested, timed, wal_bytes = (found.values[name] for name in ("requested", "timed", "wal_bytes"))
        by_size = requested >= max(1, scene.limits["min_requested"]) and wal_bytes >= requested * size * _PART_MIN
        too_quick = by_size and found.seconds / requested <= quick
        gap = None
        if not too_quick and found.seconds < scene.limits["window"]:
            gap = Gap(
                f"{requested:.0f} of {requested + timed:.0f} checkpoints were requested within"
                f" {format_duration(found.seconds)}, too few or too short a time"
            )
        share = requested / (requested + timed) if by_size else 0.0
        yield Checkpoints(requested, timed, found.seconds, wal_bytes, size, 1.0 if too_quick else share, gap)


def _detail(found: Checkpoints) -> str:
    every = f", one every {format_duration(found.seconds / found.requested)}" if found.requested else ""
    return (
        f"{found.requested:.0f} of {found.requested + found.timed:.0f} checkpoints were requested within"
        f" {format_duration(found.seconds)}{every}; {format_bytes(found.wal_bytes)} of WAL written,"
        f" max_wal_size is {format_bytes(found.max_wal_size)}"
    )


def _remedy(found: Checkpoints) -> str:
    """Room for the WAL of a checkpoint_timeout would be enough; by steps, as disk space has to be there."""
    size = max(2 * found.max_wal_size, _MAX_WAL_SIZE_STEP)
    return (
        f"ALTER SYSTEM SET max_wal_size = '{format_bytes(size)}';  -- with that much room for pg_wal\n"
        "SELECT pg_catalog.pg_reload_conf();"
    )


CHECK: Check[Checkpoints] = Check(
    id="checkpoints-requested",
    title="Checkpoints forced by max_wal_size",
    group=Group.CHECKPOINTS,
    query=WAL_STATE,
    also=(SETTINGS,),
    unit=Unit.RATIO,
    thresholds=above(
        warning=0.5,
        critical=None,
        source="our own reasoning: checkpoint_timeout shall be the rule, max_wal_size the exception",
    ),
    limits=(
        Limit("min_requested", 10, Unit.COUNT, "our own reasoning: loading a table requests some, and is over then"),
        Limit("window", 3600, Unit.SECONDS, "our own reasoning: twelve times the default of checkpoint_timeout"),
        Limit("interval", 30, Unit.SECONDS, "the default of checkpoint_warning, for where that is off"),
    ),
    subject=lambda _: "max_wal_size",
    measure=lambda found: found.share,
    detail=_detail,
    remedy=_remedy,
    gap=lambda found: found.gap,
    rows=_checkpoints,
    counters=_counters,
    needs=(ON_PRIMARY,),
)
