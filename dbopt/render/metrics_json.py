"""Figures as a JSON document; keys are only ever added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.render import json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.metrics.breakdown import Breakdown
    from dbopt.metrics.figures import Figure
    from dbopt.metrics.measurement import Measurement, Span


def document(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """One database: its figures. Several: `targets` with such a document each."""
    if len(measurements) == 1:
        return json.document("metrics", **_measurement(measurements[0]))
    return json.document("metrics", targets=[_measurement(measurement) for measurement in measurements])


def _measurement(measurement: Measurement) -> dict[str, Any]:
    about, error = measurement.about, measurement.error
    return {
        "target": {
            "name": about.name,
            "place": about.place,
            "dbname": about.dbname,
            "server_version": about.server_version,
            "system_identifier": about.system_identifier,
            "in_recovery": about.in_recovery,
            "role": about.role,
        },
        "error": None if error is None else {"message": error.message, "detail": error.detail, "hint": error.hint},
        "window": _span(measurement.span),
        "compared_with": _span(measurement.before),
        "notes": measurement.notes,
        "metrics": [_figure(figure) for figure in measurement.figures],
        "breakdowns": {found.name: _breakdown(found) for found in measurement.breakdowns},
    }


def _span(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    return {
        "from_at": span.from_at,
        "to_at": span.to_at,
        "seconds": span.seconds,
        "basis": span.basis,
        "breaks": span.breaks,
        "watched_seconds": span.shorter,
    }


def _figure(figure: Figure) -> dict[str, Any]:
    metric, goal = figure.metric, figure.metric.goal
    return {
        "name": metric.name,
        "group": metric.group,
        "title": metric.title,
        "value": figure.value,
        "unit": metric.unit,
        "target": None if goal is None else goal.target,
        "alert": None if goal is None else goal.alert,
        "goal_source": None if goal is None else goal.source,
        "status": figure.standing,
        "remark": figure.remark,
        "before": figure.before,
        "change": figure.change,
        "reason": figure.reason,
        "hint": figure.hint,
    }


def _breakdown(found: Breakdown) -> list[dict[str, Any]]:
    return [
        {
            found.subject: row.subject,
            **dict(zip((measure.name for measure in found.measures), row.values, strict=True)),
            **({"query": row.text} if found.subject == "queryid" else {}),
        }
        for row in found.rows
    ]
