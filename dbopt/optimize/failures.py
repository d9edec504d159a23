"""Why a step failed, in one line, and what to type."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors as pg

from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.steps import Blocker, Step
    from dbopt.optimize.worker import Outcome


@dataclass(frozen=True, slots=True)
class Failure:
    """`retry`: the same statement may well succeed when tried again at once."""

    message: str
    hint: str | None = None
    retry: bool = False

    def leaving(self, sentence: str) -> Failure:
        """The same where something is left behind, which the sentence says: no retry gets past that."""
        return replace(self, hint=f"{self.hint} {sentence}" if self.hint else sentence, retry=False)


_HINTS: tuple[tuple[type[psycopg.Error], str], ...] = (
    (pg.UniqueViolation, "Remove the duplicates first; the message names one of them."),
    (pg.InsufficientPrivilege, "Only the table's owner may do this: SET ROLE to it, or have it granted to you."),
    (pg.DiskFull, "Free space or name another tablespace, then run dbopt optimize again."),
    (pg.ConfigurationLimitExceeded, "temp_file_limit is too low for this build: raise it for this role."),
    (pg.DuplicateTable, "Somebody made it meanwhile: run dbopt plan again."),
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
        f"could not {verb} {name}: {words}{detail}{state}", hint, retry=isinstance(error, pg.DeadlockDetected)
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
