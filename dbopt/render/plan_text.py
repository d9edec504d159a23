"""A plan for people: what is done, why, the SQL to paste, what it may cost and whom it waits for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from dbopt.optimize.steps import Action
from dbopt.render.escape import visible
from dbopt.render.findings import finding_text, ordered
from dbopt.render.sql import pasteable
from dbopt.render.words import STYLES, blocker, database, estimate, plural, subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rich.syntax import Syntax
    from rich.text import Text

    from dbopt.optimize.steps import Item, Plan, Step
    from dbopt.render.output import Stream

_LABEL_COLUMNS = 11  # as wide as "waits for" and the blanks after it


def write_text(out: Stream, plan: Plan, next_command: str | None) -> None:
    out.write(_headline(plan) + "\n")
    common = common_hazards(plan.steps)
    for number, step in enumerate(plan.steps, 1):
        out.write("\n")
        out.print(_step(number, step, out, common))
    if common:
        out.write("\n")
        for hazard, numbers in common.items():
            said = f"hazard of steps {ranges(numbers)}: {visible(hazard)}"
            out.write(_folded(said, _LABEL_COLUMNS, out.columns) + "\n")
    # An entry that an error refuses is told by that error, with file, line and hint.
    told = {(finding.index, finding.message) for finding in plan.findings}
    refused = [item for item in plan.refused if (item.index, item.error) not in told]
    if refused:
        out.write("\n")
        for item in refused:
            out.print(_refused(item))
    if plan.findings:
        out.write("\n")
        for finding in ordered(plan.findings):
            out.print(finding_text(finding))
    if plan.steps and next_command:
        out.write(f"\nTo apply: {visible(next_command)}\n")


def script(step: Step) -> list[str]:
    """All that a step runs, in a form that can be pasted into psql: its settings hold for its statements only."""
    quoted = {name: value.replace("'", "''") for name, value in step.settings.items()}
    before = [f"SET {name} = '{value}'" for name, value in quoted.items()]
    after = [f"RESET {name}" for name in quoted]
    return [pasteable(statement) for statement in (*before, *step.statements, *after)]


def _headline(plan: Plan) -> str:
    summary = plan.summary()
    unchanged = summary["unchanged"]
    refused = [f"{len(plan.refused)} refused"] if plan.refused else []
    if not plan.steps:
        said = [plural(unchanged, "index", "indexes") + " unchanged", *refused]
        return f"nothing to do: {', '.join(said)} on {database(plan.target)}"
    counts = [f"{summary[action.value]} to {action}" for action in Action if summary[action.value]]
    return f"{', '.join([*counts, *refused, f'{unchanged} unchanged'])} on {database(plan.target)}"


def common_hazards(steps: Sequence[Step]) -> dict[str, list[int]]:
    """The hazards of more than one step, with the numbers of the steps: said once, not at each."""
    numbers: dict[str, list[int]] = {}
    for number, step in enumerate(steps, 1):
        for hazard in step.hazards:
            numbers.setdefault(hazard, []).append(number)
    return {hazard: found for hazard, found in numbers.items() if len(found) > 1}


def ranges(numbers: Sequence[int]) -> str:
    """`2-5, 7` for 2, 3, 4, 5, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _step(number: int, step: Step, out: Stream, common: Collection[str]) -> Text:
    from rich.text import Text

    text = Text(f"{number}. ").append(step.action.value, STYLES[step.action]).append(" ")
    text.append(subject(step), "bold")
    if step.domain:
        text.append(f"  ({visible(step.domain)})", "dim")
    columns = out.columns
    for label, said in _facts(step, common):
        text.append("\n   ").append(f"{label:<{_LABEL_COLUMNS}}", "yellow" if label == "hazard" else "dim")
        text.append(_folded(said, _LABEL_COLUMNS + 3, columns))
    text.append("\n")
    for statement in script(step):
        text.append("\n").append_text(_sql(statement, out.color))
    return text


def _facts(step: Step, common: Collection[str]) -> Iterator[tuple[str, str]]:
    yield "reason", visible(step.reason)
    for hazard in step.hazards:
        if hazard not in common:
            yield "hazard", visible(hazard)
    if step.estimate:
        yield "estimate", estimate(step.estimate)
    for who in step.waits_for:
        yield "waits for", blocker(who)


def _folded(prose: str, indent: int, columns: int) -> str:
    """Lines that fit beside the labels, counted in cells: some characters take two."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    if indent + cell_len(prose) <= columns:
        return prose
    lines = Text(prose).wrap(Console(), max(columns - indent, 1), overflow="fold")
    return ("\n" + " " * indent).join(line.plain.rstrip() for line in lines)


def _sql(statement: str, color: bool) -> Text:
    """Indented, in lines of its own; the lines of a literal have become escapes, so that indenting is harmless."""
    from rich.text import Text

    text = "\n".join("      " + line for line in statement.split("\n"))
    if not color:
        return Text(text)
    highlighted = _syntax().highlight(text)
    highlighted.rstrip()
    return highlighted


@cache
def _syntax() -> Syntax:
    from rich.syntax import Syntax

    return Syntax("", "postgresql", theme="ansi_dark", background_color="default")


def _refused(item: Item) -> Text:
    from rich.text import Text

    text = Text().append("refused", "yellow").append(f" {subject(item)}: ")
    return text.append(visible(item.error or "no reason given"))
