"""The largest tables and indexes, with what ANALYZE knows about the lengths of their values: none of the values.

Those of 100 MB and more, and the 100 largest below. Exact sizes are read where nobody has, or waits for, an exclusive
lock: pg_relation_size() would wait behind it. The same holds for predicates, which the server prints under a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.postgres.statistics import VALUE_LENGTHS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString

# Held or waited for. RowExclusive: whoever adds rows keeps it until its transaction ends, and they are counted.
_LOCKED: LiteralString = """
          WITH locked AS MATERIALIZED (
               SELECT l.relation AS oid, pg_catalog.bool_or(l.mode = 'AccessExclusiveLock') AS is_exclusive
                 FROM pg_catalog.pg_locks AS l
                WHERE l.locktype = 'relation' AND l.mode IN ('AccessExclusiveLock', 'RowExclusiveLock')
                  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                                     WHERE d.datname = pg_catalog.current_database())
                GROUP BY l.relation
               ), setting AS MATERIALIZED (
               SELECT pg_catalog.current_setting('block_size')::int8 AS block_size
               ),
"""


@dataclass(frozen=True, slots=True)
class Heap:
    """A table or materialized view. `counted`: VACUUM or ANALYZE have counted its rows since counters were reset.
    Sizes are None where somebody has, or waits for, an exclusive lock. Arrays have one element a column, dropped ones
    (attlen 0) included; statistics are NULL where there are none.
    """

    relation_oid: int
    relation: str
    relkind: str
    reloptions: list[str] | None
    relpages: int
    block_size: int
    reltuples: float
    n_live_tup: int
    n_dead_tup: int
    n_tup_ins: int
    n_tup_del: int
    counted: bool
    size_bytes: int | None
    is_written: bool  # somebody is adding rows, or may be; they are counted when the transaction ends
    toast_oid: int | None
    toast_relpages: int
    toast_reltuples: float
    toast_n_live_tup: int
    toast_n_tup_ins: int
    toast_n_tup_del: int
    toast_counted: bool
    toast_size_bytes: int | None
    is_readable: bool
    has_policies: bool  # that hide rows from this role, and statistics with them
    attlens: list[int]
    attaligns: list[str]
    virtual: list[bool]
    numeric: list[bool]
    null_fracs: list[float | None]
    avg_widths: list[int | None]


_TABLES_ARE: LiteralString = """
        /* dbopt: the largest tables, how many rows they have and how long these are */"""
_TABLES: LiteralString = """
               guessed AS (
               -- relpages is as old as the last VACUUM or ANALYZE; counted rows tell of what has grown since. No row
               -- takes less than its header and a pointer, 4 chunks of a long value fill a page.
               SELECT c.oid, c.relname, n.nspname, c.relkind, c.reloptions, c.relpages, c.reltuples,
                      t.oid AS toast_oid, COALESCE(t.relpages, 0) AS toast_relpages,
                      COALESCE(t.reltuples, 0) AS toast_reltuples,
                      live.n_live_tup, live.n_dead_tup, live.toast_n_live_tup, live.toast_n_dead_tup,
                      GREATEST(c.relpages, (live.n_live_tup + live.n_dead_tup) * 28 / s.block_size)
                        + GREATEST(COALESCE(t.relpages, 0), (live.toast_n_live_tup + live.toast_n_dead_tup) / 4)
                        AS pages
                 FROM pg_catalog.pg_class AS c
                CROSS JOIN setting AS s
                 JOIN pg_catalog.pg_namespace AS n
                   ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
                 JOIN pg_catalog.pg_am AS am ON am.oid = c.relam AND am.amname = 'heap'
                 LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
                CROSS JOIN LATERAL (
                      SELECT pg_catalog.pg_stat_get_live_tuples(c.oid) AS n_live_tup,
                             pg_catalog.pg_stat_get_dead_tuples(c.oid) AS n_dead_tup,
                             COALESCE(pg_catalog.pg_stat_get_live_tuples(t.oid), 0) AS toast_n_live_tup,
                             COALESCE(pg_catalog.pg_stat_get_dead_tuples(t.oid), 0) AS toast_n_dead_tup
                      ) AS live
                WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
               ), chosen AS MATERIALIZED (
               SELECT g.*
                 FROM (SELECT g.*, pg_catalog.rank() OVER (ORDER BY g.pages DESC) AS place FROM guessed AS g
                        WHERE g.pages >= 32) AS g
                WHERE g.pages >= 12800 OR g.place <= 100
               )
        SELECT g.oid::int8 AS relation_oid, g.oid::regclass::text AS relation, g.relkind::text AS relkind,
               g.reloptions, g.relpages, s.block_size, g.reltuples::float8 AS reltuples, g.n_live_tup, g.n_dead_tup,
               pg_catalog.pg_stat_get_tuples_inserted(g.oid) AS n_tup_ins,
               pg_catalog.pg_stat_get_tuples_deleted(g.oid) AS n_tup_del,
               COALESCE(pg_catalog.pg_stat_get_last_vacuum_time(g.oid),
                        pg_catalog.pg_stat_get_last_autovacuum_time(g.oid),
                        pg_catalog.pg_stat_get_last_analyze_time(g.oid),
                        pg_catalog.pg_stat_get_last_autoanalyze_time(g.oid)) IS NOT NULL AS counted,
               CASE WHEN l.is_exclusive IS NOT TRUE THEN pg_catalog.pg_relation_size(g.oid) END AS size_bytes,
               l.oid IS NOT NULL AS is_written,
               g.toast_oid::int8 AS toast_oid, g.toast_relpages, g.toast_reltuples::float8 AS toast_reltuples,
               g.toast_n_live_tup,
               COALESCE(pg_catalog.pg_stat_get_tuples_inserted(g.toast_oid), 0) AS toast_n_tup_ins,
               COALESCE(pg_catalog.pg_stat_get_tuples_deleted(g.toast_oid), 0) AS toast_n_tup_del,
               COALESCE(pg_catalog.pg_stat_get_last_vacuum_time(g.toast_oid),
                        pg_catalog.pg_stat_get_last_autovacuum_time(g.toast_oid)) IS NOT NULL AS toast_counted,
               CASE WHEN lt.is_exclusive IS NOT TRUE THEN pg_catalog.pg_relation_size(g.toast_oid) END
                 AS toast_size_bytes,
               a.is_readable AND NOT pg_catalog.row_security_active(g.oid) AS is_readable,
               pg_catalog.row_security_active(g.oid) AS has_policies,
               a.attlens, a.attaligns, a.virtual, a.numeric, a.null_fracs, a.avg_widths
          FROM chosen AS g
         CROSS JOIN setting AS s
          LEFT JOIN locked AS l ON l.oid = g.oid
          LEFT JOIN locked AS lt ON lt.oid = g.toast_oid
         CROSS JOIN LATERAL (
               SELECT COALESCE(pg_catalog.bool_and(a.attisdropped
                        OR pg_catalog.has_column_privilege(g.oid, a.attnum, 'SELECT')), true) AS is_readable,
                      COALESCE(pg_catalog.array_agg(CASE WHEN a.attisdropped THEN 0 ELSE a.attlen::int4 END
                        ORDER BY a.attnum), '{}') AS attlens,
                      COALESCE(pg_catalog.array_agg(a.attalign::text ORDER BY a.attnum), '{}') AS attaligns,
                      COALESCE(pg_catalog.array_agg(a.attgenerated = 'v' ORDER BY a.attnum), '{}') AS virtual,
                      COALESCE(pg_catalog.array_agg(a.atttypid = 'pg_catalog.numeric'::regtype ORDER BY a.attnum), '{}')
                        AS numeric,
                      COALESCE(pg_catalog.array_agg(p.null_frac::float8 ORDER BY a.attnum), '{}') AS null_fracs,
                      COALESCE(pg_catalog.array_agg(p.avg_width ORDER BY a.attnum), '{}') AS avg_widths
                 FROM pg_catalog.pg_attribute AS a
                 LEFT JOIN LATERAL (
                      SELECT s.null_frac, s.avg_width FROM pg_catalog.pg_stats AS s
                       WHERE s.schemaname = g.nspname AND s.tablename = g.relname AND s.attname = a.attname
                         AND NOT s.inherited
                       LIMIT 1
                      ) AS p ON NOT a.attisdropped
                WHERE a.attrelid = g.oid AND a.attnum > 0
               ) AS a
         ORDER BY g.pages DESC, g.oid
"""
HEAPS = Query(
    "heaps",
    Heap,
    {
        (13,): _TABLES_ARE + _LOCKED + _TABLES,
    },
)


@dataclass(frozen=True, slots=True)
class IndexColumn:
    """One column of an index, key or INCLUDE, with its statistics as in ColumnStatistics; an index of another method
    than btree has one row, with no column. Sizes are None where somebody has, or waits for, an exclusive lock.
    """

    index_oid: int
    index: str
    relation: str
    method: str
    is_unique: bool
    is_exclusion: bool
    reloptions: list[str] | None
    relpages: int
    block_size: int
    reltuples: float
    size_bytes: int | None
    is_written: bool  # somebody is adding rows, or may be
    table_reltuples: float
    table_relpages: int
    n_live_tup: int
    n_tup_ins: int
    n_tup_del: int
    counted: bool  # VACUUM or ANALYZE have counted the table's rows since counters were reset
    may_share: bool  # operator classes and collations let equal keys share an entry
    is_partial: bool
    predicate: str | None  # None also where the table is locked
    column: str | None
    is_key: bool
    is_expression: bool
    is_readable: bool
    has_policies: bool
    type: str
    attlen: int
    attalign: str
    null_frac: float | None
    avg_width: int | None
    n_distinct: float | None
    correlation: float | None
    common_freqs: list[float]
    bounds: int | None
    common_lengths: list[int] | None
    lengths: list[int] | None


_INDEXES_ARE: LiteralString = """
        /* dbopt: the columns of the largest indexes, and what ANALYZE knows about them; no values */"""
_INDEXES: LiteralString = """
               grown AS MATERIALIZED (
               -- Neither vacuumed nor analyzed: relpages does not tell, counted rows do.
               SELECT c.oid, counted.rows
                 FROM pg_catalog.pg_class AS c
                CROSS JOIN LATERAL (
                      SELECT pg_catalog.pg_stat_get_live_tuples(c.oid) + pg_catalog.pg_stat_get_dead_tuples(c.oid)
                             AS rows) AS counted
                WHERE c.relkind IN ('r', 'm') AND c.reltuples <= 0 AND counted.rows >= 10000
               ), guessed AS (
               -- No entry takes less than 16 bytes and a pointer, unless equal keys share them.
               SELECT c.oid, c.relname, n.nspname, am.amname, c.reloptions, c.relpages, c.reltuples,
                      GREATEST(c.relpages, g.rows * 20 / s.block_size) AS pages
                 FROM pg_catalog.pg_class AS c
                CROSS JOIN setting AS s
                 JOIN pg_catalog.pg_namespace AS n
                   ON n.oid = c.relnamespace
                  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
                 JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
                 JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid AND i.indisvalid
                 LEFT JOIN grown AS g ON g.oid = i.indrelid
                WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND (c.relpages >= 32 OR g.oid IS NOT NULL)
               ), chosen AS MATERIALIZED (
               SELECT g.*
                 FROM (SELECT g.*, pg_catalog.rank() OVER (ORDER BY g.pages DESC) AS place FROM guessed AS g
                        WHERE g.pages >= 32) AS g
                WHERE g.pages >= 12800 OR g.place <= 100
               ), sharing AS MATERIALIZED (
               -- Support function 4, equalimage: equal values have equal bytes.
               SELECT pg_catalog.array_agg(o.oid) AS opclasses
                 FROM pg_catalog.pg_opclass AS o
                 JOIN pg_catalog.pg_am AS am ON am.oid = o.opcmethod AND am.amname = 'btree'
                 JOIN pg_catalog.pg_amproc AS f ON f.amprocfamily = o.opcfamily AND f.amprocnum = 4
                                               AND f.amproclefttype = o.opcintype AND f.amprocrighttype = o.opcintype
               ), apart AS MATERIALIZED (
               SELECT COALESCE(pg_catalog.array_agg(l.oid), '{}') AS collations
                 FROM pg_catalog.pg_collation AS l WHERE NOT l.collisdeterministic
               ), opened AS MATERIALIZED (
               SELECT g.*, i.indrelid, i.indisunique, i.indisexclusion, i.indkey, i.indnkeyatts, i.indnatts,
                      i.indpred, i.indclass::oid[] <@ sharing.opclasses
                        AND NOT i.indcollation::oid[] && apart.collations AS may_share,
                      t.relname AS table_name, t.reltuples AS table_reltuples, t.relpages AS table_relpages,
                      CASE WHEN l.is_exclusive IS NOT TRUE THEN pg_catalog.pg_relation_size(g.oid) END AS size_bytes,
                      -- An INSERT keeps its lock on the table, but not those on the indexes.
                      l.oid IS NOT NULL OR lt.oid IS NOT NULL AS is_written,
                      CASE WHEN i.indpred IS NOT NULL AND lt.is_exclusive IS NOT TRUE
                           THEN pg_catalog.pg_get_expr(i.indpred, i.indrelid) END AS predicate
                 FROM chosen AS g
                 JOIN pg_catalog.pg_index AS i ON i.indexrelid = g.oid
                 JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
                CROSS JOIN sharing
                CROSS JOIN apart
                 LEFT JOIN locked AS l ON l.oid = g.oid
                 LEFT JOIN locked AS lt ON lt.oid = i.indrelid
               )
        SELECT o.oid::int8 AS index_oid, o.oid::regclass::text AS index, o.indrelid::regclass::text AS relation,
               o.amname::text AS method, o.indisunique AS is_unique, o.indisexclusion AS is_exclusion, o.reloptions,
               o.relpages, st.block_size, o.reltuples::float8 AS reltuples, o.size_bytes, o.is_written,
               o.table_reltuples::float8 AS table_reltuples, o.table_relpages,
               pg_catalog.pg_stat_get_live_tuples(o.indrelid) AS n_live_tup,
               pg_catalog.pg_stat_get_tuples_inserted(o.indrelid) AS n_tup_ins,
               pg_catalog.pg_stat_get_tuples_deleted(o.indrelid) AS n_tup_del,
               COALESCE(pg_catalog.pg_stat_get_last_vacuum_time(o.indrelid),
                        pg_catalog.pg_stat_get_last_autovacuum_time(o.indrelid),
                        pg_catalog.pg_stat_get_last_analyze_time(o.indrelid),
                        pg_catalog.pg_stat_get_last_autoanalyze_time(o.indrelid)) IS NOT NULL AS counted,
               o.may_share AND o.indnatts = o.indnkeyatts AS may_share,
               o.indpred IS NOT NULL AS is_partial, o.predicate,
               a.attname::text AS column, k.position <= o.indnkeyatts AS is_key, k.attnum = 0 AS is_expression,
               COALESCE(pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'), true)
                 AND (k.attnum = 0 OR NOT pg_catalog.row_security_active(o.indrelid)) AS is_readable,
               pg_catalog.row_security_active(o.indrelid) AS has_policies,
               COALESCE(base.typname::text, '') AS type, COALESCE(a.attlen::int4, 0) AS attlen,
               COALESCE(a.attalign::text, 'c') AS attalign,
               s.null_frac::float8 AS null_frac, s.avg_width, s.n_distinct::float8 AS n_distinct,
               s.correlation::float8 AS correlation,
               COALESCE(s.most_common_freqs, '{}')::float8[] AS common_freqs,
               pg_catalog.cardinality(s.histogram_bounds::text::text[]) AS bounds,
               measured.common_lengths, measured.lengths
          FROM opened AS o
         CROSS JOIN setting AS st
          LEFT JOIN LATERAL pg_catalog.unnest(o.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
            ON o.amname = 'btree'
          LEFT JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = CASE WHEN k.attnum = 0 THEN o.oid ELSE o.indrelid END
           AND a.attnum = CASE WHEN k.attnum = 0 THEN k.position::int2 ELSE k.attnum END
          LEFT JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
          LEFT JOIN pg_catalog.pg_type AS base ON base.oid = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
          LEFT JOIN LATERAL (
               SELECT * FROM pg_catalog.pg_stats AS p
                WHERE p.schemaname = o.nspname AND p.attname = a.attname AND NOT p.inherited
                  AND p.tablename = CASE WHEN k.attnum = 0 THEN o.relname ELSE o.table_name END
                LIMIT 1
               ) AS s ON true
"""
INDEX_COLUMNS = Query(
    "index-columns",
    IndexColumn,
    {
        (13,): _INDEXES_ARE
        + _LOCKED
        + _INDEXES
        + VALUE_LENGTHS
        # Of the thousand largest: beyond them the average has to do, it takes a tenth of the time.
        + """ AND o.place <= 1000
         ORDER BY o.pages DESC, o.oid, k.position
        """,
    },
)
