"""Why a step failed, in one line, and what to type."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors as pg

from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.steps import Blocker, Step
    from dbopt.optimize.worker import Outcome


class Again(Enum):
    """Whether a step that failed gets another try."""

    NO = "no"
    NOW = "now"  # the same statement may well succeed when tried again at once
    LATER = "later"  # when the other tables have had their turn
    YIELDED = "yielded"  # likewise; it made room for somebody, which is no fault of its own
    GONE = "gone"  # the table is not there any more: nothing is left to do for it


@dataclass(frozen=True, slots=True)
class Failure:
    message: str
    hint: str | None = None
    again: Again = Again.NO

    def leaving(self, sentence: str) -> Failure:
        """The same where something is left behind, which the sentence says: no retry at once gets past that."""
        again = Again.NO if self.again is Again.NOW else self.again
        return replace(self, hint=f"{self.hint} {sentence}" if self.hint else sentence, again=again)


_HINTS: tuple[tuple[type[psycopg.Error], str], ...] = (
    (pg.UniqueViolation, "Remove the duplicates first; the message names one of them."),
    (pg.InsufficientPrivilege, "Only the table's owner may do this: SET ROLE to it, or have it granted to you."),
    (pg.DiskFull, "Free space or name another tablespace, then run dbopt optimize again."),
    (pg.ConfigurationLimitExceeded, "temp_file_limit is too low for this build: raise it for this role."),
    (pg.DuplicateTable, "Somebody made it meanwhile: run dbopt plan again."),
    (pg.UndefinedColumn, "Somebody dropped or renamed it meanwhile: run dbopt plan again."),
    (pg.UndefinedTable, "Somebody dropped it meanwhile: run dbopt plan again."),
    (pg.UndefinedObject, "Somebody dropped it meanwhile: run dbopt plan again."),
    (pg.QueryCanceled, "Somebody cancelled it (pg_cancel_backend): run dbopt optimize again."),
    (pg.AdminShutdown, "Somebody ended the session or the server: run dbopt optimize again."),
    (pg.LockNotAvailable, "Somebody holds a lock on it: see pg_locks, then run dbopt optimize again."),
)


def is_transient(error: psycopg.Error) -> bool:
    return isinstance(error, (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure))


def explain(error: psycopg.Error, step: Step, verb: str, outcome: Outcome | None = None) -> Failure:
    """A statement's error as a Failure."""
    if outcome is not None and isinstance(error, pg.QueryCanceled) and (ended := given_up(step, verb, outcome)):
        return ended
    name = _name(step)
    words = error.diag.message_primary or str(error).strip().splitlines()[0]
    detail = f": {error.diag.message_detail}" if error.diag.message_detail else ""
    state = f" [SQLSTATE {error.sqlstate}]" if error.sqlstate else ""
    hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), error.diag.message_hint)
    return Failure(
        f"could not {verb} {name}: {words}{detail}{state}",
        hint,
        Again.NOW if isinstance(error, pg.DeadlockDetected) else Again.NO,
    )


def given_up(step: Step, verb: str, outcome: Outcome) -> Failure | None:
    """Where it was dbopt itself that ended the statement or never started it: why."""
    if outcome.interrupted is not None:
        return Failure(
            f"could not {verb} {_name(step)}: interrupted", "Run dbopt optimize again: it goes on from here."
        )
    if outcome.gave_up:
        return Failure(
            f"could not {verb} {_name(step)}: gave up waiting after {format_duration(outcome.waited_seconds)}"
            f" for {_who(outcome.blockers)}",
            "End what it waited for, or give it longer with --wait.",
            Again.LATER,
        )
    if outcome.made_room_for is not None:
        piled = outcome.made_room_for.piled
        why = f"behind whom {piled} others waited" if piled else "since each would have waited for the other"
        return Failure(
            f"could not {verb} {_name(step)}: made room for {_who((outcome.made_room_for.waiter,))}, {why}",
            "Run dbopt optimize again when that one is done; --no-yield insists.",
            Again.YIELDED,
        )
    return None


def _name(step: Step) -> str:
    return step.index or f"{step.schema}.{step.table}"


def _who(blockers: tuple[Blocker, ...]) -> str:
    """Those who were waited for: pid, user, application, state, age; never their statements."""
    if not blockers:
        return "a lock"
    return "; ".join(
        f"prepared transaction {one.gid}"
        if one.pid is None
        else f"pid {one.pid} ({one.usename}, {one.application_name or 'no application name'}, {one.state}"
        + (f", {format_duration(one.xact_age_seconds)}" if one.xact_age_seconds is not None else "")
        + ")"
        for one in blockers
    )
