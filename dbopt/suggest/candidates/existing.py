"""Whether an index that is there already does what a candidate would. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from dbopt.suggest.model import Candidate, Key
    from dbopt.workload.finding import Index, Relation
    from dbopt.workload.finding import Key as IndexKey


def is_there(candidate: Candidate, relation: Relation) -> bool:
    return any(serves(index, candidate) for index in relation.indexes)


def serves(index: Index, candidate: Candidate) -> bool:
    """Whether the index has the candidate's keys as its own first ones, in this order or all inverse, over no fewer
    rows, and its other columns somewhere.
    """
    if not index.is_valid or index.method != candidate.method or len(index.keys) < len(candidate.keys):
        return False
    if index.predicate is not None and _untyped(index.predicate) != _untyped(candidate.where):
        return False
    if any(key.column is None and key.expression is None for key in index.keys):
        return False  # could not be read, its table was locked
    pairs = list(zip(candidate.keys, index.keys, strict=False))
    if candidate.method != "btree":
        return all(any(_is_like(key, own) for own in index.keys) for key in candidate.keys)
    if not all(_is_like(key, own) for key, own in pairs):
        return False
    turned = {(own.is_descending != key.descending, own.nulls_first != key.nulls_first) for key, own in pairs}
    if turned not in ({(False, False)}, {(True, True)}):
        return False
    held = {key.column for key in index.keys} | set(index.include)
    return all(name in held for name in candidate.include)


def finds_one_row(relation: Relation, columns: Collection[str]) -> bool:
    """Whether a unique index says that there is at most one row for values of these columns."""
    return any(
        index.is_unique
        and index.is_valid
        and index.predicate is None
        and all(key.column is not None and key.column in columns for key in index.keys)
        for index in relation.indexes
    )


def is_prefix(short: Candidate, long: Candidate) -> bool:
    """Whether all that the one does, the other does as well, larger as it is."""
    if short.relation != long.relation or short.method != long.method or short.method != "btree":
        return False
    if long.where and long.where != short.where:
        return False
    if long.keys[: len(short.keys)] != short.keys:
        return False
    held = {key.column for key in long.keys} | set(long.include)
    return all(name in held for name in short.include)


def _is_like(key: Key, own: IndexKey) -> bool:
    if key.column:
        if own.column != key.column:
            return False
    elif own.expression is None or normal(own.expression) != normal(key.expression):
        return False
    opclass = key.opclass.rpartition(".")[2]
    return own.opclass == opclass if opclass else "pattern" not in own.opclass and "path_ops" not in own.opclass


@lru_cache(maxsize=4096)
def normal(expression: str) -> str:
    """In one spelling, whoever wrote it."""
    from dbopt import grammar

    if not expression:
        return ""
    try:
        return grammar.expression_text(grammar.parse_expression(expression))
    except grammar.GrammarError:
        return expression


# As the catalog has it, a constant says its type: `status = 'open'::text`.
_TYPE_OF_STRING = re.compile(r"('(?:[^']|'')*')::(?:\w+\.)?(?:\"[^\"]+\"|\w+(?: varying)?)(?:\(\d+\))?")


def _untyped(predicate: str) -> str:
    """Of the same columns, so that a constant without its type is as good."""
    return _TYPE_OF_STRING.sub(r"\1", normal(predicate))
