"""What of a look is kept for the next one, and which of what was kept serves this one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dbopt.health.deltas import WINDOW_MAX_SECONDS, Counters, Sample
from dbopt.postgres.counters import SERVER_COUNTERS, Activity
from dbopt.postgres.sessions import CONNECTION_LIMITS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from dbopt.health.check import Check
    from dbopt.health.scene import Facts
    from dbopt.snapshot.model import Part

# Somebody who looks twice within a minute wants to see the same twice, not what happened between the two. Somewhat less
# than the five minutes of a usual crontab, whose runs come a second early or late.
WINDOW_MIN = timedelta(minutes=4)
WINDOW_MAX = timedelta(seconds=WINDOW_MAX_SECONDS)


def is_useful(taken_at: datetime, counters: Iterable[Counters], now: datetime) -> bool:
    """Whether it says more than the counters do since their reset: it reaches far enough back, or that is too long ago
    to speak of the present.
    """
    if now - taken_at >= WINDOW_MIN:
        return True
    return any(item.since is None or now - item.since > WINDOW_MAX for item in counters)


def useful(sample: Sample, now: datetime) -> dict[str, Sample]:
    """The checks that it is useful to."""
    return {
        check_id: sample for check_id, counters in sample.counters.items() if is_useful(sample.taken_at, counters, now)
    }


def sample(checks: Iterable[Check[Any]], facts: Facts) -> Sample:
    """The counters of every check that has some and could be asked."""
    return Sample(
        taken_at=facts.surroundings.now,
        system_identifier=facts.server.system_identifier,
        counters={
            check.id: tuple(check.counters(facts.rows[check.query]))
            for check in checks
            if check.counters is not None and check.query in facts.rows
        },
    )


def counted(facts: Facts) -> tuple[Part, ...]:
    """What was read of the server's counters, as `dbopt snapshot` would have: no statement was sent for it. Nothing
    where none of the checks has asked for them.
    """
    rows = facts.rows.get(SERVER_COUNTERS)
    if not rows:
        return ()
    from dbopt.snapshot.server import server_part

    return (server_part(rows[0], facts.server.system_identifier, tuple(_activity(facts))),)


def _activity(facts: Facts) -> Iterator[Activity]:
    """A row a client's session, where the checks have asked for sessions and for how many there may be."""
    limits = [limit.slots for limit in facts.rows.get(CONNECTION_LIMITS, ()) if limit.scope == "server"]
    for session in facts.rows.get(SESSIONS, ()) if limits else ():
        if session.is_client:
            yield Activity(
                datname=session.datname,
                usename=session.usename,
                application_name=session.application_name,
                state=session.state,
                waits_for_lock=(session.wait_event or "").startswith("Lock: "),
                sessions=1,
                oldest_xact_seconds=session.xact_seconds,
                sessions_max=limits[0],
            )
