"""Slow statements for people: what costs most first, each with its text, its plan, and what would help.

No line is longer than the screen is wide, except what is there to be pasted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.render import advice, workload_words
from dbopt.render.screen import Screen, padded, width
from dbopt.render.workload_columns import APART, Shown, columns
from dbopt.units import format_duration
from dbopt.workload.model import Source
from dbopt.workload.statements import Sort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from rich.text import Text

    from dbopt.metrics.measurement import About
    from dbopt.render.output import Stream
    from dbopt.workload.model import Statement, Workload

    Call = Callable[..., str]

_ADVICE_MAX = 3  # of one statement; `show` has all
_WAITS_MAX = 5
_USERS_MAX = 2
_WORSE = re.compile(r"^new| slower| x\S+ as often|^x\S+ as often")
_USER_COLUMNS = 20


def write_table(
    out: Stream,
    found: Sequence[tuple[About, Workload]],
    *,
    several: bool,
    literals: bool,
    call: Call | None,
    sort: Sort,
    suggest: Call | None = None,
) -> None:
    from rich.text import Text

    screen = Screen.of(out)
    for number, (about, workload) in enumerate(found):
        if number:
            out.write("\n")
        typed = (_call(call, about), _call(suggest, about)) if several else (call, suggest)
        for line in _lines(screen, about, workload, typed, sort):
            out.print(line if isinstance(line, Text) else Text(line))
    if literals and found:
        out.write("note: texts hold values (--show-literals): look before you pass this on\n")


def _call(call: Call | None, about: About) -> Call | None:
    """Of several targets, the call names one."""
    if call is None or about.name is None:
        return None
    name = about.name
    return lambda *words: call(*words, target=name)


def _lines(
    screen: Screen, about: About, workload: Workload, calls: tuple[Call | None, Call | None], sort: Sort
) -> Iterator[Text | str]:
    from rich.text import Text

    def said(text: str) -> list[str]:
        return screen.broken(screen.text(text), screen.columns)

    dot = screen.pick(" · ", " - ")
    head = said(f"{workload_words.where(about)}{dot}{workload_words.window(workload.span)}")
    yield from (Text(line, "bold") for line in head)
    if workload.before is not None:
        yield from said(workload_words.before(workload.before))
    yield from said(workload_words.totals(workload, sort))
    for text in workload.span.breaks:
        yield from said(f"note: {text}")
    dropped: list[str] = []
    if workload.statements:
        shown, dropped = columns(workload, sort, screen)
        yield ""
        yield from _table(screen, workload, shown)
        yield ""
    yield from _rest(screen, workload, dropped, *calls)


def _table(screen: Screen, workload: Workload, shown: Sequence[Shown]) -> Iterator[Text | str]:
    from rich.text import Text

    gap = " " * APART
    wide = [item.columns for item in shown]
    heads = (padded(item.title, size, right=not item.left) for item, size in zip(shown, wide, strict=True))
    yield Text(gap.join(heads).rstrip(), "dim")
    indent = wide[0] + APART
    for number, statement in enumerate(workload.statements):
        row = Text()
        for at, (item, size) in enumerate(zip(shown, wide, strict=True)):
            cell = padded(item.cells[number], size, right=not item.left)
            row.append(gap if at else "").append(cell, item.style or ("cyan" if not item.title else "bold"))
        row.rstrip()
        yield row
        yield from _below(screen, statement, indent, workload.span.to_at)


def _below(screen: Screen, statement: Statement, indent: int, now: datetime) -> Iterator[Text | str]:
    from rich.text import Text

    blanks = " " * indent
    room = screen.columns - indent
    for line in _text(screen, statement, room):
        yield Text(blanks).append(line)
    change = workload_words.compared(statement)
    if change is not None:
        style = "bold yellow" if _WORSE.search(change) else ""
        yield Text(blanks).append(screen.cut(change, room), style)
    if statement.waits:
        yield blanks + screen.cut(screen.text(_waits(statement)), room)
    plan = workload_words.plan(statement)
    if plan is not None:
        yield Text(blanks).append(screen.cut(f"plan: {screen.text(plan)}", room), "dim")
    for flip in statement.flips[:1]:
        more = f" (and {len(statement.flips) - 1} more before)" if len(statement.flips) > 1 else ""
        for number, part in enumerate(screen.broken(screen.text(workload_words.flip(flip, now) + more), room - 2)):
            yield Text(f"{blanks}{'  ' if number else '! '}").append(part, "bold magenta")
    for item in statement.advice[:_ADVICE_MAX]:
        yield from advice.written(screen, item, indent, in_full=False)
    if len(statement.advice) > _ADVICE_MAX:
        codes = ", ".join(item.code for item in statement.advice[_ADVICE_MAX:])
        yield blanks + screen.cut(f"! and {len(statement.advice) - _ADVICE_MAX} more: {codes}", room)
    unplanned = workload_words.why_unplanned(statement)
    if unplanned is not None:
        for number, part in enumerate(screen.broken(screen.text(f"no plan: {unplanned.reason}"), room - 2)):
            yield Text(f"{blanks}{'  ' if number else ''}").append(part, "magenta")
        yield from advice.hint(screen, unplanned.hint, indent + 2)


def _text(screen: Screen, statement: Statement, room: int) -> Iterator[Text]:
    """The text on one line or two; who runs it and its id stand at the right end of the last."""
    from rich.text import Text

    tail = _tail(screen, statement, room)
    if statement.query is None:
        yield from _with_tail(Text(workload_words.no_text(statement), "magenta"), tail, room, screen)
        return
    short = workload_words.short(statement.query, 10**9 if screen.is_unlimited else 2 * room - width(tail) - APART)
    text = screen.text(short)
    if screen.is_unlimited or width(text) + APART + width(tail) <= room:
        yield from _with_tail(Text(text), tail, room, screen)
        return
    first, *more = screen.broken(text[: 4 * room], room)
    rest = text[len(first) :].lstrip()
    yield Text(first)
    if rest or more:
        yield from _with_tail(Text(screen.cut(rest, room - width(tail) - APART)), tail, room, screen)
    else:
        yield from _with_tail(Text(), tail, room, screen)


def _with_tail(text: Text, tail: str, room: int, screen: Screen) -> Iterator[Text]:
    if screen.is_unlimited:
        yield text.append(f"  {tail}", "dim") if tail else text
        return
    blanks = room - width(text.plain) - width(tail)
    if blanks < (APART if text.plain else 0):
        yield text
        text, blanks = text.blank_copy(), max(0, room - width(tail))
    yield text.append(" " * blanks).append(tail, "dim") if tail else text


def _tail(screen: Screen, statement: Statement, room: int) -> str:
    """`in other  by app, batch  id -123`, as far as there is room; the id is what has to be typed."""
    ident = workload_words.ident(statement)
    tail = "" if ident is None else f"id {ident}"
    said = []
    if statement.users:
        users = [screen.cut(screen.text(name), _USER_COLUMNS) for name in statement.users[:_USERS_MAX]]
        more = len(statement.users) - _USERS_MAX
        said.append(f"by {', '.join(users)}{f' and {more} more' if more > 0 else ''}")
    if statement.dbname is not None:
        said.append(f"in {screen.cut(screen.text(statement.dbname), _USER_COLUMNS)}")
    for part in said:
        longer = f"{part}  {tail}".rstrip()
        tail = longer if screen.is_unlimited or width(longer) <= room else tail
    return tail


def _waits(statement: Statement) -> str:
    said = [f"{name} {count:,}" for name, count in statement.waits[:_WAITS_MAX]]
    more = len(statement.waits) - _WAITS_MAX
    whole = "" if statement.samples is None else f" (of {statement.samples:,})"
    return f"waits{whole}: {', '.join(said)}{f' and {more} more' if more > 0 else ''}"


def _rest(
    screen: Screen, workload: Workload, dropped: Sequence[str], call: Call | None, suggest: Call | None
) -> Iterator[Text | str]:
    """What is not shown, what is not known, and what to type next."""
    from rich.text import Text

    def said(text: str) -> list[str]:
        return screen.broken(screen.text(text), screen.columns)

    others = list(workload_words.left_out(workload.others))
    if others:
        yield from said(f"not shown: {', '.join(others)}")
    textless = workload_words.textless(workload.others)
    if textless is not None:
        yield from said(textless)
    legend = []
    if any(workload_words.is_slow(item, workload.slow_ms) for item in workload.statements):
        legend.append(f"slow: {format_duration(workload.slow_ms / 1000)} or more on average")
    if dropped:
        legend.append(f"no room for {', '.join(dropped)} (--format json has all)")
    if legend:
        yield from said("; ".join(legend))
    for note in workload.notes:
        yield from said(f"note: {note}")
    for reason, hint in workload.lacks:
        for line in said(f"not known: {reason}"):
            yield Text(line, "magenta")
        yield from advice.hint(screen, hint, 2)
    ident = next(filter(None, map(workload_words.ident, workload.statements)), None)
    if call is None or ident is None or workload.span.source is Source.LOG:
        return
    pasted = any(item.spec is not None for statement in workload.statements for item in statement.advice)
    more = ", with the index as YAML for a spec" if pasted else ""
    yield from said(f"one in depth{more}:")
    yield f"  {call('show', ident)}"
    wanting = next(filter(None, map(workload_words.mendable, workload.statements)), None)
    if suggest is not None and wanting is not None:
        yield from said(f"{workload_words.SUGGEST}:")
        yield f"  {suggest('--slow-query', wanting)}"
