"""What findings look at: the tables of some plans read at once, then one Scene a statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import args_row

from dbopt.postgres.index_catalog import EXPRESSIONS, Expressions
from dbopt.postgres.planned_relations import (
    PLANNED_COLUMNS,
    PLANNED_INDEXES,
    PLANNED_RELATIONS,
    PLANNER_SETTINGS,
    PlannedColumn,
    PlannedIndex,
    PlannedRelation,
    PlannerSettings,
)
from dbopt.values import dataclass
from dbopt.workload.finding import Column, Index, Key, Relation, Scene

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.query import Query
    from dbopt.postgres.server import Server
    from dbopt.workload.model import Statement
    from dbopt.workload.plan import Node

# How long expressions of indexes may wait for the lock on their table: they are worth no more.
EXPRESSIONS_LOCK_TIMEOUT_MS = 50
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """`relations`: by schema and name; those that a session finds by their name alone by ("", name) as well.
    `hidden`: those whose statistics this role may not see; `guarded`: of them, those hidden by row security.
    """

    relations: Mapping[Name, Relation]
    hidden: frozenset[Name]
    extensions: frozenset[str]
    extension_schemas: Mapping[str, str]  # of those that a session does not find by their names alone
    work_mem_bytes: int
    hash_mem_multiplier: float
    guarded: frozenset[Name] = frozenset()


def scenes_facts(conn: Connection, server: Server, plans: Sequence[Node]) -> Facts:
    """What `facts_about` knows of the tables of some plans."""
    names = {name for plan in plans for node in plan.walk() if (name := node.relation) is not None}
    return facts_about(conn, server, names)


def facts_about(conn: Connection, server: Server, tables: Iterable[Name]) -> Facts:
    """One round trip, and one more where an index has an expression or a predicate. `conn`: in autocommit.

    A table that is locked costs its indexes' expressions, and a moment. Raises psycopg.Error.
    """
    names = sorted(tables)
    parameters = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
    relations: psycopg.Cursor[PlannedRelation]
    with conn.pipeline():
        relations = _sent(conn, server, PLANNED_RELATIONS, parameters)
        columns = _sent(conn, server, PLANNED_COLUMNS, parameters)
        indexes = _sent(conn, server, PLANNED_INDEXES, parameters)
        settings = _sent(conn, server, PLANNER_SETTINGS, None)
    return _facts(conn, server, relations.fetchall(), columns.fetchall(), indexes.fetchall(), settings.fetchall()[0])


def _sent(conn: Connection, server: Server, query: Query[Any], parameters: Mapping[str, object] | None) -> Any:
    cursor = conn.cursor(row_factory=args_row(query.row))
    return cursor.execute(query.text(server.version), parameters, prepare=False)


def _facts(
    conn: Connection,
    server: Server,
    relations: Sequence[PlannedRelation],
    columns: Iterable[PlannedColumn],
    indexes: Sequence[PlannedIndex],
    settings: PlannerSettings,
) -> Facts:
    columns_of: dict[int, list[Column]] = defaultdict(list)
    for column in columns:
        columns_of[column.relation_oid].append(_column(column))
    expressions = _expressions(conn, server, indexes)
    indexes_of: dict[int, list[Index]] = defaultdict(list)
    for index in indexes:
        indexes_of[index.relation_oid].append(_index(index, expressions.get(index.oid)))
    found: dict[Name, Relation] = {}
    hidden: set[Name] = set()
    guarded: set[Name] = set()
    for row in relations:
        relation = _relation(row, tuple(columns_of[row.oid]), tuple(indexes_of[row.oid]))
        for name in ((row.schema, row.name), *([("", row.name)] if row.is_visible else [])):
            found[name] = relation
            if not row.may_read_statistics:
                hidden.add(name)
            if row.has_policies:
                guarded.add(name)
    return Facts(
        found,
        frozenset(hidden),
        frozenset(settings.extensions),
        {name: schema for name, schema in zip(settings.extensions, settings.schemas, strict=True) if schema},
        settings.work_mem_bytes,
        settings.hash_mem_multiplier,
        frozenset(guarded),
    )


def _relation(row: PlannedRelation, columns: tuple[Column, ...], indexes: tuple[Index, ...]) -> Relation:
    return Relation(
        oid=row.oid,
        schema=row.schema,
        name=row.name,
        relkind=row.relkind,
        rows=row.rows,
        size_bytes=row.size_bytes,
        live_rows=row.live_rows,
        is_temporary=row.relpersistence == "t",
        parent=None if row.parent_name is None else (row.parent_schema or "", row.parent_name),
        columns=columns,
        indexes=indexes,
    )


def _column(row: PlannedColumn) -> Column:
    return Column(
        name=row.name,
        attnum=row.attnum,
        type_name=row.type_name,
        has_statistics=row.has_statistics,
        base_type=row.base_type,
        is_orderable=row.is_orderable,
        null_frac=row.null_frac,
        n_distinct=row.n_distinct,
        avg_width=row.avg_width,
        correlation=row.correlation,
        most_common_freq=row.most_common_freq,
    )


def _index(row: PlannedIndex, texts: Expressions | None) -> Index:
    expressions = [None] * row.indnkeyatts if texts is None else texts.keys
    keys = [
        Key(
            column=column,
            expression=None if column is not None else expression,
            opclass=opclass,
            is_descending=bool(option & 1),
            nulls_first=bool(option & 2),
        )
        for column, expression, opclass, option in zip(
            row.columns, expressions, row.opclasses, row.indoption, strict=False
        )
    ]
    predicate = texts.predicate if texts is not None else "" if row.has_predicate else None
    return Index(
        name=row.name,
        method=row.method,
        keys=tuple(keys),
        include=tuple(name for name in row.columns[row.indnkeyatts :] if name is not None),
        predicate=predicate,
        is_unique=row.is_unique,
        is_valid=row.is_valid,
    )


def _expressions(conn: Connection, server: Server, indexes: Iterable[PlannedIndex]) -> dict[int, Expressions]:
    """By index; not those of tables that are locked."""
    by_table: dict[int, list[int]] = defaultdict(list)
    for index in indexes:
        if index.has_expressions or index.has_predicate:
            by_table[index.relation_oid].append(index.oid)
    if not by_table:
        return {}
    everything = [oid for oids in by_table.values() for oid in oids]
    found = _unlocked(conn, server, everything)
    if found is not None or len(by_table) == 1:
        return found or {}
    parts = [_unlocked(conn, server, oids) or {} for oids in by_table.values()]
    return {oid: row for part in parts for oid, row in part.items()}


def _unlocked(conn: Connection, server: Server, oids: Sequence[int]) -> dict[int, Expressions] | None:
    """None: one of their tables is locked."""
    try:
        with conn.pipeline(), conn.transaction():
            conn.execute(
                "/* dbopt: settings */ SELECT pg_catalog.set_config('lock_timeout', %s, true)",
                (f"{EXPRESSIONS_LOCK_TIMEOUT_MS}ms",),
            )
            rows = _sent(conn, server, EXPRESSIONS, {"oids": oids})
            return {row.oid: row for row in rows.fetchall()}
    except (psycopg.errors.LockNotAvailable, psycopg.errors.PipelineAborted):
        return None


def scene(facts: Facts, statement: Statement, plan: Node | None) -> Scene:
    """Of partitions it has the leaves in the plan, and the topmost table above them."""
    nodes = () if plan is None else plan.walk()
    names = {name for node in nodes if (name := node.relation) is not None}
    own = {name: facts.relations[name] for name in names if name in facts.relations}
    parents = {item.parent for item in own.values() if item.parent is not None}
    above = {name: facts.relations[name] for name in parents if name in facts.relations}
    return Scene(
        statement=statement,
        plan=plan,
        relations={**above, **own},
        extensions=facts.extensions,
        extension_schemas=facts.extension_schemas,
        work_mem_bytes=facts.work_mem_bytes,
        hash_mem_multiplier=facts.hash_mem_multiplier,
        may_see_statistics=facts.hidden.isdisjoint(names),
    )
