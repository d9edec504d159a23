"""Sessions: what they do, since when, what they wait for and who is in their way; and how many there may be."""

from __future__ import annotations

from datetime import datetime

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """A row of SESSIONS, a server process. What the role may not see of others' is None: then `backend_type` is too."""

    pid: int
    is_own: bool
    leader_pid: int | None  # of a parallel worker
    backend_type: str | None
    datname: str | None
    usename: str | None
    application_name: str | None
    client: str | None
    state: str | None
    wait_event: str | None  # type and event
    xact_seconds: float | None
    query_seconds: float | None
    state_seconds: float | None
    xid_age: int | None  # transactions
    xmin_age: int | None
    vacuums: bool  # its xmin holds nobody back
    is_walsender: bool
    feeds_back: bool  # hot_standby_feedback, as this server has it
    in_transaction: bool  # seen by its locks, thus of hidden sessions too
    query: str | None
    blocked_by: list[int] | None  # pg_blocking_pids, 0 being a prepared transaction; None: it does not wait
    prepared_gids: list[str] | None  # prepared transactions that hold what it waits for, and in which modes
    prepared_modes: list[str] | None
    wait_mode: str | None
    wait_object: str | None  # in the words of the manual; None together with wait_mode
    wait_since: datetime | None  # before 14, since when the statement runs
    wait_seconds: float | None
    holds: list[str] | None  # locks on relations of this database: of blockers and of those idle in transaction
    holds_count: int

    @property
    def is_hidden(self) -> bool:
        return self.backend_type is None

    @property
    def is_client(self) -> bool:
        """A client's session. A hidden one is known by its database and user, as background processes lack either;
        should it be a parallel worker, this cannot be seen.
        """
        if self.backend_type is not None:
            return self.backend_type == "client backend"
        return self.datname is not None and self.usename is not None and not self.is_walsender

    @property
    def is_idle_in_transaction(self) -> bool:
        return self.state is not None and self.state.startswith("idle in transaction")


# The state of every lock once, and since when it is waited for; right at its beginning the server does not know yet.
_LOCKS_13 = """
        /* dbopt: sessions, what they wait for, and who is in their way */
        WITH locks AS MATERIALIZED (
               SELECT l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid, l.classid,
                      l.objid, l.objsubid, l.virtualtransaction, l.pid, l.mode, l.granted, a.query_start AS waitstart
                 FROM pg_catalog.pg_locks AS l
                 LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid),"""
_LOCKS_14 = """
        /* dbopt: sessions, what they wait for, and who is in their way */
        WITH locks AS MATERIALIZED (
               SELECT l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid, l.classid,
                      l.objid, l.objsubid, l.virtualtransaction, l.pid, l.mode, l.granted,
                      COALESCE(l.waitstart, pg_catalog.clock_timestamp()) AS waitstart
                 FROM pg_catalog.pg_locks AS l),"""

# pg_blocking_pids stops all who come for a lock while it looks: it is asked once for each session that waits, and for
# no other. A parallel worker's answer is its leader's.
_SESSIONS = """
             here AS (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()),
             waiting AS MATERIALIZED (
               SELECT DISTINCT ON (w.pid)
                      w.pid, pg_catalog.pg_blocking_pids(w.pid) AS blockers, w.mode, w.locktype, w.database, w.relation,
                      w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid, w.waitstart,
                      -- Who waits for another's transaction to end holds the lock on the row that it is about.
                      COALESCE(w.relation, r.relation) AS of_relation, COALESCE(w.database, r.database) AS of_database
                 FROM locks AS w
                 LEFT JOIN locks AS r ON w.locktype = 'transactionid' AND r.pid = w.pid AND r.locktype = 'tuple'
                                     AND r.granted
                WHERE NOT w.granted
                ORDER BY w.pid),
             prepared AS (
               SELECT w.pid, pg_catalog.array_agg(p.gid::text ORDER BY p.gid, h.mode) AS gids,
                      pg_catalog.array_agg(h.mode::text ORDER BY p.gid, h.mode) AS modes
                 FROM waiting AS w
                 JOIN locks AS h ON h.pid IS NULL AND h.granted AND h.locktype = w.locktype
                  AND (h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid,
                       h.objsubid)
                      IS NOT DISTINCT FROM
                      (w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid,
                       w.objsubid)
                 -- Each holds the lock on its own transaction, under the same virtual transaction as all its others.
                 JOIN locks AS x ON x.pid IS NULL AND x.locktype = 'transactionid'
                  AND x.virtualtransaction = h.virtualtransaction
                 JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction = x.transactionid
                WHERE 0 = ANY (w.blockers)
                GROUP BY w.pid),
             held AS (
               SELECT l.pid, pg_catalog.count(*) AS locks,
                      (pg_catalog.array_agg(l.mode || ' on ' || l.relation::pg_catalog.regclass::text
                         ORDER BY l.relation IN (SELECT w.of_relation FROM waiting AS w) DESC,
                                  pg_catalog.array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock',
                                    'ShareRowExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock',
                                    'RowExclusiveLock', 'RowShareLock'], l.mode) NULLS LAST,
                                  c.relname))[1:4] AS words
                 FROM locks AS l
                 JOIN pg_catalog.pg_class AS c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm', 'f')
                  AND c.relnamespace NOT IN ('pg_catalog'::pg_catalog.regnamespace,
                                             'pg_toast'::pg_catalog.regnamespace,
                                             'information_schema'::pg_catalog.regnamespace)
                WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT here.oid FROM here)
                  AND l.pid IN (SELECT a.pid FROM pg_catalog.pg_stat_activity AS a
                               WHERE a.state LIKE 'idle in transaction%'
                                UNION ALL SELECT pg_catalog.unnest(w.blockers) FROM waiting AS w)
                GROUP BY l.pid)
        SELECT a.pid, a.pid = pg_catalog.pg_backend_pid() AS is_own, a.leader_pid, a.backend_type,
               a.datname::text AS datname, a.usename::text AS usename, a.application_name,
               COALESCE(a.client_hostname, pg_catalog.host(a.client_addr)) AS client, a.state,
               a.wait_event_type || ': ' || a.wait_event AS wait_event,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS xact_seconds,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.query_start)::float8 AS query_seconds,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8 AS state_seconds,
               pg_catalog.age(a.backend_xid)::int8 AS xid_age, pg_catalog.age(a.backend_xmin)::int8 AS xmin_age,
               vacuum.pid IS NOT NULL AS vacuums, sender.pid IS NOT NULL AS is_walsender,
               pg_catalog.current_setting('hot_standby_feedback')::bool AS feeds_back,
               transactions.pid IS NOT NULL AS in_transaction,
               CASE WHEN a.backend_type IS NOT NULL THEN pg_catalog."left"(a.query, 2000) END AS query,
               w.blockers AS blocked_by, prepared.gids AS prepared_gids, prepared.modes AS prepared_modes,
               w.mode::text AS wait_mode,
               CASE WHEN w.mode IS NOT NULL THEN
                 CASE w.locktype
                   WHEN 'relation' THEN ''
                   WHEN 'transactionid' THEN 'transaction ' || w.transactionid::text
                   WHEN 'virtualxid' THEN 'virtual transaction ' || w.virtualxid
                   WHEN 'tuple' THEN 'row (' || w.page || ',' || w.tuple || ')'
                   WHEN 'object' THEN 'object ' || w.objid::text || ' of ' || w.classid::pg_catalog.regclass::text
                   WHEN 'advisory' THEN 'advisory lock ' || CASE w.objsubid
                     WHEN 1 THEN (w.classid::int8 << 32 | w.objid::int8)::text
                     ELSE '(' || (w.classid::int8 << 32 >> 32) || ', ' || (w.objid::int8 << 32 >> 32) || ')' END
                   ELSE w.locktype
                 END
                 || CASE WHEN w.of_relation IS NULL THEN ''
                         ELSE CASE w.locktype WHEN 'relation' THEN '' WHEN 'transactionid' THEN ' for a row of '
                                              ELSE ' of ' END
                              || CASE WHEN w.of_database IN (0, (SELECT here.oid FROM here))
                                      THEN w.of_relation::pg_catalog.regclass::text
                                      ELSE 'relation ' || w.of_relation::text || ' of database '
                                           || COALESCE(a.datname::text, w.of_database::text) END END
               END AS wait_object,
               w.waitstart AS wait_since,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - w.waitstart)::float8 AS wait_seconds,
               held.words AS holds, COALESCE(held.locks, 0) AS holds_count
          FROM pg_catalog.pg_stat_activity AS a
          LEFT JOIN waiting AS w ON w.pid = a.pid
          LEFT JOIN prepared ON prepared.pid = a.pid
          LEFT JOIN held ON held.pid = a.pid
          LEFT JOIN (SELECT DISTINCT l.pid FROM locks AS l WHERE l.locktype = 'virtualxid' AND l.granted)
               AS transactions ON transactions.pid = a.pid
          LEFT JOIN (SELECT v.pid FROM pg_catalog.pg_stat_progress_vacuum AS v) AS vacuum ON vacuum.pid = a.pid
          LEFT JOIN (SELECT r.pid FROM pg_catalog.pg_stat_replication AS r) AS sender ON sender.pid = a.pid
         ORDER BY a.pid
        """

SESSIONS = Query("sessions", Session, {(13,): _LOCKS_13 + _SESSIONS, (14,): _LOCKS_14 + _SESSIONS})


@dataclass(frozen=True, slots=True)
class SlotLimit:
    """How many sessions somebody may have. A row of CONNECTION_LIMITS."""

    scope: str  # server | database | role
    name: str
    slots: int


CONNECTION_LIMITS = Query(
    "connection-limits",
    SlotLimit,
    {
        (13,): """
        /* dbopt: how many sessions the server, its databases and its roles may have */
        SELECT 'server' AS scope, 'max_connections' AS name,
               pg_catalog.current_setting('max_connections')::int8
               - pg_catalog.current_setting('superuser_reserved_connections')::int8
               - COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::int8 AS slots
        UNION ALL
        SELECT 'database', d.datname::text, d.datconnlimit::int8
          FROM pg_catalog.pg_database AS d WHERE d.datconnlimit > 0 AND d.datallowconn
        UNION ALL
        SELECT 'role', r.rolname::text, r.rolconnlimit::int8
          FROM pg_catalog.pg_roles AS r WHERE r.rolconnlimit > 0 AND r.rolcanlogin AND NOT r.rolsuper
         ORDER BY scope, name
        """
    },
)


@dataclass(frozen=True, slots=True)
class SlotHorizon:
    """What a replication slot holds back. A row of SLOT_HORIZONS."""

    slot_name: str
    slot_type: str
    datname: str | None
    active: bool
    xmin_age: int | None  # transactions
    catalog_xmin_age: int | None
    inactive_seconds: float | None


SLOT_HORIZONS = Query(
    "slot-horizons",
    SlotHorizon,
    {
        (13,): """
        /* dbopt: replication slots that hold back the xmin horizon */
        SELECT s.slot_name::text AS slot_name, s.slot_type, s.database::text AS datname, s.active,
               pg_catalog.age(s.xmin)::int8 AS xmin_age, pg_catalog.age(s.catalog_xmin)::int8 AS catalog_xmin_age,
               NULL::float8 AS inactive_seconds
          FROM pg_catalog.pg_replication_slots AS s
         WHERE (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL) AND s.wal_status IS DISTINCT FROM 'lost'
         ORDER BY s.slot_name
        """,
        (17,): """
        /* dbopt: replication slots that hold back the xmin horizon */
        SELECT s.slot_name::text AS slot_name, s.slot_type, s.database::text AS datname, s.active,
               pg_catalog.age(s.xmin)::int8 AS xmin_age, pg_catalog.age(s.catalog_xmin)::int8 AS catalog_xmin_age,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - s.inactive_since)::float8 AS inactive_seconds
          FROM pg_catalog.pg_replication_slots AS s
         WHERE (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL) AND s.wal_status IS DISTINCT FROM 'lost'
         ORDER BY s.slot_name
        """,
    },
)
