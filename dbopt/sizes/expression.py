"""What an expression makes of its columns' values, where no statistics about the expression exist.

The server evaluates it over the values that it keeps in pg_stats (the most common ones and the bounds of the
histogram). That shows the type and the lengths of what comes out, and about how many results differ. The table itself
is not read, and no lock on it is taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from dbopt import grammar
from dbopt.postgres.statistics import ColumnStatistics
from dbopt.sizes.btree import expected_distinct
from dbopt.sizes.distinct import distinct_values
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.postgres.catalog import Column, Table
    from dbopt.postgres.connect import Connection

# date_trunc() and the like make few results of many moments. Of so many, evenly spread, some fall on each day of five
# years.
_MOMENTS = 2000
EVALUATION_MS = 1_000  # somebody's function may take its time, and a plan has many expressions
_SHORT_CHARACTERS = 4  # the beginnings of texts are few, though those of values far apart all differ
_STOPS_NULL = ("coalesce", "case", " is ")  # NULL goes through most functions; these are there to stop it


@dataclass(frozen=True, slots=True)
class _Results:
    """What came out: `different` of `results` that are not NULL, of so many `inputs`."""

    type: str
    attlen: int
    attalign: str
    inputs: int
    results: int
    different: int
    lengths: list[int] | None
    possible: float | None  # results that the letters seen could make, where they are short


def examine(
    conn: Connection,
    table: Table,
    columns: Sequence[Column],
    known: Mapping[str, ColumnStatistics],
    expression: str,
) -> ColumnStatistics | None:
    """Statistics of an expression (the server's own text for it), derived from those of its columns. None where one of
    these has none, or the expression cannot be evaluated in this way.
    """
    types = {column.column: column.type for column in columns}
    names = columns_in(expression, types)
    used = [known[name] for name in names if name in known and known[name].null_frac is not None]
    if not used or len(used) < len(names):
        return None
    spread = len(names) == 1 and types[names[0]].startswith("timestamp") and not used[0].common_freqs
    values = (_moments if spread else _values)(table, {name: types[name] for name in names})
    seen = _evaluate(conn, table, expression, values)
    if seen is None or seen.results == 0:
        return None
    distinct = min(math.prod(distinct_values(column, table.reltuples) for column in used), table.reltuples)
    present = math.prod(1 - (column.null_frac or 0.0) for column in used)
    found = min(float(seen.different), distinct) if spread else _distinct(seen, distinct)
    # As many results as values: each value has one of its own, and the common ones stay common.
    common = used[0].common_freqs if len(used) == 1 and found == distinct else []
    if present < 1 and any(word in expression.lower() for word in _STOPS_NULL):
        common, present = sorted([*common, 1 - present], reverse=True), 1.0
    return ColumnStatistics(
        relation_oid=table.oid,
        column=expression,
        attnum=0,
        type=seen.type,
        attlen=seen.attlen,
        attalign=seen.attalign,
        null_frac=1 - present * seen.results / seen.inputs,
        avg_width=None,
        n_distinct=found,
        common_freqs=common,
        bounds=None,
        element_freqs=[],
        elements=None,
        element_len=None,
        element_bytes=None,
        common_lengths=None,
        lengths=seen.lengths,
    )


def columns_in(expression: str, types: Iterable[str]) -> list[str]:
    """Those of the columns that an expression names."""
    try:
        named = set(grammar.column_names(grammar.parse_expression(expression)))
    except grammar.GrammarError:  # the server's grammar may be newer than ours
        return []
    return [name for name in types if name in named]


def _evaluate(conn: Connection, table: Table, expression: str, values: sql.Composed) -> _Results | None:
    query = sql.SQL(
        """
        /* dbopt: what an expression makes of typical values of its columns */
          WITH typical AS MATERIALIZED (SELECT ({expression}) AS value FROM ({values}) AS {table})
        SELECT t.typname::text AS type, t.typlen::int4 AS attlen, t.typalign::text AS attalign,
               pg_catalog.count(*) AS inputs, pg_catalog.count(value) AS results,
               pg_catalog.count(DISTINCT value::text) AS different,
               pg_catalog.percentile_disc('{{0.05,0.17,0.28,0.39,0.5,0.61,0.72,0.83,0.95}}'::float8[])
                 WITHIN GROUP (ORDER BY CASE WHEN t.typcategory = 'S' THEN pg_catalog.octet_length(value::text)
                                             WHEN pg_catalog.pg_column_size(value) > 127
                                             THEN pg_catalog.pg_column_size(value) - 4
                                             ELSE pg_catalog.pg_column_size(value) - 1 END)
                 FILTER (WHERE value IS NOT NULL AND t.typlen = -1) AS lengths,
               CASE WHEN pg_catalog.max(pg_catalog.length(value::text)) <= {longest} THEN (
                    SELECT pg_catalog.count(DISTINCT letter) ^ pg_catalog.max(pg_catalog.length(value::text))
                      FROM pg_catalog.regexp_split_to_table(pg_catalog.string_agg(value::text, ''), '') AS letter
                    ) END AS possible
          FROM typical
          JOIN pg_catalog.pg_type AS t ON t.oid = pg_catalog.pg_typeof(value)
         GROUP BY 1, 2, 3
        """
    ).format(
        expression=sql.SQL(expression),
        values=values,
        table=sql.Identifier(table.table),
        longest=_SHORT_CHARACTERS,
    )
    try:
        with conn.transaction(force_rollback=True), conn.cursor(row_factory=class_row(_Results)) as cursor:
            conn.execute("SELECT pg_catalog.set_config('statement_timeout', %s, true)", (f"{EVALUATION_MS}ms",))
            return cursor.execute(query).fetchone()
    except psycopg.Error:
        if conn.closed:
            raise
        return None


def _values(table: Table, types: Mapping[str, str]) -> sql.Composed:
    """The values that pg_stats keeps of each column, side by side."""
    return sql.SQL("SELECT ") + sql.SQL(", ").join(
        sql.SQL("pg_catalog.unnest({}) AS {}").format(
            _kept(table, name, type_, "most_common_vals", "histogram_bounds"), sql.Identifier(name)
        )
        for name, type_ in types.items()
    )


def _moments(table: Table, types: Mapping[str, str]) -> sql.Composed:
    """Moments evenly spread over the histogram of one column."""
    [(name, type_)] = types.items()
    return sql.SQL(
        "SELECT b[1] + (b[pg_catalog.array_upper(b, 1)] - b[1]) * n / {last} AS {name}"
        " FROM (SELECT {bounds} AS b) AS h, pg_catalog.generate_series(0, {last}) AS n"
    ).format(last=_MOMENTS - 1, name=sql.Identifier(name), bounds=_kept(table, name, type_, "histogram_bounds"))


def _kept(table: Table, name: str, type_: str, *lists: str) -> sql.Composed:
    values = sql.SQL(" || ").join(
        sql.SQL("s.{}::text::{}[]").format(sql.Identifier(one), sql.SQL(type_)) for one in lists
    )
    return sql.SQL(
        "(SELECT {} FROM pg_catalog.pg_stats AS s"
        " WHERE s.schemaname = {} AND s.tablename = {} AND s.attname = {} AND NOT s.inherited)"
    ).format(values, table.schema, table.table, name)


def _distinct(seen: _Results, values: float) -> float:
    """As many results as values, unless results repeat: then so many that, drawn by chance, as many would repeat."""
    values = min(values, seen.possible or values)
    if seen.different >= seen.results - 1:
        return values
    low, high = float(seen.different), max(values, seen.different)
    for _ in range(40):
        middle = (low + high) / 2
        enough = expected_distinct(middle, seen.results) >= seen.different
        low, high = (low, middle) if enough else (middle, high)
    return low
