"""From rows to Results, alike for all checks. Pure: no clock, no server, no text for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dbopt.health.check import Check, Finding, Gap, NotJudged, Result, Status
from dbopt.health.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.health.deltas import Sample
    from dbopt.health.scene import Facts

_NAMED_MAX = 3  # subjects of a gap that are named; the number of all stands beside them


def judge(
    check: Check[Any],
    facts: Facts,
    *,
    before: Sample | None = None,
    show_literals: bool = False,
) -> Result:
    """One check's Result. `before` is what an earlier run kept."""
    scene = scene_of(check, facts, before=before, show_literals=show_literals)
    missing = unmet(check, scene)
    if missing is not None:
        return missing
    try:
        rows = tuple(check.rows(scene.rows(check.query), scene))
    except NotJudged as exc:
        return Result(check=check, status=exc.status, reason=exc.gap.reason, hint=exc.gap.hint, blind=exc.gap.blind)
    findings: list[Finding] = []
    gaps: list[tuple[str, Gap]] = []
    for row in rows:
        gap = check.gap(row)
        if gap is not None:
            gaps.append((check.subject(row), gap))
        else:
            findings.append(_finding(check, row))
    problems = sorted(
        (finding for finding in findings if finding.status.is_problem),
        key=lambda finding: (-finding.status.rank, _gravity(check, finding), finding.subject),
    )
    measured = tuple(finding for finding in findings if not finding.status.is_problem) if check.gauge else ()
    if check.advice:
        return Result(check=check, status=Status.OK, judged=True, advice=tuple(problems), measured=measured)
    reason, hint = _summed_up(gaps) if gaps else (None, None)
    return Result(
        check=check,
        status=Status.worst(problems, default=Status.UNKNOWN if gaps else Status.OK),
        judged=True,
        reason=reason,
        hint=hint,
        blind=any(gap.blind for _, gap in gaps),
        findings=tuple(problems),
        measured=measured,
        trees=check.trees(rows) if check.trees else (),
    )


def scene_of(check: Check[Any], facts: Facts, *, before: Sample | None = None, show_literals: bool = False) -> Scene:
    if before is not None and before.system_identifier != facts.server.system_identifier:
        before = None  # failed over or restored: another server's counters
    return Scene(
        facts=facts,
        limits={limit.name: limit.value for limit in check.limits},
        thresholds=check.thresholds,
        earlier={} if before is None else {item.subject: item for item in before.counters.get(check.id, ())},
        earlier_at=None if before is None else before.taken_at,
        show_literals=show_literals,
    )


def unmet(check: Check[Any], scene: Scene) -> Result | None:
    """The Result of a check that lacks something it needs; None: it lacks nothing."""
    for need in check.needs:
        if not need.met(scene):
            return Result(
                check=check,
                status=need.status,
                reason=need.reason,
                hint=need.hint(scene),
                blind=need.status is Status.UNKNOWN,
            )
    return None


def _finding(check: Check[Any], row: Any) -> Finding:
    measure = check.measure(row)
    status = check.grade(row) or check.thresholds.judge(measure)
    grave = status.is_problem
    return Finding(
        subject=check.subject(row),
        status=status,
        measure=measure,
        unit=check.unit,
        detail=check.detail(row),
        remedy=check.remedy(row) if grave else None,
        fragment=check.fragment(row) if grave else None,
    )


def _gravity(check: Check[Any], finding: Finding) -> float:
    measure = 0.0 if math.isnan(finding.measure) else finding.measure
    return measure if check.thresholds.below else -measure


def _summed_up(gaps: Sequence[tuple[str, Gap]]) -> tuple[str, str | None]:
    """The gravest reason, with those whom it concerns."""
    gravest = next((gap for _, gap in gaps if gap.blind), gaps[0][1])
    concerned = sorted(subject for subject, gap in gaps if gap.reason == gravest.reason)
    named = ", ".join(concerned[:_NAMED_MAX])
    more = len(concerned) - _NAMED_MAX
    return f"{gravest.reason}: {named}{f' and {more} more' if more > 0 else ''}", gravest.hint
