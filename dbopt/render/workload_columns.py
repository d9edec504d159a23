"""The columns of slow statements for people, and which of them a screen has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.amounts import percent
from dbopt.render.screen import width
from dbopt.render.workload_words import BLOCK_BYTES, amount, calls, is_slow, mean_ms, ms
from dbopt.units import format_bytes
from dbopt.values import dataclass
from dbopt.workload.model import Source
from dbopt.workload.statements import Sort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbopt.render.screen import Screen
    from dbopt.workload.model import Statement, Workload

APART = 2  # blanks between two columns
BAR_COLUMNS = 6
UNKNOWN = "?"
# Else the longest time of a call is older than the window, perhaps: the server keeps it for all of its time alone.
OF_WINDOW = (Source.SINCE_RESET, Source.SAMPLE, Source.LOG)
_SAYS_NOTHING = ("", UNKNOWN, "0", "0B", "0 ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """`weight`: what has the least goes first on a narrow screen; 0 stays, unless it says nothing in any row."""

    title: str
    cells: tuple[str, ...]
    weight: int
    left: bool = False
    style: str = ""

    @property
    def columns(self) -> int:
        return max(map(width, (self.title, *self.cells)))


def columns(workload: Workload, sort: Sort, screen: Screen) -> tuple[list[Shown], list[str]]:
    """Those that are shown, and the titles of those for which there is no room."""
    statements = workload.statements

    def column(title: str, cell: Callable[[Statement], str], weight: int, *ranks: Sort) -> Shown:
        weight = 0 if sort in ranks else weight
        return Shown(title=title, cells=tuple(map(cell, statements)), weight=weight)

    every = [
        Shown(title="#", cells=tuple(map(str, range(1, len(statements) + 1))), weight=0),
        column("share", lambda item: UNKNOWN if item.share is None else percent(item.share), 99),
        Shown(title="", cells=tuple(screen.bar(item.share, BAR_COLUMNS) for item in statements), weight=35, left=True),
        column("seen", lambda item: "" if item.samples is None else f"{item.samples:,}", 98),
        column("at once", lambda item: "" if item.sessions is None else f"{item.sessions:,}", 90),
        column("time", lambda item: _ms(item.counters.total_exec_time_ms), 97, Sort.TOTAL, Sort.CHANGE),
        column("calls", lambda item: calls(item, screen.pick("≥", ">=")) or UNKNOWN, 93, Sort.CALLS),
        column("calls/s", _rate, 20, Sort.CALLS, Sort.CHANGE),
        column("mean", lambda item: _ms(mean_ms(item)), 95, Sort.MEAN),
        Shown(
            title="",
            cells=tuple("slow" if is_slow(item, workload.slow_ms) else "" for item in statements),
            weight=94,
            left=True,
            style="bold yellow",
        ),
        column(screen.pick("±", "+-"), lambda item: _ms(item.counters.stddev_exec_time_ms), 18, Sort.VARIANCE),
        *([column("rows", lambda item: _count(item.counters.rows), 0)] if sort is Sort.ROWS else []),
        column("rows/call", lambda item: _count(item.counters.rows_per_call), 36, Sort.ROWS),
        column("read", lambda item: _blocks(item.counters.shared_blks_read), 30, Sort.READS),
        column("hit", lambda item: _ratio(item.counters.hit_ratio), 15, Sort.READS, Sort.IO),
        column("I/O", lambda item: _ms(item.counters.io_time_ms), 24, Sort.IO),
        column("temp", lambda item: _blocks(item.counters.temp_blks_written), 34, Sort.TEMP),
        column("WAL", lambda item: _bytes(item.counters.wal_bytes), 10, Sort.WAL),
        column("planning", lambda item: _ms(item.counters.total_plan_time_ms), 8, Sort.PLANNING),
    ]
    if workload.span.source in OF_WINDOW:
        every.append(column("longest", lambda item: _ms(item.max_exec_time_ms), 32))
    kept = [item for item in every if not all(cell.strip() in _SAYS_NOTHING for cell in item.cells)]
    dropped = []
    while not screen.is_unlimited and _width(kept) > screen.columns and any(item.weight for item in kept):
        least = min((item for item in kept if item.weight), key=lambda item: item.weight)
        kept.remove(least)
        dropped.append(least)
    return kept, [item.title for item in every if item in dropped and item.title]


def _width(kept: Sequence[Shown]) -> int:
    return sum(item.columns for item in kept) + APART * (len(kept) - 1)


def _rate(item: Statement) -> str:
    rate = item.calls_per_second if item.samples is None and item.counters.calls else None
    return (
        UNKNOWN if rate is None else "<0.001" if 0 < rate < 0.001 else f"{rate:,.0f}" if rate >= 100 else f"{rate:.2g}"
    )


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else amount(value)


def _ms(value: float | None) -> str:
    return UNKNOWN if value is None else ms(value)


def _bytes(value: float | None) -> str:
    return UNKNOWN if value is None else format_bytes(value)


def _blocks(value: float | None) -> str:
    return UNKNOWN if value is None else format_bytes(value * BLOCK_BYTES)


def _ratio(value: float | None) -> str:
    return UNKNOWN if value is None else percent(value)
