"""Past runs, and one of them with its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.optimize.steps import Action
from dbopt.postgres.identifiers import display
from dbopt.render.escape import visible
from dbopt.render.output import Format
from dbopt.render.records import Column, write_records
from dbopt.render.sql import pasteable
from dbopt.render.words import STYLES
from dbopt.store.records import Outcome
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from dbopt.render.output import Output
    from dbopt.store.records import RunRecord, StepRecord

_OUTCOME_STYLES = {
    Outcome.DONE: "green",
    Outcome.ATTENTION: "yellow",
    Outcome.INTERRUPTED: "yellow",
    Outcome.UNFINISHED: "bold red",
}


_COUNTS = ("applied", "failed", "left_over", "refused", "unchanged")

_SECONDS = Column(name="seconds", title="time", show=format_duration, align="right")
_OUTCOME = Column(name="outcome", style=lambda outcome: _OUTCOME_STYLES[outcome])

# People see what tells runs apart; programs get every field of a RunRecord under its name.
_RUN_FOR_PEOPLE = [
    Column(name="id", title="run", align="right"),
    Column(name="started_at", title="started", show=lambda time: f"{time.astimezone():%Y-%m-%d %H:%M}"),
    Column(name="target_name", title="target"),
    Column(name="counts", title="indexes"),
    _SECONDS,
    _OUTCOME,
]
_RUN_FOR_PROGRAMS = [
    Column(name=name)
    for name in (
        *("id", "started_at", "finished_at", "seconds", "outcome", "command", "target_name", "dbname", "server"),
        *("server_version", "os_user", "role", "planned", *_COUNTS, "interrupted", "spec_digest", "plan_state"),
        *("dbopt_version", "name"),
    )
]
_STEP_FOR_PEOPLE = [
    Column(name="number", title="step", align="right"),
    Column(name="action", style=lambda action: STYLES[Action(action)]),
    Column(name="index"),
    Column(name="table"),
    Column(name="size_before_bytes", title="before", show=format_bytes, align="right"),
    Column(name="size_bytes", title="size", show=format_bytes, align="right"),
    _SECONDS,
    _OUTCOME,
]
_STEP_FOR_PROGRAMS = [
    Column(name=name)
    for name in (
        *("number", "action", "index", "table", "domain", "started_at", "seconds", "size_bytes", "outcome", "error"),
        *("hint", "reason", "statements", "size_before_bytes", "built_seconds", "table_bytes"),
    )
]


def write_runs(output: Output, runs: Sequence[RunRecord]) -> None:
    columns = _RUN_FOR_PEOPLE if output.format is Format.TABLE else _RUN_FOR_PROGRAMS
    rows = [_row(columns, {**_fields(run), "counts": _counts(run)}) for run in runs]
    write_records(output, "history", "runs", columns, rows)


def write_run(output: Output, run: RunRecord, steps: Sequence[StepRecord]) -> None:
    """Lines and csv hold the steps alone; people also see the SQL and the errors, below the table."""
    people, document = output.format is Format.TABLE, output.format is Format.JSON
    columns = _STEP_FOR_PEOPLE if people else _STEP_FOR_PROGRAMS
    rows = [_row(columns, _step_fields(step, as_list=document)) for step in steps]
    if people:
        output.out.write(_heading(run))
    write_records(output, "history", "steps", columns, rows, more={"run": _fields(run)})
    if people:
        for step in steps:
            output.out.print(_details(step))


def _row(columns: Sequence[Column], fields: dict[str, Any]) -> list[object]:
    return [fields[column.name] for column in columns]


def _fields(run: RunRecord) -> dict[str, Any]:
    return {column.name: getattr(run, column.name) for column in _RUN_FOR_PROGRAMS}


def _counts(run: RunRecord) -> str:
    words = ((name.removesuffix("_over"), getattr(run, name)) for name in _COUNTS)
    return ", ".join(f"{count} {word}" for word, count in words if count)


def _step_fields(step: StepRecord, *, as_list: bool) -> dict[str, Any]:
    return {
        "number": step.number,
        "action": step.action,
        "index": step.index_name,
        "table": display(step.schema_name, step.table_name),
        "domain": step.domain,
        "started_at": step.started_at,
        "seconds": step.seconds,
        "size_bytes": step.size_bytes,
        "size_before_bytes": step.size_before_bytes,
        "built_seconds": step.built_seconds,
        "table_bytes": step.table_bytes,
        "outcome": step.outcome,
        "error": step.error,
        "hint": step.hint,
        "reason": step.reason,
        "statements": step.statements if as_list else "\n".join(map(pasteable, step.statements)),
    }


def _heading(run: RunRecord) -> str:
    took = "" if run.seconds is None else f" in {format_duration(run.seconds)}"
    started = run.started_at.astimezone().isoformat(sep=" ", timespec="seconds")
    return (
        f"run {run.id}: {run.command} on {visible(run.target_name)}"
        f" ({visible(run.dbname)}, PostgreSQL {visible(run.server_version)}), {run.outcome}{took}\n"
        f"started {started} by {visible(run.os_user)} as {visible(run.role)}"
        f" with dbopt {run.dbopt_version}\n"
        + (f"dropped indexes can be made again: dbopt optimize --undo {visible(run.name)}\n" if run.name else "")
        + "\n"
    )


def _details(step: StepRecord) -> Text:
    from rich.text import Text

    text = Text(f"\nstep {step.number}: {visible(step.reason)}")
    for label, said in (("error", step.error), ("hint", step.hint)):
        if said:
            text.append("\n  ").append(f"{label}:", "bold").append(f" {visible(said)}")
    return text.append("".join(f"\n{pasteable(statement)}" for statement in step.statements))
