"""Replication slots that keep WAL for nobody, or have lost what they were to keep.

A slot keeps all WAL that its consumer has not confirmed. Without a consumer that grows until the disk is full, and the
server stops; or, with max_slot_wal_keep_size, until the slot is invalidated, and its consumer has to start anew.

    lost, or invalidated      critical: its consumer cannot go on, a standby or subscriber has to be made anew
    unreserved                warning: the next checkpoint may lose it, safe_wal_size says how far that is
    inactive                  warning: no consumer is connected, and more WAL is kept than one who reconnects leaves, or
                              (17+) nobody has come for an hour
    much WAL, though active   by the thresholds: the consumer does not confirm what it reads

A slot that keeps nothing yet is left in peace, as are copies of the primary's slots on a standby (17+).
https://www.postgresql.org/docs/current/view-pg-replication-slots.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Literal

from dbopt.health.check import Check, Group, Limit, Status, Unit, above
from dbopt.postgres.replication import SLOTS, Slot
from dbopt.postgres.settings import SETTINGS, by_name
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Kept:
    slot: Slot
    grade: Status | None
    is_unlimited: bool  # max_slot_wal_keep_size

    @property
    def retained_bytes(self) -> int:
        return max(0, self.slot.retained_bytes or 0)


def _kept(slots: Sequence[Slot], scene: Scene) -> Iterator[Kept]:
    keep = by_name(scene.rows(SETTINGS)).get("max_slot_wal_keep_size")
    for slot in slots:
        if not slot.synced:
            yield Kept(slot, _grade(slot, scene), keep is None or keep.amount < 0)


def _grade(slot: Slot, scene: Scene) -> Status | None:
    if slot.wal_status == "lost" or slot.invalidation_reason is not None:
        return Status.CRITICAL
    retained = slot.retained_bytes or 0
    if slot.wal_status == "unreserved":
        return _at_least_warning(retained, scene)
    if slot.active or slot.temporary or retained <= 0:
        return None
    long_since = slot.inactive_seconds is not None and slot.inactive_seconds >= scene.limits["inactive_for"]
    if retained >= scene.limits["inactive_bytes"] or long_since:
        return _at_least_warning(retained, scene)
    return None


def _at_least_warning(retained: int, scene: Scene) -> Status:
    by_size = scene.thresholds.judge(retained)
    return by_size if by_size.is_problem else Status.WARNING


def _detail(kept: Kept) -> str:
    slot = kept.slot
    words = [f"{slot.slot_type}{f' ({slot.plugin}, database {slot.database})' if slot.database else ''}"]
    if slot.active:
        words.append(f"used by pid {slot.active_pid}")
    elif slot.inactive_seconds is not None:
        words.append(f"inactive for {format_duration(slot.inactive_seconds)}")
    else:
        words.append("inactive")
    if slot.invalidation_reason is not None:
        words.append(f"invalidated: {slot.invalidation_reason}")
    if slot.wal_status in ("lost", "unreserved"):
        words.append(f"WAL {slot.wal_status}")
    if slot.retained_bytes is None:
        words.append("keeps no WAL")
    else:
        words.append(f"keeps {format_bytes(kept.retained_bytes)} of WAL")
    if slot.safe_wal_size is not None and slot.wal_status != "lost":
        words.append(f"{format_bytes(max(0, slot.safe_wal_size))} more may be written before it can be lost")
    elif kept.is_unlimited and slot.retained_bytes is not None:
        words.append("without limit")
    return ", ".join(words)


def _remedy(kept: Kept) -> str:
    name = Literal(kept.slot.slot_name).as_string()
    drop = f"SELECT pg_catalog.pg_drop_replication_slot({name});"
    if kept.slot.active:
        return (
            f"-- see why its consumer, pid {kept.slot.active_pid}, confirms nothing; or end it, and drop the slot:\n"
            + (f"SELECT pg_catalog.pg_terminate_backend({kept.slot.active_pid});\n{drop}")
        )
    if kept.slot.wal_status == "lost" or kept.slot.invalidation_reason is not None:
        return f"-- then set up anew what used it\n{drop}"
    limit = "\nALTER SYSTEM SET max_slot_wal_keep_size = '...';  -- so that no slot can fill the disk"
    return f"-- start its consumer again, or if there is none any more:\n{drop}{limit if kept.is_unlimited else ''}"


CHECK: Check[Kept] = Check(
    id="replication-slot",
    title="Replication slots without consumer, or lost",
    group=Group.REPLICATION,
    query=SLOTS,
    also=(SETTINGS,),
    unit=Unit.BYTES,
    thresholds=above(
        warning=10 * 1024**3,
        critical=50 * 1024**3,
        source="our own reasoning: ten and fifty times the default of max_wal_size",
    ),
    limits=(
        Limit(
            "inactive_bytes",
            16 * 1024**2,
            Unit.BYTES,
            "our own reasoning: a WAL segment, more than a consumer that just reconnects leaves",
        ),
        Limit("inactive_for", 3600, Unit.SECONDS, "our own reasoning: no consumer that still lives stays away so long"),
    ),
    subject=lambda kept: kept.slot.slot_name,
    measure=lambda kept: kept.retained_bytes,
    detail=_detail,
    remedy=_remedy,
    grade=lambda kept: kept.grade,
    rows=_kept,
    gauge=True,
)
