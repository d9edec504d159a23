"""Tables and what else specs name, as the catalogs hold them; indexes: index_catalog.py.

Nothing here takes a lock on a user's table: the functions that do (`pg_get_indexdef`, `pg_get_expr` and the size
functions on tables) wait behind a queued ALTER TABLE, and one such table must not cost the answer for all others.
"""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    oid: int
    schema: str
    table: str
    relkind: str
    relpersistence: str
    is_partition: bool
    reltuples: float
    relpages: int
    owner: str
    is_owner: bool
    may_create: bool  # CREATE on the schema, which an index needs too
    never_analyzed: bool


TABLES = Query(
    "tables",
    Table,
    {
        (13,): """
        /* dbopt: the relations that specs name, whatever kind they are */
        SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS table, c.relkind::text AS relkind,
               c.relpersistence::text AS relpersistence, c.relispartition AS is_partition,
               c.reltuples::float8 AS reltuples, c.relpages AS relpages,
               pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
               pg_catalog.pg_has_role(c.relowner, 'USAGE') AS is_owner,
               pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS may_create,
               pg_catalog.pg_stat_get_last_analyze_time(c.oid) IS NULL
                 AND pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid) IS NULL
                 AND (SELECT true FROM pg_catalog.pg_stats AS s
                       WHERE s.schemaname = n.nspname AND s.tablename = c.relname LIMIT 1) IS NULL AS never_analyzed
          FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(tables)s::text[]))
               AS wanted(schema, name)
          JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema
          JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
         WHERE c.relkind NOT IN ('i', 'I')
         ORDER BY n.nspname, c.relname
        """
    },
    {"schemas": ["pg_catalog"], "tables": ["pg_class"]},
)


@dataclass(frozen=True, slots=True)
class Column:
    table_oid: int
    column: str
    type: str  # as SQL, quoted and qualified by the server where needed
    collation: str | None  # as SQL, where it is not the type's own
    is_virtual: bool
    attnotnull: bool


COLUMNS = Query(
    "columns",
    Column,
    {
        (13,): """
        /* dbopt: the columns of the tables that specs name */
        SELECT a.attrelid::int8 AS table_oid, a.attname::text AS column,
               pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
               CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
                    THEN pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname) END
                    AS collation,
               a.attgenerated = 'v' AS is_virtual, a.attnotnull
          FROM pg_catalog.pg_attribute AS a
          JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
          LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
          LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
         WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attrelid, a.attnum
        """
    },
    {"oids": [1259]},
    alike=True,
)


@dataclass(frozen=True, slots=True)
class Relation:
    """Whatever holds a name that an index wants to have; names are shared by all kinds in a schema."""

    schema: str
    name: str
    relkind: str
    table: str | None  # of an index


RELATIONS = Query(
    "relations-by-name",
    Relation,
    {
        (13,): """
        /* dbopt: who holds the names that specs want */
        SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS relkind,
               t.relname::text AS table
          FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
               AS wanted(schema, name)
          JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema
          JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
          LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
          LEFT JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
         ORDER BY n.nspname, c.relname
        """
    },
    {"schemas": ["pg_catalog"], "names": ["pg_class"]},
)


@dataclass(frozen=True, slots=True)
class TreeMember:
    """A table of a partition tree, the top included (level 0). `partition_key` is None for leaves; None in it: an
    expression.
    """

    root_oid: int
    table_oid: int
    parent_oid: int | None
    schema: str
    table: str
    relkind: str
    level: int
    is_leaf: bool
    partition_key: list[str | None] | None


_TREE_HEAD = """
        /* dbopt: the partition trees below some tables; pg_partition_tree() would wait for locks on each of them */
          WITH RECURSIVE t(root_oid, relid, parent, level) AS (
               SELECT root.oid, root.oid, NULL::oid, 0 FROM pg_catalog.unnest(%(oids)s::oid[]) AS root(oid)
               UNION ALL
               SELECT t.root_oid, h.inhrelid, h.inhparent, t.level + 1
                 FROM t JOIN pg_catalog.pg_inherits AS h ON h.inhparent = t.relid"""
_TREE_TAIL = """)
        SELECT t.root_oid::int8 AS root_oid, t.relid::int8 AS table_oid, t.parent::int8 AS parent_oid,
               n.nspname::text AS schema, c.relname::text AS table, c.relkind::text AS relkind,
               t.level, c.relkind <> 'p' AS is_leaf,
               (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.n)
                  FROM pg_catalog.pg_partitioned_table AS p
                 CROSS JOIN LATERAL pg_catalog.unnest(p.partattrs::int2[]) WITH ORDINALITY AS k(attnum, n)
                  LEFT JOIN pg_catalog.pg_attribute AS a
                    ON a.attrelid = p.partrelid AND a.attnum = k.attnum AND k.attnum <> 0
                 WHERE p.partrelid = t.relid) AS partition_key
          FROM t
          JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         ORDER BY t.root_oid, t.level, n.nspname, c.relname
        """

TREES = Query(
    "partition-trees",
    TreeMember,
    {
        (13,): _TREE_HEAD + _TREE_TAIL,
        # Half-way through DETACH PARTITION CONCURRENTLY it is none any more: the server attaches no index of it.
        (14,): _TREE_HEAD + " AND NOT h.inhdetachpending" + _TREE_TAIL,
    },
    {"oids": []},
)


@dataclass(frozen=True, slots=True)
class TableName:
    schema: str
    table: str


TABLE_NAMES = Query(
    "table-names",
    TableName,
    {
        (13,): """
        /* dbopt: the tables that exist: to expand schema patterns, and to say "did you mean" */
        SELECT n.nspname::text AS schema, c.relname::text AS table
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
         ORDER BY n.nspname, c.relname
        """
    },
)


@dataclass(frozen=True, slots=True)
class Extension:
    extension: str


EXTENSIONS = Query(
    "extensions",
    Extension,
    {
        (13,): """
        /* dbopt: the extensions of this database */
        SELECT e.extname::text AS extension FROM pg_catalog.pg_extension AS e ORDER BY e.extname
        """
    },
)


@dataclass(frozen=True, slots=True)
class EnumLabel:
    table_oid: int
    column: str
    type: str
    label: str


ENUM_LABELS = Query(
    "enum-labels",
    EnumLabel,
    {
        (13,): """
        /* dbopt: the labels of a table's enum columns, to say which one was meant */
        SELECT a.attrelid::int8 AS table_oid, a.attname::text AS column, t.typname::text AS type,
               e.enumlabel::text AS label
          FROM pg_catalog.pg_attribute AS a
          JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
          JOIN pg_catalog.pg_enum AS e ON e.enumtypid = t.oid
         WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attnum, e.enumsortorder
        """
    },
    {"oid": 1259},
)
