"""Suggestions as records: one an index that may be made or may go, raw numbers, nothing cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.identifiers import display
from dbopt.render.records import Column
from dbopt.render.sql import one_line
from dbopt.render.suggest_explain import outcome_of
from dbopt.render.suggest_plans import shown
from dbopt.render.suggest_words import drop_reason, table_of
from dbopt.suggest import reasons
from dbopt.workload.plan import summary

if TYPE_CHECKING:
    from dbopt.suggest.model import Costed, Drop, Report, Suggestion

COLUMNS = [
    Column(name=name)
    for name in (
        *("action", "index", "table", "definition", "benefit", "statements", "cost_before", "cost_after"),
        *("size_bytes", "build_seconds", "entries", "wal_bytes", "lost_hot", "risks", "basis", "queryids", "reason"),
    )
]
STATEMENT_COLUMNS = [
    Column(name=name)
    for name in (
        *("queryid", "calls", "total_exec_time_ms", "cost_before", "cost_after", "uses", "no_sort"),
        *("plan_before", "plan_after", "query", "queryids", "fingerprint", "origin"),
    )
]


def records(report: Report) -> list[tuple[object, ...]]:
    return [*map(_added, report.suggestions), *map(_dropped, report.drops)]


def _added(one: Suggestion) -> tuple[object, ...]:
    before, after = reasons.costs(one.helped)
    queryids = (str(queryid) for helped in reasons.ranked(one.helped) for queryid in helped.item.queryids)
    return (
        "add",
        one.name,
        table_of(one),
        reasons.definition(one.candidate),
        one.benefit,
        len(one.helped),
        before,
        after,
        None if one.size is None else one.size.size_bytes,
        None if one.size is None else one.size.build_seconds,
        one.writes.entries,
        one.writes.wal_bytes,
        one.writes.lost_hot,
        ",".join(one.risks) or None,
        one.basis,
        ",".join(dict.fromkeys(queryids)) or None,
        one.reason or None,
    )


def _dropped(one: Drop) -> tuple[object, ...]:
    given = {
        "action": "drop",
        "index": one.name,
        "table": display(one.schema, one.table),
        "size_bytes": one.size_bytes,
        "reason": drop_reason(one),
    }
    return tuple(given.get(column.name) for column in COLUMNS)


def statement_records(report: Report, suggestion: Suggestion) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for one in reasons.ranked(suggestion.helped):
        outcome, item = outcome_of(report, one), one.item
        found.append(
            (
                item.queryids[0] if item.queryids else None,
                item.calls,
                item.time_ms,
                one.before,
                one.after,
                one.uses,
                one.no_sort,
                None if outcome is None else _plan(outcome.before, report),
                None if outcome is None else _plan(outcome.after, report),
                one_line(item.shown),
                ",".join(map(str, item.queryids)) or None,
                item.fingerprint,
                item.origin,
            )
        )
    return found


def _plan(costed: Costed, report: Report) -> str | None:
    tree = shown(costed, report.suggestions)
    return None if tree is None else summary(tree)
