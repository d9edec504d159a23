"""One statement in depth as a JSON document; `plan` is what PostgreSQL said, as it said it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.render import json, workload_json
from dbopt.workload.model import Planned

if TYPE_CHECKING:
    from dbopt.metrics.measurement import About
    from dbopt.workload.detail import Detail
    from dbopt.workload.finding import Relation


def document(about: About, detail: Detail, *, literals: bool) -> dict[str, Any]:
    planned = detail.statement.planned
    return json.document(
        workload_json.COMMAND,
        target=workload_json.target(about),
        window=workload_json.span(detail.span),
        compared_with=None if detail.before is None else workload_json.span(detail.before),
        slow_ms=detail.slow_ms,
        literals=literals,
        statement=workload_json.statement(detail.statement),
        plan=list(planned.documents) if isinstance(planned, Planned) else None,
        relations=[_relation(item) for item in detail.relations],
        trend=[
            {
                "from": point.from_at,
                "to": point.to_at,
                "calls_per_second": point.calls_per_second,
                "mean_exec_time_ms": point.mean_ms,
            }
            for point in detail.trend
        ],
        notes=detail.notes,
        lacks=workload_json.lacks(detail.lacks),
    )


def _relation(item: Relation) -> dict[str, Any]:
    return {
        "schema": item.schema,
        "name": item.name,
        "relkind": item.relkind,
        "rows": None if item.rows is None else round(item.rows),
        "size_bytes": item.size_bytes,
        "indexes": [
            {
                "name": index.name,
                "method": index.method,
                "keys": [key.column or key.expression for key in index.keys],
                "include": index.include,
                "where": index.predicate,
                "is_unique": index.is_unique,
                "is_valid": index.is_valid,
            }
            for index in item.indexes
        ],
    }
