"""What stats found, for programs: JSON documents, and records whose every line has its window beside it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from dbopt.render.records import Column
from dbopt.stats.choice import What

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.stats.coverage import Coverage, Share
    from dbopt.stats.survey import Survey

TABLE_FIELDS = (
    *("schema", "name", "relation", "kind", "rows", "total_bytes", "heap_bytes", "index_bytes", "toast_bytes"),
    *("is_estimated", "n_dead_tup", "dead_ratio", "seq_scan", "seq_tup_read", "rows_a_scan", "idx_scan"),
    *("idx_tup_fetch", "bitmap_tup_fetch", "idx_tup_read", "last_vacuum", "last_vacuum_auto", "last_analyze"),
    *("last_analyze_auto", "growth_bytes", "growth_rows", "indexes", "partitions", "partition_of", "oid"),
)
INDEX_FIELDS = (
    *("schema", "name", "index", "relation", "size_bytes", "is_estimated", "idx_scan", "idx_tup_read"),
    *("idx_tup_fetch", "rows_a_scan", "last_idx_scan", "is_primary", "is_unique", "is_constraint", "is_valid"),
    *("spec", "is_marked", "redundant_with", "is_duplicate", "growth_bytes", "partitions", "oid"),
)
SUM_FIELDS = (
    *("tables", "partitions", "indexes", "rows", "tables_not_counted", "total_bytes", "heap_bytes", "index_bytes"),
    *("toast_bytes", "is_estimated", "n_dead_tup", "dead_ratio", "seq_scan", "seq_tup_read", "idx_scan"),
    *("idx_tup_fetch", "growth_bytes", "growth_rows", "unscanned_indexes", "unscanned_bytes", "invalid_indexes"),
    *("redundant_indexes", "redundant_bytes"),
)
SCHEMA_FIELDS = ("schema", *SUM_FIELDS)
_LISTS: Mapping[What, tuple[str, ...]] = {
    What.TABLES: TABLE_FIELDS,
    What.INDEXES: INDEX_FIELDS,
    What.SCHEMAS: SCHEMA_FIELDS,
}
_WINDOW = ("since", "basis", "collected_at", "target")
_FIGURE = ("figure", "value", "unit", "part", "whole", "reason")
# Counters are floats once they were added up; a count of things has no fraction.
_WHOLE = frozenset(
    (
        *("rows", "seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "bitmap_tup_fetch", "idx_tup_read"),
        *("growth_bytes", "growth_rows", "part", "whole"),
    )
)


def records(surveys: Sequence[Survey], what: What, limit: int | None) -> tuple[list[Column], list[tuple[object, ...]]]:
    """One a table, an index, a schema; of an overview and of coverage one a figure."""
    names = _LISTS.get(what, _FIGURE)
    rows = [
        (*row, survey.window.from_at, survey.window.basis, survey.taken_at, survey.about.name or survey.about.place)
        for survey in surveys
        for row in _rows(survey, what, limit)
    ]
    return [Column(name=name) for name in (*names, *_WINDOW)], rows


def document(survey: Survey, what: What, limit: int | None) -> dict[str, Any]:
    """One database. Lists that are not asked for are left out; `counts` says how long they are in full."""
    window = survey.window
    content: dict[str, Any] = {
        "target": {name: getattr(survey.about, name) for name in _ABOUT},
        "collected_at": survey.taken_at,
        "window": {
            "basis": window.basis,
            "from": window.from_at,
            "to": window.to_at,
            "seconds": window.seconds,
            "breaks": list(window.breaks),
            "notes": list(window.notes),
        },
        "totals": _fields(survey.totals, SUM_FIELDS),
        "counts": {str(name): len(getattr(survey, name)) for name in _LISTS},
    }
    if what in (What.OVERVIEW, What.COVERAGE):
        content["coverage"] = _coverage(survey.coverage, limit)
    for name, fields in _LISTS.items():
        if what in (What.OVERVIEW, name):
            content[str(name)] = [_fields(item, fields) for item in getattr(survey, name)[:limit]]
    return content


_ABOUT = ("name", "place", "dbname", "server_version", "system_identifier", "in_recovery", "role")


def _rows(survey: Survey, what: What, limit: int | None) -> Iterator[tuple[object, ...]]:
    if what in _LISTS:
        get = attrgetter(*_LISTS[what])
        for item in getattr(survey, what)[:limit]:
            yield tuple(map(_plain, _LISTS[what], get(item)))
        return
    if what is What.OVERVIEW:
        for name in SUM_FIELDS:
            yield name, _plain(name, getattr(survey.totals, name)), _unit(name), None, None, None
    for share in survey.coverage.shares:
        yield share.name, share.ratio, "ratio", _plain("part", share.part), _plain("whole", share.whole), share.reason


def _coverage(coverage: Coverage, limit: int | None) -> dict[str, Any]:
    return {
        "shares": [_share(share) for share in coverage.shares],
        "rows_by_index_at_most": coverage.rows_at_most,
        "tables_over_10000_rows": coverage.tables,
        "read_by_sequential_scans": [
            _fields(table, ("relation", "rows", "seq_scan", "seq_tup_read", "rows_a_scan", "idx_tup_fetch"))
            for table in coverage.read_whole[:limit]
        ],
        "foreign_keys_without_index": [
            {"relation": key.relation, "constraint": key.constraint, "columns": key.columns}
            for key in coverage.without_index[:limit]
        ],
        "specs_not_in_place": [
            {"entry": item.entry, "relation": item.relation, "reason": item.why}
            for item in coverage.not_in_place[:limit]
        ],
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "name": share.name,
        "ratio": share.ratio,
        "part": _plain("part", share.part),
        "whole": _plain("whole", share.whole),
        "meaning": share.meaning,
        "reason": share.reason,
        "hint": share.hint,
    }


def _fields(item: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: _plain(name, getattr(item, name)) for name in names}


def _plain(name: str, value: Any) -> Any:
    return int(value) if name in _WHOLE and isinstance(value, float) else value


def _unit(name: str) -> str | None:
    if name == "is_estimated":
        return None
    return "bytes" if name.endswith("_bytes") else "ratio" if name.endswith("_ratio") else "count"
