"""What `apply` tells while it runs. One stream, four readers: progress bar, log lines, JSON lines, ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.steps import Blocker, Item, Plan, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """`number` counts from 1."""

    number: int
    total: int
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A build or drop under way. `done` is 0..1 over all phases, None where the server tells nothing."""

    step: Step
    phase: str
    done: float | None
    elapsed_seconds: float
    eta_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The statement waits for these; `limit_seconds` is when it gives up, None never."""

    step: Step
    phase: str
    blockers: tuple[Blocker, ...]
    waited_seconds: float
    limit_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that people should read: a retry, a leftover removed."""

    message: str
    step: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """`error` None: applied, and every proof held. Otherwise one line in PostgreSQL's form, with `hint`."""

    number: int
    total: int
    step: Step
    seconds: float
    size_bytes: int | None = None
    size_before_bytes: int | None = None  # of the index that it replaced or dropped
    built_seconds: float | None = None  # of its builds, without waiting for others
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPutOff:
    """It could not have its turn now and comes back after the others; another StepStarted follows."""

    number: int
    total: int
    step: Step
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The last event of every run, also of one that was interrupted. `left` counts what was not started."""

    applied: int
    failed: int
    refused: int
    unchanged: int
    seconds: float
    items: tuple[Item, ...]
    left: int = 0
    interrupted: bool = False


Event = RunStarted | StepStarted | Progress | Waiting | Notice | StepFinished | StepPutOff | Result
