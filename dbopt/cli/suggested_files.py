"""Where `dbopt suggest` writes its spec: a new file, stdout, or one that is there."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt import files
from dbopt.errors import Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.cli.session import Session
    from dbopt.suggest.model import Report

STDOUT = "-"
_BOM = "\ufeff"
_DOMAIN = "suggested"


def check(out: Path | None, update: Path | None) -> None:
    """Before anybody waits. Raises UsageError, SpecError."""
    if out is not None and str(out) != STDOUT and (out.exists() or out.is_symlink()) and not files.is_special(out):
        raise UsageError(
            f"{out} is {'a folder' if out.is_dir() else 'there already'}",
            hint="Name a file in it." if out.is_dir() else f"--update {out} adds to it; or name another file.",
        )
    if out is not None and str(out) != STDOUT and not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}", hint=f"mkdir -p {out.parent}")
    if update is not None:
        from dbopt.spec.load import load

        if update.is_dir():
            raise UsageError(f"{update} is a folder, and --update takes one spec", hint="Name a file in it.")
        if not update.exists():
            raise UsageError(f"there is no {update}", hint=f"-o {update} makes it.")
        load([update])


def renamed(session: Session, report: Report, path: Path) -> Report:
    """With other names for suggestions whose names stand in a spec beside this one: names are unique among all."""
    from dbopt.suggest.naming import name

    beside = {} if str(path) == STDOUT else _beside(path)
    used = {*beside, *(one.name for one in report.suggestions)}
    made = []
    for one in report.suggestions:
        other = beside.get(one.name)
        if other is None:
            made.append(one)
            continue
        new = name(one.candidate, used)
        used.add(new)
        made.append(dataclasses.replace(one, name=new))
        session.messages.warn(
            f"{other} has an entry {one.name} already, which was not applied here: is {new} the same?"
        )
    return dataclasses.replace(report, suggestions=tuple(made))


def write_new(session: Session, out: Path, report: Report, about: Sequence[str]) -> bool:
    """Whether there was something to write."""
    from dbopt.suggest.writing import new_file

    if not report.suggestions and not report.drops and str(out) != STDOUT:
        session.output.note(f"nothing to suggest: {out} is not written")
        return False
    check(out, None)  # a search may take a minute
    is_stdout = str(out) == STDOUT
    text = new_file(
        report,
        domain=_DOMAIN if is_stdout else _domain(out),
        schema=_schema(report),
        about=about,
        taken=() if is_stdout else _beside(out),
    )
    if is_stdout:
        session.output.out.write(text)
    else:
        replace(out, text)
        session.output.note(f"wrote {out}: {_counted(len(report.suggestions), len(report.drops))}")
    return True


def update(session: Session, path: Path, report: Report) -> bool:
    """Whether there was something to write."""
    from dbopt.spec.files import read_text
    from dbopt.spec.load import load
    from dbopt.suggest.writing import update as merged

    [spec] = load([path]).files  # as it is now
    text = read_text(path)
    done = merged(report, spec, text, taken=_beside(path))
    if done.text != text:
        has_bom = path.read_bytes().startswith(_BOM.encode())
        replace(path, (_BOM if has_bom else "") + done.text)
    words = [
        f"{len(names)} {what}"
        for names, what in (
            (done.added, "appended"),
            (done.rewritten, "rewritten"),
            (done.dropped, "to drop"),
            (done.same, "there already"),
        )
        if names
    ]
    session.output.note(f"{path}: {', '.join(words) or 'nothing to suggest'}")
    for line in done.by_hand:
        session.messages.warn(f"{path}: {line}")
    return done.text != text


def _domain(path: Path) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-") or _DOMAIN


def _schema(report: Report) -> str:
    """Of most tables."""
    schemas = Counter(one.candidate.relation[0] for one in report.suggestions)
    schemas.update(drop.schema for drop in report.drops)
    return min(schemas, key=lambda name: (-schemas[name], name), default="public")


def _beside(path: Path) -> dict[str, Path]:
    """Names in the specs of its folder, itself left out, and which of these has it."""
    from dbopt.spec.files import spec_paths
    from dbopt.spec.load import load_collecting

    others = [other for other in spec_paths([path.parent])[0] if other.resolve() != path.resolve()]
    files_ = load_collecting(others)[0].files if others else ()
    return {name: file.path for file in files_ for one in file.indexes for name in (one.name, *one.was)}


def replace(path: Path, text: str) -> None:
    """Whole or not at all; a pipe is written to. Raises Error."""
    try:
        if files.is_special(path):
            path.write_text(text, encoding="utf-8")
        else:
            files.replace({path: text})
    except OSError as exc:
        raise Error(f"could not write {path}", detail=exc.strerror or str(exc)) from exc


def _counted(indexes: int, drops: int) -> str:
    parts = [f"{indexes} {'index' if indexes == 1 else 'indexes'}"] if indexes else []
    return ", ".join([*parts, *([f"{drops} to drop"] if drops else [])])
