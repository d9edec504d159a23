"""A tree of indexes that was built beside an old one takes its place.

Names change in short transactions, pair by pair, the top last: each name stands for a valid index at every moment, and
wherever a run breaks off the next one sees by what is attached where how far it came. Then the old tree is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import canonical, check, decide, partition_drop
from dbopt.optimize.collect import OLD
from dbopt.optimize.partition_tree import below, proof, require_free
from dbopt.optimize.refusals import RefusedError, error
from dbopt.optimize.steps import Action, Step
from dbopt.postgres.identifiers import derived
from dbopt.spec import mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from dbopt.optimize.partition_tree import Part, Wish
    from dbopt.postgres.index_catalog import Index

# Each statement of a swap locks an index. The server reserves room for so many locks a session, unless told otherwise.
# https://www.postgresql.org/docs/current/runtime-config-locks.html#GUC-MAX-LOCKS-PER-TRANSACTION
LOCKS_PER_TRANSACTION = 64

_SWAPS = "the names change in short transactions, each of which takes SHARE UPDATE EXCLUSIVE on some indexes"
_IDENTITY = "moves replica identities: takes ACCESS EXCLUSIVE on each of those tables for an instant"
_TWICE = "needs disk space for both trees of indexes until the old one is dropped"


def reason(wish: Wish) -> str:
    """Why the former index does not do."""
    if wish.former is None:
        return "an earlier run has built it under its working name"
    if wish.same(wish.former):
        return "it is INVALID though every partition has its part, and this server does not look again"
    what = canonical.difference(wish.wanted, wish.actual.definition(wish.former))
    was = f"it was {wish.former.index}, and " if wish.former.index != wish.entry.name else ""
    return f"{was}the definition changed: {what}"


def old_parts(wish: Wish, parts: Sequence[Part], gone: Collection[int]) -> dict[int, Index]:
    """The indexes that make room, by the table's oid: those of the former tree, and of one that was never finished what
    hangs loose under its name. Raises RefusedError where one of them is needed for more than speed.
    """
    former = wish.former
    if former is None:
        return {}
    needed = partition_drop.why_needed(
        former,
        wish.actual,
        named=wish.named,
        moves=lambda index: check.can_be_identity(wish.actual.columns.get(index.table_oid, ()), wish.wanted),
    )
    if needed is not None:
        message = f"{former.index} differs from the spec and cannot be replaced: {needed} ({reason(wish)})"
        hint = "Give the new definition another name, or change what needs it by a migration first."
        raise RefusedError(error(wish.entry, "needed-by-constraint", message, hint=hint))
    found = {index.table_oid: index for index in (former, *below(former, wish.actual))}
    form = wish.actual.definition(former)
    for part in parts:
        for index in wish.actual.indexes.get(part.table.oid, ()):
            loose = not index.is_partition and index.constraint is None and index.oid not in gone
            if (
                part.table.oid not in found
                and loose
                and index.index == part.final
                and index is not part.index
                and canonical.same(form, wish.actual.definition(index), tablespace=False)
            ):
                found[part.table.oid] = index
    return found


def steps(wish: Wish, parts: Sequence[Part], old: Mapping[int, Index], gone: Collection[int]) -> list[Step]:
    """The swap, the drop of the old tree, and of what hung loose of it. Raises RefusedError where a name is taken."""
    top = parts[0]
    entry, schema = wish.entry, top.table.schema
    aside = derived(entry.name, OLD)
    statements = [
        statement
        for block in _blocks([_renamed(wish, part, old, gone) for part in parts[1:]])
        for statement in ("BEGIN", *block, "COMMIT")
    ]
    last = [decide.rename_index(schema, top.name, entry.name)]
    drop: list[str] = []
    hazards = (_SWAPS, *((_IDENTITY,) if any(index.indisreplident for index in old.values()) else ()))
    if wish.former is not None:
        require_free(wish, top.table, aside, gone)
        last = [
            decide.rename_index(schema, wish.former.index, aside),
            *last,
            *decide.carried(top.table, wish.former, entry.name, wish.wanted),
        ]
        drop.append(partition_drop.statement(schema, aside))
        hazards += (partition_drop.locks(wish.table, wish.actual), _TWICE)
    swap = Step(
        action=Action.REPLACE,
        index=entry.name,
        schema=schema,
        table=top.table.table,
        statements=(*statements, "BEGIN", *last, "COMMIT", *drop),
        reason=reason(wish),
        hazards=hazards,
        domain=entry.domain,
        requires=(proof(wish, top.table, top.name),),
        proofs=(proof(wish, top.table, entry.name),),
    )
    return [swap, *_loose(wish, parts, old)]


def renamed_back(wish: Wish, parts: Sequence[Part], gone: Collection[int]) -> list[Step]:
    """Of a tree whose replacement broke off amid the swap, and is not wanted any more."""
    found = []
    for part in parts:
        if part.name == part.final:
            continue
        require_free(wish, part.table, part.final, gone)
        found.append(
            Step(
                action=Action.REPAIR,
                index=part.final,
                schema=part.table.schema,
                table=part.table.table,
                statements=(decide.rename_index(part.table.schema, part.name, part.final),),
                reason=f"{part.name} has its working name from an interrupted change of {wish.entry.name}",
                domain=wish.entry.domain,
            )
        )
    return found


def _renamed(wish: Wish, part: Part, old: Mapping[int, Index], gone: Collection[int]) -> list[str]:
    """One part takes its final name, from the old one if that has it, and inherits what that had besides."""
    here = old.get(part.table.oid)
    schema = part.table.schema
    statements = []
    if part.name != part.final:
        ours = {*gone, here.oid} if here is not None else gone
        require_free(wish, part.table, part.final, ours)
        if here is not None and here.index == part.final:
            require_free(wish, part.table, derived(part.final, OLD), gone)
            statements.append(decide.rename_index(schema, here.index, derived(part.final, OLD)))
        statements.append(decide.rename_index(schema, part.name, part.final))
    if here is not None and (part.index is None or part.name != part.final or here.indisclustered):
        statements += decide.carried(part.table, here, part.final, wish.wanted)
    text = mark.read(here.comment)[0] if here is not None else ""
    if text and (part.index is None or part.index.comment is None):
        statements.append(decide.comment_on(schema, part.final, text))
    return statements


def _blocks(groups: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Statements of whole groups, as many as one transaction shall have."""
    block: list[str] = []
    for group in groups:
        if block and len(block) + len(group) > LOCKS_PER_TRANSACTION:
            yield block
            block = []
        block += group
    if block:
        yield block


def _loose(wish: Wish, parts: Sequence[Part], old: Mapping[int, Index]) -> list[Step]:
    """Drops of old parts that hang loose: those go with no tree."""
    found = []
    for part in parts[1:]:
        here = old.get(part.table.oid)
        if here is None or here.is_partition:
            continue
        renamed = part.name != part.final and here.index == part.final
        name = derived(part.final, OLD) if renamed else here.index
        reason = f"it was to be a part of {wish.entry.name}, whose definition has changed since"
        found.append(partition_drop.remove(wish.entry, part.table, here, wish.actual, reason, name=name))
    return found
