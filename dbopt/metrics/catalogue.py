"""Every figure, by name. One module a group; this one puts them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics import cache, throughput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.metrics.metric import Metric

METRICS: Mapping[str, Metric] = {
    metric.name: metric for group in (throughput.METRICS, cache.METRICS) for metric in group
}
