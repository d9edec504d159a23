"""Connections that are about to run out, of the server, of a database or of a role.

Whoever comes when all slots are taken is refused (SQLSTATE 53300), be it the application, a backup or a monitor. What
counts are clients' sessions, against max_connections without the slots that are kept for superusers and, from 16 on,
for roles with pg_use_reserved_connections; against CONNECTION LIMIT where a database or a role has one, only that a
limit of 1 is left out: it is how people make sure that a job runs once. Background processes and walsenders have slots
of their own.

How full PgBouncer's pools are, and those inside applications, only these know: see `dbopt metrics --group pool`.

End what does nothing, let applications share a pool (PgBouncer), and only then raise max_connections, which takes a
restart. https://www.postgresql.org/docs/current/runtime-config-connection.html
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from psycopg.sql import Identifier, Literal

from dbopt.health.check import Check, Group, Unit, above
from dbopt.postgres.sessions import CONNECTION_LIMITS, SESSIONS, SlotLimit
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.sessions import Session

_HOLDERS_MAX = 3  # kinds of sessions that are named
_LIMIT_MIN = 2
_IDLE_FOR_LONG = (
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
    " WHERE backend_type = 'client backend' AND state = 'idle' AND state_change < pg_catalog.now() - INTERVAL '1 hour'"
)


@dataclass(frozen=True, slots=True)
class Use:
    """Of one limit."""

    limit: SlotLimit
    used: int
    idle: int
    hidden: int  # sessions of which this role does not see what they do
    holders: tuple[tuple[str, int], ...]  # most first

    @property
    def subject(self) -> str:
        return self.limit.name if self.limit.scope == "server" else f"{self.limit.scope} {self.limit.name}"

    @property
    def ratio(self) -> float:
        return self.used / self.limit.slots

    @property
    def detail(self) -> str:
        words = f"{self.used} of {self.limit.slots} slots"
        if self.holders:
            words += ": " + ", ".join(f"{count} {holder}" for holder, count in self.holders[:_HOLDERS_MAX])
            others = sum(count for _, count in self.holders[_HOLDERS_MAX:])
            words += f", {others} others" if others else ""
        if self.hidden:
            words += f"; what {self.hidden} of them do is hidden from this role"
        return words

    @property
    def remedy(self) -> str:
        """First what nobody misses; then more room."""
        literal = Literal(self.limit.name).as_string()
        where = {"server": (), "database": (f"datname = {literal}",), "role": (f"usename = {literal}",)}
        end = " AND ".join((_IDLE_FOR_LONG, *where[self.limit.scope])) + ";"
        slots = self.limit.slots * 2
        name = Identifier(self.limit.name).as_string()
        more = {
            "server": f"ALTER SYSTEM SET max_connections = {slots};  -- takes a restart; a pool costs less",
            "database": f"ALTER DATABASE {name} CONNECTION LIMIT {slots};",
            "role": f"ALTER ROLE {name} CONNECTION LIMIT {slots};",
        }[self.limit.scope]
        return f"{end}\n{more}" if self.idle or self.hidden else more


def _rows(limits: Sequence[SlotLimit], scene: Scene) -> Iterator[Use]:
    clients = [session for session in scene.rows(SESSIONS) if session.is_client and not session.is_own]
    for limit in limits:
        if limit.slots < (1 if limit.scope == "server" else _LIMIT_MIN):
            continue
        sessions = [session for session in clients if _counts(session, limit)]
        yield Use(
            limit=limit,
            used=len(sessions),
            idle=sum(session.state == "idle" for session in sessions),
            hidden=sum(session.is_hidden for session in sessions),
            holders=tuple(Counter(_holder(session) for session in sessions).most_common()),
        )


def _counts(session: Session, limit: SlotLimit) -> bool:
    match limit.scope:
        case "database":
            return session.datname == limit.name
        case "role":
            return session.usename == limit.name
    return True


def _holder(session: Session) -> str:
    """`idle in transaction app@orders (worker)`."""
    words = f"{session.state or 'session of'} {session.usename}@{session.datname}"
    return f"{words} ({session.application_name})" if session.application_name else words


CHECK: Check[Use] = Check(
    id="connection-slots",
    title="Connections running out",
    group=Group.CONNECTIONS,
    query=CONNECTION_LIMITS,
    also=(SESSIONS,),
    rows=_rows,
    unit=Unit.RATIO,
    thresholds=above(warning=0.80, critical=0.90, source="guide of Thrive-Send: pool use 80 %, alert at 90 %"),
    subject=lambda use: use.subject,
    measure=lambda use: use.ratio,
    detail=lambda use: use.detail,
    remedy=lambda use: use.remedy,
    gauge=True,
)
