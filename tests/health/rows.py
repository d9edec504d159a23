"""Rows and scenes made up, for what is judged without a server."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dbopt.health.scene import Facts
from dbopt.postgres.counters import ServerCounters
from dbopt.postgres.server import Server
from dbopt.postgres.settings import Setting
from dbopt.postgres.surroundings import Surroundings
from dbopt.postgres.wal import WalState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.postgres.query import Query

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MB = 1024**2


def facts(rows: Mapping[Query[Any], Sequence[Any]], *, in_recovery: bool = False, **surroundings: Any) -> Facts:
    """What a superuser sees on a server that has run for nine days."""
    around: dict[str, Any] = {field.name: None for field in dataclasses.fields(Surroundings)}
    around |= {"now": NOW, "postmaster_started": NOW - timedelta(days=9), "is_superuser": True}
    around |= {"reads_all_stats": True, "reads_all_settings": True, **surroundings}
    server = Server(180000, "app", "18", "7", in_recovery, "somebody", True)
    return Facts(server, Surroundings(**around), rows)


def setting(name: str, value: str, unit: str | None = None, **changes: Any) -> Setting:
    return dataclasses.replace(Setting(name, value, unit, "default", "sighup", False, [], []), **changes)


def wal(**changes: Any) -> WalState:
    """A primary that archives nothing and has made no checkpoint."""
    state: dict[str, Any] = {field.name: None for field in dataclasses.fields(WalState)}
    state |= {"replay_paused": False, "archiver_failing": False, "checkpoints_timed": 0, "checkpoints_requested": 0}
    return WalState(**{**state, "wal_bytes": 0.0, **changes})


def counters(**changes: Any) -> ServerCounters:
    """An hour after everything was started anew, with nothing counted that is not named."""
    state: dict[str, Any] = {field.name: 0 for field in dataclasses.fields(ServerCounters)}
    state |= {name: NOW - timedelta(hours=1) for name in state if name.endswith("_since")}
    return ServerCounters(**{**state, "now": NOW, "datname": "app", **changes})
