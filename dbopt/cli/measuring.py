"""One call of `dbopt metrics`: readings of each target, the time that they are compared over, and what is kept."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Self

import psycopg

from dbopt.cli import as_error, readings
from dbopt.cli.moments import RESET, moment
from dbopt.cli.sources import Source
from dbopt.errors import Error, UsageError
from dbopt.metrics import applications, breakdown, spans
from dbopt.metrics.figures import Lacks, figures
from dbopt.metrics.measurement import Basis, Measurement, Span
from dbopt.metrics.metric import Group
from dbopt.metrics.pool import POOLER
from dbopt.metrics.window import Window
from dbopt.postgres.counters import ACTIVITY
from dbopt.snapshot import delta
from dbopt.snapshot.model import CLIENTS, Family
from dbopt.store import clients, marks, snapshots, targets
from dbopt.store.aside import Aside, Needed
from dbopt.store.location import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from dbopt.cli.session import Session
    from dbopt.cli.sources import Reading, Wishes
    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.plain import Session as Kept

DEFAULT_INTERVAL = timedelta(seconds=5)
# Until the first look of --watch, or half of the time between two, so that the second is about some time too: nobody
# looks at an empty screen for longer.
_FIRST_SECONDS = 1.0
_UNKEPT = "earlier readings are not looked at, and this one is not kept"


class Measuring:
    """The sessions stay open for as many looks as are asked for."""

    def __init__(self, session: Session, wishes: Wishes) -> None:
        self._session = session
        self._wishes = wishes
        chosen = session.targets_with_replicas
        if wishes.pgbouncer is not None and len(chosen) > 1:
            raise UsageError("--pgbouncer is of one target", hint="Write `pgbouncer:` under each in dbopt.yaml.")
        url = session.settings.store.value if wishes.uses_store else NONE
        aside = Aside(url, _UNKEPT)
        self._store = Needed(url) if wishes.looks_back else aside
        self._keeping = aside  # the past can be shown though nothing can be added to it
        self._sources = [Source(session, target, wishes) for target in chosen]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for source in self._sources:
            source.close()

    def once(self) -> list[Measurement]:
        """A look at each. Of several targets, one that fails hides no other one."""
        wishes = self._wishes
        found: dict[Source, Measurement] = {}
        waiting: dict[Source, Reading] = {}
        for source in self._sources:
            with self._failing(source, found):
                previous = source.previous
                reading = source.read()
                if previous is not None:
                    found[source] = self._measured(source, reading, previous)
                elif (measured := self._stored(source, reading)) is not None:
                    found[source] = measured
                else:
                    waiting[source] = reading
        if waiting:
            wait = (wishes.interval or DEFAULT_INTERVAL).total_seconds()
            time.sleep(wait if wishes.every is None else min(_FIRST_SECONDS, wishes.every / 2))
        for source, first in waiting.items():
            with self._failing(source, found):
                found[source] = self._measured(source, source.read(), first)
        return [found[source] for source in self._sources]

    @contextlib.contextmanager
    def _failing(self, source: Source, found: dict[Source, Measurement]) -> Iterator[None]:
        try:
            yield
        except (Error, psycopg.Error) as exc:
            source.close()
            if len(self._sources) == 1:
                raise
            found[source] = Measurement(about=source.about, parts={}, error=as_error(exc))

    def _stored(self, source: Source, now: Reading) -> Measurement | None:
        """Over the time that is kept; None where it is watched anew."""
        wishes = self._wishes
        if wishes.interval is not None or wishes.every is not None:
            return None
        window = self._store.attempt(lambda kept: self._looked_up(kept, source, now), reading=True)
        if window is None:
            return None
        own = window.intervals[Family.SERVER]
        if wishes.since is None and own.seconds < spans.LEAST_STORED.total_seconds():
            return None
        return self._put_together(source, now, window, Basis.STORE)

    def _looked_up(self, kept: Kept, source: Source, now: Reading) -> Window | None:
        """Raises UsageError where a time was asked for of which nothing is kept."""
        since = self._wishes.since
        target_id = targets.find(kept, source.reader.whose)
        start = now.taken_at - spans.DEFAULT_SPAN
        if since == RESET:
            mark = None if target_id is None else marks.last(kept, target_id)
            if mark is None:
                raise UsageError(
                    f"nobody has marked a start for {source.reader.name}",
                    hint=f"{self._session.call('reset-metrics', specs=False)} marks one, from which to count.",
                )
            start = mark.marked_at
        elif since is not None:
            start = moment("--since", since, now.taken_at)
        intervals: dict[str, Interval] = {}
        if target_id is not None:
            exactly = since in (None, RESET)
            for family, part in now.parts.items():
                stored = snapshots.intervals(kept, target_id, family, start)
                every = spans.until_now(stored, snapshots.head(kept, target_id, family), part)
                whole = delta.total(spans.since(every, start, exactly=exactly))
                if whole is not None:
                    intervals[str(family)] = whole
            intervals |= _of_clients(kept, target_id, start)
        if Family.SERVER in intervals:
            return Window(intervals=intervals, slow_ms=self._slow_ms)
        if since is not None:
            raise UsageError(
                f"no earlier reading of {source.reader.name} is kept",
                hint=f"{self._session.call('snapshot', specs=False)} keeps one; --interval 5s takes two now.",
            )
        return None

    def _measured(self, source: Source, now: Reading, before: Reading) -> Measurement:
        """Between two readings."""
        intervals = {
            str(family): delta.between(before.parts[family], part)
            for family, part in now.parts.items()
            if family in before.parts
        }
        if isinstance(self._store, Needed) or self._store.is_usable:
            intervals |= self._store.attempt(lambda kept: _lately(kept, source, now), reading=True) or {}
        window = Window(intervals=intervals, slow_ms=self._slow_ms)
        return self._put_together(source, now, window, Basis.READINGS)

    def _put_together(self, source: Source, now: Reading, window: Window, basis: Basis) -> Measurement:
        wishes = self._wishes
        earlier = None if wishes.versus is None else self._earlier(source, window, wishes.versus)
        self._leave(source, now)
        span = Span.of(window, basis)
        reader = source.reader
        reads_all = reader.surroundings.reads_all_stats
        lacks = Lacks(families=now.lacks, grant=None if reads_all else reader.server.grant("pg_read_all_stats"))
        notes = []
        if wishes.versus is not None and earlier is None:
            notes.append("nothing is kept about the time to compare with")
        return Measurement(
            about=source.about,
            span=span,
            before=None if earlier is None else Span.of(earlier, Basis.STORE),
            figures=tuple(figures(wishes.metrics, window, lacks, earlier)),
            breakdowns=tuple(self._breakdowns(source, now, window)),
            parts=now.parts,
            notes=tuple(notes),
        )

    def _earlier(self, source: Source, window: Window, versus: timedelta) -> Window | None:
        """The same time, so much earlier, as far as it is kept."""
        own = window.intervals[Family.SERVER]
        from_at, to_at = own.from_at - versus, own.to_at - versus

        def look_up(kept: Kept) -> Window | None:
            target_id = targets.find(kept, source.reader.whose)
            if target_id is None:
                return None
            found: dict[str, Interval] = {}
            until = to_at + timedelta(days=1)  # what is old is kept by the hour, what is very old by the day
            own = [family for family in window.intervals if not family.startswith(CLIENTS)]
            stored = {family: snapshots.intervals(kept, target_id, family, from_at, until) for family in own}
            # Other processes than now, as a rule.
            for family, every in {**stored, **clients.intervals(kept, target_id, from_at, until)}.items():
                whole = delta.total(spans.covering(every, from_at, to_at))
                if whole is not None:
                    found[family] = whole
            if Family.SERVER not in found:
                return None
            return Window(intervals=found, slow_ms=self._slow_ms)

        return self._store.attempt(look_up, reading=True)

    def _leave(self, source: Source, now: Reading) -> None:
        """At most one in LEAST_APART; the store sees to that, and --watch does not ask it each time."""
        last = source.left_at
        if last is not None and timedelta(0) <= now.taken_at - last < snapshots.LEAST_APART:
            return
        source.left_at = now.taken_at
        more = [now.parts[POOLER]] if POOLER in now.parts else []
        readings.leave(self._keeping, source.reader, now.collected, more=more)

    def _breakdowns(self, source: Source, now: Reading, window: Window) -> Iterator[breakdown.Breakdown]:
        groups = self._wishes.groups
        if Group.CONNECTIONS in groups:
            yield from breakdown.sessions(now.collected.rows[ACTIVITY])
        if Group.POOL in groups and now.pools:
            yield breakdown.pools(now.pools)
        if Group.LATENCY in groups:
            found = breakdown.slow_statements(window, {})
            if found is not None and found.rows:
                found = breakdown.slow_statements(window, self._texts(source))
            yield from [found] if found is not None else []
        if Group.IO in groups:
            by_process = breakdown.by_process(window)
            yield from [by_process] if by_process is not None else []
        if Group.CLIENTS in groups:
            yield from applications.breakdowns(window, self._running(source, now))

    def _running(self, source: Source, now: Reading) -> Mapping[str, Part]:
        """The last reading of each process of an application that runs."""

        def look_up(kept: Kept) -> Mapping[str, Part]:
            target_id = targets.find(kept, source.reader.whose)
            return {} if target_id is None else clients.lately(kept, target_id, now.taken_at)

        return self._store.attempt(look_up, reading=True) or {}

    def _texts(self, source: Source) -> Mapping[int, str]:
        def look_up(kept: Kept) -> Mapping[int, str]:
            target_id = targets.find(kept, source.reader.whose)
            return {} if target_id is None else snapshots.texts(kept, target_id)

        return self._store.attempt(look_up, reading=True) or {}

    @property
    def _slow_ms(self) -> float:
        return self._session.settings.slow_threshold_ms.value


def _of_clients(kept: Kept, target_id: int, start: datetime) -> dict[str, Interval]:
    found = {}
    for family, stored in clients.intervals(kept, target_id, start).items():
        whole = delta.total(stored)
        if whole is not None:
            found[family] = whole
    return found


def _lately(kept: Kept, source: Source, now: Reading) -> dict[str, Interval]:
    """What processes of applications have said last."""
    target_id = targets.find(kept, source.reader.whose)
    return {} if target_id is None else _of_clients(kept, target_id, now.taken_at - clients.SILENT_AFTER)
