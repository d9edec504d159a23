"""What the store has of a reading, right after it was kept."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family
from dbopt.store import plain, targets
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dbopt.snapshot.model import Interval, Snapshot
    from dbopt.store.plain import Session
    from dbopt.store.targets import Whose

_HEADS = "SELECT family, taken_at, length(packed) FROM snapshot_heads WHERE target_id = :target_id"
_INTERVALS = """
    SELECT family, max(length(packed)) FROM intervals
     WHERE target_id = :target_id AND to_at = :at AND span = 0 GROUP BY family
"""
_TEXTS = "SELECT count(*) FROM statements WHERE target_id = :target_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One family. `seconds`: since its last reading; None: this is the first. `is_kept` False: another reading of the
    same moment was kept before it, or it is `missing`, and why.
    """

    family: str
    is_kept: bool
    subjects: int | None = None
    changed: int | None = None  # of them, since the last reading
    seconds: float | None = None
    breaks: tuple[str, ...] = ()
    reading_bytes: int | None = None  # replaces the last one
    interval_bytes: int | None = None  # stays
    missing: str | None = None
    hint: str | None = None
    has_failed: bool = False  # it should have been there


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    target: str
    server: str
    dbname: str
    taken_at: datetime
    items: tuple[Item, ...]
    texts: int  # of statements, that this reading was the first to bring
    texts_all: int


def texts(session: Session, whose: Whose) -> int:
    """How many statements have their text kept."""
    target_id = targets.find(session, whose)
    return 0 if target_id is None else int(session.rows(_TEXTS, {"target_id": target_id})[0][0])


def of(
    session: Session,
    whose: Whose,
    name: str,
    taken: Snapshot,
    made: Mapping[str, Interval],
    *,
    texts_before: int,
    failed: Collection[Family],
) -> Receipt:
    """`made`: the intervals that the reading ended."""
    target_id = targets.find(session, whose)
    heads = {row[0]: row[1:] for row in session.rows(_HEADS, {"target_id": target_id})}
    at = session.moment(taken.taken_at)
    sizes = {row[0]: int(row[1]) for row in session.rows(_INTERVALS, {"target_id": target_id, "at": at})}
    items = []
    for family in Family:
        part, interval = taken.parts.get(family), made.get(family)
        if part is not None:
            kept_at, size = heads[family]
            items.append(
                Item(
                    family=family,
                    is_kept=plain.as_moment(kept_at) == part.taken_at,
                    subjects=len(part.subjects),
                    changed=None if interval is None else len(interval.changes),
                    seconds=None if interval is None else interval.seconds,
                    breaks=() if interval is None else interval.breaks,
                    reading_bytes=int(size),
                    interval_bytes=sizes.get(family) if interval is not None else None,
                )
            )
        elif family in taken.missing:
            why, hint = taken.missing[family]
            items.append(Item(family=family, is_kept=False, missing=why, hint=hint, has_failed=family in failed))
    after = texts(session, whose)
    return Receipt(
        target=name,
        server=whose.server,
        dbname=whose.dbname,
        taken_at=taken.taken_at,
        items=tuple(items),
        texts=max(0, after - texts_before),
        texts_all=after,
    )
