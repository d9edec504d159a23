"""Indexes that nothing has scanned for as long as the server has counted.

Each costs space, WAL and time at every write. Zero scans say something only with the time over which they were
counted: right after a restore, a crash or a reset of the statistics every index looks unused. So a finding needs a
window of seven days, an index that was used and then no more a month (PostgreSQL 16 and newer tell when).
Never named: what is unique or backs a constraint, what begins with a column of a foreign key, replica identities,
clustered indexes, those on expressions (whose statistics serve the planner even so), parts of a partitioned index
alone, and one that does the work of a shorter index that is in use (see duplicate-index). Only the thousand largest are
looked at. The server does not tell when an index was made, unless track_commit_timestamp is on: think of what is new.
Scans on standbys are counted there. Targets of dbopt.yaml that are `replicas_of` this one are asked too, and an index
that one of them scans is in use; look at any other standby yourself before you drop anything.
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-INDEXES-VIEW
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Limit, Need, NotJudged, Status, Unit, presence
from dbopt.health.suggesting import remark
from dbopt.postgres.indexes import INDEX_SHAPES, UNSCANNED_INDEXES, UnscannedIndex
from dbopt.relations.redundancy import redundant
from dbopt.relations.unused import LAST_SCAN_SECONDS, MIN_SIZE_BYTES, WINDOW_SECONDS, idle_seconds
from dbopt.spec.fragment import absent
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Unused:
    index: UnscannedIndex
    seconds: float  # without a scan
    window_seconds: float  # that the limits ask for


def _rows(rows: Sequence[UnscannedIndex], scene: Scene) -> Iterator[Unused]:
    limits, now = scene.limits, scene.surroundings.now
    kept = {found.keeper.oid for found in redundant(scene.rows(INDEX_SHAPES)) if found.index.idx_scan > 0}
    large = [row for row in rows if row.size_bytes >= limits["min_size"] and row.oid not in kept]
    if not large:
        return
    if not scene.surroundings.tracks_counts:
        hint = "ALTER SYSTEM SET track_counts = on; SELECT pg_catalog.pg_reload_conf();"
        raise NotJudged("track_counts is off: scans are not counted", hint=hint, blind=True)
    known, window = scene.surroundings.stats_seconds, limits["window"]
    if known is None or known < window:
        number = "1 index has" if len(large) == 1 else f"{len(large)} indexes have"
        raise NotJudged(_too_young(number, known, scene, window))
    for row in large:
        seconds = idle_seconds(row, known, now, window_seconds=window, last_scan_seconds=limits["last_scan"])
        if seconds is not None:
            yield Unused(row, seconds, window if row.idx_scan == 0 else limits["last_scan"])


def _too_young(number: str, known: float | None, scene: Scene, window: float) -> str:
    if known is None:
        return f"{number} no scan, but since when scans are counted is not known"
    until = scene.surroundings.now + timedelta(seconds=window - known)
    return (
        f"{number} no scan, but scans are counted for {format_duration(known)} only,"
        f" and {format_duration(window)} are asked for: known from {until:%Y-%m-%d %H:%M %Z} on"
    )


def _detail(row: Unused) -> str:
    index = row.index
    size = format_bytes(index.size_bytes) + (" (estimated)" if index.is_estimated else "")
    since = format_duration(row.seconds)
    if index.idx_scan == 0:
        idle = f"no scan in the {since} since the statistics began"
    else:
        idle = f"last scanned {since} ago, {index.idx_scan:,} times in all"
    standbys = "; check replicas first: their scans are not seen here" if index.feeds_standbys else ""
    return f"{size} on {index.relation}, {idle}{standbys}"


def _remedy(row: Unused) -> str:
    if row.index.relkind == "I":
        return f"DROP INDEX {row.index.index};  -- locks the table and all of its partitions for an instant"
    more = remark(row.index.relation, "looks whether a statement needs it", "--drop")
    return f"DROP INDEX CONCURRENTLY {row.index.index};{more}"


def _fragment(row: Unused) -> Mapping[str, object] | None:
    index = row.index
    if index.relkind == "I":
        return None
    # optimize looks again before it drops
    guard = {"guard": {"unused_for": f"{row.window_seconds:.0f}s"}} if row.window_seconds >= 1 else {}
    why = "no scan" if index.idx_scan == 0 else "no scan any more"
    return absent(index.table_schema, index.table, index.name, f"{why} for {format_duration(row.seconds)}", **guard)


CHECK: Check[Unused] = Check(
    id="unused-index",
    title="Unused indexes",
    group=Group.INDEXES,
    query=UNSCANNED_INDEXES,
    also=(INDEX_SHAPES,),
    unit=Unit.BYTES,
    thresholds=presence(Status.WARNING, source="our own reasoning: it costs every write and serves nobody"),
    limits=(
        Limit("window", WINDOW_SECONDS, Unit.SECONDS, "our own reasoning: a week has one of everything weekly"),
        Limit("last_scan", LAST_SCAN_SECONDS, Unit.SECONDS, "our own reasoning: what was used may be used monthly"),
        Limit("min_size", MIN_SIZE_BYTES, Unit.BYTES, "our own reasoning: a smaller one is not worth the trouble"),
    ),
    needs=(
        Need(
            met=lambda scene: not scene.server.in_recovery,
            reason="a standby counts its own scans only",
            hint=lambda _: "Look at the primary, and there at what its standbys scan.",
        ),
    ),
    subject=lambda row: row.index.index,
    measure=lambda row: row.index.size_bytes,
    detail=_detail,
    remedy=_remedy,
    fragment=_fragment,
    rows=_rows,
)
