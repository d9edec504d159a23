"""Verdicts in each format, the list of checks, and what one of them is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Status
from dbopt.render import json
from dbopt.render.health_json import document
from dbopt.render.output import Format
from dbopt.render.records import Column, write_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.check import Finding, Result
    from dbopt.health.verdict import Verdict
    from dbopt.render.output import Output

_RECORD = [
    Column(name=name)
    for name in (
        *("status", "group", "check", "subject", "measure", "unit", "detail", "remedy", "target", "collected_at"),
    )
]


def write_verdicts(
    output: Output,
    verdicts: Sequence[Verdict],
    *,
    advice: bool = False,
    all_checks: bool = False,
) -> None:
    """`advice` and `all_checks` are for people, who else see only what is wrong."""
    match output.format:
        case Format.TABLE:
            from dbopt.render.health_table import write_table

            write_table(output.out, verdicts, advice=advice, all_checks=all_checks)
        case Format.JSON:
            json.write_document(output.out, document(verdicts))
        case Format.LINES | Format.CSV:
            write_data(output, _RECORD, list(_records(verdicts)))
        case Format.PROMETHEUS:
            from dbopt.render.prometheus import exposition

            output.out.write(exposition(verdicts))
        case Format.NAGIOS:
            from dbopt.render.nagios import plugin_output

            output.out.write(plugin_output(verdicts))
    if output.format not in (Format.TABLE, Format.JSON):
        for note in (note for verdict in verdicts for note in verdict.notes):
            output.note(f"note: {note}")


def _records(verdicts: Sequence[Verdict]) -> Iterator[tuple[object, ...]]:
    """At least one of each check. `status` also says `advice`, `ignored`, `known`, `pending`."""
    for verdict in verdicts:
        whose = (verdict.about.name or verdict.about.place, verdict.collected_at)
        for result in verdict.results:
            for record in _of_check(result):
                yield (*record, *whose)


def _of_check(result: Result) -> Iterator[tuple[object, ...]]:
    check = result.check
    kinds: tuple[tuple[str | None, Sequence[Finding]], ...] = (
        (None, result.findings),
        (None, result.measured),
        *((word, getattr(result, word)) for word in ("advice", "ignored", "known", "pending")),
    )
    silent = not result.findings and not result.measured
    if silent or result.reason:
        partly = result.status.is_problem and result.reason
        status = Status.UNKNOWN if partly else result.status
        yield (status, check.group, check.id, None, None, None, result.reason, result.hint)
    for word, findings in kinds:
        for finding in findings:
            yield (
                *(word or finding.status, check.group, check.id, finding.subject, finding.measure, finding.unit),
                *(finding.detail, finding.remedy),
            )
