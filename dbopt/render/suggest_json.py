"""Suggestions as a JSON document; docs/suggest.v1.json is its form, and keys are only ever added.

Numbers are raw: bytes, milliseconds, shares from 0 to 1, costs in the planner's units for one call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.render import json
from dbopt.render.suggest_explain import after_words, outcome_of
from dbopt.render.suggest_plans import document as plan_document
from dbopt.render.suggest_plans import shown
from dbopt.render.suggest_words import nothing
from dbopt.render.workload_json import lacks, target
from dbopt.suggest import reasons
from dbopt.suggest.entries import absent, entry
from dbopt.suggest.extended_statements import create_statistics

if TYPE_CHECKING:
    from dbopt.metrics.measurement import About
    from dbopt.suggest.model import Candidate, Costed, Drop, Helped, Item, Key, Outcome, Report, Suggestion

COMMAND = "suggest"


def document(report: Report, *, about: About, window: str | None) -> dict[str, Any]:
    return json.document(
        COMMAND,
        **_head(report, about, window),
        suggestions=[suggestion(one, report) for one in report.suggestions],
        nothing=list(nothing(report)) if not report.suggestions else [],
        drops=[_drop(one) for one in report.drops],
        statistics=[
            {
                "schema": one.relation[0],
                "table": one.relation[1],
                "columns": one.columns,
                "kinds": one.kinds,
                "why": one.why,
                "statements": create_statistics(one),
            }
            for one in report.statistics
        ],
        statements=[_outcome(one) for one in report.outcomes],
        unread=[
            {**_item(one.item), "share": one.share, "reason": one.reason, "hint": one.hint} for one in report.unread
        ],
        notes=report.notes,
        lacks=lacks(report.lacks),
    )


def one_document(report: Report, one: Suggestion, *, about: About, window: str | None) -> dict[str, Any]:
    """Of --explain: the plans are as EXPLAIN (FORMAT JSON) has them, `?` for values, suggested names for indexes."""
    made = suggestion(one, report)
    made["statements"] = [_explained(helped, one, report) for helped in reasons.ranked(one.helped)]
    return json.document(COMMAND, **_head(report, about, window), suggestion=made)


def _head(report: Report, about: About, window: str | None) -> dict[str, Any]:
    known = [one.size.size_bytes for one in report.suggestions if one.size is not None]
    return {
        "target": target(about),
        "window": window,
        "basis": report.basis,
        "hypopg_version": report.hypopg_version,
        "complete": report.complete,
        "cost_after": reasons.cost_after(report),
        "size_bytes": sum(known) if len(known) == len(report.suggestions) else None,
        "heap_bytes": report.heap_bytes,
        "budget_bytes": report.budget_bytes,
        "explains": report.explains,
        "seconds": report.seconds,
    }


def suggestion(one: Suggestion, report: Report) -> dict[str, Any]:
    candidate = one.candidate
    return {
        "name": one.name,
        "schema": candidate.relation[0],
        "table": candidate.relation[1],
        **_definition(candidate),
        "definition": reasons.definition(candidate),
        "benefit": one.benefit,
        "size_bytes": None if one.size is None else one.size.size_bytes,
        "rows": None if one.size is None else one.size.rows,
        "build_seconds": None if one.size is None else one.size.build_seconds,
        "writes": {
            "entries": one.writes.entries,
            "wal_bytes": one.writes.wal_bytes,
            "lost_hot": one.writes.lost_hot,
            "cost": one.writes.cost,
        },
        "risks": list(one.risks),
        "basis": one.basis,
        "reason": one.reason,
        "spec": entry(one, report, None, one.name),
        "statements": [_helped(helped) for helped in reasons.ranked(one.helped)],
    }


def _definition(candidate: Candidate) -> dict[str, Any]:
    return {
        "method": candidate.method,
        "keys": [_key(key) for key in candidate.keys],
        "include": list(candidate.include),
        "where": candidate.where or None,
        "parameters": dict(candidate.parameters),
    }


def _key(key: Key) -> dict[str, Any]:
    return {
        "column": key.column or None,
        "expression": key.expression or None,
        "opclass": key.opclass or None,
        "descending": key.descending,
        "nulls_first": key.nulls_first,
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "number": item.number,
        "queryids": [str(queryid) for queryid in item.queryids],
        "fingerprint": item.fingerprint,
        "query": item.shown,
        "origin": item.origin,
        "calls": item.calls,
        "total_exec_time_ms": item.time_ms,
    }


def _helped(one: Helped) -> dict[str, Any]:
    return {
        **_item(one.item),
        "cost_before": one.before,
        "cost_after": one.after,
        "uses": one.uses,
        "no_sort": one.no_sort,
    }


def _explained(one: Helped, of: Suggestion, report: Report) -> dict[str, Any]:
    outcome = outcome_of(report, one)
    return {
        **_helped(one),
        "plan_before": None if outcome is None else _plan(outcome.before, report),
        "plan_after": None if outcome is None else _plan(outcome.after, report),
        "remark": after_words(of, one, outcome),
    }


def _plan(costed: Costed, report: Report) -> dict[str, Any] | None:
    tree = shown(costed, report.suggestions)
    return None if tree is None else plan_document(tree)


def _drop(one: Drop) -> dict[str, Any]:
    return {
        "schema": one.schema,
        "table": one.table,
        "name": one.name,
        "evidence": one.evidence,
        "detail": one.detail,
        "size_bytes": one.size_bytes,
        "proved": one.proved,
        "how": one.how or None,
        "spec": absent(one, None),
    }


def _outcome(one: Outcome) -> dict[str, Any]:
    """Every statement that was analyzed, helped or not."""
    return {
        **_item(one.subject.item),
        "share": one.subject.weight,
        "cost_before": one.before.cost,
        "cost_after": one.after.cost,
        "planner_cost_before": one.before.planner_cost,
        "planner_cost_after": one.after.planner_cost,
    }
