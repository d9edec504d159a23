"""What is dropped, and what is not: entries that shall be absent, and indexes that no spec names (`extras: prune`).

The author of an entry has named its index: it goes unless something stands on it, or the entry's own guard keeps it.
What prune drops nobody has named, so all of the guard holds for it always, and each index that stays says why.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.optimize import check, decide, kinship, partition_drop, refusals
from dbopt.optimize.collect import read_tables, working_names
from dbopt.optimize.guard import UNUSED_FOR_SECONDS, Guard
from dbopt.optimize.partition_tree import below
from dbopt.optimize.refusals import error
from dbopt.optimize.steps import Action
from dbopt.postgres import foreign_keys
from dbopt.spec import mark
from dbopt.spec.model import Extras, IndexSpec, Source, State, TableRef
from dbopt.spec.model import Guard as Asked
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.optimize.draft import Draft
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.foreign_keys import Referencing
    from dbopt.postgres.index_catalog import Index
    from dbopt.spec.finding import Finding
    from dbopt.spec.model import SpecFile


@dataclass(frozen=True, slots=True)
class _Extra:
    """An index that prune may drop. `entry` is what the spec would say of it if it named it."""

    entry: IndexSpec
    index: Index
    table: Table
    actual: Actual
    domain: str
    objection: Finding | None


class Absent:
    """Decides over drops. `prunable`: the indexes that `extras: prune` lets go, each with its domain."""

    def __init__(self, draft: Draft, files: Sequence[SpecFile]) -> None:
        self.draft = draft
        self.guard = Guard(draft.conn, draft.server, draft.options.replica_use)
        self._referencing: dict[int, list[Referencing]] | None = None  # by the table's oid
        self._elsewhere: frozenset[int] = frozenset()  # oids of tables that no entry is about
        self._extras = list(self._judged(files))

    @property
    def prunable(self) -> list[tuple[Index, str]]:
        return [(extra.index, extra.domain) for extra in self._extras if extra.objection is None]

    def decide(self, entry: IndexSpec, table: Table) -> None:
        """Add the drop of one entry's index to the draft, or settle or refuse it."""
        actual = self.draft.actual
        index = actual.find(table, entry.name)
        if index is None:
            self.draft.settle(entry)
            return
        foreign = not mark.owned(index.comment, entry.domain)
        objection = self._needed(entry, index, actual)
        if objection is None and foreign and index.indisvalid and not self.draft.options.prune_foreign:
            message = f"{entry.name} is not marked as an index of dbopt's domain {entry.domain}"
            hint = "If it is yours to drop, say so with --prune-foreign."
            objection = error(entry, "foreign-index", message, hint=hint)
        if objection is None and entry.guard is not None:
            objection = self._guarded(entry, index, table)
        objection = objection or refusals.not_owner(self.draft.server, entry, table)
        if objection is not None:
            self.draft.refuse(entry, objection)
            return
        asks = entry.guard is not None and entry.guard.unused_for is not None
        reason = entry.why or "the spec says that it shall be absent"
        self._drop(entry, index, table, actual, reason, remarks=asks)

    def prune(self) -> None:
        """Add the drops of `extras: prune`, and refuse those that its guard keeps."""
        for extra in self._extras:
            if (extra.index.schema, extra.index.index) in self.draft.leaving:
                continue  # renamed, or a leftover that is removed
            # What the other entries do is known by now.
            objection = extra.objection or self._last_of_its_kind(extra, self._gone())
            if objection is not None:
                self.draft.refuse(extra.entry, objection)
                continue
            owned = mark.read(extra.index.comment)[1] is not None
            told = f"the spec of domain {extra.domain} no longer names it" if owned else "no spec names it"
            self._drop(extra.entry, extra.index, extra.table, extra.actual, f"{told} (extras: prune)", remarks=True)

    def _drop(
        self, entry: IndexSpec, index: Index, table: Table, actual: Actual, reason: str, *, remarks: bool
    ) -> None:
        if index.relkind == "I":
            loose = partition_drop.loose_parts(entry, index, table, actual)
            self.draft.leaving.update(partition_drop.dropped(loose))
            self.draft.steps += loose
            step = partition_drop.drop(entry, index, table, actual, entry.domain, reason)
        else:
            step = decide.drop(table.schema, table.table, index.index, entry.domain, reason)
        if remarks and index.indisvalid:
            step = replace(step, hazards=(*step.hazards, *self.guard.remarks()))
        self.draft.leaving.add((index.schema, index.index))
        self.draft.steps.append(step)

    # What speaks against it

    def _needed(self, entry: IndexSpec, index: Index, actual: Actual) -> Finding | None:
        """Something stands on it."""
        is_tree = index.relkind == "I"
        needed = partition_drop.why_needed(index, actual) if is_tree else check.why_needed(index)
        if needed is None:
            return None
        message = f"{index.index} cannot be dropped: {needed}"
        hint = "Drop it by a migration in a quiet moment, or take the entry out of the spec."
        return error(entry, "needed-by-constraint", message, hint=hint)

    def _guarded(self, entry: IndexSpec, index: Index, table: Table) -> Finding | None:
        """What an entry's own guard has against it."""
        if table.oid in self.draft.actual.locked:
            return _locked(entry, table)
        why = self._why_kept(entry, index, table, self.draft.actual, self._gone())
        if why is None:
            return None
        hint = "Wait, or take the guard out of the spec if you know better."
        return error(entry, "guarded", f"the guard keeps {entry.name}: {why}", at="guard", hint=hint)

    def _why_kept(
        self, entry: IndexSpec, index: Index, table: Table, actual: Actual, gone: frozenset[tuple[str, str]]
    ) -> str | None:
        """What any guard has against it. An INVALID index is of no use to anybody."""
        parts = below(index, actual)
        if not any(one.indisvalid for one in (index, *parts) if one.relkind == "i"):
            return None
        why = _clustered(index, parts)
        if why is None:
            why = self._irreplaceable(actual.definition(index), _others(index, table, actual, gone), table)
        if why is None and entry.guard is not None and entry.guard.unused_for is not None:
            why = self.guard.objection(index, parts, entry.guard.unused_for)
        return why

    def _irreplaceable(self, form: Definition, others: Sequence[Definition], table: Table) -> str | None:
        """What it does that no scan tells of, and nothing else does."""
        why = kinship.last_unique(form, others)
        return why or kinship.last_for_foreign_key(form, others, self._keys_of(table.oid))

    def _last_of_its_kind(self, extra: _Extra, gone: frozenset[tuple[str, str]]) -> Finding | None:
        """What prune asks for besides: that another index serves the same searches."""
        if not extra.index.indisvalid:
            return None
        form, others = extra.actual.definition(extra.index), _others(extra.index, extra.table, extra.actual, gone)
        why = self._irreplaceable(form, others, extra.table) or kinship.last_lookup(form, others)
        return _kept(extra.entry, why) if why is not None else None

    def _keys_of(self, table_oid: int) -> list[Referencing]:
        """The foreign keys that a table has. All tables are asked about at once."""
        if self._referencing is None:
            oids = {table.oid for table in self.draft.actual.tables.values()} | self._elsewhere
            self._referencing = defaultdict(list)
            rows = foreign_keys.REFERENCING.rows(self.draft.conn, self.draft.server.version, {"oids": list(oids)})
            for row in rows:
                self._referencing[row.table_oid].append(row)
        return self._referencing[table_oid]

    def _gone(self) -> frozenset[tuple[str, str]]:
        """The indexes that nobody can count on once the plan has run, by schema and name."""
        changed = {
            (step.schema, step.index)
            for step in self.draft.steps
            if step.action in (Action.REPLACE, Action.REPAIR) and step.index is not None
        }
        return frozenset(self.draft.leaving | changed)

    # Extras

    def _judged(self, files: Sequence[SpecFile]) -> Iterator[_Extra]:
        """Each index that prune may drop; of several that are each other's only kin, the longest stays."""
        gone: set[tuple[str, str]] = set()
        once = {extra.index.oid: extra for extra in self._found(files)}  # two files may have a table in common
        for extra in sorted(once.values(), key=lambda one: (one.index.indnkeyatts, one.index.schema, one.index.index)):
            objection = self._objection(extra, frozenset(gone))
            if objection is None:
                gone.add((extra.index.schema, extra.index.index))
            yield _Extra(extra.entry, extra.index, extra.table, extra.actual, extra.domain, objection)

    def _objection(self, extra: _Extra, gone: frozenset[tuple[str, str]]) -> Finding | None:
        entry, index = extra.entry, extra.index
        needed = self._needed(entry, index, extra.actual)
        if needed is not None:
            hint = f'Name it in the spec, or take dbopt\'s mark off: COMMENT ON INDEX "{index.schema}"."{index.index}"'
            return error(entry, "needed-by-constraint", needed.message, hint=f"{hint} IS NULL;")
        if extra.table.oid in extra.actual.locked:
            return _locked(entry, extra.table)
        why = self._why_kept(entry, index, extra.table, extra.actual, gone)
        if why is not None:
            return _kept(entry, why)
        last = self._last_of_its_kind(extra, gone)
        return last or refusals.not_owner(self.draft.server, entry, extra.table)

    def _found(self, files: Sequence[SpecFile]) -> Iterator[_Extra]:
        pruning = {file.domain: file for file in files if file.defaults.extras is Extras.PRUNE}
        if not pruning:
            return
        known = self._known()
        owned: list[tuple[str, str, str]] = []  # domain, schema, index
        tables = {}
        for marked in self.draft.actual.marked:
            owner = mark.read(marked.comment)[1]
            if owner is not None and owner.domain in pruning and (marked.schema, marked.index) not in known:
                owned.append((owner.domain, marked.schema, marked.index))
                tables[marked.schema, marked.index] = (marked.table_schema, marked.table)
        # On any table: those that the specs no longer name were not read yet.
        missing = sorted(set(tables.values()) - self.draft.actual.tables.keys())
        others = read_tables(self.draft.conn, self.draft.server, missing) if missing else self.draft.actual
        self._elsewhere = frozenset(table.oid for table in others.tables.values())
        for domain, schema, name in owned:
            place = tables[schema, name]
            actual = self.draft.actual if place in self.draft.actual.tables else others
            table = actual.tables.get(place)
            index = actual.find(table, name) if table is not None else None
            if table is not None and index is not None:
                yield from _extra(pruning[domain], index, table, actual)
        if self.draft.options.prune_foreign:
            yield from self._foreign(pruning.values(), known)

    def _known(self) -> frozenset[tuple[str, str]]:
        """Every name that an entry has, had, or uses while its index is changed."""
        return frozenset(
            (entry.schema_name, name)
            for entry in self.draft.entries
            for own in (entry.name, *entry.was)
            for name in working_names(own)
        )

    def _foreign(self, pruning: Iterable[SpecFile], known: frozenset[tuple[str, str]]) -> Iterator[_Extra]:
        """Unmarked indexes on the tables of these files. What something stands on is no extra, and an INVALID one is
        its maker's to mend.
        """
        for file in pruning:
            names = {(e.schema_name, e.table.name) for e in self.draft.entries if e.domain == file.domain}
            for key in sorted(names & self.draft.actual.tables.keys()):
                table = self.draft.actual.tables[key]
                for index in self.draft.actual.indexes.get(table.oid, ()):
                    if (
                        (index.schema, index.index) not in known
                        and mark.read(index.comment)[1] is None
                        and index.indisvalid
                        and check.why_needed(index) is None
                    ):
                        yield from _extra(file, index, table, self.draft.actual)


def _extra(file: SpecFile, index: Index, table: Table, actual: Actual) -> Iterator[_Extra]:
    """Nothing for a part of a tree, which goes with its top, and for what is being built."""
    if index.is_partition or index.build_pid is not None:
        return
    asked = file.defaults.guard.unused_for if file.defaults.guard is not None else None
    entry = IndexSpec(
        name=index.index,
        table=TableRef(name=table.table, schema_=table.schema),
        state=State.ABSENT,
        guard=Asked.model_construct(unused_for=asked or UNUSED_FOR_SECONDS),
        domain=file.domain,
        source=Source(str(file.path), file.source.line),
    )
    yield _Extra(entry, index, table, actual, file.domain, None)


def _clustered(index: Index, parts: Iterable[Index]) -> str | None:
    for one in (index, *parts):
        if one.indisclustered:
            return f"CLUSTER sorts the table by {'it' if one is index else one.index}"
    return None


def _others(index: Index, table: Table, actual: Actual, gone: frozenset[tuple[str, str]]) -> list[Definition]:
    """The usable indexes that its table keeps."""
    return [
        actual.definition(other)
        for other in actual.indexes.get(table.oid, ())
        if other.oid != index.oid
        and other.indisvalid
        and other.indisready
        and other.indislive
        and (other.schema, other.index) not in gone
    ]


def _locked(entry: IndexSpec, table: Table) -> Finding:
    message = f"{table.schema}.{table.table} is locked exclusively, so that its indexes cannot be compared"
    hint = "See who holds it: SELECT pid, query FROM pg_stat_activity; then plan again."
    return error(entry, "table-locked", message, at="table", hint=hint)


def _kept(entry: IndexSpec, why: str) -> Finding:
    message = f"{entry.name}, which no spec names, is not pruned: {why}"
    hint = (
        f"If it shall go, name it: {{name: {entry.name}, table: {entry.table.name}, state: absent}}; "
        "if it shall stay, name its definition."
    )
    return error(entry, "guarded", message, hint=hint)
