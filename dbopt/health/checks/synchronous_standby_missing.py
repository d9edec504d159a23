"""Fewer synchronous standbys than commits have to wait for.

With synchronous_standby_names, COMMIT returns when that many standbys have the transaction. While they are not there,
every COMMIT that writes waits, for ever, and its locks with it. Sessions with synchronous_commit = local or off do not
wait, so nothing is reported where that is the server's default. A standby that still catches up does not count yet.
https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, NotJudged, Status, Unit, presence
from dbopt.health.replication import ON_PRIMARY, wal_state
from dbopt.postgres.replication import FOLLOWERS, Follower
from dbopt.postgres.settings import SETTINGS, by_name
from dbopt.postgres.wal import WAL_STATE
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_WAITING = ("on", "remote_apply", "remote_write")  # values of synchronous_commit


@dataclass(frozen=True, slots=True)
class Missing:
    names: str  # synchronous_standby_names
    wanted: int
    present: int
    syncing: int | None  # sessions that wait


def wanted(names: str) -> int:
    """How many standbys a value of synchronous_standby_names makes a commit wait for."""
    if not names.strip():
        return 0
    counted = re.match(r"\s*(?:(?:FIRST|ANY)\s+)?(\d+)\s*\(", names, re.IGNORECASE)
    return int(counted[1]) if counted else 1


def _missing(followers: Sequence[Follower], scene: Scene) -> Iterator[Missing]:
    settings = by_name(scene.rows(SETTINGS))
    names, commit = settings["synchronous_standby_names"].value, settings["synchronous_commit"].value
    number = wanted(names)
    present = sum(follower.sync_state in ("sync", "quorum") for follower in followers)
    hidden = sum(follower.state is None for follower in followers)
    if present >= number or commit not in _WAITING:
        return
    if present + hidden >= number:
        raise NotJudged("which standbys are synchronous is hidden", hint=scene.server.grant("pg_monitor"), blind=True)
    yield Missing(names, number, present, wal_state(scene).syncing)


def _detail(missing: Missing) -> str:
    waiting = f", {missing.syncing} sessions wait in COMMIT" if missing.syncing else ""
    return f"{missing.present} of {missing.wanted} synchronous standbys{waiting}; the setting is {missing.names!r}"


CHECK: Check[Missing] = Check(
    id="synchronous-standby-missing",
    title="Commits wait for standbys that are not there",
    group=Group.REPLICATION,
    query=FOLLOWERS,
    also=(SETTINGS, WAL_STATE),
    unit=Unit.COUNT,
    thresholds=presence(
        Status.CRITICAL,
        source="https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION-HA",
    ),
    subject=lambda _: "synchronous_standby_names",
    measure=lambda missing: missing.wanted - missing.present,
    detail=_detail,
    remedy=lambda _: (
        "-- start the standby again; or, without the guarantee that it gave:\n"
        "ALTER SYSTEM SET synchronous_standby_names = '';\nSELECT pg_catalog.pg_reload_conf();"
    ),
    rows=_missing,
    needs=(ON_PRIMARY,),
)
