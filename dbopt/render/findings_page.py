"""The reference of what is found on plans: `python -m dbopt.render.findings_page docs` writes docs/plan-findings.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.render.health_page import linked
from dbopt.workload.findings import all_findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.finding import Finding

FILE_NAME = "plan-findings.md"
_HEAD = """\
# Findings on statements

<!-- Made by `python -m dbopt.render.findings_page`. -->

What `dbopt slow-queries` says about a statement, each under a code of its own. Most look at its plan: the one for any
values of its parameters, for which nothing is run, or one that was run (`--analyze`, auto_explain in a log). The others
look at its counters and its text. Each says what it has seen, what that costs and what to do; where an index would
help, with an entry for an index spec. In doubt they say nothing.
"""


def page() -> str:
    """docs/plan-findings.md."""
    findings = all_findings()
    lines = [_HEAD, "| finding | problem | looks at |", "|---|---|---|"]
    for finding in findings:
        lines.append(f"| [`{finding.code}`](#{finding.code}) | {finding.title} | {_looks_at(finding)} |")
    for finding in findings:
        lines += ["", *_entry(finding)]
    return "\n".join([*lines, ""])


def _looks_at(finding: Finding) -> str:
    return "plan" if finding.needs_plan else "counters, text"


def _entry(finding: Finding) -> Iterator[str]:
    yield from (f"## {finding.code}", "", f"**{finding.title}**", "")
    yield from linked(finding.documentation)
    if finding.source:
        yield from ("", f"- source: {finding.source}")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(page(), encoding="utf-8")
