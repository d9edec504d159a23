"""Whether what an entry would build is within the budgets of its spec.

Entries come in the order of their priority, and each that is admitted uses up what is left: so the last ones are
refused. What is there already is never touched for a budget's sake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import partitions
from dbopt.optimize.refusals import RefusedError, error, finding
from dbopt.optimize.steps import Action
from dbopt.spec.finding import Finding, Severity
from dbopt.spec.model import State
from dbopt.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from dbopt.optimize.collect import Actual
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
    ) -> None:
        self._actual = actual
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
        """Warnings about budgets that nobody can judge. `leaving`: indexes that steps drop or rename, by schema and
        name. Raises RefusedError where a budget does not allow for the steps.
        """
        building = [step for step in steps if self._fills(step)]
        size = sum(step.estimate["size_bytes"] for step in building if step.estimate)
        unknown = [step for step in building if not step.estimate]
        budget = self._of_domain.get(entry.domain)
        adds = self._adds(entry, table, steps, leaving)
        more = size - (0 if table.relkind == "p" else self._size_now(entry, table)) if building else 0
        limits = []
        if building and entry.budget is not None and entry.budget.size is not None:
            limits.append("its budget")
            self._require_size(entry, table, size, entry.budget.size)
        if budget is not None and budget.per_table_indexes is not None and adds:
            self._require_count(entry, table, budget.per_table_indexes, leaving)
        if building and budget is not None and budget.total is not None:
            limits.append(f"the budget of domain {entry.domain}")
            self._require_total(entry, more, budget.total)
        if budget is not None:
            self._used[entry.domain] += round(more)
        if adds:
            self._admitted.setdefault(table.oid, set()).add(entry.name)
        if not unknown or not limits:
            return []
        where = f"{unknown[0].schema}.{unknown[0].table}"
        message = f"the size of {entry.name} cannot be estimated, so {' and '.join(limits)} could not be checked"
        hint = f'Without statistics nothing can be known: ANALYZE "{unknown[0].schema}"."{unknown[0].table}"; '
        hint += f"if {where} has them, its columns or the index method are of a kind that dbopt cannot estimate."
        return [finding(entry, Severity.WARNING, "budget-unknown", message, at="budget", hint=hint)]

    def _fills(self, step: Step) -> bool:
        """Whether a step builds an index that takes space: one of a partitioned table itself is a catalog row."""
        return step.builds and self._actual.tables[step.schema, step.table].relkind != "p"

    def _require_size(self, entry: IndexSpec, table: Table, size: float, limit: int) -> None:
        """A tree's leaves are one index to the spec: those that are there already count as well."""
        whole = size + (self._size_now(entry, table) if table.relkind == "p" else 0)
        if whole > limit:
            message = f"{entry.name} would take about {format_bytes(whole)}, its budget is {format_bytes(limit)}"
            hint = "Raise `budget: {size: ...}`, or make the index smaller: fewer columns, or a `where`."
            raise RefusedError(error(entry, "over-budget", message, at="budget.size", hint=hint))

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
        """What the entry's index takes as it is, under its own name or a former one, its parts included."""
        if table.relkind == "p":
            names = set(partitions.names(entry, table, self._actual))
            members = [(member.schema, member.table_oid) for member in self._actual.trees[table.oid]]
            indexes = [index for _, oid in members for index in self._actual.indexes.get(oid, ())]
            return sum(i.size_bytes for i in indexes if (i.schema, i.index) in names and _is_usable(i))
        for name in (entry.name, *entry.was):
            index = self._actual.find(table, name)
            if index is not None and _is_usable(index):
                return index.size_bytes
        return 0


def _is_usable(index: Index) -> bool:
    return index.indisvalid and index.indisready and index.indislive
