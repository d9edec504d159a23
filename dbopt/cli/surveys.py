"""One call of `dbopt stats`: a look at each target, what the store has of its past, and how the specs stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from dbopt.cli import as_error
from dbopt.cli.moments import RESET, moment
from dbopt.cli.readings import leave, reader
from dbopt.errors import Error, UsageError
from dbopt.snapshot.model import Family
from dbopt.stats.choice import Choice, What, nearest
from dbopt.stats.collect import Rows, collect
from dbopt.stats.coverage import NO_SPECS, Specs, Wanted
from dbopt.stats.survey import About, Survey, survey
from dbopt.stats.window import DEFAULT_SPAN, FAMILIES, Asked, Basis, Stored, Window, Wish, choose
from dbopt.store import marks, snapshots, targets
from dbopt.store.aside import Aside
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.snapshot.collect import Collected
    from dbopt.spec.model import SpecSet
    from dbopt.store.plain import Session as Kept
    from dbopt.store.targets import Whose

UNRECORDED = "stats goes on without what it remembers"
_READINGS_MAX = 3  # a lock that comes while sizes are asked for ends the statement; the next one sees it


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    choice: Choice
    since: str | None
    uses_store: bool
    counters: bool  # also as they stand on the server


@dataclass(frozen=True, slots=True)
class Unseen:
    """A target that could not be looked at, beside others."""

    name: str
    error: Error


class Surveys:
    """What the words of the call can have wrong is told before the first look."""

    def __init__(self, session: Session, options: Options) -> None:
        from datetime import UTC, datetime

        self._session = session
        self._options = options
        self._targets = session.targets_with_replicas
        if options.since not in (None, RESET):
            now = datetime.now(UTC)
            if moment("--since", options.since or "", now) > now:
                raise UsageError(f"--since {options.since} lies ahead", hint="Write 7d, 12h, 2027-01-31 or reset.")
        self._store = Aside(session.settings.store.value if options.uses_store else "none", UNRECORDED)
        self._specs = Configured(session) if options.choice.what is not What.SCHEMAS else None

    def all(self) -> list[Survey | Unseen]:
        """Of several, one that cannot be looked at hides no other one."""
        found: list[Survey | Unseen] = []
        for target in self._targets:
            try:
                found.append(self._look(target))
            except (Error, psycopg.Error) as exc:
                if len(self._targets) == 1:
                    raise
                from dbopt.postgres.connect import describe

                found.append(Unseen(target.name or describe(target.conninfo), as_error(exc)))
        self._refuse_what_nobody_has([item for item in found if isinstance(item, Survey)])
        return found

    def _look(self, target: Target) -> Survey:
        choice = self._options.choice
        with reader(self._session, target) as source:
            taken, rows = _read(source, choice.what)
            # First, as what is stored up to this very reading need not be compared a second time.
            leave(self._store, source, taken)
            window = self._window(source, taken, rows)
            about = about_of(source)
        specs, named = Specs(), self._specs.entry_of if self._specs is not None else _nobody
        if self._specs is not None and choice.what in (What.OVERVIEW, What.COVERAGE):
            specs = self._specs.standing(target, choice)
        lifetime = None
        if self._options.counters:
            lifetime = Window(basis=Basis.RESET, from_at=window.from_at, to_at=window.to_at, sums={})
        return survey(about, rows, window, choice, specs, named, lifetime=lifetime)

    def _window(self, source: Reader, taken: Collected, rows: Rows) -> Window:
        now, since = taken.snapshot.taken_at, self._options.since
        asked = Asked.DEFAULT if since is None else Asked.RESET if since == RESET else Asked.MOMENT
        begin = now - DEFAULT_SPAN if since in (None, RESET) else moment("--since", since or "", now)

        def recall(kept: Kept) -> tuple[datetime | None, dict[str, Stored]]:
            return _recall(kept, source.whose, begin, by_mark=asked is Asked.RESET)

        kept = self._store.attempt(recall, reading=True)
        marked, stored = (None, {}) if kept is None else kept
        wish = Wish(asked, marked if asked is Asked.RESET else begin)
        parts = {str(family): part for family, part in taken.snapshot.parts.items()}
        return choose(wish, parts, stored, rows.counted_since)

    def _refuse_what_nobody_has(self, surveys: list[Survey]) -> None:
        only = self._options.choice.only
        if not only or not surveys or any(item.tables for item in surveys):
            return
        known = [name for item in surveys for name in item.unchosen]
        words = " ".join([*(f"--schema {text}" for text in only.schemas), *(f"--table {text}" for text in only.tables)])
        near = nearest((*only.tables, *only.schemas), known)
        raise UsageError(
            f"no table fits {words}", hint=f"Did you mean {near}?" if near else "dbopt stats tables lists them."
        )


def _read(source: Reader, what: What) -> tuple[Collected, Rows]:
    from dbopt.postgres.relation_counters import INDEX_COUNTERS, TABLE_COUNTERS

    for _ in range(_READINGS_MAX):
        taken = source.read(FAMILIES)
        if TABLE_COUNTERS in taken.rows and INDEX_COUNTERS in taken.rows:
            break
    else:
        family = next(family for family in (Family.TABLES, Family.INDEXES) if family in taken.snapshot.missing)
        reason, hint = taken.snapshot.missing[family]
        raise Error(f"could not read the {family} of {source.place}", detail=reason, hint=hint)
    rows = collect(
        source.conn,
        source.server,
        taken.rows[TABLE_COUNTERS],
        taken.rows[INDEX_COUNTERS],
        about_indexes=True,
        foreign_keys=what in (What.OVERVIEW, What.COVERAGE),
    )
    return taken, rows


def _recall(kept: Kept, whose: Whose, begin: datetime, *, by_mark: bool) -> tuple[datetime | None, dict[str, Stored]]:
    """The last mark's moment where that is asked for, and what is stored of each family since then."""
    target_id = targets.find(kept, whose)
    if target_id is None:
        return None, {}
    mark = marks.last(kept, target_id) if by_mark else None
    since = begin if mark is None else mark.marked_at
    stored: Mapping[str, Stored] = {
        str(family): Stored(
            snapshots.head(kept, target_id, family), snapshots.intervals(kept, target_id, family, since=since)
        )
        for family in (Family.TABLES, Family.INDEXES)
    }
    return None if mark is None else mark.marked_at, dict(stored)


def about_of(source: Reader) -> About:
    server = source.server
    return About(
        name=source.target.name,
        place=source.place,
        dbname=server.dbname,
        server_version=server.server_version,
        system_identifier=server.system_identifier,
        in_recovery=server.in_recovery,
        role=server.usename,
        tells_last_scan=server.has_last_scan,
    )


def _nobody(_schema: str, _index: str) -> str | None:
    return None


class Configured:
    """The specs of the configuration, loaded once for all targets."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._problem: Error | None = None
        self._set: SpecSet | None = None
        setting = session.settings.specs
        if setting.origin == "default" and not any(path.exists() for path in setting.value):
            self.entry_of: Callable[[str, str], str | None] = _nobody
            return
        from dbopt.cli import plans
        from dbopt.optimize.standing import entry_of, names

        try:
            self._set = plans.load_specs(session)
        except Error as exc:
            self._problem = exc
            self.entry_of = _nobody
            return
        by_name = names(self._set)
        self.entry_of = lambda schema, index: entry_of(by_name, schema, index)

    def standing(self, target: Target, choice: Choice) -> Specs:
        """A plan is made for it, in a session of its own: it needs temporary tables."""
        if self._problem is not None:
            hint = self._session.call("lint", specs=False) + " tells which"
            return Specs(reason=self._problem.message, hint=hint)
        if self._set is None:
            return Specs(reason=NO_SPECS)
        from dbopt.optimize.standing import standing

        try:
            with self._session.reading(target) as (conn, server):
                found = standing(conn, server, self._set)
        except (Error, psycopg.Error) as exc:
            error = as_error(exc)
            return Specs(reason=error.message, hint=error.hint)
        only = choice.only
        meant = [item for item in found if only.table(item.schema, item.table, f"{item.schema}.{item.table}")]
        return Specs(
            in_place=sum(item.why is None for item in meant),
            entries=len(meant),
            missing=tuple(
                Wanted(item.entry, f"{item.schema}.{item.table}", item.why) for item in meant if item.why is not None
            ),
        )
