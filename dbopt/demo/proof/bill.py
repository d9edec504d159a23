"""What work costs the server: statements, their time and buffers, and the CPU time of its sessions."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.demo.proof.values import Bill
from dbopt.postgres.connect import connect
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection

_EXTENSION = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"
_LOADED = "SELECT pg_catalog.current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'"
_COST = """
    /* dbopt demo: what the statements of a database have cost so far */
    SELECT COALESCE(sum(s.calls), 0)::int8 AS statements, COALESCE(sum(s.total_exec_time), 0)::float8 AS exec_time_ms,
           COALESCE(sum(s.shared_blks_hit + s.shared_blks_read), 0)::int8 AS buffers
      FROM pg_stat_statements(false) AS s
      JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
     WHERE d.datname = %(database)s
"""
_SESSIONS = """
    /* dbopt demo: the application's sessions that have not ended yet */
    SELECT pg_catalog.count(*) AS sessions
      FROM pg_catalog.pg_stat_activity AS a
     WHERE a.datname = %(database)s AND a.backend_type = 'client backend' AND a.application_name NOT LIKE 'dbopt%%'
"""
_SESSIONS_END_SECONDS, _LOOK_AGAIN_SECONDS = 5.0, 0.02
_REAPED_SECONDS = 0.2  # the postmaster hears of a session's end a little after its client


@dataclass(slots=True)
class Till:
    """Reads the bill of one database from another one of the server, so that nothing of its own is on it."""

    conninfo: str  # of that other database
    database: str
    postmaster_pid: int

    def has_statements(self) -> bool:
        """Whether there is an account at all; makes the extension where the library is loaded."""
        with contextlib.closing(connect(self.conninfo, command="demo", read_only=False)) as conn:
            row = conn.execute(_LOADED).fetchone()
            if row is None or not row[0]:
                return False
            conn.execute(_EXTENSION)
        return True

    def read(self) -> Bill:
        """When the application's sessions have ended: what they used is known then, and not before."""
        with contextlib.closing(connect(self.conninfo, command="demo", read_only=True)) as conn:
            self._wait(conn)
            row = conn.execute(_COST, {"database": self.database}).fetchone()
        assert row is not None
        return Bill(
            statements=row[0], exec_time_ms=row[1], buffers=row[2], cpu_seconds=_cpu_seconds(self.postmaster_pid)
        )

    def _wait(self, conn: Connection) -> None:
        deadline = time.monotonic() + _SESSIONS_END_SECONDS
        while conn.execute(_SESSIONS, {"database": self.database}).fetchone() != (0,):
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_AGAIN_SECONDS)
        time.sleep(_REAPED_SECONDS)


def between(start: Bill, end: Bill) -> Bill:
    cpu = None
    if start.cpu_seconds is not None and end.cpu_seconds is not None:
        cpu = end.cpu_seconds - start.cpu_seconds
    return Bill(
        statements=end.statements - start.statements,
        exec_time_ms=end.exec_time_ms - start.exec_time_ms,
        buffers=end.buffers - start.buffers,
        cpu_seconds=cpu,
    )


def _cpu_seconds(pid: int) -> float | None:
    """Of the sessions that have ended, by the postmaster's account: cutime and cstime of proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
