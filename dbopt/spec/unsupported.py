"""What the format has and this version does not act on yet: refused with these words, never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbopt.spec.model import IndexSpec


def unsupported(entry: IndexSpec) -> list[tuple[str, str]]:
    """(path, message) for each part of an entry that is not acted on yet."""
    found: list[tuple[str, str]] = []
    if entry.budget is not None and entry.budget.build is not None:
        found.append(("budget.build", "`budget: {build: ...}` is not yet supported"))
    return found
