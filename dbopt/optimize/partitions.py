"""Indexes of partition trees, online.

The server builds no index concurrently on a partitioned table (0A000). So: ON ONLY the partitioned tables, which are
catalog rows; concurrently on every leaf; then ATTACH from the leaves up, until the top index turns valid by itself.
What an earlier run has done, or somebody by hand, is found by definition and adopted: each leaf is built once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.optimize import canonical, decide
from dbopt.optimize.refusals import RefusedError, error
from dbopt.optimize.statement import create_index
from dbopt.optimize.steps import Action, Proof, Step
from dbopt.postgres.identifiers import derived, text
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.postgres.catalog import Table, TreeMember
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec

_ONLY = "takes SHARE on the partitioned table for an instant, tried again for as long as it is not to be had"
_ATTACH = "takes ACCESS EXCLUSIVE on the partition's index for an instant"
_DEFAULT_NAME = "{leaf}_"  # followed by the entry's name

Same = Callable[["Index"], bool]


@dataclass(frozen=True, slots=True)
class Wish:
    """An entry for a partitioned table. `taken`: who else has or gets a name of `names`, by schema and name."""

    entry: IndexSpec
    table: Table
    wanted: Definition
    actual: Actual
    same: Same
    taken: Mapping[tuple[str, str], str]


@dataclass(slots=True)
class _Part:
    """A table of the tree with its index: the one it has, or None and the name that it will get."""

    table: Table
    above: _Part | None
    index: Index | None
    name: str
    below: list[_Part] = field(default_factory=list)

    @property
    def is_leaf(self) -> bool:
        return self.table.relkind != "p"

    @property
    def is_to_build(self) -> bool:
        """A partitioned index that is INVALID waits for its parts; an INVALID leaf broke off."""
        return self.index is None or (self.is_leaf and not _is_usable(self.index))

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
        return all(part.index is not None and _is_usable(part.index) and not part.is_to_attach for part in self.below)


def steps(wish: Wish, server: Server) -> list[Step]:
    """What brings the whole tree to the definition; empty when it is there. Raises RefusedError."""
    _possible(wish)
    parts = _parts(wish)
    created = [_create(wish, part) for part in parts if part.is_to_build]
    attached = []
    for part in reversed(parts):  # from the leaves up
        if part.is_stuck:
            attached.append(_attach_again(wish, part, server))
        if part.is_to_attach:
            attached.append(_attach(wish, part, "makes {} a part of it"))
    done = [*created, *attached]
    if done:
        proof = Proof(schema=wish.table.schema, index=wish.entry.name, table=wish.table.table, definition=wish.wanted)
        done[-1] = replace(done[-1], proofs=(*done[-1].proofs, proof))
    return done


def names(entry: IndexSpec, table: Table, actual: Actual) -> list[tuple[str, str]]:
    """Schema and name of every index that the entry may make."""
    return [(member.schema, _name(entry, member)) for member in actual.trees[table.oid]]


def below(top: Index, actual: Actual) -> list[Index]:
    """The indexes that are parts of this one, at any depth; none for an index of a plain table."""
    oids, found = {top.oid}, []
    for member in actual.trees.get(top.table_oid, ()):  # from the top down
        here = [index for index in actual.indexes.get(member.table_oid, ()) if index.parent_oid in oids]
        oids |= {index.oid for index in here}
        found += here
    return found


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


def _parts(wish: Wish) -> list[_Part]:
    """The tables that get an index, each behind the one above it. Raises RefusedError."""
    entry = wish.entry
    parts: dict[int, _Part] = {}
    for member in wish.actual.trees[wish.table.oid]:  # by level
        above = parts[member.parent_oid] if member.parent_oid is not None else None
        if member.relkind == "f":
            _foreign(wish, member, above)
            continue
        here = wish.actual.tables[member.schema, member.table]
        name = _name(entry, member)
        index = _attached_already(wish, here, above) or _found(wish, here, name, is_top=above is None)
        parts[member.table_oid] = part = _Part(here, above, index, index.index if index else name)
        if above is not None:
            above.below.append(part)
        holder = wish.taken.get((here.schema, name)) if index is None else None
        if holder is not None:
            message = f"the name {name}, for {_display(here)}, belongs to {holder}"
            hint = "Choose another name under `partitions`, or for the entry."
            raise RefusedError(error(entry, "name-taken", message, at="partitions", hint=hint))
    return list(parts.values())


def _foreign(wish: Wish, member: TreeMember, above: _Part | None) -> None:
    """A foreign partition has no index; the server misses it for ever when it counts what is attached. Only CREATE
    INDEX on the partitioned table itself passes it over, and that is not online. Raises RefusedError.
    """
    entry = wish.entry
    if above is not None and above.index is not None and above.index.indisvalid:
        return
    where = f"{wish.table.schema}.{wish.table.table}"
    message = f"{member.schema}.{member.table} is a foreign partition: an index of {where} cannot be made online"
    hint = (
        f"Give each other partition of {where} an entry of its own; CREATE INDEX on {where} then adopts their indexes "
        "in an instant."
    )
    raise RefusedError(error(entry, "not-supported-by-server", message, at="table", hint=hint))


def _attached_already(wish: Wish, table: Table, above: _Part | None) -> Index | None:
    """Whatever its name: ATTACH PARTITION of a table names indexes itself. Raises RefusedError for an INVALID leaf's,
    which the server neither drops nor lets go.
    """
    entry = wish.entry
    if above is None or above.index is None:
        return None
    indexes = wish.actual.indexes.get(table.oid, ())
    part = next((index for index in indexes if index.parent_oid == above.index.oid), None)
    if part is not None and part.relkind == "i" and not _is_usable(part):
        message = f"{part.index} of {_display(table)} is INVALID, and a part of {above.index.index} already"
        hint = f'REINDEX INDEX CONCURRENTLY "{part.schema}"."{part.index}"; then plan again.'
        raise RefusedError(error(entry, "invalid-part", message, hint=hint))
    return part


def _found(wish: Wish, table: Table, name: str, *, is_top: bool) -> Index | None:
    """The index of a table that can become its part of the tree's index. Raises RefusedError."""
    indexes = wish.actual.indexes.get(table.oid, ())
    by_name = next((index for index in indexes if index.index == name), None)
    if by_name is not None:
        _require_ours(wish, table, by_name)
        return by_name
    if is_top:
        return None  # a top under another name is renamed or stays: see plan
    free = (index for index in indexes if _is_usable(index) and not index.is_partition and index.constraint is None)
    return next((index for index in free if wish.same(index)), None)


def _require_ours(wish: Wish, table: Table, index: Index) -> None:
    """Raises RefusedError for an index that has the name and is something else. An INVALID leaf's is ours whatever it
    was: it is built anew.
    """
    entry = wish.entry
    if index.build_pid is not None:
        message = f"{index.index} is being built right now by pid {index.build_pid}"
        hint = "Run dbopt again when that build has ended."
        raise RefusedError(error(entry, "being-built", message, hint=hint))
    if index.is_partition:
        message = f"{index.index} of {_display(table)} is a part of another index"
        hint = "Choose another name under `partitions`."
        raise RefusedError(error(entry, "name-taken", message, at="partitions", hint=hint))
    if (index.relkind == "I" or _is_usable(index)) and not wish.same(index):
        what = canonical.difference(wish.wanted, wish.actual.definition(index))
        message = f"{index.index} of {_display(table)} has another definition: {what}"
        hint = "Give the entry another name: dbopt does not replace the indexes of partition trees."
        raise RefusedError(error(entry, "name-taken", message, at="name", hint=hint))


def _name(entry: IndexSpec, member: TreeMember) -> str:
    """The name that an index of this member gets: the entry's own at the top, the template's below."""
    if member.level == 0:
        return entry.name
    if entry.partitions is not None and member.is_leaf:
        return derived(entry.partitions.name.replace("{leaf}", member.table), "")
    return derived(_DEFAULT_NAME.replace("{leaf}", member.table) + entry.name, "")


def _is_usable(index: Index) -> bool:
    return index.indisvalid and index.indisready and index.indislive


def _display(table: Table) -> str:
    return f"{table.schema}.{table.table}"


def _create(wish: Wish, part: _Part) -> Step:
    entry, table = wish.entry, part.table
    build = text(
        create_index(
            entry,
            schema=table.schema,
            name=part.name,
            table=table.table,
            concurrently=part.is_leaf,
            only=not part.is_leaf,
        )
    )
    statements: tuple[str, ...] = (build,)
    reason = f"its part of {entry.name}, which is not there yet"
    if part.above is None:
        # Only the top carries the mark: it is what a spec owns, the others follow it.
        mark = decide.comment_on(table.schema, part.name, decide.comment_for(entry, table, None))
        statements = ("BEGIN", build, mark, "COMMIT")
        reason = entry.why or "the spec asks for it"
    elif part.index is not None:
        statements = (decide.drop_index(table.schema, part.name), build)
        reason = "an earlier build left it INVALID: it slows writes and serves no query"
    proof = Proof(schema=table.schema, index=part.name, table=table.table, definition=wish.wanted)
    return Step(
        action=Action.CREATE if part.index is None else Action.REPAIR,
        index=part.name,
        schema=table.schema,
        table=table.table,
        statements=statements,
        reason=reason,
        hazards=decide.build_hazards(entry) if part.is_leaf else (_ONLY,),
        domain=entry.domain,
        settings=decide.build_settings(entry) if part.is_leaf else {},
        proofs=(proof,) if part.is_leaf else (),
    )


def _attach(wish: Wish, part: _Part, reason: str) -> Step:
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


def _attach_again(wish: Wish, part: _Part, server: Server) -> Step:
    """Raises RefusedError where no ATTACH makes the server look again."""
    entry = wish.entry
    if part.below and server.validates_when_attached_again:
        return _attach(wish, part.below[0], "every part is there: attaching {} once more makes it valid")
    message = f"{part.name} is INVALID though every partition has its part, and PostgreSQL {server.server_version} "
    message += "does not look again"
    hint = (
        f'In a quiet moment: DROP INDEX "{part.table.schema}"."{part.name}"; it locks every partition and drops the '
        "parts. Then plan again."
    )
    raise RefusedError(error(entry, "invalid-part", message, hint=hint))
