"""The Results of one database as one value."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.errors import EXIT_ATTENTION, EXIT_CRITICAL, EXIT_DONE, EXIT_FAILED
from dbopt.health.check import Status
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dbopt.health.check import Result


class FailOn(StrEnum):
    """From which status on the exit code tells of it."""

    WARNING = "warning"
    CRITICAL = "critical"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Which database the verdict is about; None: not known, as there was no connection."""

    name: str | None  # of dbopt.yaml
    place: str  # host:port/dbname, without user and password
    dbname: str | None = None
    server_version: str | None = None
    system_identifier: str | None = None
    in_recovery: bool | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    about: About
    collected_at: datetime
    seconds: float  # elapsed, connecting included
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()  # for people: an ignore entry that matches nothing, ...
    statements: int = 0
    round_trips: int = 0
    fail_on: FailOn = FailOn.WARNING  # what the configuration of this database says

    @property
    def status(self) -> Status:
        """The worst that was found. `unknown` where nothing was, but something may hide: a right is missing, say. What
        merely has no answer yet, as right after statistics were reset, is nothing to be alarmed about.
        """
        worst = max((result.status for result in self.results if result.status.is_problem), default=None, key=_rank)
        if worst is not None:
            return worst
        return Status.UNKNOWN if any(result.blind for result in self.results) else Status.OK

    def exit_code(self, fail_on: FailOn | None = None) -> int:
        """`fail_on` instead of the verdict's own."""
        fail_on = fail_on or self.fail_on
        if fail_on is FailOn.NEVER:
            return EXIT_DONE
        if self.status is Status.CRITICAL:
            return EXIT_CRITICAL
        if self.status is Status.WARNING:
            return EXIT_ATTENTION if fail_on is FailOn.WARNING else EXIT_DONE
        return EXIT_FAILED if self.status is Status.UNKNOWN else EXIT_DONE


def overall(verdicts: Sequence[Verdict]) -> Status:
    """Of several databases: the worst."""
    return max((verdict.status for verdict in verdicts), default=Status.OK, key=_rank)


def exit_code(verdicts: Sequence[Verdict], fail_on: FailOn | None = None) -> int:
    """Of several databases: a problem counts for more than what is not known."""
    codes = {verdict.exit_code(fail_on) for verdict in verdicts}
    return next((code for code in (EXIT_CRITICAL, EXIT_ATTENTION, EXIT_FAILED) if code in codes), EXIT_DONE)


def _rank(status: Status) -> int:
    return status.rank
