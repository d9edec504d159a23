"""What the server counts for one database and for itself: one row, without locks, whatever the number of tables.

`*_since`: when those counters were last started anew. Each group has a moment of its own, as each can be reset alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class ServerCounters:
    """Times are in milliseconds, as the views have them. None: this version does not count it, or it is hidden."""

    now: datetime  # by the server's clock
    datname: str
    timeline: int | None  # another one: another machine counts, a standby was promoted
    postmaster_started: datetime
    # pg_stat_database, of this one
    database_since: datetime | None
    xact_commit: int
    xact_rollback: int
    blks_hit: int
    blks_read: int
    catalog_blks_hit: int  # of the system catalogs, which are part of the two before
    catalog_blks_read: int
    tup_returned: int
    tup_fetched: int
    tup_inserted: int
    tup_updated: int
    tup_deleted: int
    conflicts: int
    temp_files: int
    temp_bytes: int
    deadlocks: int
    checksum_failures: int | None
    blk_read_time: float
    blk_write_time: float
    session_time: float | None  # 14+, as the next six
    active_time: float | None
    idle_in_transaction_time: float | None
    sessions: int | None
    sessions_abandoned: int | None
    sessions_fatal: int | None
    sessions_killed: int | None
    # pg_stat_bgwriter
    bgwriter_since: datetime | None
    buffers_clean: int
    maxwritten_clean: int
    buffers_alloc: int
    # pg_stat_checkpointer, before 17 in pg_stat_bgwriter
    checkpointer_since: datetime | None
    checkpoints_timed: int
    checkpoints_requested: int
    checkpoint_write_time: float
    checkpoint_sync_time: float
    buffers_checkpoint: int
    # pg_stat_wal (14+); on 13 the position of WAL, which nothing resets
    wal_since: datetime | None
    wal_records: int | None
    wal_fpi: int | None
    wal_bytes: float | None
    wal_buffers_full: int | None
    # pg_stat_archiver
    archiver_since: datetime | None
    archived_count: int
    failed_count: int
    # As things stand
    numbackends: int  # sessions in this database
    xid_age: int  # of this database
    autovacuum_workers: int | None
    replicas: int | None  # that stream from here
    replay_lag_bytes: float | None  # of the one furthest behind, or of this standby
    replay_lag_seconds: float | None
    slot_retained_bytes: float | None  # by the slot that retains most
    database_oid: int = 0  # what is dropped and created again has its name, and counters of its own
    remembers: datetime | None = None  # the oldest thing that the statistics of the system catalogs know of


_START: LiteralString = """
        /* dbopt: what the server counts for this database and for itself */
        SELECT pg_catalog.clock_timestamp() AS now, d.datname::text AS datname,
               -- The first eight digits of a WAL file's name.
               CASE WHEN NOT s.recovers
                    THEN ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))
                         ::bit(32)::int4 END AS timeline,
               pg_catalog.pg_postmaster_start_time() AS postmaster_started,
               -- A crash resets all counters; the server's own tell when, from 15 on the database's do not.
               GREATEST(d.stats_reset, LEAST(b.stats_reset, a.stats_reset)) AS database_since,
               d.xact_commit, d.xact_rollback, d.blks_hit, d.blks_read,
               found.blks_hit AS catalog_blks_hit, found.blks_fetched - found.blks_hit AS catalog_blks_read,
               d.tup_returned, d.tup_fetched, d.tup_inserted, d.tup_updated, d.tup_deleted,
               d.conflicts, d.temp_files, d.temp_bytes, d.deadlocks, d.checksum_failures,
               d.blk_read_time, d.blk_write_time,
"""
_SESSIONS_13: LiteralString = """
               NULL::float8 AS session_time, NULL::float8 AS active_time, NULL::float8 AS idle_in_transaction_time,
               NULL::int8 AS sessions, NULL::int8 AS sessions_abandoned, NULL::int8 AS sessions_fatal,
               NULL::int8 AS sessions_killed,
"""
_SESSIONS_14: LiteralString = """
               d.session_time, d.active_time, d.idle_in_transaction_time,
               d.sessions, d.sessions_abandoned, d.sessions_fatal, d.sessions_killed,
"""
_BGWRITER: LiteralString = """
               b.stats_reset AS bgwriter_since, b.buffers_clean, b.maxwritten_clean, b.buffers_alloc,
"""
_CHECKPOINTS_OF_BGWRITER: LiteralString = """
               b.stats_reset AS checkpointer_since, b.checkpoints_timed, b.checkpoints_req AS checkpoints_requested,
               b.checkpoint_write_time, b.checkpoint_sync_time, b.buffers_checkpoint,
"""
_CHECKPOINTS_OF_CHECKPOINTER: LiteralString = """
               c.stats_reset AS checkpointer_since, c.num_timed AS checkpoints_timed,
               c.num_requested AS checkpoints_requested, c.write_time AS checkpoint_write_time,
               c.sync_time AS checkpoint_sync_time, c.buffers_written AS buffers_checkpoint,
"""
_WAL_BY_POSITION: LiteralString = """
               NULL::timestamptz AS wal_since, NULL::int8 AS wal_records, NULL::int8 AS wal_fpi,
               CASE WHEN NOT s.recovers
                    THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::float8 END AS wal_bytes,
               NULL::int8 AS wal_buffers_full,
"""
_WAL_BY_STATISTICS: LiteralString = """
               w.stats_reset AS wal_since, w.wal_records, w.wal_fpi, w.wal_bytes::float8 AS wal_bytes,
               w.wal_buffers_full,
"""
_END: LiteralString = """
               a.stats_reset AS archiver_since, a.archived_count, a.failed_count,
               d.numbackends, pg_catalog.age(own.datfrozenxid)::int8 AS xid_age,
               -- Of what others' sessions do, only pg_read_all_stats sees more than that they are there.
               CASE WHEN rights.reads_all THEN found.autovacuum_workers END AS autovacuum_workers,
               CASE WHEN rights.reads_all THEN found.replicas END AS replicas,
               CASE WHEN s.recovers
                    THEN GREATEST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(),
                                                             pg_catalog.pg_last_wal_replay_lsn()), 0)
                    WHEN rights.reads_all THEN found.behind END::float8 AS replay_lag_bytes,
               CASE WHEN NOT s.recovers THEN found.lag_seconds
                    -- Nothing is replayed while the primary writes nothing: that is no lag.
                    WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
                    ELSE EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
               END::float8 AS replay_lag_seconds,
               found.retained::float8 AS slot_retained_bytes,
               own.oid::int8 AS database_oid, found.remembers
          FROM pg_catalog.pg_stat_database AS d
          JOIN pg_catalog.pg_database AS own ON own.oid = d.datid
         CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() AS recovers) AS s
         CROSS JOIN (SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS reads_all) AS rights
         CROSS JOIN pg_catalog.pg_stat_bgwriter AS b
         CROSS JOIN pg_catalog.pg_stat_archiver AS a
         -- OFFSET 0: planned by themselves, as weighing all orders of eleven joins takes some milliseconds.
         CROSS JOIN (
               SELECT catalogs.blks_hit, catalogs.blks_fetched, catalogs.remembers,
                      sessions.autovacuum_workers, followers.replicas, followers.behind,
                      followers.lag_seconds, slots.retained
                 FROM (SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_stat_get_blocks_hit(c.oid)), 0)::int8 AS blks_hit,
                              COALESCE(pg_catalog.sum(pg_catalog.pg_stat_get_blocks_fetched(c.oid)), 0)::int8
                                  AS blks_fetched,
                              LEAST(pg_catalog.min(pg_catalog.pg_stat_get_last_vacuum_time(c.oid)),
                                    pg_catalog.min(pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)),
                                    pg_catalog.min(pg_catalog.pg_stat_get_last_analyze_time(c.oid)),
                                    pg_catalog.min(pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))
"""
_LAST_SCANS: LiteralString = """
                                    -- Sessions tell of a scan up to ten seconds later.
                                    , pg_catalog.min(pg_catalog.pg_stat_get_lastscan(c.oid)) + interval '15 seconds'
"""
_REST: LiteralString = """
                              ) AS remembers
                         FROM pg_catalog.pg_class AS c
                        WHERE c.oid < 16384 AND NOT c.relisshared AND c.relkind IN ('r', 'i', 't')) AS catalogs
                CROSS JOIN (SELECT pg_catalog.count(*) FILTER (WHERE p.backend_type = 'autovacuum worker')
                                       AS autovacuum_workers
                              FROM pg_catalog.pg_stat_activity AS p) AS sessions
                CROSS JOIN (SELECT pg_catalog.count(*) AS replicas,
                                   pg_catalog.max(CASE WHEN s2.recovers THEN 0
                                     ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn) END)
                                       AS behind,
                                   pg_catalog.max(EXTRACT(epoch FROM r.replay_lag)) AS lag_seconds
                              FROM pg_catalog.pg_stat_replication AS r
                             CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() AS recovers) AS s2
                             WHERE r.state IN ('streaming', 'catchup')) AS followers
                CROSS JOIN (SELECT pg_catalog.max(CASE WHEN s3.recovers THEN 0
                                     ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn)
                                     END) AS retained
                              FROM pg_catalog.pg_replication_slots AS r
                             CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() AS recovers) AS s3) AS slots
               OFFSET 0) AS found
"""
_WAL: LiteralString = """
         CROSS JOIN pg_catalog.pg_stat_wal AS w
"""
_CHECKPOINTER: LiteralString = """
         CROSS JOIN pg_catalog.pg_stat_checkpointer AS c
"""
_OWN: LiteralString = """
         WHERE d.datname = pg_catalog.current_database()
"""

SERVER_COUNTERS = Query(
    "server-counters",
    ServerCounters,
    {
        (13,): _START + _SESSIONS_13 + _BGWRITER + _CHECKPOINTS_OF_BGWRITER + _WAL_BY_POSITION + _END + _REST + _OWN,
        (14,): _START
        + _SESSIONS_14
        + _BGWRITER
        + _CHECKPOINTS_OF_BGWRITER
        + _WAL_BY_STATISTICS
        + _END
        + _REST
        + _WAL
        + _OWN,
        (16,): _START
        + _SESSIONS_14
        + _BGWRITER
        + _CHECKPOINTS_OF_BGWRITER
        + _WAL_BY_STATISTICS
        + _END
        + _LAST_SCANS
        + _REST
        + _WAL
        + _OWN,
        (17,): _START
        + _SESSIONS_14
        + _BGWRITER
        + _CHECKPOINTS_OF_CHECKPOINTER
        + _WAL_BY_STATISTICS
        + _END
        + _LAST_SCANS
        + _REST
        + _WAL
        + _CHECKPOINTER
        + _OWN,
    },
)


@dataclass(frozen=True, slots=True)
class IoCounters:
    """A row of pg_stat_io (16+) in which something is counted."""

    backend_type: str
    object: str
    context: str
    reads: int | None
    read_bytes: float | None
    read_time: float | None
    writes: int | None
    write_bytes: float | None
    write_time: float | None
    extends: int | None
    extend_bytes: float | None
    hits: int | None
    evictions: int | None
    reuses: int | None
    fsyncs: int | None
    stats_since: datetime | None


IO_COUNTERS = Query(
    "io-counters",
    IoCounters,
    {
        (16,): """
        /* dbopt: reads and writes by kind of process */
        SELECT i.backend_type, i.object, i.context, i.reads, (i.reads * i.op_bytes)::float8 AS read_bytes, i.read_time,
               i.writes, (i.writes * i.op_bytes)::float8 AS write_bytes, i.write_time,
               i.extends, (i.extends * i.op_bytes)::float8 AS extend_bytes,
               i.hits, i.evictions, i.reuses, i.fsyncs, i.stats_reset AS stats_since
          FROM pg_catalog.pg_stat_io AS i
         ORDER BY i.backend_type, i.object, i.context
        """,
        (18,): """
        /* dbopt: reads and writes by kind of process */
        SELECT i.backend_type, i.object, i.context, i.reads, i.read_bytes::float8 AS read_bytes, i.read_time,
               i.writes, i.write_bytes::float8 AS write_bytes, i.write_time,
               i.extends, i.extend_bytes::float8 AS extend_bytes,
               i.hits, i.evictions, i.reuses, i.fsyncs, i.stats_reset AS stats_since
          FROM pg_catalog.pg_stat_io AS i
         ORDER BY i.backend_type, i.object, i.context
        """,
    },
)


@dataclass(frozen=True, slots=True)
class Activity:
    """How many client sessions are alike. None: hidden from this role."""

    datname: str | None
    usename: str | None
    application_name: str | None
    state: str | None  # as pg_stat_activity spells it
    waits_for_lock: bool
    sessions: int
    oldest_xact_seconds: float | None  # of the oldest transaction among them
    sessions_max: int  # max_connections less the reserved slots, the same in each row


ACTIVITY = Query(
    "activity",
    Activity,
    {
        (13,): """
        /* dbopt: sessions of clients, those that are alike together */
        SELECT p.datname::text AS datname, p.usename::text AS usename, p.application_name, p.state,
               COALESCE(p.wait_event_type = 'Lock', false) AS waits_for_lock,
               pg_catalog.count(*) AS sessions,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(p.xact_start))::float8
                   AS oldest_xact_seconds,
               pg_catalog.current_setting('max_connections')::int4
                   - pg_catalog.current_setting('superuser_reserved_connections')::int4
                   - COALESCE(pg_catalog.current_setting('reserved_connections', true)::int4, 0) AS sessions_max
          FROM pg_catalog.pg_stat_activity AS p
         -- Others' processes hide their kind from those who may not see it; clients have a user.
         WHERE COALESCE(p.backend_type = 'client backend', p.usesysid IS NOT NULL AND p.datid IS NOT NULL)
         GROUP BY p.datname, p.usename, p.application_name, p.state, waits_for_lock
         ORDER BY sessions DESC, p.datname, p.usename, p.application_name, p.state, waits_for_lock
        """
    },
)
