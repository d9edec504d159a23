"""What the predicate of a partial index says about the columns of the rows that it lets in.

Only what is plain: conditions joined by AND, each about one column. The rest of a predicate says how many rows there
are (the planner knows that), but not which values they hold.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from postgast.pg_query_pb2 import Node


class Rule(Enum):
    IS_NULL = "is null"
    ONE_OF = "one of some values"
    RESTRICTED = "not null, and in some range"


@dataclass(frozen=True, slots=True)
class Said:
    """About one column. `values`: how many there can be, for ONE_OF."""

    rule: Rule
    values: int = 0


def about_columns(predicate: str | None) -> Mapping[str, Said]:
    """By column name; columns that the predicate leaves alone are not in it. `predicate` is the server's own text."""
    if predicate is None:
        return {}
    try:
        tree = grammar.parse_expression(predicate)
    except grammar.GrammarError:  # the server's grammar may be newer than ours
        return {}
    found: dict[str, Said] = {}
    for column, said in _conjuncts(tree):
        known = found.get(column)
        if known is None or known.rule is Rule.RESTRICTED:
            found[column] = said
    return found


def _conjuncts(node: Node) -> Iterator[tuple[str, Said]]:
    from postgast.pg_query_pb2 import A_Expr_Kind, BoolExprType, NullTestType

    kind = node.WhichOneof("node")
    if kind == "bool_expr" and node.bool_expr.boolop == BoolExprType.AND_EXPR:
        for arm in node.bool_expr.args:
            yield from _conjuncts(arm)
    elif kind == "bool_expr" and node.bool_expr.boolop == BoolExprType.NOT_EXPR:
        if (column := _column(node.bool_expr.args[0])) is not None:
            yield column, Said(Rule.ONE_OF, 1)
    elif kind == "column_ref" and (column := _column(node)) is not None:  # of type boolean
        yield column, Said(Rule.ONE_OF, 1)
    elif kind == "null_test" and (column := _column(node.null_test.arg)) is not None:
        is_null = node.null_test.nulltesttype == NullTestType.IS_NULL
        yield column, Said(Rule.IS_NULL if is_null else Rule.RESTRICTED)
    elif kind == "a_expr" and (column := _column(node.a_expr.lexpr)) is not None:
        is_equal = [name.string.sval for name in node.a_expr.name] == ["="]
        if node.a_expr.kind == A_Expr_Kind.AEXPR_OP and is_equal:
            yield column, Said(Rule.ONE_OF, 1)
        elif node.a_expr.kind == A_Expr_Kind.AEXPR_OP_ANY and is_equal and (many := _elements(node.a_expr.rexpr)):
            yield column, Said(Rule.ONE_OF, many)
        elif node.a_expr.kind in (A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_OP_ANY, A_Expr_Kind.AEXPR_OP_ALL):
            yield column, Said(Rule.RESTRICTED)


def _column(node: Node) -> str | None:
    """The column that a node is, through casts."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    names = list(grammar.column_names(node)) if node.WhichOneof("node") == "column_ref" else []
    return names[0] if names else None


def _elements(node: Node) -> int:
    """How many elements an array written out has; 0 for another form."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return len(node.a_array_expr.elements) if node.WhichOneof("node") == "a_array_expr" else 0
