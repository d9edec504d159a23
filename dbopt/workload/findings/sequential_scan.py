"""A large table is read whole, and few of its rows are kept.

Every call reads each row of the table, to throw nearly all of them away; the time grows with the table, and what is
read pushes other tables out of the cache. An index on the columns that are compared finds the rows themselves.

It is named from 10,000 rows or 8 MB on, where at most one row in twenty is kept and reading the table is a good part of
the statement's cost. How many are kept is what the planner expects of a value that it does not know; where the
statement gives back just the rows that were kept, it is how many it gave back on average. Nothing is said

- of tables that were never analyzed, as nobody knows then how many rows are kept (see statistics-missing),
- where LIMIT ends the scan early,
- where there is an index already: the planner knew it, and expects it to cost more. A value that most rows have is
  not worth an index, a rare one is: a partial index, with the rare value in its WHERE, serves such a statement,
- of an OR, unless each of its sides is one that an index can find,
- where an expression, a cast or a pattern is all that it is searched by: see function-on-column, implicit-cast and
  leading-wildcard.

Each index costs every INSERT, and UPDATEs, a little more: a table that is written often and read so once a day is
better off without. https://www.postgresql.org/docs/current/indexes-intro.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.units import format_bytes
from dbopt.workload.conditions import Condition, Kind
from dbopt.workload.finding import Finding
from dbopt.workload.index_advice import advise_in
from dbopt.workload.model import Advice
from dbopt.workload.scans import (
    KEPT_FRACTION_MAX,
    WASTE_SOURCE,
    equal_columns,
    range_columns,
    scans,
    selectivity,
    usable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from dbopt.workload.finding import Column, Index, Relation, Scene
    from dbopt.workload.scans import Scan

# What the default operator classes of GIN can search for, by type.
_GIN = {"jsonb": ("@>", "?", "?|", "?&", "@@", "@?"), "tsvector": ("@@", "@@@"), "[]": ("@>", "<@", "&&")}


def _look(scene: Scene) -> Iterator[Advice]:
    for scan in scans(scene, ("Seq Scan",)):
        if scan.is_wasteful:
            yield from _judged(scene, scan)


def _judged(scene: Scene, scan: Scan) -> Iterator[Advice]:
    found = usable(scan.filter)
    table = scan.target.name
    why = f"finds the rows of {table} that are wanted, instead of reading all of them"
    if found:
        # With conditions that no index knows the planner's number is about all of them together.
        rest = [item for item in scan.filter if item not in found]
        fits = scan.kept / scan.read if not rest else selectivity(scan.relation, found)
        if fits is None or fits > KEPT_FRACTION_MAX:
            return
        columns = {"equality": equal_columns(found), "range_": range_columns(found)}
        spec = advise_in(scene, scan.relation, **columns, why=why)
    elif any(item.arms for item in scan.filter):
        yield from _either(scene, scan)
        return
    else:
        held = [item for item in scan.filter if _in_gin(scan.relation, item)]
        if not held:
            return
        spec = advise_in(scene, scan.relation, equality=held[0].columns, method="gin", why=why)
    broken = _invalid(scan.relation, found)
    if spec is None and broken is None:
        return
    yield Advice(
        code=FINDING.code,
        message=f"reads all of {table}, {scan.read:,.0f} rows, to keep {scan.kept_words}: {scan.conditions_text}",
        why=f"Each call looks at every row ({format_bytes(scan.size_bytes)}), whatever it is asked for.",
        hint=_mend(scan.relation, broken) if broken is not None else _words(table, spec or {}),
        spec=None if broken is not None else spec,
        nodes=scan.numbers,
    )


def _either(scene: Scene, scan: Scan) -> Iterator[Advice]:
    """Of an OR each side needs an index; what they find is put together (BitmapOr)."""
    table = scan.target.name
    arms = next(item.arms for item in scan.filter if item.arms)
    parts = [selectivity(scan.relation, (arm,)) for arm in arms if usable((arm,))]
    known = [part for part in parts if part is not None]
    if len(known) < len(arms) or sum(known) > KEPT_FRACTION_MAX:
        return
    for arm in arms:
        columns = {"equality": equal_columns((arm,)), "range_": range_columns((arm,))}
        why = f"finds the rows of {table} for one side of an OR"
        spec = advise_in(scene, scan.relation, **columns, why=why)
        if spec is not None:
            yield Advice(
                code=FINDING.code,
                message=f"reads all of {table}, {scan.read:,.0f} rows, to keep {scan.kept_words}, as no index knows"
                f" {arm.columns[0]}: {scan.conditions_text}",
                why="Of an OR each side needs an index, or each call looks at every row.",
                hint=f"{_words(table, spec)} The server puts together what the indexes of the sides find.",
                spec=spec,
                nodes=scan.numbers,
            )


def _in_gin(relation: Relation, item: Condition) -> bool:
    column = relation.column(item.columns[0]) if len(item.columns) == 1 else None
    return column is not None and item.kind is Kind.CONTAINMENT and item.operator in _GIN.get(_family(column), ())


def _family(column: Column) -> str:
    name = column.base_type or column.type_name
    return "[]" if name.endswith("[]") else name


def _invalid(relation: Relation, found: tuple[Condition, ...]) -> Index | None:
    """An index that would do, had its build not failed."""
    names = set(equal_columns(found)) or set(range_columns(found))
    return next((index for index in relation.indexes if not index.is_valid and index.keys[0].column in names), None)


def _mend(relation: Relation, index: Index) -> str:
    from dbopt.postgres.identifiers import qualified, text

    name = text(qualified(relation.schema, index.name))
    return f"{index.name} is INVALID: its build has failed. REINDEX INDEX CONCURRENTLY {name};"


def _words(table: str, spec: Mapping[str, Any]) -> str:
    keys = ", ".join(key if isinstance(key, str) else key.get("column", key.get("expr")) for key in spec["keys"])
    method = f" USING {spec['method']}" if "method" in spec else ""
    return f"An index on {table}{method} ({keys}) finds them."


FINDING = Finding(
    code="sequential-scan",
    title="Large table read whole for few rows",
    look=_look,
    source=WASTE_SOURCE,
)
