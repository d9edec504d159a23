"""The size of a btree that is not there yet: its build on paper.

A freshly built btree is leaf pages filled one after the other up to the fillfactor, the levels above them, and a meta
page. Rows with equal keys share one index tuple (a posting list) where the operator classes allow it. The rules and
numbers are those of PostgreSQL 13 to 18: src/backend/access/nbtree/nbtsort.c and nbtdedup.c.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from dbopt.values import dataclass

PAGE_BYTES = 8192  # the default of configure; servers built with another are all but unknown
LINE_POINTER_BYTES = 4
_PAGE_FREE_BYTES = PAGE_BYTES - 24 - 16 - 2 * LINE_POINTER_BYTES  # header, special space, high key, the next tuple
_TUPLE_HEADER_BYTES, _WITH_NULLS_BYTES = 8, 16
_TID_BYTES = 6
_POSTING_MAX_BYTES = PAGE_BYTES // 10 // 8 * 8 - LINE_POINTER_BYTES  # of a tuple with a posting list, when building
_NEARLY_FULL = 0.95  # on average: then nearly all posting lists are full and of one size
_INNER_FREE_PERCENT = 30  # fillfactor of inner pages is 70
SHORT_BYTES = 126  # the longest value whose header takes 1 byte instead of 4, itself unaligned then

SAMPLES = 9  # index tuples looked at; statistics.ColumnStatistics.lengths has as many
_STEPS = (1.2, 2.0, 8.0, math.inf)  # common values whose shares differ by less than this factor are taken together
# Of the values of several columns. Ten times as many change sizes by 0.04 % on average, by 2 % at most, and take four
# times as long; bench/suggest.py asks for hundreds.
_COMBINATIONS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the index to be. `lengths` are those of typical values without their header, one if all are alike;
    `common_lengths` those of the most common values, whose shares in all rows are `common`.
    """

    lengths: tuple[float, ...]
    common_lengths: tuple[float, ...]
    align: int
    varying: bool
    null_frac: float
    distinct: float
    common: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Branch:
    """Rows that have values of one kind: what share they are, how many values they have, how long those are. No lengths
    are NULL.
    """

    share: float
    distinct: float
    lengths: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Items:
    """What lies on leaf pages: index tuples, their bytes with line pointers, and the part that is posting lists."""

    count: float
    total_bytes: float
    posting_bytes: float = 0.0


def btree(
    rows: float,
    keys: Sequence[Column],
    include: Sequence[Column] = (),
    *,
    deduplicates: bool,
    fillfactor: int = 90,
    distinct: float | None = None,
) -> int:
    """Bytes of a btree over so many rows. `distinct`: the number of combinations of the keys, where it is known."""
    columns = [*keys, *include]
    leaves = 0.0
    for combination in _combinations(columns, rows):
        share = math.prod(branch.share for branch in combination)
        lengths = [branch.lengths for branch in combination]
        groups = _groups(combination[: len(keys)], rows, share)
        if distinct is not None:
            groups = min(groups, max(distinct * share, 1.0))
        same = rows * share / groups if deduplicates else 1.0
        sizes = _sizes(columns, lengths)
        for size, times in sizes.items():
            items = _items(size, rows * share * times / SAMPLES, same, exact=groups <= 1)
            leaves += items.count / _per_leaf(items, size, fillfactor, fixed=len(sizes) == 1)
    leaves = max(math.ceil(leaves - 0.01), 1) if rows >= 1 else 0
    return (1 + leaves + _inner_pages(leaves, keys)) * PAGE_BYTES


def aligned(size: float, boundary: int = 8) -> int:
    return math.ceil(size / boundary) * boundary


def data_bytes(columns: Sequence[Column], lengths: Sequence[tuple[float, ...]], sample: int) -> int:
    """What the values of one row take behind the header of a tuple. `lengths`: those to choose from, by column."""
    at = 0
    for number, (column, choice) in enumerate(zip(columns, lengths, strict=True)):
        if not choice:  # NULL
            continue
        # Columns are combined as if they did not depend on each other: each goes its own way through its lengths.
        length = choice[(sample * (2 * number + 1) + number) % len(choice)]
        if column.varying and length <= SHORT_BYTES:
            at += 1 + round(length)
        else:
            at = aligned(at, column.align) + round(length) + (4 if column.varying else 0)
    return at


def average_bytes(columns: Sequence[Column], header: int) -> float:
    """Of tuples with such columns, NULLs and the commonest values aside."""
    lengths = [column.lengths for column in columns]
    return sum(aligned(header + data_bytes(columns, lengths, sample)) for sample in range(SAMPLES)) / SAMPLES


def _sizes(columns: Sequence[Column], lengths: Sequence[tuple[float, ...]]) -> Mapping[int, int]:
    """Bytes of typical index tuples, and how many of the samples have so many."""
    header = _TUPLE_HEADER_BYTES if all(lengths) else _WITH_NULLS_BYTES
    return Counter(aligned(header + data_bytes(columns, lengths, sample)) for sample in range(SAMPLES))


def _combinations(columns: Sequence[Column], rows: float) -> Iterator[tuple[_Branch, ...]]:
    """Each combination of the columns' branches that some rows have; coarser ones where there would be too many."""
    for step in _STEPS:
        branches = [_of_column(column, rows, step) for column in columns]
        if math.prod(map(len, branches)) <= _COMBINATIONS:
            break
    for combination in itertools.product(*branches):
        if rows * math.prod(branch.share for branch in combination) >= 0.5:
            yield combination


def _of_column(column: Column, rows: float, step: float) -> list[_Branch]:
    """NULL, the commonest values (those whose shares differ by less than a step go together), and the rest."""
    branches = [_Branch(column.null_frac, 1)] if column.null_frac > 0 else []
    common = [share for share in column.common if share * rows > 1]
    for _, alike in itertools.groupby(common, key=lambda share: int(math.log(share) / math.log(step))):
        shares = list(alike)
        branches.append(_Branch(sum(shares), len(shares), column.common_lengths))
    rest = 1 - sum(branch.share for branch in branches)
    if rest > 1e-6:
        branches.append(_Branch(rest, max(column.distinct - len(common), 1), column.lengths))
    return branches


def _groups(combination: Sequence[_Branch], rows: float, share: float) -> float:
    """How many different keys those rows have: as many as chance lets several columns have together, and no fewer than
    one of them has alone.
    """
    many = rows * share
    together = expected_distinct(math.prod(branch.distinct for branch in combination), many)
    alone = []
    for branch in combination:
        alike = max(rows * branch.share / branch.distinct, 1.0)
        left = min(share / branch.share, 1.0)  # of its rows; the other columns are what takes the rest away
        alone.append(branch.distinct * (1 - (1 - left) ** alike))
    return float(max(min(max(together, *alone), many), 1.0))


def expected_distinct(combinations: float, rows: float) -> float:
    """How many of the combinations that there could be are met among so many rows."""
    if combinations <= 1:
        return 1.0
    met = -combinations * math.expm1(rows * math.log1p(-1 / combinations)) if combinations < 1e12 else rows
    return max(min(met, rows, combinations), 1.0)


def _items(size: int, rows: float, same: float, *, exact: bool) -> _Items:
    """The index tuples of rows of which `same` on average have the same key."""
    room = (_POSTING_MAX_BYTES // 8 * 8 - size) // _TID_BYTES  # rows in one posting list
    if same <= 1.001 or room < 2:
        return _Items(rows, rows * (size + LINE_POINTER_BYTES))
    group = _group(size, room, same) if exact else _typical_group(size, room, round(same, 2))
    groups = rows / same
    return _Items(groups * group.count, groups * group.total_bytes, groups * group.posting_bytes)


@lru_cache(maxsize=16_384)
def _group(size: int, room: int, rows: float) -> _Items:
    """The index tuples of one key. A fraction of a row lies between the whole numbers around it."""
    if rows != int(rows):
        low, high = _group(size, room, math.floor(rows)), _group(size, room, math.ceil(rows))
        part = rows - math.floor(rows)
        pairs = zip(_amounts(low), _amounts(high), strict=True)
        return _Items(*((1 - part) * one + part * other for one, other in pairs))
    full, rest = divmod(int(rows), room)
    sizes = [(full, aligned(size + room * _TID_BYTES))]
    if rest:
        sizes.append((1, aligned(size + rest * _TID_BYTES) if rest > 1 else size))
    count = sum(many for many, _ in sizes)
    total = sum(many * bytes_ for many, bytes_ in sizes)
    return _Items(count, total + count * LINE_POINTER_BYTES, total - count * size)


@lru_cache(maxsize=4096)
def _typical_group(size: int, room: int, mean: float) -> _Items:
    """The index tuples of a key that has `mean` rows on average. Nothing tells how evenly rows are spread over keys: in
    the middle between all alike and by chance (a Poisson distribution of keys that have at least one row).
    """
    even = _group(size, room, mean)
    if mean > 4 * room:
        return even
    rate = _poisson_rate(mean)
    probability = rate / math.expm1(rate) if rate < 700 else 0.0
    if probability == 0.0:
        return even
    chance = [0.0, 0.0, 0.0]
    for rows in range(1, int(mean + 8 * math.sqrt(mean)) + 8):
        group = _group(size, room, rows)
        for number, amount in enumerate(_amounts(group)):
            chance[number] += probability * amount
        probability *= rate / (rows + 1)
    return _Items(*((one + other) / 2 for one, other in zip(chance, _amounts(even), strict=True)))


def _amounts(items: _Items) -> tuple[float, float, float]:
    return items.count, items.total_bytes, items.posting_bytes


def _poisson_rate(mean: float) -> float:
    """The rate of a Poisson distribution whose mean is this when zero is left out."""
    rate = max(2 * (mean - 1), 1e-6) if mean < 1.5 else mean
    for _ in range(60):
        rate = max(mean * -math.expm1(-rate), 1e-6)
    return rate


def _per_leaf(items: _Items, size: int, fillfactor: int, *, fixed: bool) -> float:
    """How many index tuples stay on a leaf page. One is added until the page is full or the next does not fit; the
    last of them then moves on to the next page, leaving its key as the high key.
    """
    keep_free = PAGE_BYTES * (100 - fillfactor) // 100
    item = items.total_bytes / items.count
    needed = item - LINE_POINTER_BYTES + 8  # 8: the high key may have to tell rows with equal keys apart
    until_full = _PAGE_FREE_BYTES - keep_free
    until_no_room = _PAGE_FREE_BYTES - needed
    if items.posting_bytes == 0:
        fitting = min(until_full, until_no_room) / item
        return max(math.floor(fitting) if fixed else fitting - 0.5, 1)
    # A posting list at the end does not count: it is cut off when its tuple becomes the high key.
    by_filling = (until_full - size - LINE_POINTER_BYTES) / item
    by_room = until_no_room / item
    if item > _NEARLY_FULL * _POSTING_MAX_BYTES:
        return max(min(math.floor(by_filling) + 1, math.floor(by_room)), 1)
    return max(min(by_filling + 0.5, by_room - 0.5), 1)


def _inner_pages(leaves: int, keys: Sequence[Column]) -> int:
    """The levels above the leaves, up to the root. A leaf that is alone is the root itself."""
    item = average_bytes(keys, _TUPLE_HEADER_BYTES) + LINE_POINTER_BYTES
    fitting = max(int((_PAGE_FREE_BYTES - PAGE_BYTES * _INNER_FREE_PERCENT // 100) / item), 2)
    pages = 0
    while leaves > 1:
        leaves = math.ceil(leaves / fitting)
        pages += leaves
    return pages
