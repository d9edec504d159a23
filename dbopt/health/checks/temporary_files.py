"""Databases whose queries write much into temporary files.

A sort, hash or materialization that needs more than work_mem goes to disk, as do index builds beyond
maintenance_work_mem. Some of it is normal; much of it takes I/O from everybody, and the disk can fill up
(temp_file_limit). pg_stat_statements names the statements by temp_blks_written; an index that gives the order, or more
work_mem for their role, ends it.

The rate is that of the time since the last run of dbopt, or since the counters were reset, at most a day, in each
database of the server, from 256 MB on (`min_bytes`).
https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-WORK-MEM
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.activity import Activity, counters, lately
from dbopt.health.check import Check, Group, Limit, Unit, above
from dbopt.postgres.databases import DATABASES, DatabaseState
from dbopt.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_COUNTERS = ("temp_files", "temp_bytes")


def _hourly(row: Activity) -> float:
    return row.values["temp_bytes"] / row.seconds * 3600


def _rows(rows: Sequence[DatabaseState], scene: Scene) -> Iterator[Activity]:
    def measure(row: Activity) -> float:
        return _hourly(row) if row.values["temp_bytes"] >= scene.limits["min_bytes"] else 0.0

    for row in lately(rows, scene, measure, *_COUNTERS):
        if row.gap is not None or row.values["temp_bytes"] >= scene.limits["min_bytes"]:
            yield row


def _detail(row: Activity) -> str:
    return (
        f"{format_bytes(row.values['temp_bytes'])} in {row.values['temp_files']:,.0f} files {row.window},"
        f" {format_bytes(_hourly(row))} an hour"
    )


CHECK: Check[Activity] = Check(
    id="temporary-files",
    title="Temporary files written",
    group=Group.STORAGE,
    query=DATABASES,
    unit=Unit.BYTES,
    thresholds=above(warning=4 * 1024**3, critical=None, source="our own: in an hour; 1 MB in every second"),
    limits=(Limit("min_bytes", 256 * 1024**2, Unit.BYTES, "our own: less may be one report"),),
    rows=_rows,
    gap=lambda row: row.gap,
    counters=lambda rows: counters(rows, *_COUNTERS),
    subject=lambda row: row.datname,
    measure=_hourly,
    detail=_detail,
    remedy=lambda _row: (
        "-- with pg_stat_statements:\n"
        "SELECT queryid, calls, temp_blks_written, left(query, 80) AS query\n"
        "  FROM pg_stat_statements WHERE temp_blks_written > 0 ORDER BY temp_blks_written DESC LIMIT 10;"
    ),
)
