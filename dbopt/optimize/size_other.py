"""The sizes of indexes that are not btrees and not there yet.

hash and BRIN are laid out by rules that can be followed. The others grow by splitting pages wherever values fall, so that
their fill is an average, measured on builds by PostgreSQL 13 to 18.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbopt.optimize.size_btree import LINE_POINTER_BYTES, PAGE_BYTES, Column, aligned, data_bytes

if TYPE_CHECKING:
    from dbopt.postgres.statistics import ColumnStatistics

# hash: every tuple holds a hash code of 4 bytes (hashpage.c, hash.h).
_HASH_ITEM_BYTES = 16 + LINE_POINTER_BYTES
_HASH_PER_PAGE = (PAGE_BYTES - 24 - 16) // _HASH_ITEM_BYTES
_HASH_WHOLE_GROUPS = 10  # up to 2 to the power of 9 buckets are doubled at once; beyond, a quarter comes at a time

# BRIN (brin_page.h, brin_tuple.h)
_BRIN_REVMAP_PER_PAGE = (PAGE_BYTES - 24 - 8) // 6
_BRIN_HEADER_BYTES = 8


def hash_table(table_rows: float, rows: float, key: Column, *, fillfactor: int = 75) -> int:
    """Buckets for as many rows as the table has, be the index partial or not, and pages for what flows over."""
    per_bucket = max(PAGE_BYTES * fillfactor // 100 // _HASH_ITEM_BYTES, 10)
    buckets = _hash_buckets(max(math.ceil(table_rows / per_bucket), 2))
    rows *= 1 - key.null_frac  # NULL is not indexed
    common = [share * rows for share in key.common if share * rows > _HASH_PER_PAGE]
    rest = max(rows - sum(common), 0.0)
    alike = rest / max(key.distinct - len(common), 1)
    in_each = rest / buckets
    spread = math.sqrt(in_each * max(alike, 1.0))
    overflow = sum(math.floor((many + in_each) / _HASH_PER_PAGE) for many in common)
    overflow += (buckets - min(len(common), buckets)) * _pages_beyond_first(in_each, spread)
    return round(2 + buckets + overflow) * PAGE_BYTES  # 2: the meta page and a bitmap


def _hash_buckets(wanted: int) -> int:
    group = (wanted - 1).bit_length()
    if group < _HASH_WHOLE_GROUPS:
        return 2**group
    half = 2 ** (group - 1)
    return int(half + math.ceil((wanted - half) / (half // 4)) * (half // 4))


def _pages_beyond_first(mean: float, spread: float) -> float:
    """How many overflow pages a bucket has on average."""
    if spread == 0:
        return max(math.ceil(mean / _HASH_PER_PAGE) - 1, 0)
    pages = 0.0
    for number in range(1, int(mean / _HASH_PER_PAGE + 4 * spread / _HASH_PER_PAGE) + 2):
        pages += math.erfc((number * _HASH_PER_PAGE - mean) / spread / math.sqrt(2)) / 2
    return pages


def brin(table_pages: int, columns: Sequence[Column], opclasses: Sequence[str], *, pages_per_range: int) -> int | None:
    """One tuple for each range of pages, holding two bounds a column. None for summaries of other kinds."""
    if not all(name.endswith("_minmax_ops") for name in opclasses):
        return None
    ranges = max(math.ceil(table_pages / pages_per_range), 1)
    bounds = [column for column in columns for _ in range(2)]
    header = _BRIN_HEADER_BYTES
    tuple_bytes = aligned(header + data_bytes(bounds, [False] * len(bounds), 0)) + LINE_POINTER_BYTES
    fitting = max((PAGE_BYTES - 24 - 8) // tuple_bytes, 1)
    return (1 + math.ceil(ranges / _BRIN_REVMAP_PER_PAGE) + math.ceil(ranges / fitting)) * PAGE_BYTES


def gin(rows: float, statistics: ColumnStatistics, key: Column, opclass: str) -> int | None:
    return None


def gist(rows: float, key: Column, opclass: str) -> int | None:
    return None


def spgist(rows: float, key: Column, opclass: str) -> int | None:
    return None
