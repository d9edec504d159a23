"""PostgreSQL's own grammar (version 18, by libpg_query) for text that comes from outside.

Nothing that a spec, a plan file or a statistics view hands us as SQL is used before it went through here: a text that
is not exactly one expression, or one statement of the kind expected, never reaches a server.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postgast.pg_query_pb2 import IndexStmt, Node

_Answer = TypeVar("_Answer")

# libpg_query writes its tree out by recursion, without looking at the stack: 25,000 operators, each around the one
# before, end the process on a stack of 8 MiB. Counted is all that may nest without parentheses (limited by it);
# lists and chains of AND or OR stay flat, so long ones are no trouble.
_NESTING = re.compile(
    r"[-+*/%^<>=~!@#&|?`:]+|\b(?:not|is|isnull|notnull|collate|at|case|join|union|except|intersect)\b", re.I
)
_NESTING_MAX = 10_000
_REMEMBERED = 1_000  # trees of expressions; each entry of a spec is looked at several times, and many are alike


class GrammarError(Exception):
    """A text that PostgreSQL's grammar refuses.

    `position` is a 0-based character offset into the text, None when unknown.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


def parse_one(sql: str) -> Node:
    """The parse tree of a text that is exactly one statement.

    Raises GrammarError for a syntax error, an empty text and a text of several statements.
    """
    statements = parse(sql)
    if len(statements) != 1:
        raise GrammarError("expected one statement, found " + (str(len(statements)) if statements else "none"))
    return statements[0]


def parse(sql: str) -> list[Node]:
    """The parse trees of a text's statements, however many. Raises GrammarError."""
    import postgast
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return [statement.stmt for statement in _asked(postgast.parse, sql).stmts]
    except DecodeError as exc:
        # The tree crosses over as a protobuf message, and protobuf reads no more than 100 levels: some 45 operators,
        # each around the one before. PostgreSQL itself would take it.
        raise GrammarError("nested too deeply to be read") from exc


def fingerprint(sql: str) -> str:
    """The digest that libpg_query makes of statements, however deeply nested: 16 hexadecimal digits.

    Constants do not count, nor how many there are in a list, nor schemas. Raises GrammarError.
    """
    import postgast

    digest: str = _asked(postgast.fingerprint, sql).hex
    return digest


def without_constants(sql: str) -> str:
    """Statements, however deeply nested, with `$n` for constants as libpg_query sees them. Raises GrammarError.

    It leaves alone what has to be a constant (ORDER BY 1, lengths of types), and whole kinds of statements.
    """
    import postgast

    text: str = _asked(postgast.normalize, sql)
    return text


def _asked(question: Callable[[str], _Answer], sql: str) -> _Answer:
    """What libpg_query says of a text that does not harm it."""
    import postgast

    if "\x00" in sql:
        raise GrammarError("a NUL character is not allowed in SQL", sql.index("\x00"))
    if sum(1 for _ in _NESTING.finditer(sql)) > _NESTING_MAX:
        raise GrammarError("too many operators to be read safely")
    try:
        return question(sql)
    except UnicodeEncodeError as exc:
        raise GrammarError("not a text that PostgreSQL could store", exc.start) from exc
    except postgast.PgQueryError as exc:
        raise GrammarError(exc.message, exc.cursorpos - 1 if exc.cursorpos else None) from exc


@functools.lru_cache(maxsize=_REMEMBERED)
def parse_expression(text: str) -> Node:
    """The parse tree of a text that is exactly one expression over the columns of one table. It is not to be changed.

    The text is set between line breaks, so that a comment at its end cannot swallow the closing parenthesis, and what
    comes back has to be a bare `SELECT (expression)`: a text that closes the parenthesis itself and goes on is refused.
    Raises GrammarError.
    """
    # On its own first, where an error is found at its true place: `a) + (b` would parse between our parentheses.
    _parse_between("SELECT\n", text, "\n")
    select = _parse_between("SELECT (\n", text, "\n)")
    statement = select.select_stmt
    fields = [field.name for field, _ in statement.ListFields()] if select.HasField("select_stmt") else []
    if set(fields) - {"target_list", "limit_option", "op"} or len(statement.target_list) != 1:
        raise GrammarError("expected one expression")
    target = statement.target_list[0].res_target
    # `a) AS b, (c` and `a) b` are more than an expression; a row `(a, b)` is one, but no index key or predicate.
    if target.name or target.indirection or target.val.HasField("row_expr"):
        raise GrammarError("expected one expression")
    return target.val


def _parse_between(before: str, text: str, after: str) -> Node:
    """Like parse_one, positions counted in `text`."""
    try:
        return parse_one(before + text + after)
    except GrammarError as exc:
        position = None if exc.position is None else min(max(exc.position - len(before), 0), len(text))
        raise GrammarError(exc.message, position) from exc


def parse_create_index(sql: str) -> IndexStmt:
    """The tree of a text that is exactly one CREATE INDEX. Raises GrammarError."""
    node = parse_one(sql)
    if not node.HasField("index_stmt"):
        raise GrammarError("expected one CREATE INDEX statement")
    return node.index_stmt


def deparse(node: Node) -> str:
    """The SQL text of one statement's tree."""
    import postgast
    from postgast.pg_query_pb2 import ParseResult, RawStmt

    text: str = postgast.deparse(ParseResult(stmts=[RawStmt(stmt=node)]))
    return text


def expression_text(node: Node) -> str:
    """The SQL text of one expression's tree."""
    from postgast.pg_query_pb2 import Node as Message

    select = Message()
    select.select_stmt.target_list.add().res_target.val.CopyFrom(node)
    return deparse(select).removeprefix("SELECT ")


def column_names(node: Node) -> Iterator[str]:
    """The columns that a tree names: the last part of every column reference, in order, with repeats."""
    import postgast
    from postgast.pg_query_pb2 import ColumnRef

    for reference in postgast.find_nodes(node, ColumnRef):
        last = reference.fields[-1]
        if last.HasField("string"):
            yield last.string.sval


def column_references(node: Node) -> Iterator[tuple[str, ...]]:
    """The column references of a tree in their parts, `*` for all columns."""
    import postgast
    from postgast.pg_query_pb2 import ColumnRef

    for reference in postgast.find_nodes(node, ColumnRef):
        yield tuple(field.string.sval if field.HasField("string") else "*" for field in reference.fields)


def parameter_count(node: Node) -> int:
    """How many parameters a statement takes: the greatest N of its `$N`."""
    import postgast
    from postgast.pg_query_pb2 import ParamRef

    return max((reference.number for reference in postgast.find_nodes(node, ParamRef)), default=0)
