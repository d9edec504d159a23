"""A statement as a session knows it, and the values that it is planned with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postgast.pg_query_pb2 import Node as Tree

Values = tuple[str | int | None, ...]

_UNUSED = 0  # in the place of a parameter that the text has not: of some type it has to be


@dataclass(eq=False)
class Prepared:
    """`used`: the numbers of its parameters. `prunes`: partitions are left out when its plan for any values starts, so
    that EXPLAIN does not show them. `is_lost`: it could not be planned.
    """

    name: str
    query: str
    types: tuple[str, ...]
    path: tuple[str, ...] | None
    used: frozenset[int]
    prunes: bool = False
    is_lost: bool = False

    @property
    def parameters(self) -> int:
        return max(len(self.types), max(self.used, default=0))

    def values(self, literals: Mapping[int, str]) -> Values | None:
        """What goes beside its text, as text of PostgreSQL's; None: not all parameters have a value that is one."""
        found: list[str | int | None] = []
        for number in range(1, max(self.used, default=0) + 1):
            if number not in self.used:
                found.append(_UNUSED)
                continue
            if number not in literals:
                return None
            try:
                found.append(plain(literals[number]))
            except ValueError:
                return None
        return tuple(found)


def used(query: str) -> frozenset[int]:
    """The numbers of a statement's parameters. Raises GrammarError."""
    import postgast
    from postgast.pg_query_pb2 import ParamRef

    return frozenset(item.number for item in postgast.find_nodes(grammar.parse_one(query), ParamRef))


def plain(literal: str) -> str | None:
    """The value of a constant of SQL as text, casts left out; None: NULL. Raises ValueError for anything else."""
    try:
        return _plain(grammar.parse_expression(literal))
    except grammar.GrammarError as exc:
        raise ValueError("not a constant") from exc


def _plain(tree: Tree) -> str | None:
    while tree.HasField("type_cast"):
        tree = tree.type_cast.arg
    if tree.HasField("a_expr") and not tree.a_expr.HasField("lexpr") and tree.a_expr.name[-1].string.sval == "-":
        return f"-{_plain(tree.a_expr.rexpr)}"
    if tree.HasField("a_array_expr"):
        return "{" + ",".join(map(_element, tree.a_array_expr.elements)) + "}"
    if not tree.HasField("a_const"):
        raise ValueError("not a constant")
    constant = tree.a_const
    match constant.WhichOneof("val"):
        case "sval":
            return str(constant.sval.sval)
        case "ival":
            return str(constant.ival.ival)
        case "fval":
            return str(constant.fval.fval)
        case "boolval":
            return "true" if constant.boolval.boolval else "false"
    if constant.isnull:
        return None
    raise ValueError("not a constant")


def _element(tree: Tree) -> str:
    text = _plain(tree)
    if text is None:
        return "NULL"
    if text.startswith("{"):  # an array in an array, or what looks like one
        raise ValueError("not a constant")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
