"""Where a migration goes, and what it is called there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbopt import __version__
from dbopt.errors import UsageError
from dbopt.render.output import Format
from dbopt.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt.optimize.migration import Migration
    from dbopt.render.output import Output

BASE = "base"  # Alembic's word for what comes before the first revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of a call."""

    form: Format
    alembic: Path | None
    out: Path | None
    down: Path | None
    message: str | None
    down_revision: str | None
    rev_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Of a revision: what it comes after (None: nothing), its id, and its folder where that is known."""

    down_revision: str | None
    rev_id: str
    folder: Path | None


def place(wishes: Wishes) -> Place | None:
    """None for plain SQL. Raises UsageError for what makes no sense together, before any server is asked."""
    if wishes.form is Format.SQL:
        given = {"--alembic": wishes.alembic, "--down-revision": wishes.down_revision, "--rev-id": wishes.rev_id}
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"{option} belongs to --format alembic", hint="Leave one of them out.")
        return None
    if wishes.down is not None:
        raise UsageError("--down belongs to --format sql", hint="A revision has the way back in downgrade().")
    if wishes.alembic is not None and wishes.out is not None:
        raise UsageError("--alembic and --out contradict each other", hint="Use one of them.")
    if wishes.rev_id is not None and not re.fullmatch(r"\w+", wishes.rev_id):
        raise UsageError(f'"{wishes.rev_id}" cannot be the id of a revision', hint="Use letters, digits and _.")
    from dbopt.cli import revisions

    found = None if wishes.alembic is None else revisions.read(wishes.alembic)
    if wishes.down_revision is not None:
        after = None if wishes.down_revision == BASE else wishes.down_revision
    elif found is not None:
        after = found.head
    else:
        raise UsageError(
            "which revision comes before this one is not known",
            hint="Name Alembic's folder by --alembic, or the revision by --down-revision (base: none).",
        )
    rev_id = wishes.rev_id or revisions.new_id()
    return Place(down_revision=after, rev_id=rev_id, folder=None if found is None else found.folder)


def write(output: Output, migration: Migration, wishes: Wishes, place: Place | None) -> None:
    """To the files, or to stdout. Raises UsageError for a file that cannot be written."""
    now = datetime.now(UTC)
    message = wishes.message or f"indexes of {migration.dbname}"
    domains = sorted({step.domain for step in migration.up if step.domain is not None})
    origin = f"Made by dbopt {__version__} on {now:%Y-%m-%d} for {migration.dbname}"
    origin += f", from the specs of {', '.join(domains)}." if domains else "."
    if place is None:
        from dbopt.render.migration import sql_down_text, sql_text

        _write(output, wishes.out, sql_text(migration, message=message, origin=origin))
        if wishes.down is not None:
            _write(output, wishes.down, sql_down_text(migration, message=message, origin=origin))
        return
    from dbopt.cli.revisions import file_name
    from dbopt.render.revision import Header, revision_text

    header = Header(
        revision=place.rev_id, down_revision=place.down_revision, message=message, created=now, remarks=(origin,)
    )
    path = wishes.out if place.folder is None else place.folder / file_name(place.rev_id, message)
    _write(output, path, revision_text(migration, header))


def _write(output: Output, path: Path | None, text: str) -> None:
    if path is None:
        output.out.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"could not write {path}", detail=exc.strerror or str(exc)) from exc
    output.note(f"wrote {path}")
