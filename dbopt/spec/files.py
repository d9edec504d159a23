"""Spec files on disk: which there are, and their text. Nothing is read that is not a regular file of a sane size."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from dbopt.spec.finding import Finding, Severity

SIZE_MAX_BYTES = 5 * 1024 * 1024
SUFFIXES = (".yaml", ".yml")


class Unreadable(Exception):
    """A file that cannot be used; carries the finding that says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def spec_paths(paths: Sequence[Path]) -> tuple[list[Path], list[Finding]]:
    """The spec files behind files and folders, each once, in the order given; a folder's by name.

    A folder stands for the *.yaml and *.yml right inside it, hidden ones left out (editors lock files by those).
    """
    found: dict[str, Path] = {}
    findings: list[Finding] = []
    for path in paths:
        try:
            inside = _folder(path) if path.is_dir() else [path]
        except OSError as exc:
            findings.append(_finding("unreadable-file", path, f"could not list {path}: {_reason(exc)}"))
            continue
        if not inside:
            message = f"no *.yaml or *.yml file in {path}"
            findings.append(_finding("no-spec-files", path, message, hint="dbopt init"))
        for file in inside:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values()), findings


def read_text(path: Path) -> str:
    """The text of one spec file. Raises Unreadable.

    What is no regular file is never opened: a FIFO would block, a device might never end. The size is looked at before
    a byte is read, and no more than the limit is read even if the file grows meanwhile.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(_finding("unreadable-file", path, f"could not read {path}: not a regular file"))
        if status.st_size > SIZE_MAX_BYTES:
            raise Unreadable(_too_large(path))
        with path.open("rb") as file:
            content = file.read(SIZE_MAX_BYTES + 1)
    except OSError as exc:
        hint = "Name a file or folder with specs, or run dbopt init." if isinstance(exc, FileNotFoundError) else None
        message = f"could not read {path}: {_reason(exc)}"
        raise Unreadable(_finding("unreadable-file", path, message, hint=hint)) from exc
    if len(content) > SIZE_MAX_BYTES:
        raise Unreadable(_too_large(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = content[: exc.start].decode(errors="replace").split("\n")
        message = f"not UTF-8: byte 0x{content[exc.start]:02x}"
        hint = "Save the file as UTF-8."
        finding = _finding("bad-encoding", path, message, hint=hint, line=len(before), column=len(before[-1]) + 1)
        raise Unreadable(finding) from exc


def _folder(path: Path) -> list[Path]:
    return sorted(_candidates(path), key=lambda file: file.name)


def _candidates(path: Path) -> Iterator[Path]:
    for file in path.iterdir():
        if file.suffix in SUFFIXES and not file.name.startswith("."):
            yield file


def _too_large(path: Path) -> Finding:
    message = f"a spec file has at most {SIZE_MAX_BYTES // 1024**2} MiB"
    return _finding("file-too-large", path, message, hint="Split it: one file a domain.")


def _reason(exc: OSError) -> str:
    return (exc.strerror or type(exc).__name__).lower()


def _finding(
    code: str, path: Path, message: str, *, hint: str | None = None, line: int | None = None, column: int | None = None
) -> Finding:
    return Finding(
        severity=Severity.ERROR, code=code, message=message, hint=hint, file=str(path), line=line, column=column
    )
