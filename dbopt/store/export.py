"""Everything in a store as JSON, row by row: for another program, or to look at with jq.

Each row carries its table's name as `kind` and its columns by their names; readings and intervals are unpacked, with
their columns named once (`counts`, `gauges`) and their subjects as lists in that order. `packing` reads them back.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from typing import TYPE_CHECKING, Any

from dbopt import __version__
from dbopt.store import plain
from dbopt.store.head import HEAD
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from dbopt.store.plain import Session

_PAGE_ROWS = 200
_PACKED = ("packed", "counters")  # zlib over JSON
_KINDS = {"mark": "mark_kind", "statement_traits": "statement_kind"}  # columns called as the record's own


@dataclass(frozen=True, slots=True)
class _Table:
    """`select` gives a page of rows after the last key, those with a time since `:since`."""

    kind: str
    columns: tuple[str, ...]
    select: str
    keys: tuple[str, ...] = ("id",)
    moments: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()  # 64-bit numbers that many parsers round


_TABLES = (
    _Table(
        "target",
        ("id", "server", "dbname"),
        "SELECT id, server, dbname FROM targets WHERE id > :id ORDER BY id LIMIT :rows_max",
    ),
    _Table(
        "run",
        (
            *("id", "target_id", "target_name", "command", "dbopt_version", "server_version", "os_user", "role"),
            *("spec_digest", "plan_state", "planned", "started_at", "finished_at", "seconds", "applied", "failed"),
            *("refused", "unchanged", "interrupted", "name", "left_over"),
        ),
        """
        SELECT id, target_id, target_name, command, dbopt_version, server_version, os_user, role,
               spec_digest, plan_state, planned, started_at, finished_at, seconds, applied, failed,
               refused, unchanged, interrupted, name, left_over
          FROM runs WHERE id > :id AND started_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("started_at", "finished_at"),
        booleans=("interrupted",),
    ),
    _Table(
        "step",
        (
            *("run_id", "number", "action", "domain", "schema_name", "table_name", "index_name", "reason"),
            *("statements", "started_at", "seconds", "size_bytes", "error", "hint", "size_before_bytes"),
            *("built_seconds", "table_bytes"),
        ),
        """
        SELECT s.run_id, s.number, s.action, s.domain, s.schema_name, s.table_name, s.index_name, s.reason,
               s.statements, s.started_at, s.seconds, s.size_bytes, s.error, s.hint, s.size_before_bytes,
               s.built_seconds, s.table_bytes
          FROM steps AS s JOIN runs AS r ON r.id = s.run_id
         WHERE (s.run_id > :run_id OR (s.run_id = :run_id AND s.number > :number)) AND r.started_at >= :since
         ORDER BY s.run_id, s.number LIMIT :rows_max
        """,
        keys=("run_id", "number"),
        moments=("started_at",),
    ),
    _Table(
        "health_run",
        ("id", "target_id", "target_name", "dbopt_version", "collected_at", "seconds", "status", "checks"),
        """
        SELECT id, target_id, target_name, dbopt_version, collected_at, seconds, status, checks
          FROM health_runs WHERE id > :id AND collected_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("collected_at",),
    ),
    _Table(
        "health_check",
        ("id", "target_id", "check_id", "status", "first_at", "last_at", "is_over"),
        """
        SELECT id, target_id, check_id, status, first_at, last_at, is_over
          FROM health_checks WHERE id > :id AND last_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("first_at", "last_at"),
        booleans=("is_over",),
    ),
    _Table(
        "health_finding",
        ("id", "target_id", "check_id", "subject", "status", "measure", "runs", "first_at", "last_at", "is_over"),
        """
        SELECT id, target_id, check_id, subject, status, measure, runs, first_at, last_at, is_over
          FROM health_findings WHERE id > :id AND last_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("first_at", "last_at"),
        booleans=("is_over",),
    ),
    _Table(
        "health_sample",
        ("id", "target_id", "check_id", "taken_at", "counters"),
        """
        SELECT id, target_id, check_id, taken_at, counters
          FROM health_samples WHERE id > :id AND taken_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("taken_at",),
    ),
    _Table(
        "statement_text",
        ("digest", "query"),
        "SELECT digest, query FROM statement_texts WHERE digest > :digest ORDER BY digest LIMIT :rows_max",
        keys=("digest",),
    ),
    _Table(
        "statement",
        ("target_id", "queryid", "digest"),
        """
        SELECT target_id, queryid, digest FROM statements
         WHERE target_id > :target_id OR (target_id = :target_id AND queryid > :queryid)
         ORDER BY target_id, queryid LIMIT :rows_max
        """,
        keys=("target_id", "queryid"),
        texts=("queryid",),
    ),
    _Table(
        "statement_traits",
        ("target_id", "queryid", "dbopt_version", "fingerprint", "kind", "relations"),
        """
        SELECT target_id, queryid, dbopt_version, fingerprint, kind, relations FROM statement_traits
         WHERE target_id > :target_id OR (target_id = :target_id AND queryid > :queryid)
         ORDER BY target_id, queryid LIMIT :rows_max
        """,
        keys=("target_id", "queryid"),
        texts=("queryid",),
    ),
    _Table(
        "statement_plan",
        ("target_id", "queryid", "planned_at", "dbopt_version", "packed"),
        """
        SELECT target_id, queryid, planned_at, dbopt_version, packed FROM statement_plans
         WHERE (target_id > :target_id OR (target_id = :target_id AND queryid > :queryid)) AND planned_at >= :since
         ORDER BY target_id, queryid LIMIT :rows_max
        """,
        keys=("target_id", "queryid"),
        moments=("planned_at",),
        texts=("queryid",),
    ),
    _Table(
        "plan_shape",
        ("id", "target_id", "queryid", "digest", "summary", "first_at", "last_at"),
        """
        SELECT id, target_id, queryid, digest, summary, first_at, last_at
          FROM plan_shapes WHERE id > :id AND last_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("first_at", "last_at"),
        texts=("queryid",),
    ),
    _Table(
        "suggestion",
        (
            *("id", "target_id", "target_name", "promised_at", "seen_at", "dbopt_version", "schema_name"),
            *("table_name", "index_name", "packed"),
        ),
        """
        SELECT id, target_id, target_name, promised_at, seen_at, dbopt_version, schema_name, table_name,
               index_name, packed
          FROM suggestions WHERE id > :id AND promised_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("promised_at", "seen_at"),
    ),
    _Table(
        "mark",
        ("id", "target_id", "target_name", "marked_at", "kind", "scope", "os_user", "role"),
        """
        SELECT id, target_id, target_name, marked_at, kind, scope, os_user, role
          FROM marks WHERE id > :id AND marked_at >= :since ORDER BY id LIMIT :rows_max
        """,
        moments=("marked_at",),
    ),
    _Table(
        "mark_part",
        ("mark_id", "family", "packed"),
        """
        SELECT p.mark_id, p.family, p.packed FROM mark_parts AS p JOIN marks AS m ON m.id = p.mark_id
         WHERE (p.mark_id > :mark_id OR (p.mark_id = :mark_id AND p.family > :family)) AND m.marked_at >= :since
         ORDER BY p.mark_id, p.family LIMIT :rows_max
        """,
        keys=("mark_id", "family"),
    ),
    _Table(
        "interval",
        ("id", "target_id", "family", "span", "from_at", "to_at", "packed"),
        """
        SELECT id, target_id, family, span, from_at, to_at, packed
          FROM intervals WHERE id > :id AND to_at > :since ORDER BY id LIMIT :rows_max
        """,
        moments=("from_at", "to_at"),
    ),
    _Table(
        "reading",
        ("target_id", "family", "target_name", "taken_at", "packed"),
        """
        SELECT target_id, family, target_name, taken_at, packed FROM snapshot_heads
         WHERE (target_id > :target_id OR (target_id = :target_id AND family > :family)) AND taken_at >= :since
         ORDER BY target_id, family LIMIT :rows_max
        """,
        keys=("target_id", "family"),
        moments=("taken_at",),
    ),
)
# Before every key of its kind.
_FIRST: dict[str, object] = {
    **dict.fromkeys(("id", "run_id", "target_id", "mark_id"), -1),
    **dict.fromkeys(("digest", "family"), ""),
    "number": -1,
    "queryid": -(2**63),
}


def records(session: Session, since: datetime, now: datetime) -> Iterator[dict[str, Any]]:
    """The first says what this is. Rows come before those that refer to them; what was added meanwhile may be missing,
    and nothing refers to what is.
    """
    yield {"kind": "store", "schema_version": 1, "revision": HEAD, "dbopt_version": __version__, "exported_at": now}
    seen: dict[str, set[object]] = {"target": set(), "run": set(), "mark": set(), "statement_text": set()}
    for table in _TABLES:
        for row in _rows(session, table, since):
            needed = (("target_id", "target"), ("run_id", "run"), ("mark_id", "mark"))
            if any(name in row and row[name] not in seen[kind] for name, kind in needed):
                continue
            if table.kind == "statement" and row["digest"] not in seen["statement_text"]:
                continue
            if table.kind in seen:
                seen[table.kind].add(row[table.keys[0]])
            yield _record(table, row)


def _rows(session: Session, table: _Table, since: datetime) -> Iterator[dict[str, Any]]:
    values = {name: _FIRST[name] for name in table.keys}
    page = {"rows_max": _PAGE_ROWS}
    if ":since" in table.select:
        page["since"] = session.moment(since)  # type: ignore[assignment]
    while rows := session.rows(table.select, {**values, **page}):
        for row in rows:
            yield dict(zip(table.columns, row, strict=True))
        last = dict(zip(table.columns, rows[-1], strict=True))
        values = {name: last[name] for name in table.keys}


def _record(table: _Table, row: dict[str, Any]) -> dict[str, Any]:
    if table.kind == "step" and isinstance(row["statements"], str):  # SQLite keeps it as text
        row["statements"] = json.loads(row["statements"])
    if table.kind == "statement_traits":
        row["relations"] = json.loads(row["relations"])
    forms: tuple[tuple[tuple[str, ...], Callable[[Any], object]], ...] = (
        (table.moments, plain.as_moment),
        (table.booleans, bool),
        (table.texts, str),
        (_PACKED, _unpacked),
    )
    for names, form in forms:
        for name in names:
            if row.get(name) is not None:
                row[name] = form(row[name])
    if "kind" in row:
        row[_KINDS[table.kind]] = row.pop("kind")
    return {"kind": table.kind, **row}


def _unpacked(packed: bytes) -> object:
    """None: nobody can read it any more, dbopt included."""
    with contextlib.suppress(zlib.error, ValueError):
        return json.loads(zlib.decompress(packed))
    return None
