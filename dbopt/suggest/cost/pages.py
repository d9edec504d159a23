"""What it costs to get at pages of indexes and of tables, as the planner has it. Pure.

The formulas are those of src/backend/optimizer/path/costsize.c (cost_index, cost_bitmap_heap_scan, index_pages_fetched)
and of genericcostestimate in src/backend/utils/adt/selfuncs.c, in simple form.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dbopt.suggest.cost import selectivity
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.postgres.planner_costs import PlannerCosts
    from dbopt.suggest.cost.selectivity import Test
    from dbopt.suggest.model import Candidate, Key
    from dbopt.workload.finding import Column

# An index tuple is 8 bytes and its line pointer 4; a row in a posting list 6. Leaf pages are filled to 90 %.
_TUPLE_BYTES, _POINTER_BYTES, _POSTED_BYTES, _FILLED = 8, 4, 6, 0.9
_WIDTH = 16.0  # of an expression's value, and of columns that were never analyzed; our own
_POSTED_ROWS = 130.0  # 812 bytes of 6
_GIN_OF_HEAP = 0.5  # the size of GIN where nobody has estimated it; our own
BITMAP_OPERATORS = 0.1  # cost_bitmap_tree_node: what a row in a bitmap costs, in operators


@dataclass(frozen=True, slots=True)
class Heap:
    """`visible`: the part of its pages that index-only scans need not read, 0..1."""

    rows: float
    pages: float
    visible: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a scan asks. `shares`: what each test lets through. `loops`: how often it is run, with other values each
    time. `row_cost`: to look at a row of the table with all conditions. `output`: columns needed; None: all.
    """

    heap: Heap
    tests: tuple[Test, ...]
    shares: tuple[float, ...]
    row_cost: float
    column_of: Callable[[Test], Column | None]
    columns: Mapping[str, Column]
    loops: float = 1.0
    output: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Costs of one execution, on average. `rows`: of the table that are looked at. `passed`: the share of what the
    index is read for that is not dropped afterwards, 0..1. `given`: the keys in whose order rows come, those that have
    one value each in `pinned`; None: in no order. `index_total`: of the index alone; `fetched`: the share of the
    table's rows that it points to, by the tests `by`.
    """

    startup: float
    total: float
    rows: float
    passed: float
    index_total: float
    fetched: float
    by: frozenset[int] = frozenset()
    given: tuple[Key, ...] | None = None
    pinned: frozenset[str] = frozenset()


def index_pages(candidate: Candidate, heap: Heap, columns: Mapping[str, Column], page_bytes: int) -> float:
    """Of an index whose size nobody has estimated."""
    if candidate.method in ("gin", "gist", "spgist"):
        return max(1.0, math.ceil(heap.pages * _GIN_OF_HEAP))
    if candidate.method == "brin":
        return 3.0
    if candidate.method == "hash":
        return max(1.0, math.ceil(heap.rows * (2 * _TUPLE_BYTES + _POINTER_BYTES) / (0.75 * page_bytes)))
    width = math.fsum(_width(columns.get(key.column)) for key in candidate.keys)
    width += math.fsum(_width(columns.get(name)) for name in candidate.include)
    entry = _TUPLE_BYTES + _POINTER_BYTES + -(-width // 8) * 8
    distinct = 1.0
    for key in candidate.keys:
        distinct *= selectivity.distinct_values(columns.get(key.column), heap.rows) or heap.rows
    alike = heap.rows / max(1.0, min(distinct, heap.rows))
    if alike >= 2 and not candidate.include:
        entry = min(entry, _POSTED_BYTES + entry / min(alike, _POSTED_ROWS))
    return max(1.0, math.ceil(heap.rows * entry / (_FILLED * page_bytes)))


def _width(column: Column | None) -> float:
    return _WIDTH if column is None or column.avg_width is None else float(column.avg_width)


def share_passed(asked: Asked, read: float) -> float:
    """Of rows of which this share of the table is read, those that all tests let through."""
    return min(1.0, math.prod(asked.shares) / read) if read > 0 else 1.0


def index_io(
    entries: float, all_entries: float, pages: float, scans: float, loops: float, costs: PlannerCosts
) -> float:
    """Of the index's own pages, for one of the loops (genericcostestimate)."""
    read = math.ceil(entries * pages / max(1.0, all_entries))
    if scans * loops <= 1:
        return read * costs.random_page_cost
    return pages_fetched(read * scans * loops, pages, pages, costs) * costs.random_page_cost / loops


def pages_fetched(tuples: float, pages: float, index_pages: float, costs: PlannerCosts) -> float:
    """How many pages so many random tuples take, in their part of effective_cache_size (Mackert and Lohman)."""
    pages = max(1.0, pages)
    cached = max(1.0, math.ceil(costs.effective_cache_pages * pages / (pages + index_pages)))
    found = 2 * pages * tuples / (2 * pages + tuples)
    if pages <= cached:
        return math.ceil(min(found, pages))
    limit = 2 * pages * cached / (2 * pages - cached)
    return math.ceil(found if tuples <= limit else cached + (tuples - limit) * (pages - cached) / pages)


def heap_io(
    rows: float,
    share: float,
    unseen: float,
    index_pages: float,
    correlation: float,
    asked: Asked,
    costs: PlannerCosts,
) -> float:
    """Of the table's pages, somewhere between rows that lie at random and rows that lie in order (cost_index)."""
    loops = asked.loops
    in_order = math.ceil(share * asked.heap.pages)
    if loops > 1:
        each = unseen * costs.random_page_cost / loops
        most = pages_fetched(rows * loops, asked.heap.pages, index_pages, costs) * each
        least = pages_fetched(in_order * loops, asked.heap.pages, index_pages, costs) * each
    else:
        most = pages_fetched(rows, asked.heap.pages, index_pages, costs) * unseen * costs.random_page_cost
        seen = math.ceil(in_order * unseen)
        least = costs.random_page_cost + (seen - 1) * costs.seq_page_cost if seen > 0 else 0.0
    return most + correlation**2 * (min(least, most) - most)


def bitmap(
    indexes: Sequence[tuple[float, float]],
    asked: Asked,
    costs: PlannerCosts,
    *,
    pages: float,
    by: Iterable[int] = (),
    share: float | None = None,
) -> Reading:
    """Of one index, or of several: the cost of each, and the share that it points to. `share`: that all point to; None:
    the rows of any of them are wanted.
    """
    if share is None:
        share = 1 - math.prod(1 - min(1.0, part) for _, part in indexes)
    rows = max(1.0, asked.heap.rows * share)
    total_pages = max(1.0, asked.heap.pages)
    if asked.loops > 1:
        read = pages_fetched(rows * asked.loops, total_pages, pages, costs) / asked.loops
    else:
        read = math.ceil(min(total_pages, 2 * total_pages * rows / (2 * total_pages + rows)))
    page_cost = costs.random_page_cost
    if read >= 2:
        page_cost -= (costs.random_page_cost - costs.seq_page_cost) * math.sqrt(min(1.0, read / total_pages))
    startup = math.fsum(cost for cost, _ in indexes) + BITMAP_OPERATORS * costs.cpu_operator_cost * rows
    return Reading(
        startup=startup,
        total=startup + read * page_cost + rows * asked.row_cost,
        rows=rows,
        passed=share_passed(asked, share),
        index_total=startup,
        fetched=share,
        by=frozenset(by),
    )
