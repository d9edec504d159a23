"""What each statement is of the workload, in the planner's units. Pure.

Times that were measured are the truth about today; what an index would change, only the planner can say, and in its own
units. What writing costs is in those units too. So times are turned into units, by what a unit has taken in the middle
of this very workload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def weights(calls: Sequence[float], times_ms: Sequence[float | None], costs: Sequence[float]) -> list[float]:
    """One for each statement: calls, the time of all calls where it was measured, the planner's cost of one call."""
    planned = [max(number, 1.0) * cost for number, cost in zip(calls, costs, strict=True)]
    ratio = _milliseconds_a_unit(times_ms, planned)
    return [
        cost if time is None or ratio is None else time / ratio for time, cost in zip(times_ms, planned, strict=True)
    ]


def _milliseconds_a_unit(times_ms: Sequence[float | None], planned: Sequence[float]) -> float | None:
    """The median over statements: one whose cost is far off does not set the scale, however long it takes."""
    ratios = sorted(
        time / cost for time, cost in zip(times_ms, planned, strict=True) if time is not None and time > 0 < cost
    )
    return ratios[(len(ratios) - 1) // 2] if ratios else None
