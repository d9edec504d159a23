"""Databases in which pages with a wrong checksum were read.

A page that does not match its checksum was damaged after PostgreSQL had written it: by a disk, a controller, memory, a
file system, or somebody who copied files. The statement that read it has failed. What else is damaged shows when it is
read: pg_amcheck (14+) reads tables and indexes, pg_dump the tables. Take a copy of the data directory before anything
else, find out what the server's log names, restore that from a backup, and look for the cause.

All databases of the server are looked at, and the objects they share. The counters stay until statistics are reset:
after the repair, `SELECT pg_stat_reset();` in that database.
https://www.postgresql.org/docs/current/checksums.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, NotJudged, Status, Unit, above
from dbopt.postgres.databases import DATABASES, DatabaseState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


def _rows(rows: Sequence[DatabaseState], _scene: Scene) -> Iterator[DatabaseState]:
    counted = [row for row in rows if row.checksum_failures is not None]
    if not counted:
        raise NotJudged(
            "data checksums are not enabled",
            hint="With the server shut down: pg_checksums --enable -D DATA_DIRECTORY",
            status=Status.SKIPPED,
        )
    yield from counted


def _detail(row: DatabaseState) -> str:
    words = f"{row.checksum_failures:,} pages with a wrong checksum were read"
    if row.checksum_last_failure is None:
        return words
    return f"{words}, the last one at {row.checksum_last_failure:%Y-%m-%d %H:%M:%S%z}"


def _remedy(row: DatabaseState) -> str:
    lines = [
        "-- 1. copy the data directory; 2. what is damaged stands in the server's log, or:",
        f'--    pg_amcheck --heapallindexed "dbname={row.datname}"' if row.datname else "--    pg_amcheck --all",
        "-- 3. restore it from a backup; 4. look for the cause: dmesg, smartctl, memory",
    ]
    return "\n".join(lines)


CHECK: Check[DatabaseState] = Check(
    id="checksum-failures",
    title="Checksum failures",
    group=Group.STORAGE,
    query=DATABASES,
    unit=Unit.COUNT,
    thresholds=above(warning=None, critical=1, source="https://www.postgresql.org/docs/current/checksums.html"),
    rows=_rows,
    subject=lambda row: row.subject,
    measure=lambda row: row.checksum_failures or 0,
    detail=_detail,
    remedy=_remedy,
)
