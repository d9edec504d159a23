"""What can be said about specs without a server: a pure function from specs to findings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from dbopt.spec.finding import Finding
from dbopt.spec.model import IndexSpec, SpecSet
from dbopt.spec.rules import entry as entries
from dbopt.spec.rules import expressions, method, names, overlap


def lint(specs: SpecSet, *, today: date | None = None) -> list[Finding]:
    """Findings in the order of files and lines. `today` is what `expires` is held against."""
    day = today if today is not None else date.today()
    everything = [entry for file in specs.files for entry in file.indexes]
    findings = [finding for entry in everything for finding in _entry(entry, day)]
    findings += names.check_all(everything)
    findings += overlap.check_all(everything)
    return sorted(
        findings, key=lambda finding: (finding.file or "", finding.line or 0, finding.column or 0, finding.code)
    )


def _entry(entry: IndexSpec, today: date) -> Iterator[Finding]:
    yield from names.check(entry)
    yield from entries.check(entry, today)
    yield from method.check(entry)
    yield from expressions.check(entry)
