"""What of a look is kept for the next one, and which of what was kept serves this one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dbopt.health.deltas import WINDOW_MAX_SECONDS, Counters, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from dbopt.health.check import Check
    from dbopt.health.scene import Facts

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
