"""Sums over tables and indexes: of each schema, and of all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.stats.tables import total
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.stats.indexes import IndexStats
    from dbopt.stats.tables import TableStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """`schema` None: of all of them. `rows` and `n_dead_tup` of the tables where they are known."""

    schema: str | None
    tables: int  # partitions each by itself
    partitions: int
    indexes: int
    rows: float
    n_dead_tup: int | None  # None: it is known of none
    tables_not_counted: int  # whose rows nobody knows
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    is_estimated: bool
    seq_scan: float | None
    seq_tup_read: float | None
    idx_scan: float | None
    idx_tup_fetch: float | None
    growth_bytes: float | None
    growth_rows: float | None
    unscanned_indexes: int  # that no constraint needs, within the window
    unscanned_bytes: int
    invalid_indexes: int
    redundant_indexes: int
    redundant_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.heap_bytes + self.index_bytes + self.toast_bytes

    @property
    def dead_ratio(self) -> float | None:
        if self.n_dead_tup is None or self.rows + self.n_dead_tup <= 0:
            return None
        return self.n_dead_tup / (self.rows + self.n_dead_tup)


def sums(schema: str | None, tables: Sequence[TableStats], indexes: Sequence[IndexStats]) -> Sums:
    """`tables` and `indexes`: partitions each by itself."""
    unscanned = [index for index in indexes if index.idx_scan == 0 and not (index.is_unique or index.is_constraint)]
    repeated = [index for index in indexes if index.redundant_with is not None]
    return Sums(
        schema=schema,
        tables=len(tables),
        partitions=sum(table.kind == "partition" for table in tables),
        indexes=len(indexes),
        rows=sum(table.rows or 0.0 for table in tables),
        n_dead_tup=sum(known) if (known := _known_dead(tables)) or not tables else None,
        tables_not_counted=sum(table.rows is None for table in tables),
        heap_bytes=sum(table.heap_bytes for table in tables),
        index_bytes=sum(table.index_bytes for table in tables),
        toast_bytes=sum(table.toast_bytes for table in tables),
        is_estimated=any(table.is_estimated for table in tables),
        seq_scan=total(table.seq_scan for table in tables),
        seq_tup_read=total(table.seq_tup_read for table in tables),
        idx_scan=total(table.idx_scan for table in tables),
        idx_tup_fetch=total(table.idx_tup_fetch for table in tables),
        growth_bytes=total(table.growth_bytes for table in tables),
        growth_rows=total(table.growth_rows for table in tables),
        unscanned_indexes=len(unscanned),
        unscanned_bytes=sum(index.size_bytes for index in unscanned),
        invalid_indexes=sum(not index.is_valid for index in indexes),
        redundant_indexes=len(repeated),
        redundant_bytes=sum(index.size_bytes for index in repeated),
    )


def _known_dead(tables: Sequence[TableStats]) -> list[int]:
    return [table.n_dead_tup for table in tables if table.n_dead_tup is not None]


def schemas(tables: Sequence[TableStats], indexes: Sequence[IndexStats]) -> list[Sums]:
    """Of each schema that has a table."""
    names = sorted({table.schema for table in tables})
    of_table = {name: [table for table in tables if table.schema == name] for name in names}
    of_index: dict[str, list[IndexStats]] = {name: [] for name in names}
    for index in indexes:
        of_index.setdefault(index.schema, []).append(index)
    return [sums(name, of_table[name], of_index[name]) for name in names]
