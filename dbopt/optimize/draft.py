"""A plan in the making: what is known, what has been decided so far. Every decision writes here."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from dbopt.optimize import canonical, equivalence
from dbopt.optimize.steps import Item, ItemStatus, Step
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.optimize.guard import ReplicaUse
    from dbopt.optimize.pace import Pace
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server
    from dbopt.spec.finding import Finding
    from dbopt.spec.model import IndexSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """`prune_foreign`: drop indexes without our mark too. `adopt`: mark indexes that are as the spec says already.
    `replica_use`: what the replicas have scanned, for guards. `pace`: what builds have taken so far.
    """

    prune_foreign: bool = False
    adopt: bool = False
    replica_use: tuple[ReplicaUse, ...] = ()
    pace: Pace | None = None


@dataclass(slots=True)
class Draft:
    conn: Connection
    server: Server
    actual: Actual
    entries: Sequence[IndexSpec]
    options: PlanOptions
    findings: list[Finding]
    steps: list[Step] = field(default_factory=list)
    unchanged: list[Item] = field(default_factory=list)
    refused: list[Item] = field(default_factory=list)
    leaving: set[tuple[str, str]] = field(default_factory=set)  # names that steps drop or rename
    analyze: dict[int, str] = field(default_factory=dict)  # table oid -> reason
    proven: dict[Hashable, bool] = field(default_factory=dict)  # pairs of wordings, by key: whether they mean the same
    named: frozenset[tuple[str, str]] = field(init=False)  # schema and name of every entry

    def __post_init__(self) -> None:
        self.named = frozenset((entry.schema_name, entry.name) for entry in self.entries)

    def settle(self, entry: IndexSpec) -> None:
        """Nothing is to be done for it."""
        self.unchanged.append(_item(entry, ItemStatus.UNCHANGED))

    def refuse(self, entry: IndexSpec, why: Finding) -> None:
        """It gets no step."""
        if why not in self.findings:  # one error of lint may refuse two entries
            self.findings.append(why)
        self.refused.append(_item(entry, ItemStatus.REFUSED, why.message))

    def note_analyze(self, table: Table, wanted: Definition) -> None:
        """After the build of an index of this definition, where the planner would be blind without."""
        if wanted.has_expressions:
            self.analyze.setdefault(table.oid, "an index on an expression has no statistics before ANALYZE")
        elif table.never_analyzed:
            self.analyze.setdefault(table.oid, "the table was never analyzed: the planner knows nothing of it")

    def same(self, entry: IndexSpec, table: Table, wanted: Definition, index: Index) -> bool:
        """Whether an index of the table is what the entry asks for."""
        actual = self.actual.definition(index)
        asks = entry.tablespace is not None or wanted.tablespace is not None
        if canonical.same(wanted, actual, tablespace=asks):
            return True
        if not canonical.same_but_wording(wanted, actual, tablespace=asks):
            return False
        columns = self.actual.columns.get(table.oid, ())
        asked = equivalence.pair(table, columns, wanted, actual)
        if asked.key not in self.proven:
            self.proven[asked.key] = equivalence.proven(self.conn, asked)
        return self.proven[asked.key]


def _item(entry: IndexSpec, status: ItemStatus, reason: str | None = None) -> Item:
    return Item(index=entry.name, schema=entry.schema_name, table=entry.table.name, status=status, error=reason)
