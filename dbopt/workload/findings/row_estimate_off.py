"""The planner takes it that a node or a statement gives ten times as many rows as it does, or a tenth.

Estimates decide on the kind of a join, the use of an index and the memory of a hash table; where they are far off, so
is the plan.

Of a plan that was really run, the lowest node is named at which the estimate goes wrong; what is above it is wrong for
that reason. What was stopped early (below LIMIT, EXISTS or a merge join) is not held against an estimate of the whole.

Without such a plan, the rows that a call gave back or changed on average, as pg_stat_statements counts them, stand
beside the estimate for any values of the parameters. Only more rows than expected are named, as cursors, and functions
that fetch one row, count fewer than there are; and only where the estimate rests upon statistics: of `created_at > $1`,
`LIKE $1`, `= ANY ($1)`, `LIMIT $1` and their like the planner, without the values, has to assume something. That some
values have many more rows than others is a reason too: plans for given values know the commonest ones, generic plans do
not (plan_cache_mode). It says nothing where the table was never analyzed: statistics-missing does.
https://www.postgresql.org/docs/current/planner-stats.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.identifiers import NAME_MAX_BYTES, clip, qualified, text
from dbopt.workload.conditions import Condition, conditions, of_node
from dbopt.workload.conditions import Kind as Is
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice, Kind
from dbopt.workload.nodes import parents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.workload.finding import Relation, Scene
    from dbopt.workload.plan import Node

# The project's own requirement; the planner's choices rarely change for less.
FACTOR_MIN = 10
# Our own reasoning: below, on both sides, every plan is quick.
ROWS_MIN = 100
# What estimates by itself how many rows it gives; others hand on what they get.
_ESTIMATING = frozenset(
    (
        *("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Sample Scan", "Tid Scan", "Tid Range Scan"),
        *("Function Scan", "Foreign Scan", "CTE Scan", "Subquery Scan", "Table Function Scan"),
        *("Nested Loop", "Hash Join", "Merge Join", "Aggregate", "Group", "Unique", "SetOp", "ProjectSet"),
    )
)
# Below these nobody reads to the end.
_STOPPING = ("Limit", "Merge Join")
_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond", "Join Filter", "Hash Cond", "Merge Cond", "One-Time Filter")
_HANDING_ON = ("LockRows", "Gather", "Gather Merge", "Sort", "Result", "Subquery Scan")
# Of what these give the planner has no statistics.
_ASSUMED = ("Limit", "Function Scan", "Table Function Scan", "ProjectSet", "Recursive Union", "Foreign Scan")
_PARTS_MAX = 8  # of extended statistics: STATS_MAX_DIMENSIONS


def _look(scene: Scene) -> Iterator[Advice]:
    if scene.plan is None:
        return
    if scene.plan.actual_loops is None:
        yield from _by_counters(scene, scene.plan)
    else:
        yield from _by_nodes(scene, scene.plan)


def _by_nodes(scene: Scene, plan: Node) -> Iterator[Advice]:
    above = parents(plan)
    off = {node.number: factor for node in plan.walk() if (factor := _factor(node, above)) is not None}
    lowest = [node for node in plan.walk() if node.number in off and not any(n.number in off for n in _below(node))]
    if not lowest:
        return
    worst = max(lowest, key=lambda node: off[node.number])
    actual = worst.actual_rows or 0.0
    yield Advice(
        code=FINDING.code,
        message=f"{worst.words}: {_count(worst.plan_rows)} expected, {_count(actual)} found"
        f" ({off[worst.number]:,.0f} times {'as many' if actual > worst.plan_rows else 'fewer'})",
        why="What is above it in the plan was chosen for another number of rows.",
        hint=_hint(scene, worst),
        nodes=tuple(node.number for node in sorted(lowest, key=lambda node: -off[node.number])),
    )


def _below(node: Node) -> Iterator[Node]:
    for child in node.children:
        yield from child.walk()


def _count(rows: float) -> str:
    return f"{rows:,.0f} row{'' if round(rows) == 1 else 's'}"


def _factor(node: Node, above: Mapping[int, Node]) -> float | None:
    """How far it is off, if that is far, and not because it was stopped early or read twice."""
    actual, loops = node.actual_rows, node.actual_loops
    if node.node_type not in _ESTIMATING or actual is None or not loops:
        return None
    expected, found = max(1.0, node.plan_rows), max(1.0, actual)
    factor = max(expected, found) / min(expected, found)
    if factor < FACTOR_MIN or max(expected, found) * loops < ROWS_MIN:
        return None
    if found < expected:
        return None if _may_be_stopped(node, above) else factor
    parent = above.get(node.number)
    is_reread = parent is not None and parent.node_type == "Merge Join" and node is parent.children[-1]
    return None if is_reread else factor


def _may_be_stopped(node: Node, above: Mapping[int, Node]) -> bool:
    at = node
    while (parent := above.get(at.number)) is not None:
        side = at.raw.get("Parent Relationship")
        if parent.node_type in _STOPPING or side in ("InitPlan", "SubPlan"):
            return True
        is_first_enough = parent.raw.get("Join Type") in ("Semi", "Anti") or parent.raw.get("Inner Unique")
        if parent.node_type == "Nested Loop" and side == "Inner" and is_first_enough:
            return True
        # Where the hash table is empty, nobody looks what would be asked of it.
        if parent.node_type == "Hash Join" and side == "Outer" and parent.children[-1].actual_rows == 0:
            return True
        at = parent
    return False


def _by_counters(scene: Scene, plan: Node) -> Iterator[Advice]:
    counters = scene.statement.counters
    found = counters.rows_per_call
    node = _top(plan, scene.statement.kind)
    if found is None or node is None or found < ROWS_MIN or found < max(1.0, node.plan_rows) * FACTOR_MIN:
        return
    if not _rests_on_statistics(scene):
        return
    changed = "changes" if plan.node_type == "ModifyTable" else "gives"
    yield Advice(
        code=FINDING.code,
        message=f"the plan expects {_count(node.plan_rows)}, a call {changed} {_count(found)} on average"
        f" ({found / max(1.0, node.plan_rows):,.0f} times as many)",
        why="The plan for any values is chosen for another number of rows: the statistics are old, or the values that"
        " are asked for are commoner than others.",
        hint=_hint(scene, _scan(node) or node),
        nodes=(node.number,),
    )


def _top(plan: Node, kind: Kind) -> Node | None:
    """The node whose rows are those that are counted; None where they are not known to be."""
    node = plan
    if kind in (Kind.UPDATE, Kind.DELETE) and plan.node_type == "ModifyTable":
        node = next((child for child in plan.children if not child.is_subplan), plan)
    elif kind is not Kind.SELECT:
        return None
    while node.node_type in _HANDING_ON and not node.filter:
        first = next((child for child in node.children if not child.is_subplan), None)
        if first is None or node.node_type in ("Gather", "Gather Merge"):  # below, they are one worker's
            break
        node = first
    return None if node.node_type in ("ModifyTable", "Limit", "Result", "ProjectSet", "Function Scan") else node


def _rests_on_statistics(scene: Scene) -> bool:
    """Whether all that depends on parameters compares a column with one value, of which the average is known."""
    for node in scene.nodes:
        relation = scene.relation(node)
        if node.node_type in _ASSUMED or (relation is not None and relation.rows is None):
            return False
        for name in _CONDITIONS:
            said = node.raw.get(name)
            if said is None or "$" not in str(said):
                continue
            found = conditions(str(said)) if relation is None else of_node(node, relation, name)
            if not found or not all(map(_is_known_on_average, found)):
                return False
    return True


def _is_known_on_average(item: Condition) -> bool:
    if item.kind is Is.EQUALITY and item.operator == "=":
        return len(item.columns) == 1
    return item.kind is not Is.OTHER and "$" not in item.expression + item.other_side


def _scan(node: Node) -> Node | None:
    """The one table that it is about."""
    scans = [item for item in node.walk() if item.relation is not None]
    return scans[0] if len(scans) == 1 else None


def _hint(scene: Scene, node: Node) -> str:
    relation = scene.relation(node)
    if relation is not None:
        return _of_table(relation, _compared(node, relation))
    if node.node_type in ("Function Scan", "Table Function Scan", "ProjectSet"):
        return "ALTER FUNCTION ... ROWS n; tells how many rows the function gives."
    found = [known for item in node.walk() if (known := scene.relation(item)) is not None]
    names = ", ".join(dict.fromkeys(_name(known) for known in found))
    if not names:
        return "Join or group a table instead: of what a function or a CTE gives there are no statistics."
    if node.node_type in ("Aggregate", "Group", "Unique"):
        return (
            f"ANALYZE {names}; then, where it groups by several columns of one table, CREATE STATISTICS (ndistinct) on"
            " them."
        )
    return f"ANALYZE {names}; then see whether the rows that join are of a few values only, which no statistics tell."


def _compared(node: Node, relation: Relation) -> Sequence[str]:
    names = (
        column
        for name in ("Index Cond", "Filter", "Recheck Cond")
        for item in of_node(node, relation, name)
        if item.kind in (Is.EQUALITY, Is.RANGE, Is.NULL_TEST) and not item.is_join
        for column in item.columns
    )
    return [name for name in dict.fromkeys(names) if relation.column(name) is not None]


def _of_table(relation: Relation, columns: Sequence[str]) -> str:
    from psycopg.sql import SQL, Identifier

    analyze = f"ANALYZE {_name(relation)};"
    if len(columns) > 1:
        known = columns[:_PARTS_MAX]
        suffix = "_stat"
        name = clip("_".join((relation.name, *known)), NAME_MAX_BYTES - len(suffix)) + suffix
        named = SQL(", ").join(map(Identifier, known)).as_string(None)
        return (
            f"{analyze} If that is not enough, let the planner know how they depend on each other: CREATE STATISTICS"
            f" {text(qualified(relation.schema, name))} ON {named} FROM {_name(relation)}; {analyze}"
        )
    if columns:
        column = Identifier(columns[0]).as_string(None)
        return (
            f"{analyze} If that is not enough, let more of its values be known: ALTER TABLE {_name(relation)} ALTER"
            f" COLUMN {column} SET STATISTICS 1000; {analyze}"
        )
    return analyze


def _name(relation: Relation) -> str:
    return text(qualified(*(relation.parent or (relation.schema, relation.name))))


FINDING = Finding(
    code="row-estimate-off",
    title="Row estimate off by ten or more",
    look=_look,
    source=f"the factor by the project's own requirement; from {ROWS_MIN} rows on, by our own reasoning",
)
