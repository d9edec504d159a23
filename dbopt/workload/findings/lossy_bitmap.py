"""A bitmap of rows grew too large for work_mem, and remembers whole pages only.

A bitmap scan first gathers the places of all rows that an index finds. When they do not fit into work_mem, it keeps
pages instead of rows: then every row on these pages is read and compared once more, and most are thrown away (Rows
Removed by Index Recheck).

It is named for plans that were really run only (--analyze, auto_explain in a log), where a tenth of the pages or more,
and at least a hundred, were lossy: how many pages a bitmap will have for any values of the parameters, no estimate
tells well enough.
https://www.postgresql.org/docs/current/using-explain.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.units import format_bytes
from dbopt.workload import work_mem
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.finding import Scene
    from dbopt.workload.plan import Node

# Our own reasoning: the rows of a hundred pages are compared again in about a millisecond.
LOSSY_BLOCKS_MIN = 100
LOSSY_FRACTION_MIN = 0.1
# tbm_calculate_entries() of PostgreSQL's tidbitmap.c: sizeof(PagetableEntry), and two pointers.
PAGE_ENTRY_BYTES = 64


def _look(scene: Scene) -> Iterator[Advice]:
    for node in scene.nodes:
        exact, lossy = _blocks(node, "Exact Heap Blocks"), _blocks(node, "Lossy Heap Blocks")
        if lossy >= LOSSY_BLOCKS_MIN and lossy >= LOSSY_FRACTION_MIN * (exact + lossy):
            yield _advice(scene, node, exact, lossy)


def _blocks(node: Node, name: str) -> float:
    """Of one execution, of all its processes."""
    found = float(node.raw.get(name, 0)) + sum(float(worker.get(name, 0)) for worker in node.raw.get("Workers", ()))
    # Loops of a parallel scan are its processes.
    return found if node.raw.get("Parallel Aware") else found / max(1.0, node.actual_loops or 1.0)


def _advice(scene: Scene, node: Node, exact: float, lossy: float) -> Advice:
    removed = float(node.raw.get("Rows Removed by Index Recheck", 0))
    message = f"{node.words}: {lossy:,.0f} of {exact + lossy:,.0f} pages were kept as a whole"
    if removed:
        message += f", {removed:,.0f} rows were read and thrown away for it"
    need = (exact + lossy) * PAGE_ENTRY_BYTES
    return Advice(
        code=FINDING.code,
        message=f"{message}: work_mem is {format_bytes(scene.work_mem_bytes)}",
        why="The bitmap of rows did not fit into work_mem; of a page that is kept as a whole every row is compared"
        " again.",
        hint=work_mem.hint(need, scene.statement.users, now_bytes=scene.work_mem_bytes),
        nodes=(node.number,),
    )


FINDING = Finding(
    code="lossy-bitmap",
    title="Bitmap larger than its memory",
    look=_look,
    source=f"our own reasoning: from {LOSSY_BLOCKS_MIN} pages and a {LOSSY_FRACTION_MIN:.0%} part of them on",
)
