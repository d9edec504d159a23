"""What a call may ask for."""

from __future__ import annotations

from dbopt.values import dataclass

TIME_LIMIT_SECONDS = 60.0  # our own: who waits longer asks for it
WRITE_WEIGHT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`budget_bytes` and `budget_share` (of the heap of the workload's tables, 0..1): at most one of the two; what all
    suggestions together may take. `write_weight`: 0 counts reads alone, 2 counts each write twice.
    """

    budget_bytes: int | None = None
    budget_share: float | None = None
    max_indexes: int | None = None
    write_weight: float = WRITE_WEIGHT
    time_limit_seconds: float = TIME_LIMIT_SECONDS
    drop: bool = False
