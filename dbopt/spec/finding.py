"""A finding: one thing that lint, plan or a check of a spec wants to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
