"""Verdicts as a JSON document; docs/health.schema.json is its form, and keys are only ever added."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dbopt.health.verdict import exit_code, overall
from dbopt.render import json
from dbopt.render.tree import tree_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.health.check import Finding, Result, Thresholds
    from dbopt.health.verdict import About, Verdict


def document(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """One database: its verdict. Several: the worst status, and `targets` with a verdict each."""
    if len(verdicts) == 1:
        return json.document("health", **_verdict(verdicts[0]))
    return json.document(
        "health",
        status=overall(verdicts),
        exit_code=exit_code(verdicts),
        targets=[_verdict(verdict) for verdict in verdicts],
    )


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "target": _about(verdict.about),
        "status": verdict.status,
        "exit_code": verdict.exit_code(),
        "collected_at": verdict.collected_at,
        "seconds": verdict.seconds,
        "statements": verdict.statements,
        "round_trips": verdict.round_trips,
        "notes": verdict.notes,
        "checks": [_result(result) for result in verdict.results],
    }


def _about(about: About) -> dict[str, Any]:
    return {
        "name": about.name,
        "place": about.place,
        "dbname": about.dbname,
        "server_version": about.server_version,
        "system_identifier": about.system_identifier,
        "in_recovery": about.in_recovery,
        "role": about.role,
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "id": result.id,
        "group": result.check.group,
        "title": result.check.title,
        "status": result.status,
        "reason": result.reason,
        "hint": result.hint,
        "blind": result.blind,
        "thresholds": _thresholds(result.check.thresholds) if result.judged else None,
        "findings": [_finding(finding) for finding in result.findings],
        "measured": [_finding(finding) for finding in result.measured],
        "advice": [_finding(finding, graded=False) for finding in result.advice],
        "ignored": [_set_aside(finding) for finding in result.ignored],
        "known": [_set_aside(finding) for finding in result.known],
        "pending": [_set_aside(finding) for finding in result.pending],
        "trees": [tree_document(tree) for tree in result.trees],
    }


def _finding(finding: Finding, *, graded: bool = True) -> dict[str, Any]:
    """Advice is no problem, so it has no status."""
    return {
        "subject": finding.subject,
        **({"status": finding.status} if graded else {}),
        "measure": finding.measure,
        "unit": finding.unit,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


def _set_aside(finding: Finding) -> dict[str, Any]:
    return {**_finding(finding), "reason": finding.reason}


def _thresholds(thresholds: Thresholds) -> dict[str, Any]:
    return {
        "warning": limit_value(thresholds.warning),
        "critical": limit_value(thresholds.critical),
        "below": thresholds.below,
        "source": thresholds.source,
    }


def limit_value(limit: float | None) -> float | None:
    """Where any measure is a problem, JSON has no word for that; no measure is less than 0."""
    return limit if limit is None or math.isfinite(limit) else 0
