"""What a run came to: what changed, how long it took, what to look at next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.optimize.steps import ItemStatus
from dbopt.postgres.identifiers import display
from dbopt.render.escape import visible
from dbopt.render.output import Format
from dbopt.render.records import Column, write_data
from dbopt.render.table import table
from dbopt.render.words import STYLES, subject
from dbopt.units import format_duration

if TYPE_CHECKING:
    from rich.text import Text

    from dbopt.optimize.events import Result, StepFinished
    from dbopt.optimize.steps import Item
    from dbopt.render.output import Output

_COLUMNS = [
    Column(name="index"),
    Column(name="table"),
    Column(name="status", style=lambda status: STYLES[status]),
    Column(
        name="seconds", title="time", show=lambda seconds: format_duration(seconds) if seconds else "", align="right"
    ),
    Column(name="error"),
]


class Recap:
    """Keeps the hints while a run goes on, and at its end says all that people need in one place."""

    def __init__(self, output: Output, rerun: str) -> None:
        self._output = output
        self._rerun = rerun
        self._hints: dict[tuple[str, str, str | None], str] = {}

    def keep(self, event: StepFinished) -> None:
        if event.hint:
            self._hints[event.step.schema, event.step.table, event.step.index] = event.hint

    def write(self, result: Result) -> None:
        """For people without the unchanged items: those are only counted."""
        if self._output.format is not Format.TABLE:
            write_data(self._output, _COLUMNS, [_row(item) for item in result.items])
            return
        out = self._output.out
        changed = [item for item in result.items if item.status is not ItemStatus.UNCHANGED]
        if changed:
            out.write("\n")
            # A long error would squeeze the names; it has lines of its own below.
            out.print(table(_COLUMNS[:-1], [_row(item)[:-1] for item in changed]))
            out.write("\n")
        trouble = [item for item in changed if item.error]
        for item in trouble:
            out.print(self._trouble(item))
        if trouble:
            out.write("\n")
        out.write(_headline(result) + "\n")
        if result.interrupted or result.failed or result.refused or result.left:
            out.write(f"{_next(result)}: {visible(self._rerun)}\n")

    def _trouble(self, item: Item) -> Text:
        from rich.text import Text

        text = Text().append(f"{item.status:<9}", STYLES[item.status]).append(f" {subject(item)}: ")
        text.append(visible(item.error or ""))
        hint = self._hints.get((item.schema, item.table, item.index))
        return text.append("\n  ").append("hint:", "bold").append(f" {visible(hint)}") if hint else text


def result_document(result: Result) -> dict[str, Any]:
    return {
        "applied": result.applied,
        "failed": result.failed,
        "left": result.left,
        "refused": result.refused,
        "unchanged": result.unchanged,
        "seconds": result.seconds,
        "interrupted": result.interrupted,
        "items": [
            {
                "index": item.index,
                "table": display(item.schema, item.table),
                "status": item.status,
                "seconds": item.seconds,
                "error": item.error,
            }
            for item in result.items
        ],
    }


def _row(item: Item) -> list[object]:
    return [item.index, display(item.schema, item.table), item.status, item.seconds, item.error]


def _headline(result: Result) -> str:
    counts = {
        "applied": result.applied,
        "failed": result.failed,
        "left": result.left,
        "refused": result.refused,
        "unchanged": result.unchanged,
    }
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
    return f"{'interrupted: ' if result.interrupted else ''}{said} in {format_duration(result.seconds)}"


def _next(result: Result) -> str:
    if result.interrupted:
        return "To go on where this stopped"
    if result.left and not (result.failed or result.refused):
        return "What was applied stays. For what was left, run"
    return "What was applied stays. Once the causes above are removed, run"
