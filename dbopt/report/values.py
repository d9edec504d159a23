"""The sections of the page, as values. Those of health, metrics and stats are the values of these rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dbopt.health.verdict import Verdict
    from dbopt.history.series import Point
    from dbopt.metrics.figures import Figure
    from dbopt.metrics.metric import Unit
    from dbopt.stats.survey import Survey
    from dbopt.store.records import RunRecord, StepRecord

Moments = tuple["datetime", "datetime"]


@dataclass(frozen=True, slots=True)
class Missing:
    """What the page cannot tell, why, and what to type."""

    what: str
    reason: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """A figure over the whole window, and how it went: `points` is empty where there is no history of it."""

    figure: Figure
    points: Sequence[Point] = ()

    @property
    def known(self) -> list[tuple[float, Point]]:
        return [(point.value, point) for point in self.points if point.value is not None]

    @property
    def is_flat(self) -> bool:
        """Nothing to draw: it never moved, or there are not two points."""
        return len({value for value, _ in self.known}) < 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRow:
    """One queryid, whoever ran it, within the window. `text` is masked; None: not kept."""

    queryid: str
    text: str | None
    calls: float
    total_ms: float
    rows: float
    share: float  # of the time of all statements
    hit_ratio: float | None
    temp_blks_written: float

    @property
    def mean_ms(self) -> float:
        return self.total_ms / self.calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Those that cost most. `left_out`: how many more there are."""

    rows: Sequence[StatementRow]
    left_out: int
    total_ms: float  # of all


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A figure before and after a run. None: not known."""

    title: str
    before: float | None
    after: float | None
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEffect:
    """A step, and how its index is doing now. `scans`: since `scans_since`; None: not known, or it made no index.

    `is_gone`: no index with storage has that name any more.
    """

    step: StepRecord
    size_now_bytes: int | None = None
    scans: float | None = None
    scans_since: datetime | None = None
    is_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEffect:
    """A run of optimize and what it brought. `why_not`: why nothing can be compared."""

    run: RunRecord
    steps: Sequence[StepEffect]
    compared: Sequence[Compared] = ()
    why_not: str | None = None
    before: Moments | None = None
    after: Moments | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that was found out about a database beside its health.

    `window` is what was really watched, by the moments of its readings. `is_history` False: there are no earlier
    readings, and `window` is all the time that the server's counters speak of. `runs` None: not known.
    """

    window: Moments | None
    is_history: bool
    readings: int
    breaks: Sequence[tuple[datetime, str]]
    courses: Sequence[Course]
    survey: Survey | None
    statements: Statements | None
    runs: Sequence[RunEffect] | None
    missing: Sequence[Missing]


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """`seen` None: it could not be reached; the verdict says why."""

    verdict: Verdict
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    made_at: datetime
    version: str
    since: datetime
    call: str  # that made it
    databases: Sequence[DatabaseReport]
