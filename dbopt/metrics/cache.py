"""How much of what is read PostgreSQL finds in its own memory."""

from __future__ import annotations

from dbopt.metrics.metric import Goal, Group, Metric, Unit
from dbopt.metrics.window import Window
from dbopt.snapshot.model import Family


def _hits(window: Window) -> float | None:
    hit = window.sum(Family.SERVER, "blks_hit", "database")
    return window.ratio(hit, window.sum(Family.SERVER, "blks_read", "database"))


METRICS = (
    Metric(
        name="cache_hit_ratio",
        title="Buffer hit ratio",
        group=Group.CACHE,
        unit=Unit.RATIO,
        meaning="The share of blocks that were found in shared_buffers, of all that this database wanted.",
        families=(Family.SERVER,),
        value=_hits,
        goal=Goal(target=0.8, alert=0.6, below=False, source="the guides of both applications: cache hit rate"),
    ),
)
