"""Whether an index that is in place serves the statements it was made for: `serves.expect`, judged by the planner.

The statement is planned for any values (a generic plan), never run. On a table of a few pages the planner reads the
table whatever indexes there are; the finding says what it does instead, and people judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from dbopt import grammar
from dbopt.optimize.refusals import finding
from dbopt.optimize.steps import NOT_USED, SORTS
from dbopt.postgres.explain import explain
from dbopt.spec.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec, Serve

_SORTS = ("Sort", "Incremental Sort")
_PLANNED = ("select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")


def disappointed(conn: Connection, server: Server, entry: IndexSpec, names: frozenset[str]) -> Iterator[Finding]:
    """A finding for each expectation of an entry, in place on the server, that does not hold.

    `names`: of the index and its parts; it is by these that plans know the index of a partition tree.
    """
    for number, serve in enumerate(entry.serves):
        if serve.expect is None or (serve.expect.uses is None and serve.expect.no_sort is None):
            continue
        at = f"serves.{number}"
        try:
            nodes = list(_explain(conn, server, entry.schema_name, serve))
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
        used = any(node.get("Index Name") in names for node in nodes)
        if serve.expect.uses is not None and used != serve.expect.uses:
            instead = ", ".join(dict.fromkeys(map(_scan, filter(_is_scan, nodes)))) or "no scan"
            message = (
                f"{entry.name} is there, but not used: {instead}" if serve.expect.uses else f"{entry.name} is used"
            )
            hint = "See the whole plan with EXPLAIN; a small table, stale statistics or another index may be why."
            yield finding(entry, Severity.WARNING, NOT_USED, message, at=at, hint=hint)
        sorts = any(node["Node Type"] in _SORTS for node in nodes)
        if serve.expect.no_sort is not None and sorts == serve.expect.no_sort:
            message = f"a statement that {entry.name} serves {'still sorts' if sorts else 'does not sort'}"
            yield finding(entry, Severity.WARNING, SORTS, message, at=at)


def _explain(conn: Connection, server: Server, schema: str, serve: Serve) -> Iterator[dict[str, Any]]:
    """The nodes of a statement's plan for any values of its parameters. Raises psycopg errors, GrammarError."""
    node = grammar.parse_one(serve.query)
    if node.WhichOneof("node") not in _PLANNED:
        raise grammar.GrammarError("only SELECT, INSERT, UPDATE, DELETE and MERGE have plans")
    # A spec's statements may leave out the schema of the entry's own table.
    path = conn.execute(
        """
        /* dbopt: where a statement of the spec finds its tables */
        SELECT pg_catalog.concat_ws(', ', pg_catalog.quote_ident(%s),
                                    NULLIF(pg_catalog.current_setting('search_path'), '')) AS search_path
        """,
        (schema,),
    ).fetchone()
    assert path is not None
    parameters = grammar.parameter_count(node)
    documents = explain(
        conn, server, serve.query, parameters=parameters, settings={"search_path": path[0]}, verbose=False
    )
    # Rules make several plans of one statement, or none.
    for document in documents:
        if "Plan" in document:
            yield from _nodes(document["Plan"])


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
