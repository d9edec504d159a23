"""What is known about tables without touching them: their age, their dead rows, what autovacuum would do and when.

Only tables that may matter come out, as a database can have 100,000: the first of each concern, see TABLE_STATE. No
lock on a user's table, but for the moment in which the size of one is read that looks as if it was never analyzed; not
where somebody has locked it, or waits to.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class TableState:
    """A table or materialized view. Counts are those of the statistics system; None is not known.

    `reltuples` and `relpages` are as stored: -1 (14+), or 0 and 0 (13), where neither VACUUM nor ANALYZE has been.
    `*_trigger`: from how many rows on autovacuum comes, with the table's own options; None: never for that.
    """

    relation_oid: int
    relation: str  # regclass, so quoted and with its schema
    schema: str
    name: str
    relkind: str  # r or m
    relpersistence: str  # p, u or t
    is_system: bool  # in pg_catalog or information_schema
    is_partition: bool
    partition_root: str | None  # the partitioned table at the top, of partitions
    reltuples: float
    relpages: int
    size_bytes: int | None  # of the main fork, exact; only where reltuples does not tell
    is_locked: bool  # AccessExclusive, held or waited for
    n_live_tup: int
    n_dead_tup: int
    n_mod_since_analyze: int
    n_ins_since_vacuum: int
    n_tup_ins: int
    n_tup_del: int
    seq_scan: int
    seq_tup_read: int
    idx_scan: int | None  # None: it has no index
    last_vacuum: datetime | None
    last_autovacuum: datetime | None
    last_analyze: datetime | None
    last_autoanalyze: datetime | None
    relfrozenxid_age: int
    relminmxid_age: int
    freeze_max_age: int
    multixact_freeze_max_age: int
    vacuum_trigger: float
    insert_trigger: float | None
    analyze_trigger: float
    autovacuum_enabled: bool  # by the table's own option; the server's setting is another question
    autovacuum_on: bool  # the server's: both autovacuum and track_counts
    naptime_seconds: float
    toast_oid: int | None
    toast_relpages: int | None
    toast_reltuples: float | None
    toast_n_live_tup: int | None
    toast_n_dead_tup: int | None
    toast_last_vacuum: datetime | None  # by hand or by autovacuum
    toast_relfrozenxid_age: int | None
    toast_relminmxid_age: int | None
    toast_autovacuum_enabled: bool
    toast_follows: bool  # has no options of its own, so that those of its owner hold
    reloptions: list[str] | None
    has_primary_key: bool
    has_key: bool  # a unique index on columns that are never null
    has_replica_identity: bool  # UPDATE and DELETE of it can be published
    is_published: bool  # by a publication that carries UPDATE or DELETE
    may_read_statistics: bool  # of at least one column; else pg_stats hides that there are any
    has_statistics: bool  # an ANALYZE was counted, or pg_stats has some
    horizon_held_since: datetime | None  # the oldest transaction of this database that keeps VACUUM from removing rows

    @property
    def rows(self) -> float:
        """How many there are, by whoever knows: ANALYZE and VACUUM, or those who count inserts since."""
        return max(self.reltuples, float(self.n_live_tup), 0.0)

    @property
    def is_temporary(self) -> bool:
        return self.relpersistence == "t"

    @property
    def vacuumed_at(self) -> datetime | None:
        return max((at for at in (self.last_vacuum, self.last_autovacuum) if at is not None), default=None)

    @property
    def analyzed_at(self) -> datetime | None:
        return max((at for at in (self.last_analyze, self.last_autoanalyze) if at is not None), default=None)


_START: LiteralString = """
        /* dbopt: the tables that may matter: the oldest, those with most dead rows, most read by scans, ... */
        WITH setting AS MATERIALIZED (
            SELECT pg_catalog.current_setting('autovacuum_vacuum_threshold')::float8 AS vacuum_threshold,
                   pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::float8 AS vacuum_scale_factor,
                   -- 18: however large the table; -1 is no such limit
                   pg_catalog.current_setting('autovacuum_vacuum_max_threshold', true)::float8 AS vacuum_max_threshold,
                   pg_catalog.current_setting('autovacuum_vacuum_insert_threshold')::float8 AS insert_threshold,
                   pg_catalog.current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS insert_scale_factor,
                   pg_catalog.current_setting('autovacuum_analyze_threshold')::float8 AS analyze_threshold,
                   pg_catalog.current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_scale_factor,
                   pg_catalog.current_setting('autovacuum_freeze_max_age')::int8 AS freeze_max_age,
                   pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::int8
                       AS multixact_freeze_max_age,
                   pg_catalog.current_setting('autovacuum')::bool AND pg_catalog.current_setting('track_counts')::bool
                       AS autovacuum_on,
                   EXTRACT(epoch FROM pg_catalog.current_setting('autovacuum_naptime')::interval)::float8
                       AS naptime_seconds
        ), option AS MATERIALIZED (
            SELECT c.oid,
                   pg_catalog.bool_and(o.option_value::bool) FILTER (WHERE o.option_name = 'autovacuum_enabled')
                       AS enabled,
                   pg_catalog.max(o.option_value::float8) FILTER (WHERE o.option_name = 'autovacuum_vacuum_threshold')
                       AS vacuum_threshold,
                   pg_catalog.max(o.option_value::float8) FILTER (
                       WHERE o.option_name = 'autovacuum_vacuum_scale_factor') AS vacuum_scale_factor,
                   pg_catalog.max(o.option_value::float8) FILTER (
                       WHERE o.option_name = 'autovacuum_vacuum_max_threshold') AS vacuum_max_threshold,
                   pg_catalog.max(o.option_value::float8) FILTER (
                       WHERE o.option_name = 'autovacuum_vacuum_insert_threshold') AS insert_threshold,
                   pg_catalog.max(o.option_value::float8) FILTER (
                       WHERE o.option_name = 'autovacuum_vacuum_insert_scale_factor') AS insert_scale_factor,
                   pg_catalog.max(o.option_value::float8) FILTER (WHERE o.option_name = 'autovacuum_analyze_threshold')
                       AS analyze_threshold,
                   pg_catalog.max(o.option_value::float8) FILTER (
                       WHERE o.option_name = 'autovacuum_analyze_scale_factor') AS analyze_scale_factor,
                   pg_catalog.max(o.option_value::int8) FILTER (WHERE o.option_name = 'autovacuum_freeze_max_age')
                       AS freeze_max_age,
                   pg_catalog.max(o.option_value::int8) FILTER (
                       WHERE o.option_name = 'autovacuum_multixact_freeze_max_age') AS multixact_freeze_max_age
              FROM pg_catalog.pg_class AS c
             CROSS JOIN LATERAL (SELECT x.option_name, x.option_value
                                   FROM pg_catalog.pg_options_to_table(c.reloptions) AS x
                                  WHERE x.option_name LIKE 'autovacuum\\_%') AS o
             WHERE c.relkind IN ('r', 'm', 't') AND c.reloptions IS NOT NULL
             GROUP BY c.oid
        ), locked AS MATERIALIZED (
            SELECT DISTINCT l.relation AS oid
              FROM pg_catalog.pg_locks AS l
             WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
               AND l.database IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d
                                       WHERE d.datname = pg_catalog.current_database()))
        ), horizon AS MATERIALIZED (
            SELECT pg_catalog.min(h.since) AS since
              FROM (SELECT a.xact_start
                      FROM pg_catalog.pg_stat_activity AS a
                     WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
                       AND a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
                       AND a.backend_type <> 'autovacuum worker'
                       AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_progress_vacuum AS v)
                     UNION ALL
                    SELECT p.prepared FROM pg_catalog.pg_prepared_xacts AS p
                     WHERE p.database = pg_catalog.current_database()) AS h(since)
        ), published AS MATERIALIZED (
"""
# From 15 on a publication may hold schemas.
_PUBLISHED: LiteralString = """
            SELECT r.prrelid AS oid
              FROM pg_catalog.pg_publication AS p
              JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid
             WHERE p.pubupdate OR p.pubdelete
"""
_PUBLISHED_15: LiteralString = """
             UNION
            SELECT c.oid
              FROM pg_catalog.pg_publication AS p
              JOIN pg_catalog.pg_publication_namespace AS n ON n.pnpubid = p.oid
              JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.pnnspid
             WHERE (p.pubupdate OR p.pubdelete) AND c.relkind IN ('r', 'p')
"""
_END: LiteralString = """
        ), published_all AS MATERIALIZED (
            SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_publication AS p
                            WHERE p.puballtables AND (p.pubupdate OR p.pubdelete)) AS is_so
        ), measured AS MATERIALIZED (
            SELECT c.oid, c.reltoastrelid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition,
                   c.reltuples, c.relpages, c.relreplident, c.reloptions,
                   n.nspname IN ('pg_catalog', 'information_schema') AS is_system,
                   pg_catalog.age(c.relfrozenxid)::int8 AS relfrozenxid_age,
                   pg_catalog.mxid_age(c.relminmxid)::int8 AS relminmxid_age,
                   CASE WHEN t.oid IS NOT NULL THEN pg_catalog.age(t.relfrozenxid)::int8 END AS toast_relfrozenxid_age,
                   CASE WHEN t.oid IS NOT NULL THEN pg_catalog.mxid_age(t.relminmxid)::int8 END
                       AS toast_relminmxid_age,
                   t.relpages AS toast_relpages, t.reltuples AS toast_reltuples,
                   pg_catalog.pg_stat_get_live_tuples(c.oid) AS n_live_tup,
                   pg_catalog.pg_stat_get_dead_tuples(c.oid) AS n_dead_tup,
                   CASE WHEN t.relpages > 0 THEN pg_catalog.pg_stat_get_dead_tuples(t.oid) ELSE 0 END
                       AS toast_n_dead_tup,
                   pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS n_mod_since_analyze,
                   pg_catalog.pg_stat_get_ins_since_vacuum(c.oid) AS n_ins_since_vacuum,
                   pg_catalog.pg_stat_get_tuples_returned(c.oid) AS seq_tup_read,
                   pg_catalog.pg_stat_get_last_analyze_time(c.oid) AS last_analyze,
                   pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid) AS last_autoanalyze,
                   LEAST(COALESCE(o.vacuum_threshold, s.vacuum_threshold)
                             + COALESCE(o.vacuum_scale_factor, s.vacuum_scale_factor)
                               * GREATEST(c.reltuples, 0),
                         CASE WHEN COALESCE(o.vacuum_max_threshold, s.vacuum_max_threshold) >= 0
                              THEN COALESCE(o.vacuum_max_threshold, s.vacuum_max_threshold) END) AS vacuum_trigger,
                   CASE WHEN COALESCE(o.insert_threshold, s.insert_threshold) >= 0
                        THEN COALESCE(o.insert_threshold, s.insert_threshold)
                             + COALESCE(o.insert_scale_factor, s.insert_scale_factor)
                               * GREATEST(c.reltuples, 0) END AS insert_trigger,
                   COALESCE(o.analyze_threshold, s.analyze_threshold)
                       + COALESCE(o.analyze_scale_factor, s.analyze_scale_factor) * GREATEST(c.reltuples, 0)
                       AS analyze_trigger,
                   LEAST(o.freeze_max_age, s.freeze_max_age) AS freeze_max_age,
                   LEAST(o.multixact_freeze_max_age, s.multixact_freeze_max_age) AS multixact_freeze_max_age,
                   COALESCE(o.enabled, true) AS autovacuum_enabled,
                   -- Without options of its own the TOAST table has those of its owner.
                   COALESCE(CASE WHEN ot.oid IS NULL THEN o.enabled ELSE ot.enabled END, true)
                       AS toast_autovacuum_enabled,
                   ot.oid IS NULL AS toast_follows,
                   s.autovacuum_on, s.naptime_seconds,
                   pk.indrelid IS NOT NULL AS has_primary_key,
                   l.oid IS NOT NULL AS is_locked,
                   c.relkind = 'r' AND c.relpersistence = 'p'
                       AND (a.is_so OR c.oid IN (SELECT p.oid FROM published AS p)
                            OR c.relispartition AND EXISTS (
                               SELECT 1
                                 FROM published AS p
                                WHERE p.oid IN (SELECT r.relid FROM pg_catalog.pg_partition_ancestors(c.oid) AS r)))
                       AS is_published
              FROM pg_catalog.pg_class AS c
              JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             CROSS JOIN setting AS s
             CROSS JOIN published_all AS a
              LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
              LEFT JOIN option AS o ON o.oid = c.oid
              LEFT JOIN option AS ot ON ot.oid = c.reltoastrelid
              LEFT JOIN locked AS l ON l.oid = c.oid
              LEFT JOIN pg_catalog.pg_index AS pk ON pk.indrelid = c.oid AND pk.indisprimary
             WHERE c.relkind IN ('r', 'm')
        ), sized AS MATERIALIZED (
            -- Vacuumed and analyzed never, so that only the file tells whether it holds anything.
            SELECT m.oid, pg_catalog.pg_relation_size(m.oid) AS size_bytes
              FROM measured AS m
             WHERE m.relpages = 0 AND m.reltuples <= 0 AND m.last_analyze IS NULL AND m.last_autoanalyze IS NULL
               AND NOT m.is_locked AND NOT m.is_system AND m.relpersistence <> 't'
        ), mine AS MATERIALIZED (
            SELECT m.*, z.size_bytes
              FROM measured AS m
              LEFT JOIN sized AS z ON z.oid = m.oid
             WHERE NOT m.is_system AND m.relpersistence <> 't'
        ), chosen AS (
            -- temporary tables of other sessions too, and the catalogs: they hold a database's age back as well
            (SELECT m.oid FROM measured AS m
              ORDER BY GREATEST(m.relfrozenxid_age, m.toast_relfrozenxid_age) DESC, m.oid LIMIT 50)
            UNION
            (SELECT m.oid FROM measured AS m
              ORDER BY GREATEST(m.relminmxid_age, m.toast_relminmxid_age) DESC, m.oid LIMIT 50)
            UNION
            (SELECT m.oid FROM mine AS m WHERE m.n_dead_tup > 0 OR m.toast_n_dead_tup > 0
              ORDER BY GREATEST(m.n_dead_tup, m.toast_n_dead_tup) DESC, m.oid LIMIT 100)
            UNION
            -- Autovacuum is due, for dead rows or for inserted ones.
            (SELECT m.oid FROM mine AS m
              WHERE m.n_dead_tup > m.vacuum_trigger OR m.n_ins_since_vacuum > m.insert_trigger
              ORDER BY GREATEST(m.n_dead_tup, m.n_ins_since_vacuum) DESC, m.oid LIMIT 100)
            UNION
            (SELECT m.oid FROM mine AS m WHERE NOT (m.autovacuum_enabled AND m.toast_autovacuum_enabled)
              ORDER BY GREATEST(m.reltuples, m.n_live_tup) DESC, m.oid LIMIT 1000)
            UNION
            -- Seemingly never analyzed.
            (SELECT m.oid FROM mine AS m
              WHERE m.last_analyze IS NULL AND m.last_autoanalyze IS NULL
                AND (m.reltuples >= 1000 OR m.n_live_tup >= 1000 OR m.size_bytes >= 65536
                     OR m.is_locked AND m.relpages = 0)
              ORDER BY GREATEST(m.reltuples, m.n_live_tup) DESC, m.size_bytes DESC NULLS LAST, m.oid LIMIT 200)
            UNION
            (SELECT m.oid FROM mine AS m WHERE m.relkind = 'r' AND NOT m.has_primary_key
              ORDER BY m.is_published DESC, GREATEST(m.reltuples, m.n_live_tup) DESC, m.oid LIMIT 200)
            UNION
            (SELECT m.oid FROM mine AS m WHERE m.is_published AND m.relreplident <> 'd'
              ORDER BY GREATEST(m.reltuples, m.n_live_tup) DESC, m.oid LIMIT 100)
            UNION
            (SELECT m.oid FROM mine AS m WHERE m.seq_tup_read > 0 ORDER BY m.seq_tup_read DESC, m.oid LIMIT 200)
        )
        SELECT m.oid::int8 AS relation_oid, m.oid::regclass::text AS relation, m.nspname::text AS schema,
               m.relname::text AS name, m.relkind::text AS relkind, m.relpersistence::text AS relpersistence,
               m.is_system, m.relispartition AS is_partition,
               CASE WHEN m.relispartition THEN pg_catalog.pg_partition_root(m.oid)::regclass::text END
                   AS partition_root,
               m.reltuples::float8 AS reltuples, m.relpages, z.size_bytes, m.is_locked,
               m.n_live_tup, m.n_dead_tup, m.n_mod_since_analyze, m.n_ins_since_vacuum,
               pg_catalog.pg_stat_get_tuples_inserted(m.oid) AS n_tup_ins,
               pg_catalog.pg_stat_get_tuples_deleted(m.oid) AS n_tup_del,
               pg_catalog.pg_stat_get_numscans(m.oid) AS seq_scan, m.seq_tup_read,
               (SELECT pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid))::int8
                  FROM pg_catalog.pg_index AS i WHERE i.indrelid = m.oid) AS idx_scan,
               pg_catalog.pg_stat_get_last_vacuum_time(m.oid) AS last_vacuum,
               pg_catalog.pg_stat_get_last_autovacuum_time(m.oid) AS last_autovacuum,
               m.last_analyze, m.last_autoanalyze,
               m.relfrozenxid_age, m.relminmxid_age, m.freeze_max_age, m.multixact_freeze_max_age,
               m.vacuum_trigger, m.insert_trigger, m.analyze_trigger,
               m.autovacuum_enabled, m.autovacuum_on, m.naptime_seconds,
               NULLIF(m.reltoastrelid, 0)::int8 AS toast_oid,
               m.toast_relpages, m.toast_reltuples::float8 AS toast_reltuples,
               CASE WHEN m.reltoastrelid <> 0 THEN pg_catalog.pg_stat_get_live_tuples(m.reltoastrelid) END
                   AS toast_n_live_tup,
               CASE WHEN m.reltoastrelid <> 0 THEN pg_catalog.pg_stat_get_dead_tuples(m.reltoastrelid) END
                   AS toast_n_dead_tup,
               CASE WHEN m.reltoastrelid <> 0
                    THEN GREATEST(pg_catalog.pg_stat_get_last_vacuum_time(m.reltoastrelid),
                                  pg_catalog.pg_stat_get_last_autovacuum_time(m.reltoastrelid)) END
                   AS toast_last_vacuum,
               m.toast_relfrozenxid_age, m.toast_relminmxid_age, m.toast_autovacuum_enabled,
               m.toast_follows, m.reloptions,
               m.has_primary_key,
               EXISTS (SELECT 1
                         FROM pg_catalog.pg_index AS i
                        WHERE i.indrelid = m.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                          AND NOT EXISTS (SELECT 1
                                            FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS k
                                            LEFT JOIN pg_catalog.pg_attribute AS a
                                              ON a.attrelid = m.oid AND a.attnum = i.indkey[k] AND a.attnotnull
                                           WHERE a.attnum IS NULL)) AS has_key,
               CASE m.relreplident::text
                    WHEN 'd' THEN m.has_primary_key
                    WHEN 'f' THEN true
                    WHEN 'i' THEN EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i
                                           WHERE i.indrelid = m.oid AND i.indisreplident AND i.indisvalid)
                    ELSE false END AS has_replica_identity,
               m.is_published,
               pg_catalog.has_any_column_privilege(m.oid, 'SELECT') AND NOT pg_catalog.row_security_active(m.oid)
                   AS may_read_statistics,
               -- With LIMIT it is looked up for each; EXISTS would have the whole of pg_stats hashed.
               m.last_analyze IS NOT NULL OR m.last_autoanalyze IS NOT NULL
                   OR (SELECT 1 FROM pg_catalog.pg_stats AS s
                        WHERE s.schemaname = m.nspname AND s.tablename = m.relname LIMIT 1) IS NOT NULL
                   AS has_statistics,
               h.since AS horizon_held_since
          FROM chosen AS x
          JOIN measured AS m ON m.oid = x.oid
          LEFT JOIN sized AS z ON z.oid = m.oid
         CROSS JOIN horizon AS h
         ORDER BY m.oid
"""

TABLE_STATE = Query(
    "table-state", TableState, {(13,): _START + _PUBLISHED + _END, (15,): _START + _PUBLISHED + _PUBLISHED_15 + _END}
)
