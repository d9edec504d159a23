"""The proof: a table of promises for people, and one document with everything that was measured."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from dbopt import __version__
from dbopt.demo.proof.promises import Unit
from dbopt.render.amounts import amount, number, percent
from dbopt.render.json import document
from dbopt.render.table import Column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dbopt.demo.proof.judge import Verdict
    from dbopt.demo.proof.values import Bill, Caching, Crowd, Evidence, Reading
    from dbopt.demo.walkthrough import Comparison
    from dbopt.stats.coverage import Coverage

COMMAND = "bench-apps"

COLUMNS = [
    Column(name="promise", title="Promise"),
    Column(name="app", title="Application"),
    Column(name="promised", title="Promised"),
    Column(name="measured", title="Measured", align="right"),
    Column(name="kept", title="Kept"),
    Column(name="note", title="Of what"),
]


def figure_text(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    match unit:
        case Unit.TIMES:
            return f"{value:.1f}x" if value < 10 else f"{value:,.0f}x"
        case Unit.RATIO:
            return percent(value) if value >= 0 else f"-{percent(-value)}"
        case Unit.MILLISECONDS:
            return f"{value:.3f} ms" if value < 1 else f"{value:.1f} ms"
        case Unit.PER_SECOND:
            return amount(round(value), unit)
    return number(value)


def limit_text(least: float | None, most: float | None, unit: str) -> str:
    if least is not None:
        return f"{figure_text(least, unit)} or more"
    return f"{figure_text(most, unit)} or less"


def kept_text(kept: bool | None) -> str:
    return {True: "yes", False: "no", None: "not measured"}[kept]


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    promise, figure = verdict.promise, verdict.figure
    return {
        "id": promise.id,
        "app": verdict.app,
        "promise": promise.words,
        "unit": promise.unit.value,
        "least": promise.least,
        "most": promise.most,
        "measured": figure.value,
        "note": figure.note,
        "kept": verdict.kept,
    }


def verdict_rows(verdicts: Sequence[dict[str, Any]]) -> list[list[object]]:
    """Of `verdict_document`s, for COLUMNS."""
    return [
        [
            one["promise"],
            one["app"],
            limit_text(one["least"], one["most"], one["unit"]),
            figure_text(one["measured"], one["unit"]),
            kept_text(one["kept"]),
            one["note"],
        ]
        for one in verdicts
    ]


def summary(verdicts: Sequence[dict[str, Any]]) -> str:
    kept = sum(one["kept"] is True for one in verdicts)
    missed = sum(one["kept"] is False for one in verdicts)
    unknown = len(verdicts) - kept - missed
    rest = f", {unknown} not measured" if unknown else ""
    return f"{kept} of {len(verdicts)} promises kept, {missed} missed{rest}."


def proof_document(
    found: Sequence[Evidence], verdicts: Sequence[Verdict], *, taken_at: datetime, seconds: float, load: float | None
) -> dict[str, Any]:
    """`load`: of the machine when it began, by its own account."""
    return document(
        COMMAND,
        taken_at=taken_at,
        seconds=seconds,
        machine={
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "load_before": load,
            "python": platform.python_version(),
            "dbopt": __version__,
        },
        promises=[verdict_document(verdict) for verdict in verdicts],
        apps=[evidence_document(evidence) for evidence in found],
    )


def evidence_document(evidence: Evidence) -> dict[str, Any]:
    before, after = evidence.coverage
    return {
        "app": evidence.app,
        "title": evidence.title,
        "rows": dict(evidence.rows),
        "settings": dict(evidence.settings),
        "applied": evidence.applied,
        "failed": evidence.failed,
        "paths": [path_document(pair) for pair in evidence.comparisons],
        "coverage": {"before": _coverage(before), "after": _coverage(after)},
        "users": {
            "before": [_crowd(crowd) for crowd in evidence.before],
            "after": [_crowd(crowd) for crowd in evidence.after],
        },
        "cache": _caching(evidence.caching),
    }


def path_document(pair: Comparison) -> dict[str, Any]:
    sides = {
        side: {
            "median_ms": one.milliseconds,
            "p95_ms": one.p95_milliseconds,
            "runs": one.runs,
            "buffers": one.buffers,
            "plan": one.plan_node,
            "rows": one.rows,
        }
        for side, one in (("before", pair.before), ("after", pair.after))
    }
    return {"path": pair.before.path.name, "times_faster": pair.factor, "same_plan": pair.same_plan, **sides}


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {
        share.name: {"ratio": share.ratio, "reason": share.reason} for share in (coverage.rows, coverage.foreign_keys)
    }


def _crowd(crowd: Crowd) -> dict[str, Any]:
    return {
        "users": crowd.users,
        "think_seconds": crowd.think_seconds,
        "cached": crowd.cached,
        "seconds": crowd.seconds,
        "asked": crowd.asked,
        "answered": crowd.answered,
        "per_second": crowd.per_second,
        "served": crowd.served,
        "p50_ms": crowd.p50_ms,
        "p95_ms": crowd.p95_ms,
        "errors": dict(crowd.errors),
        "connections": crowd.connections,
        "hit_ratio": crowd.hit_ratio,
    }


def _caching(caching: Caching) -> dict[str, Any]:
    return {
        "reads": caching.reads,
        "different": caching.different,
        "writes": caching.writes,
        "without": _reading(caching.without),
        "with_cache": _reading(caching.with_cache),
        "with_writes": _reading(caching.with_writes),
    }


def _reading(reading: Reading) -> dict[str, Any]:
    return {
        "seconds": reading.seconds,
        "hits": reading.hits,
        "misses": reading.misses,
        "hit_ratio": reading.hit_ratio,
        "cached_p50_ms": reading.cached_p50_ms,
        "cached_p95_ms": reading.cached_p95_ms,
        "other_p50_ms": reading.other_p50_ms,
        "other_p95_ms": reading.other_p95_ms,
        "server": None if reading.bill is None else _bill(reading.bill),
    }


def _bill(bill: Bill) -> dict[str, Any]:
    return {
        "statements": bill.statements,
        "exec_time_ms": bill.exec_time_ms,
        "buffers": bill.buffers,
        "cpu_seconds": bill.cpu_seconds,
    }
