"""The columns of each list of stats, and how a value of each stands in them: short, and never with a wrong digit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.amounts import percent
from dbopt.stats.window import Basis
from dbopt.units import format_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from dbopt.stats.indexes import IndexStats
    from dbopt.stats.survey import Survey
    from dbopt.stats.tables import TableStats

_UNKNOWN, _NONE = "?", "-"
_AGES = ((86_400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A column of a list. `weight`: what has the least goes first on a narrow screen; 0 stays."""

    title: str
    cell: Callable[[Any], str]
    weight: int = 0
    left: bool = False


READ = [
    Shown(title="rows", cell=lambda item: amount(item.rows)),
    Shown(title="seq scans", cell=lambda item: amount(item.seq_scan)),
    Shown(title="rows read", cell=lambda item: amount(item.seq_tup_read)),
    Shown(title="rows/scan", cell=lambda item: amount(item.rows_a_scan, _NONE)),
    Shown(title="by index", cell=lambda item: amount(item.idx_tup_fetch), weight=1),
]


def table_columns(survey: Survey) -> list[Shown]:
    now = survey.taken_at

    def name(item: TableStats) -> str:
        return f"{item.relation} ({item.partitions} partitions)" if item.kind == "partitioned table" else item.relation

    columns = [
        Shown(title="table", cell=name, left=True),
        Shown(title="rows", cell=lambda item: amount(item.rows), weight=90),
        Shown(title="size", cell=lambda item: _size(item, item.total_bytes)),
        Shown(title="heap", cell=lambda item: _size(item, item.heap_bytes), weight=20),
        Shown(title="indexes", cell=lambda item: _size(item, item.index_bytes), weight=80),
        Shown(title="toast", cell=lambda item: _size(item, item.toast_bytes), weight=10),
        Shown(title="dead", cell=_dead, weight=50),
        Shown(title="seq scans", cell=lambda item: amount(item.seq_scan), weight=70),
        Shown(title="rows/scan", cell=lambda item: amount(item.rows_a_scan, _NONE), weight=30),
        Shown(title="idx scans", cell=lambda item: amount(item.idx_scan), weight=60),
    ]
    if survey.window.basis is Basis.STORED:
        columns.append(Shown(title="growth", cell=lambda item: growth(item.growth_bytes), weight=65))
    return [
        *columns,
        Shown(title="vacuum", cell=lambda item: _ago(item.last_vacuum, now, item.last_vacuum_auto), weight=45),
        Shown(title="analyze", cell=lambda item: _ago(item.last_analyze, now, item.last_analyze_auto), weight=40),
    ]


def index_columns(survey: Survey) -> list[Shown]:
    now = survey.taken_at
    columns = [
        Shown(title="index", cell=_index_name, left=True),
        Shown(title="table", cell=lambda item: item.relation, left=True, weight=35),
        Shown(title="size", cell=lambda item: ("~" if item.is_estimated else "") + format_bytes(item.size_bytes)),
        Shown(title="scans", cell=lambda item: amount(item.idx_scan), weight=90),
        Shown(title="rows/scan", cell=lambda item: amount(item.rows_a_scan, _NONE), weight=20),
    ]
    if survey.about.tells_last_scan:
        columns.append(Shown(title="last scan", cell=lambda item: _ago(item.last_idx_scan, now, False), weight=60))
    if survey.window.basis is Basis.STORED:
        columns.append(Shown(title="growth", cell=lambda item: growth(item.growth_bytes), weight=50))
    return [
        *columns,
        Shown(title="kind", cell=_kind, left=True, weight=70),
        Shown(title="spec", cell=_spec, left=True, weight=40),
        Shown(title="redundant with", cell=lambda item: item.redundant_with or "", left=True, weight=80),
    ]


def schema_columns(survey: Survey) -> list[Shown]:
    columns = [
        Shown(title="schema", cell=lambda item: item.schema or "", left=True),
        Shown(title="tables", cell=lambda item: f"{item.tables:,}", weight=90),
        Shown(title="indexes", cell=lambda item: f"{item.indexes:,}", weight=80),
        Shown(title="rows", cell=lambda item: amount(item.rows), weight=85),
        Shown(title="size", cell=lambda item: _size(item, item.total_bytes)),
        Shown(title="heap", cell=lambda item: _size(item, item.heap_bytes), weight=30),
        Shown(title="index size", cell=lambda item: _size(item, item.index_bytes), weight=40),
        Shown(title="toast", cell=lambda item: _size(item, item.toast_bytes), weight=20),
        Shown(title="dead", cell=_dead, weight=50),
        Shown(title="seq scans", cell=lambda item: amount(item.seq_scan), weight=60),
        Shown(title="idx scans", cell=lambda item: amount(item.idx_scan), weight=70),
    ]
    if survey.window.basis is Basis.STORED:
        columns.append(Shown(title="growth", cell=lambda item: growth(item.growth_bytes), weight=65))
    return columns


def _index_name(item: IndexStats) -> str:
    return f"{item.index} ({item.partitions} parts)" if item.partitions else item.index


def _kind(item: IndexStats) -> str:
    words = ["INVALID"] if not item.is_valid else []
    if item.is_primary:
        words.append("primary key")
    elif item.is_constraint:
        words.append("constraint")
    elif item.is_unique:
        words.append("unique")
    return ", ".join(words)


def _spec(item: IndexStats) -> str:
    if item.spec is None:
        return ""
    return item.spec if item.is_marked else f"{item.spec} (unmarked)"


def _dead(item: Any) -> str:
    if item.n_dead_tup is None:
        return _UNKNOWN
    return "0" if item.n_dead_tup == 0 else f"{amount(item.n_dead_tup)} ({share(item.dead_ratio)})"


def _size(item: Any, size_bytes: int) -> str:
    return ("~" if item.is_estimated else "") + format_bytes(size_bytes)


def growth(moved: float | None) -> str:
    if moved is None:
        return _UNKNOWN
    return "0" if moved == 0 else ("+" if moved > 0 else "-") + format_bytes(abs(moved))


def share(ratio: float | None) -> str:
    return _NONE if ratio is None else percent(ratio)


def amount(value: float | None, none: str = _UNKNOWN) -> str:
    """In full as far as it stays short: `0`, `12,345`, `124 k`, `12.3 M`."""
    if value is None:
        return none
    if abs(value) < 99_999.5:
        return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.1f}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if abs(value) < 999.5 or unit == "G":
            break
    return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f} {unit}"


def _ago(at: datetime | None, now: datetime, by_itself: bool) -> str:
    if at is None:
        return _NONE
    seconds = max(0.0, (now - at).total_seconds())
    size, unit = next(((size, unit) for size, unit in _AGES if seconds >= size), (1, "s"))
    text = f"{seconds // size:.0f} {unit}"
    return f"{text} auto" if by_itself else text
