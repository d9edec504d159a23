"""What the text of a statement says by itself: read by PostgreSQL's grammar, without a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import A_Expr, Node, RangeVar, SelectStmt


@lru_cache(maxsize=256)
def parsed(query: str) -> Node | None:
    """Several findings look at the same; None where it cannot be read, as it is cut off."""
    from dbopt import grammar

    try:
        return grammar.parse_one(query)
    except grammar.GrammarError:
        return None


def select(query: str | None) -> SelectStmt | None:
    """Of a text that is a plain SELECT, without UNION and its like."""
    tree = None if query is None else parsed(query)
    if tree is None or not tree.HasField("select_stmt"):
        return None
    from postgast import pg_query_pb2

    found = tree.select_stmt
    return found if found.op == pg_query_pb2.SETOP_NONE else None


def conjuncts(tree: Node) -> Iterator[Node]:
    """The conditions that have to hold all together."""
    from postgast import pg_query_pb2

    if tree.HasField("bool_expr") and tree.bool_expr.boolop == pg_query_pb2.AND_EXPR:
        for part in tree.bool_expr.args:
            yield from conjuncts(part)
    else:
        yield tree


def compared_column(tree: Node) -> Node | None:
    """Of `column = $1`, whichever way round: the column."""
    from postgast import pg_query_pb2

    if not tree.HasField("a_expr"):
        return None
    found = tree.a_expr
    if found.kind != pg_query_pb2.AEXPR_OP or [part.string.sval for part in found.name] != ["="]:
        return None
    left, right = found.lexpr, found.rexpr
    if is_column(left) and is_parameter(right):
        return left
    return right if is_column(right) and is_parameter(left) else None


def is_column(tree: Node) -> bool:
    return bool(tree.HasField("column_ref") and tree.column_ref.fields[-1].HasField("string"))


def is_parameter(tree: Node) -> bool:
    """A value that a client gives, cast or not."""
    while tree.HasField("type_cast"):
        tree = tree.type_cast.arg
    return bool(tree.HasField("param_ref"))


def is_constant(tree: Node) -> bool:
    while tree.HasField("type_cast"):
        tree = tree.type_cast.arg
    return bool(tree.HasField("param_ref") or tree.HasField("a_const"))


def column_name(tree: Node) -> str:
    name: str = tree.column_ref.fields[-1].string.sval
    return name


def in_lists(query: str) -> list[A_Expr]:
    """Every `IN (...)` and `NOT IN (...)` of values."""
    tree = parsed(query)
    if tree is None:
        return []
    import postgast
    from postgast import pg_query_pb2

    return [
        found
        for found in postgast.find_nodes(tree, pg_query_pb2.A_Expr)
        if found.kind == pg_query_pb2.AEXPR_IN and all(map(is_constant, found.rexpr.list.items))
    ]


def table(tree: SelectStmt) -> RangeVar | None:
    """The one table that it reads, if that is all its FROM says."""
    if len(tree.from_clause) != 1 or not tree.from_clause[0].HasField("range_var"):
        return None
    return tree.from_clause[0].range_var
