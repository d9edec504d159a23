"""A standby whose replay somebody has paused.

pg_wal_replay_pause() stops replay until pg_wal_replay_resume(), or the next start. WAL still comes in and piles up in
the standby's pg_wal, queries there read older and older data, and a promotion has to wait for all of it. Recovery that
has reached its target pauses too (recovery_target_action): resuming ends it there. Measured is the age of the last
replayed commit where there is WAL to replay, else 0.
https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Unit, above
from dbopt.health.replication import ON_STANDBY, STANDBY, since_replay
from dbopt.postgres.wal import WAL_STATE, WalState
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float
    behind_bytes: int


def _pauses(rows: Sequence[WalState], scene: Scene) -> Iterator[Pause]:
    for state in rows:
        if state.replay_paused:
            yield Pause(since_replay(scene) if state.behind_bytes else 0.0, state.behind_bytes)


def _detail(pause: Pause) -> str:
    if not pause.behind_bytes:
        return "replay is paused; nothing waits to be replayed yet"
    waiting = f"{format_bytes(pause.behind_bytes)} of WAL waits"
    return f"replay is paused; {waiting}, the last replayed commit is {format_duration(pause.seconds)} old"


CHECK: Check[Pause] = Check(
    id="replay-paused",
    title="Standby with paused replay",
    group=Group.REPLICATION,
    query=WAL_STATE,
    unit=Unit.SECONDS,
    thresholds=above(warning=0, critical=5 * 60, source="as for replication-lag, but by itself it will not end"),
    subject=lambda _: STANDBY,
    measure=lambda pause: pause.seconds,
    detail=_detail,
    remedy=lambda _: "SELECT pg_catalog.pg_wal_replay_resume();",
    rows=_pauses,
    needs=(ON_STANDBY,),
)
