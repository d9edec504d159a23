"""A plan with indexes grafted onto it that no planner has seen: what it would cost. Pure.

It is no second planner. The order of joins stays as it is; a scan may be done by an index, a join may look up one of
its sides row by row, a sort falls away where rows come in its order, a LIMIT stops early. Each of these is one more way
beside what is there. Of all of them the one counts that the planner would take, by what it would take it to cost; so
more candidates never cost more by the planner's reckoning. What they cost in truth may be more: where a LIMIT has the
planner hope for an early stop while rows are still dropped on the way, it is led to a plan that is worse than without
the index, and an index that does that should be seen to.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dbopt.suggest.cost import above, pages, selectivity, wanted
from dbopt.suggest.cost.paths import Path, best, chosen, rank
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.suggest.cost.grafting import Grafting
    from dbopt.suggest.cost.pages import Asked, Reading
    from dbopt.suggest.cost.scans import Scan
    from dbopt.suggest.cost.steps import Step
    from dbopt.suggest.cost.wanted import Wanted
    from dbopt.suggest.model import Candidate, Key, Name
    from dbopt.workload.conditions import Condition

_JOINS = frozenset(("Nested Loop", "Hash Join", "Merge Join"))
# Between a join and the scan of one of its sides: what a lookup does without.
_AROUND = frozenset(("Hash", "Sort", "Incremental Sort", "Materialize", "Memoize"))
# By kind of join, which side may be gone through (0 outer, 1 inner) while the other is looked up.
_DRIVES = {
    "Inner": (0, 1),
    "Left": (0,),
    "Semi": (0,),
    "Anti": (0,),
    "Right": (1,),
    "Right Semi": (1,),
    "Right Anti": (1,),
}


@dataclass(frozen=True, slots=True)
class Grafted:
    """`hoped`: what the planner takes it to cost. `used`, `gone`: bits of candidates, and of steps no longer done."""

    cost: float
    hoped: float
    used: int
    gone: int


def grafted(grafting: Grafting, candidates: Sequence[Candidate], needed: int = -1) -> Grafted | None:
    """The plan with some of these, at least one of those needed (bits; any), as one process runs it; None: the planner
    would stay with what there is.
    """
    call = Call(grafting, candidates)
    root = grafting.root
    found = [path for path in call.paths(root, grafting.order, grafting.needs_order) if path.used & needed]
    if not found:
        return None
    path = chosen(found)
    now = min(root.total, root.node.total_cost)
    return Grafted(path.total, path.hoped, path.used, path.gone) if path.hoped < now else None


class Call:
    """One set of candidates."""

    def __init__(self, grafting: Grafting, candidates: Sequence[Candidate]) -> None:
        self.of = grafting
        self._by_table: dict[Name, list[tuple[int, Candidate]]] = {}
        for number, candidate in enumerate(candidates):
            self._by_table.setdefault(candidate.relation, []).append((1 << number, candidate))
        self._known: dict[tuple[int, Wanted | None, bool, float], list[Path]] = {}

    def paths(self, step: Step, want: Wanted | None, needs: bool, loops: float = 1.0) -> list[Path]:
        """`want`: an order that would save something above. `needs`: it comes in an order now that is counted on."""
        key = (step.number, want, needs, loops)
        if key not in self._known:
            self._known[key] = best(self._paths(step, want, needs, loops))
        return self._known[key]

    def candidates(self, name: Name) -> Sequence[tuple[int, Candidate]]:
        return self._by_table.get(name, ())

    def sorting(self, rows: float) -> float:
        """cost_tuplesort, in memory."""
        rows = max(2.0, rows)
        return self.of.costs.cpu_operator_cost * rows * (2 * math.log2(rows) + 1)

    def _paths(self, step: Step, want: Wanted | None, needs: bool, loops: float) -> list[Path]:
        scan = self.of.scans.get(step.number)
        if scan is not None:
            return self._scan(scan, want, needs, loops)
        if step.kind in _JOINS and len(step.inputs) == 2:
            found = list(self._join(step, want, needs))
            if not step.subplans:  # which would be run for other pairs of rows, nobody knows for how many
                found += self._all_lookups(step, want, needs)
        else:
            found = list(above.paths(self, step, want, needs, loops))
        return above.with_subplans(self, step, found)

    # Scans

    def _scan(self, scan: Scan, want: Wanted | None, needs: bool, loops: float) -> list[Path]:
        step = scan.step
        is_ordered = needs and step.kind not in ("Seq Scan", "Bitmap Heap Scan")
        asked, kind = self.of.looped(scan, loops)
        found = above.with_subplans(self, step, [Path.of(step, is_ordered=is_ordered)])
        for bit, candidate in self.candidates(scan.name):
            for reading in self.of.readings(scan, asked, kind, candidate):
                found += self._read(scan, reading, bit, want, breaks=is_ordered)
        for bits, reading in (*self._alternatives(scan, asked, kind), *self._pairs(scan, asked, kind)):
            found += self._read(scan, reading, bits, want, breaks=is_ordered)
        return found

    def _read(self, scan: Scan, reading: Reading, used: int, want: Wanted | None, *, breaks: bool) -> Iterator[Path]:
        """`breaks`: rows come in an order now, and if not in that of this reading, they have to be sorted."""
        step = scan.step
        cost, bits = above.subplans_of(self, step, reading.rows)
        total = reading.total + cost
        path = Path(reading.startup, total, total, used | bits, 1 << step.number, False, reading.passed)
        if want is not None:
            keys = wanted.led(reading.given, reading.pinned, want, scan.aliases)
            if wanted.gives(reading.given, reading.pinned, want, scan.aliases):
                yield path._replace(is_ordered=True)
                return
            if keys and not want.any_order:
                yield self._sorted_on(scan, path, keys, reading.fetched)
        if breaks:
            path = path.more(self.sorting(step.rows))
            path = path._replace(startup=path.total)
        yield path

    def _sorted_on(self, scan: Scan, path: Path, keys: Sequence[Key], fetched: float) -> Path:
        """By an Incremental Sort: rows with equal first keys are sorted by the others, group by group."""
        heap, columns = scan.asked.heap, scan.asked.columns
        groups = math.prod(selectivity.distinct_values(columns.get(key.column), heap.rows) or 1.0 for key in keys)
        # estimate_num_groups: of the values, those that so many rows meet by chance.
        groups *= 1 - (1 - min(1.0, fetched)) ** (heap.rows / groups)
        groups = max(1.0, min(groups, scan.step.rows))
        one = self.sorting(scan.step.rows / groups)
        made = path.more(one * groups, (path.total - path.startup) / groups + one)
        return made._replace(is_ordered=True)

    def _pairs(self, scan: Scan, asked: Asked, kind: str) -> Iterator[tuple[int, Reading]]:
        """Rows that two indexes point to, each by conditions of its own."""
        maps = [
            (bit, reading)
            for bit, candidate in self.candidates(scan.name)
            for reading in self.of.readings(scan, asked, kind, candidate)
            if reading.given is None and reading.by
        ]
        for (bit, one), (other_bit, other) in itertools.combinations(maps, 2):
            if bit == other_bit or one.by & other.by:
                continue
            indexes = [(one.index_total, one.fetched), (other.index_total, other.fetched)]
            share = one.fetched * other.fetched
            by = one.by | other.by
            yield bit | other_bit, pages.bitmap(indexes, asked, self.of.costs, pages=1.0, share=share, by=by)

    def _alternatives(self, scan: Scan, asked: Asked, kind: str) -> Iterator[tuple[int, Reading]]:
        """An OR of which each side finds its rows by an index of its own."""
        for number, item in enumerate(asked.tests):
            parts: list[tuple[float, float]] = []
            bits = 0
            for place, arm in enumerate(item.condition.arms):
                found = self._arm(scan, asked, f"{kind}o{number}.{place}", arm)
                if found is None:
                    parts = []
                    break
                parts.append((found[0].index_total, found[0].fetched))
                bits |= found[1]
            if not parts:
                continue
            # The arms together let through at least what the OR does.
            whole = 1 - math.prod(1 - min(1.0, part) for _, part in parts)
            scale = max(1.0, asked.shares[number] / whole) if whole > 0 else 1.0
            indexes = [(cost, min(1.0, part * scale)) for cost, part in parts]
            yield bits, pages.bitmap(indexes, asked, self.of.costs, pages=1.0)

    def _arm(self, scan: Scan, asked: Asked, kind: str, arm: Condition) -> tuple[Reading, int] | None:
        alone = self.of.alone(asked, arm)
        found: tuple[Reading, int] | None = None
        for bit, candidate in self.candidates(scan.name):
            for reading in self.of.readings(scan, alone, kind, candidate):
                is_bitmap = reading.given is None and reading.fetched < 1
                if is_bitmap and (found is None or reading.index_total < found[0].index_total):
                    found = reading, bit
        return found

    # Joins

    def _join(self, step: Step, want: Wanted | None, needs: bool) -> Iterator[Path]:
        """As it is joined now."""
        outer, inner = step.inputs
        is_loop, is_merge = step.kind == "Nested Loop", step.kind == "Merge Join"
        times = 1.0
        if is_loop and inner.total > 0:
            times = max(1.0, min(outer.rows, (step.total - outer.total) / inner.total))
        both = outer.total + inner.total
        scale = min(1.0, step.total / both) if is_merge and both > 0 else 1.0  # it may stop before their ends
        loops = times if is_loop and inner.kind not in _AROUND else 1.0
        passed = _passed(step, outer)
        for first in self.paths(outer, want if is_loop else None, is_merge or (is_loop and needs)):
            for second in self.paths(inner, None, is_merge, loops):
                total = step.total + (first.total - outer.total + (second.total - inner.total) * times) * scale
                hoped = step.total + (first.hoped - outer.total + (second.hoped - inner.total) * times) * scale
                startup = step.startup + first.startup - outer.startup
                if step.kind == "Hash Join":
                    startup += second.total - inner.total
                else:
                    startup += second.startup - inner.startup
                made = Path(0.0, max(0.0, total), max(0.0, hoped), first.used, first.gone).more(0.0, startup)
                is_ordered = first.is_ordered if is_loop else needs and is_merge
                yield made._replace(is_ordered=is_ordered, passed=first.passed * passed).with_bits(second)

    def _all_lookups(self, step: Step, want: Wanted | None, needs: bool) -> Iterator[Path]:
        for drive_at in _DRIVES.get(str(step.node.raw.get("Join Type", "Inner")), ()):
            yield from self._lookups(step, drive_at, want, needs)

    def _lookups(self, step: Step, drive_at: int, want: Wanted | None, needs: bool) -> Iterator[Path]:
        """Going through one side, and looking up the other for each of its rows."""
        drive = _inside(step.inputs[drive_at])
        look, is_unique = _looked_up(step.inputs[1 - drive_at])
        parts = [self.of.scans.get(part.number) for part in (look.children if look.kind == "Append" else (look,))]
        scans = [scan for scan in parts if scan is not None and not scan.step.subplans]
        if not scans or len(scans) < len(parts):
            return
        gone = 1 << step.number
        for scan in scans:
            gone |= 1 << scan.step.number
        breaks = needs and step.kind != "Hash Join"  # rows come in an order now
        new = self._lookup(step, scans, drive, look, is_unique=is_unique, existing=False)
        old = self._lookup(step, scans, drive, look, is_unique=is_unique, existing=True) if want is not None else None
        joined = self.of.rows(step) * self.of.costs.cpu_tuple_cost
        for path in self.paths(drive, want, needs and not breaks):
            for found in (new, old):
                # Existing indexes only where rows come in an order thanks to a candidate: else the planner has chosen.
                if found is None or not (found.used or (path.used and path.is_ordered)):
                    continue
                made = path.more(self.of.rows(drive) * found.total + joined, found.startup).with_bits(found)
                if breaks and not path.is_ordered:
                    made = made.more(self.sorting(step.rows))
                    made = made._replace(startup=min(made.total, made.hoped))
                yield made._replace(gone=made.gone | gone, passed=path.passed * _passed(step, drive))

    def _lookup(
        self, step: Step, scans: Sequence[Scan], drive: Step, look: Step, *, is_unique: bool, existing: bool
    ) -> Path | None:
        """One, in all partitions, by the cheapest indexes."""
        # It stops at the first row that fits: final_cost_nestloop takes that to be so far on.
        stops = is_unique or str(step.node.raw.get("Join Type")).endswith(("Semi", "Anti"))
        whole = Path(0.0, 0.0, 0.0)
        for scan in scans:
            asked = self.of.joined(step, scan, drive, look, is_unique=is_unique)
            if asked is None:
                return None
            joins = asked[0].tests[len(scan.asked.tests) :]
            choices = [(0, item) for item in self.of.existing(scan)] if existing else self.candidates(scan.name)
            ways = []
            for bit, candidate in choices:
                if not _finds_by(candidate, joins):
                    continue
                for reading in self.of.readings(scan, *asked, candidate, is_there=existing):
                    part = min(1.0, 2 / (reading.rows + 1)) if stops else 1.0
                    cost = reading.startup + (reading.total - reading.startup) * part
                    ways.append(Path(reading.startup, cost, cost, bit))
            if not ways:
                return None
            found = min(ways, key=rank)
            whole = whole.more(found.total, found.startup).with_bits(found)
        return whole


def _passed(step: Step, drive: Step) -> float:
    """The share of the rows that a join goes through which it does not drop."""
    return min(1.0, step.rows / max(1.0, drive.rows))


def _inside(step: Step) -> Step:
    while step.kind in _AROUND and len(step.inputs) == 1 and not step.subplans:
        step = step.inputs[0]
    return step


def _looked_up(step: Step) -> tuple[Step, bool]:
    """And whether each value counts once: of what a semijoin was made unique for, a lookup stops at the first row."""
    step = _inside(step)
    raw = step.node.raw
    is_unique = step.kind == "Unique" or (
        step.kind == "Aggregate" and "Filter" not in raw and raw.get("Output") == raw.get("Group Key", ())
    )
    if is_unique and len(step.inputs) == 1:
        return _inside(step.inputs[0]), True
    return step, False


def _finds_by(candidate: Candidate, joins: Sequence[selectivity.Test]) -> bool:
    """Whether an index looks a join's rows up, and does not read the same rows for each."""
    targets = {(item.target, item.is_expression) for item in joins if item.how in ("=", "range", "contains")}
    return any(
        ((key.column, False) if key.column else (selectivity.normal(key.expression), True)) in targets
        for key in candidate.keys
    )
