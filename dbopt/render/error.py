"""An error in the form of PostgreSQL's own: what happened, why, what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.errors import Error, SpecError
from dbopt.render.escape import visible

if TYPE_CHECKING:
    from rich.text import Text

    from dbopt.render.output import Output


def format_error(error: Error) -> str:
    return _error(error).plain


def write_error(output: Output, error: Error) -> None:
    output.err.print(_error(error))


def _error(error: Error) -> Text:
    from rich.text import Text

    text = Text("dbopt: ")
    text.append("error:", "bold red").append(f" {visible(error.message)}")
    if isinstance(error, SpecError) and error.findings:
        from dbopt.render.findings import finding_text, ordered

        for finding in ordered(error.findings):
            text.append("\n").append_text(finding_text(finding))
    for label, said in (("detail", error.detail), ("hint", error.hint)):
        if said:
            first, *rest = said.splitlines()
            text.append("\n  ").append(f"{label}:", "bold").append(f" {visible(first)}")
            for more in rest:
                text.append(f"\n  {'':{len(label) + 1}} {visible(more)}")
    return text
