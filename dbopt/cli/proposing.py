"""One call of `dbopt suggest`: the workload, the search, and what is written and shown of the list."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbopt.cli import suggested_files, suggesting
from dbopt.cli.session import without_password
from dbopt.render.suggest import write_suggestions
from dbopt.render.working import Working

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.cli.session import Session
    from dbopt.cli.suggesting import Gathered, Wishes
    from dbopt.suggest.model import Report
    from dbopt.suggest.options import Options


def propose(session: Session, wishes: Wishes, options: Options, given: Mapping[str, Any]) -> None:
    """`given`: the options as they were typed, None: not. Raises Error."""
    scratch = None if given["--scratch"] is None else _conninfo(session, given["--scratch"])
    found, report = _report(session, wishes, options, scratch)
    _show(session, found, report, given)


def _report(session: Session, wishes: Wishes, options: Options, scratch: str | None) -> tuple[Gathered, Report]:
    from dbopt.suggest.engine import suggest as engine

    with Working(session.output) as working:
        working.say("reading the workload")
        with suggesting.gathered(session, wishes) as found:
            report = engine(
                found.reader.conn,
                found.reader.server,
                found.inputs.items,
                options,
                unread=found.inputs.unread,
                seconds=found.seconds,
                scratch=scratch,
                progress=working.say,
            )
    return found, replace(report, notes=(*found.notes, *report.notes), lacks=(*found.lacks, *report.lacks))


def _show(session: Session, found: Gathered, report: Report, given: Mapping[str, Any]) -> None:
    out, update = given["-o"], given["--update"]
    is_written = False
    if out is not None or update is not None:
        report = suggested_files.renamed(session, report, out or update)
    if out is not None:
        about = [f"Database {found.about.dbname}; {found.window}."]
        is_written = suggested_files.write_new(session, out, report, about)
    elif update is not None:
        is_written = suggested_files.update(session, update, report)
    if is_written and not given["--no-store"]:
        from dbopt.cli.remembering import remember

        remember(session, session.target, found.reader.server, report)
    if str(out) == suggested_files.STDOUT:
        return
    asked = _words(given)

    def call(name: str, *words: str) -> str:
        return session.call(name, *(asked if name == "suggest" else ()), *words, specs=False)

    write_suggestions(
        session.output,
        report,
        about=found.about,
        call=call,
        explain=given["--explain"],
        window=found.window,
        written=str(out or update) if is_written else None,
    )


def _conninfo(session: Session, scratch: str) -> str:
    """As libpq takes it. Raises ConfigError."""
    from dbopt.postgres import dsn

    parsed = dsn.translate(scratch, source="--scratch")
    session.messages.stream.add_secrets({parsed.parameters.get("password", "")})
    if dsn.is_complete(scratch):
        return parsed.conninfo
    here = {key: setting.value for key, setting in session.target.parameters.items()}
    return dsn.conninfo({**here, **parsed.parameters})


def _words(given: Mapping[str, Any]) -> list[str]:
    """What was asked for, to be asked for again; not where it is written, what of it is shown, nor a password."""
    found = []
    for option, value in given.items():
        if value is None or option in ("-o", "--update", "--explain", "--review"):
            continue
        if option == "--scratch":
            found += [option, without_password(value)]
            continue
        for one in value if isinstance(value, list) else [value]:
            found += [option] if one is True else [option, str(one)]
    return found
