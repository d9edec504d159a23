"""What a statement does and to which tables, by PostgreSQL's own grammar: for figures, and for a cache that forgets.

Texts are as SQLAlchemy and psycopg send them, or as SQLAlchemy has compiled them. What triggers, rules, views' own
functions and foreign keys do besides, no text tells.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.client.meter.harmless import HARMLESS, PREFIXES
from dbopt.grammar import GrammarError
from dbopt.postgres.normalized import normalized
from dbopt.postgres.references import FROM, references
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgast.pg_query_pb2 import Node

    from dbopt.postgres.references import Reference

OTHER = "other"
SEVERAL = "several"

# Texts and what they mean, to be kept: some KB each. An application has some hundred.
_REMEMBERED = 2_000
_LONG_CHARACTERS = 2_000  # of these the digest is kept
_COMPILED_CHARACTERS = 10_000  # most of them SQLAlchemy keeps anyhow
# A character costs the grammar 1.5 microseconds: at the most, a fifth of a second for a statement that is new.
_LONGEST_CHARACTERS = 100_000
_SHOWN_REMEMBERED = 1_000
_SHOWN_CHARACTERS = 10_000

# psycopg's placeholders, and what SQLAlchemy puts for lists whose length it does not know yet.
_PLACEHOLDER = re.compile(r"%(?:(%)|(\([^()]*\))?[sbt])|__\[POSTCOMPILE_(\S+?)(?:~~.+?~~)?\]")
_SCHEMA_LATER = "__[SCHEMA_"  # schema_translate_map
# Lists of nothing but parameters, and rows of those. A cast ends where the value does.
_CAST = re.compile(r"(\$[0-9]+)::[A-Za-z_][\w .\"]{0,130}(?:\([0-9, ]*\))?[\w ]{0,30}(?:\[\])*(?=\s*[,)])")
_LIST = re.compile(r"(\$[0-9]+)(?:\s*,\s*\$[0-9]+)+")
_ROWS = re.compile(r"(\(\s*\$[0-9]+\s*\))(?:\s*,\s*\(\s*\$[0-9]+\s*\))+")


@dataclass(frozen=True, slots=True)
class Statement:
    """Names are as the catalogs have them, with the schema where the statement says it: posts, app.Odd Name.

    `writes` None: nobody can tell from the text. `functions`: those that it calls and that may write, the reason for
    None where there is no other.
    """

    operation: str  # select, insert, ...; OTHER where the grammar does not read it, SEVERAL of different statements
    table: str | None  # the main one: what it writes to, or reads first
    reads: frozenset[str]
    writes: frozenset[str] | None
    is_ddl: bool = False
    functions: frozenset[str] = frozenset()


_NONE: frozenset[str] = frozenset()
UNKNOWN = Statement(OTHER, None, _NONE, None)
EMPTY = Statement(OTHER, None, _NONE, _NONE)

# Statements around another one; whether they run it is left open.
_AROUND = {"explain_stmt": "explain", "declare_cursor_stmt": "declare", "prepare_stmt": "prepare"}
_PLANNED = {"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"}
_WRITTEN = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "IntoClause", "RefreshMatViewStmt"}
_CREATED = {"IntoClause", "CreateStmt", "ViewStmt", "AlterTableStmt"}
# What changes nothing that a query would read, and is no change of the schema.
_QUIET = {
    "transaction_stmt": "transaction",
    "variable_set_stmt": "set",
    "constraints_set_stmt": "set",
    "variable_show_stmt": "show",
    "fetch_stmt": "fetch",
    "close_portal_stmt": "close",
    "deallocate_stmt": "deallocate",
    "discard_stmt": "discard",
    "listen_stmt": "listen",
    "unlisten_stmt": "unlisten",
    "notify_stmt": "notify",
    "lock_stmt": "lock",
    "vacuum_stmt": "vacuum",
    "cluster_stmt": "cluster",
    "reindex_stmt": "reindex",
    "check_point_stmt": "checkpoint",
    "load_stmt": "load",
}
# Who can tell what these run.
_OPAQUE = {"call_stmt": "call", "do_stmt": "do", "execute_stmt": "execute"}
# Changes of the schema that touch no row of a table.
_ROWLESS = {
    "index_stmt",
    "comment_stmt",
    "create_stats_stmt",
    "create_function_stmt",
    "create_schema_stmt",
    "create_extension_stmt",
    "create_enum_stmt",
    "create_seq_stmt",
}


def statement(text: str) -> Statement:
    """For any text."""
    if len(text) <= _LONG_CHARACTERS:
        return _short(text)
    text = _without_lists(_numbered(text))
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
    found = _long.get(digest)
    if found is None:
        if len(_long) >= _REMEMBERED:
            _long.clear()
        found = _long[digest] = _understood(text)
    return found


def executed(context: Any, text: str) -> Statement:
    """For what SQLAlchemy executes, from its ExecutionContext."""
    return with_source(context, text)[0]


def with_source(context: Any, text: str) -> tuple[Statement, str]:
    """And the text that says it: the compiled one where there is one, which is a single object however long a list, or
    however many rows, were put into it.
    """
    compiled = getattr(context, "compiled", None)
    if compiled is not None:
        made: str = compiled.string
        if len(made) <= _COMPILED_CHARACTERS and (found := _compiled(made)) is not None:
            return found, made
    return statement(text), text


@functools.lru_cache(_REMEMBERED)
def _compiled(text: str) -> Statement | None:
    """None: it does not say which schema."""
    return None if _SCHEMA_LATER in text else _understood(text)


def shown(text: str) -> str:
    """What may be shown and kept of a statement: no values, parameters as `$1`."""
    return _shown(text) if len(text) <= _SHOWN_CHARACTERS else normalized(_without_lists(_numbered(text)))


@functools.lru_cache(_SHOWN_REMEMBERED)
def _shown(text: str) -> str:
    return normalized(_without_lists(_numbered(text)))


@functools.lru_cache(_REMEMBERED)
def _short(text: str) -> Statement:
    return _understood(text)


# Of long texts, by digest. Not locked: each step is whole by itself, and at worst one is read twice.
_long: dict[bytes, Statement] = {}


def _numbered(text: str) -> str:
    """With `$n` for placeholders: the same number for the same name."""
    if "%" not in text and "__[" not in text:
        return text
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match[1]:
            return "%"
        name = match[2] or match[3] or str(len(numbers))
        return f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _PLACEHOLDER.sub(number, text)


def _without_lists(text: str) -> str:
    """Of values, one each: how many there are differs from call to call, and costs time."""
    return _ROWS.sub(r"\1", _LIST.sub(r"\1", _CAST.sub(r"\1", text)))


def _understood(text: str) -> Statement:
    if len(text) > _LONGEST_CHARACTERS:
        return UNKNOWN
    try:
        nodes = grammar.parse(_numbered(text))
    except GrammarError:
        # Without parameters, psycopg leaves each % as it is.
        try:
            nodes = grammar.parse(text)
        except GrammarError:
            return UNKNOWN
    every = [_one(node) for node in nodes]
    if len(every) == 1:
        return every[0]
    return _together(every) if every else EMPTY


def _together(every: list[Statement]) -> Statement:
    operations, tables = {one.operation for one in every}, {one.table for one in every}
    writes = [one.writes for one in every if one.writes is not None]
    return Statement(
        operations.pop() if len(operations) == 1 else SEVERAL,
        tables.pop() if len(tables) == 1 else None,
        _NONE.union(*(one.reads for one in every)),
        _NONE.union(*writes) if len(writes) == len(every) else None,
        any(one.is_ddl for one in every),
        _NONE.union(*(one.functions for one in every)),
    )


def _one(node: Node) -> Statement:
    kind = node.WhichOneof("node") or ""
    body = getattr(node, kind)
    if kind in _AROUND:
        return _renamed(_one(body.query), _AROUND[kind])
    named = references(node)
    if kind in _PLANNED:
        return _planned(node, kind, named)
    if kind in _OPAQUE:
        return Statement(_OPAQUE[kind], None, _NONE, None)
    table = _name(named[0]) if named else None
    if kind == "copy_stmt":
        return _copy(body, named)
    if kind == "truncate_stmt":
        cascades = body.behavior == _cascade()
        return Statement("truncate", table, _NONE, None if cascades else frozenset(map(_name, named)))
    if kind == "refresh_mat_view_stmt":
        return Statement("refresh", table, _NONE, frozenset(map(_name, named)))
    if kind in _QUIET:
        return Statement(_QUIET[kind], table, _NONE, _NONE)
    return _definition(kind, table, named)


def _planned(node: Node, kind: str, named: list[Reference]) -> Statement:
    body = getattr(node, kind)
    functions = frozenset(_functions(node))
    written = [_name(reference) for reference in named if reference.place in _WRITTEN]
    reads = frozenset(_name(reference) for reference in named if reference.place == FROM)
    writes = None if functions else frozenset(written)
    if kind != "select_stmt":
        return Statement(kind.removesuffix("_stmt"), _name_of(body.relation), reads, writes, functions=functions)
    if body.HasField("into_clause"):
        return Statement("create", written[0], reads, writes, True, functions)
    first = next((reference for reference in named if reference.place in _WRITTEN), None)
    if first is not None:  # around one that writes: that is what it does
        operation = first.place.removesuffix("Stmt").lower()
        return Statement(operation, _name(first), reads, writes, functions=functions)
    main = _main(body, {})
    if main is None and named:
        main = _name(named[0])
    return Statement("select", main, reads, writes, functions=functions)


def _copy(body: Any, named: list[Reference]) -> Statement:
    if not body.HasField("relation"):  # of a query
        return _renamed(_one(body.query), "copy")
    table = frozenset((_name(named[0]),))
    return Statement("copy", _name(named[0]), _NONE if body.is_from else table, table if body.is_from else _NONE)


def _renamed(inner: Statement, operation: str) -> Statement:
    return Statement(operation, inner.table, inner.reads, inner.writes, inner.is_ddl, inner.functions)


def _definition(kind: str, table: str | None, named: list[Reference]) -> Statement:
    operation = kind.partition("_")[0]
    if kind in ("index_stmt", "view_stmt", "rule_stmt", "define_stmt", "composite_type_stmt"):
        operation = "create"
    elif kind == "rename_stmt":
        operation = "alter"
    elif operation not in ("create", "alter", "drop", "grant", "comment"):
        operation = OTHER
    reads = frozenset(_name(reference) for reference in named if reference.place == FROM)
    if kind in _ROWLESS:
        return Statement(operation, table, reads, _NONE, True)
    changed = [_name(reference) for reference in named if reference.place in _CREATED]
    if changed and kind != "create_stmt":
        table = changed[0]
    # DROP may take others along, and what other kinds do is not to be told.
    return Statement(operation, table, reads, frozenset(changed) if changed else None, True)


def _main(select: Any, above: dict[str, Any]) -> str | None:
    """The first table of its FROM, or of the first query in it. `above`: the WITH queries that it sees."""
    seen = above | {
        item.common_table_expr.ctename: item.common_table_expr.ctequery.select_stmt
        for item in select.with_clause.ctes
        if item.common_table_expr.ctequery.HasField("select_stmt")
    }
    if select.HasField("larg"):
        return _main(select.larg, seen)
    for item in select.from_clause:
        found = _first(item, seen)
        if found is not None:
            return found
    return None


def _first(item: Any, seen: dict[str, Any]) -> str | None:
    kind = item.WhichOneof("node")
    if kind == "join_expr":
        return _first(item.join_expr.larg, seen) or _first(item.join_expr.rarg, seen)
    if kind == "range_subselect":
        return _main(item.range_subselect.subquery.select_stmt, seen)
    if kind == "range_table_sample":
        return _first(item.range_table_sample.relation, seen)
    if kind != "range_var":
        return None
    name = item.range_var.relname
    if item.range_var.schemaname or name not in seen:
        return _name_of(item.range_var)
    # One that names itself is recursive.
    return _main(seen[name], {other: query for other, query in seen.items() if other != name})


def _functions(node: Node) -> Iterator[str]:
    """Those that may write, as they are written."""
    import postgast
    from postgast.pg_query_pb2 import FuncCall

    for call in postgast.find_nodes(node, FuncCall):
        parts = [part.string.sval for part in call.funcname]
        name = parts[-1]
        is_ours = len(parts) == 1 or parts[-2] == "pg_catalog" or name.startswith(PREFIXES)
        if not (is_ours and (name in HARMLESS or name.startswith(PREFIXES))):
            yield ".".join(parts)


def _name(reference: Reference) -> str:
    return f"{reference.schema}.{reference.name}" if reference.schema else reference.name


def _name_of(relation: Any) -> str:
    return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else str(relation.relname)


def _cascade() -> int:
    from postgast.pg_query_pb2 import DROP_CASCADE

    return int(DROP_CASCADE)
