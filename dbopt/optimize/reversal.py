"""The way back from changes of indexes: a model of them, and the steps between its end and its beginning.

An index that is gone is built again concurrently: beside whatever has its name now, then both change names in one
transaction, as on the way here. Only an index that was taken into a tree is missed for as long as building it takes: it
goes with the tree.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt import grammar
from dbopt.optimize import decide, partition_drop
from dbopt.optimize.collect import NEW, OLD
from dbopt.optimize.steps import Action, Step
from dbopt.postgres.identifiers import derived, display, text
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.postgres.index_definitions import IndexDefinition

Name = tuple[str, str]  # schema, index

_GONE = "as it was before"
_MADE = "it was not there before"


@dataclass(slots=True, eq=False)
class _Node:
    """An index at some moment. `before`: what it was at the beginning, None for one that was made since."""

    table: tuple[str, str]
    before: IndexDefinition | None
    is_tree: bool  # of a partitioned table
    above: _Node | None = None
    comment: str | None = None


@dataclass(slots=True)
class Reversal:
    """First what was done, in its order; then `steps` and `lasting`, once."""

    before: Sequence[IndexDefinition]
    nodes: dict[Name, _Node] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {
            _name(one): _Node(
                table=(one.table_schema, one.table), before=one, is_tree=one.relkind == "I", comment=one.comment
            )
            for one in self.before
        }
        for one in self.before:
            if one.parent_schema is not None and one.parent is not None:
                self.nodes[_name(one)].above = self.nodes.get((one.parent_schema, one.parent))

    # What is done to indexes. Those of tables that the beginning knows nothing of are left alone.

    def create(self, name: Name, table: tuple[str, str], *, is_tree: bool) -> None:
        self.nodes[name] = _Node(table=table, before=None, is_tree=is_tree)

    def drop(self, name: Name) -> None:
        gone = self.nodes.get(name)
        if gone is not None:
            self.nodes = {key: node for key, node in self.nodes.items() if gone not in _upwards(node)}

    def rename(self, name: Name, to: str) -> None:
        if (node := self.nodes.pop(name, None)) is not None:
            self.nodes[name[0], to] = node

    def comment(self, name: Name, comment: str) -> None:
        if (node := self.nodes.get(name)) is not None:
            node.comment = comment or None

    def attach(self, above: Name, below: Name) -> None:
        if above in self.nodes and below in self.nodes:
            self.nodes[below].above = self.nodes[above]

    # And back.

    def lasting(self) -> Iterator[str]:
        """What no statement takes back: no index leaves the index of a partitioned table again."""
        for (schema, name), node in self.nodes.items():
            above = node.above
            if above is None or above.before is None or not _is_attached_since(node):
                continue
            yield f"{display(schema, name)} stays a part of {display(above.before.schema, above.before.index)}"

    def steps(self) -> Iterator[Step]:
        yield from self._names_back()
        for family in self._families():
            yield from self._made_again(family)
        for name, node in list(self.nodes.items()):
            if node.before is None and node.above is None and name in self.nodes:
                yield self._dropped(name, _MADE)
        yield from self._names_back()
        yield from self._comments_back()

    def _names_back(self) -> Iterator[Step]:
        """Of those whose own name is free."""
        for name, node in list(self.nodes.items()):
            if node.before is None or _name(node.before) == name or _name(node.before) in self.nodes:
                continue
            old = _name(node.before)
            self.nodes[old] = self.nodes.pop(name)
            yield _step(Action.RENAME, old, node, [decide.rename_index(*name, old[1])], _GONE)

    def _comments_back(self) -> Iterator[Step]:
        for name, node in self.nodes.items():
            if node.before is not None and node.before.comment != node.comment:
                yield _step(Action.COMMENT, name, node, [_comment(name, node.before.comment)], _GONE)

    def _families(self) -> list[list[IndexDefinition]]:
        """What is gone, each index of a partitioned table with its parts, from the top down. INVALID leftovers of a
        build are not missed.
        """
        there = {_name(node.before) for node in self.nodes.values() if node.before is not None}
        gone = {
            _name(one): one for one in self.before if _name(one) not in there and (one.is_usable or one.relkind == "I")
        }
        families: dict[Name, list[tuple[int, IndexDefinition]]] = {}
        for one in gone.values():
            top, depth = one, 0
            while (above := gone.get(_parent(top))) is not None:
                top, depth = above, depth + 1
            families.setdefault(_name(top), []).append((depth, one))
        return [[one for _, one in sorted(family, key=lambda pair: pair[0])] for family in families.values()]

    def _made_again(self, family: list[IndexDefinition]) -> Iterator[Step]:
        """Built and put together under names that are free, then under their own."""
        under = {_name(one): derived(one.index, NEW) if _name(one) in self.nodes else one.index for one in family}
        at_work = {_name(one): (one.schema, under[_name(one)]) for one in family}
        built: list[str] = []
        for one in family:
            built.append(create_statement(one, under[_name(one)]))
            if one.comment is not None:
                built.append(_comment(at_work[_name(one)], one.comment))
        for one in reversed(family):
            if (above := at_work.get(_parent(one))) is not None:
                statement = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}")
                built.append(text(statement.format(sql.Identifier(*above), sql.Identifier(*at_work[_name(one)]))))
        kept = [statement for one in family for statement in extra_statements(one)]
        swaps: list[str] = []
        tops: list[_Node] = []
        for one in reversed(family):
            name = _name(one)
            occupant = self.nodes.get(name)
            if occupant is not None:
                aside = (one.schema, derived(one.index, OLD))
                swaps += [decide.rename_index(*name, aside[1]), decide.rename_index(*at_work[name], one.index)]
                self.nodes[aside] = self.nodes.pop(name)
                tops += [top for top in [_upwards(occupant)[-1]] if all(top is not other for other in tops)]
        for one in family:
            table = (one.table_schema, one.table)
            self.nodes[_name(one)] = _Node(table, one, one.relkind == "I", comment=one.comment)
        for one in family:
            self.nodes[_name(one)].above = self.nodes.get(_parent(one))
        head = _name(family[0])
        statements = [*built, *(["BEGIN", *swaps, *kept, "COMMIT"] if swaps else kept)]
        yield _step(Action.REPLACE if swaps else Action.CREATE, head, self.nodes[head], statements, _GONE)
        for name, node in list(self.nodes.items()):
            if any(node is top for top in tops) and node.before is None:
                yield self._dropped(name, "superseded by the one that was there before")

    def _dropped(self, name: Name, reason: str) -> Step:
        """An index goes with all its parts; those that were there before on their own are built anew."""
        node = self.nodes[name]
        mine = [one for one in self.nodes.values() if one is not node and node in _upwards(one)]
        statements = [partition_drop.statement(*name) if node.is_tree else decide.drop_index(*name)]
        self.drop(name)
        for part in mine:
            if (own := part.before) is None:
                continue
            statements += [create_statement(own, own.index), *extra_statements(own)]
            if own.comment is not None:
                statements.append(_comment(_name(own), own.comment))
            self.nodes[_name(own)] = _Node(part.table, own, part.is_tree, comment=own.comment)
        return _step(Action.DROP, name, node, statements, reason)


def _name(one: IndexDefinition) -> Name:
    return one.schema, one.index


def _parent(one: IndexDefinition) -> Name:
    """Of no index, where it has none."""
    return one.parent_schema or "", one.parent or ""


def _upwards(node: _Node) -> list[_Node]:
    """Itself and those that it is a part of."""
    found = [node]
    while (above := found[-1].above) is not None:
        found.append(above)
    return found


def _is_attached_since(node: _Node) -> bool:
    assert node.above is not None
    return node.before is None or node.above.before is None or _parent(node.before) != _name(node.above.before)


def _step(action: Action, name: Name, node: _Node, statements: list[str], reason: str) -> Step:
    schema, table = node.table
    return Step(action=action, index=name[1], schema=schema, table=table, statements=tuple(statements), reason=reason)


def create_statement(one: IndexDefinition, name: str) -> str:
    """The server's own statement under another name, concurrently where that can be."""
    node = grammar.parse_one(one.definition)
    node.index_stmt.idxname = name
    node.index_stmt.concurrent = one.relkind != "I"
    node.index_stmt.relation.inh = one.relkind != "I"
    if one.tablespace is not None:
        node.index_stmt.table_space = one.tablespace
    return grammar.deparse(node)


def extra_statements(one: IndexDefinition) -> list[str]:
    """What an index has besides its definition and its comment."""
    table, index = sql.Identifier(one.table_schema, one.table), sql.Identifier(one.index)
    kept = []
    if one.indisclustered:
        kept.append(text(sql.SQL("ALTER TABLE {} CLUSTER ON {}").format(table, index)))
    if one.indisreplident:
        kept.append(text(sql.SQL("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}").format(table, index)))
    for number, target in enumerate(one.statistics_targets, start=1):
        if target is not None:
            statement = sql.SQL("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}")
            kept.append(text(statement.format(sql.Identifier(one.schema, one.index), number, target)))
    return kept


def _comment(name: Name, comment: str | None) -> str:
    if comment is None:
        return text(sql.SQL("COMMENT ON INDEX {} IS NULL").format(sql.Identifier(*name)))
    return decide.comment_on(*name, comment)
