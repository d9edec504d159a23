"""The elements of values that a GIN index would hold: of arrays, texts of words, trigrams, documents.

ANALYZE keeps the commonest elements of arrays and of tsvector. Of trigrams, of jsonb and of what expressions make it
knows nothing, of long values it keeps none, and of compressed ones not even the length. So some rows are read, and
taken apart by the server. Where they may not be read, the values that ANALYZE does keep (pg_stats) stand for them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import sql

from dbopt.sizes.btree import expected_distinct
from dbopt.sizes.distinct import distinct_values
from dbopt.sizes.gin import Elements
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.statistics import ColumnStatistics

T = TypeVar("T")

_OFTEN = 3  # elements met so many times among typical values count by their share, the others by chance
_BOUNDS_OF_ARRAYS, _BOUNDS_OF_TEXTS = 3, 2  # least, greatest and NULL's share stand behind those of the elements
_HASHED_BYTES = 4.0  # trigrams and paths are kept as integers
# Of a tsvector and of each word in it: where the word lies, and where it stood in the text.
_TSVECTOR_BYTES, _LEXEME_BYTES = 8, 8.5
_LISTED_LEAST = 20  # elements, before their shares tell how fast these fall
_STEEPNESS_MAX = 3.0
_RANKS = 1.5  # elements of ranks that differ by less are taken together
_KEPT_LEAST, _KEPT_BYTES_MAX = 30, 500  # values that ANALYZE keeps: from how many on, and how long, they stand for all
# Of the table, read: the longer the values, the fewer.
_SAMPLED_PAGES, _SAMPLED_ROWS, _SAMPLED_ROWS_LEAST, _SAMPLED_BYTES = 200, 1000, 200, 100_000
# btree_gin: a value is one element.
_SCALARS = frozenset(
    f"{name}_ops"
    for name in (
        *(
            "bool",
            "char",
            "int2",
            "int4",
            "int8",
            "float4",
            "float8",
            "money",
            "oid",
            "numeric",
            "uuid",
            "enum",
            "name",
        ),
        *("text", "varchar", "bpchar", "bytea", "bit", "varbit", "inet", "cidr", "macaddr", "macaddr8"),
        *("timestamp", "timestamptz", "time", "timetz", "date", "interval"),
    )
)
# Elements of `value` by kind. Those of one kind are alike in how often they come again: the values of one key are.
_TRIGRAMS = "SELECT '' AS kind, pg_catalog.unnest({show_trgm}(value::text)) AS element"
_WORDS = "SELECT '' AS kind, w.lexeme AS element FROM pg_catalog.unnest(value::tsvector) AS w"
_OF_ARRAY = "SELECT '' AS kind, a.element::text AS element FROM pg_catalog.unnest(value) AS a(element)"
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


@dataclass(frozen=True, slots=True)
class Source:
    """Where the values of a key come from: a column of the table, `type` as SQL has it, and what is made of it.
    `beside`: other columns that the expression takes, none of them as long.
    """

    table: Table
    column: ColumnStatistics
    type: str
    expression: str | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Words:
    """Of some rows."""

    rows: int
    per_row: float
    different: int


_Taken = list[tuple[str, int | None, int, float]]
Patiently = Callable[["Callable[[], T]"], "T | None"]


def of_scalar(found: ColumnStatistics, opclass: str, table_rows: float) -> Elements | None:
    """Of a key whose values are elements themselves (btree_gin), NULL included; None for another operator class."""
    if opclass.startswith("pg_catalog.") or opclass.rpartition(".")[2] not in _SCALARS:
        return None
    shares = [*found.common_freqs, *([found.null_frac] if found.null_frac else [])]
    rest = max(1 - sum(shares), 0.0)
    distinct = max(distinct_values(found, table_rows) - len(found.common_freqs), 1.0)
    lengths = found.lengths or found.common_lengths
    varying = 1 + sum(lengths) / len(lengths) if lengths else float(found.avg_width or 0)
    return Elements(shares, [(distinct, rest)] if rest > 0 else [], varying if found.attlen < 0 else found.attlen)


def of_values(conn: Connection, source: Source, opclass: str, patiently: Patiently[Any]) -> Elements | None:
    """None for an operator class that is not known here, and where statistics do not tell. `patiently` asks what takes
    a lock on the table; None where that is not to be had.
    """
    schema, _, name = opclass.rpartition(".")
    found, rows = source.column, source.table.reltuples
    present = 1 - (found.null_frac or 0.0)
    trigrams = sql.SQL(_TRIGRAMS).format(show_trgm=sql.Identifier(schema, "show_trgm"))
    match name:
        case "array_ops" if source.expression is None and found.elements is not None:
            return _kept(found, rows, present * found.elements, _BOUNDS_OF_ARRAYS)
        case "tsvector_ops" if source.expression is None and found.element_bytes is not None:
            words = patiently(lambda: _words(conn, source))
            if words is not None:
                return _kept(found, rows, present * words.per_row, _BOUNDS_OF_TEXTS, words)
            per_row = max((found.avg_width or 0) - _TSVECTOR_BYTES, 0) / (_LEXEME_BYTES + found.element_bytes)
            return _kept(found, rows, present * per_row, _BOUNDS_OF_TEXTS)
    elements, key_bytes = {
        "array_ops": (sql.SQL(_OF_ARRAY), None),
        "tsvector_ops": (sql.SQL(_WORDS), None),
        "gin_trgm_ops": (trigrams, _HASHED_BYTES),
        "gist_trgm_ops": (trigrams, _HASHED_BYTES),
        "jsonb_ops": (sql.SQL(_JSONB_VALUES + _JSONB_KEYS).format(), None),
        "jsonb_path_ops": (sql.SQL(_JSONB_VALUES).format(), _HASHED_BYTES),
    }.get(name, (None, None))
    if elements is None:
        return None
    taken = patiently(lambda: _taken_out(conn, source, _sampled(source), elements))
    if taken is None:
        taken = _of_statistics(conn, source, elements)
    return None if taken is None else _counted(taken, source, key_bytes)


def _kept(found: ColumnStatistics, rows: float, per_row: float, bounds: int, words: _Words | None = None) -> Elements:
    """ANALYZE lists the elements above some share; what else the values hold is rarer than those."""
    shares = sorted(found.element_freqs[:-bounds], reverse=True)
    rest = max(per_row - sum(shares), 0.0)
    listed = len(shares)
    steepness = math.log2(shares[listed // 2] / shares[-1]) if listed >= _LISTED_LEAST else 0.0
    if words is not None and listed >= _LISTED_LEAST:
        steepness = _fitted(shares, rest, 1 / rows, words)
    return Elements(shares, _tail(shares, rest, 1 / rows, steepness), _key_bytes(found))


def _tail(shares: Sequence[float], rest: float, least: float, steepness: float) -> list[tuple[float, float]]:
    """Groups of elements that are not listed, of which a row has `rest`: they get rarer with their rank, by this power
    of it, as words in texts do.
    """
    groups: list[tuple[float, float]] = []
    rank, share = float(max(len(shares), 1)), shares[-1] if shares else least
    while rest > 1e-9:
        share = max(share, least)
        many = rank * (_RANKS - 1)
        if share <= least or steepness <= 0 or many * share >= rest:
            many = rest / share
        groups.append((many, many * share))
        rest -= many * share
        rank += many
        share *= _RANKS**-steepness
    return groups


def _fitted(shares: Sequence[float], rest: float, least: float, words: _Words) -> float:
    """How fast shares fall, if so many different words are met in some rows."""
    listed = sum(1 - (1 - share) ** words.rows for share in shares)
    low, high = 0.0, _STEEPNESS_MAX
    for _ in range(30):
        middle = (low + high) / 2
        groups = _tail(shares, rest, least, middle)
        met = listed + sum(many * (1 - (1 - min(per_row / many, 1.0)) ** words.rows) for many, per_row in groups)
        low, high = (middle, high) if met < words.different else (low, middle)
    return low


def _key_bytes(found: ColumnStatistics) -> float:
    """Of an element as the key of an index tuple."""
    if found.element_len is not None and found.element_len > 0:
        return float(found.element_len)
    return 1 + (found.element_bytes or 0.0)


def _words(conn: Connection, source: Source) -> _Words | None:
    """Of texts that are not NULL."""
    query = sql.SQL(
        "/* dbopt: how many words texts have */"
        " SELECT w.rows, w.words::float8 / w.rows, w.different FROM ("
        " SELECT pg_catalog.count(DISTINCT s.number) AS rows, pg_catalog.count(*) AS words,"
        " pg_catalog.count(DISTINCT word.lexeme) AS different"
        " FROM (SELECT {}, pg_catalog.row_number() OVER () FROM ({}) AS s) AS s(text, number)"
        " CROSS JOIN LATERAL pg_catalog.unnest(s.text) AS word) AS w WHERE w.rows > 0"
    ).format(sql.Identifier(source.column.column), _sampled(source))
    row = conn.execute(query).fetchone()
    return None if row is None else _Words(*row)


def _of_statistics(conn: Connection, source: Source, elements: sql.Composable) -> _Taken | None:
    """From the values that ANALYZE keeps, where these stand for all."""
    found = source.column
    kept = len(found.common_freqs) + (found.bounds or 0)
    if (found.avg_width or 0) > _KEPT_BYTES_MAX or source.beside:
        return None
    if kept < min(_KEPT_LEAST, distinct_values(found, source.table.reltuples)):
        return None
    values = sql.SQL(_OF_STATISTICS).format(
        source.table.schema,
        source.table.table,
        found.column,
        type=sql.SQL(source.type),
        column=sql.Identifier(found.column),
    )
    try:
        return _taken_out(conn, source, values, elements)
    except psycopg.Error:
        if conn.closed:
            raise
        return None


def _taken_out(conn: Connection, source: Source, values: sql.Composable, elements: sql.Composable) -> _Taken:
    """Kind, length, number and share of the elements of some values."""
    column = sql.Identifier(source.column.column)
    query = sql.SQL(
        """
        /* dbopt: the elements of typical values of a column */
        SELECT e.kind, pg_catalog.octet_length(e.element)::int8 AS length, pg_catalog.count(*)::int8 AS met,
               pg_catalog.sum(typical.share)::float8 AS share
          FROM (SELECT ({}) AS value, dbopt_share AS share FROM ({}) AS {}) AS typical
         CROSS JOIN LATERAL ({}) AS e
         GROUP BY e.kind, e.element
         ORDER BY e.kind, met DESC, e.element
        """
    ).format(
        column if source.expression is None else sql.SQL(source.expression),
        values,
        sql.Identifier(source.table.table),
        elements,
    )
    return conn.execute(query).fetchall()


_OF_STATISTICS = """
        SELECT v.value::{type} AS {column}, v.share AS dbopt_share
          FROM (SELECT * FROM pg_catalog.pg_stats AS s
                 WHERE s.schemaname = {} AND s.tablename = {} AND s.attname = {} AND NOT s.inherited) AS kept
         CROSS JOIN LATERAL (
               SELECT common.value, common.share
                 FROM ROWS FROM (pg_catalog.unnest(kept.most_common_vals::text::text[]),
                                 pg_catalog.unnest(kept.most_common_freqs)) AS common(value, share)
                UNION ALL
               SELECT bound.value, (1 - kept.null_frac - COALESCE(
                                      (SELECT pg_catalog.sum(f.freq)
                                         FROM pg_catalog.unnest(kept.most_common_freqs) AS f(freq)), 0))
                                   / pg_catalog.cardinality(kept.histogram_bounds::text::text[])
                 FROM pg_catalog.unnest(kept.histogram_bounds::text::text[]) AS bound(value)) AS v"""


def _sampled(source: Source) -> sql.Composed:
    """The column in some rows of many pages, the same each time: rows that lie together are more alike than others."""
    pages = min(_SAMPLED_PAGES, max(source.table.relpages, 1))
    rows = max(_SAMPLED_ROWS_LEAST, min(_SAMPLED_BYTES / max(source.column.avg_width or 0, 1), _SAMPLED_ROWS))
    return sql.SQL(
        """
        SELECT {columns}, 1.0 / pg_catalog.count(*) OVER () AS dbopt_share
          FROM (SELECT {columns}, pg_catalog.row_number() OVER (PARTITION BY (ctid::text::point)[0]) AS dbopt_number
                  FROM ONLY {table} TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0)) AS s
         WHERE s.dbopt_number <= {rows}"""
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, (source.column.column, *source.beside))),
        table=sql.Identifier(source.table.schema, source.table.table),
        percent=100 * pages / max(source.table.relpages, 1),
        rows=math.ceil(rows / pages),
    )


def _counted(taken: _Taken, source: Source, key_bytes: float | None) -> Elements | None:
    """Those met often have their share; how many others there are is told by how many of them were met twice."""
    if not taken:
        return None
    shares = [min(share, 1.0) for _, _, met, share in taken if met >= _OFTEN]
    seldom: dict[str, list[tuple[int, float]]] = defaultdict(list)
    bytes_of: Counter[str] = Counter()
    for kind, length, met, share in taken:
        if met < _OFTEN:
            seldom[kind].append((met, share))
            bytes_of[kind] += length or 0
    rare = []
    number, total_bytes = float(len(shares)), float(sum(length or 0 for _, length, met, _ in taken if met >= _OFTEN))
    for kind, found_of_kind in seldom.items():
        per_row = sum(share for _, share in found_of_kind)
        most = per_row * distinct_values(source.column, source.table.reltuples)  # as many as there are different values
        many = _different([met for met, _ in found_of_kind], most)
        rare.append((many, per_row))
        number += many
        total_bytes += many * bytes_of[kind] / len(found_of_kind)
    if key_bytes is None:
        key_bytes = 2 + total_bytes / number  # 2: a header and a flag
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
