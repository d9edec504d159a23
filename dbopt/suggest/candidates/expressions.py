"""Which expressions of a statement may be keys of an index. Pure.

An index needs IMMUTABLE functions alone. What is not known to be so is left out here, rather than proposed and refused
by the server.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dbopt.workload.expressions import IMMUTABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from postgast.pg_query_pb2 import Node as Tree

    from dbopt.workload.finding import Relation

# Beyond what takes text and numbers alone: each is IMMUTABLE with as many arguments, in every major from 13 to 18
# (pg_proc.provolatile); with fewer, to_tsvector depends on a setting.
_WITH_TWO = frozenset(("to_tsvector", "jsonb_extract_path_text", "jsonb_extract_path", "left", "right", "split_part"))
_OPERATORS = frozenset(("->", "->>", "#>", "#>>", "+", "-", "*", "/", "%", "||"))
_STRINGS = frozenset(("text", "character varying", "character"))
# What text is cast to by a function that depends on no setting.
_FROM_TEXT = frozenset((*_STRINGS, "integer", "bigint", "smallint", "numeric", "boolean", "uuid", "regconfig"))
# IMMUTABLE of a timestamp without time zone, not so of one with: that depends on TimeZone.
_OF_TIME = frozenset(("date_trunc", "extract", "date_part"))
_WITHOUT_ZONE = frozenset(("timestamp without time zone", "date"))


def may_be_key(expression: str, relation: Relation) -> bool:
    """Whether an index can have it. No parameter may stand in it; constants of the statement may."""
    types = {column.name: column.base_type or column.type_name for column in relation.columns}
    try:
        return _may_be_key(expression, tuple(sorted(types.items())))
    except LookupError:
        return False


@lru_cache(maxsize=4096)
def _may_be_key(expression: str, types: tuple[tuple[str, str], ...]) -> bool:
    from dbopt import grammar

    try:
        tree = grammar.parse_expression(expression)
    except grammar.GrammarError:
        return False
    known = dict(types)
    names = list(grammar.column_names(tree))
    return bool(names) and all(name in known for name in names) and _is_immutable(tree, known)


def _is_immutable(tree: Tree, types: Mapping[str, str]) -> bool:
    kind = tree.WhichOneof("node")
    if kind in ("column_ref", "a_const"):
        return True
    if kind == "func_call":
        return _is_immutable_call(tree, types)
    if kind == "coalesce_expr":
        return all(_is_immutable(part, types) for part in tree.coalesce_expr.args)
    if kind == "a_expr":
        name = tree.a_expr.name[-1].string.sval
        sides = [side for side in (tree.a_expr.lexpr, tree.a_expr.rexpr) if side.WhichOneof("node")]
        if name not in _OPERATORS or not all(_is_immutable(side, types) for side in sides):
            return False
        if name == "||":  # of text with anything else it depends on how that is written
            return all(_is_text(side, types) for side in sides)
        return not (name in "+-" and any(type_name.startswith("timestamp") for type_name in _types(tree, types)))
    if kind == "type_cast":
        return _is_immutable_cast(tree, types)
    return False


def _is_immutable_call(tree: Tree, types: Mapping[str, str]) -> bool:
    parts = [part.string.sval for part in tree.func_call.funcname]
    arguments = list(tree.func_call.args)
    if len(parts) > 1 and parts[0] != "pg_catalog":
        return False
    if not all(_is_immutable(argument, types) for argument in arguments):
        return False
    if parts[-1] in IMMUTABLE:
        return True
    if parts[-1] in _WITH_TWO:
        return len(arguments) >= 2
    return parts[-1] in _OF_TIME and set(_types(tree, types)) <= _WITHOUT_ZONE


def _is_immutable_cast(tree: Tree, types: Mapping[str, str]) -> bool:
    from dbopt.workload.conditions import type_name

    inner, target = tree.type_cast.arg, type_name(tree.type_cast.type_name)
    if not _is_immutable(inner, types):
        return False
    if inner.HasField("a_const"):
        return True  # folded by the parser
    if inner.HasField("column_ref"):
        source = next(_types(inner, types), "")
        return (target in _STRINGS and source in _STRINGS) or (target == "date" and source in _WITHOUT_ZONE)
    return target in _FROM_TEXT and _is_text(inner, types)


def _is_text(tree: Tree, types: Mapping[str, str]) -> bool:
    """Whether an expression is known to give a text."""
    from dbopt.workload.conditions import type_name

    if tree.HasField("a_expr"):
        return tree.a_expr.name[-1].string.sval in ("->>", "#>>", "||")
    if tree.HasField("func_call"):
        return tree.func_call.funcname[-1].string.sval in IMMUTABLE | _WITH_TWO
    if tree.HasField("coalesce_expr"):
        return all(_is_text(part, types) for part in tree.coalesce_expr.args)
    if tree.HasField("type_cast"):
        return type_name(tree.type_cast.type_name) in _STRINGS
    if tree.HasField("column_ref"):
        return set(_types(tree, types)) <= set(_STRINGS)
    return bool(tree.HasField("a_const") and tree.a_const.HasField("sval"))


def _types(tree: Tree, types: Mapping[str, str]) -> Iterator[str]:
    from dbopt import grammar

    yield from (types[name] for name in grammar.column_names(tree))
