"""Verdicts as a monitoring plugin writes them: one line with performance data, then a line for each problem.

https://www.monitoring-plugins.org/doc/guidelines.html. dbopt's exit codes are those of a plugin as they are.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from dbopt.health.check import Status, Unit
from dbopt.health.verdict import overall
from dbopt.render.escape import visible
from dbopt.render.health_table import alike_gaps, where
from dbopt.render.sql import spelled
from dbopt.render.words import plural
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.errors import Error
    from dbopt.health.check import Result
    from dbopt.health.verdict import Verdict

SERVICE = "HEALTH"
_NAMED_MAX = 3  # problems on the first line, which may become a text message; all of them stand below it
_COUNTED = (Status.CRITICAL, Status.WARNING, Status.UNKNOWN)
_UNITS = {Unit.SECONDS: "s", Unit.BYTES: "B", Unit.RATIO: "%"}


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What a line says. `text` is clean."""

    status: Status
    text: str
    remedy: str | None


def plugin_output(verdicts: Sequence[Verdict]) -> str:
    troubles = sorted(_troubles(verdicts), key=lambda trouble: -trouble.status.rank)
    more = len(troubles) - _NAMED_MAX
    named = [trouble.text for trouble in troubles[:_NAMED_MAX]] + ([f"{more} more"] if more > 0 else [])
    place = where(verdicts[0].about) if len(verdicts) == 1 else f"{len(verdicts)} databases"
    text = "; ".join(named) or f"{_checks(verdicts)}, nothing to report"
    lines = [f"{SERVICE} {overall(verdicts).upper()} - {clean(place)}: {text} | {_performance(verdicts)}"]
    for trouble in troubles:
        lines.append(f"{trouble.status}: {trouble.text}")
        # A bar would start performance data, and a remedy without its bars would be another one.
        if trouble.remedy and "|" not in trouble.remedy:
            lines += [f"  {line}" for line in spelled(trouble.remedy).split("\n")]
    return "".join(f"{line}\n" for line in lines)


def failure(error: Error) -> str:
    """Why it could not be done: schedulers show what a plugin says on stdout."""
    return f"{SERVICE} UNKNOWN - {clean(f'{error.message}: {error.detail}' if error.detail else error.message)}\n"


def clean(text: str) -> str:
    """On one line, without the character that ends the text."""
    return visible(" ".join(text.split()).replace("|", "¦"))


def _troubles(verdicts: Sequence[Verdict]) -> Iterator[_Trouble]:
    """Problems, and what hides some."""
    for verdict in verdicts:
        before = _before(verdict, verdicts)
        for result in verdict.results:
            for finding in result.findings:
                text = clean(f"{before}{result.id}: {finding.subject}: {finding.detail}")
                yield _Trouble(finding.status, text, finding.remedy)
        for (reason, hint), alike in alike_gaps(result for result in verdict.results if result.blind):
            names = ", ".join(result.id for result in alike)
            yield _Trouble(Status.UNKNOWN, clean(f"{before}{names}: {reason}"), hint)


def _checks(verdicts: Sequence[Verdict]) -> str:
    return plural(sum(len(verdict.results) for verdict in verdicts), "check", "checks")


def _before(verdict: Verdict, verdicts: Sequence[Verdict]) -> str:
    """Which database, where it is not plain."""
    return f"{verdict.about.name or verdict.about.place} " if len(verdicts) > 1 else ""


def _performance(verdicts: Sequence[Verdict]) -> str:
    """Numbers of problems, the subjects of checks that always measure, the worst of those that only find."""
    data: dict[str, str] = {}
    for verdict in verdicts:
        before = _before(verdict, verdicts)
        data[_label(f"{before}time")] = f"{_number(verdict.seconds)}s;;;0"
        for status in _COUNTED:
            data[_label(f"{before}{status}")] = f"{sum(result.status is status for result in verdict.results)};;;0"
        for result in verdict.results:
            data |= _measures(result, before)
    return " ".join(f"{label}={values}" for label, values in data.items())


def _measures(result: Result, before: str) -> dict[str, str]:
    """A name that stays the same whatever is found, so that it can be drawn."""
    check = result.check
    findings = [*result.findings, *result.measured] if check.gauge else result.findings[:1]
    scale, least_and_most = (100, "0;100") if check.unit is Unit.RATIO else (1, "0")
    limits = check.thresholds
    found: dict[str, str] = {}
    for finding in findings:
        if not math.isfinite(finding.measure):
            continue
        warning, critical = (
            "" if limit is None or not math.isfinite(limit) else _number(limit * scale) + (":" if limits.below else "")
            for limit in (limits.warning, limits.critical)
        )
        label = _label(f"{before}{check.id} {finding.subject}" if check.gauge else f"{before}{check.id}")
        value = f"{_number(finding.measure * scale)}{_UNITS.get(check.unit, '')}"
        found.setdefault(label, f"{value};{warning};{critical};{least_and_most}")
    return found


def _label(text: str) -> str:
    return "'" + re.sub(r"['=|\s]", "_", clean(text)) + "'"


def _number(value: float) -> str:
    """Digits, sign and point alone."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
