"""The size of a table that was written anew, as VACUUM FULL would leave it: rows one after the other up to the
fillfactor, and the chunks of long values in the TOAST table.

The rules are those of src/include/access/htup_details.h and heaptoast.h of PostgreSQL 13 to 18.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from dbopt.sizes.btree import LINE_POINTER_BYTES, PAGE_BYTES, aligned
from dbopt.values import dataclass

_PAGE_HEADER_BYTES = 24
_TUPLE_HEADER_BYTES = 23
_SHORT_BYTES = 127  # a value of no more bytes has a header of 1 byte and is not aligned
_SAMPLES = 32  # rows looked at, each with NULLs and lengths of its own
_SPREAD_BYTES = 8  # lengths of which only the average is known are taken to differ so much, and meet every alignment
_ALIGN = {"c": 1, "s": 2, "i": 4, "d": 8}
_CHUNKS_A_PAGE = 4  # TOAST_MAX_CHUNK_SIZE is chosen so that so many fill a page
_CHUNK_LOST = 0.4  # of one, where shorter ones leave a rest that the next does not fit into


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column in a table's order. `avg_width` is as stored, header included; a dropped column is all NULL."""

    attlen: int  # -1: varying
    attalign: str
    null_frac: float
    avg_width: int
    is_numeric: bool = False


def heap(rows: float, columns: Sequence[Attribute], *, fillfactor: int = 100) -> int:
    """Bytes of so many rows."""
    if rows <= 0:
        return 0
    return math.ceil(rows / _per_page(tuple(columns), fillfactor)) * PAGE_BYTES


def toast(chunks: float, values: float | None) -> int:
    """Bytes of so many chunks, of which those of one value are full but for the last, which has some half. `values`:
    how many there are; None: not known, and all chunks are taken to be full.
    """
    if chunks <= 0:
        return 0
    short = min(values / chunks, 1.0) if values is not None and chunks > values else 0.0
    per_page = _CHUNKS_A_PAGE - _CHUNK_LOST * (1 - (1 - short) ** _CHUNKS_A_PAGE)
    return math.ceil(chunks * (1 - short / 2) / per_page) * PAGE_BYTES


def packed(tuples: float, tuple_bytes: float, used_bytes: float, *, fillfactor: int = 100) -> float:
    """Bytes of so many tuples, whose average length was measured. `used_bytes`: what is neither dead nor free in all of
    their pages, which is more than they take where pointers to removed ones are left.
    """
    if tuples <= 0 or tuple_bytes <= 0:
        return used_bytes
    item = aligned(tuple_bytes) + LINE_POINTER_BYTES
    per_page = max(_room(fillfactor) // item, 1)
    return min(tuples / per_page * PAGE_BYTES, used_bytes * PAGE_BYTES / (per_page * item))


def _room(fillfactor: int) -> int:
    return PAGE_BYTES - _PAGE_HEADER_BYTES - PAGE_BYTES * (100 - fillfactor) // 100


@lru_cache(maxsize=1024)
def _per_page(columns: tuple[Attribute, ...], fillfactor: int) -> float:
    """How many rows stay on a page; the partitions of a table are alike."""
    sizes = [_tuple_bytes(columns, sample) + LINE_POINTER_BYTES for sample in range(_SAMPLES)]
    room = _room(fillfactor)
    item = sum(sizes) / _SAMPLES
    # What is too long for the rest of a page leaves on average half of its length free there.
    return max(room / item - 0.5 if len(set(sizes)) > 1 else room // item, 1.0)


def _tuple_bytes(columns: Sequence[Attribute], sample: int) -> int:
    at = 0
    has_nulls = False
    for number, column in enumerate(columns):
        # Columns are combined as if they did not depend on each other: each goes its own way through the samples.
        place = (sample * (2 * number + 1) + number) % _SAMPLES
        if place + 0.5 < column.null_frac * _SAMPLES:
            has_nulls = True
            continue
        if column.attlen > 0:
            at = aligned(at, _ALIGN[column.attalign]) + column.attlen
            continue
        spread = 0.0 if column.is_numeric else min(_SPREAD_BYTES, column.avg_width / 2)
        turned = (place * 5 + 3) % _SAMPLES  # how long it is shall not depend on how seldom it is NULL
        width = round(column.avg_width + spread * ((turned + 0.5) / _SAMPLES - 0.5))
        if column.is_numeric and width % 2 == 0:
            # A header of 3 bytes, and 2 for each 4 digits. The average was cut off: 4 says that most have 5.
            width += 1 if turned % 8 else -1
        if column.avg_width > _SHORT_BYTES:
            at = aligned(at, _ALIGN[column.attalign])
        at += width
    bitmap = (len(columns) + 7) // 8 if has_nulls else 0
    return aligned(aligned(_TUPLE_HEADER_BYTES + bitmap) + at)
