"""How long statements took, as counts that add up over processes: what a quantile of all of them is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Powers of two, so that a quantile is off by a quarter at the most where durations within a bucket are even.
BOUNDS_MS: Sequence[float] = tuple(2.0**power for power in range(-2, 15))
# Of statements that took longer than the bound before, and no longer than this one; last, longer than all.
NAMES: Sequence[str] = (
    *(f"queries_to_{bound:g}_ms" for bound in BOUNDS_MS),
    f"queries_above_{BOUNDS_MS[-1]:g}_ms",
)


def quantile_ms(counts: Sequence[float], q: float) -> float | None:
    """`q` of all took no longer; `counts` in the order of NAMES. What took longer than all bounds counts as the last of
    them. None: there are none.
    """
    rank = q * sum(counts)
    if rank <= 0:
        return None
    seen, below = 0.0, 0.0
    for count, bound in zip(counts, BOUNDS_MS, strict=False):
        if count > 0 and seen + count >= rank:
            return below + (bound - below) * (rank - seen) / count
        seen, below = seen + count, bound
    return BOUNDS_MS[-1]
