"""The planner knows nothing of a table, or of a column that is compared.

Without statistics it guesses: that a value fits one row in 200, a range a third of them, a table never vacuumed ten
pages or more. Which index and which join are taken depends on that. ANALYZE reads a sample of the table (30,000 rows
with the default statistics target), whatever its size, and blocks neither reads nor writes.

Autovacuum analyzes a table when enough of it has changed. It does not come where it is disabled, to temporary and
partitioned tables, nor, for long, after pg_upgrade (before 18) or a crash, when the changes are no longer counted. A
column has no statistics if it was added since, or its statistics target is 0.

Tables of fewer than 10,000 rows are left out: with them every plan is quick. So is what finds a single row by an index.
Statistics of columns show only to those who may read the columns; of others nothing is said here.
https://www.postgresql.org/docs/current/planner-stats.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.identifiers import qualified, text
from dbopt.workload.conditions import Kind, conditions
from dbopt.workload.finding import Finding
from dbopt.workload.index_advice import ROWS_MIN, is_large
from dbopt.workload.model import Advice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.finding import Relation, Scene
    from dbopt.workload.plan import Node

_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter")
# Whose estimate needs the values of the column; of an expression, ANALYZE of the column says nothing.
_KINDS = (Kind.EQUALITY, Kind.RANGE, Kind.LIKE, Kind.NULL_TEST, Kind.CONTAINMENT)
# ANALYZE keeps too little of these to estimate by.
_NO_STATISTICS = ("json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle")


def _look(scene: Scene) -> Iterator[Advice]:
    by_relation: dict[int, tuple[Relation, list[Node]]] = {}
    for node in scene.nodes:
        relation = scene.relation(node)
        if relation is not None and relation.relkind in "rm" and node.node_type != "ModifyTable":
            by_relation.setdefault(relation.oid, (relation, []))[1].append(node)
    for relation, nodes in by_relation.values():
        if relation.rows is None:
            yield from _never(relation, nodes)
        elif scene.may_see_statistics and relation.rows > 0 and is_large(relation):
            yield from _columns(scene, relation, nodes)


def _never(relation: Relation, nodes: list[Node]) -> Iterator[Advice]:
    by_plan = max(node.plan_rows for node in nodes)
    rows = relation.live_rows or by_plan
    if rows < ROWS_MIN or all(node.index_name is not None and node.plan_rows <= 1 for node in nodes):
        return
    counted = "rows" if relation.live_rows else "rows by the planner's guess"
    about = " Autovacuum does not come to temporary tables." if relation.is_temporary else ""
    yield Advice(
        code=FINDING.code,
        message=f"{relation.name} was never analyzed, about {rows:,.0f} {counted}",
        why="How many rows a condition finds is a guess, and with it the choice of index and join.",
        hint=f"ANALYZE {_name(relation)};{about}",
        nodes=tuple(node.number for node in nodes),
    )


def _columns(scene: Scene, relation: Relation, nodes: list[Node]) -> Iterator[Advice]:
    bare = {
        column.name
        for column in relation.columns
        if not column.has_statistics and (column.base_type or column.type_name) not in _NO_STATISTICS
    }
    if not bare:
        return
    aliases = {node.alias for node in nodes if node.alias is not None}
    named: dict[str, int] = {}
    for node in scene.nodes:
        for key in _CONDITIONS:
            found = (
                item
                for alias in (aliases if key in node.raw else ())
                for item in conditions(str(node.raw[key]), alias=alias)
                if item.kind in _KINDS and (item.qualifier == alias or (item.qualifier is None and node.alias == alias))
            )
            for item in found:
                named.update({name: node.number for name in item.columns if name in bare})
    if named:
        names = ", ".join(sorted(named))
        are = ("has", "is") if len(named) == 1 else ("have", "are")
        yield Advice(
            code=FINDING.code,
            message=f"{names} of {relation.name} {are[0]} no statistics, and {are[1]} compared",
            why="How many rows a condition finds is a guess, and with it the choice of index and join.",
            hint=f"ANALYZE {_name(relation)}; if that changes nothing, see the column's statistics target: ALTER TABLE"
            " ... ALTER COLUMN ... SET STATISTICS -1;",
            nodes=tuple(sorted(set(named.values()))),
        )


def _name(relation: Relation) -> str:
    return text(qualified(relation.schema, relation.name))


FINDING = Finding(
    code="statistics-missing",
    title="Tables or columns without statistics",
    look=_look,
    source=f"{ROWS_MIN:,} rows as for health's statistics-missing: on small tables every plan is quick",
)
