"""Each call writes temporary files.

A sort, a hash, a grouping or a result that is kept for later (a CTE, a cursor WITH HOLD, a window) was larger than its
memory, as pg_stat_statements counts it. It is named from 1 MB a call on, in blocks of 8 kB. Which node it was, a plan
that is really run says (EXPLAIN ANALYZE: `Sort Method: external merge`, `Batches`, `Disk Usage`); sort-spills names the
likely ones without. CREATE INDEX is counted as well, and goes by maintenance_work_mem.
https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-WORK-MEM
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.units import format_bytes
from dbopt.workload import texts, work_mem
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.finding import Scene

BLOCK_BYTES = 8192
# Our own reasoning: less is written and read in about a millisecond, and seldom leaves the system's cache.
CALL_BYTES_MIN = 1024 * 1024
# Our own measurements, on 13 and 18: rows take 1.5 to 5 times as much in memory as in temporary files, and what is
# written may have been written in several passes.
MEMORY_FACTOR = 3


def _look(scene: Scene) -> Iterator[Advice]:
    counters = scene.statement.counters
    if not counters.temp_blks_written or counters.calls <= 0:
        return
    whole = counters.temp_blks_written * BLOCK_BYTES
    call = whole / counters.calls
    if call < CALL_BYTES_MIN:
        return
    message = f"writes {format_bytes(call)} of temporary files on each call"
    if counters.calls > 1:
        message += f", {format_bytes(whole)} in {counters.calls:,.0f} calls"
    if _builds_indexes(scene.statement.query):
        hint = "SET maintenance_work_mem = '1GB'; in the session that builds indexes gives them more memory."
    else:
        hint = work_mem.hint_of_more(call * MEMORY_FACTOR, scene.statement.users)
    yield Advice(
        code=FINDING.code,
        message=message,
        why="A sort, a hash or a kept result is larger than work_mem: it is written to disk and read again.",
        hint=hint,
    )


def _builds_indexes(query: str | None) -> bool:
    tree = None if query is None else texts.parsed(query)
    return tree is not None and tree.WhichOneof("node") in ("index_stmt", "reindex_stmt")


FINDING = Finding(
    code="temporary-files",
    title="Temporary files on each call",
    look=_look,
    needs_plan=False,
    unless=("sort-spills",),  # which knows the node, and how much memory it takes
    source=f"our own reasoning: {format_bytes(CALL_BYTES_MIN)} a call; less takes about a millisecond",
)
