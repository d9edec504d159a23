"""Indexes as `health` looks at them: those that another may make redundant, broken ones, and those nobody scans.

Nothing here takes a lock on a user's table, and none of an index that somebody has locked exclusively or waits to: its
size is then what VACUUM or ANALYZE last wrote down. Candidates are found by the server, as a database can have 100,000
indexes; what the candidates mean is judged elsewhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class IndexShape:
    """All that makes an index what it is, in numbers of the catalogs. Of a partitioned one, size and scans are sums.

    `index` and `relation` are regclass, so quoted and with their schema. `keys` are column numbers, 0 for an
    expression, with the INCLUDE columns at the end; the other lists have one element a key column. The last four are
    only filled in for one that is not valid: a column's name, and what is not its default.
    """

    oid: int
    table_oid: int
    index: str
    relation: str
    schema: str
    name: str
    table_schema: str
    table: str
    relkind: str  # i, or I of a partitioned table
    is_partition: bool  # attached to an index of the partitioned table above
    is_toast: bool
    method: str
    indisunique: bool
    indnullsnotdistinct: bool
    indimmediate: bool
    indisexclusion: bool
    indisvalid: bool
    indisready: bool
    indislive: bool
    indisreplident: bool
    indisclustered: bool
    constraint: str | None
    contype: str | None  # p, u or x
    is_referenced: bool  # a foreign key refers to it
    is_extension: bool  # its table belongs to an extension
    indnkeyatts: int
    keys: list[int]
    opclasses: list[int]
    collations: list[int]
    indoption: list[int]
    opclass_options: list[str | None] | None
    reloptions: list[str]
    expressions: str | None  # node trees, as stored
    predicate: str | None
    idx_scan: int
    size_bytes: int
    is_estimated: bool
    in_work: bool  # being built, rebuilt or dropped right now
    work_hidden: bool  # somebody builds an index of this table, and which one this role may not see
    columns: list[str | None] | None
    opclass_names: list[str | None] | None
    collation_names: list[str | None] | None
    tablespace: str | None


# What holds or awaits a lock that would make us wait, and who may be at work on an index.
_LOCKS: LiteralString = """
        lock AS MATERIALIZED (
            SELECT l.relation, l.mode, l.pid
              FROM pg_catalog.pg_locks AS l
             WHERE l.locktype = 'relation'
               AND (l.mode = 'AccessExclusiveLock' OR l.mode = 'ShareUpdateExclusiveLock' AND l.granted)
               AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                                  WHERE d.datname = pg_catalog.current_database())
        ), extension AS MATERIALIZED (
            SELECT d.objid AS oid
              FROM pg_catalog.pg_depend AS d
             WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
               AND d.classid = 'pg_catalog.pg_class'::regclass
        )"""

# Of all parts of an index. An estimate where a lock is held or waited for, and beyond the thousand largest: to ask for
# a size, the server has to open the index, which takes it 0.1 ms.
_SIZE: LiteralString = """
                   pg_catalog.sum(CASE WHEN c.relkind <> 'i' THEN 0
                                       WHEN x.is_estimated
                                       THEN c.relpages * pg_catalog.current_setting('block_size')::int8
                                       ELSE COALESCE(pg_catalog.pg_relation_size(p.oid), 0) END)::int8 AS size_bytes,
                   pg_catalog.bool_or(x.is_estimated) AS is_estimated"""
# Of `part AS p`, of which `r` is the rank.
_ESTIMATED: LiteralString = """
             CROSS JOIN LATERAL (SELECT r.rank > 1000 OR p.oid IN (SELECT l.relation FROM lock AS l
                                                                    WHERE l.mode = 'AccessExclusiveLock')
                                        AS is_estimated) AS x"""

_SHAPES_HEAD: LiteralString = """
        /* dbopt: indexes that may repeat others or are not valid, with the others */
          WITH RECURSIVE"""
_SHAPES_CHOSEN: LiteralString = """, build AS MATERIALIZED (
            SELECT p.pid, p.index_relid
              FROM pg_catalog.pg_stat_progress_create_index AS p
             WHERE p.datname = pg_catalog.current_database()
        ), shape AS MATERIALIZED (
            SELECT i.indexrelid AS oid, i.indrelid, c.relam, i.indkey[0] AS key, i.indclass[0] AS opclass,
                   i.indcollation[0] AS collation, i.indoption[0] AS option, i.indnkeyatts,
                   am.amname = 'btree' AS is_btree, i.indpred IS NULL AS is_full,
                   i.indisvalid AND i.indisready AND i.indislive AS is_sound,
                   CASE WHEN i.indnatts = i.indnkeyatts THEN i.indkey::text
                        ELSE pg_catalog.array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ' ') END || ' ' AS keys
              FROM pg_catalog.pg_index AS i
              JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
              JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
             WHERE i.indexrelid >= 16384 AND c.relpersistence <> 't'
        ), pair AS (
            SELECT a.oid AS one, b.oid AS other
              FROM shape AS a
              JOIN shape AS b ON b.indrelid = a.indrelid AND b.relam = a.relam AND b.key = a.key
               AND b.opclass = a.opclass AND b.collation = a.collation AND b.option = a.option
             WHERE a.oid <> b.oid AND a.is_btree AND a.is_sound AND b.is_sound AND a.is_full = b.is_full
               AND pg_catalog.starts_with(b.keys, a.keys)
             UNION ALL
            -- of the other methods some know no order of columns
            SELECT a.oid, b.oid
              FROM shape AS a
              JOIN shape AS b ON b.indrelid = a.indrelid AND b.relam = a.relam AND b.indnkeyatts = a.indnkeyatts
             WHERE a.oid <> b.oid AND NOT a.is_btree AND NOT b.is_btree AND a.is_sound AND b.is_sound
               AND a.is_full = b.is_full
        ), chosen AS MATERIALIZED (
            SELECT p.one AS oid FROM pair AS p
             UNION
            SELECT p.other FROM pair AS p
             UNION
            SELECT s.oid FROM shape AS s
             WHERE s.indrelid IN (SELECT broken.indrelid FROM shape AS broken WHERE NOT broken.is_sound)
        ), ranked AS MATERIALIZED (
            SELECT x.oid, pg_catalog.row_number() OVER (ORDER BY c.relkind = 'I' DESC, c.relpages DESC) AS rank
              FROM chosen AS x JOIN pg_catalog.pg_class AS c ON c.oid = x.oid
        ), part(root, oid) AS (
            SELECT x.oid, x.oid FROM chosen AS x
             UNION ALL
            SELECT p.root, h.inhrelid
              FROM part AS p JOIN pg_catalog.pg_inherits AS h ON h.inhparent = p.oid
        ), measured AS MATERIALIZED (
            SELECT p.root, pg_catalog.sum(pg_catalog.pg_stat_get_numscans(p.oid))::int8 AS idx_scan,"""
_SHAPES_PARTS: LiteralString = """
              FROM part AS p
              JOIN pg_catalog.pg_class AS c ON c.oid = p.oid
              JOIN ranked AS r ON r.oid = p.root"""
_SHAPES_ROWS: LiteralString = """
             GROUP BY p.root
        ), backed AS MATERIALIZED (
            SELECT con.conindid AS oid,
                   pg_catalog.min(con.conname::text) FILTER (WHERE con.contype <> 'f') AS conname,
                   pg_catalog.min(con.contype::text) FILTER (WHERE con.contype <> 'f') AS contype,
                   pg_catalog.bool_or(con.contype = 'f') AS is_referenced
              FROM pg_catalog.pg_constraint AS con
             WHERE con.conindid IN (SELECT x.oid FROM chosen AS x)
             GROUP BY con.conindid
        )
        SELECT i.indexrelid::int8 AS oid, i.indrelid::int8 AS table_oid, i.indexrelid::regclass::text AS index,
               i.indrelid::regclass::text AS relation, n.nspname::text AS schema, c.relname::text AS name,
               tn.nspname::text AS table_schema, t.relname::text AS table, c.relkind::text AS relkind,
               c.relispartition AS is_partition, t.relkind = 't' AS is_toast, am.amname::text AS method,
               i.indisunique, """
_SHAPES_END: LiteralString = """ AS indnullsnotdistinct,
               i.indimmediate, i.indisexclusion, i.indisvalid, i.indisready, i.indislive, i.indisreplident,
               i.indisclustered, b.conname AS constraint, b.contype, COALESCE(b.is_referenced, false) AS is_referenced,
               i.indrelid IN (SELECT e.oid FROM extension AS e) AS is_extension,
               i.indnkeyatts::int4 AS indnkeyatts, i.indkey::int2[]::int4[] AS keys,
               i.indclass::oid[]::int8[] AS opclasses, i.indcollation::oid[]::int8[] AS collations,
               i.indoption::int2[]::int4[] AS indoption, o.opclass_options,
               COALESCE(c.reloptions, '{}') AS reloptions,
               i.indexprs::text AS expressions, i.indpred::text AS predicate,
               m.idx_scan, m.size_bytes, m.is_estimated,
               i.indexrelid IN (SELECT l.relation FROM lock AS l WHERE l.mode = 'ShareUpdateExclusiveLock')
                 OR i.indexrelid IN (SELECT w.index_relid FROM build AS w WHERE w.index_relid IS NOT NULL) AS in_work,
               i.indrelid IN (SELECT l.relation FROM lock AS l JOIN build AS w ON w.pid = l.pid
                               WHERE l.mode = 'ShareUpdateExclusiveLock' AND w.index_relid IS NULL) AS work_hidden,
               v.columns, v.opclass_names, v.collation_names, ts.spcname::text AS tablespace
          FROM chosen AS x
          JOIN pg_catalog.pg_index AS i ON i.indexrelid = x.oid
          JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
          JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
          JOIN measured AS m ON m.root = x.oid
          LEFT JOIN pg_catalog.pg_tablespace AS ts ON ts.oid = c.reltablespace
          LEFT JOIN backed AS b ON b.oid = x.oid
          LEFT JOIN LATERAL (
               SELECT pg_catalog.array_agg(pg_catalog.array_to_string(a.attoptions, ', ') ORDER BY a.attnum)
                          AS opclass_options
                 FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = x.oid AND a.attnum <= i.indnkeyatts
               HAVING pg_catalog.bool_or(a.attoptions IS NOT NULL)) AS o ON true
          LEFT JOIN LATERAL (
               SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.attnum) AS columns,
                      pg_catalog.array_agg(CASE WHEN NOT op.opcdefault OR k.attoptions IS NOT NULL
                               THEN '"' || pg_catalog.replace(opn.nspname, '"', '""') || '"."'
                                    || pg_catalog.replace(op.opcname, '"', '""') || '"' END ORDER BY k.attnum)
                          AS opclass_names,
                      pg_catalog.array_agg(CASE WHEN k.attcollation <> 0 AND k.attcollation <> a.attcollation
                               THEN '"' || pg_catalog.replace(con.nspname, '"', '""') || '"."'
                                    || pg_catalog.replace(co.collname, '"', '""') || '"' END ORDER BY k.attnum)
                          AS collation_names
                 FROM pg_catalog.pg_attribute AS k
                 LEFT JOIN pg_catalog.pg_attribute AS a
                   ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.attnum - 1] AND a.attnum <> 0
                 LEFT JOIN pg_catalog.pg_opclass AS op
                   ON op.oid = i.indclass[k.attnum - 1] AND k.attnum <= i.indnkeyatts
                 LEFT JOIN pg_catalog.pg_namespace AS opn ON opn.oid = op.opcnamespace
                 LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = k.attcollation
                 LEFT JOIN pg_catalog.pg_namespace AS con ON con.oid = co.collnamespace
                WHERE k.attrelid = x.oid AND k.attnum > 0 AND NOT i.indisvalid
               ) AS v ON true
         ORDER BY x.oid
        """

_SHAPES: LiteralString = _SHAPES_HEAD + _LOCKS + _SHAPES_CHOSEN + _SIZE + _SHAPES_PARTS + _ESTIMATED + _SHAPES_ROWS

INDEX_SHAPES = Query(
    "index-shapes",
    IndexShape,
    {
        (13,): _SHAPES + "false" + _SHAPES_END,
        (15,): _SHAPES + "i.indnullsnotdistinct" + _SHAPES_END,
    },
)


@dataclass(frozen=True, slots=True)
class UnscannedIndex:
    """An index that nothing but speed needs, without a scan, or without one for a day. Of a partitioned one: sums.

    From 64 kB on, and the thousand largest: a database whose statistics were just reset has nothing else.
    """

    oid: int
    index: str
    schema: str
    name: str
    relation: str
    table_schema: str
    table: str
    relkind: str
    idx_scan: int
    last_idx_scan: datetime | None  # 16+
    made_at: datetime | None  # or last changed; only where track_commit_timestamp is on
    size_bytes: int
    is_estimated: bool
    feeds_standbys: bool  # whose own scans are counted there


# Expression indexes are left out: their statistics serve the planner even where nobody scans them.
_UNSCANNED_HEAD: LiteralString = """
        /* dbopt: indexes without a scan that no constraint, foreign key, replication or CLUSTER needs */
          WITH RECURSIVE"""
_UNSCANNED_ELIGIBLE: LiteralString = """, eligible AS MATERIALIZED (
            SELECT i.indexrelid AS oid, i.indrelid, c.relkind, i.xmin
              FROM pg_catalog.pg_index AS i
              JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
              JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
             WHERE i.indexrelid >= 16384 AND c.relpersistence <> 't' AND NOT c.relispartition
               AND NOT i.indisunique AND NOT i.indisexclusion AND NOT i.indisreplident AND NOT i.indisclustered
               AND i.indisvalid AND i.indisready AND i.indislive AND i.indexprs IS NULL
               -- The small ones are many. What VACUUM wrote down may be old, so rows count as well.
               AND (c.relkind = 'I' OR c.relpages >= 8 OR t.reltuples >= 1000
                    OR pg_catalog.pg_stat_get_live_tuples(t.oid) >= 1000)
               AND (c.relkind = 'I' OR pg_catalog.pg_stat_get_numscans(i.indexrelid) = 0"""
_UNSCANNED_MIDDLE: LiteralString = """)
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS f
                                WHERE f.contype = 'f' AND f.conrelid = i.indrelid AND i.indkey[0] = ANY (f.conkey))
               AND i.indrelid NOT IN (SELECT e.oid FROM extension AS e)
        ), part(root, oid) AS (
            SELECT e.oid, e.oid FROM eligible AS e
             UNION ALL
            SELECT p.root, h.inhrelid
              FROM part AS p JOIN pg_catalog.pg_inherits AS h ON h.inhparent = p.oid
        ), scanned AS MATERIALIZED (
            SELECT p.root, pg_catalog.sum(pg_catalog.pg_stat_get_numscans(p.oid))::int8 AS idx_scan,
                   pg_catalog.max("""
_UNSCANNED_SUMMED: LiteralString = """) AS last_idx_scan,
                   -- by the last VACUUM or ANALYZE, or 20 bytes a row, whichever is more
                   pg_catalog.sum(GREATEST(
                       c.relpages * pg_catalog.current_setting('block_size')::float8,
                       20 * GREATEST(t.reltuples::float8, pg_catalog.pg_stat_get_live_tuples(t.oid)))) AS guess_bytes
              FROM part AS p
              JOIN pg_catalog.pg_index AS i ON i.indexrelid = p.oid
              JOIN pg_catalog.pg_class AS c ON c.oid = p.oid
              JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
             GROUP BY p.root
            HAVING NOT pg_catalog.bool_or(i.indisclustered OR i.indisreplident)
        ), ranked AS MATERIALIZED (
            SELECT s.root, s.idx_scan, s.last_idx_scan, 1 AS rank
              FROM scanned AS s
             WHERE s.idx_scan = 0 OR s.last_idx_scan < pg_catalog.now() - '1 day'::interval
             ORDER BY s.idx_scan = 0 DESC, s.guess_bytes DESC, s.root
             LIMIT 1000
        ), measured AS MATERIALIZED (
            SELECT r.root, r.idx_scan, r.last_idx_scan,"""
_UNSCANNED_PARTS: LiteralString = """
              FROM ranked AS r
              JOIN part AS p ON p.root = r.root
              JOIN pg_catalog.pg_class AS c ON c.oid = p.oid"""
_UNSCANNED_END: LiteralString = """
             GROUP BY r.root, r.idx_scan, r.last_idx_scan
        )
        SELECT m.root::int8 AS oid, m.root::regclass::text AS index, n.nspname::text AS schema, c.relname::text AS name,
               e.indrelid::regclass::text AS relation, tn.nspname::text AS table_schema, t.relname::text AS table,
               c.relkind::text AS relkind, m.idx_scan, m.last_idx_scan,
               CASE WHEN pg_catalog.current_setting('track_commit_timestamp')::bool
                    THEN pg_catalog.pg_xact_commit_timestamp(e.xmin) END AS made_at,
               m.size_bytes, m.is_estimated,
               EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_type = 'physical')
                 OR EXISTS (SELECT 1 FROM pg_catalog.pg_stat_replication AS r) AS feeds_standbys
          FROM measured AS m
          JOIN eligible AS e ON e.oid = m.root
          JOIN pg_catalog.pg_class AS c ON c.oid = m.root
          JOIN pg_catalog.pg_class AS t ON t.oid = e.indrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
         WHERE m.size_bytes >= 65536
         ORDER BY m.size_bytes DESC, m.root
        """
# Only where there are such will their date be asked for.
_IDLE_16: LiteralString = """
                    OR pg_catalog.pg_stat_get_lastscan(i.indexrelid) < pg_catalog.now() - '1 day'::interval"""

_UNSCANNED: LiteralString = _UNSCANNED_HEAD + _LOCKS + _UNSCANNED_ELIGIBLE
_UNSCANNED_SIZED: LiteralString = _UNSCANNED_SUMMED + _SIZE + _UNSCANNED_PARTS + _ESTIMATED + _UNSCANNED_END

UNSCANNED_INDEXES = Query(
    "unscanned-indexes",
    UnscannedIndex,
    {
        (13,): _UNSCANNED + _UNSCANNED_MIDDLE + "NULL::timestamptz" + _UNSCANNED_SIZED,
        (16,): _UNSCANNED + _IDLE_16 + _UNSCANNED_MIDDLE + "pg_catalog.pg_stat_get_lastscan(p.oid)" + _UNSCANNED_SIZED,
    },
)
