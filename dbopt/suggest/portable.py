"""Predicates and operator classes as a spec can have them: read by sessions of any search path. Pure.

A plan prints `status = 'open'::"State"` with the type as the statement's own session knows it; another may not find it.
The server gives a bare constant the type of the column it is compared with, so where that type is none of its own, the
cast goes. Casts to its own types stay: they may be what tells a date from a timestamp.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.optimize.export_form import bare

if TYPE_CHECKING:
    from collections.abc import Iterator

    Tree = Any  # messages of the grammar, of several types

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
_WORD = re.compile(r"[a-z_][a-z0-9_]*")


def predicate(text: str) -> str:
    """Without parentheses around the whole of it."""
    from postgast.pg_query_pb2 import Node

    try:
        tree = Node()
        tree.CopyFrom(grammar.parse_expression(text))
    except grammar.GrammarError:
        return bare(text)
    changed = [_freed(comparison) for comparison in _comparisons(tree)]
    return grammar.expression_text(tree) if any(changed) else bare(text)


def opclass(name: str) -> str:
    """`"public".gin_trgm_ops` as the spec's format has it: `public.gin_trgm_ops`, or both parts in quotes."""
    parts = [quoted.replace('""', '"') or word for quoted, word in _PART.findall(name)]
    if len(parts) < 2 or (all(map(_WORD.fullmatch, parts)) and name.endswith("_ops")):
        return ".".join(parts)
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _comparisons(tree: Tree) -> Iterator[Tree]:
    """Of a column with something."""
    import postgast
    from postgast.pg_query_pb2 import AEXPR_OP, AEXPR_OP_ANY, A_Expr

    for node in postgast.find_nodes(tree, A_Expr):
        if node.kind in (AEXPR_OP, AEXPR_OP_ANY) and node.lexpr.HasField("column_ref"):
            yield node


def _freed(comparison: Tree) -> bool:
    """Whether it lost a cast."""
    from postgast.pg_query_pb2 import AEXPR_IN, AEXPR_OP_ANY

    right = comparison.rexpr
    if _is_cast(right):
        _strip(right)
        return True
    elements = right.a_array_expr.elements
    is_list = comparison.kind == AEXPR_OP_ANY and comparison.name[-1].string.sval == "="
    if not (is_list and elements and all(map(_is_cast, elements))):
        return False
    # An array of bare constants would be one of texts; a list is not.
    kept = [type(element).FromString(element.SerializeToString()) for element in elements]
    for element in kept:
        _strip(element)
    comparison.kind = AEXPR_IN
    right.Clear()
    right.list.items.extend(kept)
    return True


def _is_cast(tree: Tree) -> bool:
    """Of a constant to a type that PostgreSQL does not come with, by a name without its schema."""
    from psycopg.postgres import types

    if not tree.HasField("type_cast") or not tree.type_cast.arg.HasField("a_const"):
        return False
    names = [part.string.sval for part in tree.type_cast.type_name.names]
    return len(names) == 1 and types.get(names[0]) is None


def _strip(tree: Tree) -> None:
    constant = type(tree).FromString(tree.type_cast.arg.SerializeToString())
    tree.CopyFrom(constant)
