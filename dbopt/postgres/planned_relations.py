"""The tables that plans name, with what the planner knows of them: sizes, columns with their statistics, indexes.

All of it by names, so that one round trip does. No lock on a user's table is taken for these; only the expressions and
predicates of indexes (index_catalog.EXPRESSIONS), asked for apart, wait where somebody has locked their table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString

EXAMPLE = {"schemas": ["pg_catalog", ""], "names": ["pg_class", "pg_index"]}

# The tables asked for, and the topmost ones above those that are partitions. Without a schema (a plan in a log may have
# none) it is the table that a session like this one finds. As an array, for as a join the planner would rather read the
# whole of pg_class, which may be large, than look up a few.
_WANTED: LiteralString = """
          WITH named(oid) AS MATERIALIZED (
            SELECT CASE w.schema WHEN '' THEN pg_catalog.to_regclass(pg_catalog.quote_ident(w.name))::oid ELSE
                        (SELECT c.oid FROM pg_catalog.pg_class AS c
                           JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                          WHERE c.relname = w.name::name AND n.nspname = w.schema::name) END
              FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
                   AS w(schema, name)
        ), wanted(oids) AS MATERIALIZED (
            SELECT ARRAY(SELECT named.oid FROM named
                          UNION
                         SELECT pg_catalog.pg_partition_root(named.oid)::oid FROM named)
        )
"""


@dataclass(frozen=True, slots=True)
class PlannedRelation:
    """`rows` and `size_bytes`: reltuples and relpages, of a partitioned table those of its partitions together; `rows`
    None: never analyzed. `parent_*`: of a partition, the topmost table.
    """

    oid: int
    schema: str
    name: str
    relkind: str
    relpersistence: str
    rows: float | None
    size_bytes: int
    live_rows: float | None  # as the statistics system counted them
    is_visible: bool  # by its name alone
    may_read_statistics: bool
    has_policies: bool  # that hold for this role
    parent_schema: str | None
    parent_name: str | None


_RELATIONS: LiteralString = """
        SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS relkind,
               c.relpersistence::text AS relpersistence, size.rows,
               size.pages * pg_catalog.current_setting('block_size')::int8 AS size_bytes,
               CASE WHEN c.relkind <> 'p' THEN pg_catalog.pg_stat_get_live_tuples(c.oid) END::float8 AS live_rows,
               pg_catalog.pg_table_is_visible(c.oid) AS is_visible,
               pg_catalog.has_table_privilege(c.oid, 'SELECT')
                 AND (NOT c.relrowsecurity OR NOT pg_catalog.row_security_active(c.oid)) AS may_read_statistics,
               c.relrowsecurity AND pg_catalog.row_security_active(c.oid) AS has_policies,
               tn.nspname::text AS parent_schema, t.relname::text AS parent_name
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          LEFT JOIN pg_catalog.pg_class AS t ON c.relispartition AND t.oid = pg_catalog.pg_partition_root(c.oid)
          LEFT JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
         CROSS JOIN LATERAL (
               SELECT pg_catalog.sum(CASE WHEN {is_counted} THEN part.reltuples END)::float8 AS rows,
                      COALESCE(pg_catalog.sum(part.relpages), 0)::int8 AS pages
                 FROM (WITH RECURSIVE tree(oid) AS (
                            SELECT c.oid
                             UNION ALL
                            SELECT h.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS h ON h.inhparent = tree.oid
                             WHERE c.relkind = 'p')
                       SELECT tree.oid FROM tree) AS tree
                 JOIN LATERAL (
                      SELECT p.relkind, p.reltuples, p.relpages FROM pg_catalog.pg_class AS p WHERE p.oid = tree.oid
                      OFFSET 0
                      ) AS part ON part.relkind <> 'p'
               ) AS size
         WHERE c.oid = ANY ((SELECT wanted.oids FROM wanted)::oid[])
         ORDER BY n.nspname, c.relname
"""
_HEAD: LiteralString = """
        /* dbopt: the tables of some plans, and how large they are */"""

PLANNED_RELATIONS = Query(
    "planned-relations",
    PlannedRelation,
    {
        # 0 rows in 0 pages is also what an empty table has that was analyzed.
        (13,): _HEAD + _WANTED + _RELATIONS.replace("{is_counted}", "part.reltuples > 0 OR part.relpages > 0"),
        (14,): _HEAD + _WANTED + _RELATIONS.replace("{is_counted}", "part.reltuples >= 0"),
    },
    EXAMPLE,
)


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """Of `null_frac` to `most_common_freq` all are None where there are no statistics, or none that may be read."""

    relation_oid: int
    name: str
    attnum: int
    type_name: str
    base_type: str | None  # of a domain
    is_orderable: bool
    has_statistics: bool
    null_frac: float | None
    n_distinct: float | None
    avg_width: int | None
    correlation: float | None
    most_common_freq: float | None


_COLUMNS_HEAD: LiteralString = """
        /* dbopt: the columns of the tables of some plans, and what the planner knows of them; no values */"""
_COLUMNS: LiteralString = """
        , orderable(oid) AS (
            SELECT o.opcintype FROM pg_catalog.pg_opclass AS o
             WHERE o.opcmethod = 403 AND o.opcdefault
             UNION
            SELECT k.castsource
              FROM pg_catalog.pg_opclass AS o
              JOIN pg_catalog.pg_cast AS k ON k.casttarget = o.opcintype AND k.castmethod = 'b' AND k.castcontext = 'i'
             WHERE o.opcmethod = 403 AND o.opcdefault
        ), known AS MATERIALIZED (
            SELECT c.oid, s.*
              FROM pg_catalog.pg_class AS c
              JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL (
                   SELECT p.attname, p.null_frac, p.n_distinct, p.avg_width, p.correlation,
                          p.most_common_freqs[1] AS most_common_freq
                     FROM pg_catalog.pg_stats AS p
                    WHERE p.schemaname = n.nspname AND p.tablename = c.relname AND p.inherited = (c.relkind = 'p')
                   OFFSET 0
                   ) AS s
             WHERE c.oid = ANY ((SELECT wanted.oids FROM wanted)::oid[])
        )
        SELECT a.attrelid::int8 AS relation_oid, a.attname::text AS name, a.attnum::int4 AS attnum,
               pg_catalog.format_type(a.atttypid, NULL) AS type_name,
               CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(base.oid, NULL) END AS base_type,
               COALESCE(base.typtype IN ('e', 'r', 'm') OR item.typtype IN ('e', 'r', 'm')
                        OR COALESCE(item.oid, base.oid) IN (SELECT orderable.oid FROM orderable), false)
                   AS is_orderable,
               s.attname IS NOT NULL AS has_statistics, s.null_frac::float8 AS null_frac,
               s.n_distinct::float8 AS n_distinct, s.avg_width, s.correlation::float8 AS correlation,
               s.most_common_freq::float8 AS most_common_freq
          FROM pg_catalog.pg_attribute AS a
          JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
          JOIN pg_catalog.pg_type AS base ON base.oid = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
          LEFT JOIN pg_catalog.pg_type AS item ON item.oid = base.typelem AND base.typcategory = 'A'
          LEFT JOIN known AS s ON s.oid = a.attrelid AND s.attname = a.attname
         WHERE a.attrelid = ANY ((SELECT wanted.oids FROM wanted)::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attrelid, a.attnum
"""

PLANNED_COLUMNS = Query("planned-columns", PlannedColumn, {(13,): _COLUMNS_HEAD + _WANTED + _COLUMNS}, EXAMPLE)


@dataclass(frozen=True, slots=True)
class PlannedIndex:
    """Arrays have one element a key; `columns` goes on with what is included. None in it: an expression."""

    oid: int
    relation_oid: int
    name: str
    method: str
    is_unique: bool
    is_valid: bool
    indnkeyatts: int
    columns: list[str | None]
    opclasses: list[str]  # without their schemas
    indoption: list[int]  # bits: 1 DESC, 2 NULLS FIRST
    has_expressions: bool
    has_predicate: bool


_INDEXES_HEAD: LiteralString = """
        /* dbopt: the indexes of the tables of some plans, in parts that need no lock */"""
_INDEXES: LiteralString = """
        SELECT i.indexrelid::int8 AS oid, i.indrelid::int8 AS relation_oid, c.relname::text AS name,
               am.amname::text AS method, i.indisunique AS is_unique,
               i.indisvalid AND i.indisready AND i.indislive AS is_valid, i.indnkeyatts::int4 AS indnkeyatts,
               k.columns, k.opclasses, k.indoption,
               i.indexprs IS NOT NULL AS has_expressions, i.indpred IS NOT NULL AS has_predicate
          FROM pg_catalog.pg_index AS i
          JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg((
                        SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                         WHERE a.attrelid = i.indrelid AND a.attnum = key.attnum
                      ) ORDER BY key.n) AS columns,
                      pg_catalog.array_agg((
                        SELECT op.opcname::text FROM pg_catalog.pg_opclass AS op WHERE op.oid = i.indclass[key.n - 1]
                      ) ORDER BY key.n) FILTER (WHERE key.n <= i.indnkeyatts) AS opclasses,
                      pg_catalog.array_agg(i.indoption[key.n - 1]::int4 ORDER BY key.n)
                        FILTER (WHERE key.n <= i.indnkeyatts) AS indoption
                 FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS key(attnum, n)
               ) AS k
         WHERE i.indrelid = ANY ((SELECT wanted.oids FROM wanted)::oid[])
         ORDER BY i.indrelid, c.relname
"""

PLANNED_INDEXES = Query("planned-indexes", PlannedIndex, {(13,): _INDEXES_HEAD + _WANTED + _INDEXES}, EXAMPLE)


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """What a new session of this role has, whatever this one has been set to."""

    work_mem_bytes: int
    hash_mem_multiplier: float
    extensions: list[str]
    schemas: list[str | None]  # of each, where this session would not look for it


PLANNER_SETTINGS = Query(
    "planner-settings",
    PlannerSettings,
    {
        (13,): """
        /* dbopt: how much memory a node of a plan may use; the extensions of this database */
        SELECT 1024 * pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'work_mem')::int8 AS work_mem_bytes,
               pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'hash_mem_multiplier')::float8
                   AS hash_mem_multiplier,
               ARRAY(SELECT e.extname::text FROM pg_catalog.pg_extension AS e ORDER BY e.extname) AS extensions,
               ARRAY(SELECT CASE WHEN n.nspname <> ALL (pg_catalog.current_schemas(true)) THEN n.nspname::text END
                       FROM pg_catalog.pg_extension AS e
                       JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
                      ORDER BY e.extname) AS schemas
          FROM pg_catalog.pg_settings AS s
         WHERE s.name IN ('work_mem', 'hash_mem_multiplier')
        """
    },
)
