"""A sort, a hash table or a grouping does not fit into its memory and goes to disk.

Each of them may take work_mem, those that hash work_mem * hash_mem_multiplier; what needs more is written to temporary
files and read again. Where the plan was really run, the server says so itself. Else it is an estimate, by the
planner's own reckoning: rows times their width, and what each row takes besides; a grouping says by itself in how many
parts it plans to be done (Planned Partitions). An estimate is left out where the statement wrote no temporary files on
any of the calls that were counted, where it is a small part of the statement's cost, or where a LIMIT stands above a
sort, as it then keeps just the first rows.

Give the memory to the statement or to its role, not to the server: every sort and hash of every session may take it.
How much it needs is a rough guess: rows are larger in memory than on disk. Where few rows of one table are sorted, an
index that has them in this order spares the sort.
https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-WORK-MEM
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dbopt.units import format_bytes
from dbopt.values import dataclass
from dbopt.workload import work_mem
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice
from dbopt.workload.nodes import aligned, ancestor, parents, tables
from dbopt.workload.ordering import fragment, sorted_by, sorted_scans, words
from dbopt.workload.plan import COSTLY_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.finding import Scene
    from dbopt.workload.plan import Node

# relation_byte_size() of the planner's costsize.c: MAXALIGN(SizeofHeapTupleHeader).
SORT_ROW_BYTES = 24
# ExecChooseHashTableSize() of nodeHash.c: HJTUPLE_OVERHEAD and MAXALIGN(SizeofMinimalTupleHeader).
HASH_ROW_BYTES = 16 + 16
# Our own measurements, on 13 and 18, of rows of 8 to 94 bytes: a sort in memory took 1.2 to 3 times what the planner
# reckons, a hash table 1.1 to 1.4 times, a grouping 2 to 6 times, by what it adds up.
SORT_FACTOR, HASH_FACTOR, GROUP_FACTOR = 3, 2, 4
# Our own reasoning: beyond that, an index in the sort's order reads most of the table's pages, one at a time.
INDEX_FRACTION_MAX = 0.05
# Through these the server tells a sort how many rows are wanted (ExecSetTupleBound).
_BOUNDED = frozenset({"Append", "Merge Append", "Result", "Subquery Scan", "Gather", "Gather Merge"})


@dataclass(frozen=True, slots=True)
class _Spill:
    what: str
    rows: float
    expected: str  # of an estimate: how it does not fit
    need_bytes: float  # what we expect it to take
    disk_bytes: float | None  # as it was; None: an estimate


def _look(scene: Scene) -> Iterator[Advice]:
    if scene.plan is None:
        return
    above = parents(scene.plan)
    for node in scene.nodes:
        spill = _spill(scene, node)
        if spill is None:
            continue
        if spill.disk_bytes is None and not _is_likely(scene, node, above):
            continue
        yield _advice(scene, node, spill)


def _spill(scene: Scene, node: Node) -> _Spill | None:
    below = node.children[0] if node.children else None
    if below is None or node.actual_loops == 0:
        return None
    if node.node_type == "Sort":
        return _sort(scene, node, below)
    if node.node_type == "Hash":
        return _hash(scene, node, below)
    if node.node_type == "Aggregate" and node.raw.get("Strategy") in ("Hashed", "Mixed"):
        return _group(scene, node)
    return None


def _sort(scene: Scene, node: Node, below: Node) -> _Spill | None:
    rows = _rows(below)
    reckoned = rows * (aligned(below.plan_width) + SORT_ROW_BYTES)
    kilobytes = [item.get("Sort Space Used", 0) for item in _said(node) if item.get("Sort Space Type") == "Disk"]
    if node.actual_loops is not None and not kilobytes:
        return None
    if not kilobytes and reckoned <= scene.work_mem_bytes:
        return None
    disk = max(kilobytes) * 1024 if kilobytes else None  # of several processes, the one that needs the most
    return _Spill("sort", rows, _takes(reckoned), reckoned * SORT_FACTOR, disk)


def _hash(scene: Scene, node: Node, below: Node) -> _Spill | None:
    rows = _rows(below)
    reckoned = rows * (aligned(below.plan_width) + HASH_ROW_BYTES)
    need = reckoned * HASH_FACTOR / scene.hash_mem_multiplier
    if node.actual_loops is not None:
        batches = max((item.get("Hash Batches", 1) for item in _said(node)), default=1)
        # What goes to disk it does not say: all but one part of them, at least.
        written = reckoned * (1 - 1 / batches)
        return _Spill("hash table", rows, "", need, written) if batches > 1 else None
    if reckoned <= scene.work_mem_bytes * scene.hash_mem_multiplier:
        return None
    return _Spill("hash table", rows, _takes(reckoned), need, None)


def _group(scene: Scene, node: Node) -> _Spill | None:
    rows = _rows(node)
    reckoned = rows * (aligned(node.plan_width) + HASH_ROW_BYTES)
    need = reckoned * GROUP_FACTOR / scene.hash_mem_multiplier
    if node.actual_loops is not None:
        kilobytes = max(item.get("Disk Usage", 0) for item in _said(node))
        return _Spill("grouping", rows, "", need, kilobytes * 1024) if kilobytes else None
    parts = node.raw.get("Planned Partitions")
    return _Spill("grouping", rows, f"is planned in {parts} parts on disk", need, None) if parts else None


def _takes(size_bytes: float) -> str:
    return f"takes about {format_bytes(size_bytes)} and will go to disk"


def _said(node: Node) -> Iterator[Mapping[str, Any]]:
    """What it and each of its workers said."""
    yield node.raw
    yield from node.raw.get("Workers", ())


def _rows(node: Node) -> float:
    return node.plan_rows if node.actual_rows is None else node.actual_rows


def _is_likely(scene: Scene, node: Node, above: Mapping[int, Node]) -> bool:
    """Of an estimate: whether anybody would wait for it, and nothing that was counted says otherwise."""
    counters = scene.statement.counters
    if counters.calls > 0 and counters.temp_blks_written == 0:
        return False
    if node.node_type == "Sort" and ancestor(node, above, "Limit", _BOUNDED) is not None:
        return False
    # The planner puts the cost of a hash table's parts on the join.
    paid = above.get(node.number, node) if node.node_type == "Hash" else node
    return paid.own_share * scene.executions(paid) >= COSTLY_SHARE


def _advice(scene: Scene, node: Node, spill: _Spill) -> Advice:
    memory = f"work_mem is {format_bytes(scene.work_mem_bytes)}"
    if spill.what != "sort" and scene.hash_mem_multiplier != 1:
        memory += f", {scene.hash_mem_multiplier:g} times that for a hash"
    below = tables(node)
    what = f"the {spill.what} of {spill.rows:,.0f} {'groups' if spill.what == 'grouping' else 'rows'}"
    what += f" of {', '.join(below)}" if below else ""
    if spill.disk_bytes is None:
        message = f"{what} {spill.expected}: {memory}"
    else:
        message = f"{what} went to disk, some {format_bytes(spill.disk_bytes)}: {memory}"
    index = _index(scene, node) if node.node_type == "Sort" else None
    hint = work_mem.hint(spill.need_bytes, scene.statement.users, now_bytes=scene.work_mem_bytes)
    return Advice(
        code=FINDING.code,
        message=message,
        why="What does not fit is written to temporary files and read again, on each call.",
        hint=hint if index is None else f"An index on {words(index)} has them in this order. Or {hint}",
        spec=index,
        nodes=(node.number,),
    )


def _index(scene: Scene, sort: Node) -> Mapping[str, Any] | None:
    """One that gives just these rows in this order, where they are few of the table's."""
    scans, order = sorted_scans(scene, sort), sorted_by(sort.sort_key)
    total = sum(relation.rows or 0 for _, relation in scans)
    if not scans or not order or _rows(sort.children[0]) > total * INDEX_FRACTION_MAX:
        return None
    names = ", ".join(by.column for by in order)
    return fragment(scene, scans, order, f"gives the rows ordered by {names} without a sort")


FINDING = Finding(
    code="sort-spills",
    title="Sort or hash larger than its memory",
    look=_look,
    source="the planner's own reckoning (costsize.c, nodeHash.c), or what the server says of a plan that was run;"
    f" our own: from {COSTLY_SHARE:.0%} of the cost on",
)
