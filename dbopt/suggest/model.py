"""The values: a workload's statements, what they ask of tables, indexes that may be made, what they would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.workload.conditions import Condition
    from dbopt.workload.finding import Relation
    from dbopt.workload.model import Planned
    from dbopt.workload.plan import Node

Name = tuple[str, str]  # schema and name of a table; of a partition tree, the topmost one


class Origin(StrEnum):
    """Where a statement of the workload was seen."""

    STATEMENTS = "pg_stat_statements"
    FILE = "file"
    SAMPLE = "sample"  # at work, in pg_stat_activity
    LOG = "log"
    FOREIGN_KEY = "foreign-key"  # what the server itself asks when a row is deleted that others refer to


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A statement of the workload, as it was found.

    `query`: as it is planned: with `$n`, or with the constants that somebody's file has. `shown`: normalized, for
    people and specs. `calls`: in the window; of a file, as often as it says, else 1. `time_ms`: of all calls; None:
    nobody measured it. `userid`: who ran it, so by whose search_path its names are found.
    """

    number: int  # from 1, by weight
    query: str
    shown: str
    calls: float
    time_ms: float | None = None
    queryids: tuple[int, ...] = ()
    fingerprint: str | None = None
    userid: int | None = None
    origin: Origin = Origin.STATEMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A statement that cannot be analyzed, and why; `share` of the workload's time, where there are times."""

    item: Item
    reason: str
    hint: str | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class SortKey:
    """Exactly one of `column` and `expression`, the latter as an index could have it: without qualifiers."""

    column: str | None
    expression: str | None
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one block of a statement asks of one table.

    `conditions`: those that have to hold all together, on this table alone. `joins`: equalities with columns of other
    tables (Condition.other_columns). `residual`: something narrows its rows down that no index on this table can know:
    an OR over tables, a semijoin, a join that filters. `order`: in which the block wants its rows, where this table
    alone can give that order (columns that are compared for equality may stand in it). `limit`: it may stop early.
    `group`: columns of GROUP BY or DISTINCT, if all are of this table. `extreme`: those of which min() or max() is all
    that is asked for. `output`: every column of the table that the statement needs anywhere; None: all, or not known.
    """

    relation: Name
    alias: str
    conditions: tuple[Condition, ...] = ()
    joins: tuple[Condition, ...] = ()
    residual: bool = False
    order: tuple[SortKey, ...] = ()
    limit: bool = False
    group: tuple[str, ...] = ()
    extreme: tuple[str, ...] = ()
    output: frozenset[str] | None = None


class Operation(StrEnum):
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a statement writes. `columns`: that an UPDATE sets."""

    relation: Name
    operation: Operation
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Values of the parameters to plan with, as SQL literals by number; empty: a generic plan. Never shown: they are
    people's data.
    """

    name: str  # generic, common, typical, rare
    values: Mapping[int, str] = field(default_factory=dict, repr=False)


GENERIC = Probe(name="generic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A statement that can be planned. `planned.query` is what is explained: of an UPDATE or DELETE the SELECT of its
    rows, so that no right to write is needed; with casts where types had to be guessed.
    """

    item: Item
    planned: Planned
    accesses: tuple[Access, ...]
    written: tuple[Written, ...] = ()
    probes: tuple[Probe, ...] = (GENERIC,)
    weight: float = 0.0  # what it is of the workload, 0..1; all together are 1

    @property
    def relations(self) -> frozenset[Name]:
        return frozenset(access.relation for access in self.accesses)


class Key(NamedTuple):
    """Exactly one of `column` and `expression`. `opclass`: as a spec writes it; empty: the type's own."""

    column: str = ""
    expression: str = ""
    opclass: str = ""
    descending: bool = False
    nulls_first: bool = False

    @property
    def name(self) -> str:
        return self.column or self.expression


class Candidate(NamedTuple):
    """An index that could be made. Two of them are the same index if they are equal. `where`: empty: not partial.
    `parameters`: storage parameters, as pages_per_range of BRIN. They sort: by table, then by keys.
    """

    relation: Name
    keys: tuple[Key, ...]
    include: tuple[str, ...] = ()
    where: str = ""
    method: str = "btree"
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Of its keys, up to the first expression."""
        found = []
        for key in self.keys:
            if not key.column:
                break
            found.append(key.column)
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What was written to a table in the time of the workload, in rows. `columns`: how many rows had this column set
    by UPDATE, as far as statements tell. `hot`: updates that touched no index. `seconds`: the length of that time.
    """

    inserted: float = 0.0
    updated: float = 0.0
    hot: float = 0.0
    deleted: float = 0.0
    columns: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the workload. `relation`: with its columns, their statistics, and its indexes. `leaves`: of a
    partitioned one, the tables below it that have rows.
    """

    relation: Relation
    writes: Writes
    leaves: tuple[Name, ...] = ()

    @property
    def name(self) -> Name:
        return self.relation.schema, self.relation.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of an index that is not there. `build_seconds` None: nothing tells how fast this server builds."""

    size_bytes: int
    rows: float
    build_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCost:
    """What an index costs in the time of the workload. `cost`: in the planner's units. `lost_hot`: updates that could
    no longer be HOT, so that they write to every index of the table.
    """

    entries: float = 0.0
    wal_bytes: float = 0.0
    lost_hot: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costed:
    """A statement planned with some candidates. `cost`: in the planner's units; where the planner counts on stopping
    early though something still filters, what it costs if it cannot. `planner_cost`: what EXPLAIN says. `used`: the
    candidates in the plan; `indexes`: existing ones in it, by schema and name. `plan` None: reckoned, not planned.
    """

    cost: float
    planner_cost: float
    used: frozenset[Candidate] = frozenset()
    indexes: frozenset[Name] = frozenset()
    plan: Node | None = None


class Basis(StrEnum):
    """What costs rest on."""

    HYPOPG = "hypopg"
    STATISTICS = "statistics"  # reckoned from the plan as it is, and from what ANALYZE knows


class Risk(StrEnum):
    """What whoever approves an index should know."""

    UNPROVED = "unproved"  # no planner has seen it: without HypoPG, or of a method that it does not know
    WRITES = "writes"  # the table is written to often
    LOST_HOT = "lost-hot"  # updates of the column are no longer HOT
    NO_STATISTICS = "no-statistics"  # the table was never analyzed
    EXPRESSION = "expression"  # needs ANALYZE afterwards, which `dbopt optimize` does
    LARGE = "large"  # a tenth of its table or more
    FEW_CALLS = "few-calls"  # its statements were seen less than ten times


@dataclass(frozen=True, slots=True, kw_only=True)
class Helped:
    """A statement that an index helps: costs without any suggestion, and with all of them."""

    item: Item
    before: float
    after: float
    uses: bool = True  # in its generic plan
    no_sort: bool = False
    probe: str = GENERIC.name  # by whose values the costs are


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """`benefit`: what the workload would lose without it, 0..1 of its cost as it is now."""

    candidate: Candidate
    name: str
    helped: tuple[Helped, ...]
    benefit: float
    size: Size | None
    writes: WriteCost
    risks: tuple[Risk, ...] = ()
    basis: Basis = Basis.HYPOPG
    reason: str = ""  # why these columns in this order, for whoever approves it


class Evidence(StrEnum):
    """Why an index may go."""

    UNUSED = "unused"
    REDUNDANT = "redundant"
    BEATEN = "beaten"  # by the new list


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """An index that may go. `proved`: all statements were planned without it, and none costs more. `how`: by what."""

    schema: str
    table: str
    name: str
    evidence: Evidence
    detail: str
    size_bytes: int
    proved: bool
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A subject before and after the whole list, planned with the values of one probe; costs as in Costed."""

    subject: Subject
    before: Costed
    after: Costed
    probe: str = GENERIC.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Extended statistics (CREATE STATISTICS) that would mend an estimate which is off. No `kinds`: `columns` is one
    expression.
    """

    relation: Name
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that one call has found out. `seconds`, `explains`: what it took. `complete` False: --time-limit ended the
    search, the list is the best found until then.
    """

    basis: Basis
    suggestions: tuple[Suggestion, ...]
    drops: tuple[Drop, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    unread: tuple[Unread, ...] = ()
    statistics: tuple[Statistics, ...] = ()
    notes: tuple[str, ...] = ()
    lacks: tuple[tuple[str, str | None], ...] = ()  # what could not be had: reason, what to type
    seconds: float = 0.0
    explains: int = 0
    complete: bool = True
    budget_bytes: int | None = None
    heap_bytes: int = 0
    hypopg_version: str | None = None  # where `basis` is HypoPG
