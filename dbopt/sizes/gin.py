"""The size of a GIN index that is not there yet.

An entry for each different element of the values, with the list of rows that have it: inside the entry's tuple while it
is short, in pages of its own when it is long. Lists hold the distances between rows, in as many bytes as each takes.
See src/backend/access/gin of PostgreSQL 13 to 18: ginpostinglist.c, ginentrypage.c, gindatapage.c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dbopt.sizes.btree import LINE_POINTER_BYTES, PAGE_BYTES, aligned
from dbopt.values import dataclass

_OFFSETS_PER_PAGE = 2**11  # a row is page * 2048 + its place on the page
_ITEM_MAX_BYTES = (PAGE_BYTES - 40 - 8) // 3 // 8 * 8
_LIST_HEADER_BYTES = 8
_COLUMN_BYTES = 2  # in front of each key, where there are several columns: which one it is of
_FREE_BYTES = PAGE_BYTES - 24 - 16
_ENTRY_FILL = 0.53  # entries are added in order, and a full page is split in the middle: it stays half full
_LIST_FILL = 0.92


@dataclass(frozen=True, slots=True)
class Elements:
    """What the values consist of. `shares`: of the rows that have each of the commoner elements; `rare`: groups of
    others, how many of a group there are and how many of them a row has on average. `key_bytes`: what an element takes
    as the key of an index tuple.
    """

    shares: Sequence[float]
    rare: Sequence[tuple[float, float]]
    key_bytes: float

    @property
    def per_row(self) -> float:
        return sum(self.shares) + sum(per_row for _, per_row in self.rare)


def gin(rows: float, table_pages: int, table_rows: float, keys: Sequence[Elements]) -> int:
    """Bytes of a GIN index over so many of the table's rows. Several keys share one tree."""
    rows_a_page = max(table_rows / max(table_pages, 1), 1.0)
    indexed = min(rows / table_rows, 1.0)  # of a partial index
    entry_bytes = list_pages = 0.0
    for elements in keys:
        key_bytes = elements.key_bytes + (_COLUMN_BYTES if len(keys) > 1 else 0)
        lists = [(1.0, share) for share in elements.shares]
        lists += [(distinct, per_row / distinct) for distinct, per_row in elements.rare if distinct > 0]
        for all_of_them, share in lists:
            in_table = max(share * table_rows, 1.0)
            met = 1 - (1 - indexed) ** in_table
            many, having = all_of_them * met, max(in_table * indexed / met, 1.0)
            list_bytes = (having - 1) * _distance_bytes(table_rows / having, rows_a_page)
            inline = aligned(8 + key_bytes + _LIST_HEADER_BYTES + list_bytes)
            if inline > _ITEM_MAX_BYTES:
                pages = math.ceil(list_bytes / _FREE_BYTES / _LIST_FILL)
                list_pages += many * (pages + (1 if pages > 1 else 0))
                inline = aligned(8 + key_bytes)
            entry_bytes += many * (inline + LINE_POINTER_BYTES)
    entry_pages = math.ceil(entry_bytes / _FREE_BYTES / _ENTRY_FILL)
    return round(1 + max(entry_pages, 1) + list_pages) * PAGE_BYTES


def _distance_bytes(rows_between: float, rows_a_page: float) -> float:
    """What the distance to the next row with the element takes, on average, if rows have it by chance: 1 byte on the
    same page, at least 2 beyond it, and another one for every 7 bits.
    """
    pages_between = rows_between / rows_a_page
    same_page = 1 - pages_between * -math.expm1(-1 / pages_between)
    average = max(pages_between, 1.0) * _OFFSETS_PER_PAGE
    beyond = 2 + sum(math.exp(-(2.0 ** (7 * number)) / average) for number in range(2, 6))
    return same_page + (1 - same_page) * beyond
