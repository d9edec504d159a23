"""Indexes of partition trees, online.

The server builds no index concurrently on a partitioned table (0A000). So: ON ONLY the partitioned tables, which are
catalog rows; concurrently on every leaf; then ATTACH from the leaves up, until the top index turns valid by itself.
What an earlier run has done, or somebody by hand, is found by definition and adopted: each leaf is built once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.optimize import decide
from dbopt.optimize.refusals import RefusedError, error
from dbopt.optimize.statement import create_index
from dbopt.optimize.steps import Action, Proof, Step
from dbopt.postgres.identifiers import derived, text

if TYPE_CHECKING:
    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.postgres.catalog import Index, Table, TreeMember
    from dbopt.spec.model import IndexSpec

_ONLY = "takes SHARE on the partitioned table for an instant, tried again for as long as it is not to be had"
_ATTACH = "takes ACCESS EXCLUSIVE on the two indexes for an instant"
_DEFAULT_NAME = "{leaf}_"  # followed by the entry's name

Same = Callable[["Table", "Index"], bool]


def steps(entry: IndexSpec, table: Table, wanted: Definition, actual: Actual, same: Same) -> list[Step]:
    """What brings the whole tree to the definition; empty when it is there. Raises RefusedError."""
    tree = actual.trees[table.oid]
    _possible(entry, tree)
    found = {member.table_oid: _existing(entry, member, actual, same, tree) for member in tree}
    created: list[Step] = []
    attached: list[Step] = []
    for member in sorted(tree, key=lambda one: one.level):
        if member.relkind == "f":
            continue  # a foreign partition has no index; the tree's index is whole without it
        here = actual.tables[member.schema, member.table]
        index = found[member.table_oid]
        name = index.index if index is not None and index.indisvalid else _name(entry, member)
        if index is None or (member.is_leaf and not index.indisvalid):
            created.append(_create(entry, here, member, wanted, name, broken=index))
        if member.parent_oid is not None:
            parent = found[member.parent_oid]
            if index is None or parent is None or index.parent_oid != parent.oid:
                above = next(one for one in tree if one.table_oid == member.parent_oid)
                parent_name = parent.index if parent is not None else _name(entry, above)
                attached.append(_attach(entry, member, name, above, parent_name))
    attached.reverse()  # from the leaves up
    done = [*created, *attached]
    if done:
        proof = Proof(schema=table.schema, index=entry.name, table=table.table, definition=wanted)
        done[-1] = replace(done[-1], proofs=(*done[-1].proofs, proof))
    return done


def _possible(entry: IndexSpec, tree: list[TreeMember]) -> None:
    """Uniqueness over a tree needs every partition key among the keys, and no foreign partitions."""
    if not entry.is_unique or entry.sql is not None:
        return
    columns = {key.column for key in entry.keys}
    for member in tree:
        missing = [column for column in member.partition_key or [] if column not in columns]
        if missing:
            what = missing[0] or "an expression"
            raise RefusedError(
                error(
                    entry,
                    "unique-needs-partition-key",
                    f"a unique index of {member.schema}.{member.table} needs its partition key ({what}) among its keys",
                    at="unique",
                    hint=f"Add {missing[0]} to the keys." if missing[0] else "Uniqueness cannot be had here.",
                )
            )
        if member.relkind == "f":
            message = f"{member.schema}.{member.table} is a foreign partition, which has no unique indexes"
            raise RefusedError(error(entry, "not-supported-by-server", message, at="unique"))


def _existing(entry: IndexSpec, member: TreeMember, actual: Actual, same: Same, tree: list[TreeMember]) -> Index | None:
    """The index of one member that is, or can become, its part of the tree's index. Raises RefusedError."""
    table = actual.tables[member.schema, member.table]
    indexes = actual.indexes.get(member.table_oid, ())
    name = _name(entry, member)
    by_name = next((index for index in indexes if index.index == name), None)
    if by_name is not None:
        if by_name.build_pid is not None:
            message = f"{name} is being built right now by pid {by_name.build_pid}"
            raise RefusedError(error(entry, "being-built", message, hint="Run dbopt again when that build has ended."))
        if same(table, by_name):
            return by_name
        what = f"{name} on {member.schema}.{member.table} has another definition"
        hint = "Give the entry another name: dbopt does not yet replace indexes of partition trees."
        raise RefusedError(error(entry, "name-taken", what, at="name", hint=hint))
    if member.level == 0:
        return None
    # An equal one under another name, attached already or free to be.
    names = {_name(entry, one) for one in tree}
    equal = [
        index
        for index in indexes
        if index.index not in names and index.indisvalid and index.constraint is None and same(table, index)
    ]
    parents = {index.oid for one in tree for index in actual.indexes.get(one.table_oid, ()) if index.index in names}
    mine = [index for index in equal if index.parent_oid in parents]
    free = [index for index in equal if index.parent_oid is None]
    return next(iter([*mine, *free]), None)


def _name(entry: IndexSpec, member: TreeMember) -> str:
    """The name that an index of this member gets: the entry's own at the top, the template's below."""
    if member.level == 0:
        return entry.name
    if entry.partitions is not None and member.is_leaf:
        return derived(entry.partitions.name.replace("{leaf}", member.table), "")
    return derived(_DEFAULT_NAME.replace("{leaf}", member.table) + entry.name, "")


def _create(
    entry: IndexSpec, table: Table, member: TreeMember, wanted: Definition, name: str, broken: Index | None
) -> Step:
    build = text(
        create_index(
            entry,
            schema=table.schema,
            name=name,
            table=table.table,
            concurrently=member.is_leaf,
            only=not member.is_leaf,
        )
    )
    statements = [build]
    if broken is not None:
        statements.insert(0, decide.drop_index(table.schema, broken.index))
    if member.level == 0:
        # Only the top carries the mark: it is what a spec owns, the leaves follow it.
        statements.append(decide.comment_on(table.schema, name, decide.comment_for(entry, table, None)))
    reason = entry.why or "the spec asks for it"
    if member.level > 0:
        reason = f"its part of {entry.name}, which is not there yet" if broken is None else "an earlier build broke off"
    return Step(
        action=Action.CREATE if broken is None else Action.REPAIR,
        index=name,
        schema=table.schema,
        table=table.table,
        statements=tuple(statements),
        reason=reason,
        hazards=decide.build_hazards(entry) if member.is_leaf else (_ONLY,),
        domain=entry.domain,
        settings=decide.build_settings(entry) if member.is_leaf else {},
        proofs=(Proof(schema=table.schema, index=name, table=table.table, definition=wanted),)
        if member.is_leaf
        else (),
    )


def _attach(entry: IndexSpec, member: TreeMember, name: str, above: TreeMember, parent_name: str) -> Step:
    statement = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
        sql.Identifier(above.schema, parent_name), sql.Identifier(member.schema, name)
    )
    return Step(
        action=Action.ATTACH,
        index=name,
        schema=member.schema,
        table=member.table,
        statements=(text(statement),),
        reason=f"makes it a part of {parent_name}",
        hazards=(_ATTACH,),
        domain=entry.domain,
    )
