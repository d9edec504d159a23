"""The tables of a partition tree, each with the index that is its part of the tree's: what is there, and under which
names the rest is made.

A part is known by where it is attached; one that hangs loose by its name or by its definition. So what an earlier run
has done, or somebody by hand, is found again, and a part keeps the name that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from dbopt.optimize import canonical
from dbopt.optimize.collect import NEW, OLD
from dbopt.optimize.decide import reindexed
from dbopt.optimize.refusals import RefusedError, error
from dbopt.optimize.steps import Proof
from dbopt.postgres.identifiers import derived
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.postgres.catalog import Table, TreeMember
    from dbopt.postgres.index_catalog import Index
    from dbopt.spec.model import IndexSpec

_DEFAULT_NAME = "{leaf}_"  # followed by the entry's name

Same = Callable[["Index"], bool]
Name = tuple[str, str]  # schema, index


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An entry for a partitioned table.

    `taken`: who else has or gets a name of `every_name`. `leaving`: indexes that other steps drop or rename. `named`:
    those that have entries of their own. `claimed`: the names that other entries may give their parts in this tree.
    `former`: the index of another definition that the entry's takes the place of.
    """

    entry: IndexSpec
    table: Table
    wanted: Definition
    actual: Actual
    same: Same
    taken: Mapping[Name, str]
    leaving: Collection[Name] = ()
    named: Collection[Name] = ()
    claimed: Callable[[], Collection[Name]] = frozenset
    former: Index | None = None


@dataclass(slots=True)
class Part:
    """A table of the tree with its index: the one it has, or None and the name that it will get. `final`: the name that
    it shall have in the end, which is another while an old index beside it still has that.
    """

    table: Table
    above: Part | None
    index: Index | None
    name: str
    final: str
    below: list[Part] = field(default_factory=list)

    @property
    def is_leaf(self) -> bool:
        return self.table.relkind != "p"

    @property
    def is_to_build(self) -> bool:
        """A partitioned index that is INVALID waits for its parts; an INVALID leaf broke off."""
        return self.index is None or (self.is_leaf and not is_usable(self.index))

    @property
    def is_to_attach(self) -> bool:
        if self.above is None:
            return False
        return self.index is None or self.above.index is None or self.index.parent_oid != self.above.index.oid

    @property
    def is_stuck(self) -> bool:
        """INVALID with every part in place: the last one that was missing is gone, or was mended where it is."""
        if self.index is None or self.is_leaf or self.index.indisvalid:
            return False
        return all(part.index is not None and is_usable(part.index) and not part.is_to_attach for part in self.below)


@dataclass(frozen=True, slots=True)
class Leftover:
    """An index of an earlier run that nothing needs any more, with the table it is on."""

    table: Table
    index: Index
    reason: str = "is left over from an interrupted change of this index"


def names(entry: IndexSpec, table: Table, actual: Actual) -> list[Name]:
    """Schema and name of every index that the entry may make."""
    return [(member.schema, part_name(entry, member)) for member in actual.trees[table.oid]]


def every_name(entry: IndexSpec, table: Table, actual: Actual) -> list[Name]:
    """The same with the names of a replacement under way."""
    final = names(entry, table, actual)
    return final + [(schema, working) for schema, name in final for working in working_names_of(name)]


def below(top: Index, actual: Actual) -> list[Index]:
    """The indexes that are parts of this one, at any depth; none for an index of a plain table."""
    oids, found = {top.oid}, []
    for member in _tree_around(top.table_oid, actual):  # from the top down
        here = [index for index in actual.indexes.get(member.table_oid, ()) if index.parent_oid in oids]
        oids |= {index.oid for index in here}
        found += here
    return found


def _tree_around(table_oid: int, actual: Actual) -> Sequence[TreeMember]:
    """The tree that a table is the top of, or one that it is in."""
    if table_oid in actual.trees:
        return actual.trees[table_oid]
    around = (tree for tree in actual.trees.values() if any(member.table_oid == table_oid for member in tree))
    return next(around, ())


def part_name(entry: IndexSpec, member: TreeMember) -> str:
    """The name that an index of this member gets: the entry's own at the top, the template's below."""
    if member.level == 0:
        return entry.name
    if entry.partitions is not None and member.is_leaf:
        return derived(entry.partitions.name.replace("{leaf}", member.table), "")
    return derived(_DEFAULT_NAME.replace("{leaf}", member.table) + entry.name, "")


def working_names_of(name: str) -> tuple[str, str]:
    return derived(name, NEW), derived(name, OLD)


def is_usable(index: Index) -> bool:
    return index.indisvalid and index.indisready and index.indislive


def display(table: Table) -> str:
    return f"{table.schema}.{table.table}"


def proof(wish: Wish, table: Table, name: str) -> Proof:
    return Proof(schema=table.schema, index=name, table=table.table, definition=wish.wanted)


def is_beside(wish: Wish) -> bool:
    """Whether the tree is made under working names: beside the former one, or where a run that did so broke off."""
    if wish.former is not None:
        return True
    ready = wish.actual.find(wish.table, derived(wish.entry.name, NEW))
    return ready is not None and wish.actual.find(wish.table, wish.entry.name) is None and wish.same(ready)


def leftovers(wish: Wish) -> list[Leftover]:
    """Indexes under working names of this entry that no step of it uses: whole trees first, then what hangs loose."""
    beside = is_beside(wish)
    found: list[Leftover] = []
    top = wish.actual.find(wish.table, wish.entry.name)
    attached = [part.index for part in below(top, wish.actual)] if top is not None else []
    for member in wish.actual.trees[wish.table.oid]:  # from the top down
        table = wish.actual.tables[member.schema, member.table]
        name = part_name(wish.entry, member)
        for index in wish.actual.indexes.get(table.oid, ()):
            ours = index.index in working_names_of(name) or (
                not index.indisvalid and any(reindexed(base, index.index) for base in (name, *attached))
            )
            if not ours or index.is_partition or index.build_pid is not None:
                continue
            if wish.former is not None and index.oid == wish.former.oid:
                continue
            if (
                beside
                and index.index == derived(name, NEW)
                and (wish.same(index) or not (is_usable(index) or index.relkind == "I"))
            ):
                continue  # it becomes a part
            if member.level > 0 and (table.schema, name) in wish.claimed():
                continue  # whose it is cannot be told
            found.append(Leftover(table, index))
    return found


def gone_with(left: Collection[Leftover], actual: Actual) -> frozenset[int]:
    """The oids of leftovers and of all that is attached to them."""
    return frozenset(index.oid for one in left for index in (one.index, *below(one.index, actual)))


def parts(wish: Wish, gone: Collection[int]) -> list[Part]:
    """The tables that get an index, each behind the one above it. `gone`: indexes that are dropped first. Raises
    RefusedError.
    """
    entry, beside = wish.entry, is_beside(wish)
    known: dict[int, Part] = {}
    for member in wish.actual.trees[wish.table.oid]:  # by level
        above = known[member.parent_oid] if member.parent_oid is not None else None
        if member.relkind == "f":
            _foreign(wish, member, above)
            continue
        here = wish.actual.tables[member.schema, member.table]
        final = part_name(entry, member)
        name = derived(final, NEW) if beside else final
        indexes = [index for index in wish.actual.indexes.get(here.oid, ()) if index.oid not in gone]
        index = _attached_already(wish, here, indexes, above) or _found(wish, here, indexes, name, is_top=above is None)
        if index is not None:
            name = index.index
            final = final if name in working_names_of(final) else name
        known[member.table_oid] = part = Part(here, above, index, name, final)
        if above is not None:
            above.below.append(part)
        if index is None:
            require_free(wish, here, name, gone)
    return list(known.values())


def require_free(wish: Wish, table: Table, name: str, ours: Collection[int]) -> None:
    """Raises RefusedError where somebody else has a name, or gets it by this plan. `ours`: indexes that give it up."""
    holder = wish.taken.get((table.schema, name))
    if holder is None or any(i.index == name and i.oid in ours for i in wish.actual.indexes.get(table.oid, ())):
        return
    message = f"the name {name}, for {display(table)}, belongs to {holder}"
    hint = "Choose another name under `partitions`, or for the entry."
    raise RefusedError(error(wish.entry, "name-taken", message, at="partitions", hint=hint))


def _foreign(wish: Wish, member: TreeMember, above: Part | None) -> None:
    """A foreign partition has no index; the server misses it for ever when it counts what is attached. Only CREATE
    INDEX on the partitioned table itself passes it over, and that is not online. Raises RefusedError.
    """
    entry = wish.entry
    if above is not None and above.index is not None and above.index.indisvalid:
        return
    where = display(wish.table)
    message = f"{member.schema}.{member.table} is a foreign partition: an index of {where} cannot be made online"
    hint = (
        f"Give each other partition of {where} an entry of its own; CREATE INDEX on {where} then adopts their indexes "
        "in an instant."
    )
    raise RefusedError(error(entry, "not-supported-by-server", message, at="table", hint=hint))


def _attached_already(wish: Wish, table: Table, indexes: list[Index], above: Part | None) -> Index | None:
    """Whatever its name: ATTACH PARTITION of a table names indexes itself. Raises RefusedError for an INVALID leaf's,
    which the server neither drops nor lets go.
    """
    if above is None or above.index is None:
        return None
    part = next((index for index in indexes if index.parent_oid == above.index.oid), None)
    if part is not None and part.relkind == "i" and not is_usable(part):
        message = f"{part.index} of {display(table)} is INVALID, and a part of {above.index.index} already"
        hint = f'REINDEX INDEX CONCURRENTLY "{part.schema}"."{part.index}"; then plan again.'
        raise RefusedError(error(wish.entry, "invalid-part", message, hint=hint))
    return part


def _found(wish: Wish, table: Table, indexes: list[Index], name: str, *, is_top: bool) -> Index | None:
    """The index of a table that can become its part of the tree's index. Raises RefusedError."""
    by_name = next((index for index in indexes if index.index == name), None)
    if by_name is not None:
        _require_ours(wish, table, by_name)
        return by_name
    if is_top:
        return None  # a top under another name is renamed or stays: see plan
    free = (
        index
        for index in indexes
        if is_usable(index)
        and not index.is_partition
        and index.constraint is None
        and (index.schema, index.index) not in wish.leaving
    )
    return next((index for index in free if wish.same(index)), None)


def _require_ours(wish: Wish, table: Table, index: Index) -> None:
    """Raises RefusedError for an index that has the name and is something else. An INVALID leaf's is ours whatever it
    was: it is built anew. One that is being built right now is let end, if it will be what is asked for.
    """
    entry = wish.entry
    if index.build_pid is not None and not wish.same(index):
        message = f"{index.index} is being built right now by pid {index.build_pid}, with another definition"
        hint = "Run dbopt again when that build has ended."
        raise RefusedError(error(entry, "being-built", message, hint=hint))
    if index.is_partition:
        message = f"{index.index} of {display(table)} is a part of another index"
        hint = "Choose another name under `partitions`."
        raise RefusedError(error(entry, "name-taken", message, at="partitions", hint=hint))
    if (index.relkind == "I" or is_usable(index)) and not wish.same(index):
        what = canonical.difference(wish.wanted, wish.actual.definition(index))
        message = f"{index.index} of {display(table)} has another definition: {what}"
        hint = "Choose another name under `partitions`, or for the entry."
        raise RefusedError(error(entry, "name-taken", message, at="name", hint=hint))
