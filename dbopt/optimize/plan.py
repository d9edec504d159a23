"""What would have to be done so that the database has the indexes that the specs ask for.

collect (what is there) -> twins (what is asked for, in the server's words) -> decide, entry by entry -> a Plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbopt.optimize import (
    canonical,
    check,
    decide,
    equivalence,
    guard,
    mark,
    order,
    partitions,
    refusals,
    serves,
    tenants,
    twin,
)
from dbopt.optimize.canonical import Definition
from dbopt.optimize.collect import NEW, Actual, collect, require_primary, working_names
from dbopt.optimize.refusals import RefusedError, error, finding
from dbopt.optimize.steps import Action, Item, ItemStatus, Plan, Step, Target
from dbopt.postgres import catalog
from dbopt.postgres.identifiers import derived
from dbopt.spec.finding import Severity
from dbopt.spec.lint import lint
from dbopt.spec.model import Extras, State
from dbopt.spec.unsupported import unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.postgres.catalog import Index, Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.finding import Finding
    from dbopt.spec.model import IndexSpec, SpecFile, SpecSet


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """`prune_foreign`: drop indexes without our mark too. `adopt`: mark indexes that are as the spec says already."""

    prune_foreign: bool = False
    adopt: bool = False


def make_plan(conn: Connection, server: Server, specs: SpecSet, *, options: PlanOptions | None = None) -> Plan:
    """Compare specs and server. Changes nothing: the twins live in transactions that are rolled back.

    Raises ServerUnfit on a standby, NotPermitted without the TEMPORARY right.
    """
    require_primary(conn, server)
    entries, findings = tenants.expand(conn, server, specs.indexes)
    actual = collect(conn, server, entries)
    planner = _Planner(conn, server, specs.files, entries, actual, options or PlanOptions(), findings, _broken(specs))
    return planner.plan()


def online_findings(conn: Connection, server: Server, specs: SpecSet) -> list[Finding]:
    """What the server has to say about specs, for `lint --online`: a plan's findings. Raises as make_plan does."""
    return list(make_plan(conn, server, specs).findings)


def target(server: Server) -> Target:
    return Target(
        dbname=server.dbname, server_version=server.server_version, system_identifier=server.system_identifier
    )


@dataclass(slots=True)
class _Planner:
    conn: Connection
    server: Server
    files: Sequence[SpecFile]
    entries: Sequence[IndexSpec]
    actual: Actual
    options: PlanOptions
    findings: list[Finding]
    broken: Mapping[tuple[str | None, str | None], Finding]  # entries that lint calls wrong, by file and name
    steps: list[Step] = field(default_factory=list)
    unchanged: list[Item] = field(default_factory=list)
    refused: list[Item] = field(default_factory=list)
    leaving: set[tuple[str, str]] = field(default_factory=set)  # names that steps drop or rename
    analyze: dict[int, str] = field(default_factory=dict)  # table oid -> reason
    named: frozenset[tuple[str, str]] = frozenset()  # schema and name of every entry
    window: guard.Window | None = None  # asked for when the first guard is met

    def __post_init__(self) -> None:
        self.named = frozenset((entry.schema_name, entry.name) for entry in self.entries)

    def plan(self) -> Plan:
        admitted = [(entry, table) for entry in self.entries if (table := self._admit(entry)) is not None]
        wanted = self._ask([(entry, table) for entry, table in admitted if entry.state is State.PRESENT])
        for entry, table in sorted(admitted, key=lambda pair: (pair[0].priority, pair[1].relpages)):
            if entry.state is State.ABSENT:
                self._absent(entry, table)
            elif (form := wanted.get((entry.schema_name, entry.name))) is None or (
                table.relkind == "p" and self._has_tree_steps(entry, table, form)
            ):
                continue
            else:
                self._present(entry, table, form)
        self._prune()
        self._look_around(admitted, wanted)
        return Plan(
            target=target(self.server),
            steps=order.with_waits(
                self.conn, self.server, self.actual, order.ordered(self.steps, self.actual, self.analyze)
            ),
            findings=tuple(self.findings),
            unchanged=tuple(self.unchanged),
            refused=tuple(self.refused),
            concerns=tuple(sorted({(entry.schema_name, entry.table.name) for entry in self.entries})),
            state=self.actual.digest(),
        )

    # What can be wanted at all

    def _admit(self, entry: IndexSpec) -> Table | None:
        """The entry's table, or None when the entry is settled already: refused, or absent from an absent table."""
        if (broken := self.broken.get((entry.source.file, entry.name))) is not None:
            self._refuse(entry, broken)
            return None
        for path, message in unsupported(entry):
            self._refuse(entry, error(entry, "not-yet-supported", message, at=path))
            return None
        table = self.actual.tables.get((entry.schema_name, entry.table.name))
        if table is None:
            if entry.state is State.ABSENT:
                self.unchanged.append(_item(entry, ItemStatus.UNCHANGED))
            else:
                self._refuse(entry, refusals.missing_table(self.conn, self.server, entry))
            return None
        if entry.state is State.ABSENT:
            return table
        if entry.partitions is not None and table.relkind != "p":
            message = f"{entry.schema_name}.{entry.table.name} is not partitioned: `partitions` means nothing for it"
            self.findings.append(finding(entry, Severity.WARNING, "not-partitioned", message, at="partitions"))
        problem = refusals.before_asking(self.server, self.actual, entry, table)
        if problem is not None:
            self._refuse(entry, problem)
            return None
        return table

    def _ask(self, pairs: list[tuple[IndexSpec, Table]]) -> dict[tuple[str, str], Definition]:
        asked = [twin.Asked(entry=e, table=t, columns=self.actual.columns.get(t.oid, ())) for e, t in pairs]
        alike = [tenants.question(one) for one in asked]  # the same for each tenant: it is asked once
        once = dict(zip(alike, asked, strict=True))
        answers = dict(zip(once, twin.definitions(self.conn, self.server, list(once.values())), strict=True))
        wanted = {}
        for (entry, table), question in zip(pairs, alike, strict=True):
            answer = answers[question]
            if isinstance(answer, Definition):
                wanted[entry.schema_name, entry.name] = answer
            else:
                self._refuse(entry, refusals.refused(self.conn, self.server, entry, table, answer))
        return wanted

    # One entry

    def _present(self, entry: IndexSpec, table: Table, wanted: Definition) -> None:
        ready = self._ready(entry, table, wanted)
        try:
            step = self._step_for(entry, table, wanted if ready is None else self.actual.definition(ready), ready)
            if step is not None:
                self._permitted(entry, table)
        except RefusedError as exc:
            self._refuse(entry, exc.finding)
            return
        kept = ready if step is not None and step.action is Action.REPLACE else None
        leftovers = decide.leftovers(entry, self.actual.indexes.get(table.oid, ()))
        for leftover in leftovers:
            if leftover is not kept:
                self.leaving.add((leftover.schema, leftover.index))
                self.steps.append(decide.remove_leftover(entry, table, leftover))
        if step is not None:
            self.steps.append(step)
            if step.action in (Action.CREATE, Action.REPLACE, Action.REPAIR):
                self._note_analyze(table, wanted)
        elif not leftovers:
            self.unchanged.append(_item(entry, ItemStatus.UNCHANGED))

    def _has_tree_steps(self, entry: IndexSpec, table: Table, wanted: Definition) -> bool:
        """Steps for a partition tree; False when its index is there, or needs a new name only: then it is an index like
        any other.
        """
        known: dict[Definition, bool] = {}

        def same(index: Index) -> bool:
            form = self.actual.definition(index)
            if form not in known:  # the columns of all members are alike: each wording is judged once
                known[form] = self._same(entry, table, wanted, index)
            return known[form]

        try:
            self._comparable(entry, table)
            for member in self.actual.trees[table.oid]:
                self._readable(entry, self.actual.tables[member.schema, member.table])
            top = self.actual.find(table, entry.name)
            if top is None and any(
                self._may_be_renamed(entry, index) and same(index) for index in self.actual.indexes.get(table.oid, ())
            ):
                return False
            wish = partitions.Wish(entry, table, wanted, self.actual, same, self._taken(entry, table))
            steps = partitions.steps(wish, self.server)
            for step in steps:
                self._permitted(entry, self.actual.tables[step.schema, step.table])
        except RefusedError as exc:
            self._refuse(entry, exc.finding)
            return True
        if not steps:
            return False
        marking = decide.recomment(entry, table, top, adopt=self.options.adopt) if top is not None else None
        self.steps += [*steps, *([marking] if marking is not None else [])]
        for step in steps:
            if step.action is Action.REPAIR and step.index is not None:
                self.leaving.add((step.schema, step.index))
            if step.action is not Action.ATTACH:
                self._note_analyze(table, wanted)
        return True

    def _taken(self, entry: IndexSpec, table: Table) -> dict[tuple[str, str], str]:
        """Who has, or gets by this plan, a name that the indexes of a tree may want."""
        names = partitions.names(entry, table, self.actual)
        holders = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
        rows = catalog.RELATIONS.rows(self.conn, self.server.version, holders)
        built = {
            (step.schema, step.index): f"an index of {step.table}" for step in self.steps if step.index is not None
        }
        asked = {(one.schema_name, one.name): f"entry {one.name}" for one in self.entries if one is not entry}
        there = {(row.schema, row.name): f"an index of {row.table}" if row.table else "a relation" for row in rows}
        return built | asked | there

    def _step_for(self, entry: IndexSpec, table: Table, wanted: Definition, ready: Index | None) -> Step | None:
        """The step for one entry, None when nothing is to do. Raises RefusedError."""
        self._comparable(entry, table)
        here = self.actual.find(table, entry.name)
        if here is None:
            step = self._from_another_name(entry, table, wanted, ready)
            return step or decide.create(entry, table, wanted, entry.why or "the spec asks for it")
        if here.build_pid is not None:
            message = f"{entry.name} is being built right now by pid {here.build_pid}"
            raise RefusedError(error(entry, "being-built", message, hint="Run dbopt again when that build has ended."))
        if not (here.indisvalid and here.indisready and here.indislive):
            self.leaving.add((here.schema, here.index))
            return decide.repair(entry, table, wanted, here)
        if self._same(entry, table, wanted, here):
            all_of_it = [here, *partitions.below(here, self.actual)]
            if any(index.lacks_statistics for index in all_of_it) and table.is_owner:
                self.analyze.setdefault(table.oid, f"{here.index} holds expressions that were never analyzed")
            names = frozenset(index.index for index in all_of_it)
            self.findings += serves.disappointed(self.conn, self.server, entry, names)
            return decide.recomment(entry, table, here, adopt=self.options.adopt)
        what = canonical.difference(wanted, self.actual.definition(here))
        self._replaceable(entry, here, what)
        return decide.replace(entry, table, wanted, here, ready, f"the definition changed: {what}")

    def _comparable(self, entry: IndexSpec, table: Table) -> None:
        """Raises RefusedError where the table's indexes could not be read, or somebody else has the name."""
        self._readable(entry, table)
        holder = self.actual.relations.get((table.schema, entry.name))
        if holder is not None and self.actual.find(table, entry.name) is None:
            of = f"an index of {holder.table}" if holder.table else "another relation"
            message = f"the name {entry.name} belongs to {of} in schema {table.schema}"
            hint = "Choose another name: tables, views and indexes of a schema share one set of names."
            raise RefusedError(error(entry, "name-taken", message, at="name", hint=hint))

    def _readable(self, entry: IndexSpec, table: Table) -> None:
        """Raises RefusedError where expressions or predicates of the table's indexes could not be read."""
        if table.oid in self.actual.locked:
            message = f"{table.schema}.{table.table} is locked exclusively, so that its indexes cannot be compared"
            hint = "See who holds it: SELECT pid, query FROM pg_stat_activity; then plan again."
            raise RefusedError(error(entry, "table-locked", message, at="table", hint=hint))

    def _permitted(self, entry: IndexSpec, table: Table) -> None:
        """Raises RefusedError where the role may not do what the entry needs."""
        for problem in (refusals.not_owner, refusals.not_creator):
            if (why := problem(self.server, entry, table)) is not None:
                raise RefusedError(why)

    def _replaceable(self, entry: IndexSpec, index: Index, what: str) -> None:
        """Raises RefusedError for an index that something else stands on."""
        needed = check.why_needed(index)
        if needed is not None:
            message = f"{index.index} differs from the spec and cannot be replaced: {needed} ({what})"
            hint = "Give the new definition another name, or change what needs it by a migration first."
            raise RefusedError(error(entry, "needed-by-constraint", message, hint=hint))

    def _ready(self, entry: IndexSpec, table: Table, wanted: Definition) -> Index | None:
        """The new index of a replacement that was interrupted between build and swap."""
        ready = self.actual.find(table, derived(entry.name, NEW))
        if ready is None or ready.build_pid is not None or not ready.indisvalid:
            return None
        return ready if self._same(entry, table, wanted, ready) else None

    def _from_another_name(
        self, entry: IndexSpec, table: Table, wanted: Definition, ready: Index | None
    ) -> Step | None:
        """An index that needs only the name: one that the spec says it `was`, or an equal one that no spec names."""
        candidates = self.actual.indexes.get(table.oid, ())
        for index in sorted(candidates, key=lambda i: (i.index not in entry.was, i.index)):
            said = index.index in entry.was
            if not self._may_be_renamed(entry, index):
                continue
            if self._same(entry, table, wanted, index):
                reason = "the spec says it was" if said else "equal in all but its name:"
                self.leaving.add((index.schema, index.index))
                return decide.rename(entry, table, self.actual.definition(index), index, f"{reason} {index.index}")
            if said and index.relkind != "I":
                what = canonical.difference(wanted, self.actual.definition(index))
                self.leaving.add((index.schema, index.index))
                reason = f"it was {index.index}, and the definition changed: {what}"
                return decide.replace(entry, table, wanted, index, ready, reason)
        return None

    def _may_be_renamed(self, entry: IndexSpec, index: Index) -> bool:
        """Not one that a spec names, that is on its way out, broken, needed by a constraint or another domain's."""
        name = (index.schema, index.index)
        owner = mark.read(index.comment)[1]
        return (
            name not in self.named
            and name not in self.leaving
            and index.indisvalid
            and index.indislive
            and index.index not in working_names(entry.name)
            and check.why_needed(index) is None
            and (owner is None or owner.domain == entry.domain)
        )

    def _absent(self, entry: IndexSpec, table: Table) -> None:
        index = self.actual.find(table, entry.name)
        if index is None:
            self.unchanged.append(_item(entry, ItemStatus.UNCHANGED))
            return
        needed = check.why_needed(index)
        if needed is None and index.relkind == "I":
            needed = "it spans a partition tree, and the server drops no such index concurrently"
        foreign = not mark.owned(index.comment, entry.domain)
        if needed is not None:
            message = f"{entry.name} cannot be dropped: {needed}"
            hint = "Drop it by a migration in a quiet moment, or take the entry out of the spec."
            self._refuse(entry, error(entry, "needed-by-constraint", message, hint=hint))
        elif foreign and index.indisvalid and not self.options.prune_foreign:
            message = f"{entry.name} is not marked as an index of dbopt's domain {entry.domain}"
            hint = "If it is yours to drop, say so with --prune-foreign."
            self._refuse(entry, error(entry, "foreign-index", message, hint=hint))
        elif (objection := self._guarded(entry, index)) is not None:
            message = f"the guard keeps {entry.name}: {objection}"
            hint = "Wait, or take the guard out of the spec if you know better."
            self._refuse(entry, error(entry, "guarded", message, at="guard", hint=hint))
        elif (why := refusals.not_owner(self.server, entry, table)) is not None:
            self._refuse(entry, why)
        else:
            reason = entry.why or "the spec says that it shall be absent"
            self.leaving.add((index.schema, index.index))
            self.steps.append(decide.drop(table.schema, table.table, index.index, entry.domain, reason))

    def _guarded(self, entry: IndexSpec, index: Index) -> str | None:
        if entry.guard is None or entry.guard.unused_for is None or not index.indisvalid:
            return None
        if self.window is None:
            self.window = guard.window(self.conn, self.server)
        return guard.objection(index, entry.guard.unused_for, self.window)

    # Beyond single entries

    def _prune(self) -> None:
        """`extras: prune`: indexes that carry a domain's mark and that its spec no longer names."""
        domains = {file.domain for file in self.files if file.defaults.extras is Extras.PRUNE}
        if not domains:
            return
        # On any table: those that the specs no longer name were not read yet.
        oids = list({marked.table_oid for marked in self.actual.marked})
        needed = {
            index.oid
            for index in catalog.INDEXES.rows(self.conn, self.server.version, {"oids": oids})
            if check.why_needed(index) is not None
        }
        for marked in self.actual.marked:
            owner = mark.read(marked.comment)[1]
            name = (marked.schema, marked.index)
            if owner is None or owner.domain not in domains or name in self.named | self.leaving:
                continue
            if marked.relkind == "I" or marked.oid in needed:
                continue
            reason = f"the spec of domain {owner.domain} no longer names it (extras: prune)"
            self.leaving.add(name)
            self.steps.append(decide.drop(marked.table_schema, marked.table, marked.index, owner.domain, reason))

    def _look_around(self, admitted: list[tuple[IndexSpec, Table]], wanted: dict[tuple[str, str], Definition]) -> None:
        """Findings about what is there besides: redundancy, extras, somebody's INVALID indexes."""
        names = frozenset(name for _, name in self.leaving)
        forms = {
            oid: [(index, self.actual.definition(index)) for index in indexes]
            for oid, indexes in self.actual.indexes.items()
            if oid not in self.actual.locked
        }
        for entry, table in admitted:
            form = wanted.get((entry.schema_name, entry.name))
            if form is not None:
                others = [pair for pair in forms.get(table.oid, []) if (table.schema, pair[0].index) not in self.named]
                self.findings += check.redundant(entry, form, others, names)
        settled = self.named | frozenset(self.leaving)
        self.findings += check.extra(self.files, self.actual, settled)
        self.findings += check.invalid(self.actual.tables, self.actual, settled)

    def _same(self, entry: IndexSpec, table: Table, wanted: Definition, index: Index) -> bool:
        actual = self.actual.definition(index)
        asks = entry.tablespace is not None or wanted.tablespace is not None
        if canonical.same(wanted, actual, tablespace=asks):
            return True
        if not canonical.same(canonical.blank(wanted), canonical.blank(actual), tablespace=asks):
            return False
        columns = self.actual.columns.get(table.oid, ())
        return equivalence.proven(self.conn, table, columns, wanted, actual)

    # Bookkeeping

    def _refuse(self, entry: IndexSpec, why: Finding) -> None:
        if why not in self.findings:  # one error of lint may refuse two entries
            self.findings.append(why)
        self.refused.append(_item(entry, ItemStatus.REFUSED, why.message))

    def _note_analyze(self, table: Table, wanted: Definition) -> None:
        if wanted.has_expressions:
            self.analyze.setdefault(table.oid, "an index on an expression has no statistics before ANALYZE")
        elif table.never_analyzed:
            self.analyze.setdefault(table.oid, "the table was never analyzed: the planner knows nothing of it")


# What lint says of PostgreSQL's own rules, from what is known of 13 to 18: here the server itself is asked.
_JUDGED_BY_THE_SERVER = {
    "aggregate",
    "method-cannot",
    "not-immutable",
    "parameter-value",
    "subquery",
    "too-many-columns",
    "unknown-parameter",
    "window-function",
}


def _broken(specs: SpecSet) -> dict[tuple[str | None, str | None], Finding]:
    """The entries that cannot be asked for at all, by file and name, with lint's error."""
    return {
        (finding.file, finding.index): finding
        for finding in lint(specs)
        if finding.severity is Severity.ERROR and finding.code not in _JUDGED_BY_THE_SERVER
    }


def _item(entry: IndexSpec, status: ItemStatus, reason: str | None = None) -> Item:
    return Item(index=entry.name, schema=entry.schema_name, table=entry.table.name, status=status, error=reason)
