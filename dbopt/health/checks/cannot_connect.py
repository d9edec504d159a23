"""That there is no session to be had, and why.

Without one nothing else can be judged, so this is always part of the verdict then, whatever was asked for. Critical is
what keeps everybody out: no free slot, a server that is down, starting up, shutting down, or that does not answer in
time. Unknown is what may be about this user alone: authentication, a database or role that does not exist, a host name
that leads nowhere, TLS, other options of the connection.

See the server's log, whose lines begin with FATAL, and https://www.postgresql.org/docs/current/server-start.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.errors import ConnectionFailed, NoSession
from dbopt.health.check import Check, Finding, Group, Result, Status, Unit, presence
from dbopt.postgres.server import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORDS = {
    NoSession.NO_SLOT: "no connection slot is free",
    NoSession.DOWN: "the server is down or cannot be reached",
    NoSession.STARTING: "the server does not accept connections yet",
    NoSession.STOPPING: "the server is shutting down",
    NoSession.TIMEOUT: "the server does not answer in time",
    NoSession.AUTHENTICATION: "the server does not let this role in",
    NoSession.UNKNOWN_DATABASE: "the database does not exist",
    NoSession.UNKNOWN_ROLE: "the role does not exist",
    NoSession.NAME_RESOLUTION: "the host name cannot be resolved",
    NoSession.TLS: "TLS does not come about",
    NoSession.SETTINGS: "the connection options cannot be used",
    NoSession.LOST: "the connection was lost meanwhile",
    NoSession.OTHER: "there is no connection",
}
# What is critical, with what to type first, as a line for a shell.
_REMEDIES = {
    NoSession.NO_SLOT: (
        'psql -U postgres -c "SELECT state, usename, application_name, count(*) FROM pg_stat_activity'
        ' GROUP BY 1, 2, 3 ORDER BY 4 DESC"'
    ),
    NoSession.DOWN: "systemctl status postgresql",
    NoSession.STARTING: "pg_isready",
    NoSession.STOPPING: "pg_isready",
    NoSession.TIMEOUT: "pg_isready",
}

CHECK: Check[Any] = Check(
    id="cannot-connect",
    title="No connection",
    group=Group.AVAILABILITY,
    query=FACTS,  # has been answered wherever there is a connection: costs no statement
    rows=lambda _rows, _scene: (),
    unit=Unit.COUNT,
    thresholds=presence(Status.CRITICAL, source="our reasoning: what keeps a monitor out keeps applications out"),
    subject=lambda _row: "server",
    measure=lambda _row: 1,
    detail=lambda _row: "",
)


def results(failure: ConnectionFailed, checks: Iterable[Check[Any]]) -> tuple[Result, ...]:
    """Of a look that failed: this check's first, then of all the others that they are unknown."""
    reason = _WORDS[failure.kind]
    is_critical = failure.kind in _REMEDIES
    words = " / ".join((failure.detail or failure.message).splitlines())
    findings: tuple[Finding, ...] = ()
    if is_critical:
        findings = (
            Finding(
                subject="server",
                status=Status.CRITICAL,
                measure=1,
                unit=CHECK.unit,
                detail=f"{reason} ({failure.kind}): {words}",
                remedy=f"{_REMEDIES[failure.kind]}  # {failure.hint}",
            ),
        )
    own = Result(
        check=CHECK,
        status=Status.CRITICAL if is_critical else Status.UNKNOWN,
        reason=None if is_critical else f"{reason} ({failure.kind}): {words}",
        hint=None if is_critical else failure.hint,
        blind=not is_critical,
        findings=findings,
    )
    others = (check for check in checks if check.id != CHECK.id)
    return (own, *(Result(check=check, status=Status.UNKNOWN, reason="no connection") for check in others))
