"""Whether what an entry would build is within the budgets of its spec, and whether there is room for it on disk.

Entries come in the order of their priority, and each that is admitted uses up what is left: so the last ones are
refused. What is there already is never touched for a budget's sake. Budgets are about what is there in the end; on disk
a replaced index and the new one lie side by side for a while.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dbopt.optimize import partition_tree
from dbopt.optimize.refusals import RefusedError, error, finding
from dbopt.optimize.steps import Action
from dbopt.spec.finding import Finding, Severity
from dbopt.spec.model import State
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from dbopt.optimize.collect import Actual
    from dbopt.optimize.disk import Disk
    from dbopt.optimize.steps import Step
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.index_catalog import Index
    from dbopt.spec.model import IndexSpec, SpecFile

_BUILDS = (Action.CREATE, Action.REPLACE, Action.REPAIR)


class Budgets:
    """The budgets of all files, and what is left of them while a plan is made."""

    def __init__(
        self,
        files: Iterable[SpecFile],
        entries: Iterable[IndexSpec],
        actual: Actual,
        pruned: Collection[tuple[str, str]],
        disk: Disk,
    ) -> None:
        self._actual = actual
        self._disk = disk
        self._of_domain = {file.domain: file.budget for file in files if file.budget is not None}
        self._pruned = pruned  # indexes that this plan drops, by schema and name
        self._used = dict.fromkeys(self._of_domain, 0)  # bytes, by domain
        self._admitted: dict[int, set[str]] = {}  # names of new indexes, by the table's oid
        for entry in entries:
            table = actual.tables.get((entry.schema_name, entry.table.name))
            if entry.domain in self._used and entry.state is State.PRESENT and table is not None:
                self._used[entry.domain] += self._size_now(entry, table)

    def admit(
        self, entry: IndexSpec, table: Table, steps: Sequence[Step], leaving: Collection[tuple[str, str]]
    ) -> list[Finding]:
        """Findings about budgets that nobody can judge. `leaving`: indexes that steps drop or rename, by schema and
        name. Raises RefusedError where a budget or the disk does not allow for the steps.
        """
        building = [step for step in steps if self._fills(step)]
        size = sum(step.estimate["size_bytes"] for step in building if step.estimate)
        unknown = [step for step in building if not step.estimate]
        budget = self._of_domain.get(entry.domain)
        adds = self._adds(entry, table, steps, leaving)
        replaced = self._replaced(entry, table, building)
        more = size - sum(replaced.values())
        limits = []
        untimed = []
        if building and entry.budget is not None and entry.budget.size is not None:
            limits.append("its budget")
            self._require_size(entry, table, more, entry.budget.size)
        if building and entry.budget is not None and entry.budget.build is not None:
            untimed = self._require_time(entry, building, entry.budget.build)
        if budget is not None and budget.per_table_indexes is not None and adds:
            self._require_count(entry, table, budget.per_table_indexes, leaving)
        if building and budget is not None and budget.total is not None:
            limits.append(f"the budget of domain {entry.domain}")
            self._require_total(entry, more, budget.total)
        self._require_disk(entry, building, replaced)
        if budget is not None:
            self._used[entry.domain] += round(more)
        if adds:
            self._admitted.setdefault(table.oid, set()).add(entry.name)
        return untimed + (self._unsized(entry, unknown[0], limits) if unknown and limits else [])

    def _unsized(self, entry: IndexSpec, unknown: Step, limits: Sequence[str]) -> list[Finding]:
        where = f"{unknown.schema}.{unknown.table}"
        message = f"the size of {entry.name} cannot be estimated, so {' and '.join(limits)} could not be checked"
        hint = f'Without statistics nothing can be known: ANALYZE "{unknown.schema}"."{unknown.table}"; '
        hint += f"if {where} has them, its columns or the index method are of a kind that dbopt cannot estimate."
        return [finding(entry, Severity.WARNING, "budget-unknown", message, at="budget", hint=hint)]

    def _fills(self, step: Step) -> bool:
        """Whether a step builds an index that takes space: one of a partitioned table itself is a catalog row."""
        return step.builds and self._actual.tables[step.schema, step.table].relkind != "p"

    def _require_size(self, entry: IndexSpec, table: Table, more: float, limit: int) -> None:
        """A tree's leaves are one index to the spec: those that are there already count as well."""
        whole = self._size_now(entry, table) + more
        if whole > limit:
            message = f"{entry.name} would take about {format_bytes(whole)}, its budget is {format_bytes(limit)}"
            hint = "Raise `budget: {size: ...}`, or make the index smaller: fewer columns, or a `where`."
            raise RefusedError(error(entry, "over-budget", message, at="budget.size", hint=hint))

    def _require_time(self, entry: IndexSpec, building: Sequence[Step], limit: float) -> list[Finding]:
        """Of all builds of a tree together."""
        estimates: list[Mapping[str, float]] = [step.estimate or {} for step in building]
        known = [estimate["build_seconds"] for estimate in estimates if "build_seconds" in estimate]
        if sum(known) > limit:
            message = (
                f"the build of {entry.name} would take about {format_duration(sum(known))}, "
                f"its budget is {format_duration(limit)}"
            )
            hint = "Raise `budget: {build: ...}`, or give the build more memory: `build: {maintenance_work_mem: ...}`."
            raise RefusedError(error(entry, "over-budget", message, at="budget.build", hint=hint))
        if len(known) == len(building):
            return []
        message = f"how long the build of {entry.name} takes is not known, so its budget could not be checked"
        hint = "It is estimated from statistics of the table and from past builds by the same method (dbopt history)."
        return [finding(entry, Severity.INFO, "build-time-unknown", message, at="budget.build", hint=hint)]

    def _require_disk(self, entry: IndexSpec, building: Sequence[Step], replaced: Mapping[str | None, int]) -> None:
        lack = self._disk.admit(building, replaced)
        if lack is not None:
            message = f"the build of {entry.name} needs {lack}"
            hint = "It writes the index, files for sorting, and WAL. Free space there, or name another tablespace."
            raise RefusedError(error(entry, "not-enough-disk", message, hint=hint))

    def _replaced(self, entry: IndexSpec, table: Table, building: Sequence[Step]) -> dict[str | None, int]:
        """Bytes of the indexes whose place the new ones take, by tablespace. Of a tree, those of the leaves that get
        another part.
        """
        built = {self._actual.tables[step.schema, step.table].oid for step in building}
        found: Counter[str | None] = Counter()
        for index in self._now(entry, table):
            if index.table_oid in built:
                found[index.tablespace] += index.size_bytes
        return dict(found)

    def _require_total(self, entry: IndexSpec, more: float, limit: int) -> None:
        """`more`: what the entry adds; what a replacement takes stands in the place of what the old index did."""
        whole = self._used[entry.domain] + more
        if more > 0 and whole > limit:
            message = (
                f"with {entry.name} the indexes of domain {entry.domain} would take about {format_bytes(whole)}, "
                f"their budget is {format_bytes(limit)}"
            )
            hint = "Raise `budget: {total: ...}` of the file, or give up an index of less priority."
            raise RefusedError(error(entry, "over-budget", message, hint=hint))

    def _require_count(self, entry: IndexSpec, table: Table, limit: int, leaving: Collection[tuple[str, str]]) -> None:
        number = len(self._staying(table, leaving) | self._admitted.get(table.oid, set())) + 1
        if number > limit:
            message = (
                f"{entry.name} would be index number {number} of {table.schema}.{table.table}, {limit} are allowed"
            )
            hint = "Raise `budget: {per_table_indexes: ...}` of the file, or give up an index of less priority."
            raise RefusedError(error(entry, "over-budget", message, hint=hint))

    def _adds(
        self, entry: IndexSpec, table: Table, steps: Sequence[Step], leaving: Collection[tuple[str, str]]
    ) -> bool:
        """Whether the table has one index more in the end. A replaced or renamed one is no more than there was."""
        return (
            any(step.action in _BUILDS for step in steps)
            and not any(step.action is Action.REPLACE for step in steps)
            and entry.name not in self._staying(table, leaving)
        )

    def _staying(self, table: Table, leaving: Collection[tuple[str, str]]) -> set[str]:
        """The usable indexes that the table has and keeps."""
        gone = {name for schema, name in (*leaving, *self._pruned) if schema == table.schema}
        return {index.index for index in self._actual.indexes.get(table.oid, ()) if _is_usable(index)} - gone

    def _size_now(self, entry: IndexSpec, table: Table) -> int:
        return sum(index.size_bytes for index in self._now(entry, table))

    def _now(self, entry: IndexSpec, table: Table) -> list[Index]:
        """The entry's index as it is, under its own name or a former one; of a tree, the parts that it has."""
        if table.relkind == "p":
            names = set(partition_tree.names(entry, table, self._actual))
            top = self._actual.find(table, entry.name)
            parts = {part.oid for part in partition_tree.below(top, self._actual)} if top is not None else set()
            members = [member.table_oid for member in self._actual.trees[table.oid]]
            indexes = [index for oid in members for index in self._actual.indexes.get(oid, ()) if _is_usable(index)]
            return [index for index in indexes if index.oid in parts or (index.schema, index.index) in names]
        for name in (entry.name, *entry.was):
            index = self._actual.find(table, name)
            if index is not None and _is_usable(index):
                return [index]
        return []


def _is_usable(index: Index) -> bool:
    return index.indisvalid and index.indisready and index.indislive
