"""Foreign keys whose columns no index of the referencing table leads with.

PostgreSQL indexes the referenced columns, never the referencing ones. Without an index there, each DELETE of a
referenced row, and each UPDATE of its key, reads the whole referencing table to see whether somebody still refers to
it, with the row locked meanwhile; joins along the key do the same. A usable index is a valid btree or GiST index that
begins with the key's columns in any order, or a hash index on a single one. A partial index counts where it leaves out
nothing but NULLs. A partitioned table is looked at as a whole: all of its partitions have to have one.
Not every such key is worth an index: if nothing is ever deleted from the referenced table, and nobody joins along the
key, ignore the finding with that reason.
https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import SQL, Identifier

from dbopt.health.check import Check, Group, Unit, above
from dbopt.health.suggesting import remark
from dbopt.postgres.foreign_keys import FOREIGN_KEYS, ForeignKey
from dbopt.postgres.identifiers import NAME_MAX_BYTES, clip
from dbopt.relations.foreign_keys import has_fitting_index
from dbopt.spec.fragment import present

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.health.scene import Scene


_DELETES = {
    "a": "is checked by reading",
    "r": "is checked by reading",
    "c": "deletes what refers to it, found by reading",
    "n": "sets NULL what refers to it, found by reading",
    "d": "resets what refers to it, found by reading",
}


def _uncovered(rows: Sequence[ForeignKey], _scene: Scene) -> Iterator[ForeignKey]:
    for row in rows:
        if not has_fitting_index(row):
            yield row


def _detail(row: ForeignKey) -> str:
    key = f"foreign key {row.constraint} ({', '.join(row.columns)}) has no index"
    return f"{key}: each DELETE on {row.referenced} {_DELETES.get(row.on_delete, 'reads')} {row.rows:,.0f} rows here"


def _remedy(row: ForeignKey) -> str:
    columns = SQL(", ").join(map(Identifier, row.columns)).as_string()
    if row.relkind == "p":
        return (
            f"CREATE INDEX ON {row.relation} ({columns});"
            "  -- blocks writes to all partitions; dbopt optimize builds one by one without, see --fix-spec"
        )
    more = remark(row.relation, "finds one that serves its statements, too")
    return f"CREATE INDEX CONCURRENTLY ON {row.relation} ({columns});{more}"


def _fragment(row: ForeignKey) -> Mapping[str, object] | None:
    why = f"foreign key {row.constraint}: each DELETE on {row.referenced} looks for rows that refer to it"
    return present(row.schema, row.table, _name(row), {"keys": list(row.columns), "why": why})


def _name(row: ForeignKey) -> str:
    """As the server would name it, and not as an index of the table is named already."""
    stem = "_".join((row.table, *row.columns))
    for number in range(len(row.index_names) + 1):
        suffix = f"_idx{number or ''}"
        name = clip(stem, NAME_MAX_BYTES - len(suffix)) + suffix
        if name not in row.index_names:
            break
    return name


CHECK: Check[ForeignKey] = Check(
    id="foreign-key-without-index",
    title="Foreign keys without index",
    group=Group.INDEXES,
    query=FOREIGN_KEYS,
    unit=Unit.COUNT,
    thresholds=above(
        warning=10_000, critical=None, source="rows; our own reasoning: fewer are read in a millisecond or two"
    ),
    subject=lambda row: f"{row.relation}.{row.constraint}",
    measure=lambda row: row.rows,
    detail=_detail,
    remedy=_remedy,
    fragment=_fragment,
    rows=_uncovered,
)
