"""What stats found as Prometheus' text format: sizes as gauges, the server's own counters as they stand.

A window is Prometheus' own business, so counters are not of ours; the shares of coverage are, and say how long it is.
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.exposition import Family
from dbopt.stats.choice import What

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from dbopt.stats.survey import Survey


def exposition(surveys: Sequence[Survey], what: What, *, limit: int | None) -> str:
    """Sums and coverage always; tables and indexes where they are asked for."""
    return "".join(family.text() for family in _families(surveys, what, limit))


class _Group:
    """Families that begin with one word, in the order of their first use."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"dbopt_{prefix}"
        self.families: dict[str, Family] = {}

    def gauge(self, name: str, help_text: str, labels: Mapping[str, str], value: float | None) -> None:
        self._add(name, Family(f"{self._prefix}_{name}", help_text), labels, value)

    def counter(self, name: str, help_text: str, labels: Mapping[str, str], value: float | None) -> None:
        self._add(name, Family(f"{self._prefix}_{name}", help_text, "counter"), labels, value)

    def moment(self, name: str, help_text: str, labels: Mapping[str, str], at: datetime | None) -> None:
        self.gauge(f"{name}_timestamp_seconds", help_text, labels, None if at is None else at.timestamp())

    def _add(self, name: str, family: Family, labels: Mapping[str, str], value: float | None) -> None:
        if value is not None:
            self.families.setdefault(name, family).add(labels, value)


def _families(surveys: Sequence[Survey], what: What, limit: int | None) -> Iterator[Family]:
    of_all, of_table, of_index = _Group("stats"), _Group("table"), _Group("index")
    for survey in surveys:
        target = {"target": survey.about.name or survey.about.place, "database": survey.about.dbname}
        _add_sums(of_all, survey, target)
        for table in survey.tables[:limit] if what in (What.OVERVIEW, What.TABLES) else ():
            _add_table(of_table, survey, table.oid, target)
        for index in survey.indexes[:limit] if what in (What.OVERVIEW, What.INDEXES) else ():
            _add_index(of_index, survey, index.oid, target)
    for group in (of_all, of_table, of_index):
        yield from group.families.values()


def _add_sums(group: _Group, survey: Survey, target: Mapping[str, str]) -> None:
    totals, coverage, window = survey.totals, survey.coverage, survey.window
    group.moment("collected", "When dbopt stats looked, since 1970 in UTC.", target, survey.taken_at)
    group.gauge("window_seconds", "The window of the shares of rows.", target, window.seconds)
    group.gauge("tables", "Tables, partitions each by itself.", target, totals.tables)
    group.gauge("indexes", "Indexes, those of partitions each by itself.", target, totals.indexes)
    group.gauge("rows", "Rows of all tables, as last counted.", target, totals.rows)
    group.gauge("dead_rows", "Dead rows of all tables.", target, totals.n_dead_tup)
    for part in ("heap", "index", "toast"):
        size = getattr(totals, f"{part}_bytes")
        group.gauge("size_bytes", "Size of all tables with their indexes.", {**target, "part": part}, size)
    for share in coverage.shares:
        text = "Index coverage: a share of rows read, foreign keys or specs that has its index."
        group.gauge("index_coverage_ratio", text, {**target, "share": share.name}, share.ratio)


def _add_table(group: _Group, survey: Survey, oid: int, target: Mapping[str, str]) -> None:
    table = survey.lifetime_tables[oid]
    labels = {**target, "schema": table.schema, "table": table.name}
    for part in ("heap", "index", "toast"):
        size = getattr(table, f"{part}_bytes")
        group.gauge("size_bytes", "Size of a table's heap, indexes and TOAST.", {**labels, "part": part}, size)
    group.gauge("rows", "Rows, as last counted.", labels, table.rows)
    group.gauge("dead_rows", "Dead rows.", labels, table.n_dead_tup)
    group.counter("seq_scans_total", "Sequential scans.", labels, table.seq_scan)
    group.counter("seq_rows_read_total", "Rows read by sequential scans.", labels, table.seq_tup_read)
    group.counter("index_scans_total", "Scans of its indexes.", labels, table.idx_scan)
    group.counter("index_rows_fetched_total", "Rows found by index scans.", labels, table.idx_tup_fetch)
    group.moment("last_vacuum", "The last VACUUM, by hand or by itself.", labels, table.last_vacuum)
    group.moment("last_analyze", "The last ANALYZE, by hand or by itself.", labels, table.last_analyze)


def _add_index(group: _Group, survey: Survey, oid: int, target: Mapping[str, str]) -> None:
    index = survey.lifetime_indexes[oid]
    labels = {**target, "schema": index.schema, "index": index.name}
    group.gauge("size_bytes", "Size of an index.", labels, index.size_bytes)
    group.counter("scans_total", "Scans of an index.", labels, index.idx_scan)
    group.counter("rows_read_total", "Entries that its scans read.", labels, index.idx_tup_read)
    group.gauge("valid", "Whether it is valid: 1, or broken: 0.", labels, index.is_valid)
    group.moment("last_scan", "The last scan of an index (PostgreSQL 16+).", labels, index.last_idx_scan)
