"""The conditions of a plan: whose they are, and which tables they join. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.suggest.reading import trees
from dbopt.suggest.reading.surroundings import CONDITIONS, JOINS, is_narrowed
from dbopt.workload import conditions as reading
from dbopt.workload.conditions import SUB_PLAN_CALL, Condition, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgast.pg_query_pb2 import Node as Tree

    from dbopt.suggest.reading.surroundings import Column, Source, Surroundings
    from dbopt.workload.plan import Node

_PARAMETER = re.compile(r"\$\d+")
_OF_JOINS = ("Hash Cond", "Merge Cond", "Join Filter")
# Rows come through these as they are, or in another order: what is looked up above them can be looked up below.
_PASSING = ("Append", "Gather", "Gather Merge", "Hash", "Materialize", "Memoize", "Merge Append", "Sort", *JOINS)


class Clauses:
    """`own`: by the number of a table, what is said of it alone. `joins`: what it has in common with others.
    `narrowed`: tables of which something else decides, too, which rows are kept: a subquery, an OR over tables.
    `linked`: by the number of a join, the columns that are equal in it; None: it has other conditions as well.
    """

    def __init__(self, around: Surroundings) -> None:
        self.own: dict[int, list[Condition]] = defaultdict(list)
        self.joins: dict[int, list[Condition]] = defaultdict(list)
        self.narrowed: set[int] = set()
        self.linked: dict[int, list[tuple[Column, Column]] | None] = {}
        self._around = around
        self._same: dict[Column, tuple[Column, ...]] = {}
        for node in around.plan.walk():
            if node.node_type in JOINS:
                self._read_join(node)
        for source in around.sources:
            if not source.is_searched:
                self.narrowed.add(source.number)
            results = around.results(source.top)
            for text in _texts(source.nodes[0]):  # of partitions the first stands for all
                self._read_scan(source, _without(results, text))
        self._close()

    def same(self, column: Column) -> tuple[Column, ...]:
        """The column, and those that have its value in each row that the joins give."""
        return self._same.get(column, (column,))

    def _read_scan(self, source: Source, text: str) -> None:
        alias = source.aliases[0]
        found = reading.conditions(text, alias=alias, types=source.types)
        for number, (tree, condition) in enumerate(zip(reading.parts(text), found, strict=True)):
            others = _aliases(tree) - {alias}
            if SUB_PLAN_CALL in condition.expression:
                self.narrowed.add(source.number)
            elif not others:
                _add(self.own[source.number], self._named(condition))
            elif not _is_link(condition):
                self.narrowed.add(source.number)
            else:
                self._add_link(source, condition)
                tops = self._around.tops(others)
                joins = [join for top in tops if (join := self._around.meeting(source.top, top)) is not None]
                # Not of a query around this one, nor where rows are counted or sorted out in between.
                is_here = len(joins) == len(others) == 1 and joins[0].node_type in JOINS
                if is_here and all(map(_passes, self._around.between(source.top, joins[0]))):
                    self._read_link(joins[0], text, number, {alias, *others})

    def _read_join(self, join: Node) -> None:
        self.linked.setdefault(join.number, [])
        for name in _OF_JOINS:
            text = str(join.raw.get(name, ""))
            for number, tree in enumerate(reading.parts(text) if text else ()):
                self._read_link(join, text, number, _aliases(tree))

    def _read_link(self, join: Node, text: str, number: int, aliases: set[str]) -> None:
        """A condition of the join, read from each of its sides."""
        pair: list[Column] = []
        for alias in sorted(aliases):
            source = self._around.by_alias.get(alias)
            types = {} if source is None else source.types
            condition = reading.conditions(text, alias=alias, types=types)[number]
            if not _is_link(condition):
                continue
            if source is not None and self._is_looked_up(source, join):
                self._add_link(source, condition)
            if condition.kind is Kind.EQUALITY and condition.operator == "=" and len(condition.columns) == 1:
                pair.append((alias, condition.columns[0]))
        known = self.linked.setdefault(join.number, [])
        if len(pair) != 2:
            self.linked[join.number] = None
            return
        if known is not None:
            known.append((pair[0], pair[1]))
        if all(is_narrowed(join, child) for child in join.children if not child.is_subplan):
            members = tuple(dict.fromkeys([*self.same(pair[0]), *self.same(pair[1])]))
            self._same |= dict.fromkeys(members, members)

    def _is_looked_up(self, source: Source, join: Node) -> bool:
        """Whether its rows can be looked up by what the other side of the join has."""
        way = self._around.between(source.top, join)
        return all(map(_passes, way)) and is_narrowed(join, way[-1] if way else source.top)

    def _add_link(self, source: Source, condition: Condition) -> None:
        _add(self.joins[source.number], self._named(condition))
        if condition.kind is Kind.EQUALITY and len(condition.columns) == 1:
            for twin, column in self._around.twins((source.aliases[0], condition.columns[0])):
                made = replace(condition, columns=(column,), qualifier=twin.alias, expression=_written(column))
                _add(self.joins[twin.number], self._named(made))

    def _close(self) -> None:
        """What follows of several joins: a = b and b = c make a = c."""
        for source in self._around.sources:
            known = {(item.columns, item.other_columns) for item in self.joins[source.number]}
            for (alias, column), members in self._same.items():
                if alias not in source.aliases:
                    continue
                for member in members:
                    other = self._shown(member)
                    if member[0] not in source.aliases and ((column,), (other,)) not in known:
                        made = Condition(
                            Kind.EQUALITY,
                            (column,),
                            source.alias,
                            _written(column),
                            "=",
                            other_side=_written(*member),
                            other_columns=(other,),
                        )
                        _add(self.joins[source.number], made)

    def _named(self, condition: Condition) -> Condition:
        """With the tables called as the statement calls them, not as their partitions are."""
        return replace(
            condition,
            qualifier=None if condition.qualifier is None else self._shown((condition.qualifier, ""))[0],
            # The result of another query, which the grammar does not write as it reads it.
            other_side="$0" if condition.other_side == "?" else condition.other_side,
            other_columns=tuple(map(self._shown, condition.other_columns)),
        )

    def _shown(self, column: tuple[str | None, str]) -> tuple[str | None, str]:
        source = self._around.by_alias.get(column[0] or "")
        return column if source is None else (source.alias, column[1])


def _without(results: frozenset[str], text: str) -> str:
    return _PARAMETER.sub(lambda found: "$0" if found[0] in results else found[0], text) if results else text


def _texts(scan: Node) -> Iterator[str]:
    """Of an OR by bitmaps only the whole says what has to hold."""
    below = tuple(scan.walk())
    if not any(node.node_type == "BitmapOr" for node in below):
        yield from (str(node.raw["Index Cond"]) for node in below if "Index Cond" in node.raw)
    yield from (str(scan.raw[name]) for name in CONDITIONS[1:] if name in scan.raw)


def _passes(node: Node) -> bool:
    """Whether what is looked up above it can be looked up below."""
    if node.node_type not in ("Aggregate", "Unique"):
        return node.node_type in _PASSING
    # Values made distinct, be it that IN needs them so: not so, where something is counted among them.
    return set(node.raw.get("Output", ())) <= set(node.raw.get("Group Key", ()))


def _is_link(condition: Condition) -> bool:
    return (
        condition.is_join
        and condition.operator in ("=", "= ANY")
        and condition.kind in (Kind.EQUALITY, Kind.FUNCTION, Kind.CAST)
    )


def _aliases(tree: Tree) -> set[str]:
    return {alias for alias, _ in reading.references(tree) if alias is not None}


def _written(*names: str) -> str:
    return reading.sql_text(trees.column(*names))


def _add(found: list[Condition], condition: Condition) -> None:
    if condition not in found:
        found.append(condition)
