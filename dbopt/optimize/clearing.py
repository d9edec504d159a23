"""`--cancel-blockers idle:10m`: sessions that a run waits for and that have done nothing for so long are ended.

Only when asked for, and only those that are idle in a transaction: whoever works is waited for. They are ended, not
cancelled: an idle session has nothing that could be cancelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from dbopt.optimize.events import Notice
from dbopt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.optimize.sessions import Sessions
    from dbopt.optimize.steps import Blocker


class Clearing:
    """`idle_seconds` None: nobody is ever ended."""

    def __init__(self, sessions: Sessions, idle_seconds: float | None) -> None:
        self._sessions = sessions
        self._idle_seconds = idle_seconds
        self._tried: set[tuple[int, int]] = set()  # pid, and by how often it was seen to start anew

    def __call__(self, blockers: tuple[Blocker, ...]) -> Iterator[Notice]:
        if self._idle_seconds is None:
            return
        for who in blockers:
            if who.pid is None or who.idle_seconds is None or who.idle_seconds < self._idle_seconds:
                continue
            # A session that takes its time to end is not asked again in each of its seconds.
            mark = (who.pid, int(who.idle_seconds // 10))
            if mark in self._tried:
                continue
            self._tried.add(mark)
            yield Notice(message=self._end(who.pid, who))

    def _end(self, pid: int, who: Blocker) -> str:
        named = f"pid {pid} ({who.usename}, {who.application_name or 'no application name'})"
        idle = format_duration(who.idle_seconds or 0.0)
        try:
            row = self._sessions.control.execute(
                # Looked at once more: it may have begun to work, or be another session by now.
                """
                /* dbopt: end a session that is idle in its transaction, as --cancel-blockers asks */
                SELECT pg_catalog.pg_terminate_backend(a.pid)
                  FROM pg_catalog.pg_stat_activity AS a
                 WHERE a.pid = %s AND a.state LIKE 'idle in transaction%%'
                   AND a.state_change < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %s)
                """,
                (pid, self._idle_seconds),
            ).fetchone()
        except psycopg.Error as exc:
            return f"could not end {named}: {exc.diag.message_primary or 'the connection was lost'}"
        if row is None or not row[0]:
            return f"{named} was idle for {idle}, and is no more"
        return f"ended {named}, idle in its transaction for {idle}: --cancel-blockers"
