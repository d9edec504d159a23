"""What the checks of replication share: which side of it they are for, and names for those who follow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dbopt.health.check import Need
from dbopt.postgres.wal import WAL_STATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.replication import Follower
    from dbopt.postgres.wal import WalState

ON_PRIMARY = Need(
    met=lambda scene: not scene.server.in_recovery, reason="this is a standby", hint=lambda _: "Ask its primary."
)
ON_STANDBY = Need(met=lambda scene: scene.server.in_recovery, reason="this is no standby", hint=lambda _: None)

STANDBY = "this standby"  # as the subject of what concerns the server itself


def wal_state(scene: Scene) -> WalState:
    (state,) = scene.rows(WAL_STATE)
    return state


def named(followers: Sequence[Follower]) -> Iterator[tuple[str, Follower]]:
    """Each with a name of its own: what it calls itself, and where it is where several call themselves alike."""
    by_application = Counter(follower.application_name for follower in followers)
    by_place = Counter((follower.application_name, follower.client) for follower in followers)
    for follower in followers:
        name = follower.application_name or "walsender"
        if by_application[follower.application_name] > 1:
            alone = follower.client is not None and by_place[follower.application_name, follower.client] == 1
            name += f"@{follower.client}" if alone else f" pid {follower.pid}"
        yield name, follower


def since_replay(scene: Scene) -> float:
    """Seconds since the last commit that this standby has replayed was made; since its start where there was none."""
    age = wal_state(scene).replayed_age
    if age is None:
        return (scene.surroundings.now - scene.surroundings.postmaster_started).total_seconds()
    return max(0.0, age)
