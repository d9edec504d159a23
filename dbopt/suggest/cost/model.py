"""What it costs to read a table through an index that is not there, from statistics. Pure.

The formulas are those of the planner in simple form (btcostestimate, gincostestimate and brincostestimate in
src/backend/utils/adt/selfuncs.c), in its units and with the server's settings.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dbopt.suggest.cost import selectivity
from dbopt.suggest.cost.pages import (
    BITMAP_OPERATORS,
    Asked,
    Reading,
    bitmap,
    heap_io,
    index_io,
    pages_fetched,
    share_passed,
)
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbopt.postgres.planner_costs import PlannerCosts
    from dbopt.suggest.cost.selectivity import Test
    from dbopt.suggest.model import Candidate, Key

METHODS = frozenset(("btree", "hash", "gin", "gist", "spgist", "brin"))
# DEFAULT_PAGE_CPU_MULTIPLIER of selfuncs.c: what it takes to descend through a page, in operators.
_PAGE_OPERATORS = 50.0
_CORRELATED = 0.75  # btcostestimate: of further keys nobody knows how well they follow the table's order
_ENTRY_POWER = 0.15  # gincostestimate: pages read for each entry, by this power of the entry pages
_JSON_ENTRIES = 2.0  # a key and a value; our own
_RANGE_PAGES = 128.0  # BRIN's default of pages_per_range

# Which operators find rows by which operator class of GIN and GiST; empty: the type's own, whatever the type.
_TRIGRAMS = frozenset(("~~", "~~*", "~", "~*", "%", "<%", "%>", "="))
_OPERATORS: Mapping[str, frozenset[str]] = {
    "gin_trgm_ops": _TRIGRAMS,
    "gist_trgm_ops": _TRIGRAMS,
    "jsonb_path_ops": frozenset(("@>", "@?", "@@")),
    "jsonb_ops": frozenset(("@>", "@?", "@@", "?", "?|", "?&")),
    "array_ops": frozenset(("@>", "<@", "&&", "=")),
    "tsvector_ops": frozenset(("@@", "@@@")),
}
_CONTAINS = frozenset(("@>", "<@", "&&", "?", "?|", "?&", "@@", "@?", "@@@", "<<", ">>", "-|-"))


def readings(candidate: Candidate, asked: Asked, costs: PlannerCosts, pages: float) -> tuple[Reading, ...]:
    """The ways to answer with this index; none where it cannot. `pages`: of the index over all rows of the table."""
    held = _held(candidate, asked)
    if held is None:
        return ()
    match candidate.method:
        case "btree":
            return _btree(candidate, asked, costs, pages, held)
        case "hash":
            return _hash(candidate, asked, costs, pages, held)
        case "gin":
            return _gin(candidate, asked, costs, pages, held)
        case "gist" | "spgist":
            return _gist(candidate, asked, costs, pages, held)
        case "brin":
            return _brin(candidate, asked, costs)
    return ()


@dataclass(frozen=True, slots=True)
class _Held:
    """Of a partial index: the tests that its predicate answers, and the part of the rows that it holds."""

    numbers: frozenset[int]
    share: float


def _held(candidate: Candidate, asked: Asked) -> _Held | None:
    """None: the rows asked for may not be in it."""
    if not candidate.where:
        return _Held(frozenset(), 1.0)
    numbers: set[int] = set()
    share = 1.0
    given = [item.condition for item in asked.tests]
    parts = selectivity.predicate(candidate.where)
    for part in parts:
        found = selectivity.implied(part, given)
        if found is None:
            return None
        if part.operator == "IS NOT NULL" and all(given[number].operator != "IS NOT NULL" for number in found):
            column = asked.columns.get(selectivity.test(part).target)
            share *= 1 - ((column.null_frac if column is not None else None) or 0.0)
            continue
        for number in found:
            if number not in numbers:
                share *= asked.shares[number]
                numbers.add(number)
    return _Held(frozenset(numbers), share) if parts else None


def _target(key: Key) -> tuple[str, bool]:
    return (key.column, False) if key.column else (selectivity.normal(key.expression), True)


def _of_key(key: Key, asked: Asked) -> list[int]:
    """The tests on a key, by number."""
    target = _target(key)
    return [number for number, item in enumerate(asked.tests) if (item.target, item.is_expression) == target]


def _product(asked: Asked, numbers: Iterable[int]) -> float:
    share = 1.0
    for number in sorted(set(numbers)):
        share *= asked.shares[number]
    return share


def _btree(candidate: Candidate, asked: Asked, costs: PlannerCosts, pages: float, held: _Held) -> tuple[Reading, ...]:
    bounds: list[int] = []
    passed: list[int] = []  # looked at in the index, but finding nothing in it
    pinned: set[str] = set()
    scans, goes_on = 1.0, True
    for key in candidate.keys:
        on = [number for number in _of_key(key, asked) if _fits(asked.tests[number], key)]
        if not goes_on:
            passed += [number for number in on if asked.tests[number].how != "like"]
            continue
        equal = [number for number in on if asked.tests[number].how in ("=", "null")]
        listed = [number for number in on if asked.tests[number].how == "any"]
        if equal:
            bounds += equal
            pinned.add(_target(key)[0])
        elif listed:
            bounds += listed[:1]
            scans *= selectivity.elements(asked.tests[listed[0]].condition)
        else:
            bounds += on
            goes_on = False
        rest = [number for number in on if number not in bounds and asked.tests[number].how != "like"]
        passed += rest
    all_rows = max(1.0, asked.heap.rows * held.share)
    within = _product(asked, {*bounds, *held.numbers})
    fetched = _product(asked, {*bounds, *passed, *held.numbers})
    entries = max(1.0, min(all_rows, asked.heap.rows * within) / scans)
    own_pages = max(1.0, pages * held.share)
    index = index_io(entries, all_rows, own_pages, scans, asked.loops, costs)
    index_cpu = entries * scans * (costs.cpu_index_tuple_cost + costs.cpu_operator_cost * len({*bounds, *passed}))
    height = max(0.0, math.ceil(math.log(own_pages, 256))) if own_pages > 1 else 0.0
    descent = costs.cpu_operator_cost * (math.ceil(math.log2(max(all_rows, 2.0))) + (height + 1) * _PAGE_OPERATORS)
    index_total = index + index_cpu + scans * descent
    known = {*bounds, *passed, *held.numbers}
    left = [number for number in range(len(asked.tests)) if number not in known]
    is_covered = asked.output is not None and asked.output <= {
        *(key.column for key in candidate.keys if key.column),
        *candidate.include,
    }
    rows = max(1.0, asked.heap.rows * fetched)
    unseen = (1 - asked.heap.visible) if is_covered else 1.0
    io = heap_io(rows, fetched, unseen, own_pages, _correlation(candidate, asked), asked, costs)
    cpu = rows * (asked.row_cost if left else costs.cpu_tuple_cost)
    plain = Reading(
        startup=descent,
        total=index_total + io + cpu,
        rows=rows,
        passed=share_passed(asked, within),
        index_total=index_total,
        fetched=fetched,
        by=frozenset(known),
        given=candidate.keys if scans == 1 else None,
        pinned=frozenset(pinned),
    )
    if not bounds and not held.numbers:
        return (plain,)
    return plain, bitmap([(index_total, fetched)], asked, costs, pages=own_pages, by=known)


def _fits(asked: Test, key: Key) -> bool:
    """Whether a btree finds rows by this test on this key."""
    is_pattern = "pattern" in key.opclass
    match asked.how:
        case "=" | "any" | "null" | "not null":
            return True
        case "range":
            return not is_pattern
        case "like":
            condition = asked.condition
            if not is_pattern or condition.pattern is None or condition.operator not in ("~~", "^@"):
                return False
            return condition.pattern[:1] not in ("", "%", "_")
    return False


def _correlation(candidate: Candidate, asked: Asked) -> float:
    column = asked.columns.get(candidate.keys[0].column)
    found = (column.correlation if column is not None else None) or 0.0
    return abs(found) * (_CORRELATED if len(candidate.keys) > 1 else 1.0)


def _hash(candidate: Candidate, asked: Asked, costs: PlannerCosts, pages: float, held: _Held) -> tuple[Reading, ...]:
    found = [number for number in _of_key(candidate.keys[0], asked) if asked.tests[number].how == "="]
    if not found or len(candidate.keys) > 1:
        return ()
    numbers = {found[0], *held.numbers}
    share = _product(asked, numbers)
    rows = max(1.0, asked.heap.rows * share)
    index = costs.random_page_cost * (1 if asked.loops <= 1 else min(1.0, pages / asked.loops))
    index += rows * (costs.cpu_index_tuple_cost + costs.cpu_operator_cost)
    residual = len(numbers) < len(asked.tests)
    io = heap_io(rows, share, 1.0, pages, 0.0, asked, costs)
    cpu = rows * (asked.row_cost if residual else costs.cpu_tuple_cost)
    plain = Reading(
        startup=0.0,
        total=index + io + cpu,
        rows=rows,
        passed=share_passed(asked, share),
        index_total=index,
        fetched=share,
        by=frozenset(numbers),
    )
    return plain, bitmap([(index, share)], asked, costs, pages=pages, by=numbers)


def _known(key: Key, asked: Asked, method: str) -> list[int]:
    """The tests that GIN or GiST find rows by."""
    opclass = key.opclass.rpartition(".")[2].strip('"')
    operators = _OPERATORS.get(opclass, frozenset() if opclass and method == "gin" else _CONTAINS)
    found = []
    for number in _of_key(key, asked):
        condition = asked.tests[number].condition
        if condition.operator not in operators:
            continue
        if operators is _TRIGRAMS and condition.pattern is not None and not _trigrams(condition.pattern):
            continue
        found.append(number)
    return found


def _trigrams(pattern: str) -> float:
    """How many a LIKE pattern has; one of less than three letters in a row has none, and the whole index is read."""
    parts = pattern.replace("\\%", "x").replace("\\_", "x").replace("_", "%").split("%")
    return math.fsum(max(0, len(part) - 2) for part in parts)


def _gin(candidate: Candidate, asked: Asked, costs: PlannerCosts, pages: float, held: _Held) -> tuple[Reading, ...]:
    numbers = [number for key in candidate.keys for number in _known(key, asked, "gin")]
    if not numbers:
        return ()
    entries = math.fsum(_entries(asked.tests[number]) for number in numbers)
    both = {*numbers, *held.numbers}
    share = _product(asked, both)
    own_pages = max(1.0, pages * held.share)
    # What its pages are, entries or lists of rows, nobody knows before it is there; gincostestimate says 90 % entries.
    read = math.ceil(entries * max(1.0, round((0.9 * own_pages) ** _ENTRY_POWER))) + math.ceil(
        share * own_pages * 0.1 + 1
    )
    index = read * costs.random_page_cost
    if asked.loops > 1:
        index = pages_fetched(read * asked.loops, own_pages, own_pages, costs) * costs.random_page_cost / asked.loops
    index += asked.heap.rows * share * (costs.cpu_index_tuple_cost + costs.cpu_operator_cost * len(numbers))
    return (bitmap([(index, share)], asked, costs, pages=own_pages, by=both),)


def _entries(asked: Test) -> float:
    """How many entries are looked up."""
    if asked.how == "like":
        return max(1.0, _trigrams(asked.condition.pattern or ""))
    return _JSON_ENTRIES if asked.condition.operator == "@>" else 1.0


def _gist(candidate: Candidate, asked: Asked, costs: PlannerCosts, pages: float, held: _Held) -> tuple[Reading, ...]:
    numbers: list[int] = []
    for key in candidate.keys:
        found = _known(key, asked, "gist")
        found = found or [number for number in _of_key(key, asked) if asked.tests[number].how in ("=", "range")]
        if not found and not numbers:
            return ()  # its first key leads
        numbers += found
    both = {*numbers, *held.numbers}
    share = _product(asked, both)
    all_rows = max(1.0, asked.heap.rows * held.share)
    own_pages = max(1.0, pages * held.share)
    entries = max(1.0, asked.heap.rows * share)
    index = index_io(entries, all_rows, own_pages, 1.0, asked.loops, costs)
    index += entries * (costs.cpu_index_tuple_cost + costs.cpu_operator_cost * len(numbers))
    index += costs.cpu_operator_cost * _PAGE_OPERATORS * 2
    return (bitmap([(index, share)], asked, costs, pages=own_pages, by=both),)


def _brin(candidate: Candidate, asked: Asked, costs: PlannerCosts) -> tuple[Reading, ...]:
    """Whole ranges of pages are read and looked through: the better rows lie in order, the fewer."""
    numbers: list[int] = []
    correlation = 0.0
    for key in candidate.keys:
        found = [number for number in _of_key(key, asked) if asked.tests[number].how in ("=", "any", "range")]
        column = asked.columns.get(key.column)
        if found:
            correlation = max(correlation, abs((column.correlation if column is not None else None) or 0.0))
            numbers += found
    if not numbers or candidate.where:
        return ()
    size = float(dict(candidate.parameters).get("pages_per_range", _RANGE_PAGES))
    ranges = max(1.0, math.ceil(asked.heap.pages / size))
    least = math.ceil(ranges * _product(asked, numbers))
    read = ranges if correlation < 1e-6 else min(ranges, max(1.0, least / correlation))
    share = read / ranges
    index = costs.random_page_cost * 2 + costs.seq_page_cost
    index += ranges * size * BITMAP_OPERATORS * costs.cpu_operator_cost
    return (bitmap([(index, share)], asked, costs, pages=3.0),)
