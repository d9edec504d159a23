"""A standby that is to follow a primary, and is not connected to it.

With primary_conninfo set, a WAL receiver streams from the primary. Without one the standby falls behind by all that is
written there, and cannot tell by how much. The reason stands in the standby's log: the primary is down or does not let
it in, its slot is gone, or the WAL it needs has been removed there (then it has to be made anew). Measured is the age
of the last replayed commit, so that a primary that restarts is not critical at once.

A standby that restores from an archive only has no receiver, and is skipped.
https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Limit, NotJudged, Status, Unit, above
from dbopt.health.replication import ON_STANDBY, STANDBY, since_replay
from dbopt.postgres.settings import SETTINGS, by_name
from dbopt.postgres.wal import WAL_STATE, WalState
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Receiver:
    seconds: float
    detail: str
    grade: Status | None = None  # by the age of the last commit
    gap: Gap | None = None


def _receiver(rows: Sequence[WalState], scene: Scene) -> Iterator[Receiver]:
    (state,) = rows
    conninfo = by_name(scene.rows(SETTINGS)).get("primary_conninfo")
    if state.receiver_pid is not None and state.receiver_status is None:
        raise NotJudged("what the WAL receiver does is hidden", hint=scene.server.grant("pg_monitor"), blind=True)
    seconds = since_replay(scene)
    if state.receiver_status == "streaming":
        yield Receiver(0.0, "streaming", grade=Status.OK)
        return
    if conninfo is None and state.received_lsn is None:  # it never had one, and whether it should have is hidden
        raise NotJudged("primary_conninfo is hidden", hint=scene.server.grant("pg_monitor"), blind=True)
    if conninfo is not None and not conninfo.value:
        raise NotJudged("it restores from an archive: primary_conninfo is empty", status=Status.SKIPPED)
    up = (scene.surroundings.now - scene.surroundings.postmaster_started).total_seconds()
    gap = Gap(f"started {format_duration(up)} ago") if up < scene.limits["grace"] else None
    what = f"the WAL receiver is {state.receiver_status}" if state.receiver_status else "no WAL receiver runs"
    yield Receiver(seconds, f"{what}; the last commit replayed here is {format_duration(seconds)} old", gap=gap)


CHECK: Check[Receiver] = Check(
    id="wal-receiver-stopped",
    title="Standby without connection to its primary",
    group=Group.REPLICATION,
    query=WAL_STATE,
    also=(SETTINGS,),
    unit=Unit.SECONDS,
    thresholds=above(warning=0, critical=5 * 60, source="as for replication-lag, but by itself it will not end"),
    limits=(Limit("grace", 10, Unit.SECONDS, "our own reasoning: a standby that starts connects within seconds"),),
    subject=lambda _: STANDBY,
    measure=lambda receiver: receiver.seconds,
    detail=lambda receiver: receiver.detail,
    remedy=lambda _: (
        "SHOW primary_conninfo;  -- can the primary be reached there, and what does this server's log say?\n"
        "SELECT * FROM pg_catalog.pg_replication_slots;  -- on the primary: is the slot of primary_slot_name there?"
    ),
    grade=lambda receiver: receiver.grade,
    gap=lambda receiver: receiver.gap,
    rows=_receiver,
    needs=(ON_STANDBY,),
)
