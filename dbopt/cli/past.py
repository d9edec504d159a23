"""What every form of `dbopt history` beyond runs needs: which time, which databases, the store."""

from __future__ import annotations

import contextlib
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dbopt.cli.moments import moment
from dbopt.errors import ConfigError, UsageError
from dbopt.store import chronicle, marks, plain
from dbopt.store.location import locate
from dbopt.units import parse_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.cli.session import Session
    from dbopt.store.chronicle import Database
    from dbopt.store.plain import Session as Kept

SINCE = timedelta(days=7)
LOCK_WAIT_SECONDS = 5.0
SINCE_RESET = "reset"
EVERY_LEAST_SECONDS = 60
LISTED_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """As the words of the call have it."""

    names: Sequence[str]  # of targets or databases; none: whichever there is
    call: str  # what was typed so far, to be completed in hints
    now: datetime
    since: str | None = None
    until: str | None = None
    every: str | None = None

    @property
    def end(self) -> datetime:
        if self.until is None:
            return self.now + timedelta(days=1)  # the database's clock may be ahead of ours
        return moment("--until", self.until, self.now)

    def start(self, kept: Kept, database: Database, default: datetime) -> datetime:
        if self.since != SINCE_RESET:
            return default if self.since is None else moment("--since", self.since, self.now)
        last = marks.last(kept, database.target_id)
        if last is None:
            raise UsageError(
                f"there is no mark of {database.name} to count from",
                hint="`dbopt reset-metrics` makes one; or say --since 7d.",
            )
        return last.marked_at

    @property
    def every_seconds(self) -> float | None:
        """None: as suits the time."""
        if self.every is None:
            return None
        try:
            seconds = parse_duration(self.every)
        except ValueError as exc:
            raise UsageError(f"--every: {exc}", hint="Write 5m, 1h or 1d.") from None
        if seconds < EVERY_LEAST_SECONDS:
            raise UsageError(f"--every {self.every} is too little", hint="Readings are a minute apart at least.")
        return seconds

    def check(self) -> None:
        """Before the store is opened. Raises UsageError."""
        _ = self.every_seconds
        is_moment = self.since is not None and self.since != SINCE_RESET
        start = moment("--since", str(self.since), self.now) if is_moment else None
        if start is not None and start > self.now:
            raise UsageError(f"--since {self.since} lies in the future", detail=f"it is {self.now.astimezone():%F %R}")
        if self.until is not None and start is not None and start >= self.end:
            raise UsageError(
                f"--since {self.since} is not before --until {self.until}",
                hint="Both are moments: `--since 7d --until 1d` ends a day ago.",
            )


@contextlib.contextmanager
def opened(session: Session) -> Iterator[Kept]:
    """The store, for reading. Raises ConfigError and StoreUnusable."""
    location = locate(session.settings.store.value)
    if location is None:
        raise ConfigError(
            "there is no store",
            detail="the setting store is none",
            hint="Name one with `store:` in dbopt.yaml or with DBOPT_STORE_URL.",
        )
    plain.make_ready(location)
    with plain.transaction(location, reading=True, wait_seconds=LOCK_WAIT_SECONDS) as kept:
        yield kept


def with_readings(session: Session, kept: Kept, asked: Asked) -> list[Database]:
    """The databases that the call is about; a note and none where nothing is kept. Raises UsageError where it names one
    that is not known, or none of several.
    """
    known = chronicle.databases(kept)
    readable = [item for item in known if item.has_readings]
    found = chronicle.named(known, asked.names)
    if asked.names and not found:
        raise unknown_database(known, asked)
    if not readable:
        session.output.note("no counters are kept yet: `dbopt snapshot` takes a reading, and two make a time")
        return []
    chosen = [item for item in found if item.has_readings]
    for item in found if asked.names else ():
        if not item.has_readings:
            session.output.note(f"no counters of {item.name} are kept yet: `dbopt snapshot` takes a reading")
    if len(chosen) > 1 and not asked.names:
        raise UsageError(
            f"the store knows {len(chosen)} databases",
            detail=_listed(chosen),
            hint=f"Name one, or several: {asked.call} {_option(chosen[0], chosen)}",
        )
    return chosen


def unknown_database(known: Sequence[Database], asked: Asked) -> UsageError:
    names = ", ".join(asked.names)
    if not known:
        return UsageError(f"the store knows nothing of {names}", detail="it holds no database yet")
    return UsageError(
        f"the store knows nothing of {names}",
        detail=f"it knows {_listed(known)}",
        hint=f"Name it as it was called, or by its database: {asked.call} {_option(known[0], known)}",
    )


def _listed(databases: Sequence[Database]) -> str:
    more = f" and {len(databases) - LISTED_MAX:,} more" if len(databases) > LISTED_MAX else ""
    return ", ".join(f"{item.name} ({item.dbname})" for item in databases[:LISTED_MAX]) + more


def _option(database: Database, among: Sequence[Database]) -> str:
    if sum(item.dbname == database.dbname for item in among) == 1:
        return f"-d {shlex.quote(database.dbname)}"
    return f"-t {shlex.quote(database.name)}"


def now() -> datetime:
    return datetime.now(UTC)
