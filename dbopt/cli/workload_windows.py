"""Over which time statements are compared: by the store, by two readings, or since the server's counters began."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.cli.moments import RESET, moment
from dbopt.errors import UsageError
from dbopt.metrics import spans
from dbopt.snapshot import delta
from dbopt.snapshot.model import Family
from dbopt.store import marks, snapshots
from dbopt.units import format_duration
from dbopt.values import dataclass
from dbopt.workload.model import Source
from dbopt.workload.window import reset_span, since_reset, span

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.cli.session import Session
    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.plain import Session as Kept
    from dbopt.workload.model import Span

# Where the counters as they stand are older than this, they say more of the past than of a bad hour.
_OLD = timedelta(days=1)
# Where they are not, a look of some minutes ago is no reason to forget what was before it.
_LEAST_STORED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The time, and the one before it where that was asked for."""

    now: Interval
    span: Span
    before: Interval | None = None
    before_span: Span | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`name`: of the target, for messages. `versus`: how much earlier the other time is."""

    since: str | None
    versus: timedelta | None
    name: str


def between(before: Part, now: Part) -> Windows:
    interval = delta.between(before, now)
    return Windows(now=interval, span=span(interval, Source.INTERVAL))


def as_they_stand(part: Part) -> Windows:
    windows = Windows(now=since_reset(part), span=reset_span(part))
    if not _is_old(part):
        return windows
    since = "since nobody knows when"
    if part.since is not None:
        since = f"for {format_duration((part.taken_at - part.since).total_seconds())}"
    note = f"these counters have counted {since}: --interval 10s shows what is slow now"
    return Windows(now=windows.now, span=windows.span, notes=(note,))


def _is_old(part: Part) -> bool:
    return part.since is None or part.taken_at - part.since >= _OLD


def _least(part: Part) -> timedelta:
    """How much time has to be kept for it to be shown though nobody has asked for it."""
    return spans.LEAST_STORED if _is_old(part) else _LEAST_STORED


def looked_up(session: Session, kept: Kept, target_id: int | None, part: Part, asked: Asked) -> Windows | None:
    """None where nothing is kept that would be worth more than the counters as they stand. Raises UsageError where a
    time was asked for of which nothing is kept.
    """
    since = asked.since
    start = part.taken_at - spans.DEFAULT_SPAN
    if since == RESET:
        start = _marked(session, kept, target_id, asked)
    elif since is not None:
        start = moment("--since", since, part.taken_at)
    whole = None
    if target_id is not None:
        stored = snapshots.intervals(kept, target_id, Family.STATEMENTS, start)
        every = spans.until_now(stored, snapshots.head(kept, target_id, Family.STATEMENTS), part)
        whole = delta.total(spans.since(every, start, exactly=since in (None, RESET)))
    looks_back = since is not None or asked.versus is not None
    if whole is None or target_id is None or whole.seconds <= 0:
        if not looks_back:
            return None
        raise UsageError(
            f"no earlier reading of {asked.name}'s statements is kept",
            hint=f"{session.call('snapshot', specs=False)} keeps one; --interval 5s takes two now.",
        )
    if not looks_back and whole.seconds < _least(part).total_seconds():
        return None
    own = span(whole, Source.SNAPSHOTS)
    if asked.versus is None:
        return Windows(now=whole, span=own)
    before = _earlier(kept, target_id, whole, asked.versus)
    if before is None:
        return Windows(now=whole, span=own, notes=("nothing is kept about the time to compare with",))
    return Windows(now=whole, span=own, before=before, before_span=span(before, Source.SNAPSHOTS))


def _marked(session: Session, kept: Kept, target_id: int | None, asked: Asked) -> datetime:
    mark = None if target_id is None else marks.last(kept, target_id)
    if mark is None:
        raise UsageError(
            f"nobody has marked a start for {asked.name}",
            hint=f"{session.call('reset-metrics', specs=False)} marks one, from which to count.",
        )
    return mark.marked_at


def _earlier(kept: Kept, target_id: int, now: Interval, versus: timedelta) -> Interval | None:
    """The same time, so much earlier, as far as it is kept."""
    from_at, to_at = now.from_at - versus, now.to_at - versus
    # What is old is kept by the hour, what is very old by the day.
    stored = snapshots.intervals(kept, target_id, Family.STATEMENTS, from_at, to_at + timedelta(days=1))
    before = delta.total(spans.covering(stored, from_at, to_at))
    return before if before is not None and before.seconds > 0 else None
