"""A plan as one process would run it: the numbers that grafting starts from. Pure.

What several processes share is added up again: a lookup through an index needs no helpers, and what a Gather costs is
no part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbopt.suggest.model import Name
    from dbopt.workload.plan import Node

ALL_BUT = 0.99  # a step that starts when so much of what is below is done waits for all of it
_GATHERS = ("Gather", "Gather Merge")


@dataclass(frozen=True, slots=True)
class Step:
    """A node with the costs and the rows of one execution."""

    node: Node
    startup: float
    total: float
    rows: float
    children: tuple[Step, ...]

    @property
    def number(self) -> int:
        return self.node.number

    @property
    def kind(self) -> str:
        return self.node.node_type

    @property
    def inputs(self) -> tuple[Step, ...]:
        return tuple(child for child in self.children if not child.node.is_subplan)

    @property
    def subplans(self) -> tuple[Step, ...]:
        return tuple(child for child in self.children if child.node.is_subplan)

    def walk(self) -> Iterator[Step]:
        yield self
        for child in self.children:
            yield from child.walk()


def steps(root: Node, page_cost: Callable[[Name], float]) -> Step:
    """`page_cost`: what it costs to read all pages of a table, which processes do not share."""
    return _step(root, 1.0, page_cost)[0]


def _step(node: Node, divisor: float, page_cost: Callable[[Name], float]) -> tuple[Step, bool]:
    """And whether it is one of several processes' part."""
    if node.node_type in _GATHERS and node.children:
        return _gathered(node, page_cost), False
    made = [_step(child, divisor, page_cost) for child in node.children]
    children = tuple(step for step, _ in made)
    is_part = bool(node.raw.get("Parallel Aware")) or any(part for step, part in made if not step.node.is_subplan)
    startup, total = float(node.raw.get("Startup Cost", 0)), node.total_cost
    inputs = [(child, step) for child, (step, _) in zip(node.children, made, strict=True) if not child.is_subplan]
    if not is_part or divisor <= 1:
        # What is below may be one process's work now.
        more = sum(step.total - child.total_cost for child, (step, _) in zip(node.children, made, strict=True))
        waits = any(startup >= child.total_cost * ALL_BUT for child, _ in inputs)
        return Step(node, startup + (more if waits else 0.0), total + more, node.plan_rows, children), is_part
    below = sum(child.total_cost for child, _ in inputs)
    shared = max(0.0, total - below)
    if node.relation is not None and not inputs:
        pages = min(shared, page_cost(node.relation)) if node.node_type == "Seq Scan" else 0.0
        whole = pages + (shared - pages) * divisor
    else:
        whole = sum(step.total for _, step in inputs) + shared * divisor
    scale = whole / total if total > 0 else 1.0
    return Step(node, startup * scale, whole, node.plan_rows * divisor, children), True


def _gathered(node: Node, page_cost: Callable[[Name], float]) -> Step:
    """What is below it, and the subplans that hang on it."""
    workers = float(node.raw.get("Workers Planned", 0))
    # get_parallel_divisor: the leader helps, the less the more workers there are.
    divisor = workers + max(0.0, 1.0 - 0.3 * workers)
    [inner, *_] = [child for child in node.children if not child.is_subplan]
    step, _ = _step(inner, divisor, page_cost)
    subplans = tuple(_step(child, 1.0, page_cost)[0] for child in node.children if child.is_subplan)
    cost = sum(child.total for child in subplans)
    return Step(step.node, step.startup + cost, step.total + cost, step.rows, (*step.children, *subplans))
