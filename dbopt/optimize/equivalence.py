"""The second opinion on two definitions that PostgreSQL prints differently: the planner's.

It has to prove each from the other, as it proves that a partial index serves a query. Then both hold the same rows and
serve the same queries: arms of AND in another order, IN for OR, a dump's casts for typed ones, constants folded.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt import grammar
from dbopt.optimize import twin
from dbopt.postgres.identifiers import text
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.optimize.canonical import Definition
    from dbopt.postgres.catalog import Column, Table
    from dbopt.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class Pair:
    """Two wordings, and the twin on which they can be compared. `key` is all that the answer depends on."""

    name: str
    columns: tuple[Column, ...]
    one: str
    other: str

    @property
    def key(self) -> Hashable:
        return self.name, tuple((column.column, twin.kind(column)) for column in self.columns), self.one, self.other


def pair(table: Table, columns: Sequence[Column], one: Definition, other: Definition) -> Pair:
    """Of two definitions whose other parts are the same."""
    conditions = _condition(one), _condition(other)
    try:
        trees = [grammar.parse_expression(condition) for condition in conditions]
        names = {parts for tree in trees for parts in grammar.column_references(tree)}
    except grammar.GrammarError:  # an operator of a later release, or nested too deeply: any name may be in it
        names = {()}
    used, own_name = twin.needed(names, table, columns)
    return Pair(own_name or "t", used, *conditions)


def proven(conn: Connection, asked: Pair) -> bool:
    """Whether expressions and predicates of the two definitions mean the same."""
    twin.begin(conn)
    try:
        conn.execute(twin.create_twin(asked.name, asked.columns))
        # Where a partial index will do, no other plan; and no reasoning that a condition contradicts itself.
        conn.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = on; SET LOCAL constraint_exclusion = off"
        )
        forward = _implied(conn, asked.name, asked.one, asked.other)
        return forward is not None and forward == _implied(conn, asked.name, asked.other, asked.one)
    except psycopg.OperationalError:
        raise  # cancelled or cut off: no answer at all
    except psycopg.Error:
        return False  # not to be told: rebuilding is the safe answer
    finally:
        if not conn.closed:
            conn.execute("ROLLBACK")


def _condition(form: Definition) -> str:
    """All that the wording says, as one condition.

    `num_nulls(x) > n` stands for the n-th key, whatever its type: one of these implies another only if their
    expressions are one tree to the planner. (A comparison of the trees that EXPLAIN prints would overlook collations.)
    """
    keys = [
        f"pg_catalog.num_nulls(({key.expression})) > {n}"
        for n, key in enumerate(form.keys, start=1)
        if key.expression is not None
    ]
    return " AND ".join([*keys, f"({form.predicate or 'true'})"])


def _implied(conn: Connection, name: str, query: str, predicate: str) -> list[int] | None:
    """None unless an index `WHERE predicate` holds every row for which `query` is true; then the users' functions that
    the predicate calls. The planner looks through a function in SQL, but its body may be another tomorrow.
    """
    table = twin.name_of(name)
    parts = {
        "index": sql.Identifier("a" if name == "b" else "b"),
        "table": table,
        "predicate": sql.SQL(predicate),
        "query": sql.SQL(query),
        "name": sql.Literal(text(table)),
    }
    # At one go: what it costs otherwise is the way to the server and back.
    answers = conn.execute(
        sql.SQL(
            """
            CREATE INDEX {index} ON {table} ((true)) WHERE {predicate};
            EXPLAIN (COSTS OFF, FORMAT JSON) SELECT 1 FROM {table} WHERE {query};
            SELECT /* dbopt: the functions that the index of a twin calls, PostgreSQL's own aside (they are pinned) */
                   DISTINCT d.refobjid::int8
              FROM pg_catalog.pg_depend AS d
              JOIN pg_catalog.pg_index AS i ON i.indexrelid = d.objid AND i.indrelid = {name}::pg_catalog.regclass
             WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
               AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
             ORDER BY 1;
            DROP INDEX pg_temp.{index}
            """
        ).format(**parts)
    )
    answers.nextset()
    plan = answers.fetchall()[0][0][0]["Plan"]
    answers.nextset()
    functions = answers.fetchall()
    used = any("Index Name" in node for node in (plan, *plan.get("Plans", ())))
    return [oid for (oid,) in functions] if used else None
