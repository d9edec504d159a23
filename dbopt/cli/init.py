"""dbopt init."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.errors import EXIT_DONE

if TYPE_CHECKING:
    from dbopt.cli.session import Session

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; it is made if need be.")]


@command(
    "init",
    examples=("dbopt init", "dbopt init services/billing"),
    exits={0: "the files are written"},
    database=False,
)
def init(session: Session, folder: Folder = Path()) -> int:
    """Writes dbopt.yaml, indexes/ with a first spec, and the schema by which editors check and complete specs. Files
    that exist are never overwritten. The paths written are printed, one a line.
    """
    from dbopt.render.records import Column, write_records
    from dbopt.spec import starter

    written = starter.init(folder)
    write_records(session.output, "init", "files", [Column(name="file")], [[str(path)] for path in written])
    session.output.note("edit the spec, then run: dbopt lint")
    return EXIT_DONE
