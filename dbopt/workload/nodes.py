"""Where a node stands in its plan. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from dbopt.workload.plan import Node


def parents(plan: Node) -> Mapping[int, Node]:
    """By the number of the child."""
    return {child.number: node for node in plan.walk() for child in node.children}


def ancestor(node: Node, above: Mapping[int, Node], wanted: str, through: Container[str]) -> Node | None:
    """The nearest node of a type above it, with none but those of other types between."""
    at = above.get(node.number)
    while at is not None and at.node_type != wanted:
        at = above.get(at.number) if at.node_type in through and not at.filter else None
    return at


def tables(node: Node) -> tuple[str, ...]:
    """What is read below it, as it is called there."""
    names = (
        item.alias or item.raw.get("CTE Name") or item.raw.get("Function Name")
        for item in node.walk()
        if item.alias is not None or "CTE Name" in item.raw
    )
    return tuple(dict.fromkeys(str(name) for name in names if name is not None))


def table_words(node: Node) -> str:
    """`orders o` of a scan."""
    name, alias = str(node.raw.get("Relation Name", node.alias or node.node_type)), node.alias
    return name if alias in (None, name) else f"{name} {alias}"


def aligned(width: float) -> float:
    """Rows lie at multiples of 8 bytes (MAXALIGN)."""
    return -(-width // 8) * 8


def mentions(text: str, aliases: Iterable[str]) -> bool:
    """Whether a condition, as the server writes it, has columns of any of these."""
    return any(
        re.search(rf'(?<![\w."]){re.escape(name)}\.|"{re.escape(name.replace(chr(34), chr(34) * 2))}"\.', text)
        for name in aliases
    )
