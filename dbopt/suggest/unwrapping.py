"""The statement that has a plan, of one that prepares, explains or fetches from it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.grammar import GrammarError
from dbopt.postgres.tokens import Sort, Token, tokens, written
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postgast.pg_query_pb2 import Node

_PLANNED = frozenset(("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"))
# What drivers, psql and pgbench put a value for. Looked for where PostgreSQL's grammar refuses the text as it is: `?`
# is an operator, too, and `a[1:n]` a slice.
_PLACEHOLDER = re.compile(
    r"""( '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\r\n]* | /\*.*?\*/ | :: )
      | %s | %\(\w+\)s | (?<![\w:]):'?([A-Za-z_]\w*)'? | \?""",
    re.VERBOSE | re.DOTALL,
)
_PARAMETER = re.compile(r"\$([0-9]+)")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is planned."""

    text: str


@dataclass(frozen=True, slots=True)
class Prepared:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Execution:
    name: str


def unwrapped(text: str) -> Kept | Prepared | Execution | None:
    """None: a utility statement. Raises GrammarError for what is no statement."""
    try:
        node = grammar.parse_one(text)
    except GrammarError as exc:
        filled = _filled(text)
        if filled == text:
            raise
        try:
            node = grammar.parse_one(filled)
        except GrammarError:
            raise exc from None  # of the text as it stands
        text = filled
    return _of(node, text)


def _of(node: Node, text: str | None) -> Kept | Prepared | Execution | None:
    """`text`: None: it has to be written from the tree."""
    if node.HasField("select_stmt") and node.select_stmt.HasField("into_clause"):
        node.select_stmt.ClearField("into_clause")  # the rows of SELECT INTO
        text = None
    match node.WhichOneof("node"):
        case kind if kind in _PLANNED:
            return Kept(_written(node) if text is None else text)
        case "execute_stmt":
            return Execution(node.execute_stmt.name)
        case "prepare_stmt":
            inner = _of(node.prepare_stmt.query, None)
            if not isinstance(inner, Kept):
                return None
            return Prepared(node.prepare_stmt.name, _typed(inner.text, _types(node)))
        case "explain_stmt":
            return _of(node.explain_stmt.query, None)
        case "declare_cursor_stmt":
            return _of(node.declare_cursor_stmt.query, None)
        case "create_table_as_stmt":
            return _of(node.create_table_as_stmt.query, None)
        case "copy_stmt" if node.copy_stmt.HasField("query"):
            return _of(node.copy_stmt.query, None)
    return None


def _written(node: Node) -> str:
    text = grammar.deparse(node)
    grammar.parse_one(text)
    return text


def _types(node: Node) -> list[str]:
    from dbopt.workload.parameter_tree import type_text

    return [type_text(name.type_name) for name in node.prepare_stmt.argtypes]


def _typed(text: str, types: Sequence[str]) -> str:
    """The types of PREPARE are part of what it means."""

    def cast(item: Token) -> Token:
        number = int(item.text[1:]) if item.sort is Sort.PARAMETER else 0
        if not 0 < number <= len(types) or types[number - 1] in ("unknown", "pg_catalog.unknown"):
            return item
        return item._replace(text=f"CAST({item.text} AS {types[number - 1]})")

    return written(map(cast, tokens(text))) if types else text


def _filled(text: str) -> str:
    """With a parameter for each placeholder; the same for the same name."""
    number = max((int(match) for match in _PARAMETER.findall(text)), default=0)
    names: dict[str, int] = {}

    def parameter(match: re.Match[str]) -> str:
        nonlocal number
        if match[1] is not None:
            return match[0]
        name = match[0].replace("'", "")
        if name in ("?", "%s") or name not in names:
            number += 1
            names[name] = number
        return f"${names[name]}"

    return _PLACEHOLDER.sub(parameter, text)
