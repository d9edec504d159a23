"""What one statement did over time, whoever ran it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.history.series import Point, Series, stretches
from dbopt.metrics.metric import Unit
from dbopt.snapshot.delta import total

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbopt.snapshot.model import Interval


def of_statement(queryid: str, intervals: Sequence[Interval], every_seconds: float) -> list[Series]:
    """Calls, mean time and rows; of `intervals` of STATEMENTS."""
    summed = list(stretches(intervals, every_seconds).values())
    whole = total(summed)

    def series(name: str, title: str, unit: Unit, meaning: str, value: Callable[[Interval], float | None]) -> Series:
        return Series(
            name=name,
            title=title,
            unit=unit,
            meaning=meaning,
            points=tuple(
                Point(
                    from_at=item.from_at,
                    to_at=item.to_at,
                    value=value(item),
                    seconds=_seconds(queryid, item),
                    breaks=item.breaks,
                )
                for item in summed
            ),
            whole=None if whole is None else value(whole),
            lacks="it was not called",
        )

    def rate(name: str) -> Callable[[Interval], float | None]:
        def value(interval: Interval) -> float | None:
            keys = _keys(queryid, interval) or [queryid]  # it did nothing: so did a key that nobody has
            known = [rate for key in keys if (rate := interval.rate(key, name)) is not None]
            return sum(known) if known else None

        return value

    def mean(interval: Interval) -> float | None:
        calls, time = count(queryid, interval, "calls"), count(queryid, interval, "total_exec_time_ms")
        return None if not calls or time is None else time / calls

    return [
        series("calls_per_second", "Calls", Unit.PER_SECOND, "How often it was called.", rate("calls")),
        series("mean_exec_time_ms", "Mean time", Unit.MILLISECONDS, "How long a call took on average.", mean),
        series("rows_per_second", "Rows", Unit.PER_SECOND, "Rows that it gave back or wrote.", rate("rows")),
    ]


def count(queryid: str, interval: Interval, name: str) -> float | None:
    """What a counter grew by, of all who ran the statement. None: not known."""
    if interval.seconds <= 0 or name not in interval.counts:
        return None
    at = interval.counts.index(name)
    amounts = [interval.changes[key].counts[at] for key in _keys(queryid, interval)]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known or not amounts else None


def _keys(queryid: str, interval: Interval) -> list[str]:
    """One for each user that ran it."""
    return [change.key for change in interval.changes.values() if change.name == queryid]


def _seconds(queryid: str, interval: Interval) -> float:
    """Of whomever was watched least."""
    return min((interval.seconds_of(key) for key in _keys(queryid, interval)), default=interval.seconds)
