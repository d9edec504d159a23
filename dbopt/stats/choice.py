"""Which tables, indexes and schemas are meant, and in which order. Pure."""

from __future__ import annotations

import difflib
import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

Item = TypeVar("Item")


class What(StrEnum):
    OVERVIEW = "overview"
    TABLES = "tables"
    INDEXES = "indexes"
    SCHEMAS = "schemas"
    COVERAGE = "coverage"


class Sort(StrEnum):
    SIZE = "size"
    HEAP = "heap"
    INDEXES = "indexes"
    TOAST = "toast"
    ROWS = "rows"
    DEAD = "dead"
    SEQ_SCANS = "seq-scans"
    ROWS_READ = "rows-read"
    SCANS = "scans"
    LAST_SCAN = "last-scan"
    VACUUM = "vacuum"
    ANALYZE = "analyze"
    GROWTH = "growth"
    NAME = "name"


def _age(at: datetime | None) -> float:
    """What never was is the longest ago."""
    return -at.timestamp() if at is not None else math.inf


# The greatest first, but for names.
TABLE_SORTS: Mapping[Sort, Callable[[Any], Any]] = {
    Sort.SIZE: lambda item: item.total_bytes,
    Sort.HEAP: lambda item: item.heap_bytes,
    Sort.INDEXES: lambda item: item.index_bytes,
    Sort.TOAST: lambda item: item.toast_bytes,
    Sort.ROWS: lambda item: item.rows,
    Sort.DEAD: lambda item: item.n_dead_tup,
    Sort.SEQ_SCANS: lambda item: item.seq_scan,
    Sort.ROWS_READ: lambda item: item.seq_tup_read,
    Sort.SCANS: lambda item: item.idx_scan,
    Sort.GROWTH: lambda item: item.growth_bytes,
    Sort.VACUUM: lambda item: _age(item.last_vacuum),
    Sort.ANALYZE: lambda item: _age(item.last_analyze),
    Sort.NAME: lambda item: item.relation,
}
INDEX_SORTS: Mapping[Sort, Callable[[Any], Any]] = {
    Sort.SIZE: lambda item: item.size_bytes,
    Sort.SCANS: lambda item: item.idx_scan,
    Sort.ROWS_READ: lambda item: item.idx_tup_read,
    Sort.LAST_SCAN: lambda item: _age(item.last_idx_scan),
    Sort.GROWTH: lambda item: item.growth_bytes,
    Sort.NAME: lambda item: item.index,
}
SCHEMA_SORTS: Mapping[Sort, Callable[[Any], Any]] = {
    sort: key for sort, key in TABLE_SORTS.items() if sort not in (Sort.VACUUM, Sort.ANALYZE, Sort.NAME)
} | {Sort.NAME: lambda item: item.schema}
SORTS: Mapping[What, Sequence[Sort]] = {
    What.TABLES: tuple(TABLE_SORTS),
    What.INDEXES: tuple(INDEX_SORTS),
    What.SCHEMAS: tuple(SCHEMA_SORTS),
    What.OVERVIEW: tuple(sort for sort in TABLE_SORTS if sort in INDEX_SORTS),
    What.COVERAGE: (),
}


def ordered(
    items: Iterable[Item], keys: Mapping[Sort, Callable[[Any], Any]], sort: Sort, *, reverse: bool
) -> list[Item]:
    """What has no value stands last, whatever the direction; equals by name."""
    key = keys[sort]
    named = sorted(items, key=keys[Sort.NAME])
    known = [item for item in named if key(item) is not None]
    if sort is Sort.NAME:
        return known[::-1] if reverse else known
    known.sort(key=key if reverse else lambda item: -key(item))
    return [*known, *(item for item in named if key(item) is None)]


@dataclass(frozen=True, slots=True)
class Filter:
    """Patterns, in which `*` and `?` stand for any characters; none: everything."""

    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.schemas or self.tables)

    def schema(self, name: str) -> bool:
        return not self.schemas or any(_matches(name, pattern) for pattern in self.schemas)

    def table(self, schema: str, name: str, relation: str) -> bool:
        """By its name, with its schema or without, or as SQL writes it."""
        if not self.schema(schema):
            return False
        names = (name, f"{schema}.{name}", relation)
        return not self.tables or any(_matches(text, pattern) for text in names for pattern in self.tables)


def _matches(text: str, pattern: str) -> bool:
    regex = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return text == pattern or re.fullmatch(regex, text, re.DOTALL) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is to be seen. `partitions`: each by itself."""

    what: What
    sort: Sort
    reverse: bool
    partitions: bool
    only: Filter


def nearest(patterns: Sequence[str], known: Iterable[str]) -> str | None:
    """The `schema.table` that somebody may have meant."""
    names = list(known)
    by_part = {part: name for name in reversed(names) for part in (*name.split(".", 1), name)}
    for pattern in patterns:
        near = difflib.get_close_matches(pattern, by_part, n=1)
        if near:
            return by_part[near[0]]
    return None
