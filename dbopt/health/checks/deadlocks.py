"""Databases in which sessions waited for each other until the server cancelled one of them.

A deadlock costs a second (deadlock_timeout) and one of the transactions. It comes of two that lock the same rows or
tables in different orders; the server's log has both statements. Lock in one order, as by sorting the ids of an UPDATE
of many rows, keep transactions short, and repeat the one that failed (SQLSTATE 40P01).

Counted since the last run of dbopt, or since the counters were reset, at most a day; in all databases of the server.
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS
"""

from __future__ import annotations

from dbopt.health.activity import Activity, counters, lately
from dbopt.health.check import Check, Group, Unit, above
from dbopt.postgres.databases import DATABASES


def _measure(row: Activity) -> float:
    return row.values["deadlocks"]


CHECK: Check[Activity] = Check(
    id="deadlocks",
    title="Deadlocks",
    group=Group.LOCKS,
    query=DATABASES,
    unit=Unit.COUNT,
    thresholds=above(warning=1, critical=None, source="our own: each one has cost somebody a transaction"),
    rows=lambda rows, scene: lately(rows, scene, _measure, "deadlocks"),
    gap=lambda row: row.gap,
    counters=lambda rows: counters(rows, "deadlocks"),
    subject=lambda row: row.datname,
    measure=_measure,
    detail=lambda row: f"{_measure(row):,.0f} {row.window}",
    remedy=lambda _row: '-- both statements of each stand in the server\'s log: search it for "deadlock detected"',
)
