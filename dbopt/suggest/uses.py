"""What a statement's parameters are compared with: whose values they could have. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.values import dataclass
from dbopt.workload.conditions import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.suggest.model import Access, Name, Subject
    from dbopt.workload.conditions import Condition

_PARAMETER = re.compile(r"\$(\d+)")
_BARE = re.compile(r"\(*\$\d+\)*(?:::[\w \[\]\".]+\)*)*")  # nothing but casts around it
_LOWER, _UPPER = (">", ">="), ("<", "<=")


class Role(Enum):
    EQUAL = "="
    LIST = "= ANY"
    LOWER = ">"
    UPPER = "<"
    BETWEEN_LOWER = "> of two"
    BETWEEN_UPPER = "< of two"
    PATTERN = "LIKE"
    REGEXP = "~"
    PART = "a part of a pattern"
    CONTAINED = "@>"
    WORD = "@@"
    PAGE = "LIMIT"
    OFFSET = "OFFSET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Of a parameter. `column`: whose values it could have; None: of LIMIT and OFFSET. `function`: that is called on
    the column. `place`: which of several parameters that are compared with it. `pages`: the statement stops early.
    """

    role: Role
    column: tuple[Name, str] | None = None
    function: str | None = None
    place: int = 0
    pages: bool = False


def uses(subject: Subject) -> dict[int, Use]:
    """By the parameter's number; those that nothing is known of are not in it."""
    found: dict[int, Use] = {}
    for access in subject.accesses:
        for condition in _flat(access.conditions):
            for number, use in _of(condition, access):
                found.setdefault(number, use)
    both = {use.column for use in found.values() if use.role is Role.LOWER}
    both &= {use.column for use in found.values() if use.role is Role.UPPER}
    for number, use in found.items():
        if use.column in both and use.role in (Role.LOWER, Role.UPPER):
            role = Role.BETWEEN_LOWER if use.role is Role.LOWER else Role.BETWEEN_UPPER
            found[number] = Use(role=role, column=use.column, function=use.function, pages=use.pages)
    return {**found, **_pages(subject.planned.query)}


def _flat(conditions: Sequence[Condition]) -> Iterator[Condition]:
    for condition in conditions:
        yield condition
        yield from _flat(condition.arms)


def _of(condition: Condition, access: Access) -> Iterator[tuple[int, Use]]:
    numbers = [int(number) for number in _PARAMETER.findall(condition.other_side)]
    if not numbers or not condition.columns or condition.is_join:
        return
    columns = [(access.relation, name) for name in condition.columns]
    role = _role(condition)
    if role is None:
        return
    for place, number in enumerate(numbers):
        # Of a row, each column has its own: `(a, b) > ($1, $2)`.
        column = columns[place] if len(numbers) == len(columns) else columns[0] if len(columns) == 1 else None
        if column is not None:
            use = Use(role=role, column=column, function=condition.function, place=place, pages=access.limit)
            yield number, use


def _role(condition: Condition) -> Role | None:
    operator, bare = condition.operator, _BARE.fullmatch(condition.other_side) is not None
    if condition.kind is Kind.OTHER:
        return None
    if operator == "=":
        return Role.EQUAL
    if operator == "= ANY":
        return Role.LIST if bare else Role.EQUAL
    if operator in _LOWER:
        return Role.LOWER
    if operator in _UPPER:
        return Role.UPPER
    if operator in ("~~", "~~*"):
        return Role.PATTERN if bare else Role.PART
    if operator in ("~", "~*"):
        return Role.REGEXP if bare else Role.PART
    if operator == "^@":
        return Role.PART
    if operator in ("@@", "@@@"):
        return Role.WORD
    return Role.CONTAINED if condition.kind is Kind.CONTAINMENT else None


def _pages(query: str) -> dict[int, Use]:
    """Parameters that say how many rows are wanted, or left out."""
    import postgast
    from postgast.pg_query_pb2 import ParamRef, SelectStmt

    try:
        tree = grammar.parse_one(query)
    except grammar.GrammarError:
        return {}
    found: dict[int, Use] = {}
    for select in postgast.find_nodes(tree, SelectStmt):
        for part, role in ((select.limit_count, Role.PAGE), (select.limit_offset, Role.OFFSET)):
            if part.WhichOneof("node"):
                found |= {item.number: Use(role=role) for item in postgast.find_nodes(part, ParamRef)}
    return found
