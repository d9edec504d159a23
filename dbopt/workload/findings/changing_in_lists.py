"""One statement is many, as its IN list is of another length each time.

To the server `IN ($1, $2)` and `IN ($1, $2, $3)` are two statements: each takes an entry of pg_stat_statements
(pg_stat_statements.max, 5,000, after which it drops others), and each has to be parsed and planned anew, as no prepared
one fits. `= ANY ($1)` with an array is one statement for all lengths, with the same plans.

It is named from five ids on that differ in nothing that PostgreSQL's grammar could tell but in such lengths, and in
which tables their names mean: where several schemas have the same tables, the ids may be as many for that reason.
From 18 on the server itself counts lists of all lengths as one.
https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.workload import texts
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgast.pg_query_pb2 import A_Expr

    from dbopt.workload.finding import Scene

# Our own reasoning: a few lengths are prepared and planned once each, and then stay.
IDS_MIN = 5


def _look(scene: Scene) -> Iterator[Advice]:
    statement = scene.statement
    if len(statement.queryids) < IDS_MIN or statement.query is None:
        return
    if statement.kind not in (Kind.SELECT, Kind.UPDATE, Kind.DELETE):  # of INSERT, the number of its rows may change
        return
    found = next(iter(texts.in_lists(statement.query)), None)
    if found is None:
        return
    instead = _instead(found)
    yield Advice(
        code=FINDING.code,
        message=f"counted as {len(statement.queryids):,} statements, as its IN list is of another length each time",
        why="Each length is parsed and planned by itself, and takes an entry of pg_stat_statements.",
        hint=f"Give the values as one array: {instead}.",
    )


def _instead(found: A_Expr) -> str:
    from dbopt import grammar

    is_denied = found.name[-1].string.sval == "<>"
    return f"{grammar.expression_text(found.lexpr)} {'<> ALL' if is_denied else '= ANY'} ($1)"


FINDING = Finding(
    code="changing-in-lists",
    title="IN lists of changing length",
    look=_look,
    needs_plan=False,
    source=f"our own reasoning: from {IDS_MIN} lengths on",
)
