"""What is known of statements beyond their counters: traits of their texts, the latest plan, the plans they have had.

A plan that was made before the one that is kept says nothing new: somebody was held up between planning and keeping,
and a plan that seems to flip there and back would be his.
"""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dbopt import __version__
from dbopt.store import plain
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from dbopt.store.plain import Session

# Of each statement. One whose plan is another one at every look would fill the store.
SHAPES_MAX = 20
# What is kept of a time so far ahead was written by a clock that was wrong: no reason to keep nothing until then.
_AHEAD_MAX = timedelta(hours=1)

# So many ids at once, filled up with the last one: for `:queryids`, as there is no list that both databases know.
_PAGE = 32
_QUERYIDS = ", ".join(f":q{number}" for number in range(_PAGE))
_LEVEL = 6

# As snapshots.py: two processes take turns on PostgreSQL; SQLite has one writer.
_TAKE_TURN = "UPDATE targets SET dbname = dbname WHERE id = :target_id"
_TRAITS = """
    SELECT queryid, fingerprint, kind, relations FROM statement_traits
     WHERE target_id = :target_id AND dbopt_version = :dbopt_version
"""
_SET_TRAITS = """
    INSERT INTO statement_traits (target_id, queryid, dbopt_version, fingerprint, kind, relations)
    VALUES (:target_id, :queryid, :dbopt_version, :fingerprint, :kind, :relations)
    ON CONFLICT (target_id, queryid)
    DO UPDATE SET dbopt_version = excluded.dbopt_version, fingerprint = excluded.fingerprint,
                  kind = excluded.kind, relations = excluded.relations
"""
_PLANS = """
    SELECT queryid, planned_at, dbopt_version, packed FROM statement_plans
     WHERE target_id = :target_id AND queryid IN (:queryids)
"""
_SET_PLAN = """
    INSERT INTO statement_plans (target_id, queryid, planned_at, dbopt_version, packed)
    VALUES (:target_id, :queryid, :planned_at, :dbopt_version, :packed)
    ON CONFLICT (target_id, queryid)
    DO UPDATE SET planned_at = excluded.planned_at, dbopt_version = excluded.dbopt_version, packed = excluded.packed
     WHERE statement_plans.planned_at <= excluded.planned_at OR statement_plans.planned_at > :ahead
"""
_SHAPES = """
    SELECT queryid, digest, summary, first_at, last_at FROM plan_shapes
     WHERE target_id = :target_id AND queryid IN (:queryids) ORDER BY id DESC
"""
_NEWEST_SHAPE = """
    SELECT id, digest, last_at FROM plan_shapes WHERE target_id = :target_id AND queryid = :queryid
     ORDER BY id DESC LIMIT 1
"""
_SHAPE_AGAIN = "UPDATE plan_shapes SET last_at = :at WHERE id = :id"
_ADD_SHAPE = """
    INSERT INTO plan_shapes (target_id, queryid, digest, summary, first_at, last_at)
    VALUES (:target_id, :queryid, :digest, :summary, :at, :at)
"""
_DROP_SHAPES = """
    DELETE FROM plan_shapes
     WHERE target_id = :target_id AND queryid = :queryid
       AND id <= (SELECT p.id FROM plan_shapes AS p WHERE p.target_id = :target_id AND p.queryid = :queryid
                   ORDER BY p.id DESC LIMIT 1 OFFSET :shapes_max)
"""
_TEXTS = """
    SELECT s.queryid, x.query FROM statements AS s JOIN statement_texts AS x ON x.digest = s.digest
     WHERE s.target_id = :target_id AND s.queryid IN (:queryids)
"""


@dataclass(frozen=True, slots=True)
class KeptTraits:
    fingerprint: str
    kind: str
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """`content`: plain values, the plan with what was found on it or why there is none; nothing that is a secret."""

    planned_at: datetime
    dbopt_version: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeptShape:
    digest: str
    summary: str
    first_at: datetime
    last_at: datetime


def traits(session: Session, target_id: int) -> dict[int, KeptTraits]:
    """By queryid. Those that another version of dbopt has kept are missing: of one statement under two ids it may have
    found another fingerprint.
    """
    rows = session.rows(_TRAITS, {"target_id": target_id, "dbopt_version": __version__})
    # Thousands of statements are about some hundred combinations of tables.
    relations = {text: _relations(text) for text in {row[3] for row in rows}}
    return {row[0]: KeptTraits(row[1], row[2], relations[row[3]]) for row in rows}


def keep_traits(session: Session, target_id: int, by_queryid: Mapping[int, KeptTraits]) -> None:
    if not by_queryid:
        return
    session.run(_TAKE_TURN, [{"target_id": target_id}])
    session.run(
        _SET_TRAITS,
        [
            {
                "target_id": target_id,
                "queryid": queryid,
                "dbopt_version": __version__,
                "fingerprint": item.fingerprint,
                "kind": str(item.kind),
                "relations": json.dumps(item.relations),
            }
            for queryid, item in by_queryid.items()
        ],
    )


def plans(session: Session, target_id: int, queryids: Collection[int]) -> dict[int, KeptPlan]:
    """The latest of each, by queryid. One that cannot be read is missing."""
    found: dict[int, KeptPlan] = {}
    for queryid, planned_at, version, packed in _of(session, _PLANS, target_id, queryids):
        content = _unpacked(packed)
        if content is not None:
            found[int(queryid)] = KeptPlan(plain.as_moment(planned_at), version, content)
    return found


def shapes(session: Session, target_id: int, queryids: Collection[int]) -> dict[int, list[KeptShape]]:
    """The plans that each has had, the newest first, by queryid; at most SHAPES_MAX each."""
    found: dict[int, list[KeptShape]] = {}
    for queryid, digest, summary, first_at, last_at in _of(session, _SHAPES, target_id, queryids):
        shape = KeptShape(digest, summary, plain.as_moment(first_at), plain.as_moment(last_at))
        found.setdefault(int(queryid), []).append(shape)
    return found


def keep_plan(session: Session, target_id: int, queryid: int, plan: KeptPlan, shape: tuple[str, str] | None) -> None:
    """In the place of the latest one. `shape`: digest and summary; None: there is no plan, which is no other plan."""
    session.run(_TAKE_TURN, [{"target_id": target_id}])
    of_statement = {"target_id": target_id, "queryid": queryid}
    ahead = datetime.now(UTC) + _AHEAD_MAX
    at = session.moment(plan.planned_at)
    packed = _packed(plan.content)
    values = {"planned_at": at, "dbopt_version": plan.dbopt_version, "packed": packed, "ahead": session.moment(ahead)}
    session.run(_SET_PLAN, [{**of_statement, **values}])
    if shape is None:
        return
    digest, summary = shape
    newest = session.rows(_NEWEST_SHAPE, of_statement)
    if newest and plan.planned_at < plain.as_moment(newest[0][2]) <= ahead:
        return
    if newest and newest[0][1] == digest:
        session.run(_SHAPE_AGAIN, [{"id": newest[0][0], "at": at}])
        return
    session.run(_ADD_SHAPE, [{**of_statement, "digest": digest, "summary": summary, "at": at}])
    session.run(_DROP_SHAPES, [{**of_statement, "shapes_max": SHAPES_MAX}])


def texts_of(session: Session, target_id: int, queryids: Collection[int]) -> dict[int, str]:
    """By queryid: `snapshots.texts` for a few, as all of them may be tens of megabytes."""
    return {int(queryid): str(query) for queryid, query in _of(session, _TEXTS, target_id, queryids)}


def _of(session: Session, sql: str, target_id: int, queryids: Collection[int]) -> Iterator[tuple[Any, ...]]:
    """The rows of these statements; of each in the order of `sql`."""
    listed = sql.replace(":queryids", _QUERYIDS)
    chosen = list(dict.fromkeys(queryids))
    for first in range(0, len(chosen), _PAGE):
        page = chosen[first : first + _PAGE]
        page += page[-1:] * (_PAGE - len(page))
        values = {f"q{number}": queryid for number, queryid in enumerate(page)}
        yield from session.rows(listed, {"target_id": target_id, **values})


def _packed(content: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), _LEVEL)


def _unpacked(packed: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(zlib.decompress(packed))
    except (zlib.error, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _relations(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
