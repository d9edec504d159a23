"""Indexes that repeat another: the same again, or the first columns of a longer one.

Each index costs space, memory, WAL and time at every write, and takes away HOT updates; two that do the same do it
twice for nothing. One is named only if another does all that it does: the same table, method, columns in the same
order and direction, operator classes, collations, expressions and predicate, no column in INCLUDE that the other lacks,
and if it is unique, the other is so in the same way. What a constraint, a foreign key, the replica identity or an index
of a partitioned table needs is never named. Of two alike stays what a constraint needs, then what is used more, then
the older. Before you drop one, look whether statements name it (hints, ON CONFLICT ON CONSTRAINT), and whether a
standby scans the one and not the other.
A shorter index is smaller than the longer one that covers it: where that matters, ignore the finding with that reason.
https://www.postgresql.org/docs/current/indexes-multicolumn.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.postgres.indexes import INDEX_SHAPES, IndexShape
from dbopt.relations.redundancy import Redundant, redundant, why_kept
from dbopt.spec.fragment import absent
from dbopt.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.health.scene import Scene


def _rows(rows: Sequence[IndexShape], _scene: Scene) -> Iterable[Redundant]:
    return redundant(rows)


def _detail(row: Redundant) -> str:
    what = "does the same as" if row.exact else "does nothing that is not done by"
    size = format_bytes(row.index.size_bytes) + (" (estimated)" if row.index.is_estimated else "")
    return f"{size} on {row.index.relation}; {what} {row.keeper.index}, {why_kept(row)}"


def _remedy(row: Redundant) -> str:
    index = row.index
    if index.constraint is not None:
        return f"ALTER TABLE {index.relation} DROP CONSTRAINT {Identifier(index.constraint).as_string()};"
    lines = []
    if index.indisclustered:
        lines.append(f"ALTER TABLE {index.relation} CLUSTER ON {Identifier(row.keeper.name).as_string()};")
    if index.relkind == "I":
        lines.append(f"DROP INDEX {index.index};  -- locks the table and all of its partitions for an instant")
    else:
        lines.append(f"DROP INDEX CONCURRENTLY {index.index};")
    return "\n".join(lines)


def _fragment(row: Redundant) -> Mapping[str, object] | None:
    index = row.index
    if index.constraint is not None or index.indisclustered or index.relkind == "I":
        return None
    what = "does the same as" if row.exact else "does nothing that is not done by"
    return absent(index.table_schema, index.table, index.name, f"{what} {row.keeper.name}, {why_kept(row)}")


CHECK: Check[Redundant] = Check(
    id="duplicate-index",
    title="Duplicate and redundant indexes",
    group=Group.INDEXES,
    query=INDEX_SHAPES,
    unit=Unit.BYTES,
    thresholds=presence(Status.WARNING, source="our own reasoning: it costs every write and serves nobody"),
    subject=lambda row: row.index.index,
    measure=lambda row: row.index.size_bytes,
    detail=_detail,
    remedy=_remedy,
    fragment=_fragment,
    rows=_rows,
)
