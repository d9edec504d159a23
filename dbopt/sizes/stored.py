"""A column of an index to be, from its statistics in the table: how long its values are and how many of them differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.sizes.btree import SAMPLES, SHORT_BYTES, Column
from dbopt.sizes.distinct import distinct_values
from dbopt.sizes.predicate import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.statistics import ColumnStatistics
    from dbopt.sizes.predicate import Said

_NEARLY_ALL = 0.9  # of the values that are not NULL: then the predicate is IS NOT NULL or as good as that
_SPREAD_BYTES = 8  # lengths of which only the average is known are taken to differ so much, and meet every alignment
_BELIEVED = 0.25  # a measured average may be so far from that of the statistics
_ALIGN = {"c": 1, "s": 2, "i": 4, "d": 8}


def stored(found: ColumnStatistics, table_rows: float, rows: float, said: Said | None) -> Column:
    """`said`: what the predicate of a partial index, which lets in `rows` of the table's, says about the column."""
    present = 1 - (found.null_frac or 0.0)
    distinct = distinct_values(found, table_rows)
    share = min(rows / table_rows, 1.0)
    null_frac, common = 1 - present, tuple(found.common_freqs)
    if said is None:
        # Rows are taken away by chance: a value is gone when all of its rows are.
        alike = max(table_rows * present / max(distinct, 1), 1.0)
        distinct *= 1 - (1 - share) ** alike
    elif said.rule is Rule.IS_NULL:
        null_frac, distinct, common = 1.0, 0.0, ()
    elif said.rule is Rule.ONE_OF:
        null_frac, distinct, common = 0.0, float(said.values), ()
    else:
        left = min(share / present, 1.0) if present > 0 else 1.0
        common = tuple(freq / present for freq in common) if left > _NEARLY_ALL else ()
        null_frac, distinct = 0.0, distinct * left
    varying = found.attlen < 0 or found.type == "name"  # an index holds a name as a string that ends in a zero byte
    lengths, common_lengths = _lengths(found) if varying else ((float(found.attlen),),) * 2
    return Column(
        lengths=lengths,
        common_lengths=common_lengths,
        align=_ALIGN[found.attalign] if found.type != "name" else 1,
        varying=varying,
        null_frac=null_frac,
        distinct=distinct,
        common=common,
    )


def _lengths(found: ColumnStatistics) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of typical values and of the most common ones, without headers. The measured ones count unless the average belies
    them: that is of the values as the table stores them, compressed ones too.
    """
    common, others = _floats(found.common_lengths), _floats(found.lengths)
    if found.avg_width is None or (found.type == "name" and (common or others)):
        return others or common or (0.0,), common or others or (0.0,)
    average = found.avg_width - (1 if found.avg_width <= SHORT_BYTES + 1 else 4)
    if common or others:
        share = sum(found.common_freqs) / max(1 - (found.null_frac or 0.0), 1e-6) if others else 1.0
        measured = share * _mean(common) + (1 - share) * _mean(others)
        if abs(measured - average) <= max(_SPREAD_BYTES / 4, average * _BELIEVED):
            return others or common, common or others
    count = SAMPLES
    spread = tuple(max(average + _SPREAD_BYTES * ((n + 0.5) / count - 0.5), 0.0) for n in range(count))
    return spread, spread


def _floats(lengths: Sequence[int] | None) -> tuple[float, ...]:
    return tuple(map(float, lengths or ()))


def _mean(lengths: Sequence[float]) -> float:
    return sum(lengths) / len(lengths) if lengths else 0.0
