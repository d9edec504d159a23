"""The indexes of tables that something was promised about: whether they are there, and what was done with them.

No lock on a user's table: sizes are those of the last build, vacuum or analyze (pg_relation_size() would wait).
"""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class ReviewedIndex:
    """Of a partitioned index, `idx_scan` and `size_bytes` are those of its parts together, and `oids` theirs. Arrays
    have one element a key column, but `columns`, which goes on with the INCLUDE columns.
    """

    oid: int
    table_schema: str
    table: str
    index: str
    method: str
    is_valid: bool
    is_unique: bool
    columns: list[str | None]  # None: an expression
    opclasses: list[str | None]  # None: the type's own
    indoption: list[int]  # bits: 1 DESC, 2 NULLS FIRST
    has_predicate: bool
    comment: str | None
    # Of what is counted, itself or the leaves of its tree; None: a tree without a leaf.
    oids: list[int] | None
    part_schemas: list[str] | None
    part_names: list[str] | None
    idx_scan: int
    size_bytes: int


REVIEWED_INDEXES = Query(
    "reviewed-indexes",
    ReviewedIndex,
    {
        (13,): """
        /* dbopt: the indexes of some tables, with what scanned them */
        SELECT i.indexrelid::int8 AS oid, tn.nspname::text AS table_schema, t.relname::text AS table,
               c.relname::text AS index, am.amname::text AS method,
               i.indisvalid AND i.indisready AND i.indislive AS is_valid, i.indisunique AS is_unique,
               k.columns, k.opclasses, k.indoption,
               i.indpred IS NOT NULL AS has_predicate,
               (SELECT d.description FROM pg_catalog.pg_description AS d
                 WHERE d.objoid = i.indexrelid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0)
                 AS comment,
               parts.oids, parts.part_schemas, parts.part_names, parts.idx_scan, parts.size_bytes
          FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
               AS w(schema, name)
          JOIN pg_catalog.pg_namespace AS tn ON tn.nspname = w.schema::name
          JOIN pg_catalog.pg_class AS t ON t.relnamespace = tn.oid AND t.relname = w.name::name
          JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
          JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg(a.attname::text ORDER BY key.n) AS columns,
                      pg_catalog.array_agg(CASE WHEN NOT op.opcdefault THEN op.opcname::text END ORDER BY key.n)
                        FILTER (WHERE key.n <= i.indnkeyatts) AS opclasses,
                      pg_catalog.array_agg(i.indoption[key.n - 1]::int4 ORDER BY key.n)
                        FILTER (WHERE key.n <= i.indnkeyatts) AS indoption
                 FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS key(attnum, n)
                 LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = key.attnum
                 LEFT JOIN pg_catalog.pg_opclass AS op
                   ON key.n <= i.indnkeyatts AND op.oid = i.indclass[key.n - 1]
               ) AS k
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg(l.oid::int8 ORDER BY l.oid) AS oids,
                      pg_catalog.array_agg(l.nspname::text ORDER BY l.oid) AS part_schemas,
                      pg_catalog.array_agg(l.relname::text ORDER BY l.oid) AS part_names,
                      COALESCE(pg_catalog.sum(pg_catalog.pg_stat_get_numscans(l.oid)), 0)::int8 AS idx_scan,
                      COALESCE(pg_catalog.sum(l.relpages), 0)::int8
                        * pg_catalog.current_setting('block_size')::int8 AS size_bytes
                 FROM (WITH RECURSIVE tree(oid) AS (
                            SELECT i.indexrelid
                             UNION ALL
                            SELECT h.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS h ON h.inhparent = tree.oid
                             WHERE c.relkind = 'I')
                       SELECT p.oid, p.relname, n.nspname, p.relpages
                         FROM tree
                         JOIN pg_catalog.pg_class AS p ON p.oid = tree.oid
                         JOIN pg_catalog.pg_namespace AS n ON n.oid = p.relnamespace
                        WHERE p.relkind = 'i') AS l
               ) AS parts
         ORDER BY tn.nspname, t.relname, c.relname
        """
    },
    {"schemas": ["pg_catalog"], "names": ["pg_class"]},
)
