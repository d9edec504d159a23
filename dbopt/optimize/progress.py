"""How far a build is, and for whom it waits: from the server's own views."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

from dbopt.optimize.others import SEEN, Seen
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.steps import Blocker
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server


@dataclass(frozen=True, slots=True)
class State:
    """One look at a backend at work. `phase` None: nothing that the progress view knows (a drop, a rename)."""

    phase: str | None
    blocks_done: int | None
    blocks_total: int | None
    tuples_done: int | None
    tuples_total: int | None
    is_blocked: bool

    @property
    def is_waiting(self) -> bool:
        return self.is_blocked or (self.phase or "").startswith("waiting")


PROGRESS = Query(
    "build-progress",
    State,
    {
        (13,): """
        /* dbopt: how far our build is */
        SELECT p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total,
               COALESCE(a.wait_event_type = 'Lock', false) AS is_blocked
          FROM pg_catalog.pg_stat_activity AS a
          LEFT JOIN pg_catalog.pg_stat_progress_create_index AS p ON p.pid = a.pid
         WHERE a.pid = %(pid)s
        """
    },
    {"pid": 0},
)

# pg_blocking_pids tells a prepared transaction as 0: those that hold locks on the table we work on are shown.
_BLOCKING: LiteralString = """
        /* dbopt: whom our statement waits for */
        WITH blocking AS MATERIALIZED (SELECT pg_catalog.pg_blocking_pids(%(pid)s) AS pids)"""
_BLOCKING_SESSIONS: LiteralString = """
          FROM pg_catalog.pg_stat_activity AS a
          LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON false
         WHERE a.pid = ANY ((SELECT b.pids FROM blocking AS b)::int4[])
        UNION ALL"""
_BLOCKING_PREPARED: LiteralString = """
          FROM pg_catalog.pg_prepared_xacts AS p
          LEFT JOIN pg_catalog.pg_stat_activity AS a ON false
         WHERE 0 = ANY ((SELECT b.pids FROM blocking AS b)::int4[]) AND p.database = pg_catalog.current_database()
           AND EXISTS (SELECT FROM pg_catalog.pg_locks AS x
                         JOIN pg_catalog.pg_locks AS l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL
                        WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction
                          AND l.locktype = 'relation' AND l.relation = pg_catalog.to_regclass(%(table)s))
         ORDER BY pid, gid
        """
BLOCKERS = Query(
    "blockers-of-a-backend",
    Seen,
    {(13,): _BLOCKING + SEEN + _BLOCKING_SESSIONS + SEEN + _BLOCKING_PREPARED},
    {"pid": 0, "table": "pg_catalog.pg_class"},
)

# From which share of a whole build to which each phase goes, and what the phase counts. Measured on btree builds of
# 600,000 rows with one core busy elsewhere; only the bar's evenness depends on it.
_PHASES: dict[str | None, tuple[float, float, str | None]] = {
    "initializing": (0.0, 0.0, None),
    "waiting for writers before build": (0.0, 0.0, None),
    "building index": (0.0, 0.75, "blocks"),  # access methods that know no finer phases
    "building index: initializing": (0.0, 0.0, None),
    "building index: scanning table": (0.0, 0.45, "blocks"),
    "building index: sorting live tuples": (0.45, 0.55, None),
    "building index: sorting dead tuples": (0.55, 0.55, None),
    "building index: loading tuples in tree": (0.55, 0.75, "tuples"),
    "waiting for writers before validation": (0.75, 0.75, None),
    "index validation: scanning index": (0.75, 0.8, "blocks"),
    "index validation: sorting tuples": (0.8, 0.82, None),
    "index validation: scanning table": (0.82, 0.98, "blocks"),
    "waiting for old snapshots": (0.98, 0.98, None),
}


def done_ratio(state: State) -> float | None:
    """0..1 over the whole build; None for phases unknown. Never beyond its phase."""
    phase = _PHASES.get(state.phase)
    if phase is None:
        return None
    start, end, counts = phase
    done, total = (
        (state.tuples_done, state.tuples_total) if counts == "tuples" else (state.blocks_done, state.blocks_total)
    )
    return start + (end - start) * min((done or 0) / total, 1.0) if total else start


def look(conn: Connection, server: Server, pid: int) -> State | None:
    """The backend as it is now, None when it is gone."""
    rows = PROGRESS.rows(conn, server.version, {"pid": pid})
    return rows[0] if rows else None


def blockers(conn: Connection, server: Server, pid: int, phase: str | None, table: str) -> tuple[Blocker, ...]:
    """For whom the backend waits now. `table` is quoted and qualified."""
    rows = BLOCKERS.rows(conn, server.version, {"pid": pid, "table": table})
    return tuple(row.blocker(phase or "waiting for a lock") for row in rows)
