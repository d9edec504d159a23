"""How many rows predicates let in: the planner knows, and is asked for many tables in one message.

EXPLAIN takes ACCESS SHARE on its table; whoever asks sees to it that this is not waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.postgres.identifiers import qualified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection

AT_A_TIME = 50  # tables that are locked together, for as long as they are planned for: some 0.3 ms each


def rows_let_in(conn: Connection, asked: Mapping[tuple[int, str], Table]) -> dict[tuple[int, str], float]:
    """By the table's oid and the predicate. The planner's share of the rows that it sees now, of the rows that we see.

    Raises psycopg errors: LockNotAvailable, and what a predicate is not taken for.
    """
    statements = [_explain(table, text) for (_, predicate), table in asked.items() for text in (predicate, None)]
    answers = conn.execute(sql.SQL("; ").join(statements))
    rows: list[float] = []
    for _ in statements:
        rows.append(float(answers.fetchall()[0][0][0]["Plan"]["Plan Rows"]))
        answers.nextset()
    return {
        key: max(table.reltuples * some / max(every, 1.0), 1.0)
        for (key, table), some, every in zip(asked.items(), rows[::2], rows[1::2], strict=True)
    }


def _explain(table: Table, predicate: str | None) -> sql.Composed:
    where = sql.SQL(" WHERE {}").format(sql.SQL(predicate)) if predicate is not None else sql.SQL("")
    name = qualified(table.schema, table.table)
    return sql.SQL("EXPLAIN (FORMAT JSON) SELECT 1 FROM ONLY {}{}").format(name, where)
