"""What ANALYZE has found out about columns and expressions, and what storing their values takes.

Through the views that show a role what it may read. No lock on a user's table but in `EXPRESSION_STATISTICS`, where
the server prints expressions; see catalog.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


# How long the values of a column are that ANALYZE keeps, as ColumnStatistics says: after `s`, its row of pg_stats, and
# `base`, its type.
VALUE_LENGTHS: LiteralString = """
          LEFT JOIN LATERAL (
               SELECT pg_catalog.percentile_disc('{0.05,0.17,0.28,0.39,0.5,0.61,0.72,0.83,0.95}'::float8[])
                        WITHIN GROUP (ORDER BY v.length) FILTER (WHERE v.is_common) AS common_lengths,
                      pg_catalog.percentile_disc('{0.05,0.17,0.28,0.39,0.5,0.61,0.72,0.83,0.95}'::float8[])
                        WITHIN GROUP (ORDER BY v.length) FILTER (WHERE NOT v.is_common) AS lengths
                 FROM (SELECT CASE base.typname WHEN 'numeric' THEN pg_catalog.pg_column_size(kept.value::numeric) - 4
                                                WHEN 'bytea' THEN (pg_catalog.octet_length(kept.value) - 2) / 2
                                                WHEN 'inet' THEN CASE WHEN kept.value ~ ':' THEN 18 ELSE 6 END
                                                WHEN 'cidr' THEN CASE WHEN kept.value ~ ':' THEN 18 ELSE 6 END
                                                ELSE pg_catalog.octet_length(kept.value) END AS length,
                              kept.is_common
                         FROM (SELECT common.value, true AS is_common
                                 FROM ROWS FROM (pg_catalog.unnest(s.most_common_vals::text::text[]),
                                                 pg_catalog.unnest(s.most_common_freqs)) AS common(value, freq)
                                      -- A common value counts by its share.
                                CROSS JOIN LATERAL pg_catalog.generate_series(0, (common.freq * 400)::int4) AS times
                                UNION ALL
                               SELECT bound.value, false
                                 FROM pg_catalog.unnest(s.histogram_bounds::text::text[]) AS bound(value)) AS kept
                      ) AS v
               ) AS measured ON (base.typcategory = 'S' OR base.typname IN ('numeric', 'bytea', 'inet', 'cidr'))
"""


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """A column of a table, or one of an index on an expression. All of `null_frac` to `elements` is None, or empty,
    where it was never analyzed or may not be read.

    `common_lengths` are those of the most common values where they vary, `lengths` those of the histogram's bounds,
    nine of them from short to long, measured by the server and without headers. None where there are none to measure.
    """

    relation_oid: int
    column: str
    attnum: int
    type: str  # of a domain: the type below it
    attlen: int  # -1: varying
    attalign: str  # c, s, i or d: 1, 2, 4 or 8 bytes
    null_frac: float | None
    avg_width: int | None  # as stored, header included
    n_distinct: float | None  # as in pg_stats: negative is a share of the rows
    common_freqs: list[float]  # of the most common values, a share of all rows each
    bounds: int | None  # of the histogram over the other values
    element_freqs: list[float]  # of the most common elements of arrays and texts, with the server's bounds behind them
    elements: float | None  # distinct elements in a value, on average
    element_len: int | None  # of an array's element, as attlen
    element_bytes: float | None  # the average length of the most common elements as text
    common_lengths: list[int] | None
    lengths: list[int] | None


_COLUMNS: LiteralString = """
        /* dbopt: statistics about columns that new indexes would hold (name NULL: all columns); no values */
        SELECT a.attrelid::int8 AS relation_oid, a.attname::text AS column, a.attnum::int4 AS attnum,
               base.typname::text AS type, a.attlen::int4 AS attlen, a.attalign::text AS attalign,
               s.null_frac::float8 AS null_frac, s.avg_width, s.n_distinct::float8 AS n_distinct,
               COALESCE(s.most_common_freqs, '{}')::float8[] AS common_freqs,
               pg_catalog.cardinality(s.histogram_bounds::text::text[]) AS bounds,
               COALESCE(s.most_common_elem_freqs, '{}')::float8[] AS element_freqs,
               s.elem_count_histogram[pg_catalog.array_upper(s.elem_count_histogram, 1)]::float8 AS elements,
               (SELECT el.typlen::int4 FROM pg_catalog.pg_type AS el WHERE el.oid = base.typelem) AS element_len,
               (SELECT pg_catalog.avg(pg_catalog.octet_length(el.value))::float8
                  FROM pg_catalog.unnest(s.most_common_elems::text::text[]) AS el(value)) AS element_bytes,
               measured.common_lengths, measured.lengths
          FROM ROWS FROM (pg_catalog.unnest(%(oids)s::oid[]), pg_catalog.unnest(%(columns)s::text[]))
               AS wanted(oid, name)
          JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = wanted.oid AND a.attnum > 0 AND NOT a.attisdropped
           AND (wanted.name IS NULL OR a.attname = wanted.name)
          JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
          JOIN pg_catalog.pg_type AS base ON base.oid = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
          LEFT JOIN LATERAL (
               SELECT * FROM pg_catalog.pg_stats AS p
                WHERE p.schemaname = n.nspname AND p.tablename = c.relname AND p.attname = a.attname AND NOT p.inherited
                LIMIT 1
               ) AS s ON true
"""
COLUMN_STATISTICS = Query(
    "column-statistics",
    ColumnStatistics,
    {(13,): _COLUMNS + VALUE_LENGTHS + " ORDER BY a.attrelid, a.attnum"},
    {"oids": [1259, 1259], "columns": ["relname", None]},
)


@dataclass(frozen=True, slots=True)
class CombinedStatistics:
    """CREATE STATISTICS (ndistinct): how many combinations of columns there are."""

    table_oid: int
    attnums: list[int]
    columns: list[str]
    n_distinct: str  # {"1, 3": 120, ...} with the numbers of columns


COMBINED_STATISTICS = Query(
    "combined-statistics",
    CombinedStatistics,
    {
        (13,): """
        /* dbopt: combinations of columns, where somebody has made statistics about them */
        SELECT e.stxrelid::int8 AS table_oid, e.stxkeys::int2[]::int4[] AS attnums,
               p.attnames::text[] AS columns, p.n_distinct::text AS n_distinct
          FROM pg_catalog.pg_statistic_ext AS e
          JOIN pg_catalog.pg_namespace AS n ON n.oid = e.stxnamespace
          JOIN pg_catalog.pg_stats_ext AS p ON p.statistics_schemaname = n.nspname AND p.statistics_name = e.stxname
         WHERE e.stxrelid = ANY (%(oids)s::oid[]) AND p.n_distinct IS NOT NULL
         ORDER BY e.stxrelid, n.nspname, e.stxname
        """
    },
    {"oids": [1259]},
)


@dataclass(frozen=True, slots=True)
class WithExpressionStatistics:
    table_oid: int


WITH_EXPRESSION_STATISTICS = Query(
    "tables-with-expression-statistics",
    WithExpressionStatistics,
    {
        (13,): "/* dbopt: this version has none */ SELECT NULL::int8 AS table_oid WHERE %(oids)s::oid[] IS NULL",
        (14,): """
        /* dbopt: the tables about whose expressions somebody has made statistics */
        SELECT DISTINCT e.stxrelid::int8 AS table_oid
          FROM pg_catalog.pg_statistic_ext AS e
         WHERE e.stxrelid = ANY (%(oids)s::oid[]) AND e.stxexprs IS NOT NULL
         ORDER BY 1
        """,
    },
    {"oids": [1259]},
)


@dataclass(frozen=True, slots=True)
class ExpressionStatistics:
    """CREATE STATISTICS on an expression (14+)."""

    table_oid: int
    expression: str
    null_frac: float
    avg_width: int
    n_distinct: float
    common_freqs: list[float]


EXPRESSION_STATISTICS = Query(
    "expression-statistics",
    ExpressionStatistics,
    {
        (13,): """
        /* dbopt: this version has none */
        SELECT NULL::int8 AS table_oid, NULL::text AS expression, NULL::float8 AS null_frac, NULL::int4 AS avg_width,
               NULL::float8 AS n_distinct, NULL::float8[] AS common_freqs
         WHERE %(oids)s::oid[] IS NULL
        """,
        (14,): """
        /* dbopt: statistics about expressions; waits where their tables are locked exclusively */
        SELECT e.stxrelid::int8 AS table_oid, p.expr AS expression, p.null_frac::float8 AS null_frac, p.avg_width,
               p.n_distinct::float8 AS n_distinct, COALESCE(p.most_common_freqs, '{}')::float8[] AS common_freqs
          FROM pg_catalog.pg_statistic_ext AS e
          JOIN pg_catalog.pg_namespace AS n ON n.oid = e.stxnamespace
          JOIN pg_catalog.pg_stats_ext_exprs AS p
            ON p.statistics_schemaname = n.nspname AND p.statistics_name = e.stxname
         WHERE e.stxrelid = ANY (%(oids)s::oid[]) AND e.stxexprs IS NOT NULL AND p.avg_width IS NOT NULL
         ORDER BY e.stxrelid, n.nspname, e.stxname, p.expr
        """,
    },
    {"oids": [1259]},
)


@dataclass(frozen=True, slots=True)
class EqualImage:
    """An operator class of btree whose equal values have equal bytes, so that their index entries may share them."""

    opclass: str  # schema.name, as Index.opclasses has it


EQUAL_IMAGE = Query(
    "equal-image-operator-classes",
    EqualImage,
    {
        (13,): """
        /* dbopt: the operator classes whose index entries can be deduplicated (support function 4, equalimage) */
        SELECT n.nspname || '.' || o.opcname AS opclass
          FROM pg_catalog.pg_opclass AS o
          JOIN pg_catalog.pg_am AS am ON am.oid = o.opcmethod AND am.amname = 'btree'
          JOIN pg_catalog.pg_namespace AS n ON n.oid = o.opcnamespace
          JOIN pg_catalog.pg_amproc AS f ON f.amprocfamily = o.opcfamily AND f.amprocnum = 4
                                        AND f.amproclefttype = o.opcintype AND f.amprocrighttype = o.opcintype
         ORDER BY 1
        """
    },
)


@dataclass(frozen=True, slots=True)
class Nondeterministic:
    """A collation to which different bytes may be equal."""

    collation: str  # schema.name, as Index.collations has it


NONDETERMINISTIC = Query(
    "nondeterministic-collations",
    Nondeterministic,
    {
        (13,): """
        /* dbopt: the collations under which equal texts may differ in their bytes */
        SELECT n.nspname || '.' || l.collname AS collation
          FROM pg_catalog.pg_collation AS l
          JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
         WHERE NOT l.collisdeterministic
         ORDER BY 1
        """
    },
)
