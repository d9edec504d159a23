"""How far standbys are behind, and what is kept for them."""

from __future__ import annotations

from dbopt.metrics.metric import Group, Metric, Unit
from dbopt.snapshot.model import Family

_NO_STANDBY = "no standby streams from here"


METRICS = (
    Metric(
        name="replicas",
        title="Standbys",
        group=Group.REPLICATION,
        unit=Unit.COUNT,
        meaning="Servers that stream from this one.",
        families=(Family.SERVER,),
        value=lambda window: window.level("replicas"),
        hidden=True,
    ),
    Metric(
        name="replay_lag_bytes",
        title="Replay lag",
        group=Group.REPLICATION,
        unit=Unit.BYTES,
        meaning="WAL that the standby furthest behind has not replayed, or that this standby has received and not"
        " replayed; the worst of the looks.",
        families=(Family.SERVER,),
        value=lambda window: window.greatest("replay_lag_bytes"),
        hidden=True,
        lacks=_NO_STANDBY,
    ),
    Metric(
        name="replay_lag_seconds",
        title="Replay lag in time",
        group=Group.REPLICATION,
        unit=Unit.SECONDS,
        meaning="How long ago what the standby has replayed last was written; 0 where it has replayed everything. The"
        " worst of the looks.",
        families=(Family.SERVER,),
        value=lambda window: window.greatest("replay_lag_seconds"),
        hidden=True,
        lacks=f"{_NO_STANDBY}, or nothing was written lately",
    ),
    Metric(
        name="slot_retained_bytes",
        title="WAL kept for slots",
        group=Group.REPLICATION,
        unit=Unit.BYTES,
        meaning="WAL that the server keeps for the replication slot furthest behind; the worst of the looks.",
        families=(Family.SERVER,),
        value=lambda window: window.greatest("slot_retained_bytes"),
        lacks="there is no replication slot",
    ),
)
