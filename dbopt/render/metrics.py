"""Figures in each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import json
from dbopt.render.output import Format
from dbopt.render.records import Column, write_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.metrics.measurement import Measurement
    from dbopt.render.output import Output


_RECORD = [
    Column(name=name)
    for name in (
        *("group", "name", "subject", "value", "unit", "status", "goal", "alert", "before", "reason", "target"),
        *("from_at", "to_at"),
    )
]


def write_measurements(
    output: Output,
    measurements: Sequence[Measurement],
    *,
    trends: Mapping[str, Mapping[str, str]] | None = None,
    event: bool = False,
) -> None:
    """`trends`: by label of the target and name of the figure, for people. `event`: JSON on one line."""
    match output.format:
        case Format.TABLE:
            from dbopt.render.metrics_table import write_table

            write_table(output.out, measurements, trends or {})
        case Format.JSON:
            from dbopt.render.metrics_json import document

            (json.write_event if event else json.write_document)(output.out, document(measurements))
        case Format.PROMETHEUS:
            from dbopt.render.metrics_prometheus import exposition

            output.out.write(exposition(measurements))
        case _:
            write_data(output, _RECORD, list(_records(measurements)))
    if output.format not in (Format.TABLE, Format.JSON):
        for measurement in measurements:
            for note in measurement.notes:
                output.note(f"note: {measurement.about.label}: {note}")


def _records(measurements: Sequence[Measurement]) -> Iterator[tuple[object, ...]]:
    """Figures, then what they are made of, with a subject. A database that could not be read has one record."""
    for measurement in measurements:
        label, span = measurement.about.label, measurement.span
        whose = (label, span.from_at, span.to_at) if span is not None else (label, None, None)
        if measurement.error is not None:
            reason = ": ".join(filter(None, (measurement.error.message, measurement.error.detail)))
            yield (*(None,) * 5, "error", None, None, None, reason, *whose)
        for figure in measurement.figures:
            metric, goal = figure.metric, figure.metric.goal
            yield (
                *(metric.group, metric.name, None, figure.value, metric.unit, figure.standing),
                *((goal.target, goal.alert) if goal is not None else (None, None)),
                *(figure.before, figure.reason, *whose),
            )
        for found in measurement.breakdowns:
            for row in found.rows:
                for measure, value in zip(found.measures, row.values, strict=True):
                    name = f"{found.name}.{measure.name}"
                    yield (found.group, name, row.subject, value, measure.unit, *(None,) * 4, row.text, *whose)
