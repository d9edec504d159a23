"""`expr`, `where` and `sql`: what PostgreSQL's grammar and every index forbid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.spec.finding import Finding, Severity, about
from dbopt.spec.model import IndexSpec, State
from dbopt.spec.words import plain, quoted

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import FuncCall, IndexStmt, Node


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions of pg_catalog of which no variant is immutable, in any major from 13 to 18 (pg_proc.provolatile).
NOT_IMMUTABLE = _words(
    """clock_timestamp current_database current_query current_schema current_schemas current_setting currval
    gen_random_uuid inet_client_addr lastval nextval now pg_backend_pid random random_normal setseed setval
    statement_timestamp timeofday transaction_timestamp txid_current uuidv4 uuidv7 version"""
)
# The same, but a wrapper that is immutable is often kept under the same name in another schema.
OFTEN_WRAPPED = _words("""array_to_string concat concat_ws format to_char to_date""")
AGGREGATES = _words(
    """any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every json_agg
    json_object_agg jsonb_agg jsonb_object_agg max min mode percentile_cont percentile_disc range_agg string_agg stddev
    stddev_pop stddev_samp sum var_pop var_samp variance xmlagg"""
)
_ROWS_HINT = "An index sees one row at a time."
_IMMUTABLE_HINT = "An index may use only what gives the same result forever; leave the comparison to the query."


def check(entry: IndexSpec) -> Iterator[Finding]:
    if entry.state is State.ABSENT:
        return
    texts = [(f"keys.{n}.expr", key.expr) for n, key in enumerate(entry.keys)]
    for path, text in [*texts, ("where", entry.where)]:
        if text is None:
            continue
        try:
            tree = grammar.parse_expression(text)
        except grammar.GrammarError as exc:
            yield _syntax(entry, path, text, "expression-syntax", exc)
            continue
        if path != "where" and tree.HasField("column_ref") and len(tree.column_ref.fields) == 1:
            message = f"`{path}` is just a column"
            hint = "Write {column: ...}, or the name alone."
            yield about(entry, path, Severity.INFO, "expr-is-column", message, hint=hint)
        yield from _forbidden(entry, path, tree)
    if entry.sql is not None:
        yield from _sql(entry, entry.sql)


def _sql(entry: IndexSpec, text: str) -> Iterator[Finding]:
    try:
        statement = grammar.parse_create_index(text)
    except grammar.GrammarError as exc:
        yield _syntax(entry, "sql", text, "sql-syntax", exc)
        return
    yield from _stated(entry, statement)
    words = [("CONCURRENTLY", statement.concurrent), ("IF NOT EXISTS", statement.if_not_exists)]
    for word in (word for word, said in words if said):
        message = f"{word} in `sql` has no effect"
        hint = "dbopt builds without blocking writes, and proves each index instead of trusting a notice."
        yield about(entry, "sql", Severity.INFO, "sql-redundant-words", message, hint=hint)
    yield from _forbidden(entry, "sql", statement)


def _stated(entry: IndexSpec, statement: IndexStmt) -> Iterator[Finding]:
    """Whether the statement is about the table and the name that the entry states."""
    relation = statement.relation
    schema = relation.schemaname or entry.schema_name
    if (schema, relation.relname) != (entry.schema_name, entry.table.name) or relation.catalogname:
        table = f"{schema}.{relation.relname}"
        message = f"`sql` is about {quoted(table)}, the entry about {quoted(f'{entry.schema_name}.{entry.table.name}')}"
        yield about(entry, "sql", Severity.ERROR, "sql-other-table", message)
    if statement.idxname and statement.idxname != entry.name:
        message = f"`sql` names the index {quoted(statement.idxname)}, the entry {quoted(entry.name)}"
        yield about(entry, "sql", Severity.ERROR, "sql-other-name", message)
    if not relation.inh:
        message = "ON ONLY in `sql` would leave the index of a partitioned table invalid"
        yield about(entry, "sql", Severity.ERROR, "sql-on-only", message, hint="Leave ONLY out.")


def _forbidden(entry: IndexSpec, path: str, tree: Node | IndexStmt) -> Iterator[Finding]:
    """What parses as an expression, and no index can hold. Each thing once a text."""
    from postgast import walk
    from postgast.pg_query_pb2 import FuncCall, ParamRef, SQLValueFunction, SubLink

    found: dict[str, Finding] = {}

    def say(severity: Severity, code: str, message: str, hint: str) -> None:
        found.setdefault(message, about(entry, path, severity, code, f"`{path}` {message}", hint=hint))

    for _, node in walk(tree):
        if isinstance(node, FuncCall):
            _call(node, say)
        elif isinstance(node, SQLValueFunction):
            word = node.DESCRIPTOR.fields_by_name["op"].enum_type.values_by_number[node.op].name
            name = word.removeprefix("SVFOP_").removesuffix("_N").lower()
            say(Severity.ERROR, "not-immutable", f"uses {name}, which is not immutable", _IMMUTABLE_HINT)
        elif isinstance(node, SubLink):
            say(Severity.ERROR, "subquery", "contains a subquery", _ROWS_HINT)
        elif isinstance(node, ParamRef):
            say(Severity.ERROR, "parameter", f"contains the parameter ${node.number}", "Write the value itself.")
    yield from found.values()


def _call(call: FuncCall, say: Callable[[Severity, str, str, str], None]) -> None:
    *schema, name = [part.string.sval for part in call.funcname]
    builtin = schema in ([], ["pg_catalog"])
    marked = (
        call.agg_star or call.agg_distinct or call.agg_order or call.HasField("agg_filter") or call.agg_within_group
    )
    if call.HasField("over"):
        say(Severity.ERROR, "window-function", f"contains the window function {plain(name)}", _ROWS_HINT)
    elif marked or (builtin and name in AGGREGATES):
        say(Severity.ERROR, "aggregate", f"contains the aggregate {plain(name)}", _ROWS_HINT)
    elif builtin and name in NOT_IMMUTABLE | OFTEN_WRAPPED:
        severity = Severity.ERROR if name in NOT_IMMUTABLE or schema else Severity.WARNING
        say(severity, "not-immutable", f"uses {name}(), which is not immutable", _IMMUTABLE_HINT)


def _syntax(entry: IndexSpec, path: str, text: str, code: str, exc: grammar.GrammarError) -> Finding:
    """Where the grammar stumbled, in words; the finding's column points at the text as a whole."""
    message = f"`{path}`: {plain(exc.message)}"
    if exc.position is not None:
        rest = text[exc.position :].strip()
        message += f" (character {exc.position + 1}, before {quoted(rest)})" if rest else " (at its end)"
    return about(entry, path, Severity.ERROR, code, message)
