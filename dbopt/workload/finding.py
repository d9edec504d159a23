"""The form of a finding on a plan, and what one may look at.

A finding is a file in findings/: its docstring is its documentation, `FINDING` its data, `look` gives the Advice. It
does no I/O and never raises for a plan that it does not understand: it is silent then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from inspect import cleandoc

from dbopt.values import dataclass
from dbopt.workload.model import Advice, Statement
from dbopt.workload.plan import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Statistics are None where the table was never analyzed, or the role may not see them (Scene.may_see_statistics).
    `n_distinct`: as pg_stats has it: negative, of the rows.
    """

    name: str
    attnum: int
    type_name: str  # as format_type writes it, without modifiers: `character varying`
    has_statistics: bool
    base_type: str | None = None  # of a domain: the type below it
    is_orderable: bool = True  # its type has a btree operator class
    null_frac: float | None = None
    n_distinct: float | None = None
    avg_width: int | None = None
    correlation: float | None = None
    most_common_freq: float | None = None  # of the commonest value, 0..1


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of an index: a column, or an expression as PostgreSQL writes it."""

    column: str | None
    expression: str | None
    opclass: str
    is_descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    name: str
    method: str  # btree, gin, ...
    keys: tuple[Key, ...]
    include: tuple[str, ...] = ()
    predicate: str | None = None
    is_unique: bool = False
    is_valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table of the plan. `rows`: reltuples, of a partitioned table those of its partitions; None: never analyzed."""

    oid: int
    schema: str
    name: str
    relkind: str  # as pg_class has it; p: partitioned
    rows: float | None
    size_bytes: int  # relpages
    live_rows: float | None = None  # as the statistics system counted them; not of a partitioned table
    is_temporary: bool = False
    parent: tuple[str, str] | None = None  # of a partition: the topmost table
    columns: tuple[Column, ...] = ()
    indexes: tuple[Index, ...] = ()

    def column(self, name: str) -> Column | None:
        return next((item for item in self.columns if item.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that a finding may look at. `plan` None: it has none, only its counters and its text can be judged.

    `relations`: those of the plan, by schema and name. `extensions`: that this database has. `work_mem_bytes`, as the
    server gives it to a new session.
    """

    statement: Statement
    plan: Node | None
    relations: Mapping[tuple[str, str], Relation]
    extensions: frozenset[str] = frozenset()
    work_mem_bytes: int = 4 * 1024 * 1024
    hash_mem_multiplier: float = 1.0
    may_see_statistics: bool = True
    extension_schemas: Mapping[str, str] = field(default_factory=dict)  # of extensions beyond the search path

    @property
    def nodes(self) -> tuple[Node, ...]:
        return () if self.plan is None else tuple(self.plan.walk())

    def relation(self, node: Node) -> Relation | None:
        key = node.relation
        return None if key is None else self.relations.get(key)

    def executions(self, node: Node) -> float:
        """How often a node is run in one execution of the statement, as far as the plan tells: the inner side of a
        nested loop once for each row of the outer one.
        """
        if node.actual_loops is not None:
            return node.actual_loops
        return _executions(self.plan, node.number, 1.0) or 1.0


def _executions(at: Node | None, number: int, times: float) -> float | None:
    if at is None:
        return None
    if at.number == number:
        return times
    outer = next((child for child in at.children if child.raw.get("Parent Relationship") == "Outer"), None)
    for child in at.children:
        again = at.node_type == "Nested Loop" and child.raw.get("Parent Relationship") == "Inner" and outer is not None
        # What is kept, or asked for once, is not run again.
        is_once = at.node_type in ("Materialize", "Hash") or child.raw.get("Parent Relationship") == "InitPlan"
        here = 1.0 if is_once else times * (max(1.0, outer.plan_rows) if again and outer else 1.0)
        found = _executions(child, number, here)
        if found is not None:
            return found
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`title`: the problem in a few words. `needs_plan`: it looks at the plan, so what it says is kept with the plan;
    the others look at counters and text, each time anew. `source`: who holds its numbers to be right. `unless`: codes
    of findings that say more of the same thing; where there is one of them, this one is left out.
    """

    code: str
    title: str
    look: Callable[[Scene], Iterable[Advice]]
    needs_plan: bool = True
    source: str = ""
    unless: tuple[str, ...] = ()

    @property
    def documentation(self) -> str:
        module = sys.modules[self.look.__module__]
        return cleandoc(module.__doc__ or "")
