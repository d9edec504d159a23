"""Standbys that are behind: what a build writes, they have to replay.

pg_stat_replication alone does not tell. Its `replay_lag` is measured when the standby reports, every ten seconds when
nothing else is to be said, and stands still in between; it is NULL until something was sent; it stays for a while after
all is replayed; and while a standby catches up it counts from when WAL was sent, not from when it was written. So
positions are compared, and the times at which they were seen are kept.
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from dbopt.errors import NotPermitted
from dbopt.optimize.steps import Blocker
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

LAG = "waiting for a replica to catch up"

# Behind by this much for a time that nobody knows counts as lagging. Our own reasoning: a standby at work is less than
# one WAL segment of the default size behind.
UNKNOWN_BYTES = 16 * 1024**2
_SPACING_SECONDS = 1.0  # between positions that are kept: no finer than anybody's limit


@dataclass(frozen=True, slots=True)
class Standby:
    """What is None but `client` and `slot` this role may not see, or it is not known. Positions are bytes of WAL."""

    pid: int
    usename: str | None
    application_name: str | None
    client: str | None
    state: str | None
    slot: str | None
    replayed: int | None
    written: int
    replay_lag_seconds: float | None

    @property
    def name(self) -> str:
        return self.application_name or self.client or f"pid {self.pid}"


STANDBYS = Query(
    "streaming-standbys",
    Standby,
    {
        (13,): """
        /* dbopt: standbys, and how far each has replayed; no backups, no subscriptions */
        SELECT r.pid, r.usename::text AS usename, r.application_name,
               COALESCE(r.client_hostname, pg_catalog.host(r.client_addr)) AS client, r.state,
               s.slot_name::text AS slot,
               pg_catalog.pg_wal_lsn_diff(r.replay_lsn, '0/0')::int8 AS replayed,
               pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::int8 AS written,
               EXTRACT(epoch FROM r.replay_lag)::float8 AS replay_lag_seconds
          FROM pg_catalog.pg_stat_replication AS r
          LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.active_pid = r.pid
         WHERE s.slot_type IS DISTINCT FROM 'logical'
           AND (r.state IS NULL OR r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL)
         ORDER BY r.application_name, r.pid
        """
    },
)


class Lag:
    """Keeps what it has seen from one look to the next."""

    def __init__(self, max_lag_seconds: float) -> None:
        self.max_lag_seconds = max_lag_seconds
        self._seen: deque[tuple[float, int]] = deque()  # when, and how far the primary had written then
        self._first: int | None = None  # how far it had written at the first look

    def look(self, conn: Connection, server: Server) -> tuple[Blocker, ...]:
        """Those that are further behind than they may be. One statement. Raises NotPermitted where that is hidden."""
        rows = STANDBYS.rows(conn, server.version)
        if any(row.state is None for row in rows):
            raise NotPermitted(
                f"role {server.usename} may not see how far the standbys are behind",
                detail="pg_stat_replication shows it to members of pg_monitor only",
                hint=server.grant("pg_monitor"),
            )
        return self.judge(rows, time.monotonic())

    def judge(self, rows: Sequence[Standby], now: float) -> tuple[Blocker, ...]:
        """No server is asked. `now` is by a clock that only goes forward."""
        self._remember(rows, now)
        lagging = []
        for row in rows:
            behind = row.written - (row.replayed or 0)
            if behind <= 0:
                continue
            # At least so long, by our own clock: its report may be old, and there may be none.
            seconds = next((now - when for when, written in self._seen if written > (row.replayed or 0)), 0.0)
            is_measured = row.state == "streaming" and row.replay_lag_seconds is not None
            if is_measured:
                seconds = max(seconds, row.replay_lag_seconds or 0.0)
            # At first nobody knows for how long it has been behind, and what was measured may be from before a pause. A
            # standby that is well has replayed all of that by the next look.
            is_unknown = (row.replayed or 0) < (self._first or 0)
            if seconds > self.max_lag_seconds or is_unknown or (not is_measured and behind >= UNKNOWN_BYTES):
                lagging.append(_blocker(row, seconds))
        return tuple(lagging)

    def _remember(self, rows: Sequence[Standby], now: float) -> None:
        """The position of now. Those that all have replayed are of no use any more."""
        if not rows or (self._seen and rows[0].written < self._seen[-1][1]):  # the second: it is another server now
            self._seen.clear()
            self._first = None
        if not rows:
            return
        self._first = rows[0].written if self._first is None else self._first
        slowest = min(row.replayed or 0 for row in rows)
        while self._seen and self._seen[0][1] <= slowest:
            self._seen.popleft()
        written = rows[0].written
        if not self._seen or (self._seen[-1][1] < written and now - self._seen[-1][0] >= _SPACING_SECONDS):
            self._seen.append((now, written))


def standbys(conn: Connection, server: Server) -> tuple[str, ...]:
    """The names of the standbys that stream from here. One statement."""
    return tuple(dict.fromkeys(row.name for row in STANDBYS.rows(conn, server.version)))


def _blocker(row: Standby, seconds: float) -> Blocker:
    return Blocker(
        phase=LAG,
        pid=row.pid,
        usename=row.usename,
        application_name=row.name,
        state=row.state,
        xact_age_seconds=seconds,
        slot=row.slot,
    )
