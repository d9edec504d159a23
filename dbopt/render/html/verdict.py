"""A verdict of health as the page has it: problems first, what could not be judged, and the rest by name alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from dbopt.health.check import Group, Status
from dbopt.render.escape import visible
from dbopt.render.health_table import alike_gaps
from dbopt.render.tree import tree_lines
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.health.check import Finding, Result
    from dbopt.health.verdict import Verdict

FINDINGS_MAX = 10  # of one check


@dataclass(frozen=True, slots=True)
class Told:
    """A finding with what stands below it."""

    subject: str
    detail: str
    remedy: str | None
    drawing: Markup | None


@dataclass(frozen=True, slots=True)
class Problem:
    """What one check found, the worst first."""

    id: str
    title: str
    status: str
    findings: Sequence[Told]
    left_out: int
    remedies: str | None  # of all that are shown, where each is a line or two


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    words: str
    problems: Sequence[Problem]
    blind: Sequence[tuple[str, str, str | None]]
    others: Sequence[tuple[str, str]]


def health(verdict: Verdict) -> Health:
    results = verdict.results
    counts = Counter(result.status for result in results)
    ranks = list(Group)
    problems = [result for result in results if result.findings]
    problems.sort(key=lambda result: (-result.status.rank, ranks.index(result.check.group)))
    waiting = [result for result in results if result.status is Status.UNKNOWN and not result.blind]
    said = ", ".join(f"{counts[status]} {status}" for status in reversed(Status) if counts[status])
    others = (
        ("No answer yet", [f"{result.check.title} ({result.reason})" for result in waiting]),
        ("Well", [result.check.title for result in results if result.status is Status.OK]),
        ("Does not apply here", [result.check.title for result in results if result.status is Status.SKIPPED]),
    )
    return Health(
        words=f"{said}; looked at in {format_duration(verdict.seconds)}.",
        problems=[_problem(result) for result in problems],
        blind=[
            (", ".join(result.check.title for result in alike), reason, hint)
            for (reason, hint), alike in alike_gaps(result for result in results if result.blind)
        ],
        others=[(title, "; ".join(names) + ".") for title, names in others if names],
    )


def _problem(result: Result) -> Problem:
    told = [_told(result, finding) for finding in result.findings[:FINDINGS_MAX]]
    together = len(told) > 1 and not any(item.drawing for item in told)
    remedies = list(dict.fromkeys(item.remedy for item in told if item.remedy))
    if together:
        told = [replace(item, remedy=None) for item in told]
    return Problem(
        id=result.id,
        title=result.check.title,
        status=result.status,
        findings=told,
        left_out=len(result.findings) - len(told),
        remedies="\n".join(remedies) if together and remedies else None,
    )


def _told(result: Result, finding: Finding) -> Told:
    tree = next((tree for tree in result.trees if tree.root.name == finding.subject), None)
    if tree is None:
        return Told(finding.subject, finding.detail, finding.remedy, None)
    *drawing, remedy = tree_lines(tree)
    return Told(finding.subject, finding.detail, remedy, lines(drawing))


def lines(texts: Sequence[str]) -> Markup:
    """Lines of a drawing, each made plain."""
    return Markup("\n").join(map(visible, texts))
