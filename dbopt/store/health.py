"""What `dbopt health` remembers of a database: its runs, what was found since when, and counters to compare with.

Kept are facts: check, subject, status, measure. What a finding says in words is not: statements of users stand there.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dbopt import __version__
from dbopt.health import streaks
from dbopt.health.deltas import Counters, Sample
from dbopt.health.memory import WINDOW_MAX, WINDOW_MIN, is_useful
from dbopt.store import plain, targets
from dbopt.store.aside import Aside
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.health.applications import Process
    from dbopt.health.check import Check, Finding, Result
    from dbopt.health.verdict import Verdict
    from dbopt.snapshot.model import Part
    from dbopt.store.plain import Session
    from dbopt.store.retention import Policy
    from dbopt.store.targets import Whose

RETENTION = timedelta(days=90)  # a quarter: what comes once a month is seen three times
# Two samples of a check within one window are enough.
SAMPLE_EVERY = WINDOW_MIN / 2
# What moves slowly is compared with a day ago: of it, one sample of each quarter of the last day stays.
_SLOW_EVERY = WINDOW_MAX / 4

_ADD_RUN = """
    INSERT INTO health_runs (target_id, target_name, dbopt_version, collected_at, seconds, status, checks)
    VALUES (:target_id, :target_name, :dbopt_version, :collected_at, :seconds, :status, :checks)
"""
_FORGET = (
    "DELETE FROM health_runs WHERE target_id = :target_id AND collected_at < :before",
    "DELETE FROM health_checks WHERE target_id = :target_id AND last_at < :before",
    "DELETE FROM health_findings WHERE target_id = :target_id AND last_at < :before",
)

_CHECKS = "SELECT id, check_id, status FROM health_checks WHERE target_id = :target_id AND NOT is_over ORDER BY id"
_ADD_CHECK = """
    INSERT INTO health_checks (target_id, check_id, status, first_at, last_at, is_over)
    VALUES (:target_id, :check_id, :status, :at, :at, :is_over)
"""
_CHECK_AGAIN = "UPDATE health_checks SET last_at = :at WHERE id = :id"
_CHECK_OVER = "UPDATE health_checks SET is_over = :is_over WHERE id = :id"

_FINDINGS = """
    SELECT id, check_id, subject, runs FROM health_findings WHERE target_id = :target_id AND NOT is_over ORDER BY id
"""
_ADD_FINDING = """
    INSERT INTO health_findings (target_id, check_id, subject, status, measure, runs, first_at, last_at, is_over)
    VALUES (:target_id, :check_id, :subject, :status, :measure, 1, :at, :at, :is_over)
"""
_FINDING_AGAIN = """
    UPDATE health_findings SET status = :status, measure = :measure, runs = runs + 1, last_at = :at WHERE id = :id
"""
_FINDING_OVER = "UPDATE health_findings SET is_over = :is_over WHERE id = :id"

_SAMPLES = """
    SELECT id, check_id, taken_at FROM health_samples WHERE target_id = :target_id ORDER BY taken_at DESC, id DESC
"""
_SAMPLE = "SELECT counters FROM health_samples WHERE id = :id"
_ADD_SAMPLE = """
    INSERT INTO health_samples (target_id, check_id, taken_at, counters)
    VALUES (:target_id, :check_id, :taken_at, :counters)
"""
_DROP_SAMPLE = "DELETE FROM health_samples WHERE id = :id"


@dataclass(frozen=True, slots=True)
class Recollection:
    """What earlier runs have left: samples by check; `streaks` None: nothing can be remembered."""

    samples: Mapping[str, Sample] = field(default_factory=dict)
    streaks: streaks.Streaks | None = None


class Memory:
    """The store for one call. Never raises because of it: what is wrong with it is a warning, and health goes on."""

    def __init__(self, url: str | None, policy: Policy | None = None, store: Aside | None = None) -> None:
        """`none` is no memory, without a warning. `policy`: how long and how much of counters is kept. `store`: of the
        command that health is a part of, so that it warns once.
        """
        self._policy = policy
        self._store = store or Aside(url, "health goes on without what it remembers")

    def recall(self, whose: Whose, checks: Sequence[Check[Any]], now: datetime) -> Recollection:
        """`now` by the database's clock."""
        return self._store.attempt(lambda session: _recall(session, whose, checks, now), reading=True) or Recollection()

    def applications(self, whose: Whose, now: datetime) -> Sequence[Process] | None:
        """Those that run and publish themselves here. None: there is no store to look at."""
        from dbopt.store import running  # not for looks at other checks

        return self._store.attempt(lambda session: running.processes(session, whose, now), reading=True)

    def keep(
        self, whose: Whose, verdict: Verdict, found: Sequence[Result], sample: Sample, counted: Sequence[Part] = ()
    ) -> None:
        """`found` are the results as they were before anything was set aside: what is there does not depend on who
        asks. The status of the run is that of the verdict. `counted`: what was read of the server's counters.
        """

        def work(session: Session) -> None:
            _keep(session, whose, verdict, found, sample)
            if counted:
                from dbopt.store import snapshots  # not for looks that leave no reading

                snapshots.keep(session, whose, verdict.about.name or verdict.about.place, counted, policy=self._policy)

        self._store.attempt(work, reading=False)


def _recall(session: Session, whose: Whose, checks: Sequence[Check[Any]], now: datetime) -> Recollection:
    target_id = targets.find(session, whose)
    if target_id is None:
        return Recollection({}, {})
    of_target = {"target_id": target_id}
    seen = {(check_id, subject): runs for _, check_id, subject, runs in session.rows(_FINDINGS, of_target)}
    kept = _samples(session, target_id)
    samples = {}
    for check in checks:
        usable = [(key, at) for key, at in kept.get(check.id, ()) if now - at <= WINDOW_MAX]
        old_enough = [(key, at) for key, at in usable if now - at >= WINDOW_MIN]
        if usable:
            key, at = old_enough[0] if old_enough and not check.slow else usable[-1]
            counters = _unpacked(session.rows(_SAMPLE, {"id": key})[0][0])
            if is_useful(at, counters, now):
                samples[check.id] = Sample(at, whose.system_identifier, {check.id: counters})
    return Recollection(samples, seen)


def _samples(session: Session, target_id: int) -> dict[str, list[tuple[int, datetime]]]:
    """Of each check, the newest first."""
    found: dict[str, list[tuple[int, datetime]]] = {}
    for key, check_id, taken_at in session.rows(_SAMPLES, {"target_id": target_id}):
        found.setdefault(check_id, []).append((key, plain.as_moment(taken_at)))
    return found


def _keep(session: Session, whose: Whose, verdict: Verdict, found: Sequence[Result], sample: Sample) -> None:
    target_id = targets.find_or_add(session, whose)
    at = session.moment(verdict.collected_at)
    run = {
        "target_id": target_id,
        "target_name": verdict.about.name or verdict.about.place,
        "dbopt_version": __version__,
        "collected_at": at,
        "seconds": verdict.seconds,
        "status": verdict.status.value,
        "checks": len(verdict.results),
    }
    session.run(_ADD_RUN, [run])
    _keep_checks(session, target_id, at, found)
    _keep_findings(session, target_id, at, found)
    slow = {result.id for result in found if result.check.slow}
    _keep_sample(session, target_id, sample, slow)
    before = session.moment(verdict.collected_at - RETENTION)
    for statement in _FORGET:
        session.run(statement, [{"target_id": target_id, "before": before}])


def _keep_checks(session: Session, target_id: int, at: object, found: Sequence[Result]) -> None:
    open_rows = {row[1]: row for row in session.rows(_CHECKS, {"target_id": target_id})}
    again, over, new = [], [], []
    for result in found:
        key, _, status = open_rows.get(result.id, (None, None, None))
        if status == result.status:
            again.append({"id": key, "at": at})
            continue
        if key is not None:
            over.append({"id": key, "is_over": True})
        new.append(
            {"target_id": target_id, "check_id": result.id, "status": result.status.value, "at": at, "is_over": False}
        )
    session.run(_CHECK_AGAIN, again)
    session.run(_CHECK_OVER, over)
    session.run(_ADD_CHECK, new)


def _keep_findings(session: Session, target_id: int, at: object, found: Sequence[Result]) -> None:
    now = streaks.found(found)
    results = {result.id: result for result in found}
    open_rows = {
        (check_id, subject): key for key, check_id, subject, _ in session.rows(_FINDINGS, {"target_id": target_id})
    }
    over = [{"id": key, "is_over": True} for row, key in open_rows.items() if streaks.is_over(row, results, now)]
    again = [{"id": open_rows[row], **_said(finding), "at": at} for row, finding in now.items() if row in open_rows]
    new = [
        {"target_id": target_id, "check_id": row[0], "subject": row[1], **_said(finding), "at": at, "is_over": False}
        for row, finding in now.items()
        if row not in open_rows
    ]
    session.run(_FINDING_OVER, over)
    session.run(_FINDING_AGAIN, again)
    session.run(_ADD_FINDING, new)


def _said(finding: Finding) -> dict[str, object]:
    measure = finding.measure if math.isfinite(finding.measure) else None
    return {"status": finding.status.value, "measure": measure}


def _keep_sample(session: Session, target_id: int, sample: Sample, slow: set[str]) -> None:
    """Of each check, unless its last one is as good; then those that no run will look at any more go."""
    kept = _samples(session, target_id)
    now = sample.taken_at
    new: list[dict[str, object]] = []
    gone: list[dict[str, object]] = []
    for check_id, counters in sample.counters.items():
        mine = kept.get(check_id, [])
        if mine and timedelta(0) <= now - mine[0][1] < SAMPLE_EVERY:
            continue
        packed = _packed(counters)
        new.append({"target_id": target_id, "check_id": check_id, "taken_at": session.moment(now), "counters": packed})
        gone += [{"id": key} for key in _superfluous(mine, now, slow=check_id in slow)]
    session.run(_ADD_SAMPLE, new)
    session.run(_DROP_SAMPLE, gone)


def _superfluous(kept: Sequence[tuple[int, datetime]], now: datetime, *, slow: bool) -> set[int]:
    """Of a check's samples, the newest first: those that no later run will compare with."""
    young = [key for key, at in kept if now - at < WINDOW_MIN]
    staying = {key for key, _ in kept[: len(young) + 1]}
    if slow:  # the oldest of each quarter, as the later ones stand before it
        staying |= set(
            {at.timestamp() // _SLOW_EVERY.total_seconds(): key for key, at in kept if now - at <= WINDOW_MAX}.values()
        )
    return {key for key, _ in kept} - staying


def _packed(counters: Sequence[Counters]) -> bytes:
    every = [
        [item.subject, None if item.since is None else item.since.isoformat(), dict(item.values)] for item in counters
    ]
    return zlib.compress(json.dumps(every, separators=(",", ":")).encode(), 1)


def _unpacked(packed: bytes) -> tuple[Counters, ...]:
    """Nothing where nobody has packed it so: it is of no use, and the next run writes a new one."""
    try:
        return tuple(
            Counters(subject, None if since is None else datetime.fromisoformat(since), values)
            for subject, since, values in json.loads(zlib.decompress(packed))
        )
    except (zlib.error, ValueError, TypeError):
        return ()
