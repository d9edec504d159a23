"""Statements that have run for a long time.

A statement that was meant to take milliseconds and takes minutes wants a look at its plan (EXPLAIN), and
meanwhile holds locks and holds VACUUM back. Backups, index builds and VACUUM run long by nature: they are named as what
they are, so that an ignore entry or a higher limit can tell them apart. A statement that waits for a lock counts too,
though its cure is that of `blocked-sessions`.

Clients' statements alone are looked at: neither autovacuum, nor walsenders (replication, base backups), nor background
workers. `statement_timeout` for the application's role ends them in future.
https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Unit, above
from dbopt.health.sessions import UNTRACKED, clipped, hidden, statement, who
from dbopt.postgres.literals import masked
from dbopt.postgres.sessions import SESSIONS
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.sessions import Session

# What runs long by nature, by how it begins.
_KINDS = (
    (r"create (unique )?index|reindex", "an index build"),
    (r"vacuum", "a VACUUM"),
    (r"analyze", "an ANALYZE"),
    (r"refresh materialized", "a refresh of a materialized view"),
    (r"cluster", "a rewrite of a table"),
    (r"alter table", "a change of a table"),
    (r"copy\b.* to\b", "an export by COPY"),
    (r"copy\b", "a load by COPY"),
    (r"call\b|do\b", "a procedure"),
)


@dataclass(frozen=True, slots=True)
class Running:
    session: Session
    kind: str
    statement: str | None
    gap: Gap | None = None

    @property
    def detail(self) -> str:
        session = self.session
        words = [f"{self.kind} for {format_duration(session.query_seconds or 0)}: {who(session)}"]
        if session.wait_mode is not None:
            waits_for = f"{session.wait_mode} on {session.wait_object}"
            words.append(f"waits for {waits_for}: see blocked-sessions")
        elif session.wait_event is not None:
            words.append(f"waits for {session.wait_event}")
        words += [clipped(self.statement)] if self.statement else []
        return "; ".join(words)


def _kind(session: Session) -> str:
    if session.application_name in ("pg_dump", "pg_dumpall"):
        return "a backup by pg_dump"
    words = masked(session.query or "")
    return next((kind for pattern, kind in _KINDS if re.match(pattern, words, re.IGNORECASE)), "a statement")


def _rows(sessions: Sequence[Session], scene: Scene) -> Iterator[Running]:
    for session in sessions:
        if session.is_own or not session.is_client:
            continue
        if session.is_hidden:
            if session.in_transaction:
                yield Running(session, "", None, hidden(scene))
        elif session.state == "disabled":
            if session.in_transaction:
                yield Running(session, "", None, UNTRACKED)
        elif session.state in ("active", "fastpath function call"):
            yield Running(session, _kind(session), statement(session, literals=scene.show_literals))


CHECK: Check[Running] = Check(
    id="long-running-statement",
    title="Long-running statements",
    group=Group.CONNECTIONS,
    query=SESSIONS,
    rows=_rows,
    gap=lambda running: running.gap,
    unit=Unit.SECONDS,
    thresholds=above(
        warning=5 * 60,
        critical=30 * 60,
        source="our reasoning: nobody waits minutes for a page, and VACUUM misses half an hour",
    ),
    subject=lambda running: f"pid {running.session.pid}",
    measure=lambda running: running.session.query_seconds or 0.0,
    detail=lambda running: running.detail,
    remedy=lambda running: f"SELECT pg_catalog.pg_cancel_backend({running.session.pid});",
)
