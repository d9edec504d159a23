"""Marks and resets carried out on one database: first the reading is kept, then something is reset, then read again."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import psycopg

from dbopt.cli.asking import agreed
from dbopt.cli.interrupts import Interrupts
from dbopt.cli.readings import leave, leave_texts, reader
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, Error, NotPermitted, ServerUnfit, StoreUnusable, UsageError
from dbopt.postgres.connect import LOCK_TIMEOUT_MS
from dbopt.postgres.resets import COLLECTOR_SECONDS, Reset, Resets, What
from dbopt.snapshot.collect import lacking
from dbopt.snapshot.model import Family
from dbopt.store import marks, snapshots, targets
from dbopt.store.aside import Needed
from dbopt.store.marks import Kind
from dbopt.store.users import os_user
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.postgres.connect import Connection
    from dbopt.snapshot.collect import Collected
    from dbopt.snapshot.model import Interval
    from dbopt.store.plain import Session as Kept

# What has to be read, and so is kept, before it is reset.
_FAMILIES = {
    What.STATEMENTS: (Family.STATEMENTS,),
    What.DATABASE: (Family.SERVER, Family.RELATIONS, Family.TABLES, Family.INDEXES),
    What.TABLES: (Family.TABLES, Family.INDEXES),
    What.IO: (Family.IO,),
    What.WAL: (Family.SERVER,),
    What.CHECKPOINTS: (Family.SERVER,),
}
_SHARED = (What.IO, What.WAL, What.CHECKPOINTS)
_INTERRUPTED = "dbopt: interrupted: what is being reset is finished first\n"


class State(StrEnum):
    MARKED = "marked"
    RESET = "reset"
    FAILED = "failed"
    UNKNOWN = "unknown"  # the connection was lost while it was asked for
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the call says. `named`: of What."""

    named: tuple[str, ...]
    everything: bool
    user: str | None
    queryids: tuple[int, ...]
    tables: tuple[str, ...]
    keeps: bool  # what the counters say


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one reset."""

    reset: Reset
    state: State
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`mark_id` None: nothing was kept, or nothing was reset. `steps` are empty where only the start was marked."""

    target: str
    server: str
    dbname: str
    mark_id: int | None
    marked_at: datetime
    families: tuple[str, ...]  # that were kept
    missing: Mapping[str, tuple[str, str | None]]  # that could not be had: why, and what to type
    store: str | None
    steps: tuple[Done, ...] = ()
    signum: int = 0

    @property
    def kind(self) -> Kind:
        return Kind.RESET if self.steps else Kind.BASELINE

    @property
    def exit_code(self) -> int:
        return EXIT_DONE if all(step.state is State.RESET for step in self.steps) else EXIT_ATTENTION


def mark(session: Session, target: Target) -> Outcome:
    """A baseline. Raises StoreUnusable and ConfigError."""
    store = Needed(session.settings.store.value)
    with reader(session, target) as source:
        taken = source.read()
        return _kept(store, source, taken, Kind.BASELINE, "")


def reset(session: Session, target: Target, wishes: Wishes, *, again: str | None) -> Outcome | None:
    """`again`: the command that does not ask; None: it is this one. The result is None where the answer was no."""
    from dbopt.render.resets import write_plan

    store = Needed(session.settings.store.value) if wishes.keeps else None
    connect = session.connector(target)
    timeout = target.statement_timeout_ms.value
    with (
        reader(session, target) as source,
        contextlib.closing(
            connect(read_only=False, statement_timeout_ms=timeout, lock_timeout_ms=LOCK_TIMEOUT_MS)
        ) as conn,
    ):
        resets = _planned(source, conn, wishes)
        if again is not None or not session.output.quiet:
            write_plan(session.output, source.name, source.server.dbname, resets, keeps=wishes.keeps)
        if again is not None and not agreed(session, "Reset these counters on the server?", again):
            return None
        taken = source.read()
        _require_statements(taken, wishes.queryids)
        outcome = _before(store, source, taken, resets)
        with Interrupts(session.messages, _INTERRUPTED) as interrupted:
            steps = tuple(_carried_out(conn, resets, interrupted))
            outcome = replace(outcome, steps=steps, signum=interrupted() or 0)
        if store is None:
            return outcome
        outcome = _amended(session, store, outcome)
        if any(step.state is not State.NOT_TRIED for step in steps):
            _read_again(session, store, source, resets)
        return outcome


def _planned(source: Reader, conn: Connection, wishes: Wishes) -> list[Reset]:
    """In the order in which they are carried out. Raises NotPermitted with every GRANT that is missing.

    `conn`: names of tables are meant as its search_path has them.
    """
    server, surroundings = source.server, source.surroundings
    has_statements = surroundings.statements_loaded and surroundings.statements_schema is not None
    makes = Resets(conn, server, surroundings.statements_schema)
    made: list[Reset] = []
    lacks: list[str] = []
    if What.STATEMENTS in wishes.named or (wishes.everything and has_statements):
        reason = lacking(Family.STATEMENTS, server, surroundings)
        if reason is not None and not has_statements:
            raise ServerUnfit(f"there are no statements to reset: {reason[0]}", hint=reason[1])
        made.append(makes.statements(wishes.user, wishes.queryids))
        if wishes.keeps and not surroundings.reads_all_stats:
            lacks.append("pg_read_all_stats")  # what others ran cannot be kept without
    if What.DATABASE in wishes.named or wishes.everything:
        made.append(makes.database())
    elif What.TABLES in wishes.named or wishes.tables:
        made.append(makes.tables(() if What.TABLES in wishes.named else wishes.tables))
    for what in _SHARED:
        if what in wishes.named:
            made.append(makes.shared(what))
        elif wishes.everything:
            with contextlib.suppress(ServerUnfit):
                made.append(makes.shared(what))
    lacks += [right for item in made for right in item.function.rights]
    if lacks:
        grants = dict.fromkeys(server.grant(right) for right in lacks)
        raise NotPermitted(
            f"{server.usename} may not reset {', '.join(item.what for item in made)} on {source.name}",
            detail="nothing was reset, and nothing was marked",
            hint="\n".join(grants),
        )
    return made


def _require_statements(taken: Collected, queryids: Sequence[int]) -> None:
    part = taken.snapshot.parts.get(Family.STATEMENTS)
    known = set() if part is None else {item.name for item in part.subjects.values()}
    for queryid in queryids:
        if part is not None and str(queryid) not in known:
            raise UsageError(
                f"no statement of this database has the queryid {queryid}; nothing was reset",
                hint="-d or -t says which database; pg_stat_statements has the numbers.",
            )


def _before(store: Needed | None, source: Reader, taken: Collected, resets: Sequence[Reset]) -> Outcome:
    """Keeps the reading and the mark; whatever stands against it is an error, and nothing is reset."""
    if store is None:
        return _outcome(source, taken, None)
    for item in resets:
        for family in _FAMILIES[item.what]:
            if family not in taken.snapshot.parts:
                why, hint = taken.snapshot.missing[family]
                raise Error(
                    f"could not read {family} on {source.name}; nothing was reset",
                    detail=why,
                    hint=hint or "Try again; --no-store resets without keeping what the counters say.",
                )
    try:
        return _kept(store, source, taken, Kind.RESET, "; ".join(item.scope for item in resets))
    except StoreUnusable as exc:
        raise StoreUnusable(f"{exc.message}; nothing was reset", detail=exc.detail, hint=exc.hint) from exc


def _kept(store: Needed, source: Reader, taken: Collected, kind: Kind, scope: str) -> Outcome:
    """The reading, the mark, and what the counters said there, in one transaction."""
    parts = list(taken.snapshot.parts.values())

    def work(kept: Kept) -> tuple[int, int, datetime, Interval | None, set[int]]:
        made = snapshots.keep(kept, source.whose, source.name, parts, least_apart=timedelta(0), policy=source.policy)
        target_id = targets.find_or_add(kept, source.whose)
        # Another process may have kept a reading somewhat younger than ours: then the mark is there.
        heads = [snapshots.head(kept, target_id, family) for family in snapshots.families(kept, target_id)]
        found = [part for part in heads if part is not None]
        at = next(part.taken_at for part in found if part.family == Family.SERVER)
        mark_id = marks.add(
            kept,
            target_id,
            source.name,
            at,
            kind=kind,
            scope=scope,
            os_user=os_user(),
            role=source.server.usename,
            parts=found,
        )
        known = snapshots.queryids_with_text(kept, target_id)
        return mark_id, target_id, at, made.get(Family.STATEMENTS), known

    mark_id, target_id, at, interval, known = store.attempt(work, reading=False)
    leave_texts(store, source, taken, interval, target_id, known)
    return replace(_outcome(source, taken, mark_id), marked_at=at, store=str(store.location))


def _outcome(source: Reader, taken: Collected, mark_id: int | None) -> Outcome:
    return Outcome(
        target=source.name,
        server=source.whose.server,
        dbname=source.server.dbname,
        mark_id=mark_id,
        marked_at=taken.snapshot.taken_at,
        families=tuple(family for family in Family if family in taken.snapshot.parts),
        missing={str(family): why for family, why in taken.snapshot.missing.items()},
        store=None,
    )


def _carried_out(conn: Connection, resets: Sequence[Reset], interrupted: Callable[[], int | None]) -> list[Done]:
    """Each by itself: one that fails does not stop the others."""
    done = []
    for item in resets:
        if interrupted() or conn.closed:
            done.append(Done(reset=item, state=State.NOT_TRIED))
            continue
        try:
            for call in item.calls:
                conn.execute(call)
        except psycopg.Error as exc:
            words = exc.diag.message_primary or str(exc).strip().partition("\n")[0]
            done.append(Done(reset=item, state=State.UNKNOWN if conn.closed else State.FAILED, error=words))
        else:
            done.append(Done(reset=item, state=State.RESET))
    return done


def _amended(session: Session, store: Needed, outcome: Outcome) -> Outcome:
    """The mark tells of what really was reset."""
    mark_id = outcome.mark_id
    assert mark_id is not None  # it was kept
    reset = [step.reset.scope for step in outcome.steps if step.state in (State.RESET, State.UNKNOWN)]
    if len(reset) == len(outcome.steps):
        return outcome
    try:
        if reset:
            store.attempt(lambda kept: marks.amend(kept, mark_id, "; ".join(reset)), reading=False)
            return outcome
        store.attempt(lambda kept: marks.remove(kept, mark_id), reading=False)
    except StoreUnusable as exc:
        session.messages.warn(f"mark {mark_id} tells of more than was reset: {exc.message}")
        return outcome
    return replace(outcome, mark_id=None)


def _read_again(session: Session, store: Needed, source: Reader, resets: Sequence[Reset]) -> None:
    """So that the next interval begins at the reset."""
    if source.server.has_statistics_collector and any(item.what is not What.STATEMENTS for item in resets):
        time.sleep(2 * COLLECTOR_SECONDS)
    try:
        leave(store, source, source.read(), least_apart=timedelta(0))
    except (Error, psycopg.Error) as exc:
        session.messages.warn(f"the counters could not be read after the reset: {str(exc).strip()}")
