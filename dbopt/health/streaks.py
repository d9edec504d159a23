"""`--for N`: in how many runs in a row a finding was there.

A run in which a check could not judge, or did not run, neither counts nor breaks a row: of it nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.health.remainder import set_aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.health.check import Finding, Result

Key = tuple[str, str]  # check id, subject
Streaks = Mapping[Key, int]


def found(results: Iterable[Result]) -> dict[Key, Finding]:
    """What these results find, before anything is set aside; the worst where a subject stands twice."""
    every: dict[Key, Finding] = {}
    for result in results:
        for finding in result.findings:
            every.setdefault((result.id, finding.subject), finding)
    return every


def is_over(key: Key, results: Mapping[str, Result], now: Mapping[Key, Finding]) -> bool:
    """Whether a finding of earlier runs is certainly gone: its check has judged all there is, and has it no more."""
    result = results.get(key[0])
    return result is not None and key not in now and result.judged_all


def hold_back(results: Sequence[Result], before: Streaks, runs: int) -> tuple[Result, ...]:
    """Leaves what fewer than `runs` runs in a row have seen, this one included, as pending."""

    def held(result: Result) -> Result:
        def pending(finding: Finding) -> Finding | None:
            seen = before.get((result.id, finding.subject), 0) + 1
            return replace(finding, reason=f"seen in {seen} of {runs} runs in a row") if seen < runs else None

        return set_aside(result, "pending", pending)

    return tuple(map(held, results))
