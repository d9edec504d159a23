"""What is known of a plan that indexes are grafted onto, whatever candidates there are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.suggest.cost import model, selectivity, wanted
from dbopt.suggest.cost.pages import Heap
from dbopt.suggest.cost.scans import as_candidate, join_conditions, scan_of, with_joins
from dbopt.suggest.cost.steps import steps

if TYPE_CHECKING:
    from dbopt.postgres.planner_costs import PlannerCosts
    from dbopt.suggest.cost.pages import Asked, Reading
    from dbopt.suggest.cost.scans import Ground, Scan
    from dbopt.suggest.cost.steps import Step
    from dbopt.suggest.model import Access, Candidate, Name
    from dbopt.workload.conditions import Condition
    from dbopt.workload.plan import Node


class Grafting:
    """One plan. `honest`: what a node costs where the planner counts on stopping early and cannot."""

    def __init__(self, root: Node, ground: Ground, accesses: Sequence[Access], honest: Callable[[Node], float]) -> None:
        self.root = steps(root, ground.page_cost)
        self.costs: PlannerCosts = ground.costs
        self.scans: dict[int, Scan] = {
            step.number: scan for step in self.root.walk() if (scan := scan_of(step, ground, accesses)) is not None
        }
        orders = [access for access in accesses if access.order]
        self.needs_order = bool(orders)
        self.order = wanted.of_access(orders[0]) if len(orders) == 1 else None
        self._ground = ground
        self._honest = honest
        self._accesses = accesses
        self._rows: dict[int, float] = {}
        self.rows(self.root)
        self._readings: dict[tuple[int, str, Candidate], tuple[Reading, ...]] = {}
        self._asked: dict[tuple[int, str], Asked | None] = {}

    def rows(self, step: Step) -> float:
        """That come; others than the planner expects where it knows too little of an expression."""
        if step.number not in self._rows:
            factor = self.scans[step.number].correction if step.number in self.scans else 1.0
            for below in step.inputs:
                factor *= self.rows(below) / below.rows if below.rows > 0 else 1.0
            self._rows[step.number] = step.rows * factor
        return self._rows[step.number]

    def honest_total(self, step: Step) -> float:
        """Of a LIMIT as it is."""
        return step.total + max(0.0, self._honest(step.node) - step.node.total_cost)

    def indexes_gone(self, gone: int) -> frozenset[Name]:
        """Existing indexes that only steps use which are no longer done (bits)."""
        left: set[Name] = set()
        dropped: set[Name] = set()
        for number, scan in self.scans.items():
            (dropped if gone >> number & 1 else left).update(scan.indexes)
        return frozenset(dropped - left)

    def readings(
        self, scan: Scan, asked: Asked, kind: str, candidate: Candidate, *, is_there: bool = False
    ) -> tuple[Reading, ...]:
        """The ways to answer a scan with an index. `kind`: tells what is asked apart from other ways to ask it.
        `is_there`: it is no candidate.
        """
        key = (scan.step.number, kind, candidate)
        if key not in self._readings:
            whole = asked.heap
            if scan.part < 1:
                whole = Heap(whole.rows / scan.part, whole.pages / scan.part, whole.visible)
            pages = self._ground.pages(candidate, whole, asked.columns, is_there) * scan.part
            self._readings[key] = model.readings(candidate, asked, self.costs, max(1.0, pages))
        return self._readings[key]

    def looped(self, scan: Scan, loops: float) -> tuple[Asked, str]:
        """A scan that is run so often, for rows of another."""
        if loops > 1:
            loops = self._loops([item.condition for item in scan.asked.tests], loops)
        kind = f"x{loops:.6g}" if loops > 1 else ""
        key = (scan.step.number, kind)
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = replace(scan.asked, loops=max(1.0, loops))
        return asked, kind

    def joined(self, join: Step, scan: Scan, drive: Step, look: Step, *, is_unique: bool) -> tuple[Asked, str] | None:
        """The scan as a lookup for each row of the other side; None: no condition joins them."""
        kind = f"j{join.number}"
        key = (scan.step.number, kind)
        if key not in self._asked:
            found = join_conditions(join, scan)
            together = None
            is_inner = join.node.raw.get("Join Type") == "Inner" and not is_unique
            if is_inner and drive.rows >= 1 and look.rows >= 1:
                together = min(1.0, join.rows / (drive.rows * look.rows))
            self._asked[key] = with_joins(scan, found, self._loops(found, drive.rows), together) if found else None
        asked = self._asked[key]
        return None if asked is None else (asked, kind)

    def _loops(self, conditions: Sequence[Condition], otherwise: float) -> float:
        """How often the planner takes a lookup to be run, when it shares out what pages cost: for each row of the table
        that it is joined with, whatever else that one is joined with before (get_loop_count).
        """
        aliases = {alias for item in conditions for alias, _ in item.other_columns}
        rows = [scan.own_rows for scan in self.scans.values() if aliases.intersection(scan.aliases)]
        return max(1.0, min(rows, default=otherwise))

    def alone(self, asked: Asked, condition: Condition) -> Asked:
        """As if a scan had this condition only."""
        tests = (selectivity.test(condition),)
        shares = selectivity.shares(tests, asked.column_of, asked.heap.rows, None)
        return replace(asked, tests=tests, shares=shares)

    def existing(self, scan: Scan) -> Iterator[Candidate]:
        """Btrees that are there."""
        for index in scan.relation.indexes:
            found = as_candidate(index, scan.name) if index.method == "btree" else None
            if found is not None:
                yield found

    def extremes(self, scan: Scan) -> tuple[str, ...]:
        """Columns of which min() or max() is all that is asked for."""
        same = [access for access in self._accesses if access.relation == scan.name]
        own = [access for access in same if access.alias in scan.aliases] or same
        return own[0].extreme if len(own) == 1 and not own[0].residual else ()
