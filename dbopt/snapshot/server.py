"""The family SERVER: a row of SERVER_COUNTERS as one subject for each group that is reset by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family, Part, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.postgres.counters import Activity, ServerCounters

# What each group of the server's counters has, by the name of its subject.
SERVER_GROUPS: Mapping[str, tuple[str, ...]] = {
    "database": (
        "xact_commit",
        "xact_rollback",
        "blks_hit",
        "blks_read",
        "catalog_blks_hit",
        "catalog_blks_read",
        "tup_returned",
        "tup_fetched",
        "tup_inserted",
        "tup_updated",
        "tup_deleted",
        "conflicts",
        "temp_files",
        "temp_bytes",
        "deadlocks",
        "checksum_failures",
        "blk_read_time",
        "blk_write_time",
        "session_time",
        "active_time",
        "idle_in_transaction_time",
        "sessions",
        "sessions_abandoned",
        "sessions_fatal",
        "sessions_killed",
    ),
    "bgwriter": ("buffers_clean", "maxwritten_clean", "buffers_alloc"),
    "checkpointer": (
        "checkpoints_timed",
        "checkpoints_requested",
        "checkpoint_write_time",
        "checkpoint_sync_time",
        "buffers_checkpoint",
    ),
    "wal": ("wal_records", "wal_fpi", "wal_bytes", "wal_buffers_full"),
    "archiver": ("archived_count", "failed_count"),
}
SERVER_COUNTS = tuple(name for group in SERVER_GROUPS.values() for name in group)
SERVER_LEVELS = (
    "numbackends",
    "xid_age",
    "autovacuum_workers",
    "replicas",
    "replay_lag_bytes",
    "replay_lag_seconds",
    "slot_retained_bytes",
)


def server_part(row: ServerCounters, system_identifier: str | None, activity: Sequence[Activity] = ()) -> Part:
    """The family SERVER. `activity`, where it was asked for, adds how many sessions do what."""
    subjects = {}
    for group, names in SERVER_GROUPS.items():
        counts = tuple(getattr(row, name) if name in names else None for name in SERVER_COUNTS)
        subjects[group] = Subject(group, group, counts, since=getattr(row, f"{group}_since"))
    levels = {name: value for name in SERVER_LEVELS if (value := getattr(row, name)) is not None}
    return Part(
        family=Family.SERVER,
        taken_at=row.now,
        lineage=f"{system_identifier or ''}/{row.timeline or ''}",
        counts=SERVER_COUNTS,
        subjects=subjects,
        of_database=tuple(getattr(row, name) for name in SERVER_GROUPS["database"] if not name.startswith("catalog_")),
        since=row.database_since,
        remembers=row.remembers or None,
        database_oid=row.database_oid or None,
        machine=(row.bgwriter_since, row.checkpointer_since, row.wal_since, row.archiver_since),
        asked_at=time.time(),
        levels={**levels, **session_levels(activity)},
    )


def session_levels(activity: Sequence[Activity]) -> dict[str, float]:
    """All clients of the server; by state as far as this role may see it."""
    if not activity:
        return {}
    levels: dict[str, float] = {
        "connections": sum(row.sessions for row in activity),
        "connections_max": activity[0].sessions_max,
    }
    if all(row.state is not None for row in activity):
        levels |= {
            "connections_active": sum(row.sessions for row in activity if row.state == "active"),
            "connections_idle": sum(row.sessions for row in activity if row.state == "idle"),
            "connections_idle_in_transaction": sum(
                row.sessions for row in activity if (row.state or "").startswith("idle in transaction")
            ),
            "connections_waiting": sum(row.sessions for row in activity if row.waits_for_lock),
            "oldest_xact_seconds": max((row.oldest_xact_seconds or 0.0 for row in activity), default=0.0),
        }
    return levels
