"""Indexes as the catalogs hold them, for those who compare them with specs.

No lock on a user's table here either (see catalog.py): only `EXPRESSIONS` waits where a table is locked, and is asked
for the few indexes that have an expression or a predicate.
"""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Index:
    """One index. Arrays have one element a key column, but `columns`, which goes on with the INCLUDE columns."""

    oid: int
    table_oid: int
    schema: str
    index: str
    relkind: str
    method: str
    indisunique: bool
    indisprimary: bool
    indnullsnotdistinct: bool
    last_scan_seconds: float | None  # since the last scan; PostgreSQL 16+, None also when there was none
    indisvalid: bool
    indisready: bool
    indislive: bool
    indisreplident: bool
    indisclustered: bool
    indnkeyatts: int
    columns: list[str | None]  # None: an expression
    opclasses: list[str]
    opclass_options: list[str | None]
    collations: list[str | None]
    indoption: list[int]  # bits: 1 DESC, 2 NULLS FIRST
    reloptions: list[str]
    tablespace: str | None  # None: the database's own
    has_expressions: bool
    has_predicate: bool
    constraint: str | None  # a primary key, unique or exclusion constraint that it backs
    referenced_by: str | None  # a foreign key that needs it
    is_partition: bool
    parent_oid: int | None  # the index of the partitioned table above that it is attached to
    comment: str | None
    size_bytes: int  # when it was last built, vacuumed or analyzed: pg_relation_size() would wait for locks
    idx_scan: int
    build_pid: int | None  # a session building it right now
    statistics_targets: list[int | None]  # by column of the index; None: the default
    lacks_statistics: bool  # an expression index that was never analyzed, though its table was


# Sub-selects on purpose, each an index scan for each row. As joins (and EXISTS, which the planner turns into a hash of
# all pg_stats) they read whole catalogs, for one table as for a thousand, longest where the catalogs lack statistics.
# Names of operator classes and collations come out of one object each, made once: pg_opclass is so small that it would
# be read whole for each key of each index.
_INDEX_HEAD = """
        /* dbopt: every index of some tables, in parts that need no lock */
          WITH names(opclasses, collations) AS (
               SELECT (SELECT pg_catalog.jsonb_object_agg(op.oid::text, o.nspname || '.' || op.opcname)
                         FROM pg_catalog.pg_opclass AS op
                         JOIN pg_catalog.pg_namespace AS o ON o.oid = op.opcnamespace),
                      (SELECT pg_catalog.jsonb_object_agg(co.oid::text, o.nspname || '.' || co.collname)
                         FROM pg_catalog.pg_collation AS co
                         JOIN pg_catalog.pg_namespace AS o ON o.oid = co.collnamespace))
        SELECT i.indexrelid::int8 AS oid, i.indrelid::int8 AS table_oid, n.nspname::text AS schema,
               c.relname::text AS index, c.relkind::text AS relkind, am.amname::text AS method,
               i.indisunique, i.indisprimary,"""
_INDEX_TAIL = """
               i.indisvalid, i.indisready, i.indislive, i.indisreplident, i.indisclustered,
               i.indnkeyatts::int4 AS indnkeyatts,
               k.columns, k.opclasses, k.opclass_options, k.collations, k.indoption,
               COALESCE(c.reloptions, '{}') AS reloptions,
               ts.spcname::text AS tablespace,
               i.indexprs IS NOT NULL AS has_expressions, i.indpred IS NOT NULL AS has_predicate,
               CASE WHEN i.indisunique OR i.indisexclusion THEN
               (SELECT con.conname::text FROM pg_catalog.pg_constraint AS con
                 WHERE con.conrelid = i.indrelid AND con.conindid = i.indexrelid AND con.contype IN ('p', 'u', 'x')
                 ORDER BY con.conname LIMIT 1) END AS constraint,
               CASE WHEN i.indisunique OR i.indisexclusion THEN
               (SELECT con.conname::text FROM pg_catalog.pg_depend AS d
                  JOIN pg_catalog.pg_constraint AS con ON con.oid = d.objid AND con.contype = 'f'
                 WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indexrelid
                   AND d.classid = 'pg_catalog.pg_constraint'::regclass
                 ORDER BY con.conname LIMIT 1) END AS referenced_by,
               c.relispartition AS is_partition,
               (SELECT h.inhparent::int8 FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = i.indexrelid
                 LIMIT 1) AS parent_oid,
               (SELECT d.description FROM pg_catalog.pg_description AS d
                 WHERE d.objoid = i.indexrelid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0)
                 AS comment,
               c.relpages::int8 * pg_catalog.current_setting('block_size')::int8 AS size_bytes,
               COALESCE(pg_catalog.pg_stat_get_numscans(i.indexrelid), 0) AS idx_scan,
               (SELECT p.pid FROM pg_catalog.pg_stat_progress_create_index AS p
                 WHERE p.datid = (SELECT oid FROM pg_catalog.pg_database
                                   WHERE datname = pg_catalog.current_database())
                   AND p.index_relid = i.indexrelid LIMIT 1) AS build_pid,
               k.statistics_targets,
               c.relkind = 'i' AND i.indexprs IS NOT NULL AND i.indpred IS NULL AND t.reltuples > 0
                 AND (SELECT true FROM pg_catalog.pg_stats AS s
                       WHERE s.schemaname = n.nspname AND s.tablename = c.relname LIMIT 1) IS NULL
                 AND (SELECT true FROM pg_catalog.pg_stats AS s
                       WHERE s.schemaname = n.nspname AND s.tablename = t.relname LIMIT 1) IS TRUE AS lacks_statistics
          FROM pg_catalog.pg_index AS i
          JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
          LEFT JOIN pg_catalog.pg_tablespace AS ts ON ts.oid = c.reltablespace
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg((
                        SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                         WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[key.attnum - 1])) AS columns,
                      pg_catalog.array_agg((SELECT opclasses FROM names) ->> i.indclass[key.attnum - 1]::text)
                        FILTER (WHERE key.attnum <= i.indnkeyatts) AS opclasses,
                      pg_catalog.array_agg(pg_catalog.array_to_string(key.attoptions, ', '))
                        FILTER (WHERE key.attnum <= i.indnkeyatts) AS opclass_options,
                      pg_catalog.array_agg((SELECT collations FROM names) ->> i.indcollation[key.attnum - 1]::text)
                        FILTER (WHERE key.attnum <= i.indnkeyatts) AS collations,
                      pg_catalog.array_agg(i.indoption[key.attnum - 1]::int4)
                        FILTER (WHERE key.attnum <= i.indnkeyatts) AS indoption,
                      pg_catalog.array_agg(NULLIF(key.attstattarget, -1)::int4) AS statistics_targets
                 -- Sorted once, and not in each aggregate.
                 FROM (SELECT a.attnum, a.attoptions, a.attstattarget
                         FROM pg_catalog.pg_attribute AS a
                        WHERE a.attrelid = i.indexrelid
                        ORDER BY a.attnum) AS key
               ) AS k
         WHERE i.indrelid = ANY (%(oids)s::oid[])
         ORDER BY n.nspname, c.relname
        """

_LAST_SCAN = """
               EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                                  - pg_catalog.pg_stat_get_lastscan(i.indexrelid))::float8 AS last_scan_seconds,"""

INDEXES = Query(
    "indexes",
    Index,
    {
        (13,): _INDEX_HEAD + " false AS indnullsnotdistinct, NULL::float8 AS last_scan_seconds," + _INDEX_TAIL,
        (15,): _INDEX_HEAD + " i.indnullsnotdistinct, NULL::float8 AS last_scan_seconds," + _INDEX_TAIL,
        (16,): _INDEX_HEAD + " i.indnullsnotdistinct," + _LAST_SCAN + _INDEX_TAIL,
    },
    {"oids": [1259]},
    alike=True,
)


@dataclass(frozen=True, slots=True)
class Expressions:
    oid: int
    keys: list[str | None]  # by key column; None: a plain column
    predicate: str | None


EXPRESSIONS = Query(
    "index-expressions",
    Expressions,
    {
        (13,): """
        /* dbopt: expressions and predicates of some indexes; waits where their tables are locked exclusively */
        SELECT i.indexrelid::int8 AS oid,
               (SELECT pg_catalog.array_agg(CASE WHEN key.attnum = 0 THEN
                         pg_catalog.pg_get_indexdef(i.indexrelid, key.n::int4, false) END ORDER BY key.n)
                  FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS key(attnum, n)
                 WHERE key.n <= i.indnkeyatts) AS keys,
               pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate
          FROM pg_catalog.pg_index AS i
         WHERE i.indexrelid = ANY (%(oids)s::oid[])
         ORDER BY i.indexrelid
        """
    },
    {"oids": [2662]},
)


@dataclass(frozen=True, slots=True)
class Marked:
    """An index that carries dbopt's ownership mark, on whatever table."""

    oid: int
    table_oid: int
    schema: str
    index: str
    relkind: str
    table_schema: str
    table: str
    comment: str


MARKED = Query(
    "marked-indexes",
    Marked,
    {
        (13,): """
        /* dbopt: the indexes that dbopt made */
        SELECT c.oid::int8 AS oid, t.oid::int8 AS table_oid, n.nspname::text AS schema, c.relname::text AS index,
               c.relkind::text AS relkind, tn.nspname::text AS table_schema, t.relname::text AS table,
               d.description AS comment
          FROM pg_catalog.pg_description AS d
          JOIN pg_catalog.pg_index AS i ON i.indexrelid = d.objoid
          JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
          JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
         WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
           AND pg_catalog.strpos(d.description, '[dbopt:1 ') > 0
         ORDER BY n.nspname, c.relname
        """
    },
)
