"""A target of `dbopt slow-queries`: its session, a reading of its statements, and what is known of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import psycopg

from dbopt.cli import readings
from dbopt.cli.knowing import Knowledge
from dbopt.cli.planning import Planning
from dbopt.cli.statement_source import StatementSource
from dbopt.cli.workload_windows import Asked, as_they_stand, between, looked_up
from dbopt.metrics.measurement import About
from dbopt.postgres.connect import describe, lost
from dbopt.postgres.statement_counters import ROLE_NAMES
from dbopt.snapshot.model import Family
from dbopt.store import snapshots, targets
from dbopt.values import dataclass
from dbopt.workload import access
from dbopt.workload import statements as ranking
from dbopt.workload.model import Counters, Workload
from dbopt.workload.statements import Filter, Sort

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from dbopt.cli.session import Session
    from dbopt.cli.statement_source import Taken
    from dbopt.cli.workload_windows import Windows
    from dbopt.config import Target
    from dbopt.snapshot.collect import Collected
    from dbopt.snapshot.model import Part
    from dbopt.store.aside import Aside, Needed
    from dbopt.store.plain import Session as Kept
    from dbopt.workload.model import Statement

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the call says. `since`: as it was typed. `every`: of --watch."""

    filter: Filter
    sort: Sort
    limit: int
    since: str | None
    versus: timedelta | None
    interval: timedelta | None
    every: float | None
    plans: bool
    uses_store: bool
    literals: bool  # texts as the server has them
    database: str | None  # another one of the same server

    @property
    def looks_back(self) -> bool:
        """Whether it cannot be answered without the store."""
        return self.since is not None or self.versus is not None

    @property
    def looks_twice(self) -> bool:
        return self.interval is not None or self.every is not None


class Observed:
    """Its session stays open for as many looks as are asked for."""

    def __init__(self, session: Session, target: Target, wishes: Wishes, store: Aside | Needed, keeping: Aside) -> None:
        """`store` is what is looked back into, `keeping` where this reading goes: the past can be shown though nothing
        can be added to it.
        """
        self._session = session
        self._target = target
        self._wishes = wishes
        self._store = store
        self._keeping = keeping
        self._source: StatementSource | None = None
        self._left_at: datetime | None = None
        self._cost_ms = 0.0  # of reading texts, as far as it counts
        self.previous: Part | None = None

    @property
    def source(self) -> StatementSource:
        if self._source is None:
            self._source = StatementSource(self._session, self._target, self._wishes.database)
            self.knowledge = Knowledge(self._keeping, self._source.fetch)
            self.planning = Planning(self._keeping, self._source)
        return self._source

    @property
    def about(self) -> About:
        if self._source is None:
            return About(name=self._target.name, place=describe(self._target.conninfo))
        about = readings.about(self._source.reader)
        elsewhere = self._source.elsewhere
        return (
            about
            if elsewhere is None
            else replace(about, name=f"{about.label}, database {elsewhere}", dbname=elsewhere)
        )

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source = self.previous = None

    def begin(self) -> None:
        """The first of two readings."""
        self.previous = self._read().part

    def look(self) -> tuple[About, Workload]:
        wishes = self._wishes
        windows, lacks = self.windows()
        every, totals = self.every(windows)
        unread = set() if self._cost_ms == 0 else self.knowledge.unread(item.queryids[0] for item in every)
        left = ranking.Textless(gone=self.knowledge.gone, unread=unread)
        sort = Sort.TOTAL if wishes.sort is Sort.CHANGE and windows.before is None else wishes.sort
        chosen, others = ranking.chosen(every, wishes.filter, sort, wishes.limit, left)
        chosen = self.told(chosen)
        if wishes.plans:
            chosen = self.planning.planned(chosen, self.knowledge.target_id)
        chosen = self.bared(chosen)
        if self.knowledge.is_refused:
            reader = self.source.reader
            lacks += (access.untold(reader.conn, reader.server, reader.surroundings),)
        if not totals.calls:
            lacks += self._why_still()
        workload = Workload(
            span=windows.span,
            before=windows.before_span,
            statements=tuple(chosen),
            totals=totals,
            others=others,
            slow_ms=wishes.filter.slow_ms,
            notes=windows.notes,
            lacks=lacks,
        )
        return self.about, workload

    def windows(self) -> tuple[Windows, tuple[tuple[str, str | None], ...]]:
        """A reading, the time it is compared over, and what it lacks. The reading is kept."""
        taken = self._read()
        windows = self._windows(taken)
        if taken.collected is not None:
            self._leave(taken.collected)
        self.previous = taken.part if self._wishes.every is not None else None
        # Who ranks by something else than time asks for what has cost little, too.
        self._cost_ms = self.knowledge.cost_ms(taken.part) if self._wishes.sort.is_by_time else 0.0
        return windows, taken.lacks

    def every(self, windows: Windows, *, first: Collection[int] = ()) -> tuple[list[Statement], Counters]:
        """All statements of the window, without texts, and their sums. `first`: ids that somebody has asked for."""
        found = ranking.entries(windows.now)
        totals = ranking.totals(found)
        if first:
            self.knowledge.learn(found, first)
        by_table = bool(self._wishes.filter.tables)
        self.knowledge.learn(found, self._sure(found, totals), thoroughly=by_table, cost_ms=self._cost_ms)
        reader = self.source.reader
        rows = ROLE_NAMES.rows(reader.conn, reader.server.version, {"oids": sorted({entry.userid for entry in found})})
        users = {row.oid: row.rolname for row in rows}
        every = ranking.grouped(found, self.knowledge.traits, users, whole=totals)
        if windows.before is not None:
            old = ranking.grouped(ranking.entries(windows.before), self.knowledge.traits, users, whole=Counters())
            every = ranking.compared(every, old, windows.before.seconds)
        return every, totals

    def _why_still(self) -> tuple[tuple[str, str | None], ...]:
        """Where nothing is counted, because that is switched off."""
        reader = self.source.reader
        barred = access.look(reader.conn, reader.server, reader.surroundings)
        return () if barred is None else ((barred.message, "\n".join(barred.steps)),)

    def told(self, statements: Sequence[Statement]) -> list[Statement]:
        """The same with their texts, and what these say."""
        self.knowledge.read([item.queryid for item in statements if item.queryid is not None])
        return [ranking.with_text(item, self.knowledge.texts, self.knowledge.traits) for item in statements]

    def bared(self, statements: Sequence[Statement]) -> list[Statement]:
        """The same with their values, for whoever asks for them."""
        if not self._wishes.literals or not statements:
            return list(statements)
        raw = self.source.fetch_raw([item.queryid for item in statements if item.queryid is not None])
        return [replace(item, query=raw.get(item.queryid or 0, item.query)) for item in statements]

    def remembered(self, look_up: Callable[[Kept, int], Value]) -> Value | None:
        """What the store says; None: nothing, or it failed, or nothing is kept of this target."""
        target_id = self.knowledge.target_id
        return None if target_id is None else self._keeping.attempt(lambda kept: look_up(kept, target_id), reading=True)

    def _sure(self, found: Sequence[ranking.Entry], totals: Counters) -> list[int]:
        """Of those that would be shown if each were by itself, whatever it is."""
        alone = ranking.grouped(found, {}, {}, whole=totals)
        wanted = Filter(slow_ms=self._wishes.filter.slow_ms)
        chosen, _ = ranking.chosen(alone, wanted, self._wishes.sort, self._wishes.limit)
        return [queryid for item in chosen for queryid in item.queryids]

    def _read(self) -> Taken:
        """Over a session that the server has ended meanwhile, once more over a new one."""
        try:
            return self.source.read(self._known())
        except psycopg.OperationalError as exc:
            if self._source is None or not self._source.reader.conn.closed:
                raise
            if self.previous is None:
                raise lost(exc, describe(self._target.conninfo)) from None
            previous = self.previous
            self.close()
            self.previous = previous
            return self.source.read(previous)

    def _known(self) -> Part | None:
        """The last reading, so that the server need not tell all of it again."""
        if self.previous is not None:
            return self.previous
        whose = self.source.reader.whose

        def look_up(kept: Kept) -> Part | None:
            target_id = targets.find(kept, whose)
            return None if target_id is None else snapshots.head(kept, target_id, Family.STATEMENTS)

        return self._keeping.attempt(look_up, reading=True)

    def _windows(self, taken: Taken) -> Windows:
        """What is no reading of this database as a whole is not compared with those that are kept."""
        if self.previous is not None:
            if taken.collected is not None:
                self._keeping.attempt(self._recall, reading=True)
            return between(self.previous, taken.part)
        if taken.collected is None:
            return as_they_stand(taken.part)
        asked = Asked(since=self._wishes.since, versus=self._wishes.versus, name=self.source.reader.name)

        def look_up(kept: Kept) -> Windows | None:
            return looked_up(self._session, kept, self._recall(kept), taken.part, asked)

        return self._store.attempt(look_up, reading=True) or as_they_stand(taken.part)

    def _recall(self, kept: Kept) -> int | None:
        """What the store knows of this target's statements, once."""
        target_id = targets.find(kept, self.source.reader.whose)
        if target_id is not None and self.knowledge.target_id is None:
            self.knowledge.recall(kept, target_id)
        return target_id

    def _leave(self, taken: Collected) -> None:
        """At most one in LEAST_APART; the store sees to that, and --watch does not ask it each time."""
        now = taken.snapshot.taken_at
        if self._left_at is not None and timedelta(0) <= now - self._left_at < snapshots.LEAST_APART:
            return
        self._left_at = now
        readings.leave(self._keeping, self.source.reader, taken, with_texts=False)
        if self.knowledge.target_id is None:  # this was its first reading
            self._keeping.attempt(self._recall, reading=True)
