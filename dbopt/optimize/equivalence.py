"""The second opinion on two definitions that PostgreSQL prints differently: the planner's.

It has to prove each from the other, as it proves that a partial index serves a query. Then both hold the same rows and
serve the same queries: arms of AND in another order, IN for OR, a dump's casts for typed ones, constants folded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.optimize.twin import begin, create_twin, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.optimize.canonical import Definition
    from dbopt.postgres.catalog import Column, Table
    from dbopt.postgres.connect import Connection


def proven(conn: Connection, table: Table, columns: Sequence[Column], one: Definition, other: Definition) -> bool:
    """Whether expressions and predicates of two definitions, whose other parts are the same, mean the same."""
    begin(conn)
    try:
        conn.execute(create_twin(table, columns))
        # Where a partial index will do, no other plan; and no reasoning that a condition contradicts itself.
        conn.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = on; SET LOCAL constraint_exclusion = off"
        )
        forward = _implied(conn, table, _condition(one), _condition(other))
        return forward is not None and forward == _implied(conn, table, _condition(other), _condition(one))
    except psycopg.OperationalError:
        raise  # cancelled or cut off: no answer at all
    except psycopg.Error:
        return False  # not to be told: rebuilding is the safe answer
    finally:
        if not conn.closed:
            conn.execute("ROLLBACK")


def _condition(form: Definition) -> sql.Composed:
    """All that the wording says, as one condition.

    `num_nulls(x) > n` stands for the n-th key, whatever its type: one of these implies another only if their
    expressions are one tree to the planner. (A comparison of the trees that EXPLAIN prints would overlook collations.)
    """
    keys = [
        sql.SQL(f"pg_catalog.num_nulls(({key.expression})) > {n}")
        for n, key in enumerate(form.keys, start=1)
        if key.expression is not None
    ]
    return sql.SQL(" AND ").join([*keys, sql.SQL(f"({form.predicate or 'true'})")])


def _implied(conn: Connection, table: Table, query: sql.Composed, predicate: sql.Composed) -> list[int] | None:
    """None unless an index `WHERE predicate` holds every row for which `query` is true; then the users' functions that
    the predicate calls. The planner looks through a function in SQL, but its body may be another tomorrow.
    """
    index = sql.Identifier("a" if table.table == "b" else "b")
    conn.execute(sql.SQL("CREATE INDEX {} ON {} ((true)) WHERE {}").format(index, name_of(table), predicate))
    explain = sql.SQL("EXPLAIN (COSTS OFF, FORMAT JSON) SELECT 1 FROM {} WHERE {}").format(name_of(table), query)
    plan = conn.execute(explain).fetchall()[0][0][0]["Plan"]
    functions = conn.execute(
        """
        /* dbopt: the functions that the index of a twin calls, PostgreSQL's own aside (they are pinned) */
        SELECT DISTINCT d.refobjid::int8
          FROM pg_catalog.pg_depend AS d
          JOIN pg_catalog.pg_index AS i ON i.indexrelid = d.objid AND i.indrelid = %(twin)s::pg_catalog.regclass
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
           AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
         ORDER BY 1
        """,
        {"twin": name_of(table).as_string(conn)},
    ).fetchall()
    conn.execute(sql.SQL("DROP INDEX pg_temp.{}").format(index))
    used = any("Index Name" in node for node in (plan, *plan.get("Plans", ())))
    return [oid for (oid,) in functions] if used else None
