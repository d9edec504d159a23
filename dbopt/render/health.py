"""Verdicts, the list of checks, and what one of them is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.render import json
from dbopt.render.output import Format
from dbopt.render.records import Column, write_data, write_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.health.check import Check, Finding, Result
    from dbopt.health.verdict import About, Verdict
    from dbopt.render.output import Output


def write_list(output: Output, checks: Sequence[Check[Any]]) -> None:
    columns = [Column(name="id"), Column(name="group"), Column(name="title")]
    write_records(output, "health", "checks", columns, [(check.id, check.group, check.title) for check in checks])


def write_explanation(output: Output, check: Check[Any]) -> None:
    output.out.write(f"{check.id}: {check.title}\n\n{check.documentation}\n")


def write_verdicts(output: Output, verdicts: Sequence[Verdict]) -> None:
    match output.format:
        case Format.JSON:
            json.write_document(output.out, document(verdicts[0]))
        case _:
            columns = [
                Column(name=name) for name in ("status", "check", "subject", "measure", "unit", "detail", "remedy")
            ]
            rows = [
                (
                    finding.status,
                    result.id,
                    finding.subject,
                    finding.measure,
                    finding.unit,
                    finding.detail,
                    finding.remedy,
                )
                for verdict in verdicts
                for result in verdict.results
                for finding in result.findings
            ]
            if output.format is Format.TABLE:
                write_records(output, "health", "findings", columns, rows)
            else:
                write_data(output, columns, rows)


def document(verdict: Verdict) -> dict[str, Any]:
    return json.document(
        "health",
        target=_about(verdict.about),
        status=verdict.status,
        collected_at=verdict.collected_at,
        seconds=verdict.seconds,
        checks=[_result(result) for result in verdict.results],
    )


def _about(about: About) -> dict[str, Any]:
    return {
        "name": about.name,
        "place": about.place,
        "dbname": about.dbname,
        "server_version": about.server_version,
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
        "findings": [_finding(finding) for finding in result.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "subject": finding.subject,
        "status": finding.status,
        "measure": finding.measure,
        "unit": finding.unit,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }
