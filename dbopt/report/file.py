"""The page as a file: whole or not at all, and never in place of something that is no page of ours."""

from __future__ import annotations

import os
from pathlib import Path

from dbopt import files
from dbopt.errors import UsageError

MARK = "<!-- dbopt report -->"  # in the first lines of each page
_HEAD_BYTES = 200


def check(path: Path) -> None:
    """Before anybody waits for the page: whether it could be written. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="Name a file in it, such as report.html.")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="Make it, or name a file elsewhere.")
    if files.is_special(path):
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"the folder {folder} cannot be written to", hint="Name a file elsewhere.")
    if path.exists() and path.stat().st_size and not _is_ours(path):
        raise UsageError(
            f"{path} is there, and no report of dbopt",
            detail="only an earlier report is overwritten",
            hint="Name another file, or remove this one.",
        )


def write(path: Path, text: str) -> None:
    """An earlier page is replaced in one step and keeps its mode and owner. Raises UsageError."""
    try:
        if files.is_special(path):
            path.write_text(text, encoding="utf-8")
        else:
            files.replace({path: text})
    except OSError as exc:
        raise UsageError(f"could not write {path}", detail=exc.strerror or str(exc)) from exc


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(_HEAD_BYTES)
    except OSError as exc:
        raise UsageError(f"could not read {path}", detail=exc.strerror or str(exc)) from exc
