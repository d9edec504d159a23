"""What a plan costs if it cannot stop as early as the planner hopes.

Above an index scan that gives the wanted order, a Limit is costed as the share of the scan that it takes: 20 rows of
10,000 that pass a filter, a five-hundredth. That holds if the rows that pass are spread evenly. Often they are not: all
open orders are new ones, and the scan begins with the old. Such a plan can be far slower than sorting what another
index finds, or than having no index at all (measured: 3 to 4 times, in 14 of 25 lists of advisors).

So where rows are still dropped between the scan and the Limit, what counts is the worst order: all rows that are
dropped come first. Of a scan that lets a share s through and of which the Limit takes the share f, (1 - s) + s * f is
read. A lower bound of s is enough: the rows that pass, by those of the table. Of an index scan that its conditions, or
the index's predicate, bound, s is what the filter does by itself: by statistics, so that all conditions together are
what the planner says. Where nothing is known, all is read. A filter that nearly all rows pass costs little more, then;
an index whose conditions cover all that is asked (equality, a keyset) is left as it is; and one that bounds its scan at
least is read to its end, which may be little.

Dropped are rows by a Filter; by a join that gives less rows than its outer side; and by a condition on a key of the
index behind one that is not compared for equality, which the whole index is read for. What sorts, hashes or aggregates
reads everything anyway, so that below it nothing changes. Bitmap and sequential scans are treated like index scans, for
they are compared with each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dbopt.suggest.model import Candidate, Name
    from dbopt.workload.finding import Column, Relation
    from dbopt.workload.plan import Node

# They hand rows on as they come, one child as well as several.
_STREAMS = frozenset(
    {"Result", "Subquery Scan", "LockRows", "ProjectSet", "Incremental Sort", "Gather", "Gather Merge"}
)
_STREAMS |= {"Append", "Merge Append", "Unique", "Group", "WindowAgg", "SetOp", "Limit"}
_JOINS = frozenset({"Nested Loop", "Merge Join", "Hash Join"})
_INDEX_SCANS = frozenset({"Index Scan", "Index Only Scan"})
_SCANS = _INDEX_SCANS | {"Bitmap Heap Scan", "Seq Scan"}
_GROUPING = frozenset({"Unique", "Group", "Aggregate", "SetOp"})  # less rows, but none is dropped
_ONCE = frozenset({"Materialize", "Hash"})
# A leader takes part in what its workers do, the less the more there are (cost_gather and its like, costsize.c).
_LEADER_SHARE_LOST = 0.3


class _Extra(NamedTuple):
    """What a node costs more than it says, once: before its first row, and until its last. `passed`: of the rows that
    are read below it, the share that arrives at least; 1: none is dropped, or all are read before the first arrives.
    """

    startup: float = 0.0
    run: float = 0.0
    passed: float = 1.0


def honest_cost(
    root: Node, relations: Mapping[Name, Relation] | None = None, made: Mapping[str, Candidate] | None = None
) -> float:
    """In the planner's units. `relations`: for their rows, and for the keys of their indexes; without, shares are not
    known, and each Index Cond is taken to bound its scan. `made`: hypothetical indexes, by their names in the plan.
    """
    if not any(node.node_type == "Limit" for node in root.walk()):
        return root.total_cost
    extra = _Tree(relations or {}, made or {}).extra(root, 1.0)
    return root.total_cost + extra.startup + extra.run


class _Tree:
    def __init__(self, relations: Mapping[Name, Relation], made: Mapping[str, Candidate]) -> None:
        self._relations = relations
        self._made = made

    def extra(self, node: Node, workers: float) -> _Extra:
        """`workers`: that share the rows of what is parallel."""
        if node.node_type in ("Gather", "Gather Merge"):
            planned = float(node.raw.get("Workers Planned", 0))
            workers = planned + max(0.0, 1.0 - _LEADER_SHARE_LOST * planned)
        startup = run = 0.0
        streams: list[tuple[Node, _Extra]] = []
        for child in node.children:
            found = self.extra(child, workers)
            if self._is_stream(node, child):
                startup += found.startup
                run += found.run
                streams.append((child, found))
            else:
                again = (found.startup + found.run) * _executions(node, child)
                if child.raw.get("Parent Relationship") == "Inner" and node.node_type == "Nested Loop":
                    run += again
                else:
                    startup += again
        passed = self._passed(node, streams, workers)
        if node.node_type == "Limit" and streams:
            # What is dropped comes first, so for whoever is above it is all before the first row.
            return _Extra(startup + run + _not_stopped(node, streams[0][0], run, passed))
        return _Extra(startup, run, passed)

    def _is_stream(self, node: Node, child: Node) -> bool:
        if child.is_subplan:
            return False
        if node.node_type in _JOINS:
            return child.raw.get("Parent Relationship") == "Outer" or (
                node.node_type == "Merge Join" and child.raw.get("Parent Relationship") == "Inner"
            )
        return node.node_type in _STREAMS or (node.node_type == "Aggregate" and node.raw.get("Strategy") == "Sorted")

    def _passed(self, node: Node, streams: list[tuple[Node, _Extra]], workers: float) -> float:
        if node.node_type in _SCANS:
            return self._passed_scan(node, workers)
        if not streams:
            return 1.0
        if node.node_type in _GROUPING:
            return 0.0 if node.filter is not None else streams[0][1].passed
        if node.node_type in _JOINS:  # of both sides that stream, the one of which less arrives
            return min(passed * min(1.0, _share(node.plan_rows, child.plan_rows)) for child, (_, _, passed) in streams)
        if node.node_type in ("Append", "Merge Append"):
            read = [_share(child.plan_rows, found.passed) for child, found in streams]
            return _share(sum(child.plan_rows for child, _ in streams), sum(read))
        child, found = streams[0]
        return found.passed * (1.0 if node.filter is None else min(1.0, _share(node.plan_rows, child.plan_rows)))

    def _passed_scan(self, node: Node, workers: float) -> float:
        if node.filter is None and self._is_bounded(node):
            return 1.0
        relation = self._relations.get(node.relation or ("", ""))
        if relation is None or not relation.rows:
            return 0.0
        share = min(1.0, node.plan_rows * (workers if node.raw.get("Parallel Aware") else 1.0) / relation.rows)
        if node.node_type not in _INDEX_SCANS or node.filter is None or not self._is_bounded(node):
            return share
        found = self._conditions(node)
        return max(share, passed_filter(node.filter, found, relation, share)) if found else share

    def _conditions(self, node: Node) -> tuple[str, ...]:
        """What holds for each row that the scan gets to see, before its filter."""
        candidate = self._made.get(node.index_name or "")
        return tuple(
            text for text in (str(node.raw.get("Index Cond", "")), "" if candidate is None else candidate.where) if text
        )

    def _is_bounded(self, node: Node) -> bool:
        """Whether each part of the Index Cond says where the scan begins or ends."""
        text = node.raw.get("Index Cond")
        keys = self._keys(node)
        if node.node_type not in _INDEX_SCANS or text is None or len(keys) < 2:
            return True
        return is_bounding(str(text), keys)

    def _keys(self, node: Node) -> tuple[str, ...]:
        candidate = self._made.get(node.index_name or "")
        if candidate is not None:
            return tuple(key.name for key in candidate.keys) if candidate.method == "btree" else ()
        relation = self._relations.get(node.relation or ("", ""))
        index = next((item for item in relation.indexes if item.name == node.index_name), None) if relation else None
        if index is None or index.method != "btree":
            return ()
        return tuple(key.column or key.expression or "" for key in index.keys)


def is_bounding(condition: str, keys: tuple[str, ...]) -> bool:
    """Whether a btree with these keys begins or ends its scan by each part of an Index Cond: equality on the first
    ones, then anything on the next. Also where parts cannot be told.
    """
    from dbopt.workload.conditions import Kind, conditions

    equal: set[str] = set()
    other: set[str] = set()
    for item in conditions(condition):
        if not item.columns:
            return True
        is_expression = item.kind in (Kind.FUNCTION, Kind.CAST)
        # Of a row, (a, b) < ($1, $2), the first column bounds; the others say where exactly.
        name = _normal(item.expression) if is_expression else item.columns[0]
        (equal if item.operator in ("=", "= ANY", "IS NULL") or item.kind is Kind.EQUALITY else other).add(name)
    known = [key if key in equal or key in other else _normal(key) for key in keys]
    if not equal | other <= set(known):
        return True
    is_open = True
    for key in known:
        if (key in equal or key in other) and not is_open:
            return False
        is_open = is_open and key in equal
    return True


def passed_filter(condition: str, before: tuple[str, ...], relation: Relation, together: float) -> float:
    """The share of rows that a filter lets through of those for which the conditions `before` hold; of all rows, both
    let through `together`.
    """
    from dbopt.suggest.cost import selectivity
    from dbopt.workload.conditions import conditions

    first = [selectivity.test(item) for text in before for item in conditions(text)]
    last = [selectivity.test(item) for item in conditions(condition)]

    def column(asked: selectivity.Test) -> Column | None:
        return None if asked.is_expression or not asked.target else relation.column(asked.target)

    shares = selectivity.shares([*first, *last], column, relation.rows or 0.0, together)
    return math.prod(shares[len(first) :])


def _normal(expression: str) -> str:
    from dbopt import grammar

    try:
        return grammar.expression_text(grammar.parse_expression(expression))
    except grammar.GrammarError:
        return expression


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _executions(node: Node, child: Node) -> float:
    relationship = child.raw.get("Parent Relationship")
    if child.node_type in _ONCE:
        return 1.0
    if relationship == "Inner" and node.node_type == "Nested Loop":
        return max([1.0, *(one.plan_rows for one in node.children if one.raw.get("Parent Relationship") == "Outer")])
    return max(1.0, node.plan_rows) if relationship == "SubPlan" else 1.0


def _not_stopped(limit: Node, child: Node, run_more: float, passed: float) -> float:
    """What a Limit costs more than it says, if rows are dropped below it; less what `run_more`, which is counted whole,
    holds for rows that are not read.
    """
    before = float(child.raw.get("Startup Cost", 0.0))
    run = child.total_cost - before
    taken = min(1.0, max(0.0, (limit.total_cost - before) / run)) if run > 0 else 1.0
    read = (1.0 - passed) + passed * taken
    return run * (read - taken) - run_more * (1.0 - read)
