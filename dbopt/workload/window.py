"""The time that statements are compared over. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.snapshot.model import Change, Interval
from dbopt.workload.model import Source, Span

if TYPE_CHECKING:
    from dbopt.snapshot.model import Part


def since_reset(part: Part) -> Interval:
    """The counters as they stand: what was counted since they began. Each has its own beginning where the server tells
    it (1.11+); the span of all is that of the last reset.
    """
    began = part.since
    from_at = part.taken_at if began is None else min(began, part.taken_at)
    seconds = (part.taken_at - from_at).total_seconds()
    changes = {}
    for key, subject in part.subjects.items():
        since = subject.since or began
        lost = 0.0 if since is None or not part.has_own_since else max(0.0, (since - from_at).total_seconds())
        changes[key] = Change(key, subject.name, subject.counts, (), min(lost, seconds))
    return Interval(
        family=part.family,
        from_at=from_at,
        to_at=part.taken_at,
        seconds=seconds,
        counts=part.counts,
        changes=changes,
    )


def reset_span(part: Part) -> Span:
    began = part.since
    seconds = None if began is None else max(0.0, (part.taken_at - began).total_seconds())
    return Span(source=Source.SINCE_RESET, from_at=began, to_at=part.taken_at, seconds=seconds)


def span(interval: Interval, source: Source) -> Span:
    return Span(
        source=source,
        from_at=interval.from_at,
        to_at=interval.to_at,
        seconds=interval.seconds,
        breaks=interval.breaks,
    )
