"""What `dbopt suggest` has found, in each format.

write_suggestions(output, report, about=..., call=...)    the list
write_suggestions(..., explain="orders_open_idx")         one of it: statements, plans before and after
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.errors import UsageError
from dbopt.postgres.identifiers import display
from dbopt.render.output import Format
from dbopt.spec.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.measurement import About
    from dbopt.render.output import Output
    from dbopt.suggest.model import Report, Suggestion

    Call = Callable[..., str]


def write_suggestions(
    output: Output,
    report: Report,
    *,
    about: About,
    call: Call | None,
    explain: str | None = None,
    window: str | None = None,
    written: str | None = None,
) -> None:
    """`call`: a command on the same database with these words, as it can be pasted: `call("plan", "new.yaml")`;
    `call("suggest", ...)` repeats what was asked for. None: nothing is said of what to type next. `explain`: one
    suggestion in depth. `window`: which workload this is: `the last 58 min, by readings in the store`. `written`: the
    spec that was written. Raises UsageError where nothing of the name `explain` is suggested.
    """
    if explain is not None:
        from dbopt.render.suggest_explain import write_one

        write_one(output, report, _named(report, explain), about=about, window=window)
        return
    match output.format:
        case Format.TABLE:
            from dbopt.render.suggest_table import write_table

            write_table(output.out, report, about=about, call=call, window=window, written=written)
        case Format.MARKDOWN:
            from dbopt.render.suggest_markdown import page

            output.out.write(page(report, about=about, window=window))
        case Format.JSON:
            from dbopt.render import json
            from dbopt.render.suggest_json import document

            json.write_document(output.out, document(report, about=about, window=window))
        case _:
            from dbopt.render.records import write_data
            from dbopt.render.suggest_records import COLUMNS, records

            write_data(output, COLUMNS, records(report))
            for line in _notes(report):
                output.note(f"note: {line}")


def _notes(report: Report) -> list[str]:
    """What is no record."""
    from dbopt.render import suggest_words as words

    lines = list(words.nothing(report)) if not report.suggestions else []
    lines += list(filter(None, [words.unfinished(report)]))
    lines += [f"not analyzed: {said}{_hint(hint)}" for said, hint in words.unread(report)]
    lines += report.notes
    lines += [f"not known: {reason}{_hint(hint)}" for reason, hint in report.lacks]
    return lines


def _hint(hint: str | None) -> str:
    return f" ({hint})" if hint else ""


def _named(report: Report, name: str) -> Suggestion:
    """By its name; where tables of several schemas have one of that name, with the schema in front."""
    schemas = [(one.candidate.relation[0], one) for one in report.suggestions]
    found = [one for schema, one in schemas if name in (one.name, display(schema, one.name))]
    if len(found) == 1:
        return found[0]
    if found:
        known = [display(schema, one.name) for schema, one in schemas if one in found]
        raise UsageError(f"{name} is suggested in several schemas", hint=f"Name one of them: {', '.join(known)}.")
    known = [one.name for one in report.suggestions]
    hint = did_you_mean(name, known) if known else "dbopt suggest says why there is none."
    detail = f"suggested: {', '.join(known)}" if known else "no index is suggested for this workload"
    raise UsageError(f"no index {name} is suggested", detail=detail, hint=hint)
