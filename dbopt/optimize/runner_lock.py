"""One runner at a time on a database: two concurrent builds on one table deadlock, the further one dies.

The lock is an advisory one on a connection of its own in autocommit: a second runner that *waited* for it inside a
statement would hold a snapshot, for which the first one's build waits: a deadlock again. So it is tried, never awaited.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbopt.errors import AnotherRunner
from dbopt.postgres.query import Query
from dbopt.units import format_duration

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

_CLASS, _OBJECT = 0x64626F70, 1  # "dbop", the optimize runner
_TRIES = 5  # the holder may be just leaving: its lock is gone, its name too, by the time we look


@dataclass(frozen=True, slots=True)
class _Holder:
    pid: int
    usename: str | None
    application_name: str | None
    seconds: float | None


HOLDER = Query(
    "runner-lock-holder",
    _Holder,
    {
        (13,): """
        /* dbopt: the session that holds dbopt's runner lock in this database */
        SELECT l.pid, a.usename::text AS usename, a.application_name,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.backend_start)::float8 AS seconds
          FROM pg_catalog.pg_locks AS l
          LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
           AND l.classid = %(class)s::oid AND l.objid = %(object)s::oid
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                              WHERE d.datname = pg_catalog.current_database())
         ORDER BY l.pid
        """
    },
    {"class": _CLASS, "object": _OBJECT},
)


def acquire(conn: Connection, server: Server) -> None:
    """Take the lock for as long as the connection lives. Raises AnotherRunner, naming who has it since when."""
    for attempt in range(_TRIES):
        row = conn.execute(
            "/* dbopt: one runner at a time */ SELECT pg_catalog.pg_try_advisory_lock(%s::int4, %s::int4)",
            (_CLASS, _OBJECT),
        ).fetchone()
        if row is not None and row[0]:
            return
        holders = HOLDER.rows(conn, server.version, {"class": _CLASS, "object": _OBJECT})
        if holders:
            raise _another(holders[0], server.dbname)
        time.sleep(0.1 * (attempt + 1))
    raise AnotherRunner(f"another dbopt is at work on {server.dbname}", hint="Try again in a moment.")


def _another(holder: _Holder, dbname: str) -> AnotherRunner:
    who = f"pid {holder.pid}, user {holder.usename or 'unknown'}, {holder.application_name or 'no application name'}"
    since = f", for {format_duration(holder.seconds)}" if holder.seconds is not None else ""
    return AnotherRunner(
        f"another dbopt is at work on {dbname}",
        detail=f"{who}{since}",
        hint=f"Wait until it has ended; pg_stat_activity shows it as pid {holder.pid}.",
    )
