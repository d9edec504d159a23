"""The way back from drops, in a file that is there before the first of them: `undo-RUN.sql`.

Plain SQL, whose statements are those that dbopt itself runs, one for each message: psql can run it too. Its first line
says for which database it is. What makes an index anew comes from the server's own words at the time of the drop.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt import __version__, grammar
from dbopt.errors import Error, PlanMismatch, UsageError
from dbopt.optimize import decide, kinds, reversal
from dbopt.optimize.steps import Action
from dbopt.postgres import index_definitions
from dbopt.postgres.identifiers import text
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from dbopt.optimize.steps import Plan, Step
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_definitions import IndexDefinition
    from dbopt.postgres.server import Server

_FORMAT = 1
_FIRST = "-- dbopt undo "
_MAX_BYTES = 50 * 1024 * 1024  # as plan files
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DROPS = (kinds.Kind.DROP, kinds.Kind.DROP_TREE)

Name = tuple[str, str]  # schema, index


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A file that was read. `statements` are of the forms that dbopt writes."""

    path: Path
    dbname: str
    system_identifier: str | None
    statements: tuple[str, ...]


def run_name(now: datetime) -> str:
    """A name for a run that people can type and that sorts by time: `20270131T0312-7f3a`. `now` in UTC."""
    return f"{now:%Y%m%dT%H%M}-{secrets.token_hex(2)}"


def has_drops(plan: Plan) -> bool:
    return any(step.action is Action.DROP for step in plan.steps)


def write(
    conn: Connection, server: Server, plan: Plan, folder: Path, run: str, *, now: datetime, call: str | None = None
) -> Path | None:
    """Write what it takes to undo a plan's drops, all of it or no file; None without any. `call`: what to paste.

    Raises Error when the file cannot be written, and psycopg errors.
    """
    statements = [statement for step in plan.steps for statement in undoing(conn, server, step)]
    if not statements:
        return None
    path = folder / f"undo-{run}.sql"
    head = {"format": _FORMAT, "dbname": server.dbname, "system_identifier": server.system_identifier}
    comments = [
        f"written at {now:%Y-%m-%dT%H:%M:%SZ} by dbopt {__version__}, before the indexes below were dropped",
        f"to make them again: {call or f'dbopt optimize --undo {run}'}",
        "or, outside a transaction and in UTF8: psql -f with this file",
    ]
    lines = [_FIRST + json.dumps(head), *("-- " + " ".join(line.splitlines()) for line in comments), ""]
    try:
        _write(path, "\n".join([*lines, *(f"{statement};" for statement in statements), ""]))
    except OSError as exc:
        raise Error(
            f"could not write {path}, which would say how to make again what is dropped",
            detail=exc.strerror or str(exc),
            hint="Nothing was changed. Run dbopt in a folder that you may write to.",
        ) from exc
    return path


def undoing(conn: Connection, server: Server, step: Step) -> tuple[str, ...]:
    """What makes again the indexes that a step drops for good, in the order of running."""
    if step.action is not Action.DROP:
        return ()
    dropped = {_dropped(one) for one in step.statements if kinds.kind(one) in _DROPS}
    if not dropped:
        return ()
    rows = index_definitions.definitions(conn, server, [(step.schema, step.table)])
    family = _family(rows, dropped)
    statements: list[str] = []
    for row in family:
        statements.append(reversal.create_statement(row, row.index))
        if row.comment is not None:
            statements.append(decide.comment_on(row.schema, row.index, row.comment))
        statements += reversal.extra_statements(row)
    made = {(row.schema, row.index) for row in family}
    statements += [_attach(row) for row in reversed(family) if _parent(row) in made]
    return tuple(statements)


def find(run: str, folder: Path) -> Path:
    """The file of a run that was named, or the file itself. Raises UsageError."""
    named = folder / f"undo-{run}.sql"
    if _RUN.fullmatch(run) and named.exists():
        return named
    if Path(run).is_file():
        return Path(run)
    known = sorted(path.name for path in folder.glob("undo-*.sql"))
    raise UsageError(
        f"there is no {named.name if _RUN.fullmatch(run) else run} to undo a run with",
        detail=f"here are {', '.join(known[-5:])}" if known else "no run that drops was made from this folder",
        hint="dbopt optimize writes it to the folder it is run in: name the run, or the file with its path.",
    )


def read(path: Path) -> Undo:
    """Read a file, every statement checked to be one of those that dbopt writes there. Raises PlanMismatch."""
    import postgast

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PlanMismatch(f"{path} is too large to be an undo file", detail=f"more than {_MAX_BYTES} bytes")
        content = path.read_text("utf-8")
    except OSError as exc:
        raise PlanMismatch(f"could not read {path}", detail=exc.strerror or str(exc)) from exc
    except ValueError as exc:
        raise PlanMismatch(f"{path} is no undo file", detail=str(exc)) from exc
    head = _head(content)
    if head is None:
        raise PlanMismatch(f"{path} is no undo file of this dbopt", detail=f"it does not begin with {_FIRST.strip()!r}")
    try:
        found = postgast.split(content)
    except (postgast.PgQueryError, UnicodeError) as exc:
        raise PlanMismatch(f"{path} is no undo file", detail=str(exc)) from exc
    statements = tuple(statement.strip() for statement in found)
    for statement in statements:
        kinds.kind(statement)
    dbname, system_identifier = head
    return Undo(path=path, dbname=dbname, system_identifier=system_identifier, statements=statements)


def require_match(server: Server, undo: Undo) -> None:
    """Raises PlanMismatch unless the file was written for this database."""
    if (undo.system_identifier, undo.dbname) == (server.system_identifier, server.dbname):
        return
    raise PlanMismatch(
        f"{undo.path.name} was written for another database than {server.dbname}",
        detail=f"written for {undo.dbname} of system {undo.system_identifier}, "
        f"connected to {server.dbname} of system {server.system_identifier}",
        hint="Connect to that database.",
    )


def _family(rows: Sequence[IndexDefinition], dropped: Collection[Name]) -> list[IndexDefinition]:
    """The indexes that are dropped, each before its parts. What a broken build has left is not missed; an INVALID index
    with a comment was whole once.
    """
    found: list[IndexDefinition] = []
    level = [row for row in rows if (row.schema, row.index) in dropped]
    while level:
        found += level
        names = {(row.schema, row.index) for row in level}
        level = [row for row in rows if _parent(row) in names]
    return [row for row in found if row.is_usable or row.relkind == "I" or row.comment is not None]


def _parent(row: IndexDefinition) -> Name | None:
    return None if row.parent_schema is None or row.parent is None else (row.parent_schema, row.parent)


def _attach(row: IndexDefinition) -> str:
    parent = _parent(row)
    assert parent is not None
    statement = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}")
    return text(statement.format(sql.Identifier(*parent), sql.Identifier(row.schema, row.index)))


def _dropped(statement: str) -> Name:
    schema, index = grammar.parse_one(statement).drop_stmt.objects[0].list.items
    return str(schema.string.sval), str(index.string.sval)


def _head(content: str) -> tuple[str, str | None] | None:
    """Database and system of the first line."""
    first = content.partition("\n")[0]
    if not first.startswith(_FIRST):
        return None
    try:
        head = json.loads(first.removeprefix(_FIRST))
    except (ValueError, RecursionError):
        return None
    if not isinstance(head, dict) or head.get("format") != _FORMAT or not isinstance(head.get("dbname"), str):
        return None
    return head["dbname"], head.get("system_identifier")


def _write(path: Path, content: str) -> None:
    """On the disk, not only in memory, when it comes back: what is dropped then is gone. Never over another run's.
    Raises OSError.
    """
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink()
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
