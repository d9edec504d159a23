"""A finding: one thing that lint, plan or a check of a spec wants to say."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.spec.model import IndexSpec, SpecFile


class Severity(StrEnum):
    """error: the item will not be applied; warning: it will, and somebody should look; info: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`line` and `column` count from 1, as editors do. `index` is the name in the spec, None for a whole file."""

    severity: Severity
    code: str
    message: str
    index: str | None = None
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    source: str | None = None  # the line of the file itself, for people


def about(
    subject: IndexSpec | SpecFile, path: str, severity: Severity, code: str, message: str, *, hint: str | None = None
) -> Finding:
    """A finding about a field of an entry or of a file's head (`""`: about all of it), with its place if it has one."""
    source = subject.source
    line, column = source.place_of(path)
    known = source.line > 0
    return Finding(
        severity=severity,
        code=code,
        message=message,
        index=getattr(subject, "name", None),
        hint=hint,
        file=source.file or None,
        line=line if known else None,
        column=column if known else None,
        source=source.text_of(line),
    )
