"""Tables that take much more room than their rows need.

UPDATE and DELETE leave dead rows behind. VACUUM makes their room usable again, but gives it back to the operating
system only from the end of the file, so that a table that was once full of dead rows stays as large. Every scan and
every backup reads the empty room, and memory is filled with it.

What the rows would take, were they written anew, is computed from what ANALYZE knows: their number, and each column's
length and share of NULL, with alignment in the order of the columns, the table's fillfactor, and its TOAST table, as
VACUUM FULL would leave it. Dead rows count as waste. `--exact` reads the tables instead, with pgstattuple_approx().

What to do: make autovacuum come sooner, so that it does not grow; where the room will not be used again, rewrite the
table in a quiet hour.
https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.bloat import (
    EXACT_SECONDS,
    MIN_SIZE,
    THRESHOLDS,
    Bloat,
    Part,
    Storage,
    as_measured,
    hidden,
    is_large,
    row_count,
    uncounted,
)
from dbopt.health.check import Check, Gap, Group, Need, Status, Unit
from dbopt.postgres.largest import HEAPS, Heap
from dbopt.sizes.heap import Attribute, heap, toast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.health.scene import Scene

_TOAST_POINTER_BYTES = 18
_EXPLAINED = 0.9  # of a file that was never vacuumed: by the rows that were counted in it


def judged(rows: Sequence[Heap], scene: Scene) -> Iterable[Bloat]:
    return [as_measured(bloat_of(row, scene), scene) for row in rows if is_large(sum(_sizes(row)), scene)]


def bloat_of(row: Heap, scene: Scene) -> Bloat:
    heap_size, toast_size = _sizes(row)
    fillfactor = int(dict(option.split("=", 1) for option in row.reloptions or ()).get("fillfactor", 100))
    facts = [f"{row.n_dead_tup} dead rows"] if row.counted and row.n_dead_tup else []
    if row.size_bytes is None:
        facts.append("size as VACUUM or ANALYZE last saw it: somebody has locked the table, or waits to")
    fresh, gap = _fresh_heap(row, fillfactor, scene)
    parts = [Part(row.relation_oid, Storage.HEAP, heap_size, fresh, fillfactor)]
    if toast_size and row.toast_oid is not None:
        fresh_toast, toast_gap = _fresh_toast(row, toast_size)
        if toast_gap is not None and toast_size < heap_size:
            fresh_toast = toast_size  # the lesser part: taken to be full
            facts.append(f"{toast_size // 2**20} MB of TOAST left out")
        elif toast_gap is not None:
            gap = gap or toast_gap
        elif toast_size > heap_size:
            facts.append("most of it TOAST")
        parts.append(Part(row.toast_oid, Storage.TOAST, toast_size, fresh_toast))
    return Bloat(row.relation, tuple(parts), _remedy(row), tuple(facts), gap)


def _sizes(row: Heap) -> tuple[int, int]:
    """Of the table and of its TOAST table."""
    toast_size = _size(row.toast_size_bytes, row.toast_relpages, row) if row.toast_oid is not None else 0
    return _size(row.size_bytes, row.relpages, row), toast_size


def _size(size_bytes: int | None, relpages: int, row: Heap) -> int:
    """Now, if it may be asked. While rows are being added the size is ahead of their number."""
    then = relpages * row.block_size
    if size_bytes is None:
        return then
    return min(then, size_bytes) if row.is_written and relpages > 0 else size_bytes


def _fresh_heap(row: Heap, fillfactor: int, scene: Scene) -> tuple[float | None, Gap | None]:
    if row.reltuples < 0 or (row.reltuples == 0 and row.relpages == 0):
        return None, Gap("never vacuumed nor analyzed", f"ANALYZE {row.relation};")
    if not row.counted:
        return None, uncounted(scene, f"ANALYZE {row.relation};")
    rows = _rows(row)
    if rows == 0:
        return 0.0, None
    if not row.is_readable:
        return None, hidden(scene, row.relation, has_policies=row.has_policies, is_index=False)
    columns = []
    for attlen, attalign, virtual, numeric, null_frac, avg_width in zip(
        row.attlens, row.attaligns, row.virtual, row.numeric, row.null_fracs, row.avg_widths, strict=True
    ):
        if attlen == 0 or virtual:
            columns.append(Attribute(1, "c", 1.0, 0))
        elif null_frac is not None and avg_width is not None:
            columns.append(Attribute(attlen, attalign, null_frac, avg_width, numeric))
        elif attlen > 0:
            columns.append(Attribute(attlen, attalign, 0.0, attlen))  # at most that
        else:
            return None, Gap("columns were never analyzed", f"ANALYZE {row.relation};")
    return heap(rows, columns, fillfactor=fillfactor), None


def _rows(row: Heap) -> float:
    return row_count(row.reltuples, row.n_live_tup, row.n_tup_ins, row.n_tup_del)


def _fresh_toast(row: Heap, size: int) -> tuple[float | None, Gap | None]:
    if row.toast_counted and row.toast_reltuples >= 0:
        chunks = row_count(row.toast_reltuples, row.toast_n_live_tup, row.toast_n_tup_ins, row.toast_n_tup_del)
    elif toast(row.toast_n_tup_ins, None) >= size * _EXPLAINED:
        # Never vacuumed: all that was ever written is still there, and all of it was counted, as it explains the size.
        chunks = max(row.toast_n_tup_ins - row.toast_n_tup_del, 0)
    else:
        return None, Gap("its TOAST table was not vacuumed since statistics were reset", f"VACUUM {row.relation};")
    return toast(chunks, _long_values(row)), None


def _long_values(row: Heap) -> float | None:
    """How many values lie in the TOAST table, where it can be told: those of columns that hold nothing but pointers."""
    fracs = [
        null_frac
        for null_frac, avg_width in zip(row.null_fracs, row.avg_widths, strict=True)
        if null_frac is not None and avg_width == _TOAST_POINTER_BYTES
    ]
    return sum(1 - null_frac for null_frac in fracs) * _rows(row) if fracs else None


def _remedy(row: Heap) -> str:
    if row.relkind == "m":
        return (
            "-- Writes it anew; nobody can read it meanwhile. CONCURRENTLY would not shrink it.\n"
            f"REFRESH MATERIALIZED VIEW {row.relation};"
        )
    return (
        f"VACUUM (VERBOSE, ANALYZE) {row.relation};\n"
        "-- VACUUM makes the room usable for new rows, and gives back only what is empty at the end of the file.\n"
        "-- To give back all of it: pg_repack, which needs the room for a copy, or, in a quiet hour, as it locks the\n"
        "-- table against reading too until the copy is done:\n"
        f"-- VACUUM (FULL, ANALYZE) {row.relation};"
    )


CHECK: Check[Bloat] = Check(
    id="table-bloat",
    title="Bloated tables",
    group=Group.STORAGE,
    query=HEAPS,
    unit=Unit.RATIO,
    thresholds=THRESHOLDS,
    subject=lambda row: row.relation,
    measure=lambda row: row.ratio,
    detail=lambda row: row.detail,
    remedy=lambda row: row.remedy,
    rows=judged,
    gap=lambda row: row.gap,
    limits=(MIN_SIZE, EXACT_SECONDS),
    needs=(
        Need(
            met=lambda scene: not scene.server.in_recovery,
            reason="a standby counts no rows: its primary is judged",
            hint=lambda _scene: "Run dbopt health on the primary.",
            status=Status.SKIPPED,
        ),
    ),
)
