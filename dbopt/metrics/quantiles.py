"""Quantiles of times of which only number, mean and variance are known, by statement.

Each statement's calls are taken as log-normal: times are never negative, most are near the median and a few are much
longer. The quantile is that of all calls together: the time below which the wanted share of the mixture lies, found by
bisection. Exact for statements that always take the same time; an estimate otherwise, as a mean and a variance fit many
distributions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

# A time of nothing has no logarithm; the clock of pg_stat_statements tells no less.
_LEAST_MS = 1e-6
_PRECISION = 1e-4  # relative, of the answer
# How many standard deviations of the logarithm hold all that is asked for.
_REACH = 6.0


@dataclass(frozen=True, slots=True)
class Share:
    """The calls of one statement. Times in any one unit."""

    number: float
    mean: float
    variance: float


def quantile(shares: Sequence[Share], share: float) -> float | None:
    """The time that `share` of all calls do not exceed; None: there are no calls."""
    fitted = [_fitted(item) for item in shares if item.number > 0]
    number = sum(weight for weight, _, _ in fitted)
    if number <= 0:
        return None
    low = min(mu - _REACH * sigma for _, mu, sigma in fitted)
    high = max(mu + _REACH * sigma for _, mu, sigma in fitted)
    wanted = share * number
    # Half a precision wider, so that a statement that always takes the same time lies inside.
    low, high = low - _PRECISION, high + _PRECISION
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if sum(weight * _below(middle, mu, sigma) for weight, mu, sigma in fitted) >= wanted:
            high = middle
        else:
            low = middle
    return math.exp((low + high) / 2)


def _fitted(item: Share) -> tuple[float, float, float]:
    """Weight, and the mean and standard deviation of the logarithm."""
    mean = max(item.mean, _LEAST_MS)
    spread = math.log1p(max(0.0, item.variance) / mean**2)
    return item.number, math.log(mean) - spread / 2, math.sqrt(spread)


def _below(at: float, mu: float, sigma: float) -> float:
    if sigma <= 0:
        return 1.0 if at >= mu else 0.0
    return 0.5 * math.erfc((mu - at) / (sigma * math.sqrt(2)))
