"""Entries that shall be there: what brings the server to each of them."""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from dbopt.optimize import canonical, check, decide, partition_drop, partition_tree, partitions, refusals, serves
from dbopt.optimize.collect import NEW, working_names
from dbopt.optimize.refusals import RefusedError, error, finding
from dbopt.optimize.steps import Action, Step
from dbopt.postgres import catalog
from dbopt.postgres.identifiers import derived
from dbopt.spec import mark
from dbopt.spec.finding import Severity
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dbopt.optimize.budget import Budgets
    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.draft import Draft
    from dbopt.optimize.estimate import Estimator
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.index_catalog import Index
    from dbopt.spec.model import IndexSpec


@dataclass(frozen=True, slots=True)
class Present:
    draft: Draft
    estimator: Estimator
    budgets: Budgets

    def decide(self, entry: IndexSpec, table: Table, wanted: Definition) -> None:
        """Add the steps of one entry to the draft, or settle or refuse it."""
        if table.relkind != "p" or not self._has_tree_steps(entry, table, wanted):
            self._of_table(entry, table, wanted)

    def _of_table(self, entry: IndexSpec, table: Table, wanted: Definition) -> None:
        ready = self._ready(entry, table, wanted)
        try:
            step = self._step_for(entry, table, wanted if ready is None else self.draft.actual.definition(ready), ready)
            if step is not None:
                self._permitted(entry, table)
                [step] = self._afforded(entry, table, [step])
        except RefusedError as exc:
            self.draft.refuse(entry, exc.finding)
            return
        kept = ready if step is not None and step.action is Action.REPLACE else None
        here = [index for index in self.draft.actual.indexes.get(table.oid, ()) if index.relkind != "I"]
        leftovers = decide.leftovers(entry, here)
        for leftover in leftovers:
            if leftover is not kept:
                self.draft.leaving.add((leftover.schema, leftover.index))
                self.draft.steps.append(decide.remove_leftover(entry, table, leftover))
        if step is not None:
            self.draft.steps.append(step)
            if step.builds:
                self.draft.note_analyze(table, wanted)
            else:
                of_table = self.draft.actual.indexes.get(table.oid, ())
                self._note_blind(table, of_table, lambda index: self.draft.same(entry, table, wanted, index))
        elif not leftovers:
            self.draft.settle(entry)

    def _has_tree_steps(self, entry: IndexSpec, table: Table, wanted: Definition) -> bool:
        """Steps for a partition tree; False when its index is there, or needs a new name only: then it is an index like
        any other.
        """
        known: dict[Definition, bool] = {}

        def same(index: Index) -> bool:
            form = self.draft.actual.definition(index)
            if form not in known:  # the columns of all members are alike: each wording is judged once
                known[form] = self.draft.same(entry, table, wanted, index)
            return known[form]

        try:
            self._comparable(entry, table)
            for member in self.draft.actual.trees[table.oid]:
                self._readable(entry, self.draft.actual.tables[member.schema, member.table])
            top = self.draft.actual.find(table, entry.name)
            wish = partition_tree.Wish(
                entry=entry,
                table=table,
                wanted=wanted,
                actual=self.draft.actual,
                same=same,
                taken=self._taken(entry, table),
                leaving=self.draft.leaving,
                named=self.draft.named - {(table.schema, entry.name)},
                claimed=self._claimed(entry, table),
                former=self._former(entry, table, top, same),
            )
            if top is None and any(
                self._may_be_renamed(entry, index) and same(index)
                for index in self.draft.actual.indexes.get(table.oid, ())
            ):
                self._clean(partitions.remains(wish))
                return False
            steps = partitions.steps(wish, self.draft.server)
            for step in steps:
                self._permitted(entry, self.draft.actual.tables[step.schema, step.table])
            steps = self._afforded(entry, table, steps)
        except RefusedError as exc:
            self.draft.refuse(entry, exc.finding)
            return True
        if not steps:
            return False
        marking = None
        if top is not None and wish.former is None:  # a new top is made with its mark
            marking = decide.recomment(entry, table, top, adopt=self.draft.options.adopt)
        self._clean(steps)
        self.draft.steps += [marking] if marking is not None else []
        if partition_tree.is_beside(wish):
            self.draft.leaving.add((table.schema, derived(entry.name, NEW)))
        if wish.former is not None and wish.former.index != entry.name:
            self.draft.leaving.add((table.schema, wish.former.index))
        if any(step.builds for step in steps):
            self.draft.note_analyze(table, wanted)
        else:
            tables = [self.draft.actual.tables[one.schema, one.table] for one in self.draft.actual.trees[table.oid]]
            self._note_blind(table, chain(*(self.draft.actual.indexes.get(one.oid, ()) for one in tables)), same)
        return True

    def _note_blind(self, table: Table, indexes: Iterable[Index], same: Callable[[Index], bool]) -> None:
        """Also where the index is there already: the run that built it may have been killed before its ANALYZE."""
        if table.is_owner and any(index.lacks_statistics and index.indisvalid and same(index) for index in indexes):
            self.draft.analyze.setdefault(table.oid, "an index on an expression has no statistics before ANALYZE")

    def _say_blind(self, entry: IndexSpec, table: Table, index: Index) -> None:
        """Ours may come from a run that was killed before its ANALYZE. What others do not analyze is told."""
        message = f"{index.index} holds expressions that were never analyzed"
        if table.is_owner and mark.read(index.comment)[1] is not None:
            self.draft.analyze.setdefault(table.oid, message)
        else:
            hint = f"The planner guesses their values: {decide.analyze(table, '').statements[0]};"
            self.draft.findings.append(finding(entry, Severity.INFO, "never-analyzed", message, hint=hint))

    def _clean(self, steps: list[Step]) -> None:
        """Add steps, some of which drop indexes."""
        self.draft.steps += steps
        self.draft.leaving.update(partition_drop.dropped(steps))

    def _former(self, entry: IndexSpec, table: Table, top: Index | None, same: partition_tree.Same) -> Index | None:
        """The index over the tree that the entry's takes the place of: one of its name with another definition, or one
        that the spec says it `was`.
        """
        if top is not None:
            return None if same(top) else top
        for index in self.draft.actual.indexes.get(table.oid, ()):
            if index.index in entry.was and self._may_be_renamed(entry, index):
                return index
        return None

    def _taken(self, entry: IndexSpec, table: Table) -> dict[tuple[str, str], str]:
        """Who has, or gets by this plan, a name that the indexes of a tree may want."""
        names = partition_tree.every_name(entry, table, self.draft.actual)
        holders = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
        rows = catalog.RELATIONS.rows(self.draft.conn, self.draft.server.version, holders)
        built = {
            (step.schema, step.index): f"an index of {step.table}"
            for step in self.draft.steps
            if step.index is not None
        }
        asked = {(one.schema_name, one.name): f"entry {one.name}" for one in self.draft.entries if one is not entry}
        there = {(row.schema, row.name): f"an index of {row.table}" if row.table else "a relation" for row in rows}
        return built | asked | there

    def _claimed(self, entry: IndexSpec, table: Table) -> Callable[[], frozenset[tuple[str, str]]]:
        """The names that other entries may give their indexes in the same tree, worked out where they matter."""

        @cache
        def names() -> frozenset[tuple[str, str]]:
            others = [
                other
                for other in self.draft.entries
                if other is not entry and (other.schema_name, other.table.name) == (table.schema, table.table)
            ]
            return frozenset(name for other in others for name in partition_tree.names(other, table, self.draft.actual))

        return names

    def _step_for(self, entry: IndexSpec, table: Table, wanted: Definition, ready: Index | None) -> Step | None:
        """The step for one entry, None when nothing is to do. Raises RefusedError."""
        self._comparable(entry, table)
        here = self.draft.actual.find(table, entry.name)
        if here is None:
            step = self._from_another_name(entry, table, wanted, ready)
            return step or decide.create(entry, table, wanted, entry.why or "the spec asks for it")
        if here.build_pid is not None:
            if not self.draft.same(entry, table, wanted, here):
                what = canonical.difference(wanted, self.draft.actual.definition(here))
                message = f"pid {here.build_pid} builds {entry.name} right now, of another definition: {what}"
                hint = "Run dbopt again when that build has ended."
                raise RefusedError(error(entry, "being-built", message, hint=hint))
            return decide.adopt(entry, table, wanted, here)
        if not (here.indisvalid and here.indisready and here.indislive):
            self.draft.leaving.add((here.schema, here.index))
            return decide.repair(entry, table, wanted, here)
        if self.draft.same(entry, table, wanted, here):
            all_of_it = [here, *partition_tree.below(here, self.draft.actual)]
            if any(index.lacks_statistics for index in all_of_it):
                self._say_blind(entry, table, here)
            names = frozenset(index.index for index in all_of_it)
            self.draft.findings += serves.disappointed(self.draft.conn, self.draft.server, entry, names)
            return decide.recomment(entry, table, here, adopt=self.draft.options.adopt)
        what = canonical.difference(wanted, self.draft.actual.definition(here))
        self._replaceable(entry, table, wanted, here, what)
        return decide.replace(entry, table, wanted, here, ready, f"the definition changed: {what}")

    def _comparable(self, entry: IndexSpec, table: Table) -> None:
        """Raises RefusedError where the table's indexes could not be read, or somebody else has the name."""
        self._readable(entry, table)
        holder = self.draft.actual.relations.get((table.schema, entry.name))
        if holder is not None and self.draft.actual.find(table, entry.name) is None:
            of = f"an index of {holder.table}" if holder.table else "another relation"
            message = f"the name {entry.name} belongs to {of} in schema {table.schema}"
            hint = "Choose another name: tables, views and indexes of a schema share one set of names."
            raise RefusedError(error(entry, "name-taken", message, at="name", hint=hint))

    def _readable(self, entry: IndexSpec, table: Table) -> None:
        """Raises RefusedError where expressions or predicates of the table's indexes could not be read."""
        if table.oid in self.draft.actual.locked:
            message = f"{table.schema}.{table.table} is locked exclusively, so that its indexes cannot be compared"
            hint = "See who holds it: SELECT pid, query FROM pg_stat_activity; then plan again."
            raise RefusedError(error(entry, "table-locked", message, at="table", hint=hint))

    def _permitted(self, entry: IndexSpec, table: Table) -> None:
        """Raises RefusedError where the role may not do what the entry needs."""
        for problem in (refusals.not_owner, refusals.not_creator):
            if (why := problem(self.draft.server, entry, table)) is not None:
                raise RefusedError(why)

    def _afforded(self, entry: IndexSpec, table: Table, steps: list[Step]) -> list[Step]:
        """The steps with their estimates. Raises RefusedError where a budget does not allow for them."""
        estimated = [self.estimator.estimated(step) for step in steps]
        self.draft.findings += self.budgets.admit(entry, table, estimated, self.draft.leaving)
        return estimated

    def _replaceable(self, entry: IndexSpec, table: Table, wanted: Definition, index: Index, what: str) -> None:
        """Raises RefusedError for an index that something else stands on, but for a replica identity that can move."""
        needed = check.why_needed(index)
        columns = self.draft.actual.columns.get(table.oid, ())
        if needed is None or (check.is_only_identity(index) and check.can_be_identity(columns, wanted)):
            return
        message = f"{index.index} differs from the spec and cannot be replaced: {needed} ({what})"
        hint = "Give the new definition another name, or change what needs it by a migration first."
        raise RefusedError(error(entry, "needed-by-constraint", message, hint=hint))

    def _ready(self, entry: IndexSpec, table: Table, wanted: Definition) -> Index | None:
        """The new index of a replacement that was interrupted between build and swap."""
        ready = self.draft.actual.find(table, derived(entry.name, NEW))
        if ready is None or ready.build_pid is not None or not ready.indisvalid:
            return None
        return ready if self.draft.same(entry, table, wanted, ready) else None

    def _from_another_name(
        self, entry: IndexSpec, table: Table, wanted: Definition, ready: Index | None
    ) -> Step | None:
        """An index that needs only the name: one that the spec says it `was`, or an equal one that no spec names."""
        candidates = self.draft.actual.indexes.get(table.oid, ())
        for index in sorted(candidates, key=lambda i: (i.index not in entry.was, i.index)):
            said = index.index in entry.was
            if not self._may_be_renamed(entry, index):
                continue
            if self.draft.same(entry, table, wanted, index):
                reason = "the spec says it was" if said else "equal in all but its name:"
                self.draft.leaving.add((index.schema, index.index))
                return decide.rename(
                    entry, table, self.draft.actual.definition(index), index, f"{reason} {index.index}"
                )
            if said and index.relkind != "I":
                what = canonical.difference(wanted, self.draft.actual.definition(index))
                self._replaceable(entry, table, wanted, index, what)
                self.draft.leaving.add((index.schema, index.index))
                reason = f"it was {index.index}, and the definition changed: {what}"
                return decide.replace(entry, table, wanted, index, ready, reason)
        return None

    def _may_be_renamed(self, entry: IndexSpec, index: Index) -> bool:
        """Not one that a spec names, that is on its way out, broken, needed by a constraint or another domain's."""
        name = (index.schema, index.index)
        owner = mark.read(index.comment)[1]
        return (
            name not in self.draft.named
            and name not in self.draft.leaving
            and index.indisvalid
            and index.indislive
            and index.index not in working_names(entry.name)
            and check.why_needed(index) is None
            and (owner is None or owner.domain == entry.domain)
        )
