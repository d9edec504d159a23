"""B-tree indexes that take much more room than their entries need.

Entries of dead rows are removed by VACUUM, but a page of an index is used again only when it has become empty as a
whole. After many deletions, or updates of indexed columns, an index may be several times as large as a new one: more to
read, to cache and to write.

What a new index would take is computed from what ANALYZE knows about its columns or expressions, the way CREATE INDEX
builds it: fillfactor, equal keys sharing entries (deduplication), the share of rows that a predicate lets in. A b-tree
that grew in random order wastes some 23 % for good, and needs nothing. `--exact` reads the indexes instead, with
pgstatindex().

Unknown: an index on an expression without statistics; one of another method than btree, for which there is no way to
tell; one whose keys repeat in a way that ANALYZE cannot see in a large table, where that makes the difference.

What to do: REINDEX CONCURRENTLY, which needs room for the new index beside the old one.
https://www.postgresql.org/docs/current/routine-reindex.html
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from dbopt.health.bloat import (
    EXACT_SECONDS,
    MIN_SIZE,
    THRESHOLDS,
    Bloat,
    Part,
    Storage,
    as_measured,
    hidden,
    is_large,
    row_count,
    uncounted,
)
from dbopt.health.check import Check, Gap, Group, Need, Status, Unit
from dbopt.postgres.largest import INDEX_COLUMNS, IndexColumn
from dbopt.postgres.statistics import ColumnStatistics
from dbopt.sizes.btree import btree
from dbopt.sizes.distinct import distinct_if_clustered
from dbopt.sizes.predicate import Rule, Said, about_columns
from dbopt.sizes.stored import stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.health.scene import Scene

_OFF = {"off", "false", "no", "0"}
_IN_ORDER = 0.9  # a correlation from which on equal values lie side by side


def judged(rows: Sequence[IndexColumn], scene: Scene) -> Iterable[Bloat]:
    groups = (list(group) for _, group in groupby(rows, key=lambda row: row.index_oid))
    return [as_measured(bloat_of(group, scene), scene) for group in groups if is_large(_size(group[0]), scene)]


def bloat_of(columns: Sequence[IndexColumn], scene: Scene) -> Bloat:
    index = columns[0]
    options = dict(option.split("=", 1) for option in index.reloptions or ())
    fillfactor = int(options.get("fillfactor", 90))
    facts = [f"on {index.relation}"]
    if index.size_bytes is None:
        facts.append("size as VACUUM or ANALYZE last saw it: somebody has locked it, or waits to")
    size = _size(index)
    rows = _rows(index)
    gap = _gap(columns, rows, scene)
    fresh = None
    if gap is None:
        share = index.may_share and not index.is_unique and options.get("deduplicate_items", "on").lower() not in _OFF
        fresh, most = _fresh(columns, rows, fillfactor, share=share)
        warning = scene.thresholds.warning
        if warning is not None and size and 1 - fresh / size >= warning > 1 - most / size:
            hint = "Run dbopt health --exact, which reads it."
            gap = Gap("ANALYZE cannot tell from its sample how often their keys repeat", hint)
        fresh = (fresh * most) ** 0.5
    storage = Storage.BTREE if index.method == "btree" else Storage.OTHER
    part = Part(index.index_oid, storage, size, fresh, fillfactor)
    return Bloat(index.index, (part,), _remedy(index, scene), tuple(facts), gap)


def _size(index: IndexColumn) -> int:
    """Now, if it may be asked. While rows are being added the size is ahead of their number."""
    then = index.relpages * index.block_size
    if index.size_bytes is None:
        return then
    return min(then, index.size_bytes) if index.is_written and index.relpages > 0 else index.size_bytes


def _rows(index: IndexColumn) -> float:
    """How many rows the index has an entry for: what VACUUM or ANALYZE found, grown as the table has."""
    in_table = _rows_of_table(index)
    if not index.is_partial:
        return in_table
    if index.reltuples <= 0 or index.table_reltuples <= 0:
        return max(index.reltuples, 0.0)
    return min(index.reltuples * in_table / index.table_reltuples, in_table)


def _rows_of_table(index: IndexColumn) -> float:
    return row_count(index.table_reltuples, index.n_live_tup, index.n_tup_ins, index.n_tup_del)


def _gap(columns: Sequence[IndexColumn], rows: float, scene: Scene) -> Gap | None:
    index = columns[0]
    if index.method != "btree":
        return Gap(
            f"nothing tells what an index of method {index.method} should take",
            "Compare it with a new one: REINDEX INDEX CONCURRENTLY makes one.",
        )
    analyze = f"ANALYZE {index.relation};"
    if index.table_reltuples < 0 or index.reltuples < 0 or (index.table_reltuples == 0 and index.table_relpages == 0):
        return Gap("their tables were never vacuumed nor analyzed", analyze)
    if not index.counted:
        return uncounted(scene, analyze)
    if rows == 0:
        return None
    for column in columns:
        if not column.is_readable:
            return hidden(
                scene,
                index.relation,
                has_policies=column.has_policies and not column.is_expression,
                is_index=column.is_expression,
            )
    if any(column.null_frac is None for column in columns):
        return Gap("columns or expressions were never analyzed", analyze)
    return None


def _fresh(columns: Sequence[IndexColumn], rows: float, fillfactor: int, *, share: bool) -> tuple[float, float]:
    """Bytes of a new index: as the statistics have it, and the most that they allow for."""
    index = columns[0]
    table_rows = max(_rows_of_table(index), 1.0)
    if rows == 0:
        return index.block_size, index.block_size
    names = {column.column or "" for column in columns}
    ways: list[Mapping[str, Said]] = [about_columns(index.predicate)]
    if index.is_partial and index.predicate is None:
        ways.append({name: Said(Rule.RESTRICTED) for name in names})
    known = [_statistics(column) for column in columns]
    repeated = [_repeated(column, found, table_rows) for column, found in zip(columns, known, strict=True)]
    likely = [
        often if abs(column.correlation or 0.0) >= _IN_ORDER else found
        for column, found, often in zip(columns, known, repeated, strict=True)
    ]

    def size(statistics: Sequence[ColumnStatistics], said: Mapping[str, Said]) -> int:
        # An expression of a partial index was analyzed among the index's own rows.
        stored_columns = [
            stored(found, rows, rows, None)
            if column.is_expression
            else stored(found, table_rows, rows, said.get(found.column))
            for column, found in zip(columns, statistics, strict=True)
        ]
        keys = [one for one, column in zip(stored_columns, columns, strict=True) if column.is_key]
        include = [one for one, column in zip(stored_columns, columns, strict=True) if not column.is_key]
        return btree(rows, keys, include, deduplicates=share, fillfactor=fillfactor)

    fresh = max(size(likely, said) for said in ways)
    if not share or repeated == likely:
        return fresh, fresh
    return fresh, max(fresh, *(size(repeated, said) for said in ways))


def _repeated(column: IndexColumn, found: ColumnStatistics, table_rows: float) -> ColumnStatistics:
    """As if rows with equal values lay side by side."""
    return replace(found, n_distinct=distinct_if_clustered(found, table_rows, column.table_relpages))


def _statistics(column: IndexColumn) -> ColumnStatistics:
    return ColumnStatistics(
        relation_oid=column.index_oid,
        column=column.column or "",
        attnum=0,
        type=column.type,
        attlen=column.attlen,
        attalign=column.attalign,
        null_frac=column.null_frac,
        avg_width=column.avg_width,
        n_distinct=column.n_distinct,
        common_freqs=column.common_freqs,
        bounds=column.bounds,
        element_freqs=[],
        elements=None,
        element_len=None,
        element_bytes=None,
        common_lengths=column.common_lengths,
        lengths=column.lengths,
    )


def _remedy(index: IndexColumn, scene: Scene) -> str:
    if index.is_exclusion:
        return (
            "-- The index of an exclusion constraint cannot be rebuilt concurrently: this locks the table against\n"
            f"-- writing until it is done.\nREINDEX INDEX {index.index};"
        )
    if scene.server.corrupts_concurrent_builds:
        return (
            "-- First update the server: 14.0 to 14.3 may leave rows out of an index that they build concurrently.\n"
            f"REINDEX INDEX CONCURRENTLY {index.index};"
        )
    return f"REINDEX INDEX CONCURRENTLY {index.index};"


CHECK: Check[Bloat] = Check(
    id="index-bloat",
    title="Bloated indexes",
    group=Group.INDEXES,
    query=INDEX_COLUMNS,
    unit=Unit.RATIO,
    thresholds=THRESHOLDS,
    subject=lambda row: row.relation,
    measure=lambda row: row.ratio,
    detail=lambda row: row.detail,
    remedy=lambda row: row.remedy,
    rows=judged,
    gap=lambda row: row.gap,
    limits=(MIN_SIZE, EXACT_SECONDS),
    needs=(
        Need(
            met=lambda scene: not scene.server.in_recovery,
            reason="a standby counts no rows: its primary is judged",
            hint=lambda _scene: "Run dbopt health on the primary.",
            status=Status.SKIPPED,
        ),
    ),
)
