"""Foreign keys, and whether an index of the referencing table begins with their columns. No lock is taken for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key without a full index. Of a partitioned table: `rows` are those of the partitions without."""

    constraint: str
    relation: str
    schema: str
    table: str
    relkind: str
    referenced: str
    columns: list[str]
    attnums: list[int]
    on_delete: str  # pg_constraint.confdeltype
    rows: float
    predicates: list[str]  # node trees of partial indexes that begin with its columns
    index_names: list[str]  # of the referencing table


# Keys of users' tables, those of a partitioned table once; their copies on partitions; the full indexes that can serve.
_KEYS: LiteralString = """
          WITH RECURSIVE top AS MATERIALIZED (
            SELECT con.oid, con.conname, con.conrelid, con.confrelid, con.conkey, con.confdeltype, t.relkind, t.relname,
                   t.relnamespace
              FROM pg_catalog.pg_constraint AS con
              JOIN pg_catalog.pg_class AS t ON t.oid = con.conrelid
             WHERE con.contype = 'f' AND con.conparentid = 0 AND con.conrelid >= 16384 AND t.relpersistence <> 't'
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d
                                WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
                                  AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = con.conrelid)
        ), part(root, oid, conrelid, conkey) AS (
            SELECT t.oid, t.oid, t.conrelid, t.conkey FROM top AS t
             UNION ALL
            -- Each partition has a copy of the key, with its own column numbers.
            SELECT p.root, con.oid, con.conrelid, con.conkey
              FROM part AS p
              JOIN pg_catalog.pg_constraint AS con ON con.conparentid = p.oid
        ), usable AS MATERIALIZED (
            SELECT i.indrelid, i.indkey::int2[] AS keys, i.indnkeyatts
              FROM pg_catalog.pg_index AS i
              JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
              JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
             WHERE i.indexrelid >= 16384 AND i.indisvalid AND i.indisready AND i.indislive AND i.indpred IS NULL
               AND am.amname IN ('btree', 'gist', 'hash')
"""
# Of `part AS p`: no full index of its table begins with the key.
_IS_BARE: LiteralString = """
                   NOT EXISTS (SELECT 1 FROM usable AS u
                                WHERE u.indrelid = p.conrelid
                                  AND u.indnkeyatts >= pg_catalog.cardinality(p.conkey)
                                  AND u.keys[0:pg_catalog.cardinality(p.conkey) - 1] @> p.conkey)
"""
# Of `top AS t`.
_COLUMNS: LiteralString = """
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.n) AS columns
                 FROM pg_catalog.unnest(t.conkey) WITH ORDINALITY AS k(attnum, n)
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.conrelid AND a.attnum = k.attnum) AS k
"""
_INDEXES: LiteralString = """
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg(c.relname::text ORDER BY c.relname) AS index_names,
                      pg_catalog.array_agg(i.indpred::text ORDER BY c.relname) FILTER (
                          WHERE i.indpred IS NOT NULL AND i.indisvalid AND i.indisready AND i.indislive
                            AND am.amname IN ('btree', 'gist', 'hash')
                            AND i.indnkeyatts >= pg_catalog.cardinality(t.conkey)
                            AND (i.indkey::int2[])[0:pg_catalog.cardinality(t.conkey) - 1] @> t.conkey) AS predicates
                 FROM pg_catalog.pg_index AS i
                 JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
                 JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
                WHERE i.indrelid = t.conrelid) AS x
"""

_WITHOUT: LiteralString = """
        ), bare AS MATERIALIZED (
            SELECT p.root, p.conrelid, p.conkey,
                   GREATEST(c.reltuples, pg_catalog.pg_stat_get_live_tuples(c.oid)::float4, 0) AS rows
              FROM (SELECT DISTINCT p.root, p.conrelid, p.conkey FROM part AS p) AS p
              JOIN pg_catalog.pg_class AS c ON c.oid = p.conrelid
             WHERE c.relkind = 'r'
               AND"""
_WITHOUT_ROWS: LiteralString = """
        ), summed AS MATERIALIZED (
            SELECT b.root, pg_catalog.sum(b.rows)::float8 AS rows
              FROM bare AS b
             GROUP BY b.root
            HAVING pg_catalog.sum(b.rows) > 0
             ORDER BY rows DESC, b.root
             LIMIT 1000
        )
        SELECT t.conname::text AS constraint, t.conrelid::regclass::text AS relation, n.nspname::text AS schema,
               t.relname::text AS table, t.relkind::text AS relkind, t.confrelid::regclass::text AS referenced,
               k.columns, t.conkey::int4[] AS attnums, t.confdeltype::text AS on_delete, s.rows,
               COALESCE(x.predicates, '{}') AS predicates, COALESCE(x.index_names, '{}') AS index_names
          FROM summed AS s
          JOIN top AS t ON t.oid = s.root
          JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
"""

_WITHOUT_END: LiteralString = """
         ORDER BY s.rows DESC, t.oid
        """
_WITHOUT_START: LiteralString = """
        /* dbopt: foreign keys that no full index of the referencing table begins with */"""

FOREIGN_KEYS = Query(
    "foreign-keys-without-index",
    ForeignKey,
    {(13,): _WITHOUT_START + _KEYS + _WITHOUT + _IS_BARE + _WITHOUT_ROWS + _COLUMNS + _INDEXES + _WITHOUT_END},
)


@dataclass(frozen=True, slots=True)
class KeyIndexed:
    """Any foreign key, whatever the size of its table."""

    relation_oid: int
    relation: str
    schema: str
    constraint: str
    columns: list[str]
    attnums: list[int]
    has_full_index: bool  # of a partitioned table: in each of the partitions
    predicates: list[str]


_ALL_START: LiteralString = """
        /* dbopt: foreign keys, and whether a full index of the referencing table begins with them */"""
_ALL_BARE: LiteralString = """
        ), bare AS MATERIALIZED (
            SELECT DISTINCT p.root
              FROM part AS p
              JOIN pg_catalog.pg_class AS c ON c.oid = p.conrelid
             -- What is partitioned is indexed where its parts are.
             WHERE (c.relkind = 'r' OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS h
                                                    WHERE h.inhparent = p.conrelid))
               AND"""
_ALL_ROWS: LiteralString = """
        )
        SELECT t.conrelid::int8 AS relation_oid, t.conrelid::regclass::text AS relation, n.nspname::text AS schema,
               t.conname::text AS constraint, k.columns, t.conkey::int4[] AS attnums,
               t.oid NOT IN (SELECT b.root FROM bare AS b) AS has_full_index,
               COALESCE(x.predicates, '{}') AS predicates
          FROM top AS t
          JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
"""
_ALL_END: LiteralString = """
         ORDER BY t.conrelid, t.conname
        """

FOREIGN_KEYS_INDEXED = Query(
    "foreign-keys-indexed",
    KeyIndexed,
    {(13,): _ALL_START + _KEYS + _ALL_BARE + _IS_BARE + _ALL_ROWS + _COLUMNS + _INDEXES + _ALL_END},
)


@dataclass(frozen=True, slots=True)
class Referencing:
    """A foreign key by the columns of the table that has it."""

    table_oid: int
    constraint: str
    columns: list[str]


REFERENCING = Query(
    "referencing-columns",
    Referencing,
    {
        (13,): """
        /* dbopt: the foreign keys that some tables have */
        SELECT con.conrelid::int8 AS table_oid, con.conname::text AS constraint,
               (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.n)
                  FROM pg_catalog.unnest(con.conkey) WITH ORDINALITY AS k(attnum, n)
                  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.attnum) AS columns
          FROM pg_catalog.pg_constraint AS con
         WHERE con.contype = 'f' AND con.conrelid = ANY (%(oids)s::oid[])
         ORDER BY con.conrelid, con.conname
        """
    },
    {"oids": [1259]},
)


@dataclass(frozen=True, slots=True)
class Referenced:
    """What a foreign key refers to, by the table that has it and the constraint's name."""

    schema: str
    table: str
    constraint: str
    referenced_schema: str
    referenced_table: str
    referenced_columns: list[str]


REFERENCED = Query(
    "referenced-columns",
    Referenced,
    {
        (13,): """
        /* dbopt: what some foreign keys refer to */
        SELECT n.nspname::text AS schema, t.relname::text AS table, con.conname::text AS constraint,
               rn.nspname::text AS referenced_schema, r.relname::text AS referenced_table,
               (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.n)
                  FROM pg_catalog.unnest(con.confkey) WITH ORDINALITY AS k(attnum, n)
                  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = con.confrelid AND a.attnum = k.attnum)
                   AS referenced_columns
          FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(tables)s::text[]),
                          pg_catalog.unnest(%(constraints)s::text[])) AS w(schema, relation, name)
          JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
          JOIN pg_catalog.pg_class AS t ON t.relnamespace = n.oid AND t.relname = w.relation
          JOIN pg_catalog.pg_constraint AS con ON con.conrelid = t.oid AND con.conname = w.name
                                              AND con.contype = 'f'
          JOIN pg_catalog.pg_class AS r ON r.oid = con.confrelid
          JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
         ORDER BY n.nspname, t.relname, con.conname
        """
    },
    {"schemas": ["pg_catalog"], "tables": ["pg_class"], "constraints": ["none"]},
)
