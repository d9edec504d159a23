"""What a suggested index is called: as PostgreSQL would call it, with a word for what it would leave out."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from dbopt.postgres.identifiers import NAME_MAX_BYTES, clip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dbopt.suggest.model import Candidate, Key

_END = "_idx"
_WORDS_MAX = 3  # of one expression
# Operator classes that make another index of the same column, by the word that tells it.
_KINDS = {"trgm_ops": "trgm", "pattern_ops": "pattern", "path_ops": "path"}
_WORD = re.compile(r"[^\W_]\w*")


def name(candidate: Candidate, taken: Collection[str]) -> str:
    """A name that nothing in `taken` has: at most 63 bytes, no character cut in two, the same for the same input.

    `taken`: of the relations of the table's schema, indexes and tables alike.
    """
    table = _plain(candidate.relation[1])
    stem = "_".join((table, *map(_key_words, candidate.keys)))
    kind = _kind(candidate)
    for words in _suffixes(kind, candidate):
        end = f"{''.join(f'_{word}' for word in words)}{_END}"
        made = fitted(stem, end)
        if made not in taken:
            return made
    for number in itertools.count(1):
        made = fitted(stem, f"{kind and '_'}{kind}{_END}{number}")
        if made not in taken:
            break
    return made


def fitted(stem: str, end: str) -> str:
    """At most 63 bytes: as with PostgreSQL, the front gives way, never the end."""
    room = NAME_MAX_BYTES - len(end.encode())
    return (stem if len(stem.encode()) <= room else clip(stem, room).rstrip("_")) + end


def _suffixes(kind: str, candidate: Candidate) -> Iterator[tuple[str, ...]]:
    """More words as far as they are needed to tell it from another."""
    first = (kind,) if kind else ()
    yield first
    if candidate.where:
        yield (*first, "partial")
    if candidate.include:
        yield (*first, "covering")


def _kind(candidate: Candidate) -> str:
    for key in candidate.keys:
        for end, word in _KINDS.items():
            if key.opclass.strip('"').endswith(end):
                return word
    return "" if candidate.method == "btree" else candidate.method


def _key_words(key: Key) -> str:
    return _plain(key.column) if key.column else "_".join(_expression_words(key.expression)) or "expr"


def _expression_words(text: str) -> list[str]:
    """`lower((email)::text)` as lower, email: functions and columns in their order, and what a path into JSON names."""
    from dbopt import grammar

    try:
        tree = grammar.parse_expression(text)
    except grammar.GrammarError:
        words = _WORD.findall(text)
    else:
        words = [word for found in _named(tree) for word in _WORD.findall(found)]
    return [_plain(word) for word in dict.fromkeys(words)][:_WORDS_MAX]


def _named(tree: object) -> Iterator[str]:
    import postgast
    from postgast.pg_query_pb2 import A_Const, CoalesceExpr, ColumnRef, FuncCall

    for _, node in postgast.walk(tree):
        if isinstance(node, FuncCall):
            yield node.funcname[-1].string.sval
        elif isinstance(node, CoalesceExpr):
            yield "coalesce"
        elif isinstance(node, ColumnRef) and node.fields[-1].HasField("string"):
            yield node.fields[-1].string.sval
        elif isinstance(node, A_Const) and node.HasField("sval"):
            yield node.sval.sval


def _plain(text: str) -> str:
    """On one line, whatever somebody called a column."""
    return "".join(char if char.isprintable() else "_" for char in text)
