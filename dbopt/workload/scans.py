"""How a plan reads a table: how much of it, how much of that it keeps, and by which conditions. Pure.

Partitions are taken together: to whoever asks they are one table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING

from dbopt.postgres.literals import masked
from dbopt.values import dataclass
from dbopt.workload.conditions import Condition, Kind, of_node
from dbopt.workload.index_advice import ROWS_MIN, SIZE_MIN_BYTES, distinct_values, is_ours, top
from dbopt.workload.nodes import parents
from dbopt.workload.plan import COSTLY_SHARE

if TYPE_CHECKING:
    from dbopt.workload.finding import Relation, Scene
    from dbopt.workload.plan import Node

# The planner's own guesses where it knows no value: DEFAULT_INEQ_SEL and DEFAULT_RANGE_INEQ_SEL of selfuncs.h; an array
# that it does not know it takes for ten elements (estimate_array_length).
RANGE_SELECTIVITY = 1 / 3
BOUNDED_SELECTIVITY = 0.005
ARRAY_ELEMENTS = 10
# Our own reasoning, held against the planner's choice in tests: of rows of some hundred bytes, that lie in no order, it
# takes an index up to here and somewhat beyond.
KEPT_FRACTION_MAX = 0.05
WASTE_SOURCE = (
    f"{ROWS_MIN:,} rows as for health's foreign-key-without-index, or min_parallel_table_scan_size; our own reasoning:"
    f" at most {KEPT_FRACTION_MAX:.0%} of the rows kept, and {COSTLY_SHARE:.0%} of the cost"
)
# Rows come through these as they are: not fewer, not more.
_KEEPS_ROWS = frozenset(
    ("Gather", "Gather Merge", "Sort", "Incremental Sort", "LockRows", "Append", "Merge Append", "ModifyTable")
)
# What needs all rows from below before it gives one.
_WAITS = frozenset(("Sort", "Incremental Sort", "Aggregate", "Hash", "Materialize", "SetOp"))


@dataclass(frozen=True, slots=True)
class Scan:
    """One way to read a table, by one node or, of a partitioned table, by one for each partition.

    `read`: how many rows of the table are looked at in one execution of the statement; `kept`: how many fit all the
    conditions. `is_counted`: the plan was run, and both are its counts. `is_known`: `kept` at least is no estimate, but
    how many rows the statement gave back on average. `estimated_kept`: what the planner thinks. `share`: of the
    statement's cost.
    """

    nodes: tuple[Node, ...]
    relations: tuple[Relation, ...]
    target: Relation  # the table, or the topmost one above its partitions
    filter: tuple[Condition, ...]
    read: float
    kept: float
    estimated_kept: float
    is_counted: bool
    is_known: bool
    share: float

    @property
    def relation(self) -> Relation:
        return self.relations[0]

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(node.number for node in self.nodes)

    @property
    def size_bytes(self) -> int:
        return sum(relation.size_bytes for relation in self.relations)

    @property
    def is_costly(self) -> bool:
        """Whether it reads much, in itself and of its statement: asked of one that reads all."""
        part = self.read / max(1.0, sum(relation.rows or 0.0 for relation in self.relations))
        is_much = self.read >= ROWS_MIN or self.size_bytes * part >= SIZE_MIN_BYTES
        return is_much and self.share >= COSTLY_SHARE

    @property
    def is_wasteful(self) -> bool:
        """And that to keep little of it."""
        return self.is_costly and self.kept <= self.read * KEPT_FRACTION_MAX

    @property
    def kept_words(self) -> str:
        return f"{self.kept:,.0f}" if self.is_known else f"about {self.kept:,.0f}"

    @property
    def conditions_text(self) -> str:
        """For people, without values."""
        return masked(self.nodes[0].filter or "")


def whole_scans(scene: Scene) -> Iterator[Scan]:
    """Those that read all of a table, be it in the order of an index."""
    for scan in scans(scene, ("Seq Scan", "Index Scan", "Index Only Scan")):
        if not any("Index Cond" in node.raw for node in scan.nodes):
            yield scan


def scans(scene: Scene, node_types: Container[str]) -> Iterator[Scan]:
    """Those of tables that were analyzed and are somebody's own, in the order of the plan."""
    if scene.plan is None:
        return
    above = parents(scene.plan)
    groups: dict[object, list[tuple[Node, Relation, tuple[Condition, ...]]]] = defaultdict(list)
    for node in scene.nodes:
        relation = scene.relation(node)
        if node.node_type not in node_types or relation is None or relation.rows is None or not is_ours(relation):
            continue
        found = of_node(node, relation)
        form = tuple((item.expression, item.operator, item.other_side) for item in found)
        groups[top(scene, relation).oid, node.index_name is None, form].append((node, relation, found))
    for members in groups.values():
        yield _scan(scene, members, above)


def _scan(scene: Scene, members: list[tuple[Node, Relation, tuple[Condition, ...]]], above: Mapping[int, Node]) -> Scan:
    nodes = tuple(node for node, _, _ in members)
    relations = tuple(relation for _, relation, _ in members)
    estimates = [_estimated(scene, node, relation, above) for node, relation, _ in members]
    counts = [counted for node in nodes if (counted := _counted(node)) is not None]
    is_counted = len(counts) == len(nodes)
    read = sum(one for one, _ in (counts if is_counted else estimates))
    kept = sum(one for _, one in (counts if is_counted else estimates))
    returned = None if is_counted else _returned(scene, nodes, above)
    return Scan(
        nodes,
        relations,
        target=top(scene, relations[0]),
        filter=members[0][2],
        read=read,
        kept=kept if returned is None else min(read, returned),
        estimated_kept=sum(one for _, one in estimates),
        is_counted=is_counted,
        is_known=is_counted or returned is not None,
        share=min(1.0, sum(node.own_share * scene.executions(node) / _processes(node, above) for node in nodes)),
    )


def _counted(node: Node) -> tuple[float, float] | None:
    """Rows read and kept by a node that was really run; EXPLAIN gives both as averages of its loops."""
    if node.actual_rows is None or node.actual_loops is None:
        return None
    removed = float(node.raw.get("Rows Removed by Filter", 0)) + float(node.raw.get("Rows Removed by Join Filter", 0))
    return (node.actual_rows + removed) * node.actual_loops, node.actual_rows * node.actual_loops


def _estimated(scene: Scene, node: Node, relation: Relation, above: Mapping[int, Node]) -> tuple[float, float]:
    times = scene.executions(node)
    part = limited(node, above)
    return (relation.rows or 0.0) * part * times, node.plan_rows * _divisor(node, above) * part * times


def limited(node: Node, above: Mapping[int, Node]) -> float:
    """Which part of its rows a node gives before a LIMIT above it has enough, 0..1."""
    part, at = 1.0, node
    while (parent := above.get(at.number)) is not None and at.node_type not in _WAITS:
        if at.is_subplan or (at.raw.get("Parent Relationship") == "Inner" and parent.node_type != "Append"):
            break
        if parent.node_type == "Limit" and at.plan_rows > 0:
            part *= min(1.0, parent.plan_rows / at.plan_rows)
        at = parent
    return part


def _divisor(node: Node, above: Mapping[int, Node]) -> float:
    """By how many processes the planner divides the rows of a parallel node (get_parallel_divisor)."""
    if not node.raw.get("Parallel Aware"):
        return 1.0
    workers = _workers(node, above)
    return workers + max(0.0, 1.0 - 0.3 * workers)


def _workers(node: Node, above: Mapping[int, Node]) -> float:
    at: Node | None = node
    while at is not None:
        if "Workers Planned" in at.raw:
            return float(at.raw["Workers Planned"])
        at = above.get(at.number)
    return 0.0


def _processes(node: Node, above: Mapping[int, Node]) -> float:
    """What was run in each of several processes counts as many loops."""
    return 1.0 if node.actual_loops is None else 1.0 + _workers(node, above)


def _returned(scene: Scene, nodes: tuple[Node, ...], above: Mapping[int, Node]) -> float | None:
    """How many rows a call gave back, or changed, on average; only where that is what the scan has kept."""
    others = [node for node in scene.nodes if node.relation is not None and node.node_type != "ModifyTable"]
    if len(others) != len(nodes):
        return None
    for node in nodes:
        at: Node | None = above.get(node.number)
        while at is not None:
            if at.node_type not in _KEEPS_ROWS or at.is_subplan:
                return None
            at = above.get(at.number)
    if scene.plan is not None and scene.plan.is_subplan:
        return None
    return scene.statement.counters.rows_per_call


def usable(found: Iterable[Condition]) -> tuple[Condition, ...]:
    """Those that an index on plain columns finds rows by, and that are no join."""
    return tuple(
        item
        for item in found
        if not item.is_join
        and len(item.columns) == 1
        and (item.kind in (Kind.EQUALITY, Kind.RANGE) or (item.kind is Kind.NULL_TEST and item.operator == "IS NULL"))
    )


def equal_columns(found: Iterable[Condition]) -> tuple[str, ...]:
    """IS NULL is as good as `=`."""
    return tuple(dict.fromkeys(item.columns[0] for item in found if item.kind in (Kind.EQUALITY, Kind.NULL_TEST)))


def range_columns(found: Iterable[Condition]) -> tuple[str, ...]:
    """Those with two bounds first."""
    names = [item.columns[0] for item in found if item.kind is Kind.RANGE]
    return tuple(sorted(dict.fromkeys(names), key=lambda name: -names.count(name)))


def selectivity(relation: Relation, found: Iterable[Condition]) -> float | None:
    """Which part of the rows fits, 0..1, as the planner guesses for values that it does not know; None: the columns
    have no statistics.
    """
    found = tuple(found)
    parts = []
    for name in equal_columns(found):
        column = relation.column(name)
        tests = [item for item in found if item.columns == (name,)]
        if column is None or column.null_frac is None:
            return None
        if all(item.kind is Kind.NULL_TEST for item in tests):
            parts.append(column.null_frac)
            continue
        distinct = distinct_values(relation, column)
        if not distinct:
            return None
        many = ARRAY_ELEMENTS if all(item.operator == "= ANY" for item in tests if item.kind is Kind.EQUALITY) else 1
        parts.append(min(1.0, many * (1 - column.null_frac) / distinct))
    ranges = [item.columns[0] for item in found if item.kind is Kind.RANGE]
    parts += [BOUNDED_SELECTIVITY if ranges.count(name) > 1 else RANGE_SELECTIVITY for name in dict.fromkeys(ranges)]
    return prod(parts)
