"""Where somebody began to count: a baseline, which touches nothing, or a reset on the server.

What the counters said just before is kept with the mark, so that a reset loses nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.store import plain
from dbopt.store.packing import pack_part, unpack_part
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dbopt.snapshot.model import Part
    from dbopt.store.plain import Session

# RETURNING came with SQLite 3.35; Python brings older ones along on some systems.
_ADD = """
    INSERT INTO marks (target_id, target_name, marked_at, kind, scope, os_user, role)
    VALUES (:target_id, :target_name, :marked_at, :kind, :scope, :os_user, :role)
"""
_NEWEST = "SELECT max(id) FROM marks WHERE target_id = :target_id"
_ADD_PART = "INSERT INTO mark_parts (mark_id, family, packed) VALUES (:mark_id, :family, :packed)"
_ALL = """
    SELECT id, target_name, marked_at, kind, scope, os_user, role FROM marks
     WHERE target_id = :target_id ORDER BY marked_at, id
"""
_LAST = """
    SELECT id, target_name, marked_at, kind, scope, os_user, role FROM marks
     WHERE target_id = :target_id ORDER BY id DESC LIMIT 1
"""
_AMEND = "UPDATE marks SET scope = :scope WHERE id = :id"
_REMOVE = ("DELETE FROM mark_parts WHERE mark_id = :id", "DELETE FROM marks WHERE id = :id")
_PARTS = "SELECT family, packed FROM mark_parts WHERE mark_id = :mark_id ORDER BY family"


class Kind(StrEnum):
    BASELINE = "baseline"  # counts from here, and resets nothing
    RESET = "reset"  # counters of the server were started anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`scope`: what was reset, in words; of a baseline, empty."""

    id: int
    target_name: str
    marked_at: datetime  # by the database's clock
    kind: Kind
    scope: str
    os_user: str
    role: str


def add(
    session: Session,
    target_id: int,
    target_name: str,
    marked_at: datetime,
    *,
    kind: Kind,
    scope: str,
    os_user: str,
    role: str,
    parts: Iterable[Part] = (),
) -> int:
    """The number of the new mark. `parts`: what the counters said."""
    values = {
        "target_id": target_id,
        "target_name": target_name,
        "marked_at": session.moment(marked_at),
        "kind": str(kind),
        "scope": scope,
        "os_user": os_user,
        "role": role,
    }
    session.run(_ADD, [values])
    # Whoever adds one holds the target's turn (snapshots.keep), so that the greatest number is this one's.
    mark_id = int(session.rows(_NEWEST, {"target_id": target_id})[0][0])
    session.run(
        _ADD_PART,
        [{"mark_id": mark_id, "family": str(part.family), "packed": pack_part(part)} for part in parts],
    )
    return mark_id


def amend(session: Session, mark_id: int, scope: str) -> None:
    """Less was reset than was meant to be."""
    session.run(_AMEND, [{"id": mark_id, "scope": scope}])


def remove(session: Session, mark_id: int) -> None:
    """Nothing was reset."""
    for statement in _REMOVE:
        session.run(statement, [{"id": mark_id}])


def last(session: Session, target_id: int) -> Mark | None:
    """The one that was set last, which `--since reset` counts from."""
    found = session.rows(_LAST, {"target_id": target_id})
    return _mark(found[0]) if found else None


def all(session: Session, target_id: int) -> list[Mark]:
    """In the order of time."""
    return [_mark(row) for row in session.rows(_ALL, {"target_id": target_id})]


def parts(session: Session, mark_id: int) -> dict[str, Part]:
    """What the counters said then, by family; without those that cannot be read."""
    rows = session.rows(_PARTS, {"mark_id": mark_id})
    unpacked = {str(family): unpack_part(str(family), packed) for family, packed in rows}
    return {family: part for family, part in unpacked.items() if part is not None}


def _mark(row: tuple[object, ...]) -> Mark:
    number, target_name, marked_at, kind, scope, os_user, role = row
    return Mark(
        id=int(str(number)),
        target_name=str(target_name),
        marked_at=plain.as_moment(marked_at),
        kind=Kind(str(kind)),
        scope=str(scope),
        os_user=str(os_user),
        role=str(role),
    )
