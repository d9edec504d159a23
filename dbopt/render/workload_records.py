"""Slow statements as records: one a statement, raw numbers, nothing cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.records import Column
from dbopt.render.sql import one_line
from dbopt.render.workload_words import plan, why_unplanned
from dbopt.workload.model import COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.metrics.measurement import About
    from dbopt.workload.model import Counters, Span, Statement, Workload

COLUMNS = [
    Column(name=name)
    for name in (
        *("queryid", "total_exec_time_ms", "calls", "mean_exec_time_ms", "share", "findings", "query"),
        *("fingerprint", "kind", "relations", "users", "dbname", "calls_per_second", "stddev_exec_time_ms"),
        *("max_exec_time_ms", "rows_per_call", "hit_ratio", "io_time_ms"),
        *(name for name in COUNTS if name not in ("calls", "total_exec_time_ms", "sum_squares_ms2")),
        *(
            "samples",
            "sessions",
            "waits",
            "plan",
            "no_plan",
            "plan_changed_at",
            "before_calls",
            "before_mean_exec_time_ms",
        ),
        *("slower", "more_frequent", "queryids", "seconds", "target", "from_at", "to_at", "source"),
    )
]


def records(found: Sequence[tuple[About, Workload]]) -> list[tuple[object, ...]]:
    return [record(statement, about, workload.span) for about, workload in found for statement in workload.statements]


def record(statement: Statement, about: About, span: Span) -> tuple[object, ...]:
    counters, before, unplanned = statement.counters, statement.before, why_unplanned(statement)
    values = {
        **counts(counters),
        "queryid": statement.queryid,
        "mean_exec_time_ms": counters.mean_exec_time_ms,
        "share": statement.share,
        "findings": _joined(dict.fromkeys(item.code for item in statement.advice)),
        "query": None if statement.query is None else one_line(statement.query),
        "fingerprint": statement.fingerprint,
        "kind": statement.kind,
        "relations": _joined(statement.relations),
        "users": _joined(statement.users),
        "dbname": statement.dbname,
        "calls_per_second": statement.calls_per_second,
        "stddev_exec_time_ms": counters.stddev_exec_time_ms,
        "max_exec_time_ms": statement.max_exec_time_ms,
        "rows_per_call": counters.rows_per_call,
        "hit_ratio": counters.hit_ratio,
        "io_time_ms": counters.io_time_ms,
        "samples": statement.samples,
        "sessions": statement.sessions,
        "waits": _joined(f"{name}={count}" for name, count in statement.waits),
        "plan": plan(statement),
        "no_plan": None if unplanned is None else unplanned.reason,
        "plan_changed_at": statement.flips[0].after.first_at if statement.flips else None,
        "before_calls": None if before is None else counts(before)["calls"],
        "before_mean_exec_time_ms": None if before is None else before.mean_exec_time_ms,
        "slower": statement.slower,
        "more_frequent": statement.more_frequent,
        "queryids": _joined(statement.queryids),
        "seconds": statement.seconds,
        "target": about.label,
        "from_at": span.from_at,
        "to_at": span.to_at,
        "source": span.source,
    }
    return tuple(values[column.name] for column in COLUMNS)


def _joined(items: Iterable[object]) -> str | None:
    return ",".join(map(str, items)) or None


def counts(counters: Counters) -> dict[str, float | int | None]:
    """Counters are floats once they were added up; what counts things has no fraction where it need not."""
    values = {name: getattr(counters, name) for name in COUNTS if name != "sum_squares_ms2"}
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() and not name.endswith("_ms") else value
        for name, value in values.items()
    }
