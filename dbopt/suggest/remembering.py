"""What a call of `dbopt suggest` has promised, as it is kept for the review: promises(report) -> tuple[Promise, ...].

    cli/remembering.py    remember(session, target, server, report) -> None    after a spec was written; never raises
    store/suggestions.py  keep(kept, target_id, promises, *, target_name, promised_at) -> None

No values of anybody's data: statements stand in it by their ids, a partial index with its own constant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.suggest.model import Basis, Candidate, Key, WriteCost
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.suggest.model import Helped, Report, Suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedStatement:
    """What was said of one statement. Costs in the planner's units; `calls` and `mean_ms` of the window that was
    looked at, `mean_ms` None: nobody had measured it.
    """

    fingerprint: str | None
    queryids: tuple[int, ...]
    cost_before: float
    cost_after: float
    calls: float
    mean_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One suggestion. `benefit`: 0..1 of the workload's cost. `size_bytes` None: it could not be estimated."""

    schema: str
    table: str
    index: str
    candidate: Candidate
    size_bytes: int | None
    writes: WriteCost
    benefit: float
    basis: Basis
    statements: tuple[PromisedStatement, ...]


def promises(report: Report) -> tuple[Promise, ...]:
    """In the report's order."""
    return tuple(map(_promise, report.suggestions))


def _promise(suggestion: Suggestion) -> Promise:
    schema, table = suggestion.candidate.relation
    return Promise(
        schema=schema,
        table=table,
        index=suggestion.name,
        candidate=suggestion.candidate,
        size_bytes=None if suggestion.size is None else suggestion.size.size_bytes,
        writes=suggestion.writes,
        benefit=suggestion.benefit,
        basis=suggestion.basis,
        statements=tuple(map(_statement, suggestion.helped)),
    )


def _statement(helped: Helped) -> PromisedStatement:
    item = helped.item
    is_timed = item.time_ms is not None and item.calls > 0
    return PromisedStatement(
        fingerprint=item.fingerprint,
        queryids=item.queryids,
        cost_before=helped.before,
        cost_after=helped.after,
        calls=item.calls,
        mean_ms=item.time_ms / item.calls if is_timed and item.time_ms is not None else None,
    )


def content(promise: Promise) -> dict[str, Any]:
    """What of it is kept as one: plain values for JSON, ids as texts, as many parsers round 64-bit numbers."""
    candidate = promise.candidate
    return {
        "keys": [
            {
                "column": key.column,
                "expression": key.expression,
                "opclass": key.opclass,
                "descending": key.descending,
                "nulls_first": key.nulls_first,
            }
            for key in candidate.keys
        ],
        "include": list(candidate.include),
        "where": candidate.where,
        "method": candidate.method,
        "parameters": dict(candidate.parameters),
        "size_bytes": promise.size_bytes,
        "writes": {
            "entries": promise.writes.entries,
            "wal_bytes": promise.writes.wal_bytes,
            "lost_hot": promise.writes.lost_hot,
            "cost": promise.writes.cost,
        },
        "benefit": promise.benefit,
        "basis": str(promise.basis),
        "statements": [
            {
                "fingerprint": item.fingerprint,
                "queryids": [str(queryid) for queryid in item.queryids],
                "cost_before": item.cost_before,
                "cost_after": item.cost_after,
                "calls": item.calls,
                "mean_ms": item.mean_ms,
            }
            for item in promise.statements
        ],
    }


def from_content(schema: str, table: str, index: str, kept: Mapping[str, Any]) -> Promise:
    """Back again. Raises KeyError, TypeError or ValueError for what another dbopt has kept in another form."""
    return Promise(
        schema=schema,
        table=table,
        index=index,
        candidate=Candidate(
            relation=(schema, table),
            keys=tuple(Key(**key) for key in kept["keys"]),
            include=tuple(kept["include"]),
            where=kept["where"],
            method=kept["method"],
            parameters=tuple(kept["parameters"].items()),
        ),
        size_bytes=kept["size_bytes"],
        writes=WriteCost(**kept["writes"]),
        benefit=kept["benefit"],
        basis=Basis(kept["basis"]),
        statements=tuple(
            PromisedStatement(**{**item, "queryids": tuple(map(int, item["queryids"]))}) for item in kept["statements"]
        ),
    )
