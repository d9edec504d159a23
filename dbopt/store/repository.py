"""The store: opened, written and asked. The SQL of the ledger stands here and nowhere else."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dbopt.errors import ConfigError, StoreUnusable, UsageError
from dbopt.store import migrate
from dbopt.store.engine import make_engine, reader
from dbopt.store.faults import faults, warn
from dbopt.store.head import HEAD
from dbopt.store.ledger import UNRECORDED, Caller, Ledger, now
from dbopt.store.location import NONE, Location, require
from dbopt.store.records import RunRecord, StepRecord
from dbopt.store.tables import runs, steps, targets
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

_RUN_COLUMNS = (
    *(column for column in runs.c if column.name != "target_id"),
    targets.c.server,
    targets.c.dbname,
)
_STEP_COLUMNS = tuple(column for column in steps.c if column.name != "run_id")


class State(StrEnum):
    ABSENT = "absent"  # no tables yet
    BEHIND = "behind"  # the next run brings it up to date
    CURRENT = "current"
    NEWER = "newer"  # made by a dbopt that knows more than this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`head` is the revision that this dbopt works with; `runs` is None where they cannot be counted."""

    store: str
    state: State
    revision: str | None
    head: str
    runs: int | None


class Store:
    """One store. Nothing is opened before the first call; `close` afterwards (`contextlib.closing`)."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._engine = make_engine(location)

    def make_ready(self) -> None:
        """Make the file where there is none, and bring the tables to this dbopt's revision. Raises StoreUnusable."""
        with faults(self.location, "open"):
            self.location.make_private_file()
            with reader(self._engine).connect() as connection:
                found = migrate.revision(connection)
            if found != HEAD:
                with self._engine.begin() as connection:
                    migrate.upgrade(connection)

    def status(self) -> Status:
        """How things stand, without making or changing anything. Raises StoreUnusable."""
        state, revision, count = State.ABSENT, None, None
        with faults(self.location, "read"):
            if self.location.path is None or self.location.path.exists():
                with reader(self._engine).connect() as connection:
                    revision = migrate.revision(connection)
                    if revision == HEAD:
                        state = State.CURRENT
                        count = connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one()
                    elif revision is not None:
                        state = State.NEWER if migrate.is_newer(revision) else State.BEHIND
        return Status(store=str(self.location), state=state, revision=revision, head=HEAD, runs=count)

    def write(
        self,
        run_id: int | None,
        target: Mapping[str, Any],
        run: Mapping[str, Any],
        changed_steps: Mapping[int, Mapping[str, Any]],
    ) -> int:
        """The run as it is now and its changed steps by number, in one transaction; a new run when `run_id` is None."""
        with faults(self.location, "write to"), self._engine.begin() as connection:
            if run_id is None:
                values = {**run, "target_id": _target_id(connection, target)}
                key = connection.execute(sa.insert(runs).values(values)).inserted_primary_key
                assert key is not None  # one row was inserted
                run_id = int(key[0])
            else:
                connection.execute(sa.update(runs).where(runs.c.id == run_id).values(**run))
            if changed_steps:
                earlier = sa.and_(steps.c.run_id == run_id, steps.c.number.in_(list(changed_steps)))
                connection.execute(sa.delete(steps).where(earlier))
                rows = [{"run_id": run_id, "number": number, **step} for number, step in changed_steps.items()]
                connection.execute(sa.insert(steps), rows)
            return run_id

    def runs(self, *, limit: int, since: datetime | None = None, names: Sequence[str] = ()) -> list[RunRecord]:
        """The newest first. `names` are those of databases, or those by which runs called their targets."""
        query = sa.select(*_RUN_COLUMNS).join(targets).order_by(runs.c.id.desc()).limit(limit)
        if since is not None:
            query = query.where(runs.c.started_at >= since)
        if names:
            query = query.where(sa.or_(runs.c.target_name.in_(names), targets.c.dbname.in_(names)))
        with faults(self.location, "read"), reader(self._engine).connect() as connection:
            return [RunRecord(**row) for row in connection.execute(query).mappings()]

    def run(self, run_id: int) -> tuple[RunRecord, list[StepRecord]]:
        """A run and its steps so far. Raises UsageError for a number that no run has."""
        the_run = sa.select(*_RUN_COLUMNS).join(targets).where(runs.c.id == run_id)
        its_steps = sa.select(*_STEP_COLUMNS).where(steps.c.run_id == run_id).order_by(steps.c.number)
        with faults(self.location, "read"), reader(self._engine).connect() as connection:
            found = connection.execute(the_run).mappings().one_or_none()
            rows = connection.execute(its_steps).mappings().all()
        if found is None:
            newest = ", ".join(str(run.id) for run in self.runs(limit=5))
            raise UsageError(
                f"there is no run {run_id}",
                detail=f"the newest are {newest}" if newest else "the store holds no runs yet",
                hint="List them with `dbopt history`.",
            )
        return RunRecord(**found), [StepRecord(**{**row, "statements": tuple(row["statements"])}) for row in rows]

    def close(self) -> None:
        self._engine.dispose()


def find_store(url: str | None) -> Store:
    """The store that a URL means, as it is. Raises ConfigError for `none` and for a URL that makes no sense."""
    return Store(require(url))


def open_store(url: str | None) -> Store:
    """The store that a URL means, made and migrated where needed, for commands that cannot do without it.

    `url` None is a file of this user's own, `none` no store. Raises ConfigError and StoreUnusable.
    """
    store = find_store(url)
    try:
        store.make_ready()
    except StoreUnusable:
        store.close()
        raise
    return store


def open_ledger(url: str | None, caller: Caller, *, clock: Callable[[], datetime] = now) -> Ledger:
    """The ledger of one run, for commands that have something more important to do.

    Never raises because of the store: what is wrong with it becomes one warning, and the ledger records nothing. So it
    is with `none`, without a warning.
    """
    if url == NONE:
        return Ledger(None, caller, clock=clock)
    try:
        store = open_store(url)
    except (ConfigError, StoreUnusable) as exc:
        warn(exc, UNRECORDED)
        return Ledger(None, caller, clock=clock)
    return Ledger(store, caller, clock=clock)


def _target_id(connection: sa.Connection, target: Mapping[str, Any]) -> int:
    """The target's row, made when this is its first run. Two first runs at once make one row."""
    query = sa.select(targets.c.id).where(*(targets.c[name] == value for name, value in target.items()))
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert(targets).values(**target).on_conflict_do_nothing())
        found = connection.execute(query).scalar_one()
    return int(found)
