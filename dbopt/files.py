"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def replace(contents: Mapping[Path, str]) -> None:
    """Writes every text beside its place first, then puts each there in one step. Raises OSError.

    What a link names is replaced, not the link; an earlier file's mode and owner stay. Line breaks are those of the
    text.
    """
    ready: list[tuple[str, Path]] = []
    try:
        for path, text in contents.items():
            place = path.resolve()
            handle, name = tempfile.mkstemp(prefix=f".{place.name[:100]}.", suffix=".new", dir=place.parent)
            ready.append((name, place))
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            _as_before(name, place)
        for name, place in ready:
            os.replace(name, place)
    except BaseException:
        for name, _ in ready:
            with contextlib.suppress(OSError):
                os.unlink(name)
        raise


def is_special(path: Path) -> bool:
    """A pipe or a device: nothing to be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


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
