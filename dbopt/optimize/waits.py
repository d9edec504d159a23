"""Whom a concurrent build or drop would wait for, seen before it starts.

CREATE INDEX CONCURRENTLY waits for less than people think (checked on 13 to 18): twice for those who hold a lock on
this table that conflicts with SHARE, and at its end for sessions of this database that hold a snapshot. Idle sessions
in READ COMMITTED, other databases, SELECT FOR UPDATE elsewhere: not. But an idle session whose last statement had bound
parameters, as drivers send them, still holds that statement's snapshot, and is waited for until its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize.steps import Blocker
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

# As pg_stat_progress_create_index names the phases.
WRITERS = "waiting for writers before build"
SNAPSHOTS = "waiting for old snapshots"
READERS = "waiting for readers before dropping"
OTHER_BUILD = "waiting for another build on the table"  # ours: the view has no name for who is not in it yet


@dataclass(frozen=True, slots=True)
class _Row:
    table_oid: int | None  # None: a snapshot, whatever the table
    pid: int | None
    gid: str | None
    usename: str | None
    application_name: str | None
    state: str | None
    xact_age_seconds: float | None
    writes: bool


_HOLDERS_AND_SNAPSHOTS = """
        /* dbopt: who holds locks on these tables, and who holds snapshots in this database */
        SELECT l.relation::int8 AS table_oid, l.pid, p.gid::text AS gid, a.usename::text AS usename,
               a.application_name, a.state,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - COALESCE(a.xact_start, p.prepared))::float8
                 AS xact_age_seconds,
               pg_catalog.bool_or(l.mode <> ALL ('{AccessShareLock,RowShareLock}')) AS writes
          FROM pg_catalog.pg_locks AS l
          LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
          LEFT JOIN pg_catalog.pg_locks AS x
            ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
           AND x.virtualtransaction = l.virtualtransaction
          LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction = x.transactionid
         WHERE l.locktype = 'relation' AND l.granted
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                              WHERE d.datname = pg_catalog.current_database())
           AND l.relation = ANY (%(oids)s::oid[])
           AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
         GROUP BY 1, 2, 3, 4, 5, 6, 7
        UNION ALL
        SELECT NULL, a.pid, NULL, a.usename::text, a.application_name, a.state,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8, false
          FROM pg_catalog.pg_stat_activity AS a
         WHERE a.datname = pg_catalog.current_database() AND a.backend_xmin IS NOT NULL
           AND a.pid <> pg_catalog.pg_backend_pid()
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v WHERE v.pid = a.pid)
         ORDER BY 1 NULLS LAST, 2, 3
        """

HOLDERS = Query("lock-and-snapshot-holders", _Row, {(13,): _HOLDERS_AND_SNAPSHOTS}, {"oids": [1259]})


@dataclass(frozen=True, slots=True)
class Waits:
    """What would be waited for, by table."""

    rows: tuple[_Row, ...]

    def of_build(self, table_oid: int) -> tuple[Blocker, ...]:
        writers = [row for row in self.rows if row.table_oid == table_oid and row.writes]
        pids = {row.pid for row in writers}
        snapshots = [row for row in self.rows if row.table_oid is None and row.pid not in pids]
        return (*(_blocker(row, WRITERS) for row in writers), *(_blocker(row, SNAPSHOTS) for row in snapshots))

    def of_drop(self, table_oid: int) -> tuple[Blocker, ...]:
        return tuple(_blocker(row, READERS) for row in self.rows if row.table_oid == table_oid)


def foresee(conn: Connection, server: Server, table_oids: Iterable[int]) -> Waits:
    """Who stands in the way now. One statement, no lock."""
    return Waits(tuple(HOLDERS.rows(conn, server.version, {"oids": list(table_oids)})))


OTHER_BUILDS = Query(
    "other-builds-on-a-table",
    Blocker,
    {
        # The view hides the table of another role's build; its lock is there for everybody to see.
        (13,): """
        /* dbopt: who builds an index on this table right now */
        SELECT %(phase)s AS phase, p.pid, NULL::text AS gid, a.usename::text AS usename, a.application_name, a.state,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.query_start)::float8 AS xact_age_seconds
          FROM pg_catalog.pg_stat_progress_create_index AS p
          LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = p.pid
         WHERE EXISTS (SELECT FROM pg_catalog.pg_locks AS l
                         JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
                         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                        WHERE l.pid = p.pid AND l.locktype = 'relation' AND l.granted
                          AND l.mode = 'ShareUpdateExclusiveLock'
                          AND n.nspname = %(schema)s AND c.relname = %(table)s
                          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                                             WHERE d.datname = pg_catalog.current_database()))
         ORDER BY p.pid
        """
    },
    {"phase": OTHER_BUILD, "schema": "pg_catalog", "table": "pg_class"},
)


def other_builds(conn: Connection, server: Server, schema: str, table: str) -> tuple[Blocker, ...]:
    """Builds under way on the table, while none of ours is: CREATE INDEX or REINDEX, both CONCURRENTLY."""
    parameters = {"phase": OTHER_BUILD, "schema": schema, "table": table}
    return tuple(OTHER_BUILDS.rows(conn, server.version, parameters))


def _blocker(row: _Row, phase: str) -> Blocker:
    return Blocker(
        phase=phase,
        pid=row.pid,
        gid=row.gid,
        usename=row.usename,
        application_name=row.application_name,
        state=row.state,
        xact_age_seconds=row.xact_age_seconds,
    )
