"""The sizes of indexes that are not btrees and not there yet.

hash and BRIN are laid out by rules that can be followed. GiST and SP-GiST grow by splitting pages wherever values fall,
so that their fill is an average, measured on builds by PostgreSQL 13 to 18 (tests/optimize/test_estimate.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dbopt.sizes.btree import LINE_POINTER_BYTES, PAGE_BYTES, Column, aligned, average_bytes

# hash: every tuple holds a hash code of 4 bytes (hashpage.c, hash.h).
_HASH_ITEM_BYTES = 16 + LINE_POINTER_BYTES
_HASH_PER_PAGE = (PAGE_BYTES - 24 - 16) // _HASH_ITEM_BYTES
_HASH_WHOLE_GROUPS = 10  # up to 2 to the power of 9 buckets are doubled at once; beyond, a quarter comes at a time

# BRIN (brin_page.h, brin_tuple.h)
_BRIN_REVMAP_PER_PAGE = (PAGE_BYTES - 24 - 8) // 6
_BRIN_HEADER_BYTES = 8

# GiST by operator class: how full the pages are when values were inserted one by one, or sorted first.
_GIST_FILL = {
    "range_ops": 0.46,
    "point_ops": 0.72,  # between 13 (0.60), 14 (0.88) and later (0.66)
    "box_ops": 0.6,
    "poly_ops": 0.6,
    "circle_ops": 0.6,
    "inet_ops": 0.58,  # 0.48 to 0.71
    "tsvector_ops": 0.84,
    "gist_trgm_ops": 0.66,
}
_GIST_SORTED_FILL = 0.87
_GIST_BOX_BYTES = 32  # what a point, polygon or circle is stored as

# Texts are stored as numbers of their words, or their trigrams: (bytes before these, bytes of each).
_GIST_ARRAYS = {"tsvector_ops": (8, 4), "gist_trgm_ops": (5, 3)}

# SP-GiST: a leaf tuple has a header of its own; the tree above the leaves is in the fill.
_SPGIST_HEADER_BYTES = 16
_SPGIST_FILL = {
    "quad_point_ops": 0.78,
    "kd_point_ops": 0.72,
    "box_ops": 0.73,
    "poly_ops": 0.73,
    "text_ops": 0.87,
    "range_ops": 0.68,  # 0.51 to 0.78: the longer the values, the more the tree above them takes
    "inet_ops": 0.62,  # 0.53 to 0.73
}


def hash_table(table_rows: float, rows: float, key: Column, *, fillfactor: int = 75) -> int:
    """Buckets for as many rows as the table has, be the index partial or not, and pages for what flows over."""
    per_bucket = max(PAGE_BYTES * fillfactor // 100 // _HASH_ITEM_BYTES, 10)
    buckets = _hash_buckets(max(math.ceil(table_rows / per_bucket), 2))
    rows *= 1 - key.null_frac  # NULL is not indexed
    common = [share * rows for share in key.common if share * rows > _HASH_PER_PAGE]
    rest = max(rows - math.fsum(common), 0.0)
    alike = rest / max(key.distinct - len(common), 1)
    in_each = rest / buckets
    spread = math.sqrt(in_each * max(alike, 1.0))
    overflow: float = sum(math.floor((many + in_each) / _HASH_PER_PAGE) for many in common)
    overflow += (buckets - min(len(common), buckets)) * _pages_beyond_first(in_each, spread)
    return round(2 + buckets + overflow) * PAGE_BYTES  # 2: the meta page and a bitmap


def _hash_buckets(wanted: int) -> int:
    group = (wanted - 1).bit_length()
    if group < _HASH_WHOLE_GROUPS:
        return 1 << group
    half = 1 << (group - 1)
    return half + math.ceil((wanted - half) / (half // 4)) * (half // 4)


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
    item = average_bytes(bounds, _BRIN_HEADER_BYTES) + LINE_POINTER_BYTES
    fitting = max(int((PAGE_BYTES - 24 - 8) / item), 1)
    return (1 + math.ceil(ranges / _BRIN_REVMAP_PER_PAGE) + math.ceil(ranges / fitting)) * PAGE_BYTES


def is_gist_array(opclass: str) -> bool:
    return opclass.rpartition(".")[2] in _GIST_ARRAYS


def gist(rows: float, key: Column, opclass: str, *, elements: float | None, sorts_ranges: bool) -> int | None:
    """A tuple a row, like a btree's, with a box in the place of a shape. `elements`: of a text, on average. None for an
    operator class not measured.
    """
    name = opclass.rpartition(".")[2]
    fill = _GIST_SORTED_FILL if name == "range_ops" and sorts_ranges else _GIST_FILL.get(name)
    if fill is None:
        return None
    item = average_bytes([key], 8)
    if name in ("point_ops", "poly_ops", "circle_ops"):
        item = aligned(8 + _GIST_BOX_BYTES)
    elif name in _GIST_ARRAYS:
        if elements is None:
            return None
        before, each = _GIST_ARRAYS[name]
        item = 8 + before + each * elements + 3.5  # 3.5: to the next boundary, on average
    return _filled(rows, item, fill)


def spgist(rows: float, key: Column, opclass: str) -> int | None:
    """A leaf tuple a row; NULLs have a tree of their own. None for an operator class not measured."""
    name = opclass.removeprefix("pg_catalog.")
    fill = _SPGIST_FILL.get(name)
    return None if fill is None else _filled(rows, average_bytes([key], _SPGIST_HEADER_BYTES), fill)


def _filled(rows: float, item: float, fill: float) -> int:
    return math.ceil(rows * (item + LINE_POINTER_BYTES) / (PAGE_BYTES - 24 - 16) / fill + 1) * PAGE_BYTES
