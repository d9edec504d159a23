"""What keeps VACUUM from removing dead rows: the oldest snapshot or transaction that somebody still holds.

Rows that died after the xmin horizon stay, in every table, however often VACUUM runs: tables and indexes swell, and
transaction IDs cannot be frozen. Whoever holds it back is named, be it a session (a long transaction, a forgotten
cursor, a backup by pg_dump), a prepared transaction, a replication slot, or the feedback of a standby.

Where it is known since when, time counts. Of a slot (before 17) and of a standby's feedback it is not: there the age in
transactions counts, by the limits `old` and `very_old`. On a standby its sessions matter as far as they hold back the
primary, by hot_standby_feedback; without it, this check is skipped there.
https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from psycopg.sql import Literal

from dbopt.health.check import Check, Gap, Group, Limit, NotJudged, Status, Unit, above
from dbopt.health.sessions import UNTRACKED, clipped, hidden, statement, who
from dbopt.postgres.prepared import PREPARED_TRANSACTIONS
from dbopt.postgres.sessions import SESSIONS, SLOT_HORIZONS
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.prepared import PreparedTransaction
    from dbopt.postgres.sessions import Session, SlotHorizon

# More than a server assigns: a snapshot that is older than its statement can be by this rate is its transaction's.
_TRANSACTIONS_PER_SECOND_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds the horizon back. `seconds` None: nobody knows since when."""

    subject: str
    age: int  # transactions
    seconds: float | None
    words: str
    remedy: str
    gap: Gap | None = None
    old: Status | None = None  # by its age in transactions

    @property
    def detail(self) -> str:
        since = f" for {format_duration(self.seconds)}" if self.seconds is not None else ""
        return f"{self.words} pins {self.age:,} transactions{since}"

    @property
    def grade(self) -> Status | None:
        if self.seconds is not None:
            return None
        return self.old or Status.OK


def _rows(slots: Sequence[SlotHorizon], scene: Scene) -> Iterator[Holder]:
    sessions = scene.rows(SESSIONS)
    if scene.server.in_recovery and not any(session.is_own and session.feeds_back for session in sessions):
        raise NotJudged(
            "sessions on a standby hold back nobody while hot_standby_feedback is off", status=Status.SKIPPED
        )
    # Of a snapshot taken now: who has a younger one holds nothing back that is not held back anyway.
    fresh = next((session.xmin_age or 0 for session in sessions if session.is_own), 0)
    prepared = scene.rows(PREPARED_TRANSACTIONS)
    # Whose ID a snapshot begins with holds it back, not whoever has the snapshot, as long as that transaction lasts.
    ids = frozenset(session.xid_age for session in sessions if session.xid_age is not None)
    ids |= {transaction.xid_age for transaction in prepared}
    free = max((_age(session, ids) for session in sessions if not session.blocked_by), default=0)
    free = max((free, *(transaction.xid_age for transaction in prepared)))
    for session in sessions:
        # Who waits for others is not named while somebody older does not.
        if session.blocked_by and 0 <= _age(session, ids) <= free:
            continue
        holder = _session(session, _age(session, ids), fresh, scene)
        if holder is not None:
            yield holder
    yield from map(_prepared, prepared)
    yield from (_slot(slot, scene) for slot in slots)


def _age(session: Session, ids: frozenset[int]) -> int:
    """How old what it holds back itself is, in transactions; -1: nothing."""
    if session.is_own or session.vacuums or session.leader_pid is not None:
        return -1
    xmin_age = None if session.xmin_age in ids and not session.is_walsender else session.xmin_age
    ages = [max(age, 0) for age in (session.xid_age, xmin_age) if age is not None]
    return max(ages, default=-1)


def _session(session: Session, age: int, fresh: int, scene: Scene) -> Holder | None:
    subject = f"pid {session.pid}"
    if session.is_own or session.vacuums:
        return None
    if session.is_hidden:
        # Of a walsender its xmin, which is the standby's feedback, is hidden too.
        seen = session.is_walsender or (session.is_client and session.in_transaction)
        return Holder(subject, 0, None, "", "", hidden(scene)) if seen else None
    if age < 0:
        return None
    if session.is_walsender:
        name = session.application_name or subject
        words = f"feedback of standby {name}, {who(session)},"
        remedy = (
            "-- on the standby: end its long queries, or\n"
            "ALTER SYSTEM SET hot_standby_feedback = off; SELECT pg_catalog.pg_reload_conf();"
        )
        return Holder(f"standby {name}", age, None, words, remedy, old=_old(age, scene))
    if session.state == "disabled":
        return Holder(subject, age, None, "", "", UNTRACKED)
    ends = "terminate" if session.is_idle_in_transaction else "cancel"
    said = statement(session, literals=scene.show_literals)
    words = f"{session.state or session.backend_type}: {who(session)}{f' ({clipped(said)})' if said else ''},"
    remedy = f"SELECT pg_catalog.pg_{ends}_backend({session.pid});"
    return Holder(subject, age, _held_seconds(session, fresh), words, remedy)


def _held_seconds(session: Session, fresh: int) -> float:
    """Since when a session holds what it holds: its transaction, or just the statement that runs."""
    transaction, running = session.xact_seconds or 0.0, session.query_seconds or 0.0
    if session.xid_age is not None or session.state != "active":
        return transaction
    beyond = (session.xmin_age or 0) - fresh
    # In READ COMMITTED each statement has a snapshot of its own, in REPEATABLE READ (pg_dump) the transaction has one.
    return transaction if beyond > _TRANSACTIONS_PER_SECOND_MAX * (running + 1) else min(transaction, running)


def _prepared(transaction: PreparedTransaction) -> Holder:
    gid = Literal(transaction.gid).as_string()
    return Holder(
        f"prepared {transaction.gid}",
        max(0, transaction.xid_age),
        transaction.age_seconds,
        f"prepared transaction of {transaction.owner} in database {transaction.datname}",
        f"ROLLBACK PREPARED {gid};  -- in database {transaction.datname}",
    )


def _slot(slot: SlotHorizon, scene: Scene) -> Holder:
    age = max(0, slot.xmin_age or 0, slot.catalog_xmin_age or 0)
    kind = f"{'active' if slot.active else 'inactive'} {slot.slot_type} slot"
    of = f" of database {slot.datname}" if slot.datname else ""
    what = "" if slot.xmin_age is not None else " in system catalogs"
    drop = f"SELECT pg_catalog.pg_drop_replication_slot({Literal(slot.slot_name).as_string()});"
    remedy = f"{drop}  -- if its consumer never comes back"
    if slot.active:
        remedy = f"-- its consumer lags: make it catch up, or stop it and then\n{drop}"
    seconds = None if slot.active else slot.inactive_seconds
    return Holder(f"slot {slot.slot_name}", age, seconds, f"{kind}{of}{what}", remedy, old=_old(age, scene))


def _old(age: int, scene: Scene) -> Status | None:
    if age >= scene.limits["very_old"]:
        return Status.CRITICAL
    return Status.WARNING if age >= scene.limits["old"] else None


CHECK: Check[Holder] = Check(
    id="xmin-horizon",
    title="Snapshots that hold VACUUM back",
    group=Group.VACUUM,
    query=SLOT_HORIZONS,
    also=(SESSIONS, PREPARED_TRANSACTIONS),
    rows=_rows,
    gap=lambda holder: holder.gap,
    unit=Unit.SECONDS,
    thresholds=above(
        warning=15 * 60,
        critical=60 * 60,
        source="our reasoning: within a quarter of an hour a busy table has lost what autovacuum does in ten runs",
    ),
    limits=(
        Limit("old", 5_000_000, Unit.TRANSACTIONS, "our reasoning: an hour of 1,400 transactions a second"),
        Limit(
            "very_old",
            50_000_000,
            Unit.TRANSACTIONS,
            "vacuum_freeze_min_age: what VACUUM would freeze, and cannot, "
            "https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-VACUUM-FREEZE-MIN-AGE",
        ),
    ),
    subject=lambda holder: holder.subject,
    measure=lambda holder: math.nan if holder.seconds is None else holder.seconds,
    grade=lambda holder: holder.grade,
    detail=lambda holder: holder.detail,
    remedy=lambda holder: holder.remedy,
)
