"""Indexes of partition trees, online.

The server builds no index concurrently on a partitioned table (0A000). So: ON ONLY the partitioned tables, which are
catalog rows; concurrently on every leaf; then ATTACH from the leaves up, until the top index turns valid by itself.
What an earlier run has done, or somebody by hand, is found and adopted (partition_tree.py): each leaf is built once. An
index of another definition stays until the new one is whole (partition_swap.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.optimize import decide, partition_drop, partition_swap
from dbopt.optimize.partition_tree import Leftover, Part, Wish, gone_with, is_beside, leftovers, parts, proof
from dbopt.optimize.refusals import RefusedError, error
from dbopt.optimize.statement import create_index
from dbopt.optimize.steps import Action, Step
from dbopt.postgres.identifiers import text

if TYPE_CHECKING:
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server

_ONLY = "takes SHARE on the partitioned table for an instant, tried again for as long as it is not to be had"
_STUCK = "is INVALID though every partition has its part, which this server does not look at again"
_ATTACH = "takes ACCESS EXCLUSIVE on the partition's index for an instant"


def steps(wish: Wish, server: Server) -> list[Step]:
    """What brings the whole tree to the definition; empty when it is there. Raises RefusedError."""
    _possible(wish)
    left = leftovers(wish)
    gone = gone_with(left, wish.actual)
    members = parts(wish, gone)
    stuck = [part for part in members if part.is_stuck]
    if stuck and not _can_be_mended(stuck, server):
        roots = {id(root): root for root in map(_root, stuck)}
        top = members[0]
        if id(top) in roots and not is_beside(wish):
            return steps(replace(wish, former=top.index), server)
        left = [*(Leftover(one.table, one.index, _STUCK) for one in roots.values() if one.index is not None), *left]
        gone = gone_with(left, wish.actual)
        members = parts(wish, gone)
    old = partition_swap.old_parts(wish, members, gone)
    done = [_remove(wish, one) for one in left]
    done += [_create(wish, part, old.get(part.table.oid)) for part in members if part.is_to_build]
    for part in reversed(members):  # from the leaves up
        if part.is_stuck:
            done.append(_attach(wish, part.below[0], "every part is there: attaching {} once more makes it valid"))
        if part.is_to_attach:
            done.append(_attach(wish, part, "makes {} a part of it"))
    if len(done) > len(left):
        top = members[0]
        done[-1] = replace(done[-1], proofs=(*done[-1].proofs, proof(wish, top.table, top.name)))
    if is_beside(wish):
        return done + partition_swap.steps(wish, members, old, gone)
    return done + partition_swap.renamed_back(wish, members, gone)


def remains(wish: Wish) -> list[Step]:
    """What removes the remains of earlier runs, and does nothing else."""
    return [_remove(wish, one) for one in leftovers(wish)]


def _remove(wish: Wish, left: Leftover) -> Step:
    reason = f"{left.index.index} {left.reason}"
    return partition_drop.remove(wish.entry, left.table, left.index, wish.actual, reason)


def _possible(wish: Wish) -> None:
    """Uniqueness over a tree needs every partition key among the keys. Raises RefusedError."""
    entry = wish.entry
    if not wish.wanted.unique:
        return
    columns = {key.column for key in wish.wanted.keys}
    for member in wish.actual.trees[wish.table.oid]:
        for column in member.partition_key or ():
            if column is None or column not in columns:
                what = column or "an expression"
                message = f"a unique index of {member.schema}.{member.table} needs its partition key ({what}) as a key"
                hint = f"Add {column} to the keys." if column else "Uniqueness cannot be had over this tree."
                raise RefusedError(error(entry, "unique-needs-partition-key", message, at="unique", hint=hint))


def _can_be_mended(stuck: list[Part], server: Server) -> bool:
    """Whether an ATTACH makes the server look again at what is INVALID though it is whole."""
    return server.validates_when_attached_again and all(part.below for part in stuck)


def _root(part: Part) -> Part:
    """The uppermost index that it is attached to."""
    while part.above is not None and not part.is_to_attach:
        part = part.above
    return part


def _create(wish: Wish, part: Part, old: Index | None) -> Step:
    """`old`: the index that it takes the place of."""
    entry, table = wish.entry, part.table
    keep_space = old.tablespace if old is not None and entry.tablespace is None and entry.sql is None else None
    build = text(
        create_index(
            entry,
            schema=table.schema,
            name=part.name,
            table=table.table,
            concurrently=part.is_leaf,
            only=not part.is_leaf,
            tablespace=keep_space,
        )
    )
    statements: tuple[str, ...] = (build,)
    action, reason = Action.CREATE, f"its part of {entry.name}, which is not there yet"
    if part.above is None:
        # Only the top carries the mark: it is what a spec owns, the others follow it.
        comment = decide.comment_for(entry, table, old.comment if old is not None else None)
        statements = ("BEGIN", build, decide.comment_on(table.schema, part.name, comment), "COMMIT")
        reason = entry.why or "the spec asks for it"
    elif part.index is not None and part.index.build_pid is not None:
        action = Action.ADOPT
        reason = f"pid {part.index.build_pid} builds it right now: that is let end, and looked at"
    elif part.index is not None:
        action, reason = Action.REPAIR, "an earlier build left it INVALID: it slows writes and serves no query"
        statements = (decide.drop_index(table.schema, part.name), build)
    if wish.former is not None:
        reason = f"{partition_swap.reason(wish)}: built beside the old one" if part.above is None else reason
    return Step(
        action=action,
        index=part.name,
        schema=table.schema,
        table=table.table,
        statements=statements,
        reason=reason,
        hazards=decide.build_hazards(entry) if part.is_leaf else (_ONLY,),
        domain=entry.domain,
        settings=decide.build_settings(entry) if part.is_leaf else {},
        proofs=(proof(wish, part.table, part.name),) if part.is_leaf else (),
    )


def _attach(wish: Wish, part: Part, reason: str) -> Step:
    """It alters the index above, and is told of that one."""
    assert part.above is not None
    above = part.above
    statement = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
        sql.Identifier(above.table.schema, above.name), sql.Identifier(part.table.schema, part.name)
    )
    return Step(
        action=Action.ATTACH,
        index=above.name,
        schema=above.table.schema,
        table=above.table.table,
        statements=(text(statement),),
        reason=reason.format(part.name),
        hazards=(_ATTACH,),
        domain=wish.entry.domain,
    )
