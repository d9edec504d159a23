"""Suggestions for people: what most is gained by first, each with its definition, its reason and what to know.

No line is longer than the screen is wide, except what is there to be pasted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import advice, workload_words
from dbopt.render import suggest_words as words
from dbopt.render.screen import Screen, padded, width
from dbopt.render.sql import spelled
from dbopt.render.workload_columns import APART, UNKNOWN, Shown
from dbopt.suggest import reasons
from dbopt.suggest.extended_statements import create_statistics
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.text import Text

    from dbopt.metrics.measurement import About
    from dbopt.render.output import Stream
    from dbopt.suggest.model import Report, Suggestion

    Call = Callable[..., str]

_NEW_FILE = "suggested.yaml"


def write_table(
    out: Stream, report: Report, *, about: About, call: Call | None, window: str | None, written: str | None
) -> None:
    from rich.text import Text

    screen = Screen.of(out)
    for line in _lines(screen, report, about, call, window, written):
        out.print(line if isinstance(line, Text) else Text(line))


def head(screen: Screen, about: About, window: str | None) -> Iterator[Text]:
    from rich.text import Text

    dot = screen.pick(" · ", " - ")
    first = workload_words.where(about) + (f"{dot}{window}" if window else "")
    yield from (Text(line, "bold") for line in said(screen, first))


def said(screen: Screen, text: str, indent: int = 0) -> list[str]:
    """Foreign text and our own in lines that fit; those below the first are indented by two more."""
    first, *more = screen.broken(screen.text(text), screen.columns - indent - (2 if indent else 0))
    blanks = " " * indent
    return [blanks + first, *(f"{blanks}{'  ' if indent else ''}{line}" for line in more)]


def _lines(
    screen: Screen, report: Report, about: About, call: Call | None, window: str | None, written: str | None
) -> Iterator[Text | str]:
    from rich.text import Text

    yield from head(screen, about, window)
    yield from said(screen, words.workload(report))
    yield from said(screen, words.basis(report))
    yield ""
    if report.suggestions:
        yield from _table(screen, report.suggestions)
        yield ""
        yield from (Text(line, "bold") for line in said(screen, f"together: {words.together(report)}"))
    else:
        first, *more = words.nothing(report)
        yield from (Text(line, "bold") for line in said(screen, first))
        for line in more:
            yield from said(screen, line, 2)
    yield from said(screen, words.effort(report))
    unfinished = words.unfinished(report)
    if unfinished is not None:
        yield from (Text(line, "magenta") for line in said(screen, unfinished))
    yield from _drops(screen, report)
    yield from _statistics(screen, report)
    yield from _rest(screen, report)
    yield from _next(screen, report, call, written)


def _columns(screen: Screen, suggestions: Sequence[Suggestion]) -> list[Shown]:
    arrow = screen.pick(" → ", " -> ")

    def column(title: str, cell: Callable[[Suggestion], str], weight: int, *, left: bool = False) -> Shown:
        return Shown(title=title, cells=tuple(map(cell, suggestions)), weight=weight, left=left)

    def cost(one: Suggestion) -> str:
        before, after = reasons.costs(one.helped)
        return f"{workload_words.amount(before)}{arrow}{workload_words.amount(after)}" if one.helped else ""

    every = [
        Shown(title="#", cells=tuple(map(str, range(1, len(suggestions) + 1))), weight=0),
        column("index", lambda one: screen.text(one.name), 0, left=True),
        column("worth", lambda one: reasons.share(one.benefit), 0),
        column("helps", lambda one: f"{len(one.helped):,}", 80),
        column("cost of all calls", cost, 90),
        column("size", lambda one: UNKNOWN if one.size is None else format_bytes(one.size.size_bytes), 95),
        column("build", _build, 40),
        column("writes", lambda one: workload_words.amount(round(one.writes.entries)), 50),
        column("WAL", lambda one: format_bytes(one.writes.wal_bytes), 60),
    ]
    kept = [item for item in every if item.title != "build" or any(cell.strip("?") for cell in item.cells)]
    while not screen.is_unlimited and _width(kept) > screen.columns and any(item.weight for item in kept):
        kept.remove(min((item for item in kept if item.weight), key=lambda item: item.weight))
    return kept


def _build(one: Suggestion) -> str:
    seconds = None if one.size is None else one.size.build_seconds
    return UNKNOWN if seconds is None else format_duration(seconds)


def _width(kept: Sequence[Shown]) -> int:
    return sum(item.columns for item in kept) + APART * (len(kept) - 1)


def _table(screen: Screen, suggestions: Sequence[Suggestion]) -> Iterator[Text | str]:
    from rich.text import Text

    shown = _columns(screen, suggestions)
    gap, wide = " " * APART, [item.columns for item in shown]
    over = 0 if screen.is_unlimited else max(0, _width(shown) - screen.columns)
    wide[1] = max(len(shown[1].title), wide[1] - over)
    heads = (padded(item.title, size, right=not item.left) for item, size in zip(shown, wide, strict=True))
    yield Text(gap.join(heads).rstrip(), "dim")
    indent = wide[0] + APART
    for number, suggestion in enumerate(suggestions):
        cells = [item.cells[number] for item in shown]
        if width(cells[1]) > wide[1]:  # it has lines of its own
            for part in screen.broken(cells[1], screen.columns - indent):
                yield Text(padded(cells[0], wide[0], right=True) + gap).append(part, "bold")
                cells[0] = ""
            cells[1] = ""
        row = Text()
        for at, (cell, item, size) in enumerate(zip(cells, shown, wide, strict=True)):
            row.append(gap if at else "").append(padded(cell, size, right=not item.left), "bold" if at == 1 else "")
        row.rstrip()
        yield row
        yield from _below(screen, suggestion, indent)


def _below(screen: Screen, suggestion: Suggestion, indent: int) -> Iterator[Text | str]:
    from rich.text import Text

    definition = f"on {words.table_of(suggestion)} {reasons.definition(suggestion.candidate)}"
    yield from (Text(line, "cyan") for line in said(screen, definition, indent))
    if suggestion.reason:
        yield from said(screen, reasons.sentence(suggestion.reason), indent)
    flags = words.flags(suggestion)
    if flags is not None:
        yield from (Text(line, "yellow") for line in said(screen, f"! {flags}", indent))


def _drops(screen: Screen, report: Report) -> Iterator[Text | str]:
    from rich.text import Text

    if not report.drops:
        return
    whole = format_bytes(sum(one.size_bytes for one in report.drops))
    yield ""
    yield Text(f"may go, {whole} in all", "bold")
    for one in report.drops:
        yield from said(screen, words.drop(one), 2)


def _statistics(screen: Screen, report: Report) -> Iterator[Text | str]:
    """To be pasted, so never broken."""
    from rich.text import Text

    if not report.statistics:
        return
    yield ""
    title = "extended statistics that would mend estimates; no spec can say them, run them by hand"
    yield from (Text(line, "bold") for line in said(screen, title))
    for one in report.statistics:
        yield from said(screen, reasons.sentence(one.why), 2)
        yield from (Text(f"    {spelled(statement)}", "cyan") for statement in create_statistics(one))


def _rest(screen: Screen, report: Report) -> Iterator[Text | str]:
    """What could not be analyzed, what is not known."""
    from rich.text import Text

    if report.unread:
        yield ""
        yield Text("not analyzed", "bold")
        for line, hint in words.unread(report):
            yield from said(screen, line, 2)
            yield from advice.hint(screen, hint, 4)
    if report.notes or report.lacks:
        yield ""
    for note in report.notes:
        yield from said(screen, f"note: {note}")
    for reason, hint in report.lacks:
        yield from (Text(line, "magenta") for line in said(screen, f"not known: {reason}"))
        yield from advice.hint(screen, hint, 2)


def _next(screen: Screen, report: Report, call: Call | None, written: str | None) -> Iterator[str]:
    if call is None or not (report.suggestions or report.drops):
        return
    forced = ["--prune-foreign"] if report.drops else []
    yield ""
    if report.suggestions:
        yield from said(screen, "one in depth, its plans before and after:")
        yield f"  {screen.text(call('suggest', '--explain', report.suggestions[0].name))}"
    yield from said(screen, "what would be done:" if written else "as a spec to review, and what that would do:")
    if not written:
        yield f"  {screen.text(call('suggest', '-o', _NEW_FILE))}"
    yield f"  {screen.text(call('plan', written or _NEW_FILE, *forced))}"
