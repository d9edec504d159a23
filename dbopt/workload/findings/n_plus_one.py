"""Rows are fetched one by one, by key, many times over.

An application fetches a list, and then for each entry of it what belongs to it: one statement, and N more. Each is
quick, so that no list of slow statements has them; together they cost the server a good part of its time, and the
application a round trip each. One statement for all keys of the list, `= ANY ($1)`, or a join in the first one, does
the same in a fraction of it. Most mapping libraries have a word for it: eager loading, prefetching, a data loader.

It is named for a SELECT from one table by the equality of columns, without ORDER BY, that gave at most one row a call,
a millisecond a call at most, a thousand times or more, six times a minute at least, and for no less than a hundredth
of the time or a tenth of the calls of all statements: what a round trip costs the application is not in the server's
time. From counters nobody can tell a loop from many clients that each want one row: where it is one lookup a request,
as of a session by its token, there is nothing to be gained, and nothing to be done.
https://www.postgresql.org/docs/current/functions-comparisons.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.units import format_duration
from dbopt.workload import texts
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgast.pg_query_pb2 import Node, SelectStmt

    from dbopt.workload.finding import Scene

# Our own reasoning, each: fewer in the window are no pattern; what takes longer than a round trip within a data centre
# has another trouble; less of the whole, or less often, nobody waits for.
CALLS_MIN = 1_000
MEAN_MAX_MS = 1.0
SHARE_MIN = 0.01
CALLS_SHARE_MIN = 0.1  # the round trips are waited for, whatever they cost the server
CALLS_PER_SECOND_MIN = 0.1
TEXT_MAX_CHARACTERS = 300
_AGGREGATES = frozenset(
    (
        *("array_agg", "avg", "bool_and", "bool_or", "count", "every", "json_agg", "json_object_agg", "jsonb_agg"),
        *("jsonb_object_agg", "max", "min", "string_agg", "sum"),
    )
)


def _look(scene: Scene) -> Iterator[Advice]:
    statement = scene.statement
    if not _is_often(scene) or statement.query is None:
        return
    tree = texts.select(statement.query)
    column = None if tree is None else _key(tree)
    if tree is None or column is None:
        return
    counters = statement.counters
    name, table = texts.column_name(column), texts.table(tree)
    assert table is not None  # else there would be no key
    mean = format_duration((counters.mean_exec_time_ms or 0.0) / 1000)
    message = f"fetches rows of {table.relname} one by one, by {name}: {counters.calls:,.0f} calls of {mean}"
    if statement.calls_per_second is not None:
        message += f", {statement.calls_per_second:,.1f} each second"
    together = _together(tree, column)
    yield Advice(
        code=FINDING.code,
        message=message,
        why=f"Together they take {statement.share or 0.0:.1%} of the time of all statements"
        + ("" if statement.calls_share is None else f" and are {statement.calls_share:.0%} of all calls")
        + "; the application waits for each of them.",
        hint="If a loop sends them, fetch them at once, with an array of all keys"
        + (f": {together}" if together is not None else f" in {name} = ANY ($1)."),
    )


def _is_often(scene: Scene) -> bool:
    statement, counters = scene.statement, scene.statement.counters
    mean, rows, frequency = counters.mean_exec_time_ms, counters.rows_per_call, statement.calls_per_second
    if statement.kind is not Kind.SELECT or statement.share is None or mean is None or rows is None:
        return False
    if counters.calls < CALLS_MIN or mean > MEAN_MAX_MS or rows > 1:
        return False
    if statement.share < SHARE_MIN and (statement.calls_share or 0.0) < CALLS_SHARE_MIN:
        return False
    return frequency is None or frequency >= CALLS_PER_SECOND_MIN


def _key(tree: SelectStmt) -> Node | None:
    """The column whose values could be given all at once. None: it is not about one table by the equality of columns,
    or does something that would mean another thing for several.
    """
    named = {field.name for field, _ in tree.ListFields()}
    if named - {"target_list", "from_clause", "where_clause", "limit_count", "limit_offset", "limit_option", "op"}:
        return None  # ORDER BY, GROUP BY, FOR UPDATE and their like
    if texts.table(tree) is None or not tree.HasField("where_clause"):
        return None
    columns = []
    for part in texts.conjuncts(tree.where_clause):
        column = texts.compared_column(part)
        if column is not None:
            columns.append(column)
        elif not _narrows(part):
            return None
    by_name = {texts.column_name(column): column for column in columns}
    return by_name.get("id") or (columns[-1] if columns else None)


def _narrows(part: Node) -> bool:
    """`deleted_at IS NULL`, a boolean column, and what libraries put in of constants (`1 = 1`)."""
    if part.HasField("bool_expr") and len(part.bool_expr.args) == 1:
        return texts.is_column(part.bool_expr.args[0])
    if part.HasField("a_expr"):
        return texts.is_constant(part.a_expr.lexpr) and texts.is_constant(part.a_expr.rexpr)
    return texts.is_column(part) or (part.HasField("null_test") and texts.is_column(part.null_test.arg))


def _together(tree: SelectStmt, column: Node) -> str | None:
    """The statement for many keys; None where it is too long to be read, or cannot be written back."""
    from postgast.pg_query_pb2 import Node as Message

    from dbopt import grammar

    whole = Message()
    whole.select_stmt.CopyFrom(tree)
    made = whole.select_stmt
    for name in ("limit_count", "limit_offset"):
        made.ClearField(name)
    made.limit_option = 1  # LIMIT_OPTION_DEFAULT
    _compare_with_any(made.where_clause, column)
    if not _gives(tree, column):
        own = made.target_list.add()
        own.res_target.val.CopyFrom(column)
    if any(map(_is_aggregate, tree.target_list)):
        made.group_clause.add().CopyFrom(column)
    try:
        text = grammar.deparse(whole)
    except Exception:  # noqa: BLE001 - a tree that libpg_query reads and cannot write
        return None
    return f"{text};" if len(text) <= TEXT_MAX_CHARACTERS else None


def _compare_with_any(tree: Node, column: Node) -> None:
    from postgast import pg_query_pb2

    for part in texts.conjuncts(tree):
        if texts.compared_column(part) == column:
            found = part.a_expr
            value = pg_query_pb2.Node()
            value.CopyFrom(found.rexpr if texts.is_column(found.lexpr) else found.lexpr)
            found.kind = pg_query_pb2.AEXPR_OP_ANY
            found.lexpr.CopyFrom(column)
            found.rexpr.CopyFrom(_untyped(value))


def _untyped(value: Node) -> Node:
    """`$1::integer` is one value, and the array of them has another type."""
    while value.HasField("type_cast"):
        value = value.type_cast.arg
    return value


def _gives(tree: SelectStmt, column: Node) -> bool:
    """Whether each row says which key it belongs to."""
    for item in tree.target_list:
        value = item.res_target.val
        if value.HasField("column_ref"):
            last = value.column_ref.fields[-1]
            if last.HasField("a_star") or texts.column_name(value) == texts.column_name(column):
                return True
    return False


def _is_aggregate(item: Node) -> bool:
    value = item.res_target.val
    return value.HasField("func_call") and value.func_call.funcname[-1].string.sval in _AGGREGATES


FINDING = Finding(
    code="n-plus-one",
    title="Rows fetched one by one",
    look=_look,
    needs_plan=False,
    source=f"our own reasoning: {CALLS_MIN:,} calls of at most {MEAN_MAX_MS:g} ms and one row each, for"
    f" {SHARE_MIN:.0%} of the time or {CALLS_SHARE_MIN:.0%} of all calls",
)
