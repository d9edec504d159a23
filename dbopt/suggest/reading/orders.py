"""In which order a statement wants the rows of a table, and how many of them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.suggest.model import SortKey
from dbopt.suggest.reading.surroundings import APPENDS, JOINS, drives, keeps
from dbopt.values import dataclass
from dbopt.workload import conditions as reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postgast.pg_query_pb2 import Node as Tree

    from dbopt.suggest.reading.clauses import Clauses
    from dbopt.suggest.reading.surroundings import Column, Source, Surroundings
    from dbopt.workload.plan import Node

_SORTS = ("Sort", "Incremental Sort")
_GROUPS = ("Aggregate", "Group")
# Rows come through these one by one, in the order in which they are.
_STREAMING = (
    *("Append", "Gather", "Gather Merge", "Hash", "LockRows", "Materialize", "Memoize", "Merge Append", "ProjectSet"),
    *("Result", "Subquery Scan", "Unique"),
)
_DISTINCT_ON = re.compile(r"\bdistinct\s+on\s*\(", re.IGNORECASE)
# An early stop reads at most twice the rows where a join leaves half of them: our own reasoning.
LOST_FRACTION_MAX = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """As Access has it."""

    order: tuple[SortKey, ...] = ()
    limit: bool = False
    group: tuple[str, ...] = ()
    extreme: tuple[str, ...] = ()


class Orders:
    """`query`: the statement. Of DISTINCT ON the plan does not tell it from DISTINCT."""

    def __init__(self, around: Surroundings, clauses: Clauses, query: str) -> None:
        self._around = around
        self._clauses = clauses
        self._has_distinct_on = _DISTINCT_ON.search(query) is not None

    def wanted(self, source: Source) -> Wanted:
        """Going up from the table until something needs all rows, or puts them into another order."""
        group: tuple[str, ...] = ()
        order: tuple[SortKey, ...] = ()
        waits = False  # for all rows, before it gives one
        for child, node in self._around.way(source.top):
            if node.node_type in JOINS:
                if not drives(node, child):
                    break
            elif node.node_type in _GROUPS:
                if group or order:
                    break
                group = self._group(source, node.raw.get("Group Key", ()))
                waits = waits or bool(node.filter)  # nobody knows how many groups HAVING leaves
                if not group:
                    return Wanted(extreme=self._extreme(source, node))
            elif node.node_type in _SORTS and not self._is_for_others(node):
                waits = waits or bool(order)  # sorted once more, as above a window function
                order = order or self._order(source, node, group)
                if not order:
                    break
            elif node.node_type == "Unique" and not group and self._is_distinct(node):
                group, order = tuple(key.column for key in order if key.column is not None), ()
            elif node.node_type == "WindowAgg":
                waits = waits or not order
            elif node.node_type == "Limit":
                return Wanted(order=order, limit=not waits, group=group)
            elif node.node_type not in (*_STREAMING, *_SORTS):
                break
        return Wanted(order=order, group=group)

    def is_narrowed(self, source: Source) -> bool:
        """Whether rows of the table are thrown away for what no index on it knows."""
        return source.number in self._clauses.narrowed or self._loses(source, None)

    def _loses(self, source: Source, until: Node | None) -> bool:
        """On the way up to a node, or as far as rows come one by one."""
        for child, node in self._around.way(source.top):
            if until is not None and node.number == until.number:
                return False
            if node.node_type in JOINS:
                if node.filter or not (keeps(node, child) or self._finds_all(node, child)):
                    return True
            elif node.node_type == "Subquery Scan" and node.filter:
                return True
            elif node.node_type not in (*_STREAMING, *_SORTS):
                return False
        return False

    def _finds_all(self, join: Node, child: Node) -> bool:
        """Whether the other side has just one row for each of the child's, but for some: the table that a foreign key
        refers to, whole.
        """
        pairs = self._clauses.linked.get(join.number)
        if str(join.raw.get("Join Type", "Inner")) != "Inner" or not pairs:
            return False
        ends = [(one, other) if self._is_below(other, join, child) else (other, one) for one, other in pairs]
        aliases = {alias for (alias, _), _ in ends}
        target = self._around.by_alias.get(aliases.pop()) if len(aliases) == 1 else None
        if (
            target is None
            or not self._is_alone(target, join)
            or self._clauses.own.get(target.number)
            or target.number in self._clauses.narrowed
        ):
            return False
        if not _is_unique(target, {column for (_, column), _ in ends}) or self._loses(target, join):
            return False
        return all(self._null_fraction(column) <= LOST_FRACTION_MAX for _, column in ends)

    def _is_alone(self, source: Source, join: Node) -> bool:
        """Not one of several tables of a UNION ALL."""
        way = (source.top, *self._around.between(source.top, join))
        return not any(node.node_type in APPENDS and not source.is_all_of(node) for node in way)

    def _is_below(self, column: Column, join: Node, child: Node) -> bool:
        source = self._around.by_alias.get(column[0])
        if source is None:
            return False
        way = (source.top, *self._around.between(source.top, join))
        return way[-1].number == child.number

    def _null_fraction(self, column: Column) -> float:
        source = self._around.by_alias.get(column[0])
        known = None if source is None or source.relation is None else source.relation.column(column[1])
        return 0.0 if known is None or known.null_frac is None else known.null_frac

    def _is_for_others(self, sort: Node) -> bool:
        """A Sort that what is above it needs for its own work: the statement asked for no order there."""
        parent = self._around.above.get(sort.number)
        if parent is None:
            return False
        if parent.node_type in _GROUPS:
            return len(parent.raw.get("Group Key", ())) >= len(sort.sort_key)
        return parent.node_type in ("Merge Join", "SetOp")

    def _is_distinct(self, unique: Node) -> bool:
        """All that comes out is sorted by, in whatever order."""
        sort = unique.children[0] if unique.children else None
        if self._has_distinct_on or sort is None or sort.node_type not in _SORTS:
            return False
        usual = all(not is_descending and not nulls_first for _, is_descending, nulls_first in _keys(sort.sort_key))
        return usual and len(unique.raw.get("Output", ())) == len(sort.sort_key)

    def _order(self, source: Source, sort: Node, group: Sequence[str]) -> tuple[SortKey, ...]:
        """Empty where the table alone cannot give it; of groups, where it is not one of them."""
        found = []
        for tree, is_descending, nulls_first in _keys(sort.sort_key):
            column = self._own_column(source, tree)
            expression = None if column is not None or group else self._own_expression(source, tree)
            if (column is None and expression is None) or (group and column not in group):
                return ()
            found.append(SortKey(column, expression, is_descending, nulls_first))
        return tuple(found)

    def _group(self, source: Source, keys: Sequence[str]) -> tuple[str, ...]:
        columns = [self._own_column(source, tree) for tree, *_ in _keys(keys)]
        return tuple(dict.fromkeys(name for name in columns if name is not None)) if None not in columns else ()

    def _extreme(self, source: Source, node: Node) -> tuple[str, ...]:
        """Of a SELECT of nothing but min() and max() from one table."""
        below = node.children[0] if node.children else node
        if node.raw.get("Group Key") or node.raw.get("Grouping Sets") or below.number != source.top.number:
            return ()
        found = []
        for tree, *_ in _keys(node.raw.get("Output", ())):
            call = tree.func_call
            is_extreme = call.funcname and call.funcname[-1].string.sval in ("min", "max") and len(call.args) == 1
            column = self._own_column(source, call.args[0]) if is_extreme else None
            if column is None:
                return ()
            found.append(column)
        return tuple(dict.fromkeys(found))

    def _own_column(self, source: Source, tree: Tree) -> str | None:
        """The plain column, or one of the table that has the same value."""
        if not tree.HasField("column_ref"):
            return None
        found = tuple(reading.references(tree))
        if len(found) != 1:
            return None
        alias, name = found[0]
        if alias is None:
            return name if len(self._around.sources) == 1 else None
        wanted = self._around.inside((alias, name))
        for other, column in self._clauses.same(wanted):
            if other in source.aliases:
                return column
        return next((column for twin, column in self._around.twins(wanted) if twin is source), None)

    def _own_expression(self, source: Source, tree: Tree) -> str | None:
        aliases = {alias for alias, _ in reading.references(tree)}
        is_own = bool(aliases) and all(alias is None or alias in source.aliases for alias in aliases)
        if not is_own or tree.HasField("collate_clause"):  # the order of a collation that the column does not have
            return None
        return reading.sql_text(reading.unqualified(tree)) or None


def _is_unique(source: Source, columns: set[str]) -> bool:
    """Whether no two rows have the same values in all of these."""
    if source.relation is None:
        return False
    for index in source.relation.indexes:
        keys = {key.column for key in index.keys}
        if index.is_unique and index.is_valid and index.predicate is None and keys <= columns:
            return True
    return False


def _keys(texts: Sequence[str]) -> Iterator[tuple[Tree, bool, bool]]:
    """Expressions, whether they are descending, and whether NULLs come first. None where any cannot be read."""
    from postgast import pg_query_pb2 as pb

    from dbopt import grammar

    if not texts:
        return
    try:
        tree = grammar.parse_one(f"SELECT ORDER BY {', '.join(texts)}")
    except grammar.GrammarError:
        return
    first = {pb.SORTBY_NULLS_FIRST: True, pb.SORTBY_NULLS_LAST: False}
    items = [item.sort_by for item in tree.select_stmt.sort_clause]
    if any(item.sortby_dir == pb.SORTBY_USING for item in items):
        return
    for item in items:
        is_descending = item.sortby_dir == pb.SORTBY_DESC
        yield item.node, is_descending, first.get(item.sortby_nulls, is_descending)
