"""Tables with their sizes, their vacuum state and what was done to them over a window. Pure.

The partitions of a table are added up, unless they are asked for one by one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from dbopt.postgres.relation_counters import IndexCounters, TableCounters
    from dbopt.stats.collect import Rows
    from dbopt.stats.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """None: not known, see the properties of the rows below. Scans, rows read and growth are of the window."""

    oid: int
    relation: str  # regclass
    schema: str
    name: str
    kind: str  # table, partitioned table, partition, materialized view
    partitions: int
    partition_of: str | None
    rows: float | None
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    is_estimated: bool  # one of the sizes
    n_dead_tup: int | None
    seq_scan: float | None
    seq_tup_read: float | None
    idx_scan: float | None
    idx_tup_fetch: float | None  # found by way of an index
    bitmap_tup_fetch: float | None  # of these, by way of a bitmap
    idx_tup_read: float | None  # entries that its indexes gave
    last_vacuum: datetime | None
    last_vacuum_auto: bool
    last_analyze: datetime | None
    last_analyze_auto: bool
    growth_bytes: float | None
    growth_rows: float | None
    indexes: int

    @property
    def total_bytes(self) -> int:
        return self.heap_bytes + self.index_bytes + self.toast_bytes

    @property
    def dead_ratio(self) -> float | None:
        """Of all rows, living and dead."""
        if self.rows is None or self.n_dead_tup is None or self.rows + self.n_dead_tup <= 0:
            return None
        return self.n_dead_tup / (self.rows + self.n_dead_tup)

    @property
    def rows_a_scan(self) -> float | None:
        """That a sequential scan reads on average."""
        return self.seq_tup_read / self.seq_scan if self.seq_scan and self.seq_tup_read is not None else None


def tables(rows: Rows, window: Window, *, partitions: bool) -> list[TableStats]:
    """All of them; `partitions`: each by itself."""
    of_table: dict[int, list[IndexCounters]] = defaultdict(list)
    for index in rows.indexes:
        of_table[index.relation_oid].append(index)
    groups: dict[int, list[TableCounters]] = defaultdict(list)
    for row in rows.tables:
        groups[row.relation_oid if partitions or row.root_oid is None else row.root_oid].append(row)
    return [_table(oid, group, of_table, window) for oid, group in groups.items()]


def _table(
    oid: int, parts: Sequence[TableCounters], of_table: Mapping[int, Sequence[IndexCounters]], window: Window
) -> TableStats:
    first = parts[0]
    whole = first.relation_oid != oid  # a partitioned table, which has no rows of its own
    indexes = [index for part in parts for index in of_table.get(part.relation_oid, ())]

    def counted(name: str) -> float | None:
        return total(window.count(Family.TABLES, part.relation_oid, name, getattr(part, name)) for part in parts)

    def of_indexes(name: str) -> float | None:
        return total(window.count(Family.INDEXES, index.index_oid, name, getattr(index, name)) for index in indexes)

    by_bitmap, by_index = counted("tup_fetched"), of_indexes("idx_tup_fetch")
    vacuum, vacuum_auto = _latest(parts, "vacuum")
    analyze, analyze_auto = _latest(parts, "analyze")
    growth = [window.growth(Family.TABLES, part.relation_oid, "heap_bytes", "toast_bytes") for part in parts]
    growth += [window.growth(Family.INDEXES, index.index_oid, "size_bytes") for index in indexes]
    return TableStats(
        oid=oid,
        relation=(first.partition_root or first.relation) if whole else first.relation,
        schema=(first.root_schema or first.schema) if whole else first.schema,
        name=(first.root_name or first.name) if whole else first.name,
        kind="partitioned table" if whole else _kind(first),
        partitions=len(parts) if whole else 0,
        partition_of=None if whole else first.partition_root,
        rows=total(map(known_rows, parts)),
        heap_bytes=sum(part.heap_bytes for part in parts),
        index_bytes=sum(index.size_bytes for index in indexes),
        toast_bytes=sum(part.toast_bytes for part in parts),
        is_estimated=not all(part.is_measured for part in parts) or not all(index.is_measured for index in indexes),
        n_dead_tup=_whole(total(map(known_dead, parts))),
        seq_scan=counted("seq_scan"),
        seq_tup_read=counted("seq_tup_read"),
        idx_scan=of_indexes("idx_scan"),
        idx_tup_fetch=None if by_bitmap is None or by_index is None else by_bitmap + by_index,
        bitmap_tup_fetch=by_bitmap,
        idx_tup_read=of_indexes("idx_tup_read"),
        last_vacuum=vacuum,
        last_vacuum_auto=vacuum_auto,
        last_analyze=analyze,
        last_analyze_auto=analyze_auto,
        growth_bytes=total(growth),
        growth_rows=total(window.growth(Family.TABLES, part.relation_oid, "rows") for part in parts),
        indexes=len({index.root_oid or index.index_oid for index in indexes}) if whole else len(indexes),
    )


def known_rows(row: TableCounters) -> float | None:
    """None where there are some, and neither VACUUM, ANALYZE nor the statistics have counted them."""
    counted = row.reltuples > 0 or row.n_live_tup > 0 or _is_tended(row)
    return row.rows if counted or row.heap_bytes == 0 else None


def known_dead(row: TableCounters) -> int | None:
    """None where the counters were started anew since the rows were counted, and nobody has counted the dead ones."""
    if _is_tended(row) or row.n_live_tup + row.n_dead_tup >= row.reltuples:
        return row.n_dead_tup if known_rows(row) is not None else None
    return None


def total(amounts: Iterable[float | None]) -> float | None:
    """None where one of them is: a part of a sum is no sum."""
    result = 0.0
    for amount in amounts:
        if amount is None:
            return None
        result += amount
    return result


def _is_tended(row: TableCounters) -> bool:
    """VACUUM or ANALYZE has been here since the statistics began."""
    moments = (row.last_vacuum, row.last_autovacuum, row.last_analyze, row.last_autoanalyze)
    return any(moment is not None for moment in moments)


def _kind(row: TableCounters) -> str:
    if row.relkind == "m":
        return "materialized view"
    return "table" if row.root_oid is None else "partition"


def _latest(parts: Sequence[TableCounters], what: str) -> tuple[datetime | None, bool]:
    """When VACUUM or ANALYZE was here last, and whether of itself."""
    by_hand = [at for part in parts if (at := getattr(part, f"last_{what}")) is not None]
    by_itself = [at for part in parts if (at := getattr(part, f"last_auto{what}")) is not None]
    last = max((*by_hand, *by_itself), default=None)
    return last, last is not None and last in by_itself


def _whole(amount: float | None) -> int | None:
    return None if amount is None else int(amount)
