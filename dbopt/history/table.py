"""How a table grew and was read: its size, its rows, the scans of it and of its indexes.

Intervals hold by how much sizes moved. What they were at each moment is reckoned back from the last reading, as far as
the intervals join without a gap.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.history.series import Point, Series, stretches
from dbopt.metrics.metric import Unit
from dbopt.snapshot.delta import CLOCK_WENT_BACK, OTHER_DATABASE, OTHER_MACHINE, total
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from dbopt.snapshot.model import Interval, Part

# Two intervals join where the reading that ends the one begins the other.
_SAME_MOMENT = timedelta(seconds=1)
# By how much sizes moved meanwhile is not kept.
_UNCOMPARED = frozenset((CLOCK_WENT_BACK, OTHER_DATABASE, OTHER_MACHINE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table in the store: its key and those of its indexes, as far as they are there now."""

    name: str
    keys: frozenset[str]
    index_keys: frozenset[str] = frozenset()


def find(name: str, tables: Part | None, indexes: Part | None) -> Table | None:
    """By the last readings; `orders` is `public.orders` too, and the other way round. None: not there now."""
    subjects = {} if tables is None else tables.subjects
    by_name = {subject.name: key for key, subject in subjects.items()}
    for spelled in (name, name.removeprefix("public."), f"public.{name}"):
        key = by_name.get(spelled)
        if key is not None:
            return Table(name=spelled, keys=frozenset((key,)), index_keys=_indexes_of(key, indexes))
    return None


def _indexes_of(key: str, indexes: Part | None) -> frozenset[str]:
    """An index is told apart by its table as well: see `birth` of IndexCounters."""
    subjects = {} if indexes is None else indexes.subjects
    return frozenset(key_ for key_, subject in subjects.items() if subject.identity.split(" ")[-1] == key)


def of_table(
    table: Table,
    intervals: Mapping[str, Sequence[Interval]],
    heads: Mapping[str, Part],
    every_seconds: float,
    *,
    until: datetime | None = None,
) -> list[Series]:
    """`intervals` of TABLES and INDEXES up to the last reading, as the sizes are reckoned back from it."""
    of_tables = _Standing(intervals.get("tables", ()), heads.get("tables"), table.keys, every_seconds, until)
    of_indexes = _Standing(intervals.get("indexes", ()), heads.get("indexes"), table.index_keys, every_seconds, until)

    def state(standing: _Standing, name: str, title: str, unit: Unit, meaning: str, *gauges: str) -> Series:
        points = tuple(
            Point(
                from_at=item.from_at,
                to_at=item.to_at,
                value=standing.value(item.to_at, gauges),
                seconds=item.seconds,
                breaks=item.breaks,
            )
            for item in standing.shown
        )
        return Series(
            name=name,
            title=title,
            unit=unit,
            meaning=meaning,
            points=points,
            whole=points[-1].value if points else None,
            is_state=True,
            unknown_before=standing.unknown_before if any(item.value is None for item in points) else None,
        )

    series = [
        state(of_tables, "table_bytes", "Size", Unit.BYTES, "Its heap and TOAST.", "heap_bytes", "toast_bytes"),
        state(of_tables, "rows", "Rows", Unit.COUNT, "As ANALYZE and the statistics know.", "rows"),
        state(of_tables, "n_dead_tup", "Dead rows", Unit.COUNT, "Versions that VACUUM can remove.", "n_dead_tup"),
        _rate(of_tables, "seq_scans_per_second", "Sequential scans", "Of the whole table.", "seq_scan"),
    ]
    if table.index_keys:
        meaning = "Of the indexes that it has now."
        size = state(of_indexes, "index_bytes", "Size of its indexes", Unit.BYTES, meaning, "size_bytes")
        scans = _rate(of_indexes, "index_scans_per_second", "Index scans", meaning, "idx_scan")
        series = [series[0], size, *series[1:], scans]
    return series


def _rate(standing: _Standing, name: str, title: str, meaning: str, counter: str) -> Series:
    def value(interval: Interval) -> float | None:
        known = [rate for key in standing.keys if (rate := interval.rate(key, counter)) is not None]
        return sum(known) if known else None

    whole = total(standing.shown)
    return Series(
        name=name,
        title=title,
        unit=Unit.PER_SECOND,
        meaning=meaning,
        points=tuple(
            Point(from_at=item.from_at, to_at=item.to_at, value=value(item), seconds=item.seconds, breaks=item.breaks)
            for item in standing.shown
        ),
        whole=None if whole is None else value(whole),
    )


class _Standing:
    """Some subjects over time: `value` is the sum of their gauges at the end of an interval."""

    def __init__(
        self,
        intervals: Sequence[Interval],
        head: Part | None,
        keys: Collection[str],
        every_seconds: float,
        until: datetime | None,
    ) -> None:
        """`until`: later intervals are only reckoned with."""
        self.keys = keys
        shown = (item for item in intervals if until is None or item.to_at <= until)
        self.shown = tuple(stretches(shown, every_seconds).values())
        self.unknown_before: tuple[datetime, str] | None = None
        self._by_moment: dict[datetime, dict[str, float]] = {}
        if head is not None:
            subjects = [head.subjects[key] for key in keys if key in head.subjects]
            now = {name: sum(subject.gauges[at] or 0.0 for subject in subjects) for at, name in enumerate(head.gauges)}
            self._reckon_back(sorted(intervals, key=lambda item: item.to_at), head.taken_at, now)

    def value(self, at: datetime, gauges: Sequence[str]) -> float | None:
        values = self._by_moment.get(at)
        found = [] if values is None else [values[name] for name in gauges if name in values]
        return max(0.0, sum(found)) if found else None

    def _reckon_back(self, intervals: Sequence[Interval], last_at: datetime, now: dict[str, float]) -> None:
        joins_at = last_at
        for interval in reversed(intervals):
            if joins_at - interval.to_at > _SAME_MOMENT:
                self.unknown_before = joins_at, "readings are missing"
                return
            self._by_moment[interval.to_at] = now
            broken = next((words for words in interval.breaks if words in _UNCOMPARED), None)
            if broken is not None:
                self.unknown_before = interval.to_at, broken
                return
            now = dict(now)
            for change in (interval.changes[key] for key in self.keys if key in interval.changes):
                for name, moved in zip(interval.gauges, change.gauges, strict=True):
                    if moved is not None and name in now:
                        now[name] -= moved
            joins_at = interval.from_at
