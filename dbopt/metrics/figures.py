"""The figures of a window: each with its value, where it stands against its goal, or why there is none. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Metric, Standing
from dbopt.metrics.pool import POOLER
from dbopt.snapshot.model import CLIENTS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dbopt.metrics.window import Window

Lack = tuple[str, str | None]  # the reason, and what to type

NOT_KEPT = "no earlier reading of it is kept: --interval 5s takes two"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`before`: the value in the time that this one is compared with."""

    metric: Metric
    value: float | None
    standing: Standing | None = None
    remark: str | None = None
    reason: str | None = None
    hint: str | None = None
    before: float | None = None

    @property
    def change(self) -> float | None:
        """By which share it has grown."""
        if self.value is None or not self.before:
            return None
        return self.value / self.before - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacks:
    """What could not be had: families with the reason, and the statement that shows what others' sessions do; None
    where this role sees that.
    """

    families: Mapping[str, Lack]
    grant: str | None


def figures(metrics: Iterable[Metric], window: Window, lacks: Lacks, before: Window | None = None) -> Iterator[Figure]:
    longer = 1.0 if before is None else _longer(window, before)
    for metric in metrics:
        value = metric.value(window)
        reason, hint = (None, None) if value is not None else why(metric, window, lacks)
        earlier = None if before is None else metric.value(before)
        if earlier is not None and metric.adds_up:
            earlier *= longer
        yield Figure(
            metric=metric,
            value=value,
            standing=None if value is None else _standing(metric, window, value),
            remark=None if value is None else _remark(metric, window),
            reason=reason,
            hint=hint,
            before=earlier,
        )


def why(metric: Metric, window: Window, lacks: Lacks) -> Lack:
    """Why a figure has no value."""
    if metric.hidden and lacks.grant is not None:
        return "what others' sessions do is hidden from this role", lacks.grant
    for family in metric.families:
        if family in lacks.families and not _is_read(family, window):
            return lacks.families[family]
    if not any(_is_read(family, window) for family in metric.families):
        return str(metric.lacks) if {POOLER, CLIENTS} & set(metric.families) else NOT_KEPT, None
    for family in metric.families:
        interval = window.intervals.get(family)
        if interval is not None and interval.seconds <= 0:
            return ", ".join(interval.breaks) or "no time has passed", None
    if metric.lacks is not None:
        return metric.lacks if isinstance(metric.lacks, str) else metric.lacks(window), None
    if any(interval.breaks for family, interval in window.intervals.items() if metric.reads(family)):
        return "the counters were started anew, and what they said before is not known", None
    return "whether its counters were started anew meanwhile cannot be told", None


def _is_read(family: str, window: Window) -> bool:
    return any(name.startswith(family) if family == CLIENTS else name == family for name in window.intervals)


def _standing(metric: Metric, window: Window, value: float) -> Standing | None:
    if metric.goal is None:
        return None
    number = metric.of(window) if metric.of is not None else None
    return None if number is not None and number < metric.least else metric.goal.standing(value)


def _remark(metric: Metric, window: Window) -> str | None:
    number = metric.of(window) if metric.of is not None else None
    words = [
        f"of {number:,.0f} {metric.of_what}" if number is not None else None,
        "too few to judge" if number is not None and metric.goal is not None and number < metric.least else None,
        metric.remark(window) if metric.remark is not None else None,
    ]
    return ", ".join(filter(None, words)) or None


def _longer(window: Window, before: Window) -> float:
    """How much longer it was watched: what adds up has to be compared for times of the same length."""
    seconds, earlier = (max((item.seconds for item in one.intervals.values()), default=0.0) for one in (window, before))
    return seconds / earlier if earlier > 0 else 1.0
