"""What the scans of a plan ask of their tables, as the model of indexes takes it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from dbopt.suggest.cost import selectivity
from dbopt.suggest.cost.pages import Asked, Heap
from dbopt.suggest.model import Candidate, Key
from dbopt.values import dataclass
from dbopt.workload.conditions import Condition, conditions, of_node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.planner_costs import PlannerCosts
    from dbopt.suggest.cost.selectivity import Test
    from dbopt.suggest.cost.steps import Step
    from dbopt.suggest.model import Access, Name, Table
    from dbopt.workload.finding import Column, Index, Relation

SCANS = frozenset(("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"))
_NUMBERED = re.compile(r"_\d+$")  # partitions are called by the table's alias with a number
_PREFIX = ("~>=~", "~<~")  # how a btree looks for a prefix that a Filter asks for
_CONDITIONS = ("Index Cond", "Recheck Cond", "Filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """All that is known beside a plan. `heaps`: of tables and of partitions that hold rows. `rows`: of whole tables,
    all partitions together. `pages`: of an index, there already or not, as if it held all rows of the table. `values`:
    what is known of an expression that no ANALYZE has looked at, by table and text, as selectivity.normal writes it.
    """

    tables: Mapping[Name, Table]
    heaps: Mapping[Name, Heap]
    costs: PlannerCosts
    rows: Mapping[Name, float]
    pages: Callable[[Candidate, Heap, Mapping[str, Column], bool], float]
    values: Callable[[Name, str], Column | None]
    roots: Mapping[Name, Name]  # of partitions the topmost table, of others themselves

    def page_cost(self, name: Name) -> float:
        heap = self.heaps.get(name)
        return 0.0 if heap is None else heap.pages * self.costs.seq_page_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """`name`: of the table that candidates are for. `aliases`: of the scan, and of a partition that which the whole
    table has above it. `part`: of the table's rows that this partition has.
    """

    step: Step
    name: Name
    relation: Relation
    aliases: tuple[str, ...]
    asked: Asked
    part: float
    indexes: frozenset[Name]  # that it uses now
    correction: float = 1.0  # how many rows come for each that the planner expects

    @property
    def own_rows(self) -> float:
        """That fit the conditions on this table alone."""
        pairs = zip(self.asked.tests, self.asked.shares, strict=True)
        return max(1.0, self.asked.heap.rows * prod(share for item, share in pairs if not item.condition.is_join))


def scan_of(step: Step, ground: Ground, accesses: Sequence[Access]) -> Scan | None:
    """None: it is no scan that an index could stand in for."""
    node = step.node
    if node.node_type not in SCANS or node.relation is None or "Order By" in node.raw or node.alias is None:
        return None
    name = ground.roots.get(node.relation)
    table = ground.tables.get(name) if name is not None else None
    heap = ground.heaps.get(node.relation)
    if name is None or table is None or heap is None or heap.rows < 1:
        return None
    relation = table.relation
    aliases: tuple[str, ...] = (node.alias,)
    if node.relation != name:
        aliases += (_NUMBERED.sub("", node.alias),)
    found = _conditions(step, relation)
    tests = tuple(map(selectivity.test, found))
    columns = {column.name: column for column in relation.columns}
    column_of = _knowing(name, relation, ground)
    correction = _correction(tests, relation, heap, column_of)
    together = min(1.0, max(step.rows, 1.0) / heap.rows * correction)
    asked = Asked(
        heap=heap,
        tests=tests,
        shares=selectivity.shares(tests, column_of, heap.rows, together if tests else None),
        row_cost=_row_cost(step, heap, ground.costs, len(tests)),
        column_of=column_of,
        columns=columns,
        output=_output(name, aliases, accesses),
    )
    return Scan(
        step=step,
        name=name,
        relation=relation,
        aliases=aliases,
        asked=asked,
        part=min(1.0, heap.rows / max(1.0, ground.rows[name])),
        indexes=frozenset(
            (node.relation[0], item.node.index_name) for item in step.walk() if item.node.index_name is not None
        ),
        correction=correction,
    )


def with_joins(scan: Scan, joins: Sequence[Condition], loops: float, together: float | None) -> Asked:
    """The same scan, run once for each row of something else. `together`: the share of the pairs that the join lets
    through; None: not known.
    """
    asked = scan.asked
    tests = tuple(map(selectivity.test, joins))
    shares = selectivity.shares(tests, asked.column_of, asked.heap.rows, together)
    # Several conditions of one join may be less than they let through each by itself, never more rows than there are.
    return replace(asked, tests=(*asked.tests, *tests), shares=(*asked.shares, *shares), loops=max(1.0, loops))


def join_conditions(step: Step, scan: Scan) -> tuple[Condition, ...]:
    """Those of a join that are equalities, as if they were asked of this scan's table."""
    types = {item.name: item.base_type or item.type_name for item in scan.relation.columns}
    found: list[Condition] = []
    for name in ("Hash Cond", "Merge Cond", "Join Filter"):
        text = step.node.raw.get(name)
        if text is not None:
            found += conditions(str(text), alias=scan.aliases[-1], types=types)
    return tuple(
        item for item in found if item.is_join and all(name not in scan.aliases for name, _ in item.other_columns)
    )


def _conditions(step: Step, relation: Relation) -> tuple[Condition, ...]:
    found: dict[tuple[str, str | None, str], Condition] = {}
    for name in _CONDITIONS:
        for item in of_node(step.node, relation, name):
            if item.operator in _PREFIX:
                continue
            # What an index looks up may be said again by a Filter, where the index knows it only in part.
            found.setdefault((item.expression, item.operator, item.other_side), item)
    return tuple(found.values())


def _row_cost(step: Step, heap: Heap, costs: PlannerCosts, tests: int) -> float:
    """To look at one row with all conditions; functions in them may be costly, which a scan of all rows tells."""
    least = costs.cpu_tuple_cost + tests * costs.cpu_operator_cost
    if step.kind != "Seq Scan" or step.subplans:
        return least
    told = (step.total - step.startup - heap.pages * costs.seq_page_cost) / heap.rows
    return max(least, told)


def _output(name: Name, aliases: Sequence[str], accesses: Sequence[Access]) -> frozenset[str] | None:
    """What is needed of it. None: all, or not known."""
    same = [access for access in accesses if access.relation == name]
    own = [access for access in same if access.alias in aliases] or same
    if not own or any(access.output is None for access in own):
        return None
    return frozenset().union(*(access.output or () for access in own))


def _knowing(name: Name, relation: Relation, ground: Ground) -> Callable[[Test], Column | None]:
    """What finds the statistics of what is tested."""

    def find(asked: Test) -> Column | None:
        if not asked.is_expression:
            return relation.column(asked.target)
        known = ground.values(name, asked.target)
        if known is not None:
            return known
        if _is_analyzed(asked, relation) or not selectivity.keeps_apart(asked.condition):
            return None
        column = relation.column(asked.condition.columns[0])
        return None if column is None else replace(column, correlation=None, avg_width=None)

    return find


def _is_analyzed(asked: Test, relation: Relation) -> bool:
    """Whether the planner has statistics of the expression, from an index on it."""
    return any(
        key.expression is not None and selectivity.normal(key.expression) == asked.target
        for index in relation.indexes
        for key in index.keys
    )


def _correction(
    tests: Sequence[Test], relation: Relation, heap: Heap, column_of: Callable[[Test], Column | None]
) -> float:
    """By how much the planner is off where it compares an expression that it has no statistics of: it takes that for
    one of 200 values.
    """
    factor = 1.0
    for item in tests:
        if not item.is_expression or item.how not in ("=", "any") or _is_analyzed(item, relation):
            continue
        column = column_of(item)
        if column is not None and selectivity.distinct_values(column, heap.rows) is not None:
            taken = selectivity.guess(item, None, heap.rows).likely
            factor *= selectivity.guess(item, column, heap.rows).likely / taken
    return factor


def as_candidate(index: Index, name: Name) -> Candidate | None:
    """An existing index in the form of one that is not there. None: nobody could read by it."""
    if not index.is_valid or any(key.column is None and key.expression is None for key in index.keys):
        return None
    keys = tuple(
        Key(key.column or "", key.expression or "", key.opclass, key.is_descending, key.nulls_first)
        for key in index.keys
    )
    return Candidate(name, keys, index.include, index.predicate or "", index.method)
