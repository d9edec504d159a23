"""Whether an index that is in place serves the statements it was made for: `serves.expect`, judged by the planner.

The statement is planned for any values (a generic plan), never run. On a table of a few pages the planner reads the
table whatever indexes there are; the finding says what it does instead, and people judge.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from dbopt import grammar
from dbopt.optimize.refusals import finding
from dbopt.optimize.steps import NOT_USED, SORTS
from dbopt.spec.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec, Serve

_SORTS = ("Sort", "Incremental Sort")
_PLANNED = ("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")


def disappointed(conn: Connection, server: Server, entry: IndexSpec) -> Iterator[Finding]:
    """A finding for each expectation of an entry, in place on the server, that does not hold."""
    for number, serve in enumerate(entry.serves):
        if serve.expect is None or (serve.expect.uses is None and serve.expect.no_sort is None):
            continue
        at = f"serves.{number}"
        try:
            plan = _explain(conn, server, entry.schema_name, serve)
        except (psycopg.Error, grammar.GrammarError) as exc:
            if isinstance(exc, psycopg.Error) and conn.closed:
                raise
            words = exc.diag.message_primary if isinstance(exc, psycopg.Error) else exc.message
            yield finding(
                entry,
                Severity.WARNING,
                "serves-not-planned",
                f"a statement it serves cannot be planned: {words}",
                at=at,
            )
            continue
        nodes = list(_nodes(plan))
        used = any(node.get("Index Name") == entry.name for node in nodes)
        if serve.expect.uses is not None and used != serve.expect.uses:
            instead = ", ".join(dict.fromkeys(map(_scan, filter(_is_scan, nodes)))) or nodes[0]["Node Type"]
            message = (
                f"{entry.name} is there, but not used: {instead}" if serve.expect.uses else f"{entry.name} is used"
            )
            hint = "See the whole plan with EXPLAIN; a small table, stale statistics or another index may be why."
            yield finding(entry, Severity.WARNING, NOT_USED, message, at=at, hint=hint)
        sorts = any(node["Node Type"] in _SORTS for node in nodes)
        if serve.expect.no_sort is not None and sorts == serve.expect.no_sort:
            message = f"a statement that {entry.name} serves {'still sorts' if sorts else 'does not sort'}"
            yield finding(entry, Severity.WARNING, SORTS, message, at=at)


def _explain(conn: Connection, server: Server, schema: str, serve: Serve) -> dict[str, Any]:
    """The plan of a statement for any values of its parameters. Raises psycopg errors, GrammarError."""
    node = grammar.parse_one(serve.query)
    if node.WhichOneof("node") not in _PLANNED:
        raise grammar.GrammarError("only SELECT, INSERT, UPDATE, DELETE and MERGE have plans")
    query = sql.SQL(serve.query.strip().rstrip(";"))
    parameters = grammar.parameter_count(node)
    with conn.transaction(force_rollback=True):
        # A spec's statements may leave out the schema of the entry's own table.
        conn.execute(
            sql.SQL("SET LOCAL search_path = {}, {}").format(
                sql.Identifier(schema),
                sql.SQL(conn.execute("SHOW search_path").fetchone()[0] or "public"),  # type: ignore[index]
            )
        )
        if not parameters:
            row = conn.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
        elif server.has_generic_plan:
            row = conn.execute(sql.SQL("EXPLAIN (GENERIC_PLAN, FORMAT JSON) {}").format(query)).fetchone()
        else:
            conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            conn.execute(sql.SQL("PREPARE dbopt_serves AS {}").format(query))
            try:
                nulls = sql.SQL(", ").join([sql.NULL] * parameters)
                row = conn.execute(sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE dbopt_serves({})").format(nulls)).fetchone()
            finally:
                # PREPARE outlives the transaction, unless that has failed already.
                if conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                    conn.execute("DEALLOCATE dbopt_serves")
    assert row is not None
    document = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    plan: dict[str, Any] = document[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _is_scan(node: dict[str, Any]) -> bool:
    return "Relation Name" in node or "Index Name" in node


def _scan(node: dict[str, Any]) -> str:
    on = f" on {node['Relation Name']}" if "Relation Name" in node else ""
    using = f" using {node['Index Name']}" if "Index Name" in node else ""
    return f"{node['Node Type']}{using}{on}"
