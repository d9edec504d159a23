"""How long and how much is kept: what is older than an age goes, then the oldest until a size is kept to.

With each reading that is kept a little of it is done, so that nobody has to think of it and nobody waits;
`dbopt store prune` (prune.py) does all of it at once. The last mark of each database stays, and so does its last
reading unless it is as old.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dbopt.store import space
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbopt.snapshot.model import Interval
    from dbopt.store.plain import Session

# At once, beside a reading or in one transaction of a prune: some milliseconds.
ROWS_MAX = 1000
_TURN = 0x6462_6F70_7472  # "dboptr": an advisory lock's key in the store's own database


@dataclass(frozen=True, slots=True)
class Policy:
    """Infinite: without limit."""

    age_seconds: float = math.inf
    size_bytes: float = math.inf

    def before(self, now: datetime) -> datetime | None:
        """What ended earlier goes. None: nothing, also where the age reaches back beyond the calendar."""
        try:
            return now - timedelta(seconds=self.age_seconds)
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class _Kind:
    """Rows of one table: `choose` gives their keys and their size, the oldest first."""

    table: str
    choose: str
    drop: str


# Rows of which others are part come after those.
_AGED = (
    _Kind(
        "intervals",
        "SELECT id, 0, length(packed) FROM intervals WHERE to_at < :before ORDER BY to_at LIMIT :rows_max",
        "DELETE FROM intervals WHERE id = :key",
    ),
    _Kind(
        "mark_parts",
        """
        SELECT p.mark_id, p.family, length(p.packed) FROM mark_parts AS p JOIN marks AS m ON m.id = p.mark_id
         WHERE m.marked_at < :before
           AND m.id NOT IN (SELECT max(l.id) FROM marks AS l GROUP BY l.target_id)
         ORDER BY m.marked_at LIMIT :rows_max
        """,
        "DELETE FROM mark_parts WHERE mark_id = :key AND family = :second",
    ),
    _Kind(
        "marks",
        """
        SELECT m.id, 0, 100 FROM marks AS m
         WHERE m.marked_at < :before
           AND m.id NOT IN (SELECT max(l.id) FROM marks AS l GROUP BY l.target_id)
         ORDER BY m.marked_at LIMIT :rows_max
        """,
        "DELETE FROM marks WHERE id = :key",
    ),
    _Kind(
        "steps",
        """
        SELECT s.run_id, s.number, 500 FROM steps AS s JOIN runs AS r ON r.id = s.run_id
         WHERE r.started_at < :before ORDER BY r.started_at LIMIT :rows_max
        """,
        "DELETE FROM steps WHERE run_id = :key AND number = :second",
    ),
    _Kind(
        "runs",
        "SELECT id, 0, 200 FROM runs WHERE started_at < :before ORDER BY started_at LIMIT :rows_max",
        "DELETE FROM runs WHERE id = :key",
    ),
    _Kind(
        "health_runs",
        "SELECT id, 0, 100 FROM health_runs WHERE collected_at < :before LIMIT :rows_max",
        "DELETE FROM health_runs WHERE id = :key",
    ),
    _Kind(
        "health_checks",
        "SELECT id, 0, 100 FROM health_checks WHERE last_at < :before LIMIT :rows_max",
        "DELETE FROM health_checks WHERE id = :key",
    ),
    _Kind(
        "health_findings",
        "SELECT id, 0, 100 FROM health_findings WHERE last_at < :before LIMIT :rows_max",
        "DELETE FROM health_findings WHERE id = :key",
    ),
    _Kind(
        "health_samples",
        "SELECT id, 0, length(counters) FROM health_samples WHERE taken_at < :before LIMIT :rows_max",
        "DELETE FROM health_samples WHERE id = :key",
    ),
    _Kind(
        "plan_shapes",
        "SELECT id, 0, 200 FROM plan_shapes WHERE last_at < :before LIMIT :rows_max",
        "DELETE FROM plan_shapes WHERE id = :key",
    ),
    _Kind(
        "statement_plans",
        "SELECT target_id, queryid, length(packed) FROM statement_plans WHERE planned_at < :before LIMIT :rows_max",
        "DELETE FROM statement_plans WHERE target_id = :key AND queryid = :second",
    ),
    _Kind(
        "suggestions",
        "SELECT id, 0, length(packed) FROM suggestions WHERE promised_at < :before LIMIT :rows_max",
        "DELETE FROM suggestions WHERE id = :key",
    ),
    # Of a database that nobody has asked for so long: there is none any more.
    _Kind(
        "snapshot_heads",
        "SELECT target_id, family, length(packed) FROM snapshot_heads WHERE taken_at < :before LIMIT :rows_max",
        "DELETE FROM snapshot_heads WHERE target_id = :key AND family = :second",
    ),
)
# What makes a store big, the oldest first.
_LARGE = (
    _Kind(
        "intervals",
        "SELECT id, 0, length(packed) FROM intervals ORDER BY to_at LIMIT :rows_max",
        "DELETE FROM intervals WHERE id = :key",
    ),
    _Kind(
        "mark_parts",
        "SELECT mark_id, family, length(packed) FROM mark_parts ORDER BY mark_id LIMIT :rows_max",
        "DELETE FROM mark_parts WHERE mark_id = :key AND family = :second",
    ),
)


def beside(session: Session, policy: Policy, made: Iterable[Interval], now: datetime) -> None:
    """A step of it beside a reading that ended these intervals. By age once an hour, as that looks at all rows."""
    # A database whose clock is ahead of ours must not make the others' past look old.
    before = policy.before(min(now, datetime.now(UTC)))
    is_late = before is not None and any(_hour(item.from_at) != _hour(item.to_at) for item in made)
    is_full = math.isfinite(policy.size_bytes) and (
        space.used_bytes(session, no_more_than=policy.size_bytes) > policy.size_bytes
    )
    if not (is_late or is_full) or not take_turn(session, waits=False):
        return
    if is_full:
        make_room(session, policy.size_bytes)
    if is_late and before is not None:
        forget(session, before)


def take_turn(session: Session, *, waits: bool) -> bool:
    """Rows of all databases go, in one process at a time, so that no two ever wait for each other. A file has one
    writer anyway.
    """
    if session.is_file:
        return True
    if waits:
        session.rows("SELECT pg_catalog.pg_advisory_xact_lock(:key)", {"key": _TURN})
        return True
    return bool(session.rows("SELECT pg_catalog.pg_try_advisory_xact_lock(:key)", {"key": _TURN})[0][0])


def forget(session: Session, before: datetime) -> Counter[str]:
    """One step by age: how many rows went, by table. Nothing: all is done."""
    values = {"before": session.moment(before), "rows_max": ROWS_MAX}
    gone: Counter[str] = Counter()
    for kind in _AGED:
        rows = session.rows(kind.choose, values)
        _drop(session, kind, rows)
        gone[kind.table] += len(rows)
        if len(rows) == ROWS_MAX:
            break  # there may be more of them, and rows that they need: next time
    return +gone


def make_room(session: Session, size_bytes: float) -> Counter[str]:
    """One step by size. Nothing: it is kept to, or what is left is needed."""
    gone: Counter[str] = Counter()
    excess = space.used_bytes(session, no_more_than=size_bytes) - size_bytes
    for kind in _LARGE:
        if excess <= 0:
            break
        rows = _enough(session.rows(kind.choose, {"rows_max": ROWS_MAX}), excess)
        _drop(session, kind, rows)
        gone[kind.table] += len(rows)
        excess -= sum(int(row[2]) for row in rows)
        if len(rows) == ROWS_MAX:
            break  # there may be more of them: next time
    return +gone


def would_go(session: Session, before: datetime | None, size_bytes: float) -> tuple[Counter[str], int]:
    """What a prune would drop, and how much room that would make; changes nothing."""
    gone: Counter[str] = Counter()
    freed = 0
    whole = {"rows_max": 2**31 - 1}
    chosen: set[tuple[str, object, object]] = set()
    if before is not None:
        for kind in _AGED:
            for key, second, size in session.rows(kind.choose, {**whole, "before": session.moment(before)}):
                chosen.add((kind.table, key, second))
                gone[kind.table] += 1
                freed += int(size)
    excess = space.used_bytes(session, no_more_than=size_bytes) - freed - size_bytes
    for kind in _LARGE:
        if excess <= 0:
            break
        left = [row for row in session.rows(kind.choose, whole) if (kind.table, row[0], row[1]) not in chosen]
        rows = _enough(left, excess)
        gone[kind.table] += len(rows)
        size = sum(int(row[2]) for row in rows)
        excess -= size
        freed += size
    return +gone, freed


def _enough(rows: list[tuple[Any, ...]], excess: float) -> list[tuple[Any, ...]]:
    """The first of them that make so much room."""
    taken, size = 0, 0.0
    while taken < len(rows) and size < excess:
        size += int(rows[taken][2])
        taken += 1
    return rows[:taken]


def _drop(session: Session, kind: _Kind, rows: Iterable[tuple[Any, ...]]) -> None:
    two = ":second" in kind.drop
    session.run(kind.drop, [{"key": row[0], "second": row[1]} if two else {"key": row[0]} for row in rows])


def _hour(at: datetime) -> float:
    return at.timestamp() // 3600
