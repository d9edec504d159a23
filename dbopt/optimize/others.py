"""Other sessions and prepared transactions, as the server's views show them: who they are and what they run.

Their statements are somebody's data. A raw one leaves this module in no form: what others see has no literals.
"""

from __future__ import annotations

import functools
from dataclasses import field
from typing import LiteralString

from dbopt.optimize.steps import Blocker
from dbopt.postgres.normalized import normalized
from dbopt.values import dataclass

QUERY_SHOWN = 200  # characters of somebody's statement: enough to know it by, and one or two lines of a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row of every query about others; its own columns go before or behind these. What the role may not see of a
    session of another one is None.
    """

    pid: int | None  # None: a prepared transaction
    gid: str | None
    usename: str | None
    application_name: str | None
    state: str | None
    xact_age_seconds: float | None
    idle_seconds: float | None
    slot: str | None
    query: str | None = field(repr=False)

    def blocker(self, phase: str) -> Blocker:
        return Blocker(
            phase=phase,
            pid=self.pid,
            gid=self.gid,
            usename=self.usename,
            application_name=self.application_name,
            state=self.state,
            xact_age_seconds=self.xact_age_seconds,
            idle_seconds=self.idle_seconds,
            slot=self.slot,
            query=None if not self.query else shown(self.query),
        )


# The columns of Seen, of `a`, a row of pg_stat_activity or none, and `p`, one of pg_prepared_xacts or none. Background
# processes have no name of their own, and are called what they are. A walsender lets go of a slot as soon as it has
# made it, and keeps the snapshot that goes with it: then the slot's name is in its last command, or it is its own.
SEEN: LiteralString = """
        SELECT a.pid, p.gid::text AS gid, COALESCE(a.usename::text, p.owner::text) AS usename,
               CASE WHEN a.application_name = '' AND a.backend_type <> 'client backend' THEN a.backend_type
                    ELSE a.application_name END AS application_name,
               a.state,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - COALESCE(a.xact_start, p.prepared))::float8
                 AS xact_age_seconds,
               CASE WHEN a.state LIKE 'idle in transaction%%' THEN
                 EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8 END AS idle_seconds,
               (SELECT pg_catalog.min(s.slot_name::text)
                  FROM pg_catalog.pg_replication_slots AS s
                 WHERE s.active_pid = a.pid
                    OR (a.backend_type = 'walsender'
                        AND s.slot_name::text IN (a.application_name, pg_catalog."substring"(
                              a.query, '(?i)create_replication_slot[[:space:]]+"?([a-z0-9_]+)')))) AS slot,
               CASE WHEN a.backend_type IS NOT NULL THEN pg_catalog."left"(a.query, 2000) END AS query"""


@functools.lru_cache(maxsize=256)  # a wait is looked at four times a second
def shown(query: str) -> str:
    """Without literals, on one line and not too long."""
    clean = normalized(query)
    return clean if len(clean) <= QUERY_SHOWN else clean[: QUERY_SHOWN - 1] + "…"
