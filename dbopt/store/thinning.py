"""What becomes of intervals as they age: after two days those of an hour are added up, after two months those of a day.

Sums, and the mean and the greatest of levels, stay what they were; only when within the hour or the day is forgotten.
Nothing is added up over a mark, so that what began there can still be told from what was before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dbopt.snapshot.delta import added
from dbopt.store import plain
from dbopt.store.packing import pack_interval, unpack_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbopt.store.plain import Session

HOUR_SECONDS, DAY_SECONDS = 3600, 86_400
# (span of the rows, span that they are added up to, from which age on)
STEPS = ((0, HOUR_SECONDS, timedelta(days=2)), (HOUR_SECONDS, DAY_SECONDS, timedelta(days=60)))
# In one go, so that nobody waits for a store that was not thinned for long: the next reading goes on.
_ROWS_MAX = 1000

_OLD = """
    SELECT id, to_at, packed FROM intervals
     WHERE target_id = :target_id AND family = :family AND span = :span AND to_at <= :before
     ORDER BY to_at, id LIMIT :rows_max
"""
_OLDEST = """
    SELECT to_at FROM intervals
     WHERE target_id = :target_id AND family = :family AND span = :span AND to_at <= :before
     ORDER BY to_at LIMIT 1
"""
_LAST_TWO = """
    SELECT id, to_at, packed FROM intervals
     WHERE target_id = :target_id AND family = :family AND span = 0
     ORDER BY to_at DESC, id DESC LIMIT 2
"""
_MARKS = "SELECT marked_at FROM marks WHERE target_id = :target_id ORDER BY marked_at"
_DROP = "DELETE FROM intervals WHERE id = :id"
_ADD = """
    INSERT INTO intervals (target_id, family, span, from_at, to_at, packed)
    VALUES (:target_id, :family, :span, :from_at, :to_at, :packed)
"""


def thin(session: Session, target_id: int, family: str, now: datetime) -> None:
    """One family of one database."""
    of_family = {"target_id": target_id, "family": family}
    for span, wider, age in STEPS:
        before = {"before": session.moment(_floor(now - age, wider)), "span": span}
        if not session.rows(_OLDEST, {**of_family, **before}):
            continue
        rows = session.rows(_OLD, {**of_family, **before, "rows_max": _ROWS_MAX})
        marks = [plain.as_moment(row[0]) for row in session.rows(_MARKS, {"target_id": target_id})]
        for group in _groups(rows, wider, marks):
            if len(rows) == _ROWS_MAX and group[-1] == rows[-1][0] and group[0] != rows[0][0]:
                break  # it may have more rows: next time
            chosen = set(group)
            _add_up(session, of_family, wider, [row for row in rows if row[0] in chosen])


def join_last(session: Session, target_id: int, family: str, longest: timedelta) -> None:
    """The last two intervals of a family as one, if that is no longer than `longest` and no mark is between them."""
    of_family = {"target_id": target_id, "family": family}
    rows = session.rows(_LAST_TWO, of_family)[::-1]
    first, *second = (unpack_interval(family, row[2]) for row in rows)
    if first is None or not second or second[0] is None or second[0].to_at - first.from_at > longest:
        return
    marks = [plain.as_moment(row[0]) for row in session.rows(_MARKS, {"target_id": target_id})]
    if not any(first.to_at <= mark < second[0].to_at for mark in marks):
        _add_up(session, of_family, 0, rows)


def _add_up(session: Session, of_family: Mapping[str, object], span: int, rows: Sequence[tuple[object, ...]]) -> None:
    family = str(of_family["family"])
    unpacked = [unpack_interval(family, row[2]) for row in rows]  # type: ignore[arg-type]
    readable = [item for item in unpacked if item is not None]
    session.run(_DROP, [{"id": row[0]} for row in rows])
    if not readable:
        return
    whole = readable[0]
    for item in readable[1:]:
        whole = added(whole, item)
    ends = {"from_at": session.moment(whole.from_at), "to_at": session.moment(whole.to_at)}
    session.run(_ADD, [{**of_family, **ends, "span": span, "packed": pack_interval(whole)}])


def _groups(rows: Iterable[tuple[object, ...]], span: int, marks: Sequence[datetime]) -> Iterator[list[object]]:
    """The ids of rows that end in the same hour or day, with no mark between them."""
    current: list[object] = []
    last = None
    for key, to_at, _ in rows:
        at = plain.as_moment(to_at)
        # What ends on the hour belongs to the hour before.
        bucket = (_floor(at - timedelta(microseconds=1), span), sum(mark < at for mark in marks))
        if current and bucket != last:
            yield current
            current = []
        current.append(key)
        last = bucket
    if current:
        yield current


def _floor(at: datetime, span: int) -> datetime:
    seconds = at.timestamp()
    return datetime.fromtimestamp(seconds - seconds % span, UTC)
