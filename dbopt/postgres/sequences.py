"""Sequences and the columns that draw from them.

Reading the last value takes a RowExclusiveLock on the sequence until the end of the transaction: it waits for nobody
here (`is_locked`), delays nobody but an ALTER SEQUENCE for that moment, and is done for no more sequences than half
of the server's lock table has room for, those with the least room first.
"""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class SequenceState:
    """A sequence of which a part was used, or cannot be told how much.

    `limit_value`: the last value that the sequence and every column that takes it plainly can have. `used` of `total`
    values are gone. Columns draw from it by default, as identity, or as its owner.
    """

    relation: str
    schema: str
    seqtypid: str
    seqmin: int
    seqmax: int
    increment: int
    cycles: bool
    relations: list[str]  # of the columns that draw from it, quoted and with their schemas
    columns: list[str]  # their names, quoted
    types: list[str]
    has_identity: bool  # one of them is an identity column
    limit_column: str | None  # the column that the limit is due to; None: the sequence itself
    limit_type: str | None
    feeds_unique: bool  # a column that a unique index on it alone guards; asked for cycling sequences only
    limit_value: float
    last_value: int | None
    used: float | None
    total: float
    is_readable: bool
    is_locked: bool
    hidden_schemas: list[str] | None  # of all sequences that may not be read

    @property
    def used_ratio(self) -> float:
        if self.used is None:
            return 0.0
        return min(max(self.used / self.total, 0.0), 1.0) if self.total > 0 else 1.0


# How a default that takes the value as it is looks as a node tree: nextval() within casts between number types and to
# domains, by the fixed oids of those functions. What computes with the value has no limit that could be told.
SEQUENCES = Query(
    "sequences",
    SequenceState,
    {
        (13,): r"""
        /* dbopt: sequences of which a part was used or cannot be told, with all columns that draw from them */
        WITH RECURSIVE domain_step AS (
            SELECT t.oid, t.typbasetype AS base, t.typtypmod AS typmod
              FROM pg_catalog.pg_type AS t
             WHERE t.typtype = 'd'
             UNION ALL
            SELECT d.oid, t.typbasetype, CASE WHEN d.typmod >= 0 THEN d.typmod ELSE t.typtypmod END
              FROM domain_step AS d
              JOIN pg_catalog.pg_type AS t ON t.oid = d.base AND t.typtype = 'd'
        ), domain AS MATERIALIZED (
            SELECT d.oid, d.base, d.typmod
              FROM domain_step AS d
              JOIN pg_catalog.pg_type AS t ON t.oid = d.base AND t.typtype <> 'd'
        ), sequence AS MATERIALIZED (
            SELECT c.oid, n.nspname, c.relname, c.relpersistence, s.seqtypid, s.seqstart, s.seqmin, s.seqmax,
                   s.seqincrement, s.seqcycle, pg_catalog.sign(s.seqincrement::float8) AS direction,
                   -- USAGE would do for the last value, and not for what a sequence that nobody called yet was set to.
                   pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AS is_readable
              FROM pg_catalog.pg_sequence AS s
              JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
              JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
               -- On a standby the values of an unlogged one do not exist.
               AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery())
        ), draw AS MATERIALIZED (
            SELECT d.refobjid AS sequence_oid, f.adrelid AS relation_oid, f.adnum AS attnum, false AS is_identity
              FROM pg_catalog.pg_depend AS d
              JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid
             WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
               AND d.refobjid IN (SELECT s.oid FROM sequence AS s)
               AND (f.adbin::text LIKE '{FUNCEXPR :funcid 1574 %'
                    OR f.adbin::text ~ ('^(\{(FUNCEXPR :funcid (480|714|1703|1781) [^{}]*:args \(|COERCETODOMAIN :arg '
                                        || '|RELABELTYPE :arg ))*\{FUNCEXPR :funcid 1574 '))
             UNION
            SELECT d.objid, d.refobjid, d.refobjsubid::int2, d.deptype = 'i'
              FROM pg_catalog.pg_depend AS d
             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
               AND d.objid IN (SELECT s.oid FROM sequence AS s) AND d.refobjsubid > 0
               -- Of a column that owns it the default says whether it draws; without one, the application does.
               AND (d.deptype = 'i' OR d.deptype = 'a'
                    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attrdef AS f
                                     WHERE f.adrelid = d.refobjid AND f.adnum = d.refobjsubid))
        ), drawing AS MATERIALIZED (
            SELECT w.sequence_oid, w.relation_oid, w.attnum, w.is_identity, c.relispartition, a.attname,
                   pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, c.reltuples,
                   CASE k.base
                        WHEN 'int2'::regtype THEN 32767
                        WHEN 'int4'::regtype THEN 2147483647
                        WHEN 'int8'::regtype THEN 9223372036854775807
                        WHEN 'numeric'::regtype
                        THEN CASE WHEN k.typmod >= 4
                                  THEN pg_catalog.power(10::float8, ((k.typmod - 4) >> 16 & 65535)
                                                                    - ((k.typmod - 4) & 2047)) - 1 END
                   END::float8 AS max_value,
                   CASE k.base WHEN 'numeric'::regtype THEN 0 ELSE 1 END AS beyond  -- as -32768 lies beyond -32767
              FROM draw AS w
              JOIN pg_catalog.pg_class AS c ON c.oid = w.relation_oid
              JOIN pg_catalog.pg_attribute AS a ON a.attrelid = w.relation_oid AND a.attnum = w.attnum
              LEFT JOIN domain AS d ON d.oid = a.atttypid
             CROSS JOIN LATERAL (SELECT COALESCE(d.base, a.atttypid) AS base,
                                        COALESCE(d.typmod, a.atttypmod) AS typmod) AS k
        ), narrowest AS MATERIALIZED (
            SELECT DISTINCT ON (w.sequence_oid)
                   w.sequence_oid, w.relation_oid, w.attnum, w.attname, w.type, w.is_identity, w.max_value, w.beyond
              FROM drawing AS w
             WHERE w.max_value IS NOT NULL
             ORDER BY w.sequence_oid, w.max_value, w.relispartition, w.is_identity DESC, w.relation_oid, w.attnum
        ), bounded AS MATERIALIZED (
            -- A descending sequence is looked at in a mirror: `least` is where it began, `greatest` where it must end.
            SELECT s.*, l.oid IS NOT NULL AS is_locked,
                   w.relation_oid AS limit_relation_oid, w.attname AS limit_attname, w.type AS limit_type,
                   CASE WHEN s.direction * s.seqstart < 0 THEN s.direction * s.seqstart
                        ELSE GREATEST(b.own_least, 0) END AS least,
                   LEAST(b.own_greatest, b.of_column) AS greatest,
                   b.of_column < b.own_greatest AS is_limited_by_column
              FROM sequence AS s
              LEFT JOIN narrowest AS w ON w.sequence_oid = s.oid
             CROSS JOIN LATERAL (
                   SELECT CASE WHEN s.direction > 0 THEN s.seqmin::float8 ELSE -s.seqmax::float8 END AS own_least,
                          CASE WHEN s.direction > 0 THEN s.seqmax::float8 ELSE -s.seqmin::float8 END AS own_greatest,
                          CASE WHEN s.direction > 0 THEN w.max_value ELSE w.max_value + w.beyond END AS of_column) AS b
              LEFT JOIN (SELECT DISTINCT x.relation AS oid
                           FROM pg_catalog.pg_locks AS x
                          WHERE x.locktype = 'relation'
                            AND x.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                            AND x.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                                               WHERE d.datname = pg_catalog.current_database())) AS l ON l.oid = s.oid
        ), readable AS (
            SELECT b.oid
              FROM bounded AS b
             WHERE b.is_readable AND NOT b.is_locked
             ORDER BY (b.greatest - b.least) / pg_catalog.abs(b.seqincrement::float8), b.oid
             LIMIT (pg_catalog.current_setting('max_locks_per_transaction')::int8
                    * (pg_catalog.current_setting('max_connections')::int8
                       + pg_catalog.current_setting('max_prepared_transactions')::int8) / 2)
        ), called AS MATERIALIZED (
            SELECT r.oid, pg_catalog.pg_sequence_last_value(r.oid::regclass) AS last_value FROM readable AS r
        ), set_not_called AS MATERIALIZED (
            -- No value was taken since it was restarted or set, so that the function says NULL, while the next may be
            -- any. No other function reads that out of a relation by its oid. Where nobody has drawn a row yet, the
            -- next value is the first.
            SELECT c.oid, t.word::int8 AS next_value
              FROM (SELECT c.oid
                      FROM called AS c
                      JOIN bounded AS b ON b.oid = c.oid
                      LEFT JOIN drawing AS w ON w.sequence_oid = c.oid
                     WHERE c.last_value IS NULL
                     GROUP BY c.oid, b.greatest, b.least
                    HAVING pg_catalog.count(w.relation_oid) = 0
                        OR pg_catalog.bool_or(w.reltuples > 0
                                              OR pg_catalog.pg_stat_get_tuples_inserted(w.relation_oid) > 0)
                     ORDER BY b.greatest - b.least, c.oid
                     LIMIT 50) AS c
             CROSS JOIN LATERAL pg_catalog.ts_stat(
                   'SELECT s.last_value::text::pg_catalog.tsvector FROM ' || c.oid::regclass::text || ' AS s') AS t
        ), counted AS MATERIALIZED (
            SELECT b.*, v.last_value, c.oid IS NOT NULL AS is_read,
                   pg_catalog.floor((b.greatest - b.least) / pg_catalog.abs(b.seqincrement::float8)) + 1 AS total,
                   CASE WHEN c.oid IS NULL THEN NULL
                        WHEN v.last_value IS NULL THEN 0
                        ELSE pg_catalog.floor((b.direction * v.last_value - b.least)
                                              / pg_catalog.abs(b.seqincrement::float8)) + 1 END AS used
              FROM bounded AS b
              LEFT JOIN called AS c ON c.oid = b.oid
              LEFT JOIN set_not_called AS x ON x.oid = b.oid
             CROSS JOIN LATERAL (
                   SELECT COALESCE(c.last_value,
                                   CASE WHEN x.next_value <> b.seqstart THEN x.next_value - b.seqincrement END)
                          AS last_value) AS v
        ), chosen AS (
            SELECT n.oid FROM counted AS n WHERE n.used > 0 AND n.used >= 0.01 * n.total
             UNION ALL
            (SELECT n.oid FROM counted AS n WHERE NOT n.is_read ORDER BY n.greatest - n.least, n.oid LIMIT 500)
        )
        SELECT n.oid::regclass::text AS relation, n.nspname::text AS schema, n.seqtypid::regtype::text AS seqtypid,
               n.seqmin, n.seqmax, n.seqincrement AS increment, n.seqcycle AS cycles,
               l.relations, l.columns, l.types, l.has_identity,
               CASE WHEN n.is_limited_by_column
                    THEN n.limit_relation_oid::regclass::text || '.' || pg_catalog.quote_ident(n.limit_attname) END
                    AS limit_column,
               CASE WHEN n.is_limited_by_column THEN n.limit_type END AS limit_type,
               n.seqcycle AND EXISTS (SELECT 1
                                        FROM drawing AS w
                                        JOIN pg_catalog.pg_index AS i ON i.indrelid = w.relation_oid
                                       WHERE w.sequence_oid = n.oid AND i.indisunique AND i.indnkeyatts = 1
                                         AND i.indkey[0] = w.attnum) AS feeds_unique,
               n.direction * n.greatest AS limit_value, n.last_value, n.used, n.total,
               n.is_readable, n.is_locked,
               CASE WHEN NOT n.is_readable
                    THEN ARRAY(SELECT DISTINCT s.nspname::text
                                 FROM sequence AS s WHERE NOT s.is_readable ORDER BY 1) END
                    AS hidden_schemas
          FROM chosen AS x
          JOIN counted AS n ON n.oid = x.oid
         CROSS JOIN LATERAL (
               -- Partitions follow the partitioned table, where that draws.
               SELECT COALESCE(pg_catalog.array_agg(d.relation ORDER BY d.place), '{}') AS relations,
                      COALESCE(pg_catalog.array_agg(d.attname ORDER BY d.place), '{}') AS columns,
                      COALESCE(pg_catalog.array_agg(d.type ORDER BY d.place), '{}') AS types,
                      COALESCE(pg_catalog.bool_or(d.is_identity), false) AS has_identity
                 FROM (SELECT w.relation_oid::regclass::text AS relation,
                              pg_catalog.quote_ident(w.attname) AS attname, w.type, w.is_identity,
                              pg_catalog.row_number() OVER (ORDER BY w.relation_oid, w.attnum) AS place
                         FROM drawing AS w
                        WHERE w.sequence_oid = n.oid
                          AND w.relispartition = (SELECT pg_catalog.bool_and(p.relispartition)
                                                    FROM drawing AS p WHERE p.sequence_oid = n.oid)) AS d) AS l
         ORDER BY n.nspname, n.relname
        """
    },
)
