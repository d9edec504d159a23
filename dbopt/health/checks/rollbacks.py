"""Databases of whose transactions many are rolled back.

Transactions roll back because a statement failed, because the application gave up, or out of habit: some libraries end
those that only read with ROLLBACK. The first two are worth a look at the logs of the server and of the application; for
the third raise the threshold or put the database into the ignore list.

The share is that of the time since the last run of dbopt, or since the counters were reset, at most a day, in each
database of the server, from 1,000 transactions on (`min_transactions`).
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.activity import Activity, counters, lately
from dbopt.health.check import Check, Group, Limit, Unit, above
from dbopt.postgres.databases import DATABASES, DatabaseState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_COUNTERS = ("xact_commit", "xact_rollback")


def _transactions(row: Activity) -> float:
    return row.values["xact_commit"] + row.values["xact_rollback"]


def _measure(row: Activity) -> float:
    return row.values["xact_rollback"] / max(_transactions(row), 1)


def _rows(rows: Sequence[DatabaseState], scene: Scene) -> Iterator[Activity]:
    def measure(row: Activity) -> float:
        return _measure(row) if _transactions(row) >= scene.limits["min_transactions"] else 0.0

    for row in lately(rows, scene, measure, *_COUNTERS):
        if row.gap is not None or _transactions(row) >= scene.limits["min_transactions"]:
            yield row


CHECK: Check[Activity] = Check(
    id="rollbacks",
    title="Many transactions rolled back",
    group=Group.WORKLOAD,
    query=DATABASES,
    unit=Unit.RATIO,
    thresholds=above(warning=0.2, critical=None, source="our own: one of five is more than what users give up"),
    limits=(Limit("min_transactions", 1_000, Unit.COUNT, "our own: below that a share says little"),),
    rows=_rows,
    gap=lambda row: row.gap,
    counters=lambda rows: counters(rows, *_COUNTERS),
    subject=lambda row: row.datname,
    measure=_measure,
    detail=lambda row: (
        f"{row.values['xact_rollback']:,.0f} of {_transactions(row):,.0f} transactions rolled back,"
        f" {_measure(row):.0%}, {row.window}"
    ),
    remedy=lambda _row: "-- errors stand in the server's log (log_min_error_statement); others are the application's",
)
