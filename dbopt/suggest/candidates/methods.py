"""Indexes for what no plain btree knows: patterns, containment, full text, ranges of long sorted tables. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.suggest.candidates.terms import is_text
from dbopt.suggest.model import Candidate, Key
from dbopt.workload.index_advice import KEYS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dbopt.suggest.candidates.terms import Term, Terms
    from dbopt.suggest.model import Name
    from dbopt.workload.finding import Relation

_PATTERN_OPS = {"text": "text_pattern_ops", "character varying": "varchar_pattern_ops"}
# pg_stats.correlation: from here on rows lie nearly in the order of the column, so that a range of values is a range of
# pages. Our own; the manual says no more than "some natural correlation".
# https://www.postgresql.org/docs/current/brin-intro.html
_SORTED = 0.98
# A btree of so many rows takes 20 MB and more; below that it is no trouble, and finds single rows as well.
_BRIN_LEAST_ROWS = 1_000_000
_RANGE_TYPES = re.compile(r"(?:int4|int8|num|ts|tstz|date)(?:multi)?range")
_BEGINNING = re.compile(r"\(*\$\d+(?:::\w+)*\)* \|\| '%'(?:::text)?\)*")


def other_methods(name: Name, relation: Relation, found: Terms, extensions: Mapping[str, str]) -> Iterator[Candidate]:
    """`extensions`: those of the database, with how their schema has to be written in front, if at all."""
    for term in found.patterns:
        if is_text(relation, term):
            yield from _pattern(name, relation, term, found, extensions)
    for term in found.contained:
        yield from _contained(name, relation, term, extensions)
    for term in found.ranges:
        column = relation.column(term.key.column) if term.key.column else None
        is_sorted = column is not None and abs(column.correlation or 0.0) >= _SORTED
        if is_sorted and (relation.rows or 0.0) >= _BRIN_LEAST_ROWS:
            yield Candidate(name, (term.key,), method="brin")


def begins(term: Term) -> bool | None:
    """Whether the pattern says how the text begins; None: nobody knows, it is a parameter."""
    condition = term.condition
    if condition.operator == "^@":
        return True
    if condition.operator in ("~~*", "~*"):
        return False
    if condition.pattern is None:
        return True if _BEGINNING.fullmatch(condition.other_side) else None if condition.operator == "~~" else False
    if condition.operator == "~":
        return condition.pattern.startswith("^") and condition.pattern[1:2].isalnum()
    return condition.pattern[:1] not in ("", "%", "_")


def _pattern(
    name: Name, relation: Relation, term: Term, found: Terms, extensions: Mapping[str, str]
) -> Iterator[Candidate]:
    beginning = begins(term)
    if beginning is not False:
        column = relation.column(term.key.column) if term.key.column else None
        type_name = "text" if column is None else column.base_type or column.type_name
        key = term.key._replace(opclass=_PATTERN_OPS.get(type_name, "text_pattern_ops"))
        equal = [item.key for item in found.equal if item.key != term.key]
        yield Candidate(name, (key,))
        if equal:
            yield Candidate(name, (*equal[: KEYS_MAX - 1], key))
    if beginning is not True and "pg_trgm" in extensions:
        yield Candidate(name, (_with(term.key, extensions["pg_trgm"], "gin_trgm_ops"),), method="gin")


def _contained(name: Name, relation: Relation, term: Term, extensions: Mapping[str, str]) -> Iterator[Candidate]:
    operator = term.condition.operator
    column = relation.column(term.key.column) if term.key.column else None
    type_name = "" if column is None else column.base_type or column.type_name
    if operator in ("%", "<%", "%>"):
        if "pg_trgm" in extensions:
            yield Candidate(name, (_with(term.key, extensions["pg_trgm"], "gin_trgm_ops"),), method="gin")
    elif type_name == "jsonb":
        if operator in ("@>", "@@", "@?"):
            yield Candidate(name, (term.key._replace(opclass="jsonb_path_ops"),), method="gin")
        if operator in ("?", "?|", "?&"):
            yield Candidate(name, (term.key,), method="gin")
    elif type_name == "tsvector" or "to_tsvector" in term.key.expression:
        if operator in ("@@", "@@@"):
            yield Candidate(name, (term.key,), method="gin")
    elif type_name.endswith("[]"):
        if operator in ("@>", "<@", "&&", "="):
            yield Candidate(name, (term.key,), method="gin")
    elif _RANGE_TYPES.fullmatch(type_name):
        yield Candidate(name, (term.key,), method="gist")


def _with(key: Key, schema: str, opclass: str) -> Key:
    return key._replace(opclass=f"{schema}.{opclass}" if schema else opclass)
