"""What an export of indexes reads besides their rows in index_catalog.py: whose indexes, and in which words.

`TABLES` and `WORDS` take no lock on a user's table; `TEXTS` waits where a table is locked exclusively, and is asked
only for the indexes that have an expression or a predicate.
"""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class IndexedTable:
    """A table of the user's own that has indexes. `parent_oid`: the partitioned table that it is a partition of."""

    oid: int
    schema: str
    table: str
    parent_oid: int | None


TABLES = Query(
    "indexed-tables",
    IndexedTable,
    {
        (13,): """
        /* dbopt: tables with indexes: no system catalogs, no temporary tables, none that an extension brought */
        SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS table,
               h.inhparent::int8 AS parent_oid
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = c.oid AND c.relispartition
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND c.relhasindex
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_depend AS d
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0
                  AND d.deptype = 'e')
         ORDER BY n.nspname, c.relname
        """
    },
)


@dataclass(frozen=True, slots=True)
class KeyWords:
    """What has to be said of one key column of an index. The schema of a name is None where the search path finds it.

    Of a column, `opclass` and `collation` are None where its type and the column say as much. Of an expression they are
    always there: what its type is, no catalog says (`TEXTS` does).
    """

    oid: int
    number: int  # of the key, from 1
    opclass_schema: str | None
    opclass: str | None
    options: list[str]  # of the operator class: siglen=32
    collation_schema: str | None
    collation: str | None


# Which operator class is a type's default is what GetDefaultOpClass (indexcmds.c) finds: the one for just this type;
# else, among those for a type that this one is binary coercible to, the preferred one, or the only one. It is looked up
# once for each method and type. The numbers are the oids of pseudo-types (pg_type.dat), which never change.
WORDS = Query(
    "index-words",
    KeyWords,
    {
        (13,): """
        /* dbopt: what is said of the keys of some indexes, as far as their columns do not say it */
          WITH RECURSIVE keys AS MATERIALIZED (
               SELECT i.indexrelid, k.n, i.indclass[k.n - 1] AS opclass, i.indcollation[k.n - 1] AS collation,
                      i.indkey[k.n - 1] <> 0 AS is_column, c.relam, a.atttypid, a.attcollation,
                      (SELECT key.attoptions FROM pg_catalog.pg_attribute AS key
                        WHERE key.attrelid = i.indexrelid AND key.attnum = k.n) AS options
                 FROM pg_catalog.pg_index AS i
                 JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
                CROSS JOIN LATERAL pg_catalog.generate_series(1, i.indnkeyatts::int4) AS k(n)
                 LEFT JOIN pg_catalog.pg_attribute AS a
                   ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n - 1] AND a.attnum <> 0
                WHERE i.indexrelid = ANY (%(oids)s::oid[])
               ), pairs AS (
               SELECT DISTINCT k.relam, k.atttypid FROM keys AS k WHERE k.is_column
               ), bases(relam, atttypid, base) AS (
               SELECT p.relam, p.atttypid, p.atttypid FROM pairs AS p
               UNION ALL
               SELECT b.relam, b.atttypid, t.typbasetype
                 FROM bases AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.base AND t.typtype = 'd'
               ), candidates AS (
               SELECT b.relam, b.atttypid, o.oid, o.opcintype = b.base AS is_exact,
                      w.typispreferred AND w.typcategory = t.typcategory AS is_preferred
                 FROM bases AS b
                 JOIN pg_catalog.pg_type AS t ON t.oid = b.base AND t.typtype <> 'd'
                 JOIN pg_catalog.pg_opclass AS o ON o.opcmethod = b.relam AND o.opcdefault
                 JOIN pg_catalog.pg_type AS w ON w.oid = o.opcintype
                WHERE o.opcintype = b.base
                   OR o.opcintype IN (2276, 2283, 5077)
                   OR (o.opcintype IN (2277, 5078) AND t.typcategory = 'A' AND t.typelem <> 0)
                   OR (o.opcintype = 3500 AND t.typtype = 'e')
                   OR (o.opcintype IN (3831, 5080) AND t.typtype = 'r')
                   OR (o.opcintype = 4537 AND t.typtype = 'm')
                   OR (o.opcintype = 2249 AND t.typtype = 'c')
                   OR EXISTS (
                      SELECT FROM pg_catalog.pg_cast AS s
                       WHERE s.castsource = b.base AND s.casttarget = o.opcintype AND s.castmethod = 'b'
                         AND s.castcontext = 'i')
               ), defaults AS (
               SELECT DISTINCT ON (c.relam, c.atttypid) c.relam, c.atttypid,
                      CASE WHEN c.is_exact OR 1 = pg_catalog.count(*) OVER (
                             PARTITION BY c.relam, c.atttypid, c.is_exact, c.is_preferred) THEN c.oid END AS opclass
                 FROM candidates AS c
                ORDER BY c.relam, c.atttypid, c.is_exact DESC, c.is_preferred DESC
               ), said AS (
               SELECT k.indexrelid, k.n, COALESCE(k.options, '{}') AS options,
                      CASE WHEN k.opclass IS DISTINCT FROM d.opclass OR k.options IS NOT NULL THEN k.opclass END
                        AS opclass,
                      CASE WHEN k.collation IS DISTINCT FROM k.attcollation THEN k.collation END AS collation
                 FROM keys AS k
                 LEFT JOIN defaults AS d ON d.relam = k.relam AND d.atttypid = k.atttypid
               )
        SELECT s.indexrelid::int8 AS oid, s.n::int4 AS number,
               CASE WHEN NOT pg_catalog.pg_opclass_is_visible(o.oid) THEN o.nspname END AS opclass_schema,
               o.opcname AS opclass, s.options,
               CASE WHEN NOT pg_catalog.pg_collation_is_visible(l.oid) THEN l.nspname END AS collation_schema,
               l.collname AS collation
          FROM said AS s
          LEFT JOIN (SELECT o.oid, o.opcname::text, n.nspname::text FROM pg_catalog.pg_opclass AS o
                       JOIN pg_catalog.pg_namespace AS n ON n.oid = o.opcnamespace) AS o ON o.oid = s.opclass
          LEFT JOIN (SELECT l.oid, l.collname::text, n.nspname::text FROM pg_catalog.pg_collation AS l
                       JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace) AS l ON l.oid = s.collation
         WHERE o.oid IS NOT NULL OR l.oid IS NOT NULL
         ORDER BY s.indexrelid, s.n
        """
    },
    {"oids": [2662]},
)


@dataclass(frozen=True, slots=True)
class Text:
    oid: int
    definition: str | None  # None: the index is gone by now


TEXTS = Query(
    "index-texts",
    Text,
    {
        (13,): """
        /* dbopt: some indexes as the server writes them; waits where their tables are locked exclusively */
        SELECT i.oid::int8 AS oid, pg_catalog.pg_get_indexdef(i.oid) AS definition
          FROM pg_catalog.unnest(%(oids)s::oid[]) AS i(oid)
         ORDER BY i.oid
        """
    },
    {"oids": [2662]},
)
