"""A report as an index spec: a new file, or changes in one that is there, which leave all else in it as it is. Pure.

entries(report, taken=...)              as plain values
new_file(report, domain=, schema=)      a text that `dbopt lint` finds nothing in
update(report, file, text)              the text of that file with what is new
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.errors import Error
from dbopt.spec import schema as editor
from dbopt.spec import write
from dbopt.spec.files import SIZE_MAX_BYTES
from dbopt.spec.words import plain
from dbopt.suggest import reasons
from dbopt.suggest.entries import entries, unsayable
from dbopt.suggest.extended_statements import statistics_lines
from dbopt.suggest.updating import Updated, update

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from dbopt.suggest.model import Report

__all__ = ["Updated", "entries", "new_file", "update"]

INDENT = 2  # of the dashes below `indexes:`


def new_file(
    report: Report, *, domain: str, schema: str, about: Sequence[str] = (), taken: Collection[str] = ()
) -> str:
    """A whole spec. `schema`: of most of its tables. `about`: lines that say which workload of which database this is.
    Raises Error for one that the loader would not read.
    """
    found = entries(report, taken=taken, schema=schema)
    head = write.file_head(
        domain=domain, schema=schema, schema_file=editor.FILE_NAME, about=[*map(plain, about), *_head(report)]
    )
    lines = [*head, "", "indexes:" if found else "indexes: []"]
    for number, one in enumerate(found):
        lines += [""] if number else []
        lines += write.entry_lines(one, INDENT)
    notes = [*unsayable(report, taken), *statistics_lines(report.statistics)]
    lines += ["", *(f"# {line}".rstrip() for line in notes)] if notes else []
    whole = "\n".join([*lines, ""])
    if len(whole.encode()) > SIZE_MAX_BYTES:
        raise Error(
            "the spec would be larger than a spec may be",
            detail=f"{len(found)} entries, {len(whole.encode())} bytes; at most {SIZE_MAX_BYTES}",
            hint="Ask for fewer with --max-indexes.",
        )
    return whole


def _head(report: Report) -> Iterator[str]:
    yield "Suggested by dbopt suggest: read each `why`, and take out what you do not want."
    if any(one.helped for one in report.suggestions):
        yield f"Costs: {reasons.basis_words(report)}; of one call, without the list and with all of it."
    yield "`dbopt plan` with this file shows what would be done, `dbopt optimize` does it."
    if report.drops:
        yield "Indexes that dbopt has not made are dropped only with --prune-foreign."
