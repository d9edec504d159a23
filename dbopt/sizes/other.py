"""The sizes of indexes that are not btrees and not there yet.

hash and BRIN are laid out by rules that can be followed. GiST and SP-GiST grow by splitting pages wherever values fall,
so that their fill is an average, measured on builds by PostgreSQL 13 to 18 (tests/optimize/test_estimate.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from dbopt.sizes.btree import LINE_POINTER_BYTES, PAGE_BYTES, Column, average_bytes

# hash: every tuple holds a hash code of 4 bytes (hashpage.c, hash.h).
_HASH_ITEM_BYTES = 16 + LINE_POINTER_BYTES
_HASH_PER_PAGE = (PAGE_BYTES - 24 - 16) // _HASH_ITEM_BYTES
_HASH_WHOLE_GROUPS = 10  # up to 2 to the power of 9 buckets are doubled at once; beyond, a quarter comes at a time

# BRIN (brin_page.h, brin_tuple.h)
_BRIN_REVMAP_PER_PAGE = (PAGE_BYTES - 24 - 8) // 6
_BRIN_HEADER_BYTES = 8
_HEAP_ROWS_PER_PAGE = 291  # at most
# Bloom filters and lists of ranges, with the operator classes' default parameters (brin_bloom.c, brin_minmax_multi.c).
_BLOOM_DISTINCT, _BLOOM_DISTINCT_LEAST, _BLOOM_FALSE_POSITIVE, _BLOOM_HEADER_BYTES = 0.1, 16, 0.01, 16
_MULTI_VALUES, _MULTI_HEADER_BYTES = 32, 20

# GiST by operator class: how full the pages are when values were inserted one by one, or sorted first.
_GIST_FILL = {
    "range_ops": 0.53,  # before 18: 0.45 to 0.62
    "point_ops": 0.72,  # between 13 (0.60), 14 (0.88) and later (0.66)
    "box_ops": 0.6,
    "poly_ops": 0.6,
    "circle_ops": 0.6,
    "inet_ops": 0.58,  # 0.48 to 0.71
    "tsvector_ops": 0.84,
    "gist_trgm_ops": 0.66,
}
_GIST_SORTED_FILL = 0.87
# btree_gist: both bounds of a value, or a text with a header more. Inserted one by one (0.45 in their order to 0.69),
# and sorted, as from 18 on.
_BTREE_GIST = frozenset(
    f"gist_{name}_ops"
    for name in (
        *("bool", "int2", "int4", "int8", "float4", "float8", "timestamp", "timestamptz", "time", "timetz", "date"),
        *("interval", "cash", "macaddr", "macaddr8", "oid", "uuid", "enum", "inet", "cidr"),
        *("text", "bpchar", "bytea", "numeric", "bit", "vbit"),
    )
)
_BTREE_GIST_FILL, _BTREE_GIST_SORTED_FILL, _BTREE_GIST_TEXTS_FILL = 0.55, 0.99, 0.8
_BTREE_GIST_HEADER_BYTES = 4
_GIST_SEVERAL_FILL = 0.62  # of several columns, inserted one by one
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


def brin(
    table_pages: int, table_rows: float, columns: Sequence[Column], opclasses: Sequence[str], *, pages_per_range: int
) -> int | None:
    """One tuple for each range of pages, holding a summary a column. None for a kind of summary that is not known."""
    ranges = max(math.ceil(table_pages / pages_per_range), 1)
    summaries: list[Column] = []
    for column, opclass in zip(columns, opclasses, strict=True):
        rows = min(table_rows / ranges, _HEAP_ROWS_PER_PAGE * pages_per_range)
        summary = _brin_summary(column, opclass, min(rows, column.distinct), pages_per_range)
        if summary is None:
            return None
        summaries += summary
    item = min(average_bytes(summaries, _BRIN_HEADER_BYTES) + LINE_POINTER_BYTES, PAGE_BYTES - 32)
    fitting = max(int((PAGE_BYTES - 24 - 8) / item), 1)
    return (1 + math.ceil(ranges / _BRIN_REVMAP_PER_PAGE) + math.ceil(ranges / fitting)) * PAGE_BYTES


def _brin_summary(column: Column, opclass: str, distinct: float, pages_per_range: int) -> list[Column] | None:
    """`distinct`: values in one range."""
    name = opclass.rpartition(".")[2]
    if name.endswith("_minmax_ops"):
        return [column, column]
    if name.endswith("_inclusion_ops"):  # the union of all, and two flags
        return [column, _fixed(2, 1)]
    mean = sum(column.lengths) / len(column.lengths) + (4 if column.varying else 0)
    if name.endswith("_minmax_multi_ops"):
        return [_fixed(_MULTI_HEADER_BYTES + min(distinct, _MULTI_VALUES) * mean, 4)]
    if name.endswith("_bloom_ops"):
        expected = max(_BLOOM_DISTINCT * _HEAP_ROWS_PER_PAGE * pages_per_range, _BLOOM_DISTINCT_LEAST)
        bits = -expected * math.log(_BLOOM_FALSE_POSITIVE) / math.log(2) ** 2
        hashes = bits / expected * math.log(2)
        # A filter with few bits set is compressed, to some two bytes a bit.
        return [_fixed(_BLOOM_HEADER_BYTES + min(bits / 8, 2 * distinct * hashes), 4)]
    return None


def _fixed(size_bytes: float, align: int) -> Column:
    return Column(
        lengths=(size_bytes,),
        common_lengths=(size_bytes,),
        align=align,
        varying=False,
        null_frac=0,
        distinct=1,
        common=(),
    )


def is_gist_array(opclass: str) -> bool:
    return opclass.rpartition(".")[2] in _GIST_ARRAYS


def gist(
    rows: float,
    keys: Sequence[Column],
    opclasses: Sequence[str],
    *,
    elements: Sequence[float | None],
    sorts: bool,
) -> int | None:
    """A tuple a row, like a btree's, with boxes in the place of shapes. `elements`: of each text of a key, on average.
    `sorts`: the server sorts values first, where it can. None for an operator class not measured.
    """
    item, fills = 0.0, []
    stored = []
    for key, opclass, per_row in zip(keys, opclasses, elements, strict=True):
        name = opclass.rpartition(".")[2]
        if name in _GIST_ARRAYS:
            if per_row is None:
                return None
            before, each = _GIST_ARRAYS[name]
            item += before + each * per_row
        else:
            stored.append(_gist_key(key, name))
        fills.append(_gist_fills(key, name))
    if None in fills:
        return None
    item += average_bytes(stored, 8) if stored else 8
    item += 3.5 if len(stored) < len(keys) else 0  # to the next boundary, on average
    is_sorted = sorts and all(fill and fill[1] for fill in fills)
    known = [fill[1] if is_sorted else fill[0] for fill in fills if fill is not None]
    fill = min(known) if is_sorted or len(known) == 1 else _GIST_SEVERAL_FILL
    return _filled(rows, item, fill)


def _gist_key(key: Column, name: str) -> Column:
    """As the index holds it."""
    if name in ("point_ops", "poly_ops", "circle_ops"):
        return _fixed(_GIST_BOX_BYTES, 8)
    if name not in _BTREE_GIST:
        return key
    if key.varying:
        return replace(key, lengths=tuple(length + _BTREE_GIST_HEADER_BYTES for length in key.lengths))
    return replace(key, lengths=tuple(2 * length for length in key.lengths))


def _gist_fills(key: Column, name: str) -> tuple[float, float] | None:
    """How full pages are without and with sorting; 0: it is never sorted."""
    if name in _BTREE_GIST:
        return _BTREE_GIST_FILL, _BTREE_GIST_TEXTS_FILL if key.varying else _BTREE_GIST_SORTED_FILL
    if name not in _GIST_FILL:
        return None
    return _GIST_FILL[name], _GIST_SORTED_FILL if name == "range_ops" else 0.0


def spgist(rows: float, key: Column, opclass: str) -> int | None:
    """A leaf tuple a row; NULLs have a tree of their own. None for an operator class not measured."""
    name = opclass.removeprefix("pg_catalog.")
    fill = _SPGIST_FILL.get(name)
    return None if fill is None else _filled(rows, average_bytes([key], _SPGIST_HEADER_BYTES), fill)


def _filled(rows: float, item: float, fill: float) -> int:
    return math.ceil(rows * (item + LINE_POINTER_BYTES) / (PAGE_BYTES - 24 - 16) / fill + 1) * PAGE_BYTES
