"""The same rows are read again and again: once for each row of another table.

A nested loop is the right way for a few rows, or where an index finds the ones that belong together. Here there is none
to do so: for each row of one side the whole other side is gone through, so that the work is the product of both. It
comes from

- a join, a LATERAL or a subquery per row (`SELECT (SELECT ... WHERE b.a_id = a.id) FROM a`) without an index on the
  column that they meet by,
- a join on anything else than `=`, or on an OR, which no hash can be made for,
- `NOT IN (SELECT ...)` with a result too large for a hash table,
- a join condition that was forgotten: every row with every row.

By estimate it is named from a million rows gone through on, where that is a good part of the statement's cost, unless
the calls that were counted are too quick for it. Where statistics are wrong the planner takes a nested loop for what
it thinks are a few rows; only a plan that was really run shows that, see row-estimate-off.
https://www.postgresql.org/docs/current/planner-optimizer.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.postgres.literals import masked
from dbopt.values import dataclass
from dbopt.workload import index_advice
from dbopt.workload.conditions import Condition, Kind, conditions, of_node
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice
from dbopt.workload.nodes import mentions, parents, table_words, tables
from dbopt.workload.plan import COSTLY_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from dbopt.workload.finding import Relation, Scene
    from dbopt.workload.plan import Node

# Measured on 18: one takes 45 to 160 ns, so a million about a tenth of a second.
VISITS_MIN = 1_000_000
# Our own: a tenth of the quickest ever is taken for granted. A call that takes less time does not do what is estimated.
VISIT_LEAST_MS = 5e-6
# Our own reasoning: a few rows on one side are no product, they are what nested loops are for.
TIMES_MIN = 10
ROWS_MIN = 100
# A node that costs so many times the whole is not expected to be run to its end: an EXISTS or a LIMIT stops it.
STOPPED_FACTOR = 2
CONDITION_MAX_CHARACTERS = 200  # to be read in a line
_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Sample Scan")
# What keeps the rows that it was given, and gives them again.
_KEEPS = ("Materialize", "Memoize", "Sort", "Hash", "CTE Scan")


@dataclass(frozen=True, slots=True)
class _Repeat:
    """`rows` are gone through `times` times; `loop`: for whose rows."""

    loop: Node
    node: Node
    times: float
    rows: float

    @property
    def visits(self) -> float:
        return self.times * self.rows


def _look(scene: Scene) -> Iterator[Advice]:
    if scene.plan is None:
        return
    above = parents(scene.plan)
    said: set[int] = set()
    for node in scene.nodes:
        kept = _kept(scene, node)
        if kept is not None and _matters(scene, kept, kept.loop.own_cost * scene.executions(kept.loop)):
            said.add(node.number)
            yield _compared(kept)
    for node in scene.nodes:
        found = _read_again(scene, node, above)
        if found is None or found.loop.number in said:
            continue
        if _matters(scene, found, node.total_cost * found.times):
            yield _read(scene, found)


def _matters(scene: Scene, found: _Repeat, cost: float) -> bool:
    if found.times < TIMES_MIN or found.rows < ROWS_MIN or found.visits < VISITS_MIN:
        return False
    if found.node.actual_loops is not None:
        return _took_time(scene, found.loop)
    whole = found.node.statement_cost
    mean = scene.statement.counters.mean_exec_time_ms
    is_seen = mean is None or mean >= found.visits * VISIT_LEAST_MS
    return is_seen and COSTLY_SHARE * whole <= cost <= STOPPED_FACTOR * whole


def _took_time(scene: Scene, loop: Node) -> bool:
    """Where it was run, and the clock was read."""
    whole = None if scene.plan is None else scene.plan.actual_total_time_ms
    if loop.actual_total_time_ms is None or not whole:
        return True
    return loop.actual_total_time_ms * (loop.actual_loops or 1.0) >= COSTLY_SHARE * whole


def _sides(loop: Node) -> tuple[Node, Node] | None:
    by_side = {child.raw.get("Parent Relationship"): child for child in loop.children}
    outer, inner = by_side.get("Outer"), by_side.get("Inner")
    return None if outer is None or inner is None else (outer, inner)


def _kept(scene: Scene, loop: Node) -> _Repeat | None:
    """What is read once and gone through again: the inner side of a join, or a subquery's result."""
    if loop.node_type == "Nested Loop":
        sides = _sides(loop)
        if sides is None or sides[1].node_type != "Materialize":
            return None
        outer, inner = sides
    else:
        asked = [child for child in loop.children if child.raw.get("Parent Relationship") == "SubPlan"]
        kept = next((child for child in asked if child.node_type == "Materialize"), None)
        if kept is None:
            return None
        outer, inner = loop, kept
    if inner.actual_loops is not None and inner.actual_rows is not None:
        return _Repeat(loop, inner, inner.actual_loops, inner.actual_rows)
    times = max(1.0, outer.plan_rows) * scene.executions(loop)
    return _Repeat(loop, inner, times, inner.plan_rows)


def _read_again(scene: Scene, scan: Node, above: Mapping[int, Node]) -> _Repeat | None:
    """A table that is read whole for each row of something else."""
    relation = scene.relation(scan)
    if scan.node_type not in _SCANS or relation is None or relation.rows is None or scan.raw.get("Index Cond"):
        return None
    text = " ".join(str(scan.raw.get(name, "")) for name in ("Filter", "Join Filter"))
    times, loop, at, is_kept = 1.0, None, scan, False
    while (parent := above.get(at.number)) is not None:
        is_kept = is_kept or at.node_type in _KEEPS
        side = at.raw.get("Parent Relationship")
        factor = 1.0
        if side == "InitPlan":
            break
        if side == "SubPlan":
            if _is_hashed(parent, at):
                break
            if not is_kept or mentions(text, tables_beside(parent, at)):
                factor = max(1.0, parent.plan_rows)
        elif parent.node_type == "Nested Loop" and side == "Inner":
            outer = parent.children[0]
            if not is_kept or mentions(text, tables(outer)):
                factor = max(1.0, outer.plan_rows)
        if factor > 1 and loop is None:
            loop = parent
        times *= factor
        at = parent
    if scan.actual_loops is not None:
        times = scan.actual_loops
    return None if loop is None else _Repeat(loop, scan, times, relation.rows)


def _is_hashed(parent: Node, subplan: Node) -> bool:
    return f"hashed {subplan.raw.get('Subplan Name')}" in str(parent.raw)


def tables_beside(parent: Node, subplan: Node) -> tuple[str, ...]:
    """Those of the node that asks, and of what is below it beside the subquery."""
    own = () if parent.alias is None else (parent.alias,)
    return own + tuple(name for child in parent.children if child.number != subplan.number for name in tables(child))


def _compared(found: _Repeat) -> Advice:
    """Rows that are kept in memory are gone through."""
    inner = " and ".join(tables(found.node)) or found.node.node_type
    if found.loop.node_type != "Nested Loop":
        return Advice(
            code=FINDING.code,
            message=f"goes through the {found.rows:,.0f} rows of a subquery on {inner} for each of"
            f" {found.times:,.0f} rows",
            why=f"These are {found.visits:,.0f} rows on each call: the result is too large for a hash table.",
            hint="Write NOT EXISTS (SELECT ... WHERE inner.column = outer.column) instead of NOT IN, EXISTS instead of"
            " IN: both can be joined by a hash or an index. Mind that NOT IN is never true where the subquery has a"
            " NULL.",
            nodes=(found.loop.number, found.node.number),
        )
    outer = " and ".join(tables(found.loop.children[0])) or found.loop.children[0].node_type
    condition = found.loop.raw.get("Join Filter")
    if condition is None:
        return Advice(
            code=FINDING.code,
            message=f"joins every row of {outer} with every row of {inner}: {found.times:,.0f} times {found.rows:,.0f}",
            why=f"No condition joins them, so that there are {found.visits:,.0f} rows before all else.",
            hint=f"Add the condition by which {outer} and {inner} belong together; write CROSS JOIN where all pairs are"
            " meant.",
            nodes=(found.loop.number, found.node.number),
        )
    return Advice(
        code=FINDING.code,
        message=f"compares each of {found.times:,.0f} rows of {outer} with {found.rows:,.0f} rows of {inner}",
        why=f"These are {found.visits:,.0f} comparisons on each call: {_shown(condition)} allows for no hash and"
        " no merge.",
        hint=_other_condition(condition),
        nodes=(found.loop.number, found.node.number),
    )


def _shown(condition: str) -> str:
    """Without values."""
    return f"the condition {masked(condition)}" if len(condition) <= CONDITION_MAX_CHARACTERS else "its condition"


def _other_condition(condition: str) -> str:
    if " OR " in condition:
        return (
            "Write the sides of the OR as queries of their own and put them together with UNION: each can then be"
            " joined by a hash or an index."
        )
    if all(item.kind is Kind.EQUALITY for item in conditions(condition)):
        return "See whether both columns have one type, and whether enable_hashjoin or enable_mergejoin is off."
    return (
        "Add a condition that compares columns of both with =, such as the day or the owner of both, or let an index of"
        " the inner table find the rows (GiST for ranges that overlap)."
    )


def _read(scene: Scene, found: _Repeat) -> Advice:
    """A table is read whole, each time."""
    scan, relation = found.node, scene.relation(found.node)
    assert relation is not None  # it was looked up by its rows
    spec = _index(scene, scan, relation, found.loop)
    table = table_words(scan)
    names = "" if spec is None else ", ".join(str(key) for key in spec["keys"])
    return Advice(
        code=FINDING.code,
        message=f"reads all of {table}, {found.rows:,.0f} rows, about {found.times:,.0f} times"
        if scan.actual_loops is None
        else f"read all of {table}, {found.rows:,.0f} rows, {found.times:,.0f} times",
        why=f"These are {found.visits:,.0f} rows on each call, once for each row of"
        f" {' and '.join(_for_whom(found)) or 'the other side'}.",
        hint=f"An index on {table.split(' ')[0]} ({names}) finds the rows that belong together."
        if spec is not None
        else "Join both sides once instead, on columns that are compared with =, so that a hash can be made.",
        spec=spec,
        nodes=(found.loop.number, scan.number),
    )


def _for_whom(found: _Repeat) -> tuple[str, ...]:
    if found.loop.node_type == "Nested Loop":
        return tables(found.loop.children[0])
    return tuple(name for name in tables(found.loop) if name not in tables(found.node))


def _index(scene: Scene, scan: Node, relation: Relation, loop: Node) -> Mapping[str, Any] | None:
    """On the columns by which it meets the other side."""
    found: list[Condition] = list(of_node(scan, relation))
    if "Join Filter" in loop.raw:
        joined = replace(scan, raw={**scan.raw, "Join Filter": loop.raw["Join Filter"]})
        found += of_node(joined, relation, "Join Filter")
    equality = [name for item in found if item.kind is Kind.EQUALITY and item.operator == "=" for name in item.columns]
    if not any(item.is_join and item.kind is Kind.EQUALITY for item in found):
        return None
    why = f"finds the rows of {relation.name} that belong to one of another table, instead of reading all of them"
    return index_advice.advise_in(scene, relation, equality=equality, why=why)


FINDING = Finding(
    code="nested-loop-over-many-rows",
    title="The same rows read for each row of another table",
    look=_look,
    source=f"our own measurement: {VISITS_MIN:,} rows gone through take a tenth of a second; {COSTLY_SHARE:.0%} of"
    " the cost",
)
