"""Where WAL stands on this server: written or replayed up to where, archived, checkpointed. One row, without locks."""

from __future__ import annotations

from datetime import datetime

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class WalState:
    """`*_lsn` are positions in bytes since the beginning of all WAL. Ages are in seconds before now.

    What the server shows to pg_read_all_stats only is None for others: `startup_wait`, `receiver_status`, `syncing`.
    """

    written_lsn: int | None  # on a standby: received or replayed, whichever is further
    received_lsn: int | None  # by streaming, since the standby has started
    replayed_lsn: int | None
    replayed_age: float | None  # of the last replayed commit, by the clock of the server where it was made
    replay_paused: bool
    startup_wait: str | None  # what the process that replays waits for
    receiver_pid: int | None
    receiver_status: str | None
    syncing: int | None  # sessions that wait for a synchronous standby
    last_archived_wal: str | None
    last_archived_age: float | None
    last_failed_wal: str | None
    last_failed_age: float | None
    archiver_failing: bool  # nothing was archived since the last failure
    archiver_age: float | None  # since its statistics were started anew
    checkpoints_timed: int
    checkpoints_requested: int
    checkpoints_since: datetime | None
    wal_bytes: float  # written since the statistics of WAL were started anew; 13: since ever

    @property
    def behind_bytes(self) -> int:
        """Received by streaming, not yet replayed."""
        if self.received_lsn is None or self.replayed_lsn is None:
            return 0
        return max(0, self.received_lsn - self.replayed_lsn)


_STATE = """
        /* dbopt: where WAL is written, replayed, archived and checkpointed */
        SELECT pg_catalog.pg_wal_lsn_diff(
                 CASE WHEN s.recovers
                      THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                      ELSE pg_catalog.pg_current_wal_lsn() END, '0/0')::int8 AS written_lsn,
               pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), '0/0')::int8 AS received_lsn,
               pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::int8 AS replayed_lsn,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8
                 AS replayed_age,
               CASE WHEN s.recovers THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END AS replay_paused,
               sessions.startup_wait, receiver.pid AS receiver_pid, receiver.status AS receiver_status,
               sessions.syncing,
               a.last_archived_wal,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.last_archived_time)::float8 AS last_archived_age,
               a.last_failed_wal,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.last_failed_time)::float8 AS last_failed_age,
               COALESCE(a.last_failed_time > COALESCE(a.last_archived_time, '-infinity'), false) AS archiver_failing,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.stats_reset)::float8 AS archiver_age,
               checkpoints.timed AS checkpoints_timed, checkpoints.requested AS checkpoints_requested,
               checkpoints.stats_reset AS checkpoints_since, written.bytes AS wal_bytes
          FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovers) AS s
         CROSS JOIN (SELECT pg_catalog.max(p.wait_event) FILTER (WHERE p.backend_type = 'startup') AS startup_wait,
                            CASE WHEN pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                                 THEN pg_catalog.count(*) FILTER (WHERE p.wait_event = 'SyncRep') END AS syncing
                       FROM pg_catalog.pg_stat_activity AS p) AS sessions
         CROSS JOIN pg_catalog.pg_stat_archiver AS a
          LEFT JOIN pg_catalog.pg_stat_wal_receiver AS receiver ON true
"""
_CHECKPOINTS_OF_BGWRITER = """
         CROSS JOIN (SELECT b.checkpoints_timed AS timed, b.checkpoints_req AS requested, b.stats_reset
                       FROM pg_catalog.pg_stat_bgwriter AS b) AS checkpoints
"""
_CHECKPOINTS_OF_CHECKPOINTER = """
         CROSS JOIN (SELECT c.num_timed AS timed, c.num_requested AS requested, c.stats_reset
                       FROM pg_catalog.pg_stat_checkpointer AS c) AS checkpoints
"""
_WRITTEN_BY_POSITION = """
         CROSS JOIN LATERAL (SELECT CASE WHEN s.recovers THEN 0
                                         ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')
                                          END::float8 AS bytes) AS written
"""
_WRITTEN_BY_STATISTICS = """
         CROSS JOIN (SELECT w.wal_bytes::float8 AS bytes FROM pg_catalog.pg_stat_wal AS w) AS written
"""

WAL_STATE = Query(
    "wal-state",
    WalState,
    {
        (13,): _STATE + _CHECKPOINTS_OF_BGWRITER + _WRITTEN_BY_POSITION,
        (14,): _STATE + _CHECKPOINTS_OF_BGWRITER + _WRITTEN_BY_STATISTICS,
        (17,): _STATE + _CHECKPOINTS_OF_CHECKPOINTER + _WRITTEN_BY_STATISTICS,
    },
)
