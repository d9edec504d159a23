"""The sections of the page from what was read and what was kept. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.history.series import point
from dbopt.metrics.catalogue import METRICS
from dbopt.metrics.figures import figures
from dbopt.metrics.throughput import toplevel
from dbopt.metrics.window import Window
from dbopt.report.values import Course, Missing, StatementRow, Statements
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.history.series import Point
    from dbopt.metrics.figures import Lacks
    from dbopt.metrics.metric import Metric
    from dbopt.report.base import Base
    from dbopt.snapshot.model import Snapshot

# A page for people: who wants all of them asks the commands.
STATEMENTS_MAX = 20

_WORDS = {
    Family.IO: "reads and writes by kind of process",
    Family.STATEMENTS: "statements and their latency",
    Family.TABLES: "tables",
    Family.INDEXES: "indexes",
    Family.RELATIONS: "hit ratios of tables and indexes",
}
_COLUMNS = ("calls", "total_exec_time_ms", "rows", "shared_blks_hit", "shared_blks_read", "temp_blks_written")


def missing(snapshot: Snapshot) -> Iterator[Missing]:
    for family, (reason, hint) in snapshot.missing.items():
        yield Missing(_WORDS.get(family, str(family)), reason, hint)


def courses(base: Base, lacks: Lacks) -> Iterator[Course]:
    """Every figure. Steps are added up once, for all of them."""
    steps = _steps(base)
    for figure in figures(METRICS.values(), base.whole, lacks):
        yield Course(figure, [item for step in steps if (item := _point(figure.metric, step)) is not None])


def _steps(base: Base) -> list[Window]:
    """In the order of time."""
    numbers = sorted({number for parts in base.steps.values() for number in parts})
    return [
        Window(
            intervals={family: parts[number] for family, parts in base.steps.items() if number in parts},
            slow_ms=base.whole.slow_ms,
        )
        for number in numbers
    ]


def _point(metric: Metric, step: Window) -> Point | None:
    """None: what it reads was not watched then."""
    read = {family: interval for family, interval in step.intervals.items() if metric.reads(family)}
    whole = all(any(name.startswith(family) for name in read) for family in metric.families)
    if not read or not whole or any(interval.seconds <= 0 for interval in read.values()):
        return None
    return point(Window(intervals=read, slow_ms=step.slow_ms), metric)


def statements(base: Base, texts: Mapping[int, str]) -> Statements | None:
    """One queryid once, whoever ran it; what functions ran is part of what called them. None: not watched."""
    if not base.whole.counts(Family.STATEMENTS, "calls"):
        return None
    sums: dict[str, list[float]] = {}
    for change, amounts in base.whole.changes(Family.STATEMENTS, *_COLUMNS):
        if toplevel(change.key):
            mine = sums.setdefault(change.name, [0.0] * len(_COLUMNS))
            for at, value in enumerate(amounts):
                mine[at] += value
    whole = sum(mine[1] for mine in sums.values())
    rows = [_row(queryid, amounts, whole, texts) for queryid, amounts in sums.items() if amounts[0] > 0]
    rows.sort(key=lambda row: (-row.total_ms, row.queryid))
    return Statements(rows=rows[:STATEMENTS_MAX], left_out=max(0, len(rows) - STATEMENTS_MAX), total_ms=whole)


def _row(queryid: str, amounts: Sequence[float], whole: float, texts: Mapping[int, str]) -> StatementRow:
    calls, time, rows, hit, read, temp = amounts
    return StatementRow(
        queryid=queryid,
        text=texts.get(int(queryid)),
        calls=calls,
        total_ms=time,
        rows=rows,
        share=time / whole if whole > 0 else 0.0,
        hit_ratio=hit / (hit + read) if hit + read > 0 else None,
        temp_blks_written=temp,
    )
