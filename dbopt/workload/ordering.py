"""The order that a plan sorts rows into, and the index that would have them in that order already. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbopt.values import dataclass
from dbopt.workload import index_advice
from dbopt.workload.conditions import Kind, of_node

if TYPE_CHECKING:
    from dbopt.workload.finding import Index, Key, Relation, Scene
    from dbopt.workload.plan import Node

_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan")
_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond")


@dataclass(frozen=True, slots=True)
class By:
    """A column to sort by."""

    column: str
    is_descending: bool
    nulls_first: bool

    @property
    def has_usual_nulls(self) -> bool:
        """NULLs count as larger than all else, unless it is said."""
        return self.nulls_first == self.is_descending

    def is_given_by(self, key: Key, *, backward: bool) -> bool:
        return (
            key.column == self.column
            and (key.is_descending != backward) == self.is_descending
            and (key.nulls_first != backward) == self.nulls_first
            and "pattern" not in key.opclass  # those know another order
        )


@dataclass(frozen=True, slots=True)
class Access:
    """What a scan looks for, if an index can give just these rows: columns that are equal to one value, and what a
    partial index would leave out.
    """

    equality: tuple[str, ...]
    where: str | None


def sorted_by(keys: Sequence[str]) -> tuple[By, ...]:
    """Of a plan's `Sort Key`: plain columns. Empty where any is something else."""
    from postgast import pg_query_pb2

    from dbopt import grammar

    try:
        tree = grammar.parse_one(f"SELECT ORDER BY {', '.join(keys)}")
    except grammar.GrammarError:
        return ()
    found = []
    for item in tree.select_stmt.sort_clause:
        sort = item.sort_by
        is_column = sort.node.HasField("column_ref") and sort.node.column_ref.fields[-1].HasField("string")
        if not is_column or sort.sortby_dir == pg_query_pb2.SORTBY_USING:
            return ()
        is_descending = sort.sortby_dir == pg_query_pb2.SORTBY_DESC
        nulls_first = {pg_query_pb2.SORTBY_NULLS_FIRST: True, pg_query_pb2.SORTBY_NULLS_LAST: False}
        name = sort.node.column_ref.fields[-1].string.sval
        found.append(By(name, is_descending, nulls_first.get(sort.sortby_nulls, is_descending)))
    return tuple(found)


def sorted_scans(scene: Scene, sort: Node) -> tuple[tuple[Node, Relation], ...]:
    """The scan of the one table that it sorts, or those of a table's partitions; empty where it sorts anything else."""
    below = sort.children[0] if len(sort.children) == 1 else None
    if below is None:
        return ()
    scans = below.children if below.node_type == "Append" else (below,)
    found = tuple(
        (scan, relation)
        for scan in scans
        if scan.node_type in _SCANS and (relation := scene.relation(scan)) is not None
    )
    tables = {relation.parent or (relation.schema, relation.name) for _, relation in found}
    return found if len(found) == len(scans) and len(tables) == 1 else ()


def fragment(
    scene: Scene, scans: Sequence[tuple[Node, Relation]], order: Sequence[By], why: str
) -> Mapping[str, Any] | None:
    """The entry of a spec for an index that has just what is looked for, in this order. None: there is such an index,
    or there can be none, or one would not do.
    """
    looked_for = {_access(scan, relation, order) for scan, relation in scans}
    found = looked_for.pop() if len(looked_for) == 1 else None
    if found is None or any(_is_there(relation, found.equality, order) for _, relation in scans):
        return None
    return _entry(scene, scans[0][1], found, order, why)


def words(spec: Mapping[str, Any]) -> str:
    """`orders (status, total DESC NULLS LAST) WHERE deleted_at IS NULL`"""
    keys = [{"column": key} if isinstance(key, str) else key for key in spec["keys"]]
    parts = (
        f"{key['column']}{' DESC' if key.get('order') == 'desc' else ''}"
        f"{' NULLS ' + key['nulls'].upper() if 'nulls' in key else ''}"
        for key in keys
    )
    where = f" WHERE {spec['where']}" if "where" in spec else ""
    return f"{spec['table']['name']} ({', '.join(parts)}){where}"


def _access(scan: Node, relation: Relation, order: Sequence[By]) -> Access | None:
    """None: something has to be looked at in the rows themselves, so that nobody knows how many would have to be read
    in order until enough of them fit.
    """
    equality: dict[str, None] = {}
    where: list[str] = []
    for node in scan.walk():
        if node.node_type == "BitmapOr" or node.is_subplan:
            return None
        for name in _CONDITIONS:
            if node.raw.get(name) is None or (node is not scan and name != "Index Cond"):
                continue
            found = of_node(replace(node, raw={**node.raw, "Alias": scan.alias}), relation, name)
            if not found:
                return None
            for item in found:
                if item.kind is Kind.NULL_TEST and item.operator is not None:
                    where.append(f"{item.expression} {item.operator}")
                elif item.kind is Kind.EQUALITY and item.operator == "=" and not item.is_join:
                    equality |= dict.fromkeys(item.columns)
                elif item.kind is not Kind.RANGE or item.is_join or item.columns != (order[0].column,):
                    return None
    return Access(tuple(equality), " AND ".join(dict.fromkeys(where)) or None)


def _is_there(relation: Relation, equality: Sequence[str], order: Sequence[By]) -> bool:
    """Whether an index has this order, so that the planner could have used it. A partial one counts: nobody knows here
    whether it holds the rows.
    """
    return any(_gives(index, equality, order) for index in relation.indexes)


def _gives(index: Index, equality: Sequence[str], order: Sequence[By]) -> bool:
    if index.method != "btree" or not index.is_valid:
        return False
    needed = [by for by in order if by.column not in equality]
    keys = [key for key in index.keys if key.column is None or key.column not in equality]
    if len(keys) < len(needed):
        return False
    return any(
        all(by.is_given_by(key, backward=backward) for by, key in zip(needed, keys, strict=False))
        for backward in (False, True)
    )


def _entry(scene: Scene, relation: Relation, found: Access, order: Sequence[By], why: str) -> Mapping[str, Any] | None:
    needed = [by for by in order if by.column not in found.equality]
    if not needed or len(found.equality) + len(needed) > index_advice.KEYS_MAX:
        return None
    is_usual = all(by.has_usual_nulls for by in needed)
    # It knows of no other place of NULLs, and that no index has this order is known already.
    others = relation.indexes if is_usual else tuple(replace(index, is_valid=False) for index in relation.indexes)
    made = index_advice.advise_in(
        scene,
        replace(relation, indexes=others),
        equality=found.equality,
        sort=[(by.column, by.is_descending) for by in needed],
        where=found.where,
        why=why,
    )
    if made is None or not _ends_with(made["keys"], needed):
        return None
    if is_usual:
        return made
    return {**made, "keys": [*made["keys"][: -len(needed)], *map(_spelled_out, needed)]}


def _ends_with(keys: Sequence[Any], order: Sequence[By]) -> bool:
    """Whether it has the order at all: a column may be too wide for an index."""
    names = [key["column"] if isinstance(key, Mapping) else key for key in keys]
    return names[-len(order) :] == [by.column for by in order]


def _spelled_out(by: By) -> str | dict[str, str]:
    if not by.is_descending and by.has_usual_nulls:
        return by.column
    key = {"column": by.column, **({"order": "desc"} if by.is_descending else {})}
    return key if by.has_usual_nulls else {**key, "nulls": "first" if by.nulls_first else "last"}
