"""What health has found over time, and where counting began anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.escape import visible
from dbopt.render.history_values import counted, day_time
from dbopt.render.output import Format
from dbopt.render.records import Column, write_records
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from dbopt.render.output import Output
    from dbopt.store.chronicle import Database, Found, Runs, Stretch
    from dbopt.store.marks import Mark

_STYLES = {"critical": "bold red", "warning": "yellow", "unknown": "magenta", "ok": "green", "skipped": "dim"}
_FINDINGS = [
    Column(name=name)
    for name in (
        *("check", "subject", "status", "state", "first_at", "last_at", "seconds", "runs", "measure", "target"),
        "dbname",
    )
]
_MARK_FOR_PEOPLE = [
    Column(name="marked_at", title="when", show=day_time),
    Column(name="kind"),
    Column(name="scope", title="of what"),
    Column(name="os_user", title="by"),
    Column(name="role"),
    Column(name="target"),
]
_MARK_FOR_PROGRAMS = [
    Column(name=name) for name in ("marked_at", "kind", "scope", "os_user", "role", "target", "dbname", "server")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage:
    """Of one database, within a time. `checks`: what the check that was asked for has said. `left_out`: older ones."""

    database: Database
    runs: Sequence[Runs]
    findings: Sequence[Found]
    checks: Sequence[Stretch] = ()
    left_out: int = 0


def write_health(output: Output, pages: Sequence[HealthPage]) -> None:
    if output.format is Format.TABLE:
        for place, page in enumerate(pages):
            _write_page(output, page, is_first=place == 0)
        return
    rows = [
        [
            *(item.check_id, item.subject, item.status, "gone" if item.is_gone else "there", item.first_at),
            *(item.last_at, _seconds(item), item.runs, item.measure, page.database.name, page.database.dbname),
        ]
        for page in pages
        for item in page.findings
    ]
    runs = [
        {
            "target": page.database.name,
            "dbname": page.database.dbname,
            "status": item.status,
            "runs": item.runs,
            "first_at": item.first_at,
            "last_at": item.last_at,
        }
        for page in pages
        for item in page.runs
    ]
    checks = [
        {
            "target": page.database.name,
            "dbname": page.database.dbname,
            "check": item.check_id,
            "status": item.status,
            "first_at": item.first_at,
            "last_at": item.last_at,
            "is_over": item.is_over,
        }
        for page in pages
        for item in page.checks
    ]
    write_records(output, "history", "findings", _FINDINGS, rows, more={"runs": runs, "checks": checks})


def write_marks(output: Output, found: Sequence[tuple[Database, Mark]]) -> None:
    people = output.format is Format.TABLE
    columns = _MARK_FOR_PEOPLE if people else _MARK_FOR_PROGRAMS
    rows = []
    for database, mark in found:
        fields = {
            "marked_at": mark.marked_at,
            "kind": str(mark.kind),
            "scope": mark.scope or None,
            "os_user": mark.os_user,
            "role": mark.role,
            "target": mark.target_name,
            "dbname": database.dbname,
            "server": database.server,
        }
        rows.append([fields[column.name] for column in columns])
    write_records(output, "history", "marks", columns, rows)


def _write_page(output: Output, page: HealthPage, *, is_first: bool) -> None:
    from rich.text import Text

    out, database = output.out, page.database
    out.print(Text("" if is_first else "\n").append(f"{visible(database.name)} ({visible(database.dbname)})", "bold"))
    out.write(f"{_runs_words(page.runs)}\n")
    there = [item for item in page.findings if not item.is_gone]
    gone = sorted((item for item in page.findings if item.is_gone), key=lambda item: item.last_at, reverse=True)
    for title, items in (("still there at the last look", there), ("gone", gone)):
        if items:
            out.print(Text(f"\n{title}", "bold"))
            for item in items:
                out.print(_finding(item))
    if not page.findings:
        out.write("\nnothing was found\n")
    if page.left_out:
        out.write(f"\nand {page.left_out:,} older ones\n")
    if page.checks:
        out.print(Text(f"\nwhat {page.checks[0].check_id} said", "bold"))
        for stretch in page.checks:
            out.print(_stretch(stretch))


def _runs_words(runs: Sequence[Runs]) -> str:
    if not runs:
        return "health was not run in this time"
    count = sum(item.runs for item in runs)
    start, end = min(item.first_at for item in runs), max(item.last_at for item in runs)
    said = ", ".join(f"{item.runs:,} {item.status}" for item in runs)
    when = day_time(start) if count == 1 else f"{day_time(start)} to {day_time(end)}"
    return f"{counted(count, 'run')} of health, {when}: {said}"


def _finding(item: Found) -> Text:
    from rich.text import Text

    text = Text("  ").append(f"{item.status:<8}", _STYLES.get(item.status, ""))
    return text.append(f"  {item.check_id}: {visible(item.subject)}\n").append("".join(_when(item)))


def _when(item: Found) -> Iterator[str]:
    yield " " * 12
    if item.runs == 1:
        yield f"seen once, {day_time(item.first_at)}"
        return
    yield (
        f"{day_time(item.first_at)} to {day_time(item.last_at)}, "
        if item.is_gone
        else (f"since {day_time(item.first_at)}, ")
    )
    yield f"for {format_duration(_seconds(item))}, in {counted(item.runs, 'run')}"


def _stretch(item: Stretch) -> Text:
    from rich.text import Text

    text = Text("  ").append(f"{item.status:<8}", _STYLES.get(item.status, ""))
    when = f"{day_time(item.first_at)} to {day_time(item.last_at)}"
    if not item.is_over:
        when = f"since {day_time(item.first_at)}"
    return text.append(f"  {when}")


def _seconds(item: Found) -> float:
    """From the first to the last run that saw it: at least so long it was there."""
    return (item.last_at - item.first_at).total_seconds()
