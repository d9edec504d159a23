"""What the format has and this version does not act on yet: refused with these words, never ignored."""

from __future__ import annotations

from dbopt.spec.model import IndexSpec, SpecFile


def unsupported(entry: IndexSpec) -> list[tuple[str, str]]:
    """(path, message) for each part of an entry that is not acted on yet."""
    found: list[tuple[str, str]] = []
    if entry.budget is not None:
        found.append(("budget", "`budget` is not yet supported"))
    return found


def unsupported_in_file(file: SpecFile) -> list[tuple[str, str]]:
    """(path, message) for each part of a file, its entries aside."""
    return [("budget", "`budget` is not yet supported")] if file.budget is not None else []
