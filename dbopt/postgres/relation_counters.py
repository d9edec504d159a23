"""Tables and indexes of users as the statistics count them, with their sizes, whatever somebody else has locked.

The size of a relation is asked of the file system for the largest; a lock on it, held or waited for, or being small
among thousands, leaves it at what VACUUM and ANALYZE last wrote down.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

# How many of the largest relations are measured. Each costs the session some 60 us and 10 kB for its cache.
MEASURED_MAX = 1000


@dataclass(frozen=True, slots=True)
class TableCounters:
    """A table or materialized view. Index scans are those of its indexes: see IndexCounters."""

    relation_oid: int
    relation: str  # regclass, so quoted and with its schema
    schema: str
    name: str
    birth: str  # no other table has the same oid and this one too
    relkind: str  # r or m
    partition_root: str | None
    stats_since: datetime | None  # of the whole database; the reset of a single table moves it too
    seq_scan: int
    seq_tup_read: int
    tup_fetched: int  # rows of the table found by way of a bitmap
    n_tup_ins: int
    n_tup_upd: int
    n_tup_del: int
    n_tup_hot_upd: int
    heap_blks_hit: int
    heap_blks_read: int
    vacuum_count: int
    autovacuum_count: int
    analyze_count: int
    autoanalyze_count: int
    n_live_tup: int
    n_dead_tup: int
    reltuples: float  # as stored: -1, and 0 on 13, where neither VACUUM nor ANALYZE has been
    heap_bytes: int
    toast_bytes: int
    is_measured: bool  # the two sizes; else they are what VACUUM or ANALYZE last saw
    last_vacuum: datetime | None
    last_autovacuum: datetime | None
    last_analyze: datetime | None
    last_autoanalyze: datetime | None
    # Of `partition_root`.
    root_oid: int | None = None
    root_schema: str | None = None
    root_name: str | None = None

    @property
    def rows(self) -> float:
        """How many there are, by whoever knows: the statistics forget all rows when they are reset, VACUUM and ANALYZE
        do not know of what was deleted since.
        """
        return max(self.reltuples - self.n_dead_tup, float(self.n_live_tup), 0.0)


@dataclass(frozen=True, slots=True)
class IndexCounters:
    """An index with storage: those of partitioned tables have none."""

    index_oid: int
    index: str  # regclass
    schema: str
    name: str
    relation_oid: int
    relation: str
    birth: str
    stats_since: datetime | None
    idx_scan: int
    idx_tup_read: int
    idx_tup_fetch: int
    idx_blks_hit: int
    idx_blks_read: int
    size_bytes: int
    is_measured: bool
    last_idx_scan: datetime | None  # 16+
    indisunique: bool
    indisprimary: bool
    indisvalid: bool
    is_constraint: bool
    # Of the index on the partitioned table that this one is a part of.
    root_oid: int | None = None
    root_index: str | None = None
    root_schema: str | None = None
    root_name: str | None = None
    root_relation: str | None = None
    root_is_valid: bool | None = None


_LOCKED: LiteralString = """
               SELECT l.relation AS oid
                 FROM pg_catalog.pg_locks AS l
                WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
                  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                                     WHERE d.datname = pg_catalog.current_database())
"""
_TABLES_START: LiteralString = """
        /* dbopt: tables: what was counted, how big they are */
        WITH locked AS MATERIALIZED (
"""
_TABLES_END: LiteralString = """
        ), tables AS MATERIALIZED (
            SELECT c.oid, c.relname, n.nspname, c.relkind, c.reltuples, c.relpages,
                   CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) END AS root_oid,
                   NULLIF(c.reltoastrelid, 0) AS toast_oid, COALESCE(t.relpages, 0) AS toast_relpages,
                   pg_catalog.row_number() OVER (ORDER BY c.relpages + COALESCE(t.relpages, 0) DESC, c.oid)
                       <= %(measured_max)s
                     AND NOT EXISTS (SELECT 1 FROM locked AS l WHERE l.oid IN (c.oid, c.reltoastrelid)) AS is_measured
              FROM pg_catalog.pg_class AS c
              JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
              LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
             WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
               AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        ), sized AS MATERIALIZED (
            SELECT t.oid,
                   CASE WHEN t.is_measured THEN pg_catalog.pg_table_size(t.oid) END AS size_bytes,
                   CASE WHEN t.is_measured AND t.toast_oid IS NOT NULL
                        THEN pg_catalog.pg_total_relation_size(t.toast_oid) END AS toast_bytes
              FROM tables AS t
        )
        SELECT t.oid::int8 AS relation_oid, t.oid::regclass::text AS relation, t.nspname::text AS schema,
               t.relname::text AS name,
               -- The rows about system columns are never written again, so who wrote them made the table.
               a.xmin::text AS birth, t.relkind::text AS relkind,
               t.root_oid::text AS partition_root,
               GREATEST(d.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) AS stats_since,
               pg_catalog.pg_stat_get_numscans(t.oid) AS seq_scan,
               pg_catalog.pg_stat_get_tuples_returned(t.oid) AS seq_tup_read,
               pg_catalog.pg_stat_get_tuples_fetched(t.oid) AS tup_fetched,
               pg_catalog.pg_stat_get_tuples_inserted(t.oid) AS n_tup_ins,
               pg_catalog.pg_stat_get_tuples_updated(t.oid) AS n_tup_upd,
               pg_catalog.pg_stat_get_tuples_deleted(t.oid) AS n_tup_del,
               pg_catalog.pg_stat_get_tuples_hot_updated(t.oid) AS n_tup_hot_upd,
               pg_catalog.pg_stat_get_blocks_hit(t.oid) AS heap_blks_hit,
               pg_catalog.pg_stat_get_blocks_fetched(t.oid) - pg_catalog.pg_stat_get_blocks_hit(t.oid)
                   AS heap_blks_read,
               pg_catalog.pg_stat_get_vacuum_count(t.oid) AS vacuum_count,
               pg_catalog.pg_stat_get_autovacuum_count(t.oid) AS autovacuum_count,
               pg_catalog.pg_stat_get_analyze_count(t.oid) AS analyze_count,
               pg_catalog.pg_stat_get_autoanalyze_count(t.oid) AS autoanalyze_count,
               pg_catalog.pg_stat_get_live_tuples(t.oid) AS n_live_tup,
               pg_catalog.pg_stat_get_dead_tuples(t.oid) AS n_dead_tup,
               t.reltuples::float8 AS reltuples,
               COALESCE(z.size_bytes - COALESCE(z.toast_bytes, 0),
                        t.relpages::int8 * b.block_size) AS heap_bytes,
               COALESCE(z.toast_bytes, t.toast_relpages::int8 * b.block_size) AS toast_bytes,
               z.size_bytes IS NOT NULL AS is_measured,
               pg_catalog.pg_stat_get_last_vacuum_time(t.oid) AS last_vacuum,
               pg_catalog.pg_stat_get_last_autovacuum_time(t.oid) AS last_autovacuum,
               pg_catalog.pg_stat_get_last_analyze_time(t.oid) AS last_analyze,
               pg_catalog.pg_stat_get_last_autoanalyze_time(t.oid) AS last_autoanalyze,
               t.root_oid::oid::int8 AS root_oid, rn.nspname::text AS root_schema, r.relname::text AS root_name
          FROM tables AS t
          JOIN sized AS z ON z.oid = t.oid
          LEFT JOIN pg_catalog.pg_class AS r ON r.oid = t.root_oid
          LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = -1
          JOIN pg_catalog.pg_stat_database AS d ON d.datname = pg_catalog.current_database()
         CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::int8 AS block_size) AS b
         ORDER BY t.oid
"""

TABLE_COUNTERS = Query(
    "table-counters",
    TableCounters,
    {(13,): _TABLES_START + _LOCKED + _TABLES_END},
    example={"measured_max": MEASURED_MAX},
)

_INDEXES_START: LiteralString = """
        /* dbopt: indexes: what was counted, how big they are */
        WITH locked AS MATERIALIZED (
"""
_INDEXES: LiteralString = """
        ), indexes AS MATERIALIZED (
            SELECT c.oid, c.relname, n.nspname, c.relpages, i.indrelid, i.indisunique, i.indisprimary, i.indisvalid,
                   CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) END AS root_oid,
                   pg_catalog.row_number() OVER (ORDER BY c.relpages DESC, c.oid) <= %(measured_max)s
                     AND NOT EXISTS (SELECT 1 FROM locked AS l WHERE l.oid IN (c.oid, i.indrelid)) AS is_measured
              FROM pg_catalog.pg_index AS i
              JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
              JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
              JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.relkind = 'i' AND t.relkind IN ('r', 'm') AND c.relpersistence <> 't'
               AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        ), sized AS MATERIALIZED (
            SELECT i.oid, CASE WHEN i.is_measured THEN pg_catalog.pg_table_size(i.oid) END AS size_bytes
              FROM indexes AS i
        )
        SELECT i.oid::int8 AS index_oid, i.oid::regclass::text AS index, i.nspname::text AS schema,
               i.relname::text AS name, i.indrelid::int8 AS relation_oid, i.indrelid::regclass::text AS relation,
               -- As of its table: an index has no system columns.
               a.xmin::text || ' ' || i.indrelid::text AS birth,
               GREATEST(d.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) AS stats_since,
               pg_catalog.pg_stat_get_numscans(i.oid) AS idx_scan,
               pg_catalog.pg_stat_get_tuples_returned(i.oid) AS idx_tup_read,
               pg_catalog.pg_stat_get_tuples_fetched(i.oid) AS idx_tup_fetch,
               pg_catalog.pg_stat_get_blocks_hit(i.oid) AS idx_blks_hit,
               pg_catalog.pg_stat_get_blocks_fetched(i.oid) - pg_catalog.pg_stat_get_blocks_hit(i.oid)
                   AS idx_blks_read,
               COALESCE(z.size_bytes, i.relpages::int8 * b.block_size) AS size_bytes,
               z.size_bytes IS NOT NULL AS is_measured,
"""
_INDEXES_END: LiteralString = """
               i.indisunique, i.indisprimary, i.indisvalid,
               EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k
                        WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x')) AS is_constraint,
               i.root_oid::oid::int8 AS root_oid, i.root_oid::text AS root_index, rn.nspname::text AS root_schema,
               r.relname::text AS root_name, ri.indrelid::regclass::text AS root_relation,
               ri.indisvalid AS root_is_valid
          FROM indexes AS i
          JOIN sized AS z ON z.oid = i.oid
          LEFT JOIN pg_catalog.pg_class AS r ON r.oid = i.root_oid
          LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
          LEFT JOIN pg_catalog.pg_index AS ri ON ri.indexrelid = i.root_oid
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = -1
          JOIN pg_catalog.pg_stat_database AS d ON d.datname = pg_catalog.current_database()
         CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::int8 AS block_size) AS b
         ORDER BY i.oid
"""

INDEX_COUNTERS = Query(
    "index-counters",
    IndexCounters,
    {
        (13,): _INDEXES_START
        + _LOCKED
        + _INDEXES
        + """
               NULL::timestamptz AS last_idx_scan,
"""
        + _INDEXES_END,
        (16,): _INDEXES_START
        + _LOCKED
        + _INDEXES
        + """
               pg_catalog.pg_stat_get_lastscan(i.oid) AS last_idx_scan,
"""
        + _INDEXES_END,
    },
    example={"measured_max": MEASURED_MAX},
)


@dataclass(frozen=True, slots=True)
class RelationTotals:
    """Sums over all tables and indexes of users: they fall when one of them is dropped."""

    relations: int
    heap_blks_hit: int
    heap_blks_read: int
    idx_blks_hit: int
    idx_blks_read: int
    seq_scan: int
    seq_tup_read: int
    idx_scan: int
    idx_tup_fetch: int
    n_dead_tup: int
    vacuum_count: int
    autovacuum_count: int
    analyze_count: int
    autoanalyze_count: int
    stats_since: datetime | None
    oids: Sequence[int] = ()  # whose


RELATION_TOTALS = Query(
    "relation-totals",
    RelationTotals,
    {
        (13,): """
        /* dbopt: sums over all tables and indexes */
        SELECT pg_catalog.count(*) AS relations,
               COALESCE(pg_catalog.sum(s.hit) FILTER (WHERE s.is_table), 0)::int8 AS heap_blks_hit,
               COALESCE(pg_catalog.sum(s.fetched - s.hit) FILTER (WHERE s.is_table), 0)::int8 AS heap_blks_read,
               COALESCE(pg_catalog.sum(s.hit) FILTER (WHERE NOT s.is_table), 0)::int8 AS idx_blks_hit,
               COALESCE(pg_catalog.sum(s.fetched - s.hit) FILTER (WHERE NOT s.is_table), 0)::int8 AS idx_blks_read,
               COALESCE(pg_catalog.sum(s.scans) FILTER (WHERE s.is_table), 0)::int8 AS seq_scan,
               COALESCE(pg_catalog.sum(s.returned) FILTER (WHERE s.is_table), 0)::int8 AS seq_tup_read,
               COALESCE(pg_catalog.sum(s.scans) FILTER (WHERE NOT s.is_table), 0)::int8 AS idx_scan,
               COALESCE(pg_catalog.sum(s.tup_fetched), 0)::int8 AS idx_tup_fetch,
               COALESCE(pg_catalog.sum(s.dead), 0)::int8 AS n_dead_tup,
               COALESCE(pg_catalog.sum(s.vacuums), 0)::int8 AS vacuum_count,
               COALESCE(pg_catalog.sum(s.autovacuums), 0)::int8 AS autovacuum_count,
               COALESCE(pg_catalog.sum(s.analyzes), 0)::int8 AS analyze_count,
               COALESCE(pg_catalog.sum(s.autoanalyzes), 0)::int8 AS autoanalyze_count,
               (SELECT GREATEST(d.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time())
                  FROM pg_catalog.pg_stat_database AS d WHERE d.datname = pg_catalog.current_database()) AS stats_since,
               COALESCE(pg_catalog.array_agg(s.oid ORDER BY s.oid), '{}') AS oids
          FROM (SELECT c.oid::int8 AS oid, c.relkind IN ('r', 'm') AS is_table,
                       pg_catalog.pg_stat_get_blocks_hit(c.oid) AS hit,
                       pg_catalog.pg_stat_get_blocks_fetched(c.oid) AS fetched,
                       pg_catalog.pg_stat_get_numscans(c.oid) AS scans,
                       pg_catalog.pg_stat_get_tuples_returned(c.oid) AS returned,
                       pg_catalog.pg_stat_get_tuples_fetched(c.oid) AS tup_fetched,
                       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_dead_tuples(c.oid) END AS dead,
                       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_vacuum_count(c.oid) END
                           AS vacuums,
                       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_autovacuum_count(c.oid) END
                           AS autovacuums,
                       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_analyze_count(c.oid) END
                           AS analyzes,
                       CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_stat_get_autoanalyze_count(c.oid) END
                           AS autoanalyzes
                  FROM pg_catalog.pg_class AS c
                 WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm', 'i') AND c.relpersistence <> 't') AS s
        """
    },
)


@dataclass(frozen=True, slots=True)
class CountedSince:
    """From when on the counters of this database's tables and indexes count; None: since ever, as far as is told."""

    stats_since: datetime | None


COUNTED_SINCE = Query(
    "counted-since",
    CountedSince,
    {
        (13,): """
        /* dbopt: since when tables and indexes are counted */
        -- A crash resets everything. Up to 14 the database's moment then tells, from 15 on it is NULL, and the shared
        -- ones tell: the oldest of them, as each can be reset alone.
        SELECT COALESCE(d.stats_reset, LEAST(b.stats_reset, a.stats_reset)) AS stats_since
          FROM pg_catalog.pg_stat_database AS d
         CROSS JOIN pg_catalog.pg_stat_bgwriter AS b
         CROSS JOIN pg_catalog.pg_stat_archiver AS a
         WHERE d.datname = pg_catalog.current_database()
        """
    },
)
