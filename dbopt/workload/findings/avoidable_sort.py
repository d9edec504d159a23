"""Many rows are read and sorted, and only the first of them are wanted.

`ORDER BY ... LIMIT` has to read every row that fits the conditions and sort it, to give back a few. An index of the
columns that are compared for equality, followed by those that are sorted by, has the rows in this order already: the
first ones are read, and no more. An index is read backward as well, so that `ORDER BY a DESC, b DESC` needs none of its
own; mixed directions do, and NULLS FIRST or LAST where it is not the usual one.

What is said holds for a sort of one table, or of its partitions, by plain columns, where all conditions can be part of
such an index: with any other, nobody knows how many rows would have to be read in order until enough of them fit, and
such an index can make a statement slower. Nothing is said where an index has that order already: the planner knew it,
and decided otherwise.
https://www.postgresql.org/docs/current/indexes-ordering.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice, Kind
from dbopt.workload.nodes import ancestor, parents
from dbopt.workload.ordering import fragment, sorted_by, sorted_scans, words
from dbopt.workload.plan import COSTLY_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.finding import Scene
    from dbopt.workload.plan import Node

# Our own reasoning: fewer are sorted in well under a millisecond.
SORTED_ROWS_MIN = 1_000
# Our own reasoning: who wants every fifth row or more saves little, and reads those in the index's order. Of a LIMIT
# that is a parameter the planner takes it that a tenth is wanted.
WANTED_FRACTION_MAX = 0.2
# What hands rows on in their order, as they are asked for.
_STREAMS = frozenset({"LockRows", "Gather Merge", "Result", "Subquery Scan", "Unique"})


def _look(scene: Scene) -> Iterator[Advice]:
    if scene.plan is None:
        return
    above = parents(scene.plan)
    for sort in scene.nodes:
        if sort.node_type != "Sort" or sort.actual_loops == 0:
            continue
        limit = ancestor(sort, above, "Limit", _STREAMS)
        if limit is not None:
            yield from _judged(scene, sort, limit)


def _judged(scene: Scene, sort: Node, limit: Node) -> Iterator[Advice]:
    below = sort.children[0]
    rows = below.plan_rows if below.actual_rows is None else below.actual_rows
    wanted = _wanted(scene, limit)
    share = sort.total_cost * scene.executions(sort) / sort.statement_cost if sort.statement_cost else 0.0
    if rows < SORTED_ROWS_MIN or wanted > rows * WANTED_FRACTION_MAX or share < COSTLY_SHARE:
        return
    scans, order = sorted_scans(scene, sort), sorted_by(sort.sort_key)
    if not scans or not order:
        return
    names = ", ".join(by.column for by in order)
    spec = fragment(scene, scans, order, f"gives the first rows ordered by {names} without a sort")
    if spec is None:
        return
    yield Advice(
        code=FINDING.code,
        message=f"sorts {rows:,.0f} rows of {spec['table']['name']} by {', '.join(sort.sort_key)}, to give back the"
        " first ones",
        why="All of them are read and sorted on each call; from an index in this order the first ones are read, and no"
        " more.",
        hint=f"An index on {words(spec)} has them in this order.",
        spec=spec,
        nodes=(sort.number, *(scan.number for scan, _ in scans)),
    )


def _wanted(scene: Scene, limit: Node) -> float:
    """Rows: as were really given back on average, or as LIMIT says."""
    counters = scene.statement.counters
    given = counters.rows_per_call if limit.depth == 0 and scene.statement.kind is Kind.SELECT else None
    return limit.plan_rows if given is None else given


FINDING = Finding(
    code="avoidable-sort",
    title="Sort that an index would spare",
    look=_look,
    source=f"our own reasoning: from {SORTED_ROWS_MIN:,} rows on, of which at most one in"
    f" {1 / WANTED_FRACTION_MAX:.0f} is wanted, and {COSTLY_SHARE:.0%} of the cost",
)
