"""Indexes with their size, their use over a window, who asked for them and which of them does the same. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from dbopt.relations.redundancy import redundant
from dbopt.snapshot.model import Family
from dbopt.spec import mark
from dbopt.stats.tables import total
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from dbopt.postgres.index_catalog import Marked
    from dbopt.postgres.indexes import IndexShape
    from dbopt.postgres.relation_counters import IndexCounters
    from dbopt.stats.collect import Rows
    from dbopt.stats.window import Window

    Named = Callable[[str, str], str | None]  # an index's schema and name -> domain/name of the spec's entry


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """Scans, rows read and growth are of the window."""

    oid: int
    index: str  # regclass
    schema: str
    name: str
    relation_oid: int
    relation: str
    partitions: int
    size_bytes: int
    is_estimated: bool
    idx_scan: float | None
    idx_tup_read: float | None
    idx_tup_fetch: float | None
    last_idx_scan: datetime | None  # 16+
    is_primary: bool
    is_unique: bool
    is_constraint: bool
    is_valid: bool
    spec: str | None  # domain/name of the entry that asks for it
    is_marked: bool  # dbopt's mark says so, in its comment; else only the entry's name does
    redundant_with: str | None
    is_duplicate: bool  # the other one does the same, no more
    growth_bytes: float | None

    @property
    def rows_a_scan(self) -> float | None:
        """Entries that a scan reads on average."""
        return self.idx_tup_read / self.idx_scan if self.idx_scan and self.idx_tup_read is not None else None


@dataclass(frozen=True, slots=True)
class _Other:
    index: str
    exact: bool


def indexes(rows: Rows, window: Window, named: Named, *, partitions: bool) -> list[IndexStats]:
    """All of them. `named`: what the configured specs call theirs."""
    groups: dict[int, list[IndexCounters]] = defaultdict(list)
    for row in rows.indexes:
        groups[row.index_oid if partitions or row.root_oid is None else row.root_oid].append(row)
    others = _others(rows.shapes)
    owners = _owners(rows.marked)
    return [_index(oid, group, window, others, owners, named) for oid, group in groups.items()]


def _index(
    oid: int,
    parts: Sequence[IndexCounters],
    window: Window,
    others: Mapping[int, _Other],
    owners: Mapping[int, str],
    named: Named,
) -> IndexStats:
    first = parts[0]
    whole = first.index_oid != oid
    schema = (first.root_schema or first.schema) if whole else first.schema
    name = (first.root_name or first.name) if whole else first.name
    # A part is its partitioned index's, by mark and by name.
    roots = (oid, first.root_oid or oid)
    owner = next((owners[at] for at in roots if at in owners), None)
    other = next((others[at] for at in roots if at in others), None)
    asked = named(schema, name) or (named(first.root_schema or "", first.root_name) if first.root_name else None)

    def counted(column: str) -> float | None:
        if not whole:  # most are, and there can be 10,000
            return window.count(Family.INDEXES, oid, column, getattr(first, column))
        return total(window.count(Family.INDEXES, part.index_oid, column, getattr(part, column)) for part in parts)

    return IndexStats(
        oid=oid,
        index=(first.root_index or first.index) if whole else first.index,
        schema=schema,
        name=name,
        relation_oid=first.relation_oid,
        relation=(first.root_relation or first.relation) if whole else first.relation,
        partitions=len(parts) if whole else 0,
        size_bytes=sum(part.size_bytes for part in parts),
        is_estimated=not all(part.is_measured for part in parts),
        idx_scan=counted("idx_scan"),
        idx_tup_read=counted("idx_tup_read"),
        idx_tup_fetch=counted("idx_tup_fetch"),
        last_idx_scan=max((part.last_idx_scan for part in parts if part.last_idx_scan is not None), default=None),
        is_primary=first.indisprimary,
        is_unique=first.indisunique,
        is_constraint=first.is_constraint,
        is_valid=all(part.indisvalid for part in parts) and (not whole or first.root_is_valid is not False),
        spec=owner or asked,
        is_marked=owner is not None,
        redundant_with=None if other is None else other.index,
        is_duplicate=other is not None and other.exact,
        growth_bytes=total(window.growth(Family.INDEXES, part.index_oid, "size_bytes") for part in parts),
    )


def _others(shapes: Iterable[IndexShape]) -> dict[int, _Other]:
    return {found.index.oid: _Other(found.keeper.index, found.exact) for found in redundant(shapes)}


def _owners(marked: Iterable[Marked]) -> dict[int, str]:
    found = {}
    for row in marked:
        owner = mark.read(row.comment)[1]
        if owner is not None:
            found[row.oid] = f"{owner.domain}/{owner.name}"
    return found
