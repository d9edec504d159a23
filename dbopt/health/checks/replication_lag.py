"""Standbys that are behind: what was committed on the primary cannot be read on them yet, and may be lost with it.

Seen from the primary (or from a standby that has standbys of its own): how long ago what a follower has just replayed
was written, as replay_lag of pg_stat_replication says, but nothing where all is replayed: on an idle primary the lag is
0. Seen from the standby: how long ago the last replayed transaction was committed, but only where WAL has been received
and not been replayed. recovery_min_apply_delay is not counted there; the primary cannot know of it, so leave a delayed
standby out with an ignore entry in dbopt.yaml.

Usual causes: a query on the standby with which replay conflicts (max_standby_streaming_delay), paused replay, a slow
network or disk, a burst of writes. A standby that is connected to nothing does not know how far behind it is: see
wal-receiver-stopped, and replication-slot on the primary.
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Limit, Status, Unit, above
from dbopt.health.replication import STANDBY, named, since_replay, wal_state
from dbopt.postgres.replication import FOLLOWERS, Follower
from dbopt.postgres.settings import SETTINGS, by_name
from dbopt.postgres.wal import WAL_STATE, WalState
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

# What the process that replays waits for when it has nothing to do.
_IDLE = {"RecoveryWalStream", "RecoveryRetrieveRetryInterval"}
# What it waits for while somebody holds it up. Reads and writes of files are work.
_HELD_UP = {
    "RecoveryPause": "replay is paused",
    "RecoveryConflictSnapshot": "waits for queries here that need rows deleted on the primary",
    "RecoveryConflictTablespace": "waits for queries here that use a dropped tablespace",
    "BufferPin": "waits for a query here that reads the page to be cleaned",
    "relation": "waits for a transaction here that has locked the relation",
}


@dataclass(frozen=True, slots=True)
class Lag:
    subject: str
    seconds: float
    detail: str
    grade: Status | None = None
    remedy: str | None = None
    gap: Gap | None = None


def _lags(followers: Sequence[Follower], scene: Scene) -> Iterator[Lag]:
    for name, follower in named(followers):
        lag = _of_follower(name, follower, scene)
        if lag is not None:
            yield lag
    if scene.server.in_recovery:
        yield _of_standby(wal_state(scene), scene)


def _of_follower(name: str, follower: Follower, scene: Scene) -> Lag | None:
    if follower.state is None:
        gap = Gap("the lag of others' sessions is hidden", scene.server.grant("pg_monitor"), blind=True)
        return Lag(name, 0.0, "", gap=gap)
    if follower.behind_bytes is None:
        return None  # it replays nothing: pg_receivewal, or a standby that has not reported yet
    behind = max(0, follower.behind_bytes)
    place = f"{follower.client or 'local'}, {follower.state}, {follower.sync_state}"
    if behind == 0:
        return Lag(name, 0.0, f"all replayed ({place})")
    seconds = follower.replay_lag_seconds
    if seconds is None:
        much = behind >= scene.limits["bytes"]
        detail = f"{format_bytes(behind)} behind, for how long is not known ({place})"
        return Lag(name, 0.0, detail, grade=Status.WARNING if much else None, remedy=_ASK)
    return Lag(name, seconds, f"{format_bytes(behind)} and {format_duration(seconds)} behind ({place})", remedy=_ASK)


def _of_standby(state: WalState, scene: Scene) -> Lag:
    behind, age = state.behind_bytes, since_replay(scene)
    if behind == 0 or state.startup_wait in _IDLE:
        if state.receiver_pid is None:
            gap = Gap(
                "no WAL comes from the primary, so how far ahead that is cannot be known;"
                f" the last replayed commit is {format_duration(age)} old"
            )
            return Lag(STANDBY, 0.0, "", gap=gap)
        return Lag(STANDBY, 0.0, "all that was received is replayed")
    delay = by_name(scene.rows(SETTINGS)).get("recovery_min_apply_delay")
    seconds = max(0.0, age - (delay.amount if delay else 0.0))
    held_up = _HELD_UP.get(state.startup_wait or "") or (_HELD_UP["RecoveryPause"] if state.replay_paused else None)
    if held_up is None and behind < scene.limits["working_bytes"]:
        # On its way, within moments. But the last commit may be long ago: the primary was idle, or runs one long
        # transaction. Who cannot see that replay works cannot tell that from a replay that is held up.
        if _is_harmless(seconds, scene) or scene.surroundings.reads_all_stats:
            return Lag(STANDBY, 0.0, f"{format_bytes(behind)} being replayed")
        gap = Gap("whether replay works or waits is hidden", scene.server.grant("pg_monitor"), blind=True)
        return Lag(STANDBY, 0.0, "", gap=gap)
    detail = f"{format_bytes(behind)} received and not replayed, last replayed commit {format_duration(age)} old"
    remedy = "SELECT pg_catalog.pg_wal_replay_resume();" if state.replay_paused else _CONFLICTS if held_up else None
    return Lag(STANDBY, seconds, f"{detail}; {held_up}" if held_up else detail, remedy=remedy)


def _is_harmless(seconds: float, scene: Scene) -> bool:
    """Even if this is how far behind it is, and not just how long ago the last commit was."""
    return not scene.thresholds.judge(seconds).is_problem


_ASK = "-- on that standby:\ndbopt health --group replication"
_CONFLICTS = (
    "SELECT pid, usename, xact_start, query FROM pg_catalog.pg_stat_activity\n"
    " WHERE backend_type = 'client backend' AND xact_start IS NOT NULL ORDER BY xact_start;\n"
    "-- then pg_catalog.pg_cancel_backend(pid) or pg_catalog.pg_terminate_backend(pid) of the one in the way"
)

CHECK: Check[Lag] = Check(
    id="replication-lag",
    title="Standbys behind their primary",
    group=Group.REPLICATION,
    query=FOLLOWERS,
    also=(WAL_STATE, SETTINGS),
    unit=Unit.SECONDS,
    thresholds=above(
        warning=30, critical=5 * 60, source="our own reasoning: reads that are half a minute old surprise their users"
    ),
    limits=(
        Limit(
            "bytes",
            1024**3,
            Unit.BYTES,
            "our own reasoning: behind by as much as the default of max_wal_size, where no time was measured yet",
        ),
        Limit(
            "working_bytes",
            16 * 1024**2,
            Unit.BYTES,
            "our own reasoning: a standby at work is less than one WAL segment behind",
        ),
    ),
    subject=lambda lag: lag.subject,
    measure=lambda lag: lag.seconds,
    detail=lambda lag: lag.detail,
    remedy=lambda lag: lag.remedy,
    grade=lambda lag: lag.grade,
    gap=lambda lag: lag.gap,
    rows=_lags,
    gauge=True,
)
