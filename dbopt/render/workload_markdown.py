"""Slow statements as Markdown, for tickets. Foreign text is escaped, or fenced by more backticks than it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.render import workload_words
from dbopt.render.advice import is_pasted
from dbopt.render.amounts import percent
from dbopt.render.escape import visible
from dbopt.render.sql import spelled
from dbopt.render.workload_words import amount, calls, is_slow, mean_ms
from dbopt.spec.fragment import yaml_lines
from dbopt.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from dbopt.metrics.measurement import About
    from dbopt.workload.detail import Detail
    from dbopt.workload.model import Advice, Others, Statement, Workload
    from dbopt.workload.statements import Sort

# What Markdown (CommonMark and GitHub's) reads as more than itself; `_` only where a word begins or ends.
_MARKUP = re.compile(r"[\\`*\[\]<>|~$&#]|(?<![^\W_])_|_(?![^\W_])")
_VALUES_NOTE = "> Texts hold values (--show-literals): look before you pass this on."


def page(found: Sequence[tuple[About, Workload]], *, literals: bool, sort: Sort) -> str:
    lines: list[str] = []
    for about, workload in found:
        lines += ["", *_workload(about, workload, sort)] if lines else _workload(about, workload, sort)
    lines += ["", _VALUES_NOTE] if literals else []
    return "\n".join(lines) + "\n"


def statement_page(about: About, detail: Detail, *, literals: bool) -> str:
    from dbopt.render.output import UNLIMITED
    from dbopt.render.plan_tree import found
    from dbopt.render.plan_tree import lines as drawn
    from dbopt.render.screen import Screen
    from dbopt.render.statement import relation_lines

    statement = detail.statement
    lines = [
        f"## {_title(statement)} of {escaped(workload_words.where(about))}",
        "",
        escaped(workload_words.window(detail.span)) + ("  " if detail.before is not None else ""),
        *([] if detail.before is None else [escaped(workload_words.before(detail.before))]),
        "",
        *_table([statement], detail.slow_ms),
        "",
        *_body(statement, detail.text, detail.span.to_at),
    ]
    screen = Screen(columns=UNLIMITED, encoding="utf-8", has_all=True)
    for number, tree in enumerate(detail.plans):
        plan = "\n".join(line.plain.rstrip() for line in drawn(screen, tree, found(statement) if number == 0 else {}))
        lines += ["", "Plan:", "", *fenced("text", plan)]
    if detail.relations:
        lines += ["", "Tables:", "", *fenced("text", "\n".join(relation_lines(screen, detail.relations, "")))]
    said = list(_notes((*detail.span.breaks, *detail.notes), detail.lacks))
    lines += ["", *said] if said else []
    lines += ["", _VALUES_NOTE] if literals else []
    return "\n".join(lines) + "\n"


def _workload(about: About, workload: Workload, sort: Sort) -> list[str]:
    lines = [
        f"## Slow statements of {escaped(workload_words.where(about))}",
        "",
        f"{escaped(workload_words.window(workload.span))}  ",
        escaped(workload_words.totals(workload, sort)),
    ]
    if workload.before is not None:
        lines[-1] += "  "
        lines.append(escaped(workload_words.before(workload.before)))
    if workload.statements:
        lines += ["", *_table(workload.statements, workload.slow_ms)]
    for number, statement in enumerate(workload.statements, 1):
        lines += ["", f"### {number}. {_title(statement)}", "", *_body(statement, None, workload.span.to_at)]
    notes = _notes((*workload.span.breaks, *workload.notes), workload.lacks)
    said = [*_left_out(workload.others), *notes]
    return [*lines, "", "### Beside them", "", *said] if said else lines


def _title(statement: Statement) -> str:
    ident = workload_words.ident(statement)
    return "Statement" if ident is None else f"Statement {ident}"


_COLUMNS: tuple[tuple[str, Callable[[Statement], str | None]], ...] = (
    ("share", lambda item: None if item.share is None else percent(item.share)),
    ("seen", lambda item: None if item.samples is None else f"{item.samples:,}"),
    ("time", lambda item: _ms(item.counters.total_exec_time_ms)),
    ("calls", calls),
    ("mean", lambda item: _ms(mean_ms(item))),
    ("deviation", lambda item: _ms(item.counters.stddev_exec_time_ms)),
    ("rows/call", lambda item: None if item.counters.rows_per_call is None else amount(item.counters.rows_per_call)),
    ("read", lambda item: _blocks(item.counters.shared_blks_read)),
    ("hit", lambda item: None if item.counters.hit_ratio is None else percent(item.counters.hit_ratio)),
    ("temp", lambda item: _blocks(item.counters.temp_blks_written)),
    ("by", lambda item: ", ".join(item.users) or None),
)


def _table(statements: Sequence[Statement], slow_ms: float) -> list[str]:
    rows = [[cell(item) for _, cell in _COLUMNS] for item in statements]
    used = [at for at in range(len(_COLUMNS)) if any(row[at] is not None for row in rows)]
    lines = [
        f"| # | {' | '.join(_COLUMNS[at][0] for at in used)} |",
        f"|---|{'|'.join('---' if _COLUMNS[at][0] == 'by' else '---:' for at in used)}|",
    ]
    for number, (item, row) in enumerate(zip(statements, rows, strict=True), 1):
        cells = []
        for at in used:
            value = row[at]
            word = " **slow**" if _COLUMNS[at][0] == "mean" and is_slow(item, slow_ms) else ""
            cells.append("?" if value is None else escaped(value) + word)
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return lines


def _body(statement: Statement, text: str | None, now: datetime) -> list[str]:
    if statement.query is None:
        lines = [escaped(workload_words.no_text(statement))]
    else:
        lines = fenced("sql", spelled(text or statement.query))
    said = [f"- {line}" for line in _facts(statement, now)]
    lines += ["", *said] if said else []
    for item in statement.advice:
        if item.spec is not None:
            lines += ["", f"For {escaped(item.code)}, an entry of an index spec:", ""]
            lines += fenced("yaml", "\n".join(yaml_lines(item.spec)))
    return lines


def _facts(statement: Statement, now: datetime) -> Iterator[str]:
    change = workload_words.compared(statement)
    if change is not None:
        yield escaped(change)
    if statement.waits:
        yield "waits: " + escaped(", ".join(f"{name} {count:,}" for name, count in statement.waits))
    plan = workload_words.plan(statement)
    if plan is not None:
        yield f"plan: {escaped(plan)}"
    unplanned = workload_words.why_unplanned(statement)
    if unplanned is not None:
        yield f"no plan: {escaped(unplanned.reason)}" + (f". {pasted(unplanned.hint)}" if unplanned.hint else "")
    yield from (f"**{escaped(workload_words.flip(flip, now))}**" for flip in statement.flips)
    yield from map(_advice, statement.advice)


def _advice(item: Advice) -> str:
    said = f"**{escaped(item.code)}**: {escaped(item.message)}"
    return "<br>".join([said, *([escaped(item.why)] if item.why else []), *([pasted(item.hint)] if item.hint else [])])


def pasted(hint: str) -> str:
    """Commands and SQL as code, sentences as they are."""
    return "<br>".join(code(line) if is_pasted(line) else escaped(line) for line in spelled(hint).split("\n"))


def _left_out(others: Others) -> Iterator[str]:
    said = list(workload_words.left_out(others))
    if said:
        yield f"- not shown: {escaped(', '.join(said))}"
    textless = workload_words.textless(others)
    if textless is not None:
        yield f"- {escaped(textless)}"


def _notes(notes: Sequence[str], lacks: Sequence[tuple[str, str | None]]) -> Iterator[str]:
    for note in notes:
        yield f"- {escaped(note)}"
    for reason, hint in lacks:
        yield f"- not known: {escaped(reason)}" + (f"<br>{pasted(hint)}" if hint else "")


def escaped(text: str) -> str:
    """On one line, as nothing but text."""
    return _MARKUP.sub(r"\\\g<0>", visible(text))


def code(text: str) -> str:
    """As code inside a line."""
    text = visible(text)
    ticks = "`" * (_longest(text) + 1)
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{blank}{text}{blank}{ticks}"


def fenced(language: str, text: str) -> list[str]:
    fence = "`" * max(3, _longest(text) + 1)
    return [f"{fence}{language}", *text.split("\n"), fence]


def _longest(text: str) -> int:
    """Of the runs of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _ms(value: float | None) -> str | None:
    return None if value is None else workload_words.ms(value)


def _blocks(value: float | None) -> str | None:
    return None if value is None else format_bytes(value * workload_words.BLOCK_BYTES)
