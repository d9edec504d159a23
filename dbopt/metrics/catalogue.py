"""Every figure, by name. One module a group; this one puts them together, in the order in which they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics import (
    cache,
    checkpoints,
    clients,
    connections,
    io,
    latency,
    pool,
    replication,
    throughput,
    vacuum,
    wal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.metrics.metric import Metric

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for group in (connections, pool, throughput, latency, cache, io, wal, checkpoints, replication, vacuum, clients)
    for metric in group.METRICS
}
