"""Who follows this server, what is kept for them, and whom this database follows."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Follower:
    """A walsender: a standby, or whoever else reads WAL from here. All but the first two is None for those who lack
    pg_read_all_stats.

    `behind_bytes` is None also for those that replay nothing, such as pg_receivewal. `replay_lag_seconds` is None, or
    left from the past, where all is replayed and the server has been idle.
    """

    pid: int
    application_name: str
    client: str | None
    state: str | None
    sync_state: str | None
    behind_bytes: int | None
    replay_lag_seconds: float | None


FOLLOWERS = Query(
    "followers",
    Follower,
    {
        (13,): """
        /* dbopt: who reads WAL from this server, and how far behind they are; no base backups */
        SELECT r.pid, COALESCE(r.application_name, '') AS application_name,
               COALESCE(r.client_hostname, pg_catalog.host(r.client_addr)) AS client, r.state, r.sync_state,
               pg_catalog.pg_wal_lsn_diff(
                 CASE WHEN pg_catalog.pg_is_in_recovery()
                      THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                      ELSE pg_catalog.pg_current_wal_lsn() END, r.replay_lsn)::int8 AS behind_bytes,
               EXTRACT(epoch FROM r.replay_lag)::float8 AS replay_lag_seconds
          FROM pg_catalog.pg_stat_replication AS r
         WHERE r.state IS DISTINCT FROM 'backup'
         ORDER BY r.application_name, r.pid
        """
    },
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot; every role sees all of it. None where the server's version does not tell, or nothing is kept.

    `synced`: a copy that the standby keeps of its primary's slot (17+).
    """

    slot_name: str
    slot_type: str
    database: str | None
    plugin: str | None
    temporary: bool
    active: bool
    active_pid: int | None
    wal_status: str | None
    safe_wal_size: int | None  # bytes that can still be written before it may be lost
    retained_bytes: int | None
    inactive_seconds: float | None
    invalidation_reason: str | None
    synced: bool


_SLOTS = """
        /* dbopt: replication slots and the WAL that they keep */
        SELECT s.slot_name::text AS slot_name, s.slot_type, s.database::text AS database, s.plugin::text AS plugin,
               s.temporary, s.active, s.active_pid, s.wal_status, s.safe_wal_size,
               pg_catalog.pg_wal_lsn_diff(
                 CASE WHEN pg_catalog.pg_is_in_recovery()
                      THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                      ELSE pg_catalog.pg_current_wal_lsn() END, s.restart_lsn)::int8 AS retained_bytes,
"""
_SLOTS_FROM = """
          FROM pg_catalog.pg_replication_slots AS s
         ORDER BY s.slot_name
"""

SLOTS = Query(
    "replication-slots",
    Slot,
    {
        (13,): _SLOTS
        + """
               NULL::float8 AS inactive_seconds, NULL::text AS invalidation_reason, false AS synced
"""
        + _SLOTS_FROM,
        (16,): _SLOTS
        + """
               NULL::float8 AS inactive_seconds,
               CASE WHEN s.conflicting THEN 'conflict with recovery' END AS invalidation_reason, false AS synced
"""
        + _SLOTS_FROM,
        (17,): _SLOTS
        + """
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - s.inactive_since)::float8 AS inactive_seconds,
               s.invalidation_reason, s.synced
"""
        + _SLOTS_FROM,
    },
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of this database. None where the server's version does not count or know it."""

    subname: str
    enabled: bool
    working: bool  # the process that applies changes is there
    slot_name: str | None
    disable_on_error: bool | None
    apply_errors: int | None
    sync_errors: int | None


SUBSCRIPTIONS = Query(
    "subscriptions",
    Subscription,
    {
        # Not everybody may read pg_subscription.oid in 13, and names are unique within a database: by name, then, a
        # subscription works if as many of that name do as are enabled.
        (13,): """
        /* dbopt: this database's subscriptions and whether they work */
        SELECT s.subname::text AS subname, s.subenabled AS enabled,
               COALESCE(workers.working >= named.enabled, false) AS working, s.subslotname::text AS slot_name,
               NULL::bool AS disable_on_error, NULL::int8 AS apply_errors, NULL::int8 AS sync_errors
          FROM pg_catalog.pg_subscription AS s
          JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()
          JOIN (SELECT n.subname, pg_catalog.count(*) FILTER (WHERE n.subenabled) AS enabled
                  FROM pg_catalog.pg_subscription AS n
                 GROUP BY n.subname) AS named ON named.subname = s.subname
          LEFT JOIN (SELECT w.subname, pg_catalog.count(DISTINCT w.subid) AS working
                       FROM pg_catalog.pg_stat_subscription AS w
                      WHERE w.pid IS NOT NULL AND w.relid IS NULL
                      GROUP BY w.subname) AS workers ON workers.subname = s.subname
         ORDER BY s.subname
        """,
        (14,): """
        /* dbopt: this database's subscriptions and whether they work */
        SELECT s.subname::text AS subname, s.subenabled AS enabled,
               EXISTS (SELECT 1 FROM pg_catalog.pg_stat_subscription AS w
                        WHERE w.subid = s.oid AND w.pid IS NOT NULL AND w.relid IS NULL) AS working,
               s.subslotname::text AS slot_name,
               NULL::bool AS disable_on_error, NULL::int8 AS apply_errors, NULL::int8 AS sync_errors
          FROM pg_catalog.pg_subscription AS s
          JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()
         ORDER BY s.subname
        """,
        (15,): """
        /* dbopt: this database's subscriptions, whether they work, and their errors */
        SELECT s.subname::text AS subname, s.subenabled AS enabled,
               EXISTS (SELECT 1 FROM pg_catalog.pg_stat_subscription AS w
                        WHERE w.subid = s.oid AND w.pid IS NOT NULL AND w.relid IS NULL) AS working,
               s.subslotname::text AS slot_name, s.subdisableonerr AS disable_on_error,
               e.apply_error_count AS apply_errors, e.sync_error_count AS sync_errors
          FROM pg_catalog.pg_subscription AS s
          JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()
          LEFT JOIN pg_catalog.pg_stat_subscription_stats AS e ON e.subid = s.oid
         ORDER BY s.subname
        """,
    },
)
