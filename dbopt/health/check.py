"""The form of a check, and what comes out of one.

A check is data: the query it reads, how a row becomes a subject with a measure, from which measure on it is a problem
and who says so, and what to type then. `judge.py` turns rows into findings with it, alike for all checks.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.health.blocking import Tree
    from dbopt.health.deltas import Counters
    from dbopt.health.scene import Scene
    from dbopt.postgres.query import Query

Row = TypeVar("Row")


class Status(StrEnum):
    """From harmless to grave; `rank` compares."""

    SKIPPED = "skipped"  # does not apply here, or lacks something that somebody may not want
    OK = "ok"
    UNKNOWN = "unknown"  # could not be judged: never ok, never a problem
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Status).index(self)

    @classmethod
    def worst(cls, found: Iterable[Finding], *, default: Status) -> Status:
        return max((finding.status for finding in found), key=lambda status: status.rank, default=default)

    @property
    def is_problem(self) -> bool:
        return self in (Status.WARNING, Status.CRITICAL)


class Group(StrEnum):
    """In the order in which they are shown."""

    AVAILABILITY = "availability"
    CONNECTIONS = "connections"
    LOCKS = "locks"
    VACUUM = "vacuum"
    INDEXES = "indexes"
    STORAGE = "storage"
    REPLICATION = "replication"
    CHECKPOINTS = "checkpoints"
    CONFIGURATION = "configuration"
    WORKLOAD = "workload"
    CLIENTS = "clients"  # applications, as they see their database


class Unit(StrEnum):
    """What a measure counts, always in the base unit; render and configuration know the others."""

    BYTES = "bytes"
    SECONDS = "seconds"
    RATIO = "ratio"  # 0..1
    TRANSACTIONS = "transactions"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which measure on it is a problem, the limit included. None: never that.

    `source` says who holds these numbers to be right: a page of the manual, a guide, our own reasoning.
    """

    warning: float | None
    critical: float | None
    source: str
    below: bool = False  # the problem is to have too little

    def judge(self, measure: float) -> Status:
        for status, limit in ((Status.CRITICAL, self.critical), (Status.WARNING, self.warning)):
            if limit is not None and (measure <= limit if self.below else measure >= limit):
                return status
        return Status.OK


def above(*, warning: float | None, critical: float | None, source: str) -> Thresholds:
    return Thresholds(warning, critical, source)


def below(*, warning: float | None, critical: float | None, source: str) -> Thresholds:
    return Thresholds(warning, critical, source, below=True)


def presence(status: Status, *, source: str) -> Thresholds:
    """That there is such a row at all is the problem, whatever it measures."""
    every = float("-inf")
    return Thresholds(every if status is Status.WARNING else None, every if status is Status.CRITICAL else None, source)


@dataclass(frozen=True, slots=True)
class Limit:
    """A number beside the thresholds, such as the size below which nobody cares. `dbopt.yaml` may set it by `name`."""

    name: str
    value: float
    unit: Unit
    source: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Why something could not be judged, and what would help.

    `blind`: something hides the answer, such as a missing right or a timeout, and a problem may be behind it: the
    verdict as a whole is `unknown` then. Not blind: there is no answer yet, as when statistics have just been reset.
    """

    reason: str
    hint: str | None = None
    blind: bool = False


class NotJudged(Exception):
    """Raised while a check's rows are chosen: the whole check is `unknown`, or `skipped`."""

    def __init__(
        self, reason: str, *, hint: str | None = None, blind: bool = False, status: Status = Status.UNKNOWN
    ) -> None:
        super().__init__(reason)
        self.gap = Gap(reason, hint, blind)
        self.status = status


@dataclass(frozen=True, slots=True)
class Need:
    """What a check cannot do without. `met` looks at the scene before anything of the check is asked."""

    met: Callable[[Scene], bool]
    reason: str
    hint: Callable[[Scene], str | None]
    status: Status = Status.SKIPPED  # or UNKNOWN, blind, where a problem may hide behind it


def _all(rows: Sequence[Any], _scene: Scene) -> Iterable[Any]:
    return rows


def _nothing(_row: Any) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Generic[Row]):
    """One check. All functions are pure.

    `rows` picks from, enriches or combines what the query gave (`scene` has the limits, other queries' rows and the
    time): its values are what the functions below it get. `gap` says why one of them cannot be judged. `measure` is in
    `unit`. `remedy` is SQL or a command to paste; `fragment` an entry of a spec with the same effect, as plain values
    (`table`, `index`...), for --fix-spec.
    """

    id: str
    title: str
    group: Group
    query: Query[Any]
    unit: Unit
    thresholds: Thresholds
    subject: Callable[[Row], str]
    measure: Callable[[Row], float]
    detail: Callable[[Row], str]
    remedy: Callable[[Row], str | None] = _nothing
    fragment: Callable[[Row], Mapping[str, object] | None] = _nothing
    rows: Callable[[Sequence[Any], Scene], Iterable[Row]] = _all
    gap: Callable[[Row], Gap | None] = _nothing
    grade: Callable[[Row], Status | None] = _nothing  # where the measure alone does not tell; None: it does
    also: tuple[Query[Any], ...] = ()  # other queries whose rows it reads, by `scene.rows`
    limits: tuple[Limit, ...] = ()
    needs: tuple[Need, ...] = ()
    counters: Callable[[Sequence[Any]], Iterable[Counters]] | None = None  # kept for the next run, for `scene.deltas`
    slow: bool = False  # its counters are compared with those of a day ago, not of the last run
    trees: Callable[[Sequence[Row]], tuple[Tree, ...]] | None = None  # who waits for whom
    gauge: bool = False  # few subjects, measured even when all is well: for graphs
    advice: bool = False  # what it finds is advice: shown on request, never a problem

    @property
    def queries(self) -> tuple[Query[Any], ...]:
        return (self.query, *self.also)

    @property
    def documentation(self) -> str:
        """The docstring of the file that the check stands in."""
        module = sys.modules.get(f"dbopt.health.checks.{self.id.replace('-', '_')}")
        return cleandoc(module.__doc__ or "") if module else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One subject with one measure. `status` is `ok` where it is only measured."""

    subject: str
    status: Status
    measure: float
    unit: Unit
    detail: str
    remedy: str | None = None
    fragment: Mapping[str, object] | None = None
    reason: str | None = None  # why it does not count: what the ignore entry says, or how many runs have seen it


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one check says. `findings` are problems, the worst first."""

    check: Check[Any]
    status: Status
    reason: str | None = None
    hint: str | None = None
    blind: bool = False
    findings: tuple[Finding, ...] = ()
    measured: tuple[Finding, ...] = ()  # without problem, of checks with `gauge`
    advice: tuple[Finding, ...] = ()
    trees: tuple[Tree, ...] = ()
    # Would be findings, and do not count: somebody asked to leave them out, the baseline has them, or not for --for N.
    ignored: tuple[Finding, ...] = ()
    known: tuple[Finding, ...] = ()
    pending: tuple[Finding, ...] = ()
    judged: bool = False  # by the check's thresholds; not so where it lacked something, or there was no connection

    @property
    def id(self) -> str:
        return self.check.id

    @property
    def judged_all(self) -> bool:
        """Nothing was left out, so that what it does not find is not there."""
        return self.reason is None and self.status not in (Status.UNKNOWN, Status.SKIPPED)
