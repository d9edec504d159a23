"""Plans with indexes that are not there, as they can be shown: by the names suggested, without anybody's values."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbopt.render.suggest_words import without_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.suggest.model import Candidate, Costed, Suggestion
    from dbopt.workload.plan import Node

_HYPOTHETICAL = re.compile(r"<[0-9]+>(?P<method>[a-z]+)_(?P<rest>.*)", re.DOTALL)
# Names and numbers; all else that EXPLAIN says may hold a constant of the statement.
_PLAIN = ("Node Type", "Relation Name", "Schema", "Alias", "Index Name", "CTE Name", "Function Name", "Subplan Name")


def shown(costed: Costed, suggestions: Sequence[Suggestion]) -> Node | None:
    """The plan that a statement has; None: nobody has planned it."""
    return None if costed.plan is None else _shown(costed.plan, None, _Names(costed, suggestions))


def document(node: Node) -> dict[str, Any]:
    """As EXPLAIN (FORMAT JSON) has it: its children in `Plans`."""
    children = {"Plans": [document(child) for child in node.children]} if node.children else {}
    return {**node.raw, **children}


class _Names:
    """HypoPG's names to those suggested: `<13543>btree_orders_customer_id` says method, table and columns."""

    def __init__(self, costed: Costed, suggestions: Sequence[Suggestion]) -> None:
        self._used = {one.candidate: one.name for one in suggestions if one.candidate in costed.used}

    def of(self, index: str, table: str | None) -> str:
        said = _HYPOTHETICAL.fullmatch(index)
        if said is None:
            return index
        found = [
            name
            for candidate, name in self._used.items()
            if candidate.method == said["method"] and table in (None, candidate.relation[1])
        ]
        exact = [name for name in found if self._is_named(name, said["rest"])]
        return exact[0] if len(exact) == 1 else found[0] if len(found) == 1 else index

    def _is_named(self, name: str, rest: str) -> bool:
        candidate = next(candidate for candidate, own in self._used.items() if own == name)
        # A long one is cut off.
        return _columns(candidate).startswith(rest) or rest.endswith(_columns(candidate))


def _columns(candidate: Candidate) -> str:
    return "_".join((candidate.relation[1], *(key.column or "expr" for key in candidate.keys)))


def _shown(node: Node, table: str | None, names: _Names) -> Node:
    relation = node.relation
    table = table if relation is None else relation[1]
    raw: dict[str, Any] = {key: _without_values(key, value) for key, value in node.raw.items()}
    if node.index_name is not None:
        raw["Index Name"] = names.of(node.index_name, table)
    # A bitmap of an index stands below the scan that names the table.
    below = table if node.node_type in ("Bitmap Heap Scan", "BitmapAnd", "BitmapOr") else None
    return replace(node, raw=raw, children=tuple(_shown(child, below, names) for child in node.children))


def _without_values(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return value if key in _PLAIN else without_values(value)
    if isinstance(value, list | tuple):
        return [_without_values(key, item) for item in value]
    return {name: _without_values(name, item) for name, item in value.items()} if isinstance(value, dict) else value
