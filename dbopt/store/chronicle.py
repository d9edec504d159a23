"""What `dbopt history` asks of the store besides intervals: which databases there are, and what health has found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbopt.store import plain
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.store.plain import Session

# A name that a target had once still means it, unless another has that name now.
_NAMES = """
    SELECT t.id, t.server, t.dbname, n.target_name, n.named_at, n.has_readings, n.has_health
      FROM targets AS t
      JOIN (SELECT target_id, target_name, taken_at AS named_at, 1 AS has_readings, 0 AS has_health
              FROM snapshot_heads WHERE family = 'server'
            UNION ALL
            SELECT target_id, target_name, max(collected_at), 0, 1 FROM health_runs GROUP BY target_id, target_name
            UNION ALL
            SELECT target_id, target_name, max(started_at), 0, 0 FROM runs GROUP BY target_id, target_name
            UNION ALL
            SELECT target_id, target_name, max(marked_at), 0, 0 FROM marks GROUP BY target_id, target_name) AS n
        ON n.target_id = t.id
     ORDER BY n.named_at DESC, t.id
"""
_ENDS = """
    SELECT min(from_at), max(to_at), count(*) FROM intervals
     WHERE target_id = :target_id AND family = :family AND to_at > :since AND to_at <= :until
"""
_RUNS = """
    SELECT status, count(*), min(collected_at), max(collected_at) FROM health_runs
     WHERE target_id = :target_id AND collected_at >= :since AND collected_at <= :until
     GROUP BY status ORDER BY status
"""
_FINDINGS = """
    SELECT check_id, subject, status, measure, runs, first_at, last_at, is_over FROM health_findings
     WHERE target_id = :target_id AND last_at >= :since AND first_at <= :until
     ORDER BY first_at DESC, id DESC
"""
_CHECKS = """
    SELECT check_id, status, first_at, last_at, is_over FROM health_checks
     WHERE target_id = :target_id AND check_id = :check_id AND last_at >= :since AND first_at <= :until
     ORDER BY first_at DESC, id DESC
"""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_AHEAD = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """`name` as the last call had it, `names` as earlier ones did."""

    target_id: int
    server: str
    dbname: str
    name: str
    names: frozenset[str]
    has_readings: bool
    has_health: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """How many runs of health had this status."""

    status: str
    runs: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding, for as long as run after run saw it. Gone: a run that looked did not see it any more."""

    check_id: str
    subject: str
    status: str
    measure: float | None
    runs: int
    first_at: datetime
    last_at: datetime
    is_gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """For how long a check said the same."""

    check_id: str
    status: str
    first_at: datetime
    last_at: datetime
    is_over: bool


def databases(session: Session) -> list[Database]:
    """The one last seen first."""
    found: dict[int, list[tuple[object, ...]]] = {}
    for row in session.rows(_NAMES, {}):
        found.setdefault(int(row[0]), []).append(row)
    return [
        Database(
            target_id=target_id,
            server=str(rows[0][1]),
            dbname=str(rows[0][2]),
            name=str(rows[0][3]),
            names=frozenset(str(row[3]) for row in rows),
            has_readings=any(row[5] for row in rows),
            has_health=any(row[6] for row in rows),
        )
        for target_id, rows in found.items()
    ]


def named(databases: Sequence[Database], names: Sequence[str]) -> list[Database]:
    """Those that are called so, by a target's name or a database's; else those that once were. No names: all."""
    if not names:
        return list(databases)
    found = []
    for name in names:
        now = [item for item in databases if name in (item.name, item.dbname)]
        found += now or [item for item in databases if name in item.names]
    return list({item.target_id: item for item in found}.values())


def ends(
    session: Session, target_id: int, family: str, since: datetime = _LONG_AGO, until: datetime = _FAR_AHEAD
) -> tuple[datetime, datetime] | None:
    """From when to when there are intervals of a family."""
    values = {**_between(session, target_id, since, until), "family": family}
    [(from_at, to_at, count)] = session.rows(_ENDS, values)
    return (plain.as_moment(from_at), plain.as_moment(to_at)) if count else None


def health_runs(session: Session, target_id: int, since: datetime, until: datetime) -> list[Runs]:
    return [
        Runs(status=status, runs=int(runs), first_at=plain.as_moment(first_at), last_at=plain.as_moment(last_at))
        for status, runs, first_at, last_at in session.rows(_RUNS, _between(session, target_id, since, until))
    ]


def findings(session: Session, target_id: int, since: datetime, until: datetime) -> list[Found]:
    """Those that were there within the time, the newest first."""
    return [
        Found(
            check_id=check_id,
            subject=subject,
            status=status,
            measure=measure,
            runs=int(runs),
            first_at=plain.as_moment(first_at),
            last_at=plain.as_moment(last_at),
            is_gone=bool(is_over),
        )
        for check_id, subject, status, measure, runs, first_at, last_at, is_over in session.rows(
            _FINDINGS, _between(session, target_id, since, until)
        )
    ]


def stretches(session: Session, target_id: int, check_id: str, since: datetime, until: datetime) -> list[Stretch]:
    """What a check said within the time, the newest first."""
    return [
        Stretch(
            check_id=check_id,
            status=status,
            first_at=plain.as_moment(first_at),
            last_at=plain.as_moment(last_at),
            is_over=bool(is_over),
        )
        for check_id, status, first_at, last_at, is_over in session.rows(
            _CHECKS, {**_between(session, target_id, since, until), "check_id": check_id}
        )
    ]


def _between(session: Session, target_id: int, since: datetime, until: datetime) -> dict[str, object]:
    return {"target_id": target_id, "since": session.moment(since), "until": session.moment(until)}
