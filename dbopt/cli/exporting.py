"""What `dbopt export` does with what it has read: one file, several, or changes in one that is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt import files
from dbopt.errors import Error, UsageError
from dbopt.optimize import export_files
from dbopt.optimize.export import Choice, Exported, LeftOut, read
from dbopt.render.words import plural
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbopt.cli.session import Session
    from dbopt.optimize.export_update import Update
    from dbopt.spec.model import IndexSpec

STDOUT = "-"
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Call:
    session: Session
    schemas: tuple[str, ...]
    tables: tuple[str, ...]
    domain: str | None

    def __post_init__(self) -> None:
        if self.domain is not None and re.fullmatch(r"[a-z0-9_-]+", self.domain) is None:
            raise UsageError(f'"{self.domain}" is no name of a domain', hint="Use a-z, 0-9, _ and - only.")

    @property
    def choice(self) -> Choice:
        return Choice(self.schemas, self.tables)

    def read(self) -> tuple[list[Exported | LeftOut], str]:
        """What the database has, and its name."""
        with self.session.reading(self.session.target) as (conn, server):
            return list(read(conn, server, self.choice)), server.dbname


def to_one(call: Call, out: Path | None, *, force: bool) -> bool:
    """On stdout or to a file; whether nothing is missing."""
    path = None if out is None or str(out) == STDOUT else out
    if path is not None:
        _check([path], force=force)
    found, dbname = call.read()
    spec, others = export_files.in_one(found, domain=call.domain, dbname=dbname)
    text = export_files.text(spec, dbname)
    if path is None:
        call.session.output.out.write(text)
    else:
        _write({path: text}, force=force)
        call.session.output.note(f"wrote {path}: {plural(spec.indexes, 'index', 'indexes')}")
    for domain, count in others.items():
        call.session.output.note(f"{plural(count, 'index', 'indexes')} of domain {domain} left out")
    return _told(call, found)


def to_folder(call: Call, folder: Path, *, force: bool) -> bool:
    """A file for each domain, and the schema by which editors check them; whether nothing is missing."""
    from dbopt.spec import schema

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="Name a folder, or use -o FILE.")
    found, dbname = call.read()
    specs = export_files.by_domain(found, domain=call.domain)
    contents = {folder / f"{spec.domain}.yaml": export_files.text(spec, dbname) for spec in specs if spec.indexes}
    _check(contents, force=force)
    editor = folder / schema.FILE_NAME
    if contents and not editor.exists():
        contents[editor] = schema.PATH.read_text(encoding="utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise Error(f"could not make {folder}", detail=exc.strerror) from exc
    _write(contents, force=True)
    for spec in specs:
        if spec.indexes:
            path = folder / f"{spec.domain}.yaml"
            call.session.output.note(f"wrote {path}: {plural(spec.indexes, 'index', 'indexes')}")
    if not contents:
        call.session.output.note(f"{dbname} has no indexes to export: nothing was written")
    return _told(call, found)


def update(call: Call, path: Path) -> bool:
    """Changes in a spec that is there; whether nothing is left to look at."""
    from dbopt.optimize.export_update import compare
    from dbopt.spec.files import read_text, spec_paths
    from dbopt.spec.load import load, load_collecting
    from dbopt.spec.splice import spliced

    if path.is_dir():
        raise UsageError(f"{path} is a folder, and --update takes one spec", hint="Name a file in it.")
    [spec] = load([path]).files
    text = read_text(path)
    around = [other for other in spec_paths([path.parent])[0] if not other.samefile(path)]
    beside = load_collecting(around)[0].files if around else ()
    choice = call.choice if call.choice != Choice() else None
    with call.session.reading(call.session.target) as (conn, server):
        found = compare(conn, server, spec, beside, choice)
    done = spliced(text, [edit for _, edit in found.edits], found.additions)
    if done is None:
        raise Error(f"could not add to {path}: its form is too artful", hint="dbopt export writes the entries to copy.")
    if done.text != text:
        has_bom = path.read_bytes().startswith(_BOM.encode())
        _write({path: (_BOM if has_bom else "") + done.text}, force=True)
    changed = len(found.edits) - len(done.undone)
    words = [f"{len(found.additions)} appended"] if found.additions else []
    words += [f"{changed} rewritten"] if changed else []
    call.session.output.note(f"{path}: {', '.join(words) or 'up to date'}")
    by_hand = [(entry, edit.fields) for entry, edit in found.edits if edit in done.undone]
    return _told_of_update(call, found, by_hand)


def _told_of_update(call: Call, found: Update, by_hand: list[tuple[IndexSpec, Mapping[str, object]]]) -> bool:
    from dbopt.spec.write import flow

    def warn(entry: IndexSpec, words: str) -> None:
        call.session.messages.warn(f"{entry.source.file}: {words}")  # its lines may have moved by now

    for entry in found.gone:
        warn(entry, f"index {entry.schema_name}.{entry.name} is gone; its entry stays")
    for entry, fields in by_hand:
        shown = ", ".join(f"{key} {flow(value) if value is not None else 'none'}" for key, value in fields.items())
        warn(entry, f"{entry.name} has changed, and its entry has to be rewritten by hand: {shown}")
    for entry, item in found.others:
        warn(entry, f"{item.schema}.{item.name} on {item.table} is not as the entry says, which stays as it is")
    return _told(call, found.left_out) and not (found.gone or by_hand or found.others)


def _told(call: Call, found: Iterable[Exported | LeftOut]) -> bool:
    """Says what was left out; whether any of that is missing now."""
    left_out = [item for item in found if isinstance(item, LeftOut)]
    for item in left_out:
        call.session.messages.warn(export_files.left_out(item))
    return not any(item.is_lost for item in left_out)


def _check(paths: Iterable[Path], *, force: bool) -> None:
    """Before anybody waits: whether the files may be written. Raises UsageError."""
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint="Name a file in it, or use --out-dir.")
        if path.is_file() and not force:
            raise UsageError(
                f"{path} is there already",
                hint=f"--update {path} brings it up to the database; --force overwrites it.",
            )


def _write(contents: Mapping[Path, str], *, force: bool) -> None:
    _check(contents, force=force)
    try:
        special = [path for path in contents if files.is_special(path)]
        for path in special:
            path.write_text(contents[path], encoding="utf-8")
        files.replace({path: text for path, text in contents.items() if path not in special})
    except OSError as exc:
        names = ", ".join(map(str, contents))
        raise Error(f"could not write {names}", detail=exc.strerror or str(exc)) from exc
