"""Whether others pile up behind a build.

A build lets readers and writers pass. But a lock request that it holds up, an ALTER TABLE say, holds up in turn all who
come after it, readers too: then the build has to make room. A lone VACUUM or ALTER TABLE harms nobody and may wait,
until the build waits for its snapshot in turn: a deadlock, which may well end them and not the build.

pg_blocking_pids() is right about who waits for whom, those who merely stand behind one another in a queue included, but
for a moment it stops all who come for a lock. So it is asked about sessions only that have to do with each other, and
not before there are enough of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

from dbopt.optimize.others import SEEN, Seen
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.optimize.steps import Blocker
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

QUEUED = "waiting for the build to release its lock"  # ours, of whoever waits for it


@dataclass(frozen=True, slots=True)
class Queue:
    """`waiter` waits for a build, and `piled` sessions, which would not have to, wait because of it. None of them: the
    build would wait for `waiter` in turn.
    """

    waiter: Blocker
    piled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row(Seen):
    waiting: int  # the process
    wants_relation: bool
    blockers: list[int]


# The answer to the first question is mostly no, and ends it. `near`: from the build on, whoever waits for something
# that one of them has to do with.
_NEAR: LiteralString = """
        /* dbopt: who may have to wait because of our build, and for whom */
        WITH RECURSIVE locks AS MATERIALIZED (
               SELECT l.pid, l.granted, l.locktype,
                      ROW(l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid, l.classid,
                          l.objid, l.objsubid)::text AS object
                 FROM pg_catalog.pg_locks AS l
                WHERE EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a
                               WHERE a.datname = pg_catalog.current_database()
                                 AND (a.wait_event_type = 'Lock' OR a.backend_type IS NULL))),
             wanted AS MATERIALIZED (
               SELECT l.pid, l.object FROM locks AS l WHERE NOT l.granted),
             contended AS MATERIALIZED (
               SELECT DISTINCT l.pid, l.object FROM locks AS l WHERE l.object IN (SELECT w.object FROM wanted AS w)),
             near AS (
               SELECT %(pid)s::int4 AS pid
                UNION
               SELECT w.pid
                 FROM near
                 JOIN contended AS c ON c.pid = near.pid
                 JOIN wanted AS w ON w.object = c.object AND w.pid <> near.pid),
             several AS MATERIALIZED (
               SELECT n.pid FROM near AS n
                WHERE n.pid <> %(pid)s AND (SELECT pg_catalog.count(*) FROM near) > 2)"""
_BEHIND: LiteralString = """,
               s.pid AS waiting,
               EXISTS (SELECT FROM locks AS l
                        WHERE l.pid = s.pid AND NOT l.granted AND l.locktype = 'relation') AS wants_relation,
               pg_catalog.pg_blocking_pids(s.pid) AS blockers
          FROM several AS s
          LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.pid
          LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON false
         ORDER BY a.query_start, s.pid
        """
WAITING = Query("waiting-behind-a-backend", _Row, {(13,): _NEAR + SEEN + _BEHIND}, {"pid": 0})


def behind(conn: Connection, server: Server, pid: int) -> Queue | None:
    """Those who wait behind this backend, if somebody does whom it would not stop by itself. One statement, which
    reads no locks while no session of this database waits for one.
    """
    return _judge(WAITING.rows(conn, server.version, {"pid": pid}), pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InTurn:
    pid: int


IN_TURN = Query(
    "waiting-for-each-other",
    _InTurn,
    {
        (13,): """
        /* dbopt: who of those that our build waits for waits for our build */
        SELECT others.pid
          FROM pg_catalog.unnest(%(others)s::int4[]) AS others (pid)
         WHERE %(pid)s::int4 = ANY (pg_catalog.pg_blocking_pids(others.pid))
         ORDER BY others.pid
        """
    },
    {"pid": 0, "others": [0]},
)


def in_turn(conn: Connection, server: Server, pid: int, others: Iterable[Blocker]) -> Queue | None:
    """Whoever waits for this backend and is waited for by it: before deadlock_timeout has passed, one can step back."""
    known = {who.pid: who for who in others if who.pid is not None}
    rows = IN_TURN.rows(conn, server.version, {"pid": pid, "others": sorted(known)}) if known else []
    return Queue(known[rows[0].pid], 0) if rows else None


def _judge(rows: Sequence[_Row], pid: int) -> Queue | None:
    direct = [row for row in rows if pid in row.blockers]
    stopped = {row.waiting for row in direct}
    found: list[tuple[int, _Row]] = []
    for row in direct:
        if row.wants_relation:
            found.append((len(_reached(rows, row.waiting) - stopped - {pid}), row))
    piled, waiter = max(found, key=lambda pair: pair[0], default=(0, None))
    return Queue(waiter.blocker(QUEUED), piled) if waiter is not None and piled else None


def _reached(rows: Iterable[_Row], pid: int) -> set[int]:
    """All who wait for this one, for those who do, and so on."""
    reached = {pid}
    while more := {row.waiting for row in rows if not reached.isdisjoint(row.blockers)} - reached:
        reached |= more
    return reached
