"""The ledger: one of the readers of the stream of events of a run.

A step is in the store before its statements run, so that a run that was killed shows which step it was in. The first
failure is one warning; after it only the end of the run is tried again, with everything that is missing: a store that
is locked for an hour holds the run up twice for some seconds, and a store that came back has lost nothing.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dbopt import __version__
from dbopt.errors import StoreUnusable
from dbopt.optimize.events import Event, Result, RunStarted, StepFinished, StepStarted
from dbopt.store.faults import warn
from dbopt.store.users import os_user
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.optimize.steps import Plan, Step
    from dbopt.store.repository import Store

UNRECORDED = "the run goes on without being recorded"

# PostgreSQL's detail of a duplicate or missing key: `Key (email)=(a@example.org) is duplicated.`, in any language.
_KEY_VALUES = re.compile(r"\)=\(.*\)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What the events do not tell: the command, the target as it was called, our role there, which spec, and the name
    by which --undo knows the run.
    """

    command: str
    target_name: str
    role: str
    spec_digest: str | None
    name: str | None = None


class Ledger:
    """`handle` never raises because of the store, and a `store` of None records nothing."""

    def __init__(self, store: Store | None, caller: Caller, *, clock: Callable[[], datetime]) -> None:
        self.run_id: int | None = None
        self._store = store
        self._caller = caller
        self._clock = clock
        self._target: dict[str, Any] = {}
        self._run: dict[str, Any] = {}
        self._steps: dict[int, dict[str, Any]] = {}
        self._warned = False

    def handle(self, event: Event) -> None:
        """Take one event in, and write what is not written yet."""
        if self._store is None:
            return
        match event:
            case RunStarted():
                self._start(event.plan)
            case StepStarted():
                self._steps[event.number] = {**_step(event.step), "started_at": self._clock()}
            case StepFinished():
                self._steps[event.number] = {
                    **_step(event.step),
                    "started_at": self._clock() - timedelta(seconds=event.seconds),
                    "seconds": event.seconds,
                    "size_bytes": event.size_bytes,
                    "size_before_bytes": event.size_before_bytes,
                    "built_seconds": event.built_seconds,
                    "error": _without_values(event.error),
                    "hint": _without_values(event.hint),
                }
            case Result():
                self._run |= {
                    "finished_at": self._clock(),
                    "seconds": event.seconds,
                    "applied": event.applied,
                    "failed": event.failed,
                    "refused": event.refused,
                    "unchanged": event.unchanged,
                    "left_over": event.left,
                    "interrupted": event.interrupted,
                }
            case _:
                return
        ended = isinstance(event, Result)
        if ended or not self._warned:
            self._write(self._store)
        if ended:
            self._store.close()

    def _start(self, plan: Plan) -> None:
        self._target = {
            "server": plan.target.system_identifier or self._caller.target_name,
            "dbname": plan.target.dbname,
        }
        self._run = {
            **asdict(self._caller),
            "os_user": os_user(),
            "dbopt_version": __version__,
            "server_version": plan.target.server_version,
            "plan_state": plan.state,
            "planned": len(plan.steps),
            "started_at": self._clock(),
        }

    def _write(self, store: Store) -> None:
        try:
            self.run_id = store.write(self.run_id, self._target, self._run, self._steps)
        except StoreUnusable as exc:
            if not self._warned:
                warn(exc, UNRECORDED)
            self._warned = True
        else:
            self._steps.clear()


def now() -> datetime:
    return datetime.now(UTC)


def _step(step: Step) -> dict[str, Any]:
    return {
        "action": step.action.value,
        "domain": step.domain,
        "schema_name": step.schema,
        "table_name": step.table,
        "index_name": step.index,
        "reason": step.reason,
        "statements": list(step.statements),
        "seconds": None,
        "size_bytes": None,
        "size_before_bytes": None,
        "built_seconds": None,
        "table_bytes": (step.estimate or {}).get("table_bytes"),
        "error": None,
        "hint": None,
    }


def _without_values(words: str | None) -> str | None:
    """An error's words without rows of the user's tables in them."""
    return words and _KEY_VALUES.sub(")=(...)", words)
