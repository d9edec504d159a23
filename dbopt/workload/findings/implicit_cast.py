"""A column is cast to another type before it is compared, so that no index on it can be used.

An index knows its column's own type. Where the other side has another one, the server casts the column to meet it: an
integer column compared with a numeric is `id::numeric = $1`, a character(n) compared with a text `code::text = $1`. It
is the driver, which sends each number as numeric or each time with a time zone, or a cast in the statement that brings
the other type in. All of the table is read then, though there is an index. Two columns that are joined and differ in
type do the same to each other.

Cast the parameter to the column's type, or declare it so in the driver; of two columns, change the type of one. Mind
that it is another question sometimes: 1.5 is no integer, and '007' as a number is 7.

It is named for tables from 10,000 rows or 8 MB on that are read whole to keep few rows; a cast that only changes the
name of a type (character varying to text) is none.
https://www.postgresql.org/docs/current/typeconv-oper.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.workload.conditions import Condition, Kind, conditions
from dbopt.workload.finding import Finding
from dbopt.workload.index_advice import advise_in
from dbopt.workload.model import Advice
from dbopt.workload.nodes import parents
from dbopt.workload.scans import KEPT_FRACTION_MAX, WASTE_SOURCE, equal_columns, usable, whole_scans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.finding import Relation, Scene
    from dbopt.workload.scans import Scan

_OPERATORS = ("=", "= ANY", "<", "<=", ">", ">=")
_TIMES = ("timestamp without time zone", "timestamp with time zone")
_JOINS = ("Hash Cond", "Merge Cond", "Join Filter")


def _look(scene: Scene) -> Iterator[Advice]:
    for scan in whole_scans(scene):
        if scan.is_wasteful:
            for item in scan.filter:
                yield from _judged(scene, scan, item)
        elif scan.is_costly:
            yield from _joined(scene, scan)


def _is_cast(relation: Relation, item: Condition) -> bool:
    column = relation.column(item.columns[0]) if len(item.columns) == 1 else None
    if column is None or item.kind is not Kind.CAST or item.operator not in _OPERATORS:
        return False
    # A time cast to its day asks for a range: function-on-column.
    return item.cast != "date" or (column.base_type or column.type_name) not in _TIMES


def _judged(scene: Scene, scan: Scan, item: Condition) -> Iterator[Advice]:
    if item.is_join or not _is_cast(scan.relation, item):
        return
    others = equal_columns(usable(scan.filter))
    name, table = item.columns[0], scan.target.name
    is_equal = item.operator in ("=", "= ANY")
    spec = advise_in(
        scene,
        scan.relation,
        equality=(name, *others) if is_equal else others,
        range_=() if is_equal else (name,),
        why=f"finds the rows of {table} by {name}, once the statement compares it as what it is",
    )
    own = _own_type(scan.relation, name)
    kept = "the index on it away" if spec is None else "any index on it away"
    yield Advice(
        code=FINDING.code,
        message=f"reads all of {table}, {scan.read:,.0f} rows, as {name} ({_type(scan.relation, name)}) is cast to"
        f" {item.cast}: {scan.conditions_text}",
        why=f"The cast keeps {kept}, and is made for each row on each call.",
        hint=f"Cast the other side instead, {_written(item, own)}, or have the driver send it as {own}.",
        spec=spec,
        nodes=scan.numbers,
    )


def _written(item: Condition, own: str) -> str:
    if item.operator == "= ANY":
        return f"{item.columns[0]} = ANY (CAST(... AS {own}[]))"
    return f"{item.columns[0]} {item.operator} CAST(... AS {own})"


def _type(relation: Relation, name: str) -> str:
    column = relation.column(name)
    return "" if column is None else column.base_type or column.type_name


def _own_type(relation: Relation, name: str) -> str:
    """As one writes it in a cast: `character` alone would cut all but the first."""
    found = _type(relation, name)
    return {"character": "bpchar", '"char"': '"char"'}.get(found, found)


def _joined(scene: Scene, scan: Scan) -> Iterator[Advice]:
    """It is read whole for a few rows of another table, whose column has another type."""
    if scene.plan is None or len(scan.nodes) != 1 or scan.nodes[0].alias is None:
        return
    node, above = scan.nodes[0], parents(scene.plan)
    types = {column.name: column.base_type or column.type_name for column in scan.relation.columns}
    at = node
    while (join := above.get(at.number)) is not None:
        others = [child for child in join.children if child.number != at.number and not child.is_subplan]
        texts = [str(join.raw[name]) for name in _JOINS if name in join.raw]
        if others and texts:
            found = [item for text in texts for item in conditions(text, alias=node.alias, types=types)]
            few = others[0].plan_rows <= scan.read * KEPT_FRACTION_MAX
            for item in found if few else ():
                is_indexed = any(index.keys[0].column in item.columns for index in scan.relation.indexes)
                if item.is_join and is_indexed and _is_cast(scan.relation, item):
                    yield _said(scan, item)
            return
        at = join


def _said(scan: Scan, item: Condition) -> Advice:
    name, table = item.columns[0], scan.target.name
    other = ", ".join(column if alias is None else f"{alias}.{column}" for alias, column in item.other_columns)
    return Advice(
        code=FINDING.code,
        message=f"reads all of {table}, {scan.read:,.0f} rows, as {name} ({_type(scan.relation, name)}) is cast to"
        f" {item.cast} to be joined with {other}",
        why=f"The cast keeps the index on {name} away, that would find the few rows which are joined.",
        hint=f"Give both columns one type, or cast {other} to {_own_type(scan.relation, name)} in the statement.",
        nodes=scan.numbers,
    )


FINDING = Finding(
    code="implicit-cast",
    title="Cast of a column that keeps its index away",
    look=_look,
    source=WASTE_SOURCE,
)
