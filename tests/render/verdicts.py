"""Verdicts of real checks with results made by hand, for the formats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg.sql import Identifier

from dbopt.health.check import Check, Finding, Result, Status, Unit
from dbopt.health.checks import all_checks, load
from dbopt.health.verdict import About, Verdict

WHEN = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
GRANT = 'GRANT pg_monitor TO "dbopt";'


def finding(check: Check[Any], subject: str, status: Status, measure: float, **more: Any) -> Finding:
    return Finding(
        **{"subject": subject, "status": status, "measure": measure, "unit": check.unit, "detail": "facts", **more}
    )


def result(check_id: str, status: Status = Status.OK, *findings: tuple[str, Status, float], **more: Any) -> Result:
    """`findings` are (subject, status, measure)."""
    check = load(check_id)
    found = tuple(finding(check, *words, remedy="SELECT 1;") for words in findings)
    return Result(**{"check": check, "status": status, "findings": found, "judged": True, **more})


def verdict(*results: Result, name: str | None = None, connected: bool = True, **more: Any) -> Verdict:
    about = About(
        name=name,
        place="db1:5432/app",
        dbname="app" if connected else None,
        server_version="18.4 (Debian 18.4-1)" if connected else None,
        in_recovery=False if connected else None,
    )
    return Verdict(**{"about": about, "collected_at": WHEN, "seconds": 0.08, "results": results, **more})


PREPARED = load("prepared-transaction")
SLOTS = load("connection-slots")
HIT = load("cache-hit-ratio")

TROUBLED = verdict(
    result("connection-slots", measured=(finding(SLOTS, "max_connections", Status.OK, 0.42, detail="41 of 97"),)),
    result(
        "prepared-transaction",
        Status.CRITICAL,
        ("gid one", Status.CRITICAL, 4000.5),
        ("gid two", Status.WARNING, 301.0),
        ignored=(finding(PREPARED, "gid three", Status.WARNING, 400.0, reason="known to the team"),),
    ),
    result("table-bloat", Status.UNKNOWN, reason="pg_stats is hidden", hint=GRANT, blind=True, judged=False),
    result("index-bloat", Status.UNKNOWN, reason="pg_stats is hidden", hint=GRANT, blind=True, judged=False),
    result("unused-index", Status.UNKNOWN, reason="statistics were reset 2 s ago", judged=False),
    result("replication-lag", Status.SKIPPED, reason="this is a primary", judged=False),
    result("timeouts-unset", advice=(finding(load("timeouts-unset"), "lock_timeout", Status.WARNING, 1),)),
    result("cache-hit-ratio", Status.WARNING, ("app", Status.WARNING, 0.93)),
    notes=("an ignore entry matches nothing",),
    statements=9,
    round_trips=2,
)
HEALTHY = verdict(result("connection-slots"), result("prepared-transaction"))
UNREACHABLE = verdict(
    result("cannot-connect", Status.CRITICAL, ("server", Status.CRITICAL, 1)),
    result("prepared-transaction", Status.UNKNOWN, reason="no connection", judged=False),
    connected=False,
)


def hostile(name: str, check_id: str = "prepared-transaction") -> Verdict:
    """What a name that breaks things may stand in."""
    remedy = f"DROP INDEX {Identifier(name).as_string()};"
    found = Finding(
        subject=name, status=Status.CRITICAL, measure=1.5, unit=Unit.SECONDS, detail=f"about {name}", remedy=remedy
    )
    gap = result("table-bloat", Status.UNKNOWN, reason=f"hidden: {name}", hint=remedy, blind=True, judged=False)
    return verdict(Result(check=load(check_id), status=Status.CRITICAL, findings=(found, found)), gap)


def every_check_found() -> Verdict:
    return verdict(*(result(check.id, Status.WARNING, ("x", Status.WARNING, 1)) for check in all_checks()))
