"""What the store gives back: runs and their steps."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from datetime import datetime


class Outcome(StrEnum):
    DONE = "done"
    ATTENTION = "attention"  # ended, and something failed or was refused
    INTERRUPTED = "interrupted"  # ended by a signal, cleaned up
    UNFINISHED = "unfinished"  # never told its end: under way, or killed


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """`seconds` is None while the step is under way, and for ever if the run was killed in it."""

    number: int
    action: str
    domain: str | None
    schema_name: str
    table_name: str
    index_name: str | None
    reason: str
    statements: tuple[str, ...]
    started_at: datetime
    seconds: float | None
    size_bytes: int | None
    error: str | None
    hint: str | None
    size_before_bytes: int | None
    built_seconds: float | None
    table_bytes: int | None

    @property
    def outcome(self) -> Outcome:
        if self.seconds is None:
            return Outcome.UNFINISHED
        return Outcome.DONE if self.error is None else Outcome.ATTENTION


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """`planned` is the number of steps in the plan. The counts and `seconds` are None until the run has ended;
    `left_over` counts what was not started. `name`: of the file from which --undo makes again what it dropped.
    """

    id: int
    target_name: str
    server: str
    dbname: str
    server_version: str
    command: str
    dbopt_version: str
    os_user: str
    role: str
    spec_digest: str | None
    plan_state: str
    planned: int
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None
    applied: int | None
    failed: int | None
    refused: int | None
    unchanged: int | None
    interrupted: bool | None
    name: str | None
    left_over: int | None

    @property
    def outcome(self) -> Outcome:
        if self.finished_at is None:
            return Outcome.UNFINISHED
        if self.interrupted:
            return Outcome.INTERRUPTED
        return Outcome.ATTENTION if self.failed or self.refused or self.left_over else Outcome.DONE
