"""What keeping an index up to date costs in the time of the workload. Pure.

Each row that is inserted is an entry in each index; so is each updated one, unless the update is HOT, which it is as
long as it sets no column that any index of the table has (README.HOT in src/backend/access/heap). So an index on a
column that is updated costs all others of its table an entry as well.

An entry is a descent into the index, a page of it that is dirty afterwards, and WAL: the entry itself, its page when
that is split, and the whole page when it is the first change after a checkpoint (full_page_writes). What lands in the
same page between two checkpoints shares the page: entries whose keys grow as the table does all go to the last one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.sizes.btree import PAGE_BYTES, aligned
from dbopt.suggest.model import WriteCost
from dbopt.workload.index_advice import distinct_values

if TYPE_CHECKING:
    from dbopt.suggest.model import Candidate, Key, Size, Table

# Of a WAL record about one entry: XLogRecord (24), the reference to its page (20), the header of its data (2) and
# xl_btree_insert (2): src/include/access/xlogrecord.h, nbtxlog.h.
_RECORD_BYTES = 48
_ENTRY_HEADER_BYTES = 8  # IndexTupleData
_UNKNOWN_BYTES = 8  # of a value, where nobody has analyzed: a bigint, a timestamp
# A page that was split is half full, one that is about to be is full. The hole is left out of a page's image.
_PAGE_FILL = 0.7
CHECKPOINT_SECONDS = 300.0  # checkpoint_timeout's default
# pg_stats.correlation: from here on the rows lie in the table in the order of the column; and how many of its values
# have to differ: whoever loads a table sorts it by its customers, but new rows are of any customer. Our own.
_APPENDED, _MANY = 0.95, 0.1
# In the planner's units, where 1 is reading a page in sequence. Our own measurement: into cached btrees of 600,000 rows
# with random keys an entry took 5.4 us, descent, lock and WAL record included, where a unit took the scan of that table
# 2.0 us (PostgreSQL 15). To descend alone is 50 cpu_operator_cost a level in selfuncs.c, which is a seventh of that.
_ENTRY_COST = 2.7
_PAGE_COST = 1.0  # written by a checkpoint, each in its place; and each page of WAL, which is in sequence
# Bytes that an element of a value takes in it, by operator class: so many elements, entries of their own, a value has.
# A trigram each character; words, with where they stand (sizes/elements.py); numbers or short texts; keys and values.
_ELEMENT_BYTES = {
    "gin_trgm_ops": 1.0,
    "tsvector_ops": 14.0,
    "array_ops": 8.0,
    "jsonb_ops": 12.0,
    "jsonb_path_ops": 24.0,
}
_WORD_BYTES = 7.0  # of a text that is made into words
_BRIN_PAGES_PER_RANGE = 128  # its default


def write_cost(candidate: Candidate, table: Table, size: Size | None, *, weight: float = 1.0) -> WriteCost:
    """`weight`: how much a write counts against a read; what is counted in entries and bytes is as it is."""
    relation, writes = table.relation, table.writes
    rows = relation.rows or 0.0
    share = min(size.rows / rows, 1.0) if size is not None and candidate.where and rows > 0 else 1.0
    lost_hot = _lost_hot(candidate, table)
    written = (writes.inserted + max(writes.updated - writes.hot, 0.0) + lost_hot) * share
    each, entry_bytes = _entries_a_row(candidate, table), _entry_bytes(candidate, table)
    entries = written * each
    grows_by_bytes = entry_bytes if _is_appended(candidate, table) else None
    pages = _dirtied(entries, _pages(size, rows * share * each, entry_bytes), writes.seconds, grows_by_bytes)
    others = lost_hot * sum(index.is_valid for index in relation.indexes)
    wal_bytes = entries * (_RECORD_BYTES + 2 * entry_bytes) + pages * _PAGE_FILL * PAGE_BYTES
    wal_bytes += others * (_RECORD_BYTES + 2 * (_ENTRY_HEADER_BYTES + _UNKNOWN_BYTES))
    cost = (entries + others) * _ENTRY_COST + (pages + others + wal_bytes / PAGE_BYTES) * _PAGE_COST
    return WriteCost(entries=entries + others, wal_bytes=wal_bytes, lost_hot=lost_hot, cost=cost * weight)


def _lost_hot(candidate: Candidate, table: Table) -> float:
    """Updates that are HOT today and set one of its columns. Those of a column that another index has are not HOT."""
    writes = table.writes
    if writes.updated <= 0 or writes.hot <= 0:
        return 0.0
    indexed = {name for index in table.relation.indexes for name in index.include}
    for index in table.relation.indexes:
        for key in index.keys:
            indexed.update([key.column] if key.column is not None else _columns(key.expression or ""))
        indexed.update(_columns(index.predicate or ""))
    new = sorted(set(columns(candidate)) - indexed)
    # A statement that sets several of them does so in the same rows.
    rows = max((writes.columns.get(name, 0.0) for name in new), default=0.0)
    return min(rows, writes.hot)


def columns(candidate: Candidate) -> tuple[str, ...]:
    """All that an update must not set to be HOT: of keys, expressions and predicate, and what is included."""
    found: dict[str, None] = {}
    for key in candidate.keys:
        found |= dict.fromkeys([key.column] if key.column else _columns(key.expression))
    return tuple(found | dict.fromkeys(candidate.include) | dict.fromkeys(_columns(candidate.where)))


@lru_cache(maxsize=4096)
def _columns(expression: str) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(grammar.column_names(grammar.parse_expression(expression)))) if expression else ()
    except grammar.GrammarError:
        return ()


def _entries_a_row(candidate: Candidate, table: Table) -> float:
    match candidate.method:
        case "gin":
            return sum(_elements(key, table) for key in candidate.keys)
        case "brin":  # one for each range of pages
            relation = table.relation
            pages = int(dict(candidate.parameters).get("pages_per_range", _BRIN_PAGES_PER_RANGE))
            ranges = max(relation.size_bytes / PAGE_BYTES / pages, 1.0)
            return min(ranges / relation.rows, 1.0) if relation.rows else 0.0
    return 1.0


def _elements(key: Key, table: Table) -> float:
    """Of a value, by how long it is."""
    width = _width(key, table)
    opclass = key.opclass.rpartition(".")[2] or _usual_opclass(key, table)
    if "to_tsvector" in key.expression:
        return max(width / _WORD_BYTES, 1.0)
    return max(width / _ELEMENT_BYTES[opclass], 1.0) if opclass in _ELEMENT_BYTES else 1.0


def _usual_opclass(key: Key, table: Table) -> str:
    column = table.relation.column(key.column)
    type_name = "" if column is None else column.base_type or column.type_name
    return {"tsvector": "tsvector_ops", "jsonb": "jsonb_ops"}.get(
        type_name, "array_ops" if type_name.endswith("[]") else ""
    )


def _entry_bytes(candidate: Candidate, table: Table) -> float:
    if candidate.method == "gin":  # of an element, and where it is
        return float(_ENTRY_HEADER_BYTES + _UNKNOWN_BYTES)
    widths = [_width(key, table) for key in candidate.keys]
    widths += [_column_width(name, table) for name in candidate.include]
    return aligned(_ENTRY_HEADER_BYTES + sum(widths))


def _width(key: Key, table: Table) -> float:
    """Of what an expression makes of its columns, as much as they are long."""
    names = [key.column] if key.column else _columns(key.expression)
    return sum(_column_width(name, table) for name in names) or _UNKNOWN_BYTES


def _column_width(name: str, table: Table) -> float:
    column = table.relation.column(name)
    return float(_UNKNOWN_BYTES if column is None or column.avg_width is None else column.avg_width)


def _pages(size: Size | None, entries: float, entry_bytes: float) -> float:
    size_bytes = size.size_bytes if size is not None else entries * entry_bytes / _PAGE_FILL
    return max(size_bytes / PAGE_BYTES, 1.0)


def _dirtied(entries: float, pages: float, seconds: float | None, grows_by_bytes: float | None) -> float:
    """Pages changed for the first time since a checkpoint. `grows_by_bytes`: of an entry, where all go to the end."""
    times = max((seconds or 0.0) / CHECKPOINT_SECONDS, 1.0)
    if grows_by_bytes is not None:
        return min(entries, times + entries * grows_by_bytes / PAGE_BYTES)
    return times * pages * -math.expm1(-entries / times / pages)


def _is_appended(candidate: Candidate, table: Table) -> bool:
    """Whether new rows have the greatest keys, as those of a sequence or a clock."""
    column = table.relation.column(candidate.keys[0].column)
    if candidate.method != "btree" or column is None or table.relation.rows is None:
        return False
    distinct = distinct_values(table.relation, column) or 0.0
    return (column.correlation or 0.0) >= _APPENDED and distinct >= _MANY * table.relation.rows
