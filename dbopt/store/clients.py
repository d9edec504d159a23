"""What the processes of applications publish about themselves: how the client library sees its database.

Each process is a family of its own, `clients/APPLICATION/INSTANCE`, with one subject. It counts from its start and
publishes its totals every ten seconds (EVERY), and a last time when it ends; what happened between two readings is an
interval, as with the server's counters. Intervals are made longer up to a minute, so that the last reading is fresh
and there are no more of them than of the server. A process that was not heard of for ENDED_AFTER has ended: its
intervals go to a family that all ended ones of its application share, so that sums stay and names that no longer mean
anything go.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.errors import UsageError
from dbopt.snapshot import durations
from dbopt.snapshot.model import CLIENTS, Part, Subject
from dbopt.store import plain, snapshots, targets, thinning
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dbopt.snapshot.model import Interval
    from dbopt.store.plain import Session
    from dbopt.store.retention import Policy
    from dbopt.store.targets import Whose

# Instances cannot be called so.
ENDED = "(ended)"
SUBJECT = "process"

EVERY = timedelta(seconds=10)
# Readings so close together are one: of two that publish for one process, or one that was held up.
LEAST_APART = EVERY / 2
INTERVAL_LONGEST = timedelta(minutes=1)
# Who is not heard of for so long is not there any more, or cannot publish.
SILENT_AFTER = 3 * EVERY
ENDED_AFTER = timedelta(days=2)
# A process that is heard of for the first time has counted since its start; if that is longer ago, it says nothing of
# the present.
_FROM_START = timedelta(hours=1)

# Totals since the process has started. What it does not count, it leaves out: that is not 0.
COUNTS: Mapping[str, str] = {
    "queries": "statements that it has sent and that have ended, the failed ones included",
    "query_seconds": "for how long it has waited for them, with the way there and back",
    "slow_queries": "of them, those above its own threshold (SLOW_QUERY_THRESHOLD)",
    "errors": "of them, those that have failed",
    "cache_hits": "answers that came from its cache",
    "cache_misses": "answers that its cache was asked for and did not have",
    "pool_acquires": "connections that its pool has lent out",
    "pool_wait_seconds": "for how long it has waited for them",
    "pool_timeouts": "times that it has waited in vain",
    "cache_stale": "of the hits, those that were too old, and were given while a new answer was made",
    "cache_evictions": "entries that its cache has dropped to make room",
    **dict.fromkeys(durations.NAMES, "of the queries, those that took so long"),
}
# As things stand.
LEVELS: Mapping[str, str] = {
    "pool_size": "the most connections that its pool may have",
    "pool_open": "those that are open, lent out or not",
    "pool_used": "those that are lent out",
    "pool_waiting": "callers that wait for one",
    "pool_longest_held_seconds": "for how long the one has been lent out that has been so the longest; 0: none is",
    "cache_entries": "answers in its cache",
    "cache_bytes": "what they take",
}

# As host names and process numbers are written: web-1.eu:4711. No slash, which stands between the two.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}")

_HEADS = """
    SELECT family, taken_at FROM snapshot_heads WHERE target_id = :target_id AND family LIKE :clients ORDER BY family
"""
_FAMILIES = """
    SELECT DISTINCT family FROM intervals WHERE target_id = :target_id AND family LIKE :clients ORDER BY family
"""
_CLIENTS = {"clients": f"{CLIENTS}%"}
_FORGET = "DELETE FROM snapshot_heads WHERE target_id = :target_id AND family = :family"
_MOVE = "UPDATE intervals SET family = :ended WHERE target_id = :target_id AND family = :family"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What one process says. `taken_at` by the clock of the database, as all times of the store; `started_at` by its
    own clock, the same in each reading: it tells processes apart that carry the same name one after the other.
    """

    application: str
    instance: str
    started_at: datetime
    taken_at: datetime
    counts: Mapping[str, float]
    levels: Mapping[str, float]

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be kept."""
        for what, name in (("application", self.application), ("instance", self.instance)):
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"an {what} cannot be called {name[:120]!r}",
                    hint="Use letters, digits and . _ : @ -, a letter or digit first, 100 characters at the most.",
                )
        for at in (self.started_at, self.taken_at):
            if at.tzinfo is None:
                raise UsageError("times of client metrics need a time zone", detail=f"found {at.isoformat()}")
        for values, known in ((self.counts, COUNTS), (self.levels, LEVELS)):
            for name, value in values.items():
                if name not in known:
                    raise UsageError(f"no client metric is called {name}", hint=f"Valid names: {', '.join(known)}.")
                if not (math.isfinite(value) and value >= 0):
                    raise UsageError(f"the client metric {name} cannot be {value}")

    @property
    def family(self) -> str:
        return f"{CLIENTS}{self.application}/{self.instance}"

    def part(self) -> Part:
        names = tuple(name for name in COUNTS if name in self.counts)
        return self._part(self.taken_at, names, tuple(self.counts[name] for name in names), dict(self.levels))

    def start(self) -> Part | None:
        """The reading that nobody took when it started. None: that is too long ago."""
        if not timedelta(0) < self.taken_at - self.started_at <= _FROM_START:
            return None
        names = tuple(name for name in COUNTS if name in self.counts)
        return self._part(self.started_at, names, (0.0,) * len(names), {})

    def _part(self, at: datetime, names: tuple[str, ...], values: tuple[float, ...], levels: dict[str, float]) -> Part:
        identity = self.started_at.isoformat()
        subject = Subject(SUBJECT, self.application, values, since=self.started_at, identity=identity)
        return Part(
            family=self.family,
            taken_at=at,
            lineage=self.instance,
            counts=names,
            subjects={SUBJECT: subject},
            levels=levels,
        )


def publish(
    session: Session,
    whose: Whose,
    target_name: str,
    said: Published,
    *,
    last: bool = False,
    policy: Policy | None = None,
) -> None:
    """Keep what a process says. What comes too soon after its last reading (LEAST_APART) is left out, unless it is the
    `last` one before the process ends. `policy`: as for `snapshots.keep`.
    """
    target_id = targets.find_or_add(session, whose)
    is_known = snapshots.head(session, target_id, said.family) is not None
    start = None if is_known else said.start()
    parts = [said.part()] if start is None else [start, said.part()]
    least_apart = LEAST_APART if is_known and not last else timedelta(0)
    if snapshots.keep(session, whose, target_name, parts, least_apart=least_apart, policy=policy):
        thinning.join_last(session, target_id, said.family, INTERVAL_LONGEST)
    _forget_ended(session, target_id, said.taken_at)


def intervals(
    session: Session, target_id: int, since: datetime | None = None, until: datetime | None = None
) -> dict[str, list[Interval]]:
    """Of each family of clients what ends after `since` and not after `until`, the ended ones included."""
    families = [str(row[0]) for row in session.rows(_FAMILIES, {"target_id": target_id, **_CLIENTS})]
    every = {family: snapshots.intervals(session, target_id, family, since, until) for family in families}
    return {family: found for family, found in every.items() if found}


def lately(session: Session, target_id: int, now: datetime) -> dict[str, Part]:
    """The last reading of each process that was heard of within SILENT_AFTER, by family: how things stand there."""
    heads = session.rows(_HEADS, {"target_id": target_id, **_CLIENTS})
    families = [str(family) for family, taken_at in heads if now - plain.as_moment(taken_at) <= SILENT_AFTER]
    found = {family: snapshots.head(session, target_id, family) for family in families}
    return {family: part for family, part in found.items() if part is not None}


def _forget_ended(session: Session, target_id: int, now: datetime) -> None:
    heads = session.rows(_HEADS, {"target_id": target_id, **_CLIENTS})
    gone = [str(family) for family, taken_at in heads if now - plain.as_moment(taken_at) > ENDED_AFTER]
    moves = [(family, f"{family.rpartition('/')[0]}/{ENDED}") for family in gone]
    session.run(_MOVE, [{"target_id": target_id, "family": family, "ended": ended} for family, ended in moves])
    session.run(_FORGET, [{"target_id": target_id, "family": family} for family in gone])
    for ended in {ended for _, ended in moves}:
        thinning.thin(session, target_id, ended, now)
