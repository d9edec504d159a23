"""Which columns of a table a plan has need of. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.suggest.reading.surroundings import JOINS, NAME, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dbopt.suggest.reading.surroundings import Source, Surroundings
    from dbopt.workload.plan import Node

# What is said of a node in words that are no expressions.
_WORDS = frozenset(
    (
        *("Alias", "Async Capable", "CTE Name", "Command", "Custom Plan Provider", "Disabled", "Function Name"),
        *("Index Name", "Inner Unique", "Join Type", "Node Type", "Operation", "Parallel Aware"),
        *("Parent Relationship", "Partial Mode", "Plan Rows", "Plan Width", "Relation Name", "Scan Direction"),
        *("Schema", "Single Copy", "Startup Cost", "Strategy", "Subplan Name", "Total Cost", "Tuplestore Name"),
        *("Workers Planned", "Cache Mode"),
    )
)
# Those above which a scan may hand on more than is needed (use_physical_tlist): what they need, they say themselves.
_CHOOSING = (*JOINS, "Aggregate", "Group", "WindowAgg", "ProjectSet", "Result")
_TOKEN = re.compile(rf"'(?:[^']|'')*'|(?:({NAME})\.)?({NAME}|\*)")


def needed(around: Surroundings) -> Mapping[int, frozenset[str] | None]:
    """By the number of a table. None: all of its columns, or its place in the table."""
    found: dict[int, set[str]] = {source.number: set() for source in around.sources}
    scans = {node.number: source for source in around.sources for node in source.nodes}
    only = around.sources[0] if len(around.sources) == 1 else None
    for node in around.plan.walk():
        source = scans.get(node.number)
        parent = None if node.is_subplan else around.above.get(node.number)
        is_exact = source is None or parent is None or parent.node_type not in _CHOOSING
        for text in _texts(node, outputs=is_exact):
            for match in _TOKEN.finditer(text):
                if match[2] is None:
                    continue
                of = only if match[1] is None else around.by_alias.get(unquoted(match[1]))
                if of is not None:
                    found[of.number].add(unquoted(match[2]) if match[1] else _bare(match[2]))
    return {source.number: _columns(source, found[source.number]) for source in around.sources}


def _bare(name: str) -> str:
    """`count(*)` has no column."""
    return "" if name == "*" else unquoted(name)


def _columns(source: Source, names: set[str]) -> frozenset[str] | None:
    if source.relation is None or "*" in names or not names.isdisjoint(("ctid", "tableoid", "xmin", "xmax")):
        return None
    known = {column.name for column in source.relation.columns}
    return None if names >= known else frozenset(names & known)


def _texts(node: Node, *, outputs: bool) -> Iterator[str]:
    for name, value in node.raw.items():
        if name in _WORDS or (name == "Output" and not outputs):
            continue
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text
