"""What stands above the scans and joins of a plan, when these get cheaper or give an order. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.suggest.cost import wanted
from dbopt.suggest.cost.paths import Path, best, both, chosen, each, stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbopt.suggest.cost.grafts import Call
    from dbopt.suggest.cost.steps import Step
    from dbopt.suggest.cost.wanted import Wanted

_KEEPS_ORDER = frozenset(("Limit", "Result", "LockRows", "Subquery Scan", "ProjectSet"))
_WANTS_ORDER = frozenset(("Unique", "Group", "WindowAgg", "Merge Append", "SetOp", "Materialize"))


def paths(call: Call, step: Step, want: Wanted | None, needs: bool, loops: float) -> Iterable[Path]:
    """As Call.paths: of whatever is neither scan nor join."""
    if len(step.inputs) == 1:
        if step.kind in ("Sort", "Incremental Sort"):
            return _sort(call, step, loops)
        if step.kind == "Limit":
            return _limit(call, step, want, needs, loops)
        if step.kind == "Aggregate":
            return _aggregate(call, step, want, needs, loops)
    if step.kind == "Append" and step.inputs:
        return _append(call, step, want, needs, loops)
    return _other(call, step, want, needs, loops)


def _sort(call: Call, step: Step, loops: float) -> Iterator[Path]:
    """It gives the order that is wanted or counted on above it, whether rows come sorted or not."""
    [below] = step.inputs
    want = wanted.of_keys(step.node.sort_key) if step.node.sort_key else None
    is_incremental = step.kind == "Incremental Sort"
    for path in call.paths(below, want, is_incremental, loops):
        if path.used and path.is_ordered and want is not None:
            yield path
        else:
            made = path.below(step, below)
            passed = path.passed if is_incremental else 1.0  # what sorts reads everything anyway
            yield made._replace(is_ordered=True, passed=passed)


def _limit(call: Call, step: Step, want: Wanted | None, needs: bool, loops: float) -> Iterator[Path]:
    [below] = step.inputs
    part = min(1.0, step.rows / max(1.0, below.rows))
    run = below.total - below.startup
    if run > 1:  # OFFSET is in it as well; costs are printed to two digits
        part = max(part, min(1.0, (step.total - below.startup) / run))
    for path in call.paths(below, want, needs, loops):
        if path.used:
            yield stopped(path, part)
        else:
            yield Path.of(step, is_ordered=path.is_ordered)._replace(total=call.of.honest_total(step))


def _aggregate(call: Call, step: Step, want: Wanted | None, needs: bool, loops: float) -> Iterator[Path]:
    [below] = step.inputs
    strategy = step.node.raw.get("Strategy")
    keys = tuple(step.node.raw.get("Group Key", ()))
    groups = wanted.of_keys(keys, True) if keys and strategy == "Hashed" else None
    orders = [(groups, False)]
    if groups is not None and want is not None and set(want.keys) <= set(groups.keys):
        rest = tuple(key for key in groups.keys if key not in want.keys)
        orders.append((wanted.Wanted((*want.keys, *rest)), True))
    for order, is_wanted in orders:
        for path in call.paths(below, order, strategy == "Sorted", loops):
            made = path.below(step, below)
            if order is not None and path.is_ordered:  # group by group, as rows come
                yield made._replace(startup=path.startup, is_ordered=is_wanted)
            else:
                is_sorted = strategy == "Sorted"
                yield made._replace(is_ordered=needs and is_sorted, passed=path.passed if is_sorted else 1.0)
    if strategy == "Plain":
        yield from _extremes(call, below)


def _extremes(call: Call, below: Step) -> Iterator[Path]:
    """min() and max() take the first row of an index."""
    scan = call.of.scans.get(below.number)
    names = call.of.extremes(scan) if scan is not None else ()
    if scan is None or not names or below.subplans:
        return
    whole = Path(0.0, 0.0, 0.0, gone=1 << scan.step.number)
    for name in names:
        by = wanted.Wanted((wanted.By(None, name, False, False),))
        column = scan.relation.column(name)
        nulls = (column.null_frac if column is not None else None) or 0.0
        ways = []
        for bit, candidate in call.candidates(scan.name):
            for reading in call.of.readings(scan, scan.asked, "", candidate):
                keys = [key._replace(descending=False, nulls_first=False) for key in reading.given or ()]
                if not wanted.gives(keys, reading.pinned, by, scan.aliases):
                    continue
                # NULLs lie at one of its ends, and are passed over.
                rows = max(1.0, reading.rows * reading.passed * (1 - nulls))
                path = Path(reading.startup, reading.total, reading.total, bit, passed=reading.passed)
                first = stopped(path, 1 / rows)
                ways.append(first._replace(startup=min(first.total, first.hoped)))
        if not ways:
            return
        found = chosen(ways)
        whole = both(whole, found)
    yield whole.more(call.of.costs.cpu_tuple_cost)


def _append(call: Call, step: Step, want: Wanted | None, needs: bool, loops: float) -> Iterator[Path]:
    """All partitions by the cheapest way each, or each in order."""
    yield Path.of(step, is_ordered=needs)
    yield each(
        step, [chosen(call.paths(part, None, needs, loops)) for part in step.inputs], step.inputs, is_ordered=needs
    )
    if want is None:
        return
    ordered = [[path for path in call.paths(part, want, False, loops) if path.is_ordered] for part in step.inputs]
    if all(ordered):
        merged = each(step, [chosen(ways) for ways in ordered], step.inputs, is_ordered=True)
        yield merged.more(call.sorting(len(ordered)) * max(1.0, step.rows / len(ordered)))


def _other(call: Call, step: Step, want: Wanted | None, needs: bool, loops: float) -> list[Path]:
    """What adds its own cost to what is below."""
    found = [Path.of(step, is_ordered=needs)]
    keeps = step.kind in _KEEPS_ORDER and len(step.inputs) == 1
    for below in step.inputs:
        options = call.paths(below, want if keeps else None, step.kind in _WANTS_ORDER or (keeps and needs), loops)
        kept = min(1.0, step.rows / max(1.0, below.rows)) if "Filter" in step.node.raw else 1.0
        made = []
        for path in found:
            for option in options:
                change = option.below(step, below)
                total = max(0.0, path.total + change.total - step.total)
                hoped = max(0.0, path.hoped + change.hoped - step.total)
                startup = path.startup + change.startup - step.startup
                one = Path(0.0, total, hoped, path.used, path.gone, option.is_ordered if keeps else needs)
                one = one.more(0.0, startup).with_bits(option)
                made.append(one._replace(passed=min(path.passed, option.passed * kept)))
        found = best(made)
    return found


def with_subplans(call: Call, step: Step, found: Iterable[Path]) -> list[Path]:
    """And what those change that hang on a step: once, or for each row of what it costs now."""
    made = list(found)
    for subplan in step.subplans:
        one = chosen(call.paths(subplan, None, False))
        if not one.used or subplan.total <= 0:
            continue
        times = 1.0 if _is_once(step, subplan) else _attributable(step) / subplan.total
        total, hoped = (one.total - subplan.total) * times, (one.hoped - subplan.total) * times
        startup = total if subplan.node.raw.get("Parent Relationship") == "InitPlan" else 0.0
        made = [
            path._replace(total=max(0.0, path.total + total), hoped=max(0.0, path.hoped + hoped))
            .with_bits(one)
            .more(0.0, startup)
            for path in made
        ]
    return made


def subplans_of(call: Call, step: Step, rows: float) -> tuple[float, int]:
    """The cost of those that hang on a scan, if it looks at so many rows, and what they use."""
    cost, used = 0.0, 0
    for subplan in step.subplans:
        one = chosen(call.paths(subplan, None, False))
        used |= one.used
        if _is_once(step, subplan) or subplan.total <= 0:
            cost += one.total
        else:
            cost += min(_attributable(step) / subplan.total, rows) * one.total
    return cost, used


def _is_once(step: Step, subplan: Step) -> bool:
    """A subplan that is run once, whatever rows there are."""
    if subplan.node.raw.get("Parent Relationship") == "InitPlan":
        return True
    name = subplan.node.raw.get("Subplan Name", "")
    return any(f"hashed {name}" in str(value) for value in step.node.raw.values())


def _attributable(step: Step) -> float:
    """The most that a subplan is of a step's cost, run for each of its rows."""
    once = sum(subplan.total for subplan in step.subplans if _is_once(step, subplan))
    return max(0.0, step.total - once - sum(child.total for child in step.inputs))
