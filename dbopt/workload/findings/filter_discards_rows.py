"""An index finds many rows, of which a further condition throws most away.

The index knows only part of what is asked for. For each row that it finds the table is read, often at another place
each time, to see whether the rest holds; so a call reads ten pages and more for each row that is of use. An index on
the columns of both, those compared for equality first, finds only the rows that are kept.

It is named from 1,000 rows found and nine in ten thrown away, where that is a good part of the statement's cost. How
many the index finds is estimated from the column's number of different values, unless the plan was really run or says
it itself. The columns are taken to be independent of each other; if they are not (a city and its postcode), little is
thrown away in truth, and no index is missing. Instead of a further index, the one in use can be replaced by the larger.
https://www.postgresql.org/docs/current/indexes-multicolumn.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.workload.conditions import Condition, conditions, of_node
from dbopt.workload.finding import Finding
from dbopt.workload.index_advice import advise_in
from dbopt.workload.model import Advice
from dbopt.workload.plan import COSTLY_SHARE
from dbopt.workload.scans import equal_columns, range_columns, scans, selectivity, usable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.workload.finding import Relation, Scene
    from dbopt.workload.plan import Node
    from dbopt.workload.scans import Scan

# Our own reasoning: so many rows, each in another page, are some ms from the cache, and a second from a slow disk.
FOUND_ROWS_MIN = 1_000
DISCARDED_FRACTION_MIN = 0.9
_SCANS = ("Index Scan", "Index Only Scan", "Bitmap Heap Scan")


def _look(scene: Scene) -> Iterator[Advice]:
    for scan in scans(scene, _SCANS):
        if not scan.filter or scan.share < COSTLY_SHARE:
            continue
        by_index = _index_conditions(scan.nodes[0], scan.relation)
        found = scan.read if scan.is_counted else _found(scene, scan, by_index)
        if found is not None and found >= FOUND_ROWS_MIN and scan.kept <= found * (1 - DISCARDED_FRACTION_MIN):
            yield from _judged(scene, scan, by_index, found)


def _index_conditions(node: Node, relation: Relation) -> tuple[Condition, ...]:
    if node.node_type != "Bitmap Heap Scan":
        return of_node(node, relation, "Index Cond")
    types = {item.name: item.base_type or item.type_name for item in relation.columns}
    texts = [str(below.raw["Index Cond"]) for below in node.walk() if "Index Cond" in below.raw]
    return tuple(item for text in texts for item in conditions(text, alias=node.alias, types=types))


def _found(scene: Scene, scan: Scan, by_index: Sequence[Condition]) -> float | None:
    """How many rows the index finds in one execution of the statement; None: nobody knows."""
    total = 0.0
    for node, relation in zip(scan.nodes, scan.relations, strict=True):
        times = scene.executions(node)
        if node.node_type == "Bitmap Heap Scan" and node.children:
            total += node.children[0].plan_rows * times
            continue
        fits = selectivity(relation, _searched(by_index))
        if fits is None:
            return None
        total += fits * (relation.rows or 0.0) * times
    # What a LIMIT spares.
    kept = sum(node.plan_rows * scene.executions(node) for node in scan.nodes)
    return total * min(1.0, scan.estimated_kept / kept) if kept else total


def _searched(by_index: Sequence[Condition]) -> tuple[Condition, ...]:
    """A column of another table is as good as a value."""
    return tuple(item for item in by_index if len(item.columns) == 1)


def _judged(scene: Scene, scan: Scan, by_index: Sequence[Condition], found: float) -> Iterator[Advice]:
    rest = usable(scan.filter)
    both = (*_searched(by_index), *rest)
    table, index = scan.target.name, _index_name(scan.nodes[0])
    spec = None
    if rest:
        columns = {"equality": equal_columns(both), "range_": range_columns(both)}
        why = f"finds the rows of {table} that are kept, instead of ten times as many that {index} finds"
        spec = advise_in(scene, scan.relation, **columns, why=why)
    if spec is None and not scan.is_counted:
        return  # the estimate alone is no reason to say what cannot be helped
    about = "" if scan.is_counted else "about "
    yield Advice(
        code=FINDING.code,
        message=f"{index} finds {about}{found:,.0f} rows of {table}, of which {scan.kept_words} are kept:"
        f" {scan.conditions_text}",
        why="Each of them is read from the table, only to be thrown away.",
        hint=f"An index on {table} ({', '.join(map(str, spec['keys']))}) finds only those that are kept."
        if spec is not None
        else f"If the condition is the same on each call, a partial index on {table} with it as its WHERE holds no"
        " others.",
        spec=spec,
        nodes=scan.numbers,
    )


def _index_name(node: Node) -> str:
    names = dict.fromkeys(below.index_name for below in node.walk() if below.index_name is not None)
    return " and ".join(names) or "the index"


FINDING = Finding(
    code="filter-discards-rows",
    title="Index finds many rows of which few are kept",
    look=_look,
    source=f"our own reasoning: {FOUND_ROWS_MIN:,} rows found, {DISCARDED_FRACTION_MIN:.0%} of them thrown away, and"
    f" {COSTLY_SHARE:.0%} of the cost",
)
