"""Durations by their size: a quantile is known to 5 %, whatever their number, in memory that does not grow.

Each bound is 2 ** (1 / 7) times the one before, so that every seventh is a power of two of milliseconds: counted by
those (`up_to`), nothing is guessed.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = 7  # a power of two; a value and the middle of its bucket differ by 5 % at the most
_LEAST, _GREATEST = -10, 22  # powers of two of milliseconds: from a microsecond to more than an hour
_SIZE = (_GREATEST - _LEAST) * _STEPS + 2  # what is below, and what is above
_BELOW = 1 - _LEAST * _STEPS  # where a duration of just one millisecond is, less one


class Histogram:
    """Not locked: whoever owns it does that."""

    __slots__ = ("_buckets", "count", "max", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0  # seconds
        self.max = 0.0  # seconds
        self._buckets: list[int] | None = None  # not before it is needed: most have few values, or none

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, sum={self.sum:.6g}, max={self.max:.6g})"

    def add(self, seconds: float) -> None:
        """What is negative, as clocks go, is 0."""
        if seconds < 0:
            seconds = 0.0
        buckets = self._buckets
        if buckets is None:
            buckets = self._buckets = [0] * _SIZE
        self.count += 1
        self.sum += seconds
        if seconds > self.max:
            self.max = seconds
        buckets[_bucket(seconds)] += 1

    def merge(self, other: Histogram) -> Self:
        """With all that is in the other one, which stays as it is."""
        if other._buckets is not None:
            own = self._buckets or [0] * _SIZE
            self._buckets = [one + more for one, more in zip(own, other._buckets, strict=True)]
        self.count += other.count
        self.sum += other.sum
        self.max = max(self.max, other.max)
        return self

    def copy(self) -> Histogram:
        made = Histogram()
        made.count, made.sum, made.max = self.count, self.sum, self.max
        made._buckets = None if self._buckets is None else self._buckets.copy()
        return made

    def since(self, before: Histogram) -> Histogram:
        """What came after `before`, an earlier copy of it. The greatest one may be of before."""
        made = self.copy()
        if made._buckets is not None and before._buckets is not None:
            made._buckets = [now - then for now, then in zip(made._buckets, before._buckets, strict=True)]
        made.count -= before.count
        made.sum = max(0.0, made.sum - before.sum)
        return made

    def quantile(self, q: float) -> float | None:
        """In seconds: `q` of all took no longer. None: there are none."""
        if not self.count or self._buckets is None:
            return None
        rank = max(1, math.ceil(q * self.count))
        seen = 0
        for number, count in enumerate(self._buckets):
            seen += count
            if seen >= rank:
                return min(_middle(number), self.max)
        return self.max

    def up_to(self, bounds_ms: Sequence[float]) -> list[int]:
        """How many took longer than the bound before, and no longer than this one; last, longer than all. `bounds_ms`:
        powers of two, which is where nothing has to be guessed.
        """
        if self._buckets is None:
            return [0] * (len(bounds_ms) + 1)
        edges = [0, *(_bucket(bound / 1000) + 1 for bound in bounds_ms), _SIZE]
        return [sum(self._buckets[low:high]) for low, high in itertools.pairwise(edges)]


def _bucket(seconds: float) -> int:
    if seconds <= 0:
        return 0
    number = _BELOW + math.ceil(_STEPS * math.log2(seconds * 1000) - 1e-9)  # what is on a bound is below it
    return 0 if number < 0 else number if number < _SIZE else _SIZE - 1


def _middle(number: int) -> float:
    """In seconds: as far from one end of the bucket as from the other, for its size."""
    if number == 0:
        return 0.0
    upper: float = 2 ** ((number - _BELOW) / _STEPS) / 1000
    return upper * 2 / (1 + 2 ** (1 / _STEPS))
