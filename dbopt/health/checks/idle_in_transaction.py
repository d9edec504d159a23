"""Sessions that have begun a transaction and do nothing.

Such a session keeps its locks, so that others wait for it, and holds VACUUM back in tables that it never touched. The
cause is nearly always an application that talks to something else between BEGIN and COMMIT, or that has lost track of
an error. Age counts from the end of its last statement.

End the session, then look for the cause in the application; `ALTER ROLE app SET idle_in_transaction_session_timeout =
'5min'` ends them in future.
https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Unit, above
from dbopt.health.sessions import UNTRACKED, clipped, hidden, holdings, statement, who
from dbopt.postgres.sessions import SESSIONS
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.sessions import Session


@dataclass(frozen=True, slots=True)
class Idle:
    session: Session
    statement: str | None
    gap: Gap | None = None

    @property
    def detail(self) -> str:
        session = self.session
        words = [f"{session.state} for {format_duration(session.state_seconds or 0)}: {who(session)}"]
        if session.xact_seconds is not None:
            words.append(f"transaction begun {format_duration(session.xact_seconds)} ago")
        held = [f"a transaction ID {session.xid_age:,} transactions old"] if session.xid_age is not None else []
        held += [f"a snapshot {session.xmin_age:,} transactions old"] if session.xmin_age is not None else []
        words += [f"has {' and '.join(held)}" if held else "has neither transaction ID nor snapshot"]
        words.append(holdings(session) or "no lock on a table of this database")
        words += [f"last: {clipped(self.statement)}"] if self.statement else []
        return "; ".join(words)


def _rows(sessions: Sequence[Session], scene: Scene) -> Iterator[Idle]:
    for session in sessions:
        if session.is_own or not session.is_client:
            continue
        if session.is_hidden:  # a failed transaction has no lock any more by which it could be seen
            yield Idle(session, None, hidden(scene))
        elif session.state == "disabled" and session.in_transaction:
            yield Idle(session, None, UNTRACKED)
        elif session.is_idle_in_transaction:
            yield Idle(session, statement(session, literals=scene.show_literals))


CHECK: Check[Idle] = Check(
    id="idle-in-transaction",
    title="Sessions idle in transaction",
    group=Group.CONNECTIONS,
    query=SESSIONS,
    rows=_rows,
    gap=lambda idle: idle.gap,
    unit=Unit.SECONDS,
    thresholds=above(
        warning=5 * 60,
        critical=30 * 60,
        source="our reasoning: no application needs minutes between two statements; VACUUM misses half an hour",
    ),
    subject=lambda idle: f"pid {idle.session.pid}",
    measure=lambda idle: idle.session.state_seconds or 0.0,
    detail=lambda idle: idle.detail,
    remedy=lambda idle: f"SELECT pg_catalog.pg_terminate_backend({idle.session.pid});",
)
