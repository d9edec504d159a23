"""Dropping the index of a partition tree.

The server drops no such index concurrently (0A000), and no part of it alone (2BP01). So it goes at one go, by a plain
DROP INDEX that locks the partitioned table and every partition for an instant, with a short lock_timeout and retries.
The parts of a tree that was never finished may hang loose: those are dropped concurrently, like any index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.optimize import canonical, check, decide, waits
from dbopt.optimize.kinds import Kind, kind, target_index
from dbopt.optimize.partition_tree import below, part_name, working_names_of
from dbopt.optimize.steps import Action, Step
from dbopt.postgres import catalog
from dbopt.postgres.identifiers import text
from dbopt.spec import mark

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from dbopt.optimize.collect import Actual
    from dbopt.optimize.steps import Blocker
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec

_PLANS = "statements whose plans use the index change their plans"


def drop(entry: IndexSpec | None, index: Index, table: Table, actual: Actual, domain: str, reason: str) -> Step:
    """The step that drops a partitioned index with all that is attached to it. `entry`: None where no spec names it.

    Ask `why_needed` first.
    """
    return Step(
        action=Action.DROP,
        index=entry.name if entry is not None else index.index,
        schema=table.schema,
        table=table.table,
        statements=(statement(index.schema, index.index),),
        reason=reason,
        hazards=(_PLANS, locks(table, actual)),
        domain=domain,
    )


def standing(conn: Connection, server: Server, schema: str, table: str) -> tuple[Blocker, ...]:
    """Who stands in the way of a drop right now: whoever uses the partitioned table or one of its partitions."""
    tops = catalog.TABLES.rows(conn, server.version, {"schemas": [schema], "tables": [table]})
    members = catalog.TREES.rows(conn, server.version, {"oids": [top.oid for top in tops]})
    oids = [member.table_oid for member in members]
    return waits.foresee(conn, server, oids).of_drop(oids)


def loose_parts(entry: IndexSpec, index: Index, table: Table, actual: Actual) -> list[Step]:
    """Steps that drop what goes with no tree, to be run before `drop`: parts that an unfinished run has built and not
    attached, and what one that was changing the definition has left under working names.
    """
    found = []
    for member in actual.trees.get(table.oid, ()):
        here = actual.tables.get((member.schema, member.table))
        name = part_name(entry, member)
        for one in actual.indexes.get(here.oid, ()) if here is not None else ():
            if one.oid == index.oid or one.is_partition or one.constraint is not None or one.build_pid is not None:
                continue
            unfinished = one.index == name and not index.indisvalid and _are_alike(index, one, actual)
            if unfinished or one.index in working_names_of(name):
                reason = f"{one.index} was to be a part of {entry.name}, which shall not be there"
                assert here is not None
                found.append(remove(entry, here, one, actual, reason))
    return found


def _are_alike(index: Index, other: Index, actual: Actual) -> bool:
    return canonical.same(actual.definition(index), actual.definition(other), tablespace=False)


def remove(
    entry: IndexSpec, table: Table, index: Index, actual: Actual, reason: str, *, name: str | None = None
) -> Step:
    """Drops what is left over: an index concurrently, one with parts at one go. `name`: the one that it has by then."""
    name = index.index if name is None else name
    is_tree = index.relkind == "I"
    return Step(
        action=Action.REPAIR,
        index=entry.name if (table.schema, table.table) == (entry.schema_name, entry.table.name) else name,
        schema=table.schema,
        table=table.table,
        statements=(statement(table.schema, name) if is_tree else decide.drop_index(table.schema, name),),
        reason=reason,
        hazards=(locks(table, actual),) if is_tree else (),
        domain=entry.domain,
    )


def why_needed(
    index: Index,
    actual: Actual,
    *,
    named: Collection[tuple[str, str]] = (),
    moves: Callable[[Index], bool] = lambda _: False,
) -> str | None:
    """Who needs a partitioned index, or one of its parts, for more than speed: a partition may have a constraint or a
    replica identity of its own. A part may be the index of another entry, too: `named` are those of this plan. `moves`:
    whether another index can take over as a replica identity.
    """
    if not (check.is_only_identity(index) and moves(index)) and (needed := check.why_needed(index)) is not None:
        return needed
    for part in below(index, actual):
        owner = mark.read(part.comment)[1]
        if part.constraint is not None:
            return f"its part {part.index} backs constraint {part.constraint}"
        if part.referenced_by is not None:
            return f"foreign key {part.referenced_by} refers to its part {part.index}"
        if part.indisreplident and not moves(part):
            return f"its part {part.index} is the replica identity of a partition"
        if owner is not None or (part.schema, part.index) in named:
            return f"its part {part.index} has an entry of its own" + (f" ({owner.domain})" if owner else "")
    return None


def dropped(steps: Iterable[Step]) -> Iterator[tuple[str, str]]:
    """Schema and name of every index that steps drop."""
    for step in steps:
        for one in step.statements:
            if kind(one) in (Kind.DROP, Kind.DROP_TREE):
                yield step.schema, target_index(one)


def locks(table: Table, actual: Actual) -> str:
    """What a plain DROP INDEX does to others."""
    partitions = len(actual.trees.get(table.oid, ())) - 1
    number = f"{partitions} partition{'s' if partitions > 1 else ''}" if partitions > 0 else "partitions"
    return (
        f"takes ACCESS EXCLUSIVE on the partitioned table and its {number} for an instant, tried again for as long as "
        "it is not to be had; whoever uses one of them meanwhile waits"
    )


def statement(schema: str, name: str) -> str:
    return text(sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, name)))
