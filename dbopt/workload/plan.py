"""A plan as a tree of nodes: typed where the findings look, else as PostgreSQL said it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from dbopt.values import dataclass

# A node that costs so much of the whole is worth a look.
COSTLY_SHARE = 0.2
_SORTS = ("Sort", "Incremental Sort")
# Of two plans with all these alike the server does the same in the same order. Numbers are left out, they change with
# every ANALYZE.
_SHAPE = (
    *("Node Type", "Strategy", "Partial Mode", "Join Type", "Parent Relationship", "Subplan Name", "Operation"),
    *("Schema", "Relation Name", "Index Name", "CTE Name", "Function Name", "Scan Direction", "Command"),
)


@dataclass(frozen=True, slots=True)
class Node:
    """`number`: in the order in which plans are written, from 0. `raw`: what EXPLAIN said of it, its children left out.
    Estimates are for one execution; `actual_*` are None where it did not run.
    """

    number: int
    depth: int
    raw: Mapping[str, Any]
    children: tuple[Node, ...]
    statement_cost: float  # of the whole plan, in the planner's units

    @property
    def node_type(self) -> str:
        return str(self.raw["Node Type"])

    @property
    def relation(self) -> tuple[str, str] | None:
        """Schema and name of the table that is scanned or changed."""
        name = self.raw.get("Relation Name")
        return None if name is None else (str(self.raw.get("Schema", "")), str(name))

    @property
    def index_name(self) -> str | None:
        return self.raw.get("Index Name")

    @property
    def alias(self) -> str | None:
        return self.raw.get("Alias")

    @property
    def plan_rows(self) -> float:
        return float(self.raw.get("Plan Rows", 0))

    @property
    def plan_width(self) -> float:
        """Bytes of a row."""
        return float(self.raw.get("Plan Width", 0))

    @property
    def total_cost(self) -> float:
        return float(self.raw.get("Total Cost", 0))

    @property
    def own_cost(self) -> float:
        """Without its children; of a nested loop, what its inner side costs again and again is part of it."""
        children = sum(child.total_cost for child in self.children if not child.is_subplan)
        return max(0.0, self.total_cost - children)

    @property
    def own_share(self) -> float:
        """Of the cost of the whole plan, 0..1."""
        return min(1.0, self.own_cost / self.statement_cost) if self.statement_cost > 0 else 0.0

    @property
    def is_costly(self) -> bool:
        return self.own_share >= COSTLY_SHARE

    @property
    def is_subplan(self) -> bool:
        return self.raw.get("Parent Relationship") in ("InitPlan", "SubPlan")

    @property
    def filter(self) -> str | None:
        """As PostgreSQL writes it: `((status)::text = $1)`."""
        return self.raw.get("Filter")

    @property
    def sort_key(self) -> tuple[str, ...]:
        return tuple(self.raw.get("Sort Key", ()))

    @property
    def actual_rows(self) -> float | None:
        """Of one execution."""
        value = self.raw.get("Actual Rows")
        return None if value is None else float(value)

    @property
    def actual_loops(self) -> float | None:
        value = self.raw.get("Actual Loops")
        return None if value is None else float(value)

    @property
    def actual_total_time_ms(self) -> float | None:
        """Of one execution, its children's time included."""
        value = self.raw.get("Actual Total Time")
        return None if value is None else float(value)

    @property
    def is_sort(self) -> bool:
        return self.node_type in _SORTS

    def walk(self) -> Iterator[Node]:
        """It and all below it, in the order of their numbers."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def words(self) -> str:
        """`Index Scan using orders_pkey on orders o`."""
        text = self.node_type
        if self.node_type == "ModifyTable":
            text = str(self.raw.get("Operation", text))
        if self.raw.get("Join Type") not in (None, "Inner"):
            text += f" ({self.raw['Join Type']})"
        if self.raw.get("Scan Direction") == "Backward":
            text += " Backward"
        if self.index_name is not None:
            text += f" using {self.index_name}"
        target = self.raw.get("Relation Name") or self.raw.get("CTE Name") or self.raw.get("Function Name")
        if target is not None:
            text += f" on {target}"
            if self.alias not in (None, target):
                text += f" {self.alias}"
        return text


def root(document: Mapping[str, Any]) -> Node | None:
    """The tree of one document of EXPLAIN (FORMAT JSON). None: the statement has no plan (a utility of a rule)."""
    plan = document.get("Plan")
    if plan is None:
        return None
    numbers = iter(range(1_000_000))
    return _node(plan, numbers, 0, float(plan.get("Total Cost", 0)))


def _node(plan: Mapping[str, Any], numbers: Iterator[int], depth: int, cost: float) -> Node:
    number = next(numbers)
    children = tuple(_node(child, numbers, depth + 1, cost) for child in plan.get("Plans", ()))
    raw = {key: value for key, value in plan.items() if key != "Plans"}
    return Node(number, depth, raw, children, cost)


def shape(node: Node) -> str:
    """A digest that is the same for plans that do the same, whatever they cost."""
    return hashlib.sha256(json.dumps(_form(node)).encode()).hexdigest()[:16]


def _form(node: Node) -> list[Any]:
    return [
        [node.raw.get(name) for name in _SHAPE],
        list(node.raw.get("Sort Key", ())),
        list(map(_form, node.children)),
    ]


def summary(node: Node) -> str:
    """What it reads, and how, in the order of the plan: `Index Scan using a on b, Seq Scan on c`."""
    scans = [item.words for item in node.walk() if item.relation is not None or item.index_name is not None]
    return ", ".join(dict.fromkeys(scans)) or node.words
