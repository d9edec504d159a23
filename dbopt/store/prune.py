"""Prune a store: what the retention does beside each reading, all of it now, and the room given back to the disk."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from dbopt.store import plain, retention, space
from dbopt.store.packing import unpack_interval, unpack_part
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from dbopt.store.location import Location
    from dbopt.store.plain import Session

_FAMILY = "statements"
_PAGE_ROWS = 200
# What PostgreSQL's files take is known for certain only once they are written anew: then somewhat more may have to go.
_TRIES_MAX = 3
# What is known of statements: table, its rows, and how one goes.
_OF_STATEMENTS = (
    (
        "statements",
        "SELECT target_id, queryid, 0 FROM statements ORDER BY target_id, queryid",
        "DELETE FROM statements WHERE target_id = :target_id AND queryid = :queryid",
    ),
    (
        "statement_traits",
        "SELECT target_id, queryid, 0 FROM statement_traits ORDER BY target_id, queryid",
        "DELETE FROM statement_traits WHERE target_id = :target_id AND queryid = :queryid",
    ),
    (
        "statement_plans",
        "SELECT target_id, queryid, 0 FROM statement_plans ORDER BY target_id, queryid",
        "DELETE FROM statement_plans WHERE target_id = :target_id AND queryid = :queryid",
    ),
    (
        "plan_shapes",
        "SELECT target_id, queryid, id FROM plan_shapes ORDER BY id",
        "DELETE FROM plan_shapes WHERE id = :id",
    ),
)
_HEADS = "SELECT 0, packed FROM snapshot_heads WHERE target_id = :target_id AND family = :family"
_INTERVALS = """
    SELECT id, packed FROM intervals WHERE target_id = :target_id AND family = :family AND id > :after
     ORDER BY id LIMIT :rows_max
"""
_MARKED = """
    SELECT p.mark_id, p.packed FROM mark_parts AS p JOIN marks AS m ON m.id = p.mark_id
     WHERE m.target_id = :target_id AND p.family = :family
"""
_ORPHANS = "SELECT digest FROM statement_texts WHERE digest NOT IN (SELECT digest FROM statements)"
_DROP_TEXT = "DELETE FROM statement_texts WHERE digest = :digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """`rows` that went, by table. Sizes on disk; after a dry run what it would be, as far as can be told."""

    rows: Counter[str]
    before_bytes: int
    after_bytes: int


def prune(
    location: Location, *, before: datetime | None, size_bytes: float, dry_run: bool, wait_seconds: float
) -> Pruned:
    """`before`: what ended earlier goes; None: nothing does. Raises StoreUnusable."""
    size = space.size_bytes(location)
    if dry_run:
        with plain.transaction(location, reading=True, wait_seconds=wait_seconds) as session:
            told, freed = retention.would_go(session, before, size_bytes)
            used = space.used_bytes(session)
        return Pruned(rows=told, before_bytes=size, after_bytes=max(0, min(size, used) - freed))
    gone: Counter[str] = Counter()
    if before is not None:
        gone += _all_of(location, wait_seconds, partial(retention.forget, before=before))
    aim = size_bytes
    for _ in range(_TRIES_MAX):
        dropped: Counter[str] = Counter()
        if math.isfinite(aim):
            dropped = _all_of(location, wait_seconds, partial(retention.make_room, size_bytes=aim))
        gone += dropped + _forget_statements(location, wait_seconds)
        with plain.transaction(location, reading=True, wait_seconds=wait_seconds) as session:
            used = space.used_bytes(session)
        if gone or size > used:
            space.shrink(location, wait_seconds)
        after = space.size_bytes(location)
        if after <= size_bytes or not dropped:
            break
        aim = min(aim, used) - (after - size_bytes)  # the last row that went may have been more than was asked for
    return Pruned(rows=gone, before_bytes=size, after_bytes=after)


def _all_of(location: Location, wait_seconds: float, step: Callable[[Session], Counter[str]]) -> Counter[str]:
    """Each step in a transaction of its own, so that readings are kept in between."""
    gone: Counter[str] = Counter()
    while True:
        with plain.transaction(location, reading=False, wait_seconds=wait_seconds) as session:
            retention.take_turn(session, waits=True)
            done = step(session)
        if not done:
            return gone
        gone += done


def _forget_statements(location: Location, wait_seconds: float) -> Counter[str]:
    """Those that nothing kept is about any more. Should one come again, its text is fetched again."""
    with plain.transaction(location, reading=True, wait_seconds=wait_seconds) as session:
        unused = _unused(session)
    with plain.transaction(location, reading=False, wait_seconds=wait_seconds) as session:
        for table, _, drop in _OF_STATEMENTS:
            session.run(drop, unused[table])
        orphans = [{"digest": row[0]} for row in session.rows(_ORPHANS, {})]
        session.run(_DROP_TEXT, orphans)
    gone = {table: len(rows) for table, rows in unused.items()}
    return +Counter({**gone, "statement_texts": len(orphans)})


def _unused(session: Session) -> dict[str, list[dict[str, int]]]:
    """By table what its rows are told by."""
    used: dict[int, set[str]] = {}
    found: dict[str, list[dict[str, int]]] = {}
    for table, select, drop in _OF_STATEMENTS:
        found[table] = []
        for target_id, queryid, key in session.rows(select, {}):
            if target_id not in used:
                used[target_id] = set(_names(session, target_id))
            if str(queryid) not in used[target_id]:
                by_id = {"id": key} if ":id" in drop else {"target_id": target_id, "queryid": queryid}
                found[table].append(by_id)
    return found


def _names(session: Session, target_id: int) -> Iterator[str]:
    """Of all statements that something kept is about."""
    values: dict[str, object] = {"target_id": target_id, "family": _FAMILY}
    for _, packed in (*session.rows(_HEADS, values), *session.rows(_MARKED, values)):
        part = unpack_part(_FAMILY, packed)
        if part is not None:
            yield from (item.name for item in part.subjects.values())
    after = 0
    while rows := session.rows(_INTERVALS, {**values, "after": after, "rows_max": _PAGE_ROWS}):
        after = int(rows[-1][0])
        for _, packed in rows:
            interval = unpack_interval(_FAMILY, packed)
            if interval is not None:
                yield from (item.name for item in interval.changes.values())
