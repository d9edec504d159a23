"""The figures of one statement for people: now, beside each other, and over time, as rows of bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import workload_words
from dbopt.render.amounts import number, percent
from dbopt.render.screen import padded, width
from dbopt.render.sparkline import sparkline
from dbopt.render.workload_columns import OF_WINDOW
from dbopt.render.workload_words import amount, length, ms
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.text import Text

    from dbopt.render.screen import Screen
    from dbopt.workload.detail import Detail, Point
    from dbopt.workload.model import Counters


def numbers(screen: Screen, detail: Detail) -> Iterator[Text | str]:
    """Two beside each other, where there is room."""
    from rich.text import Text

    found = list(_figures(detail, screen))
    if not found:
        yield "no figures: it was not seen in that time"
        return
    titles = max(width(title) for title, _, _ in found) + 2
    rows = -(-len(found) // 2)
    left = titles + max(width(value) for _, value, _ in found[:rows]) + 3
    if left + titles + max((width(value) for _, value, _ in found[rows:]), default=0) > screen.columns:
        rows = len(found)
    for at in range(rows):
        text = Text()
        for title, value, style in found[at::rows]:
            text.append(" " * (left - width(text.plain)) if text.plain else "")
            text.append(padded(title, titles), "dim").append(value, style)
        yield text


def _figures(detail: Detail, screen: Screen) -> Iterator[tuple[str, str, str]]:
    """Title, value, style; those that nobody has counted are left out."""
    statement, counters = detail.statement, detail.statement.counters
    if not counters.calls and not counters.total_exec_time_ms:
        return
    share = "" if statement.share is None else f" ({percent(statement.share)} of all)"
    yield "total time", length(counters.total_exec_time_ms / 1000) + share, "bold"
    if statement.samples is not None:
        yield "seen at work", f"{statement.samples:,} times", ""
    if counters.calls:
        rate = statement.calls_per_second
        yield "calls", amount(counters.calls) + ("" if rate is None else f" ({_rate(rate)})"), ""
    mean, deviation = counters.mean_exec_time_ms, counters.stddev_exec_time_ms
    if mean is not None:
        slow = mean >= detail.slow_ms
        word = f", slow: over {format_duration(detail.slow_ms / 1000)}" if slow else ""
        yield "mean", format_duration(mean / 1000) + word, "bold yellow" if slow else "bold"
    if deviation is not None:
        yield "deviation", f"{screen.pick('±', '+-')} {ms(deviation)}", ""
    if statement.max_exec_time_ms is not None:
        of_window = detail.span.source in OF_WINDOW
        yield "longest" if of_window else "longest ever", ms(statement.max_exec_time_ms), ""
    if counters.rows is not None:
        each = "" if counters.rows_per_call is None else f" ({amount(counters.rows_per_call)} a call)"
        yield "rows", amount(counters.rows) + each, ""
    yield from _blocks(counters)
    if counters.plans:
        each = (
            "" if counters.total_plan_time_ms is None else f" ({ms(counters.total_plan_time_ms / counters.plans)} each)"
        )
        yield "planned", f"{amount(counters.plans)} times{each}", ""
    for name, count in statement.waits:
        whole = "" if statement.samples is None else f" of {statement.samples:,}"
        yield f"waits {screen.text(name)}", f"{count:,}{whole}", ""


def _blocks(counters: Counters) -> Iterator[tuple[str, str, str]]:
    hit, io = counters.hit_ratio, counters.io_time_ms
    if counters.shared_blks_read is not None:
        yield "read", format_bytes(counters.shared_blks_read * workload_words.BLOCK_BYTES), ""
    if hit is not None:
        yield "hit ratio", percent(hit), ""
    for title, blocks in (("written", counters.shared_blks_written), ("temp files", counters.temp_blks_written)):
        if blocks:
            yield title, format_bytes(blocks * workload_words.BLOCK_BYTES), ""
    if io:
        share = f" ({percent(min(1.0, io / whole))})" if (whole := counters.total_exec_time_ms) else ""
        yield "I/O time", ms(io) + share, ""
    if counters.wal_bytes:
        yield "WAL", format_bytes(counters.wal_bytes), ""


def _rate(rate: float) -> str:
    """In a unit in which it is no tiny fraction."""
    for seconds, unit in ((1, "s"), (60, "min")):
        if rate == 0 or rate * seconds >= 0.1:
            return f"{number(rate * seconds)}/{unit}"
    return f"{number(rate * 3600)}/h"


def trend(screen: Screen, points: Sequence[Point]) -> Iterator[str]:
    """`mean   188 ms ▁▁▂▇█ 602 ms`, and the time of both ends below."""
    # Beside the bars: what they are, the amount at either end.
    points = points[-max(8, screen.columns - 32) :]
    if len(points) < 2:
        return
    shown: list[tuple[str, Sequence[float | None], Callable[[float], str]]] = [
        ("mean", [point.mean_ms for point in points], ms),
        ("calls", [point.calls_per_second for point in points], _rate),
    ]
    yield ""
    for title, values, show in shown:
        known = [value for value in values if value is not None]
        if known:
            first, last = show(known[0]), show(known[-1])
            line = f"{title:<7}{first:>11} {sparkline(values, plain=not screen.has_all)} {last}"
            more = f", at most {show(max(known))}"
            yield line + more if width(line + more) <= screen.columns else line
    yield f"{'':7}{workload_words.between(points[0].from_at, points[-1].to_at)}"
