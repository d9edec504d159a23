"""What `dbopt suggest` has promised of indexes, for `dbopt suggest --review`. The driver alone does it (plain.py).

keep(session, target_id, promises, *, target_name, promised_at)    after a spec was written
kept(session, target_id) -> list[Kept]
seen(session, ids, at)                                             a review has found these for the first time
index_steps(session, target_ids, since) -> list[IndexStep]         what optimize has made and dropped
"""

from __future__ import annotations

import json
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt import __version__
from dbopt.store import plain
from dbopt.suggest.remembering import Promise, content, from_content
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dbopt.store.plain import Session

_LEVEL = 6

# As snapshots.py: two processes take turns on PostgreSQL; SQLite has one writer.
_TAKE_TURN = "UPDATE targets SET dbname = dbname WHERE id = :target_id"
# An index that is suggested again is not there: what was promised of it last is what it will be held to.
_KEEP = """
    INSERT INTO suggestions
           (target_id, target_name, promised_at, dbopt_version, schema_name, table_name, index_name, packed)
    VALUES (:target_id, :target_name, :promised_at, :dbopt_version, :schema_name, :table_name, :index_name, :packed)
    ON CONFLICT (target_id, schema_name, table_name, index_name)
    DO UPDATE SET target_name = excluded.target_name, promised_at = excluded.promised_at, seen_at = NULL,
                  dbopt_version = excluded.dbopt_version, packed = excluded.packed
"""
_KEPT = """
    SELECT id, promised_at, seen_at, schema_name, table_name, index_name, packed FROM suggestions
     WHERE target_id = :target_id ORDER BY promised_at DESC, schema_name, table_name, index_name
"""
_STEPS = """
    SELECT s.schema_name, s.table_name, s.index_name, s.action, s.started_at, s.seconds
      FROM steps AS s JOIN runs AS r ON r.id = s.run_id
     WHERE r.target_id = :target_id AND s.started_at >= :since AND s.index_name IS NOT NULL
       AND s.action IN ('create', 'adopt', 'replace', 'repair', 'drop') AND s.error IS NULL AND s.seconds IS NOT NULL
     ORDER BY s.run_id, s.number
"""
_SEEN = "UPDATE suggestions SET seen_at = :at WHERE id = :id AND seen_at IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """`seen_at`: when a review has found the index for the first time."""

    id: int
    promised_at: datetime
    seen_at: datetime | None
    promise: Promise


def keep(
    session: Session, target_id: int, promises: Iterable[Promise], *, target_name: str, promised_at: datetime
) -> None:
    """In the place of what was promised of indexes of these names before."""
    rows = [
        {
            "target_id": target_id,
            "target_name": target_name,
            "promised_at": session.moment(promised_at),
            "dbopt_version": __version__,
            "schema_name": promise.schema,
            "table_name": promise.table,
            "index_name": promise.index,
            "packed": zlib.compress(json.dumps(content(promise), separators=(",", ":")).encode(), _LEVEL),
        }
        for promise in promises
    ]
    if rows:
        session.run(_TAKE_TURN, [{"target_id": target_id}])
        session.run(_KEEP, rows)


def kept(session: Session, target_id: int) -> list[Kept]:
    """The last promised first. One that cannot be read is missing."""
    found = []
    for number, promised_at, seen_at, schema, table, index, packed in session.rows(_KEPT, {"target_id": target_id}):
        try:
            promise = from_content(str(schema), str(table), str(index), json.loads(zlib.decompress(packed)))
        except (zlib.error, ValueError, KeyError, TypeError):
            continue
        found.append(
            Kept(
                id=int(number),
                promised_at=plain.as_moment(promised_at),
                seen_at=None if seen_at is None else plain.as_moment(seen_at),
                promise=promise,
            )
        )
    return found


def seen(session: Session, ids: Iterable[int], at: datetime) -> None:
    session.run(_SEEN, [{"id": number, "at": session.moment(at)} for number in ids])


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStep:
    """A step of a run of `dbopt optimize` that has succeeded."""

    schema: str
    table: str
    index: str
    action: str
    started_at: datetime
    ended_at: datetime


def index_steps(session: Session, target_ids: Iterable[int], since: datetime) -> list[IndexStep]:
    """What runs have made and dropped since then, in the order of time."""
    found = [
        IndexStep(
            schema=str(schema),
            table=str(table),
            index=str(index),
            action=str(action),
            started_at=(started := plain.as_moment(started_at)),
            ended_at=started + timedelta(seconds=float(seconds)),
        )
        for target_id in target_ids
        for schema, table, index, action, started_at, seconds in session.rows(
            _STEPS, {"target_id": target_id, "since": session.moment(since)}
        )
    ]
    return sorted(found, key=lambda step: step.ended_at)
