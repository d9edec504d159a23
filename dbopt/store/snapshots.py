"""Counters over time: of each family the last reading, and every interval between two readings.

An interval is made when its second reading is kept, in one transaction with it, so two processes never count the same
time twice: the later one compares with what the earlier one has kept. What is older is added up to hours and days
(thinning.py); sums stay what they are.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING

from dbopt.snapshot.delta import between
from dbopt.store import plain, retention, targets, thinning
from dbopt.store.packing import pack_interval, pack_part, unpack_interval, unpack_part
from dbopt.values import dataclass

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.plain import Session
    from dbopt.store.retention import Policy
    from dbopt.store.targets import Whose

# Readings so close together are one: a health check every few seconds does not fill the store.
LEAST_APART = timedelta(seconds=50)  # somewhat less than a cron job's minute
# A reading that is behind the last one by less, or by less than it is old, was taken beside it, by another process; by
# more: the clock went back.
_CONCURRENT = timedelta(minutes=1)
_HELD_UP = timedelta(seconds=10)

_HEAD = "SELECT taken_at, packed FROM snapshot_heads WHERE target_id = :target_id AND family = :family"
# Takes the lock on the row where there is one, so that two processes take turns on PostgreSQL; SQLite has one writer.
_SET_HEAD = """
    INSERT INTO snapshot_heads (target_id, family, target_name, taken_at, packed)
    VALUES (:target_id, :family, :target_name, :taken_at, :packed)
    ON CONFLICT (target_id, family)
    DO UPDATE SET target_name = excluded.target_name, taken_at = excluded.taken_at, packed = excluded.packed
"""
_TAKE_TURN = "UPDATE targets SET dbname = dbname WHERE id = :target_id"
_ADD_INTERVAL = """
    INSERT INTO intervals (target_id, family, span, from_at, to_at, packed)
    VALUES (:target_id, :family, 0, :from_at, :to_at, :packed)
"""
_INTERVALS = """
    SELECT packed FROM intervals
     WHERE target_id = :target_id AND family = :family AND to_at > :since AND to_at <= :until
     ORDER BY to_at, id
"""
_FAMILIES = """
    SELECT family FROM snapshot_heads WHERE target_id = :target_id ORDER BY family
"""
_TARGETS = """
    SELECT t.id, t.server, t.dbname, h.target_name, h.taken_at
      FROM targets AS t
      JOIN snapshot_heads AS h ON h.target_id = t.id AND h.family = 'server'
     ORDER BY h.taken_at DESC, t.id
"""
_KNOWN_TEXTS = "SELECT queryid FROM statements WHERE target_id = :target_id"
_TEXTS = """
    SELECT s.queryid, x.query FROM statements AS s JOIN statement_texts AS x ON x.digest = s.digest
     WHERE s.target_id = :target_id
"""
_ADD_TEXT = """
    INSERT INTO statement_texts (digest, query) VALUES (:digest, :query) ON CONFLICT (digest) DO NOTHING
"""
_ADD_STATEMENT = """
    INSERT INTO statements (target_id, queryid, digest) VALUES (:target_id, :queryid, :digest)
    ON CONFLICT (target_id, queryid) DO UPDATE SET digest = excluded.digest
"""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_AHEAD = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Known:
    """A database that has readings. `name` is that of the last call."""

    target_id: int
    server: str
    dbname: str
    name: str
    taken_at: datetime


def keep(
    session: Session,
    whose: Whose,
    target_name: str,
    parts: Iterable[Part],
    *,
    least_apart: timedelta = LEAST_APART,
    policy: Policy | None = None,
) -> dict[str, Interval]:
    """Keep these readings; returns the intervals that they end, by family. One that comes too soon after the last is
    left out. `policy`: what is too old or too much goes, a little at once.
    """
    target_id = targets.find_or_add(session, whose)
    session.run(_TAKE_TURN, [{"target_id": target_id}])
    made: dict[str, Interval] = {}
    now: datetime | None = None
    for part in parts:
        of_family = {"target_id": target_id, "family": str(part.family)}
        last = head(session, target_id, part.family)
        if last is not None:
            if _is_of_no_use(part, last, least_apart):
                continue
            made[str(part.family)] = interval = between(last, part)
            ends = {"from_at": session.moment(interval.from_at), "to_at": session.moment(interval.to_at)}
            session.run(_ADD_INTERVAL, [{**of_family, **ends, "packed": pack_interval(interval)}])
        values = {"target_name": target_name, "taken_at": session.moment(part.taken_at), "packed": pack_part(part)}
        session.run(_SET_HEAD, [{**of_family, **values}])
        thinning.thin(session, target_id, str(part.family), part.taken_at)
        now = part.taken_at
    if policy is not None and now is not None:
        retention.beside(session, policy, made.values(), now)
    return made


def _is_of_no_use(part: Part, last: Part, least_apart: timedelta) -> bool:
    """It is too close to the last one, or was taken before it, by somebody who was held up until now. In the place of a
    later one, it would have what lies between the two counted twice.
    """
    apart = part.taken_at - last.taken_at
    age = timedelta(0) if part.asked_at is None else timedelta(seconds=max(0.0, time.time() - part.asked_at))
    if -(age + _CONCURRENT) <= apart < least_apart or apart == timedelta(0):
        return True
    # What is fresh was taken after all that is kept, whatever the clocks say.
    return age > _HELD_UP and part.asked_at is not None and last.asked_at is not None and part.asked_at <= last.asked_at


def head(session: Session, target_id: int, family: str) -> Part | None:
    """The last reading; None where there is none, or none that can be read."""
    found = session.rows(_HEAD, {"target_id": target_id, "family": str(family)})
    return unpack_part(str(family), found[0][1]) if found else None


def intervals(
    session: Session,
    target_id: int,
    family: str,
    since: datetime | None = None,
    until: datetime | None = None,
    wanted: re.Pattern[str] | None = None,
) -> list[Interval]:
    """Those that end after `since` and not after `until`, in the order of time. `wanted`: see packing.only."""
    return list(each_interval(session, target_id, family, since, until, wanted))


def each_interval(
    session: Session,
    target_id: int,
    family: str,
    since: datetime | None = None,
    until: datetime | None = None,
    wanted: re.Pattern[str] | None = None,
) -> Iterator[Interval]:
    """The same one by one: a year of statements is a gigabyte once it is unpacked."""
    rows = session.rows(
        _INTERVALS,
        {
            "target_id": target_id,
            "family": str(family),
            "since": session.moment(since or _LONG_AGO),
            "until": session.moment(until or _FAR_AHEAD),
        },
    )
    unpacked = (unpack_interval(str(family), row[0], wanted) for row in rows)
    return (interval for interval in unpacked if interval is not None)


def families(session: Session, target_id: int) -> list[str]:
    """Those with a reading."""
    return [str(row[0]) for row in session.rows(_FAMILIES, {"target_id": target_id})]


def known(session: Session, names: Sequence[str] = ()) -> list[Known]:
    """The databases with readings, the one last read first. `names` are those of databases, or those by which the last
    call named its target; none: all.
    """
    found = [
        Known(int(row[0]), str(row[1]), str(row[2]), str(row[3]), plain.as_moment(row[4]))
        for row in session.rows(_TARGETS, {})
    ]
    return [item for item in found if not names or item.name in names or item.dbname in names]


def queryids_with_text(session: Session, target_id: int) -> set[int]:
    return {int(row[0]) for row in session.rows(_KNOWN_TEXTS, {"target_id": target_id})}


def texts(session: Session, target_id: int) -> dict[int, str]:
    """By queryid."""
    return {int(row[0]): str(row[1]) for row in session.rows(_TEXTS, {"target_id": target_id})}


def keep_texts(session: Session, target_id: int, by_queryid: Mapping[int, str]) -> None:
    """`by_queryid`: with nothing in them that must not be kept."""
    rows = [
        {"queryid": queryid, "query": text, "digest": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()}
        for queryid, text in sorted(by_queryid.items())
    ]
    rows_by_digest = sorted(rows, key=itemgetter("digest"))  # two processes wait for each other otherwise
    session.run(_ADD_TEXT, [{"digest": row["digest"], "query": row["query"]} for row in rows_by_digest])
    session.run(
        _ADD_STATEMENT,
        [{"target_id": target_id, "queryid": row["queryid"], "digest": row["digest"]} for row in rows],
    )
