"""How many combinations of columns' values there are, where columns depend on each other: a city has one country.

ANALYZE knows that only where somebody has asked for it (CREATE STATISTICS), nor does it know an expression's results.
So some pages are read, for an index whose size depends on it: what is met there twice, on pages apart, tells how many
different ones there are.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.sizes.btree import expected_distinct
from dbopt.sizes.distinct import distinct_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.statistics import ColumnStatistics

    Sampled = Sequence[tuple[int, list[int | None]]]  # page, and a hash of each key's value

_PAGES, _ROWS = 300, 10_000  # read at most
_ROWS_LEAST = 500  # fewer tell nothing
# From how much fewer combinations on than chance would make, columns are taken to depend on each other. What is read
# lies together in the table, and meets a little less by itself.
_DEPENDENT = 0.85
_COMMON = 5  # runs, from which on a combination is common
_MATTERS = 1.1  # so much between the least and the most combinations that statistics allow for


def is_open(found: Sequence[ColumnStatistics], table_rows: float) -> bool:
    """Whether statistics about each column leave open how many combinations there are."""
    distinct = [distinct_values(column, table_rows) + (1 if column.null_frac else 0) for column in found]
    product = 1.0
    for count in distinct:
        product *= max(count, 1.0)
    return expected_distinct(product, table_rows) > _MATTERS * max(distinct)


def sample(conn: Connection, table: Table, keys: Sequence[sql.Composable]) -> Sampled:
    """Rows of some pages, the same each time."""
    pages = min(_PAGES, _ROWS * table.relpages / table.reltuples)
    percent = min(100 * pages / max(table.relpages, 1), 100.0)
    hashes = sql.SQL(", ").join(sql.SQL("pg_catalog.hashtextextended(({})::text, 0)").format(key) for key in keys)
    query = (
        "/* dbopt: which values of columns go together */"
        " SELECT (ctid::text::point)[0]::int8, ARRAY[{}] FROM ONLY {} TABLESAMPLE SYSTEM ({}) REPEATABLE (0) LIMIT {}"
    )
    name = sql.Identifier(table.schema, table.table)
    return conn.execute(sql.SQL(query).format(hashes, name, percent, 2 * _ROWS)).fetchall()


def combinations(rows: Sampled, table_pages: int, *, dependent: bool = False) -> float | None:
    """Of the whole table; None where columns do not depend on each other, as far as the sample tells, unless they are
    said to.

    Rows that lie side by side may be alike because they were written together. So runs of pages are counted: it is the
    estimator Duj1 of ANALYZE (compute_scalar_stats), with runs in the place of rows.
    """
    rows = [(page, values) for page, values in rows if any(value is not None for value in values)]
    if len(rows) < _ROWS_LEAST:
        return None
    runs: dict[int, int] = {}
    for page in sorted({page for page, _ in rows}):
        runs[page] = runs.get(page - 1, page)
    met = {(runs[page], tuple(values)) for page, values in rows}
    runs_of = Counter(values for _, values in met)
    if not dependent and len(runs_of) >= _DEPENDENT * _by_chance(rows):
        return None
    # What is common would make it say that there is little else.
    rare = [count for count in runs_of.values() if count <= _COMMON]
    if not rare:
        return float(len(runs_of))
    number, once = sum(rare), rare.count(1)
    read = min(len(runs) / max(table_pages, 1), 1.0)
    return len(runs_of) - len(rare) + number * len(rare) / (number - once + once * read)


def _by_chance(rows: Sampled) -> int:
    """How many combinations those values would make if each column went its own way."""
    chance = random.Random(0)
    columns = [list(column) for column in zip(*(values for _, values in rows), strict=True)]
    for column in columns:
        chance.shuffle(column)
    return len(set(zip(*columns, strict=True)))
