"""One dbopt of a kind at a time on a database, by advisory locks that are tried and never awaited.

`optimize`: two concurrent builds on one table deadlock, the further one dies. Its lock is held by a session in
autocommit: a second runner that *waited* for it inside a statement would hold a snapshot, for which the first one's
build waits: a deadlock again. `health`: monitors that are started again while the last one still hangs have taken
whole servers out of connections. Its lock ends with its transaction, so it works behind a pooler and stays with nobody.
"""

from __future__ import annotations

import time
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from dbopt.errors import AnotherRunner
from dbopt.postgres.query import Query
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    import psycopg

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

_CLASS = 0x64626F70  # "dbop"
_TRIES = 5  # the holder may be just leaving: its lock is gone, its name too, by the time we look


class Lock(IntEnum):
    """The kinds of work that must be alone of their kind."""

    OPTIMIZE = 1
    HEALTH = 2


@dataclass(frozen=True, slots=True)
class _Holder:
    pid: int
    usename: str | None
    application_name: str | None
    seconds: float | None
    client: str | None
    doing: str | None  # the words of the comment that its statement begins with
    wait_event: str | None


HOLDER = Query(
    "runner-lock-holder",
    _Holder,
    {
        (13,): r"""
        /* dbopt: the session that holds dbopt's runner lock in this database */
        SELECT l.pid, a.usename::text AS usename, a.application_name,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.backend_start)::float8 AS seconds,
               COALESCE(a.client_hostname, pg_catalog.host(a.client_addr)) AS client,
               (pg_catalog.regexp_match(a.query, '^\s*(?:\w+\s+)?/\*\s*(?:dbopt: )?(.*?)\s*\*/'))[1] AS doing,
               CASE WHEN a.state = 'active' THEN a.wait_event_type || ': ' || a.wait_event END AS wait_event
          FROM pg_catalog.pg_locks AS l
          LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
           AND l.classid = %(class)s::oid AND l.objid = %(object)s::oid
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                              WHERE d.datname = pg_catalog.current_database())
         ORDER BY l.pid
        """
    },
    {"class": _CLASS, "object": Lock.OPTIMIZE},
)


def acquire(conn: Connection, server: Server) -> None:
    """Take optimize's lock for as long as the connection lives. Raises AnotherRunner, naming who has it since when."""
    for attempt in range(_TRIES):
        row = conn.execute(
            "/* dbopt: one runner at a time */ SELECT pg_catalog.pg_try_advisory_lock(%s::int4, %s::int4)",
            (_CLASS, Lock.OPTIMIZE),
        ).fetchone()
        if row is not None and row[0]:
            return
        refuse_second(conn, server, Lock.OPTIMIZE)
        time.sleep(0.1 * (attempt + 1))
    raise another(server)


def try_within_transaction(cursor: psycopg.Cursor[Any], lock: Lock) -> None:
    """Sends the attempt to take a lock for as long as the transaction lasts; the row that comes back says whether."""
    cursor.execute(
        "/* dbopt: one at a time */ SELECT pg_catalog.pg_try_advisory_xact_lock(%s::int4, %s::int4)", (_CLASS, lock)
    )


def refuse_second(conn: Connection, server: Server, lock: Lock) -> None:
    """Raises AnotherRunner, naming who has the lock, since when, and what it is doing. Returns where nobody has it."""
    holders = HOLDER.rows(conn, server.version, {"class": _CLASS, "object": lock})
    if not holders:
        return
    holder = holders[0]
    words = [f"pid {holder.pid}", f"user {holder.usename or 'unknown'}"]
    words += [f"from {holder.client}"] if holder.client else []
    words += [holder.application_name or "no application name"]
    words += [f"for {format_duration(holder.seconds)}"] if holder.seconds is not None else []
    words += [f"now: {holder.doing}"] if holder.doing else []
    words += [f"waiting for {holder.wait_event}"] if holder.wait_event else []
    raise another(server, ", ".join(words), f"Wait until it has ended; pg_stat_activity shows it as pid {holder.pid}.")


def another(server: Server, detail: str | None = None, hint: str = "Try again in a moment.") -> AnotherRunner:
    return AnotherRunner(f"another dbopt is at work on {server.dbname}", detail=detail, hint=hint)
