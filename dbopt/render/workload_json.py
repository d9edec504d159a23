"""Slow statements as a JSON document; docs/slow-queries.v1.json is its form, and keys are only ever added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.render import json
from dbopt.render.workload_records import counts
from dbopt.render.workload_words import plan
from dbopt.workload.model import Planned, Unplanned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.metrics.measurement import About
    from dbopt.workload.model import Advice, Counters, Flip, Shape, Span, Statement, Workload
    from dbopt.workload.statements import Sort

COMMAND = "slow-queries"


def document(found: Sequence[tuple[About, Workload]], *, several: bool, literals: bool, sort: Sort) -> dict[str, Any]:
    """One database: its statements. Several: `targets` with such a document each."""
    documents = [_workload(about, workload, literals, sort) for about, workload in found]
    if several or len(documents) != 1:
        return json.document(COMMAND, targets=documents)
    return json.document(COMMAND, **documents[0])


def _workload(about: About, workload: Workload, literals: bool, sort: Sort) -> dict[str, Any]:
    others = workload.others
    return {
        "target": target(about),
        "window": span(workload.span),
        "compared_with": None if workload.before is None else span(workload.before),
        "sort": sort,
        "slow_ms": workload.slow_ms,
        "literals": literals,
        "totals": _counters(workload.totals),
        "others": {
            "filtered": others.filtered,
            "quick": others.quick,
            "more": others.more,
            "utility": others.utility,
            "utility_time_ms": others.utility_time_ms,
            "own": others.own,
            "own_time_ms": others.own_time_ms,
            "textless": others.textless,
            "textless_time_ms": others.textless_time_ms,
            "unread": others.unread,
            "unread_time_ms": others.unread_time_ms,
        },
        "notes": workload.notes,
        "lacks": lacks(workload.lacks),
        "statements": [statement(item) for item in workload.statements],
    }


def target(about: About) -> dict[str, Any]:
    return {
        "name": about.name,
        "place": about.place,
        "dbname": about.dbname,
        "server_version": about.server_version,
        "system_identifier": about.system_identifier,
        "in_recovery": about.in_recovery,
        "role": about.role,
    }


def span(item: Span) -> dict[str, Any]:
    return {
        "from": item.from_at,
        "to": item.to_at,
        "source": item.source,
        "seconds": item.seconds,
        "breaks": item.breaks,
        "looks": item.looks,
        "place": item.place,
    }


def lacks(items: Sequence[tuple[str, str | None]]) -> list[dict[str, Any]]:
    return [{"reason": reason, "hint": hint} for reason, hint in items]


def statement(item: Statement) -> dict[str, Any]:
    before = item.before
    return {
        "queryid": None if item.queryid is None else str(item.queryid),
        "queryids": [str(queryid) for queryid in item.queryids],
        "fingerprint": item.fingerprint,
        "query": item.query,
        "kind": item.kind,
        "relations": item.relations,
        "users": item.users,
        "dbname": item.dbname,
        **_counters(item.counters),
        "share": item.share,
        "calls_share": item.calls_share,
        "seconds": item.seconds,
        "calls_per_second": item.calls_per_second,
        "max_exec_time_ms": item.max_exec_time_ms,
        "samples": item.samples,
        "sessions": item.sessions,
        "waits": [{"event": name, "samples": count} for name, count in item.waits],
        "before": None if before is None else {**_counters(before), "seconds": item.before_seconds},
        "factors": None
        if before is None
        else {
            "mean_exec_time": item.slower,
            "calls": item.more_frequent,
            "is_new": not before.calls and not before.total_exec_time_ms,
        },
        "plan_summary": _plan(item),
        "no_plan": _unplanned(item),
        "flips": [_flip(flip) for flip in item.flips],
        "findings": [finding(advice) for advice in item.advice],
    }


def _counters(counters: Counters) -> dict[str, Any]:
    return {
        **counts(counters),
        "mean_exec_time_ms": counters.mean_exec_time_ms,
        "stddev_exec_time_ms": counters.stddev_exec_time_ms,
        "rows_per_call": counters.rows_per_call,
        "io_time_ms": counters.io_time_ms,
        "hit_ratio": counters.hit_ratio,
    }


def _plan(item: Statement) -> dict[str, Any] | None:
    planned = item.planned
    if not isinstance(planned, Planned):
        return None
    return {
        "summary": plan(item),
        "query": planned.query,
        "planned_at": planned.planned_at,
        "parameter_types": planned.parameter_types,
        "search_path": planned.search_path,
        "is_analyzed": planned.is_analyzed,
    }


def _unplanned(item: Statement) -> dict[str, Any] | None:
    planned = item.planned
    if not isinstance(planned, Unplanned):
        return None
    return {"reason": planned.reason, "hint": planned.hint, "is_lasting": planned.is_lasting}


def _flip(flip: Flip) -> dict[str, Any]:
    return {"before": _shape(flip.before), "after": _shape(flip.after)}


def _shape(shape: Shape) -> dict[str, Any]:
    return {
        "digest": shape.digest,
        "summary": shape.summary,
        "first_at": shape.first_at,
        "last_at": shape.last_at,
    }


def finding(advice: Advice) -> dict[str, Any]:
    return {
        "code": advice.code,
        "message": advice.message,
        "why": advice.why,
        "hint": advice.hint,
        "spec": advice.spec,
        "nodes": advice.nodes,
    }
