"""The page as a file: whole or not at all, and never in place of something that is no page of ours."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

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
    if _is_special(path):
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
        if _is_special(path):
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text)
    except OSError as exc:
        raise UsageError(f"could not write {path}", detail=exc.strerror or str(exc)) from exc


def _replace(path: Path, text: str) -> None:
    """`path` without links in it: what a link names is replaced, not the link."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        _as_before(name, path)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _as_before(name: str, path: Path) -> None:
    try:
        before = path.stat()
    except FileNotFoundError:
        os.umask(mask := os.umask(0o077))  # there is no other way to ask for it
        os.chmod(name, 0o666 & ~mask)
        return
    with contextlib.suppress(PermissionError):  # it is ours then, as any file that we make
        os.chown(name, before.st_uid, before.st_gid)
    os.chmod(name, stat.S_IMODE(before.st_mode))


def _is_special(path: Path) -> bool:
    """A pipe or a device: nothing to be replaced."""
    return path.exists() and not path.is_file()


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(_HEAD_BYTES)
    except OSError as exc:
        raise UsageError(f"could not read {path}", detail=exc.strerror or str(exc)) from exc
