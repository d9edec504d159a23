"""Expressions of a statement that have to be one and the same, and were, before their constants became parameters of
their own: `SELECT date_trunc($1, at) ... GROUP BY date_trunc($2, at)`. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.workload.parameter_tree import Tree

_PLACES = frozenset(["location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"])
_GROUPED = ("target_list", "having_clause", "sort_clause", "window_clause")


def repeated(tree: Tree, *, distinct: bool) -> dict[int, int]:
    """By place among the tree's references, the number that each gets. `distinct`: what ORDER BY repeats of a SELECT
    DISTINCT, else what anything repeats of GROUP BY.
    """
    at = {reference.index: place for place, reference in enumerate(tree.references)}
    found: dict[int, int] = {}
    for select, item in enumerate(tree.items):
        if item.kind == "SelectStmt":
            for here, there in _pairs(tree, select, distinct=distinct):
                pairs = zip(_parameters(tree, here), _parameters(tree, there), strict=True)
                found |= {at[mine]: tree.items[its].message.number for mine, its in pairs if mine in at}
    return found


def _pairs(tree: Tree, select: int, *, distinct: bool) -> Iterator[tuple[int, int]]:
    """An expression, and the one that it repeats."""
    originals: dict[str, list[int]] = {}
    for index in _originals(tree, select, distinct=distinct):
        if _parameters(tree, index):
            originals.setdefault(_form(tree.items[index].message), []).append(index)
    if not originals:
        return
    for field in ("sort_clause",) if distinct else _GROUPED:
        seen: dict[str, int] = {}
        for index in _children(tree, select, field):
            behind = index
            while behind < tree.items[index].end:
                item = tree.items[behind]
                form = _form(item.message) if _parameters(tree, behind) else ""
                if form in originals:
                    # Several alike, as date_trunc of day and of month: each stands for the one in the same order.
                    same = originals[form]
                    yield behind, same[min(seen.get(form, 0), len(same) - 1)]
                    seen[form] = seen.get(form, 0) + 1
                behind = item.end if form in originals or item.kind == "SelectStmt" else behind + 1


def _originals(tree: Tree, select: int, *, distinct: bool) -> Iterator[int]:
    if not distinct:
        for index in _children(tree, select, "group_clause"):
            yield from _children(tree, index, "content") if tree.items[index].kind == "GroupingSet" else [index]
        return
    on = [index for index in _children(tree, select, "distinct_clause") if _parameters(tree, index)]
    yield from on or (
        value for index in _children(tree, select, "target_list") for value in _children(tree, index, "val")
    )


def _children(tree: Tree, parent: int, field: str) -> list[int]:
    item = tree.items[parent]
    return [
        index
        for index in range(parent + 1, item.end)
        if tree.items[index].parent == parent and tree.items[index].field == field
    ]


def _parameters(tree: Tree, index: int) -> list[int]:
    return [at for at in range(index, tree.items[index].end) if tree.items[at].kind == "ParamRef"]


def _form(message: Any) -> str:
    """The same for expressions that differ in where they stand and in their parameters' numbers."""
    if message.DESCRIPTOR.name == "ParamRef":
        return "$"
    parts = []
    for descriptor, value in message.ListFields():
        if descriptor.name not in _PLACES:
            values = [value] if descriptor.message_type is None or hasattr(value, "DESCRIPTOR") else list(value)
            forms = (_form(item) if hasattr(item, "DESCRIPTOR") else repr(item) for item in values)
            parts.append(f"{descriptor.name}={','.join(forms)}")
    return f"{message.DESCRIPTOR.name}({' '.join(parts)})"
