"""The elements of values that a GIN index would hold: of arrays, texts of words, trigrams, documents.

ANALYZE keeps the commonest elements of arrays and of tsvector. Of trigrams and of jsonb it knows nothing: these are
taken out of the values that it does keep (pg_stats), by the server, without reading the table.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.sizes.btree import expected_distinct
from dbopt.sizes.distinct import distinct_values
from dbopt.sizes.gin import Elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.statistics import ColumnStatistics

_OFTEN = 3  # elements met so many times among typical values count by their share, the others by chance
_BOUNDS_OF_ARRAYS, _BOUNDS_OF_TEXTS = 3, 2  # least, greatest and NULL's share stand behind those of the elements
_HASHED_BYTES = 4.0  # trigrams and paths are kept as integers
# Of a tsvector and of each word in it: where the word lies, and where it stood in the text.
_TSVECTOR_BYTES, _LEXEME_BYTES = 8, 8.5
# Elements of `value` by kind. Those of one kind are alike in how often they come again: the values of one key are.
_TRIGRAMS = "SELECT '' AS kind, pg_catalog.unnest({show_trgm}(value)) AS element"
_JSONB_VALUES = """
    SELECT o.key AS kind, o.value #>> '{{}}' AS element
      FROM pg_catalog.jsonb_path_query(value::jsonb, 'strict $.** ? (@.type() == "object")') AS node,
           pg_catalog.jsonb_each(node) AS o
     WHERE pg_catalog.jsonb_typeof(o.value) NOT IN ('object', 'array')
     UNION
    SELECT '[]' AS kind, a.value #>> '{{}}' AS element
      FROM pg_catalog.jsonb_path_query(value::jsonb, 'strict $.** ? (@.type() == "array")') AS node,
           pg_catalog.jsonb_array_elements(node) AS a
     WHERE pg_catalog.jsonb_typeof(a.value) NOT IN ('object', 'array')"""
_JSONB_KEYS = """
     UNION
    SELECT '{{}}' AS kind, pg_catalog.jsonb_object_keys(node) AS element
      FROM pg_catalog.jsonb_path_query(value::jsonb, 'strict $.** ? (@.type() == "object")') AS node"""


def of_column(conn: Connection, table: Table, found: ColumnStatistics, opclass: str) -> Elements | None:
    """None for an operator class that is not known here, and where statistics do not tell."""
    schema, _, name = opclass.rpartition(".")
    present = 1 - (found.null_frac or 0.0)
    trigrams = sql.SQL(_TRIGRAMS).format(show_trgm=sql.Identifier(schema, "show_trgm"))
    match name:
        case "array_ops" if found.elements is not None:
            return _kept(found, table.reltuples, present * found.elements, _BOUNDS_OF_ARRAYS)
        case "tsvector_ops" if found.element_bytes is not None and found.avg_width is not None:
            per_row = present * max(found.avg_width - _TSVECTOR_BYTES, 0) / (_LEXEME_BYTES + found.element_bytes)
            return _kept(found, table.reltuples, per_row, _BOUNDS_OF_TEXTS)
        case "gin_trgm_ops" | "gist_trgm_ops":
            return _taken_out(conn, table, found, trigrams, _HASHED_BYTES)
        case "jsonb_ops":
            return _taken_out(conn, table, found, sql.SQL(_JSONB_VALUES + _JSONB_KEYS).format(), None)
        case "jsonb_path_ops":
            return _taken_out(conn, table, found, sql.SQL(_JSONB_VALUES).format(), _HASHED_BYTES)
    return None


def _kept(found: ColumnStatistics, rows: float, per_row: float, bounds: int) -> Elements:
    """ANALYZE lists the elements above some share. What else the values hold is rarer than those, say half as often."""
    shares = found.element_freqs[:-bounds]
    rest = max(per_row - sum(shares), 0.0)
    rare = max(min(shares, default=0.0) / 2, 1 / rows)
    return Elements(shares, [(rest / rare, rest)], _key_bytes(found))


def _key_bytes(found: ColumnStatistics) -> float:
    """Of an element as the key of an index tuple."""
    if found.element_len is not None and found.element_len > 0:
        return float(found.element_len)
    return 1 + (found.element_bytes or 0.0)


def _taken_out(
    conn: Connection, table: Table, found: ColumnStatistics, elements: sql.Composed, key_bytes: float | None
) -> Elements | None:
    """The elements of the values that pg_stats keeps. Those met often have their share; how many others there are is
    told by how many of them were met twice.
    """
    query = sql.SQL(
        """
        /* dbopt: the elements of typical values of a column */
          WITH kept AS (
               SELECT * FROM pg_catalog.pg_stats AS s
                WHERE s.schemaname = {} AND s.tablename = {} AND s.attname = {} AND NOT s.inherited
               ), typical AS (
               SELECT v.value, v.share
                 FROM kept
                CROSS JOIN ROWS FROM (pg_catalog.unnest(kept.most_common_vals::text::text[]),
                                      pg_catalog.unnest(kept.most_common_freqs)) AS v(value, share)
                UNION ALL
               SELECT v.value, (1 - kept.null_frac - COALESCE(
                                 (SELECT pg_catalog.sum(f.freq)
                                    FROM pg_catalog.unnest(kept.most_common_freqs) AS f(freq)), 0))
                               / pg_catalog.cardinality(kept.histogram_bounds::text::text[])
                 FROM kept
                CROSS JOIN pg_catalog.unnest(kept.histogram_bounds::text::text[]) AS v(value)
               )
        SELECT e.kind, pg_catalog.octet_length(e.element)::int8 AS length, pg_catalog.count(*)::int8 AS met,
               pg_catalog.sum(typical.share)::float8 AS share
          FROM typical CROSS JOIN LATERAL ({}) AS e
         GROUP BY e.kind, e.element
         ORDER BY e.kind, met DESC, e.element
        """
    ).format(table.schema, table.table, found.column, elements)
    try:
        rows = conn.execute(query).fetchall()
    except psycopg.Error:
        if conn.closed:
            raise
        return None
    if not rows:
        return None
    shares = [min(share, 1.0) for _, _, met, share in rows if met >= _OFTEN]
    seldom: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for kind, _, met, share in rows:
        if met < _OFTEN:
            seldom[kind].append((met, share))
    rare = []
    for found_of_kind in seldom.values():
        per_row = sum(share for _, share in found_of_kind)
        most = per_row * distinct_values(found, table.reltuples)  # as many as there are different values
        rare.append((_different([met for met, _ in found_of_kind], most), per_row))
    if key_bytes is None:
        key_bytes = 2 + sum(length or 0 for _, length, _, _ in rows) / len(rows)  # 2: a header and a flag
    return Elements(shares, rare, key_bytes)


def _different(met: Sequence[int], most: float) -> float:
    """How many elements there are of which so few were met again; `most` if none was."""
    drawn = sum(met)
    if drawn <= len(met):
        return most
    low, high = 1.0, max(most, 1.0)
    for _ in range(60):
        middle = math.sqrt(low * high)
        enough = expected_distinct(middle, drawn) >= len(met)
        low, high = (low, middle) if enough else (middle, high)
    return low
