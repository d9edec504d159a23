"""Results made by hand, for what is done with them after the look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from dbopt.health.check import Finding, Result, Status, Unit
from dbopt.health.checks import load
from dbopt.health.verdict import About, Verdict

NOON = datetime(2026, 10, 25, 12, 0, tzinfo=UTC)


def finding(subject: str, status: Status = Status.WARNING, measure: float = 1) -> Finding:
    return Finding(subject=subject, status=status, measure=measure, unit=Unit.COUNT, detail="a secret stands here")


def result(check_id: str, *findings: Finding, reason: str | None = None, blind: bool = False) -> Result:
    """Judged as `judge` would have: with a reason, not everything could be seen."""
    clean = Status.OK if reason is None else Status.UNKNOWN
    return Result(
        check=load(check_id),
        status=max((item.status for item in findings), key=lambda status: status.rank, default=clean),
        reason=reason,
        blind=blind,
        findings=findings,
    )


def skipped(check_id: str) -> Result:
    return replace(result(check_id, reason="not here"), status=Status.SKIPPED)


def verdict(*results: Result, name: str | None = None, at: datetime = NOON) -> Verdict:
    about = About(name=name, place="db1:5432/app", dbname="app", system_identifier="7001", in_recovery=False)
    return Verdict(about=about, collected_at=at, seconds=0.1, results=results)


def subjects(findings: tuple[Finding, ...]) -> list[str]:
    return [item.subject for item in findings]
