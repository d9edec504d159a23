"""Which expressions of a condition an index could have as its key. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.literals import masked

if TYPE_CHECKING:
    from dbopt.workload.finding import Relation


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions of pg_catalog of which every variant is IMMUTABLE, in each major from 13 to 18 (pg_proc.provolatile).
IMMUTABLE = _words(
    """abs ascii bit_length btrim ceil ceiling char_length character_length floor initcap lower lpad ltrim md5
    mod octet_length replace reverse rpad rtrim sign sqrt substr translate trunc upper"""
)
_STRINGS = ("text", "character varying", "character")


def is_indexable(expression: str, relation: Relation) -> bool:
    """Whether an index can have this as its key, and may: it is written into a spec, so no value of a statement and no
    parameter stands in it, and the functions in it are known to be IMMUTABLE.
    """
    import postgast
    from postgast.pg_query_pb2 import FuncCall, ParamRef, SQLValueFunction, TypeCast

    from dbopt import grammar
    from dbopt.workload.conditions import type_name

    try:
        tree = grammar.parse_expression(expression)
    except grammar.GrammarError:
        return False
    if masked(expression) != " ".join(expression.split()):
        return False
    if any(True for kind in (ParamRef, SQLValueFunction) for _ in postgast.find_nodes(tree, kind)):
        return False
    calls = [[part.string.sval for part in call.funcname] for call in postgast.find_nodes(tree, FuncCall)]
    if not calls or not all(
        names[-1] in IMMUTABLE and (len(names) == 1 or names[0] == "pg_catalog") for names in calls
    ):
        return False
    types = [relation.column(name) for name in grammar.column_names(tree)]
    casts = [type_name(cast.type_name) for cast in postgast.find_nodes(tree, TypeCast)]
    is_text = all(column is not None and (column.base_type or column.type_name) in _STRINGS for column in types)
    return not casts or (is_text and all(cast in _STRINGS for cast in casts))
