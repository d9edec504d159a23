"""What the server itself counted while the access paths were measured: index coverage, as `dbopt stats` has it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dbopt.postgres.relation_counters import INDEX_COUNTERS, TABLE_COUNTERS
from dbopt.postgres.resets import COLLECTOR_SECONDS
from dbopt.postgres.server import inspect
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot import delta
from dbopt.snapshot.collect import collect
from dbopt.stats.collect import collect as complete
from dbopt.stats.coverage import Coverage, Specs, coverage
from dbopt.stats.tables import tables
from dbopt.stats.window import FAMILIES, Basis, Window

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection
    from dbopt.snapshot.collect import Collected

_OTHERS = """
    /* dbopt demo: sessions that have not ended yet, and tell what they did when they do */
    SELECT pg_catalog.count(*) AS sessions
      FROM pg_catalog.pg_stat_activity AS a
     WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend'
       AND a.pid <> pg_catalog.pg_backend_pid()
"""
_OTHERS_END_SECONDS, _LOOK_AGAIN_SECONDS = 2.0, 0.01


def read(conn: Connection) -> Collected:
    """When all that was done so far is counted. `conn` in autocommit."""
    server = inspect(conn)
    deadline = time.monotonic() + _OTHERS_END_SECONDS
    while conn.execute(_OTHERS).fetchone() != (0,) and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_SECONDS)
    if server.has_statistics_collector:
        time.sleep(COLLECTOR_SECONDS)
        conn.execute("SELECT 1")  # a session tells what it did at the end of a statement, not too soon after the last
        time.sleep(2 * COLLECTOR_SECONDS)
    else:
        conn.execute("SELECT pg_catalog.pg_stat_force_next_flush()")
    return collect(conn, server, SURROUNDINGS.rows(conn, server.version)[0], FAMILIES)


def covered(conn: Connection, before: Collected, after: Collected) -> Coverage:
    """Between two readings; foreign keys as they are now."""
    sums = {
        str(family): delta.between(part, after.snapshot.parts[family])
        for family, part in before.snapshot.parts.items()
        if family in after.snapshot.parts
    }
    window = Window(basis=Basis.STORED, from_at=before.snapshot.taken_at, to_at=after.snapshot.taken_at, sums=sums)
    rows = complete(
        conn,
        inspect(conn),
        after.rows[TABLE_COUNTERS],
        after.rows[INDEX_COUNTERS],
        about_indexes=False,
        foreign_keys=True,
    )
    return coverage(tables(rows, window, partitions=False), rows.foreign_keys, Specs())
