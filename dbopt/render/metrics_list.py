"""The figures that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.output import Format
from dbopt.render.records import Column, write_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.metrics.metric import Metric
    from dbopt.render.output import Output

_COLUMNS = [Column(name=name) for name in ("group", "name", "unit", "target", "alert", "meaning")]


def write_list(output: Output, metrics: Sequence[Metric]) -> None:
    rows = [
        (
            *(metric.group, metric.name, metric.unit),
            *((metric.goal.target, metric.goal.alert) if metric.goal is not None else (None, None)),
            metric.meaning,
        )
        for metric in metrics
    ]
    columns = [column for column in _COLUMNS if output.format is not Format.TABLE or column.name not in _GOALS]
    if output.format is Format.TABLE:
        rows = [(*row[:3], row[5]) for row in rows]
    write_records(output, "metrics", "metrics", columns, rows)


_GOALS = ("target", "alert")
