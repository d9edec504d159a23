"""What a reset is going to do, and what it or a baseline did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.postgres.identifiers import text
from dbopt.postgres.resets import What
from dbopt.render.escape import visible
from dbopt.render.output import Format
from dbopt.render.records import Column, write_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.cli.resetting import Outcome
    from dbopt.postgres.resets import Reset
    from dbopt.render.output import Output

_STYLES = {"reset": "green", "failed": "bold red", "unknown": "bold red", "not tried": "yellow"}
_COLUMNS = [
    Column(name=name)
    for name in ("target", "mark", "marked_at", "kind", "what", "state", "scope", "statements", "error")
]
_CALLS_SHOWN = 3
_DEAD_ROWS = (What.DATABASE, What.TABLES)


def write_plan(output: Output, name: str, dbname: str, resets: Sequence[Reset], *, keeps: bool) -> None:
    """On stdout where that is for people, else on stderr, as stdout is for the result."""
    out = output.out if output.format is Format.TABLE else output.err
    lines = [f"{visible(name)} ({visible(dbname)}): to be reset on the server", ""]
    for item in resets:
        lines.append(f"  {item.what:<12}{visible(item.scope)}")
        lines += [f"      {visible(text(call))};" for call in item.calls[:_CALLS_SHOWN]]
        if len(item.calls) > _CALLS_SHOWN:
            lines.append(f"      and {len(item.calls) - _CALLS_SHOWN:,} such calls more")
    lines += [
        "",
        "Other readers of these counters, such as monitoring, see them fall to zero and lose what they had not read.",
    ]
    if any(item.is_shared for item in resets):
        lines.append("Some are those of the whole server: its other databases start anew too.")
    if any(item.what in _DEAD_ROWS for item in resets):
        lines.append(
            "Autovacuum forgets how many dead rows it has seen, and comes later: run ANALYZE afterwards, which counts"
            " them."
        )
    lines.append(
        "What the counters say is kept in the store first: history goes on over the reset."
        if keeps
        else "What the counters say is NOT kept (--no-store)."
    )
    out.write("\n".join(lines) + "\n\n")


def write_outcomes(output: Output, outcomes: Sequence[Outcome], *, call: str) -> None:
    """`call`: what shows the counters from the mark on."""
    if output.format is Format.TABLE:
        for outcome in outcomes:
            _write_for_people(output, outcome)
        if any(outcome.mark_id is not None for outcome in outcomes):
            output.out.write(f"\nTo see what came since: {call}\n")
        return
    rows = [row for outcome in outcomes for row in _rows(outcome, as_list=output.format is Format.JSON)]
    targets = [
        {
            "target": outcome.target,
            "server": outcome.server,
            "dbname": outcome.dbname,
            "mark": outcome.mark_id,
            "kept": outcome.families if outcome.store is not None else [],
            "missing": [
                {"family": family, "reason": why, "hint": hint} for family, (why, hint) in outcome.missing.items()
            ],
        }
        for outcome in outcomes
    ]
    write_records(output, "reset-metrics", "resets", _COLUMNS, rows, more={"targets": targets})


def _rows(outcome: Outcome, *, as_list: bool) -> list[list[Any]]:
    head = [outcome.target, outcome.mark_id, outcome.marked_at, outcome.kind]
    if not outcome.steps:
        return [[*head, "baseline", "marked", "all counters", [] if as_list else None, None]]
    rows = []
    for step in outcome.steps:
        calls = [text(call) for call in step.reset.calls]
        rows.append(
            [*head, step.reset.what, step.state, step.reset.scope, calls if as_list else "; ".join(calls), step.error]
        )
    return rows


def _write_for_people(output: Output, outcome: Outcome) -> None:
    from rich.text import Text

    at = outcome.marked_at.astimezone().isoformat(sep=" ", timespec="seconds")
    place = f"{visible(outcome.target)} ({visible(outcome.dbname)})"
    if not outcome.steps:
        output.out.write(
            f"{place}: counts from {at} on, mark {outcome.mark_id}\n"
            f"  kept in {visible(outcome.store or '')}: {', '.join(outcome.families)}\n"
            "  nothing was reset on the server\n"
        )
        for family, (why, hint) in outcome.missing.items():
            output.out.write(f"  without {family}: {visible(why)}" + (f"; {visible(hint)}\n" if hint else "\n"))
        return
    if outcome.mark_id is not None:
        kept = f"what they said at {at} is kept, mark {outcome.mark_id}"
    else:
        kept = "no mark was set"
    output.out.write(f"{place}: {kept}\n")
    for step in outcome.steps:
        line = Text("  ").append(f"{step.state:<10}", _STYLES[step.state]).append(visible(step.reset.scope))
        output.out.print(line.append(f": {visible(step.error)}") if step.error else line)
