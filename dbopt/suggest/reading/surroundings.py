"""Where the tables of a plan stand in it: what is above them, and what that does to their rows. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.values import dataclass
from dbopt.workload.nodes import parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dbopt.suggest.model import Name, Table
    from dbopt.workload.finding import Relation
    from dbopt.workload.plan import Node

NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_RESULT = re.compile(r"(?<=[ ,])\$\d+(?=[,)])")  # InitPlan 2 (returns $1,$2)
_QUALIFIER = re.compile(rf"({NAME})\.")
_COLUMN = re.compile(rf"({NAME})\.({NAME})")
APPENDS = ("Append", "Merge Append")
JOINS = ("Hash Join", "Nested Loop", "Merge Join")
CONDITIONS = ("Index Cond", "Recheck Cond", "Filter")  # of scans
# A scan of these is no search that an index could do.
_NO_SEARCH = ("ModifyTable", "Sample Scan", "Tid Scan", "Tid Range Scan", "Foreign Scan")
# By the kind of a join, the sides that a condition of it narrows down: those whose rows may be looked up by the other
# side's. The rows of the remaining side are all kept.
_NARROWED = {
    "Inner": ("Outer", "Inner"),
    "Semi": ("Outer", "Inner"),
    "Right Semi": ("Outer", "Inner"),
    "Left": ("Inner",),
    "Anti": ("Inner",),
    "Right": ("Outer",),
    "Right Anti": ("Outer",),
}
# And the sides whose order may be that of the result.
_DRIVING = {
    "Inner": ("Outer", "Inner"),
    "Left": ("Outer",),
    "Right": ("Inner",),
    "Semi": ("Outer",),
    "Anti": ("Outer",),
    "Right Semi": ("Inner",),
    "Right Anti": ("Inner",),
}
_KEEPING = ("Left", "Right")


@dataclass(frozen=True, slots=True)
class Source:
    """A table at one place in the statement. `nodes`: its scans, of a partitioned one those of its partitions; `top`:
    that which gives their rows together. `alias`: as the statement calls it, `aliases` as the plan does.
    """

    number: int
    name: Name
    alias: str
    aliases: tuple[str, ...]
    nodes: tuple[Node, ...]
    top: Node
    relation: Relation | None

    @property
    def types(self) -> Mapping[str, str]:
        if self.relation is None:
            return {}
        return {column.name: column.base_type or column.type_name for column in self.relation.columns}

    def is_all_of(self, node: Node) -> bool:
        """Whether the node puts together its partitions, and no other rows."""
        return node.number == self.top.number and {item.number for item in self.nodes} == {
            item.number for item in node.walk() if item.relation is not None
        }

    @property
    def is_searched(self) -> bool:
        return self.nodes[0].node_type not in _NO_SEARCH


Column = tuple[str, str]  # alias and name


class Surroundings:
    """A plan, the tables in it, and the way from each to the top."""

    def __init__(self, plan: Node, tables: Mapping[Name, Table]) -> None:
        self.plan = plan
        self.above = parents(plan)
        self.sources = tuple(self._sources(tables))
        self.by_alias = {alias: source for source in self.sources for alias in source.aliases}
        self._views = {
            str(above.alias): source
            for source in self.sources
            if (above := self.above.get(source.top.number)) is not None and above.node_type == "Subquery Scan"
        }
        self._branches = {column: branch for branch in self._appended() for column in branch}

    def way(self, start: Node) -> Iterator[tuple[Node, Node]]:
        """From a node up to where its query ends: each time a node and the one above it."""
        at = start
        while not at.is_subplan and (parent := self.above.get(at.number)) is not None:
            yield at, parent
            at = parent

    def between(self, node: Node, upper: Node) -> tuple[Node, ...]:
        """The nodes on the way from the one to the other, without both."""
        found = []
        for _, parent in self.way(node):
            if parent.number == upper.number:
                break
            found.append(parent)
        return tuple(found)

    def meeting(self, one: Node, other: Node) -> Node | None:
        """The lowest node that both are below of; None: they are parts of different queries."""
        ways = {parent.number for _, parent in self.way(one)}
        return next((parent for _, parent in self.way(other) if parent.number in ways), None)

    def tops(self, aliases: Iterable[str]) -> Iterator[Node]:
        """Where the rows come from that the plan calls so: of a table, a subquery, a function."""
        wanted = frozenset(aliases)
        for node in self.plan.walk():
            if node.alias in wanted:
                source = self.by_alias.get(str(node.alias))
                yield node if source is None else source.top

    def twins(self, column: Column) -> tuple[tuple[Source, str], ...]:
        """The columns in the same place of the other tables of a UNION ALL: the plan calls them all as the first."""
        return tuple(
            (source, name)
            for (alias, name) in self._branches.get(column, ())
            if alias != column[0] and (source := self.by_alias.get(alias)) is not None
        )

    def results(self, node: Node) -> frozenset[str]:
        """What a plan before 17 calls the results of the queries that are run before this one, once for all rows: `$n`.
        That may be a parameter's number as well: no value is known then, which is better than a wrong one.
        """
        found: list[str] = []
        below: Node | None = None
        at: Node | None = node
        while at is not None:
            for child in at.children:
                if below is not None and child.number == below.number:
                    if below.is_subplan:  # it knows of those before it
                        break
                    continue
                found += _RESULT.findall(str(child.raw.get("Subplan Name", "")))
            below, at = at, self.above.get(at.number)
        return frozenset(found)

    def inside(self, column: Column) -> Column:
        """Of a view that the planner keeps apart, as for its security: the column of that name of its one table."""
        source = self._views.get(column[0])
        if source is None:
            return column
        found = [own for own in _outputs(source.top) if own is not None and own[1] == column[1]]
        return found[0] if len(found) == 1 else column

    def _appended(self) -> Iterator[tuple[Column, ...]]:
        """Columns that become one column of a UNION ALL."""
        for node in self.plan.walk():
            if node.node_type not in APPENDS or any(source.is_all_of(node) for source in self.sources):
                continue
            branches = [list(_outputs(child)) for child in node.children if not child.is_subplan]
            if len({len(branch) for branch in branches}) == 1:
                for columns in zip(*branches, strict=True):
                    yield tuple(column for column in columns if column is not None)

    def _sources(self, tables: Mapping[Name, Table]) -> Iterator[Source]:
        roots = {leaf: name for name, table in tables.items() for leaf in table.leaves}
        groups: dict[object, list[Node]] = {}
        names: dict[object, Name] = {}
        for node in self.plan.walk():
            name = node.relation
            if name is None or node.alias is None or node.node_type == "ModifyTable":
                continue
            found = tables.get(name)
            root = roots.get(name) or (found.relation.parent if found is not None else None) or name
            key: object = node.number
            top = self._append(node)
            if root != name and top is not None:  # one of several partitions, looked at in the same way
                key = top.number, root, _form(node)
            groups.setdefault(key, []).append(node)
            names[key] = root
        for number, (key, nodes) in enumerate(groups.items()):
            top = self._append(nodes[0]) if not isinstance(key, int) else None
            aliases = tuple(dict.fromkeys(str(node.alias) for node in nodes))
            table = tables.get(names[key])
            alias = aliases[0]
            if top is not None:  # above its partitions the plan knows it by its own name
                alias = re.sub(r"_\d+$", "", alias)
                aliases = (*aliases, alias)
            yield Source(
                number,
                names[key],
                alias,
                aliases,
                tuple(nodes),
                top or nodes[0],
                None if table is None else table.relation,
            )

    def _append(self, node: Node) -> Node | None:
        """The topmost of those that put partitions together."""
        found = None
        for _, parent in self.way(node):
            if parent.node_type not in APPENDS:
                break
            found = parent
        return found


def side(child: Node) -> str:
    """Of a join: Outer or Inner."""
    return str(child.raw.get("Parent Relationship"))


def is_narrowed(join: Node, child: Node) -> bool:
    """Whether rows of the child may be looked up by what the other side has."""
    return side(child) in _NARROWED.get(_kind(join), ())


def drives(join: Node, child: Node) -> bool:
    """Whether the rows of the join may come in the order in which the child's come."""
    return side(child) in _DRIVING.get(_kind(join), ())


def keeps(join: Node, child: Node) -> bool:
    """Whether no row of the child is lost, whatever the other side has."""
    return _kind(join) in _KEEPING and drives(join, child)


def _kind(join: Node) -> str:
    return str(join.raw.get("Join Type", "Inner"))


def _outputs(node: Node) -> Iterator[Column | None]:
    """The columns that a scan gives, also through that of a subquery; None for what is no column."""
    while node.node_type in ("Subquery Scan", *APPENDS) and node.children:
        node = node.children[0]
    for text in node.raw.get("Output", ()):
        match = _COLUMN.fullmatch(text)
        yield None if match is None else (unquoted(match[1]), unquoted(match[2]))


def unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _form(node: Node) -> object:
    """The same for partitions that are looked at in the same way."""

    def without(match: re.Match[str]) -> str:
        return "" if unquoted(match[1]) == node.alias else match[0]

    texts = (str(node.raw[name]) for name in CONDITIONS if name in node.raw)
    return tuple(_QUALIFIER.sub(without, text) for text in texts)
