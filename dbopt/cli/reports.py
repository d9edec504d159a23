"""One call of `dbopt report`: a look at each target, a fresh reading, and what the store has of its past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.cli.looks import Looks, Options
from dbopt.cli.readings import leave, reader
from dbopt.cli.surveys import Configured, about_of
from dbopt.metrics.figures import Lacks
from dbopt.postgres.relation_counters import INDEX_COUNTERS, TABLE_COUNTERS
from dbopt.report import compose
from dbopt.report.base import base
from dbopt.report.collect import fetch_texts, recall
from dbopt.report.effects import effect
from dbopt.report.values import DatabaseReport, Missing, Seen
from dbopt.snapshot.model import Family
from dbopt.stats.choice import Choice, Filter, Sort, What
from dbopt.stats.collect import collect
from dbopt.stats.survey import survey
from dbopt.stats.window import Basis, Window
from dbopt.store.aside import Aside
from dbopt.store.location import NONE

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.report.base import Base
    from dbopt.report.collect import Kept
    from dbopt.snapshot.collect import Collected
    from dbopt.stats.survey import Survey

_UNRECORDED = "the page goes without history"
_CHOICE = Choice(what=What.OVERVIEW, sort=Sort.SIZE, reverse=False, partitions=False, only=Filter())


class Reports:
    """`since`: from when on the page reaches back."""

    def __init__(self, session: Session, *, since: datetime, uses_store: bool) -> None:
        self._session = session
        self._since = since
        self._uses_store = uses_store
        self._store = Aside(session.settings.store.value if uses_store else NONE, _UNRECORDED)
        self._specs = Configured(session)
        self._looks = Looks(
            session,
            Options(
                only=(),
                skip=(),
                groups=(),
                exact=False,
                timeout=None,
                fail_on=None,
                baseline=None,
                runs=1,
                uses_store=uses_store,
                records=True,
                show_literals=False,
            ),
            self._store,
        )

    def all(self) -> list[DatabaseReport]:
        """Of several databases, one that cannot be reached hides no other one."""
        targets = self._session.targets_with_replicas
        found = []
        for target, verdict in zip(targets, self._looks.once(), strict=True):
            reached = verdict.about.server_version is not None or len(targets) == 1
            found.append(DatabaseReport(verdict, self._seen(target) if reached else None))
        return found

    def _seen(self, target: Target) -> Seen:
        with reader(self._session, target) as source:
            taken = source.read()
            fresh = {str(family): part for family, part in taken.snapshot.parts.items()}
            leave(self._store, source, taken)
            kept = self._store.attempt(lambda opened: recall(opened, source.whose, self._since, fresh), reading=True)
            of = base(fresh, kept, slow_ms=self._session.settings.slow_threshold_ms.value)
            texts = {} if kept is None else dict(kept.texts)
            found = compose.statements(of, texts)
            if found is not None:
                unknown = [int(row.queryid) for row in found.rows if row.text is None]
                texts |= fetch_texts(source.conn, source.surroundings, unknown)
            surveyed = self._survey(source, taken, of)
        reads_all = source.surroundings.reads_all_stats
        lacks = Lacks(
            families={str(family): lack for family, lack in taken.snapshot.missing.items()},
            grant=None if reads_all else source.server.grant("pg_read_all_stats"),
        )
        tables, indexes = taken.rows.get(TABLE_COUNTERS), taken.rows.get(INDEX_COUNTERS)
        return Seen(
            window=of.reach,
            is_history=of.is_history,
            readings=len(of.readings) + 1,
            breaks=[(at, words) for at, breaks in of.readings for words in breaks],
            courses=tuple(compose.courses(of, lacks)),
            survey=surveyed,
            statements=compose.statements(of, texts),
            runs=None
            if kept is None
            else [effect(run, steps, tables, indexes, kept.sides) for run, steps in kept.runs],
            missing=[*self._no_history(source, of, kept), *compose.missing(taken.snapshot)],
        )

    def _survey(self, source: Reader, taken: Collected, of: Base) -> Survey | None:
        if TABLE_COUNTERS not in taken.rows or INDEX_COUNTERS not in taken.rows:
            return None
        rows = collect(
            source.conn,
            source.server,
            taken.rows[TABLE_COUNTERS],
            taken.rows[INDEX_COUNTERS],
            about_indexes=True,
            foreign_keys=True,
        )
        specs = self._specs.standing(source.target, _CHOICE)
        return survey(about_of(source), rows, _window(source, taken, of), _CHOICE, specs, self._specs.entry_of)

    def _no_history(self, source: Reader, of: Base, kept: Kept | None) -> list[Missing]:
        if of.is_history:
            return []
        call = self._session.call("snapshot", specs=False).replace("%", r"\%")  # cron takes % for a line's end
        hint = f"*/5 * * * *  {call}"
        if not self._uses_store:
            return [Missing("figures over time", "--no-store was given")]
        if kept is None:
            return [Missing("figures over time", "there is no store that can be used", "dbopt store status")]
        return [Missing("figures over time", f"this is the first reading of {source.name}; a line for crontab", hint)]


def _window(source: Reader, taken: Collected, of: Base) -> Window:
    """For stats: the same time."""
    now = taken.snapshot.taken_at
    stored = of.whole.intervals if of.is_history else {}
    sums = {str(family): stored[family] for family in (Family.TABLES, Family.INDEXES) if family in stored}
    if len(sums) < 2:
        return Window(basis=Basis.RESET, from_at=source.surroundings.stats_since, to_at=now, sums={})
    return Window(basis=Basis.STORED, from_at=min(item.from_at for item in sums.values()), to_at=now, sums=sums)
