"""How many different values a column has, from what ANALYZE says about it.

ANALYZE extrapolates from a sample as if all values were about equally common (the estimator Duj1, compute_scalar_stats
in src/backend/commands/analyze.c). One very common value beside many rare ones, such as '' beside texts of their own,
makes it say half of what there are. But it lists the common values too, so that this can be undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbopt.postgres.statistics import ColumnStatistics

_ROWS_A_BOUND = 300  # the sample has so many rows for each bound of the histogram
_STEPS = 40  # of halving: to a millionth of a millionth


def distinct_values(found: ColumnStatistics, table_rows: float) -> float:
    """The number of different values that are not NULL. Where nobody knows (0 in pg_stats), all differ."""
    present = table_rows * (1 - (found.null_frac or 0.0))
    if not found.n_distinct:
        return present
    said = found.n_distinct if found.n_distinct > 0 else -found.n_distinct * table_rows
    said = min(said, present)
    if not found.common_freqs or not found.bounds or present <= 0:
        return said
    common = len(found.common_freqs)
    rest = present - table_rows * sum(found.common_freqs)
    sampled = min(_ROWS_A_BOUND * (found.bounds - 1) * present / table_rows, present)
    if rest <= 1 or sampled <= 1:
        return said
    low, high = 1.0, rest
    for _ in range(_STEPS):
        middle = (low + high) / 2
        enough = _said_by_analyze(middle, common, rest, sampled, present) >= said
        low, high = (low, middle) if enough else (middle, high)
    return max(common + low, said)


def _said_by_analyze(others: float, common: int, rest: float, sampled: float, present: float) -> float:
    """What ANALYZE says if the rows that have none of the common values have so many others, all alike."""
    part = sampled / present
    alike = rest / others
    met = common + others * (1 - (1 - part) ** alike)
    once = rest * part * (1 - part) ** (alike - 1) if part < 1 else 0.0
    return float(sampled * met / (sampled - once + once * part))


def distinct_if_clustered(found: ColumnStatistics, table_rows: float, table_pages: int) -> float | None:
    """The number of different values if rows that have the same lie side by side, in the form of `n_distinct`.

    ANALYZE reads some pages, and from each some rows. Where it does not read all pages, rows of one page are met
    together far more often than by chance, so that it takes their values for common: 5 rows an order, written together,
    become 25. As many different values as `n_distinct` says, or more.
    """
    said = found.n_distinct
    if not said or said <= -1 or not found.bounds:  # all are listed, or all differ
        return said
    present = table_rows * (1 - (found.null_frac or 0.0))
    rest = present - table_rows * sum(found.common_freqs)
    sampled = _ROWS_A_BOUND * (found.bounds - 1)
    if table_pages <= sampled or rest <= 1:
        return said
    said_distinct = said if said > 0 else -said * table_rows
    others = max(said_distinct - len(found.common_freqs), 1.0)
    met_together = table_pages / table_rows  # of the rows on a page that was read
    met = sampled * rest / present
    low, high = 1.0, rest / others
    for _ in range(_STEPS):
        alike = (low + high) / 2
        runs = met / met_together / alike
        different = runs * (1 - (1 - met_together) ** alike)
        once = runs * alike * met_together * (1 - met_together) ** (alike - 1)
        estimate = met * different / max(met - once + once * met / rest, 1e-9)
        low, high = (alike, high) if estimate >= others else (low, alike)
    return max(len(found.common_freqs) + rest / low, said_distinct)
