"""Tables without a primary key.

Nothing keeps the same row from being stored twice, and one row cannot be named: to correct it, to delete one of two, to
replicate it. A unique index on columns that are never null does the same work, and is let pass.

Meant are tables from 1,000 rows on (`min_rows`), and tables of any size that a publication carries with UPDATE or
DELETE: these statements fail there, unless the table has a replica identity. A partitioned table counts as one.
Tables that only collect what is appended to them, as logs do, can live without: put them into the ignore list.
The table pgbench_history, which has none by design, is left out.
https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Limit, Status, Unit, presence
from dbopt.health.vacuum import ON_PRIMARY, is_ours
from dbopt.postgres.tables import TABLE_STATE, TableState
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Keyless:
    relation: str  # of partitions: the partitioned table
    rows: float
    is_stuck: bool  # published, and nothing says which row is meant


def _rows(rows: Sequence[TableState], scene: Scene) -> Iterator[Keyless]:
    found: dict[str, Keyless] = {}
    for table in filter(is_ours, rows):
        if table.relkind != "r" or table.name == "pgbench_history":
            continue
        stuck = table.is_published and not table.has_replica_identity
        if not stuck and (table.has_primary_key or table.has_key):
            continue
        relation = table.partition_root or table.relation
        known = found.get(relation, Keyless(relation, 0.0, False))
        found[relation] = Keyless(relation, known.rows + table.rows, known.is_stuck or stuck)
    yield from (item for item in found.values() if item.is_stuck or item.rows >= scene.limits["min_rows"])


def _detail(row: Keyless) -> str:
    words = f"about {row.rows:,.0f} rows"
    if row.is_stuck:
        return f"{words}, published without a replica identity: UPDATE and DELETE fail"
    return f"{words}, no primary key, nor a unique index on columns that are never null"


def _remedy(row: Keyless) -> str:
    if row.is_stuck:
        return (
            "-- if no columns can be its key, so that a primary key is no choice:\n"
            f"ALTER TABLE {row.relation} REPLICA IDENTITY FULL;"
        )
    return (
        "-- with the columns that name a row, or a new one (GENERATED ALWAYS AS IDENTITY rewrites the table):\n"
        f"-- CREATE UNIQUE INDEX CONCURRENTLY new_key ON {row.relation} (...);\n"
        f"-- ALTER TABLE {row.relation} ADD PRIMARY KEY USING INDEX new_key;"
    )


CHECK: Check[Keyless] = Check(
    id="primary-key-missing",
    title="Tables without primary key",
    group=Group.STORAGE,
    query=TABLE_STATE,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING,
        source="https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-PRIMARY-KEYS",
    ),
    limits=(Limit("min_rows", 1_000, Unit.COUNT, "our own: a handful of rows can be read at a glance"),),
    needs=(ON_PRIMARY,),
    rows=_rows,
    subject=lambda row: row.relation,
    measure=lambda row: row.rows,
    detail=_detail,
    remedy=_remedy,
)
