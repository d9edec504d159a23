"""Findings: as compilers print them for people, as records for programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dbopt.render import json
from dbopt.render.escape import visible
from dbopt.render.output import Format
from dbopt.render.records import Column, write_data
from dbopt.render.words import STYLES, plural
from dbopt.spec.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.text import Text

    from dbopt.render.output import Output
    from dbopt.spec.finding import Finding

_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_COLUMNS = [Column(name=name) for name in ("severity", "code", "index", "message", "hint", "file", "line", "column")]
# A line of a file longer than this is shown around the place that is meant.
_SOURCE_CHARACTERS = 120


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then as they stand in the files."""
    return sorted(findings, key=lambda f: (_RANK[f.severity], f.file or "", f.line or 0, f.column or 0))


def write_findings(output: Output, findings: Sequence[Finding], *, command: str = "lint", checked: str) -> None:
    """`checked` says what was looked at: `2 files, 78 indexes`."""
    findings = ordered(findings)
    match output.format:
        case Format.TABLE:
            for finding in findings:
                output.out.print(finding_text(finding))
            output.out.write(("\n" if findings else "") + f"{_count(findings)} in {visible(checked)}\n")
        case Format.JSON:
            content = {"findings": [finding_document(f) for f in findings], "summary": _summary(findings)}
            json.write_document(output.out, json.document(command, **content))
        case Format.LINES | Format.CSV:
            write_data(output, _COLUMNS, [list(finding_document(f).values()) for f in findings])


def finding_document(finding: Finding) -> dict[str, Any]:
    return {column.name: getattr(finding, column.name) for column in _COLUMNS}


def finding_text(finding: Finding) -> Text:
    """`file:line:column: severity: message [code]`, the line meant with a caret below, the hint."""
    from rich.text import Text

    place = ":".join(str(part) for part in (finding.file, finding.line, finding.column) if part is not None)
    text = Text(visible(place) + ": " if place else "")
    text.append(f"{finding.severity}:", STYLES[finding.severity])
    # A finding about the database itself stands at no line, so it has to name its index.
    name = f"{visible(finding.index)}: " if finding.index and finding.line is None else ""
    text.append(f" {name}{visible(finding.message)} ").append(f"[{visible(finding.code)}]", "dim")
    if finding.source and finding.line is not None:
        text.append_text(_source(finding.source, finding.line, finding.column))
    if finding.hint:
        text.append("\n  ").append("hint:", "bold").append(f" {visible(finding.hint)}")
    return text


def _source(source: str, line: int, column: int | None) -> Text:
    from rich.cells import cell_len
    from rich.text import Text

    source = source.rstrip("\r\n")
    start = max(0, (column or 1) - 1 - _SOURCE_CHARACTERS // 2) if len(source) > _SOURCE_CHARACTERS else 0
    end = start + _SOURCE_CHARACTERS
    before = ("..." if start else "") + visible(source[start : (column or 1) - 1])
    shown = before + visible(source[max(start, (column or 1) - 1) : end]) + ("..." if end < len(source) else "")
    text = Text("\n  ").append(f"{line} | ", "dim").append(shown)
    if column is not None:
        text.append("\n  ").append(f"{'':{len(str(line))}} | ", "dim")
        text.append(" " * cell_len(before)).append("^", "bold")
    return text


def _summary(findings: Iterable[Finding]) -> dict[str, int]:
    counts = Counter(finding.severity for finding in findings)
    return {severity.value: counts[severity] for severity in Severity}


def _count(findings: Iterable[Finding]) -> str:
    nouns = {"error": ("error", "errors"), "warning": ("warning", "warnings"), "info": ("remark", "remarks")}
    said = [plural(count, *nouns[severity]) for severity, count in _summary(findings).items() if count]
    return ", ".join(said) or "no findings"
