"""dbopt export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, UsageError
from dbopt.render.output import Format

if TYPE_CHECKING:
    from dbopt.cli.session import Session

_WHAT, _WHERE = "What is exported", "Where it is written"

Schema = Annotated[
    list[str] | None,
    typer.Option(
        "--schema",
        metavar="PATTERN",
        help="Only tables of this schema; * and ? stand for any; several times.",
        rich_help_panel=_WHAT,
    ),
]
Table = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="PATTERN",
        help="Only this table, with its schema or without; * and ? stand for any; several times.",
        rich_help_panel=_WHAT,
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(
        "--domain",
        metavar="NAME",
        help="Domain of indexes that carry no mark of dbopt's; without it, it is called like their schema.",
        rich_help_panel=_WHAT,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="FILE", help="One file, instead of stdout.", rich_help_panel=_WHERE),
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--out-dir", metavar="FOLDER", help="One file a domain; the folder is made if need be.", rich_help_panel=_WHERE
    ),
]
UpdateFile = Annotated[
    Path | None,
    typer.Option(
        "--update",
        metavar="FILE",
        help="Bring a spec up to the database: new indexes are appended, changed definitions rewritten in place.",
        rich_help_panel=_WHERE,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.", rich_help_panel=_WHERE)]


@command(
    "export",
    examples=("dbopt export", "dbopt export --domain shop -o shop.yaml", "dbopt export --out-dir specs/"),
    exits={
        0: "every index is written, or up to date",
        1: "written, but for what stderr names: an index that could not be read or said, an entry whose index is gone",
    },
    formats=(Format.YAML,),
)
def export(
    session: Session,
    schema: Schema = None,
    table: Table = None,
    domain: Domain = None,
    out: Out = None,
    out_dir: OutDir = None,
    update: UpdateFile = None,
    force: Force = False,
) -> int:
    """Writes the indexes that a database has as a spec: `dbopt plan` with it finds nothing to do. What constraints
    brought is left out, as are system catalogs, temporary tables, what belongs to extensions, and INVALID indexes, of
    which a comment tells. Indexes that dbopt made stay in the domain that their mark names. --update leaves everything
    else in the file as it is, comments too; it compares as plan does, and so needs the primary. Without it a standby
    will do, and a role without any rights on the tables. The session is read-only.
    """
    from dbopt.cli import exporting

    targets = [name for name, value in (("-o", out), ("--out-dir", out_dir), ("--update", update)) if value is not None]
    if len(targets) > 1:
        raise UsageError(f"{' and '.join(targets)} exclude each other", hint="Choose one.")
    if force and out is None and out_dir is None:
        raise UsageError("--force is for -o and --out-dir", hint="Leave it out.")
    if domain is not None and update is not None:
        raise UsageError("--domain is not for --update: a spec has its domain", hint="Leave it out.")
    call = exporting.Call(session, tuple(schema or ()), tuple(table or ()), domain)
    if update is not None:
        is_whole = exporting.update(call, update)
    elif out_dir is not None:
        is_whole = exporting.to_folder(call, out_dir, force=force)
    else:
        is_whole = exporting.to_one(call, out, force=force)
    return EXIT_DONE if is_whole else EXIT_ATTENTION
