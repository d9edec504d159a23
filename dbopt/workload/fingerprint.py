"""Which statements are the same, what kind of statement one is, and which tables it names: from a normalized text.

libpg_query's fingerprint leaves out constants, however many, white space, and the order of what is selected. It leaves
out more than that: LIMIT and ORDER BY 1 as a whole, schemas, and whether a list was one value or many. Statements that
differ in these have other plans, so that they are added.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.grammar import GrammarError
from dbopt.postgres.normalized import OWN_MARK
from dbopt.postgres.references import references
from dbopt.postgres.tokens import Sort, tokens
from dbopt.workload import cut_off
from dbopt.workload.model import Kind, Traits

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node

    from dbopt.postgres.references import Reference

_KINDS = {
    "select_stmt": Kind.SELECT,
    "insert_stmt": Kind.INSERT,
    "update_stmt": Kind.UPDATE,
    "delete_stmt": Kind.DELETE,
    "merge_stmt": Kind.MERGE,
}
_HIDDEN = "<insufficient privilege>"  # what pg_stat_statements shows of others' statements
_COMMENT = re.compile(r"/\*.*?\*/ ?")
# Outside of quoted names: the numbers that a normalized text has, and the clauses that are left out with their value.
_ADDED = re.compile(r'"(?:[^"]|"")*"|[\w$]+')
_CLAUSES = frozenset(("any", "fetch", "group", "in", "limit", "offset", "order"))
_DIGIT = re.compile(r"[0-9]")  # libpg_query takes jobs_1 and jobs_2 for one table
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def traits(text: str) -> Traits:
    """For any text that went through `normalized`."""
    is_own = text.startswith(OWN_MARK)
    statement = _COMMENT.sub("", text, count=1) if is_own else text
    try:
        node = grammar.parse_one(statement)
    except GrammarError:
        kind, relations = cut_off.kind(statement), cut_off.relations(statement)
    else:
        kind, relations = _kind(node), _relations(node)
    if is_own:
        kind = Kind.OWN
    elif statement == _HIDDEN:
        kind = Kind.UNKNOWN
    return Traits(_fingerprint(statement, relations), kind, relations)


def _kind(node: Node) -> Kind:
    """What EXECUTE runs stands in pg_stat_statements as it was prepared; PREPARE itself is never there."""
    name = node.WhichOneof("node")
    if name == "prepare_stmt":
        return _kind(node.prepare_stmt.query)
    if name == "select_stmt" and node.select_stmt.HasField("into_clause"):
        return Kind.UTILITY  # SELECT INTO is CREATE TABLE AS
    return _KINDS.get(name, Kind.UTILITY)


def _fingerprint(statement: str, relations: tuple[str, ...]) -> str:
    try:
        digest = grammar.fingerprint(statement)
    except GrammarError:
        return _digest("cut off", *cut_off.words(statement))
    words = (word.lower() for word in _ADDED.findall(statement))
    added = [word for word in words if word in _CLAUSES or word[0].isdigit()]
    added += sorted(name for name in relations if "." in name or _DIGIT.search(name))
    # Once each: a list of 100 rows has its casts 100 times.
    return _digest(digest, *dict.fromkeys(added)) if added else digest


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def _relations(statement: Node) -> tuple[str, ...]:
    """Each once, in the order in which they are written."""
    return tuple(dict.fromkeys(_written(reference) for reference in references(statement)))


def _written(reference: Reference) -> str:
    """Quoted where that is needed."""
    return ".".join(_quoted(part) for part in (reference.schema, reference.name) if part)


@functools.lru_cache(10_000)
def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name) and tokens(name)[0].sort is not Sort.RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'
