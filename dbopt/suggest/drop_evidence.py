"""Why an index of the workload's tables may go: what speaks for it before anything was planned without it.

Never: what is unique or backs a constraint, a replica identity, what its table is clustered by, parts of a partitioned
index, one that is not valid or being built. Of indexes on expressions the statistics serve the planner even so: they go
only for a twin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres import index_catalog
from dbopt.postgres.indexes import INDEX_SHAPES, UNSCANNED_INDEXES
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.relations.redundancy import redundant, why_kept
from dbopt.relations.unused import MIN_SIZE_BYTES, idle_seconds
from dbopt.suggest import reasons
from dbopt.suggest.candidates.existing import is_prefix, normal
from dbopt.suggest.model import Candidate, Evidence, Key
from dbopt.units import format_duration
from dbopt.values import dataclass
from dbopt.workload.index_advice import is_ours

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.indexes import UnscannedIndex
    from dbopt.postgres.server import Server
    from dbopt.relations.redundancy import Redundant
    from dbopt.suggest.model import Name, Table
    from dbopt.workload.finding import Index as RelationIndex

_TELLING = ("pattern", "path_ops", "trgm")  # parts of the names of classes that no type has by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An index that may go. `twin`: another does exactly the same. `keeper`: what has to stay, by its oid."""

    name: Name  # schema and name of the index
    table: Name
    oid: int
    size_bytes: int
    evidence: Evidence
    detail: str
    twin: bool = False
    keeper: int | None = None


def cases(
    conn: Connection, server: Server, tables: Mapping[Name, Table], chosen: Collection[Candidate]
) -> tuple[Case, ...]:
    """The largest first. Four statements. Raises psycopg errors."""
    plain = {name: table for name, table in tables.items() if is_ours(table.relation) and not table.leaves}
    oids = {table.relation.oid: name for name, table in plain.items() if table.relation.relkind in "rm"}
    rows = index_catalog.INDEXES.rows(conn, server.version, {"oids": sorted(oids)}) if oids else []
    droppable = {row.oid: row for row in rows if _may_go(row)}
    if not droppable:
        return ()
    repeated = [
        found
        for found in redundant(INDEX_SHAPES.rows(conn, server.version))
        if found.index.oid in droppable and not (found.index.in_work or found.index.work_hidden)
    ]
    found: dict[int, Case] = {}
    for idle, detail in _unused(conn, server, repeated):
        if idle.oid in droppable:
            found[idle.oid] = _case(droppable[idle.oid], oids, Evidence.UNUSED, detail, idle.size_bytes)
    for one in repeated:
        if one.index.oid not in found and one.keeper.oid not in found:
            what = "does the same as" if one.exact else "does nothing that is not done by"
            found[one.index.oid] = _case(
                droppable[one.index.oid],
                oids,
                Evidence.REDUNDANT,
                f"it {what} {one.keeper.name}, {why_kept(one)}",
                one.index.size_bytes,
                twin=one.exact,
                keeper=one.keeper.oid,
            )
    for oid, row in droppable.items():
        by = None if oid in found or row.has_expressions else _beaten(row, plain[oids[row.table_oid]], chosen)
        if by is not None:
            found[oid] = _case(
                row, oids, Evidence.BEATEN, f"the suggested {reasons.definition(by)} begins with its keys"
            )
    return tuple(sorted(found.values(), key=lambda case: (-case.size_bytes, case.name)))


def _may_go(row: Index) -> bool:
    needed = row.indisunique or row.constraint is not None or row.referenced_by is not None
    special = row.is_partition or row.parent_oid is not None or row.indisreplident or row.indisclustered
    sound = row.indisvalid and row.indisready and row.indislive and row.build_pid is None
    return row.relkind == "i" and sound and not needed and not special


def _case(
    row: Index,
    tables: Mapping[int, Name],
    evidence: Evidence,
    detail: str,
    size_bytes: int | None = None,
    *,
    twin: bool = False,
    keeper: int | None = None,
) -> Case:
    return Case(
        name=(row.schema, row.index),
        table=tables[row.table_oid],
        oid=row.oid,
        size_bytes=row.size_bytes if size_bytes is None else size_bytes,
        evidence=evidence,
        detail=detail,
        twin=twin,
        keeper=keeper,
    )


def _unused(conn: Connection, server: Server, repeated: Sequence[Redundant]) -> list[tuple[UnscannedIndex, str]]:
    """As health's unused-index has it. On a standby none: it counts its own scans only."""
    around = SURROUNDINGS.rows(conn, server.version)[0]
    known = around.stats_seconds
    if server.in_recovery or not around.tracks_counts or known is None:
        return []
    kept = {one.keeper.oid for one in repeated if one.index.idx_scan > 0}
    found = []
    for row in UNSCANNED_INDEXES.rows(conn, server.version):
        seconds = idle_seconds(row, known, around.now)
        if seconds is None or row.oid in kept or row.size_bytes < MIN_SIZE_BYTES:
            continue
        idle = f"no scan in the {format_duration(seconds)} since the statistics began"
        if row.idx_scan:
            idle = f"last scanned {format_duration(seconds)} ago, {row.idx_scan:,} times in all"
        standbys = "; check replicas first: their scans are not seen here" if row.feeds_standbys else ""
        found.append((row, idle + standbys))
    return found


def _beaten(row: Index, table: Table, chosen: Collection[Candidate]) -> Candidate | None:
    """A suggested index that has its keys as its own first ones."""
    index = next((one for one in table.relation.indexes if one.name == row.index), None)
    if index is None or index.predicate == "":  # it could not be read
        return None
    forms = [_as_candidate(table, index, turned=turned) for turned in (False, True)]
    longer = sorted(item for item in chosen if item.relation == table.name and len(item.keys) >= len(index.keys))
    return next((item for item in longer if any(is_prefix(form, _plain(item)) for form in forms)), None)


def _as_candidate(table: Table, index: RelationIndex, *, turned: bool) -> Candidate:
    """`turned`: as it is read backward."""
    keys = tuple(
        Key(
            column=key.column or "",
            expression=normal(key.expression or ""),
            opclass=key.opclass if any(part in key.opclass for part in _TELLING) else "",
            descending=key.is_descending != turned,
            nulls_first=key.nulls_first != turned,
        )
        for key in index.keys
    )
    return Candidate(table.name, keys, tuple(sorted(index.include)), normal(index.predicate or ""), index.method)


def _plain(item: Candidate) -> Candidate:
    """With names of classes alone, and expressions in one spelling."""
    keys = tuple(
        key._replace(opclass=key.opclass.rpartition(".")[2], expression=normal(key.expression)) for key in item.keys
    )
    return item._replace(keys=keys, where=normal(item.where))
