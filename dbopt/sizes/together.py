"""How many combinations of columns' values there are, where columns depend on each other: a city has one country.

ANALYZE knows that only where somebody has asked for it (CREATE STATISTICS), nor does it know an expression's results.
So some pages are read, for an index whose size depends on it: what is met there twice, on pages apart, tells how many
different ones there are.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt.sizes.btree import expected_distinct
from dbopt.sizes.distinct import distinct_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.statistics import ColumnStatistics

    Sampled = Sequence[tuple[int, Sequence[int | None]]]  # page, and a hash of each key's value

_PAGES, _ROWS = 300, 10_000  # read at most
_ROWS_LEAST = 500  # fewer tell nothing
# From how much fewer combinations on than chance would make, columns are taken to depend on each other. What is read
# lies together in the table, and meets a little less by itself.
_DEPENDENT = 0.85
# Of many combinations few are met twice in some rows, but far fewer would be by chance.
_AGAIN_LEAST, _AGAIN_TIMES = 20, 5
_COMMON = 5  # runs, from which on a combination is common
_STEP = 0.01  # in logarithms of shares
_ALL = 1 - 1e-12
_MATTERS = 1.1  # so much between the least and the most combinations that statistics allow for


def is_open(found: Sequence[ColumnStatistics], table_rows: float) -> bool:
    """Whether statistics about each column leave open how many combinations there are."""
    distinct = [distinct_values(column, table_rows) + (1 if column.null_frac else 0) for column in found]
    product = 1.0
    for count in distinct:
        product *= max(count, 1.0)
    return expected_distinct(product, table_rows) > _MATTERS * max(distinct)


def sample(
    conn: Connection, table: Table, keys: Sequence[sql.Composable], *, pages_max: int = _PAGES, rows_max: int = _ROWS
) -> Sampled:
    """Rows of some pages, the same each time."""
    pages = min(pages_max, rows_max * table.relpages / table.reltuples)
    percent = min(100 * pages / max(table.relpages, 1), 100.0)
    hashes = sql.SQL(", ").join(sql.SQL("pg_catalog.hashtextextended(({})::text, 0)").format(key) for key in keys)
    query = (
        "/* dbopt: which values of columns go together */"
        " SELECT (ctid::text::point)[0]::int8, ARRAY[{}] FROM ONLY {} TABLESAMPLE SYSTEM ({}) REPEATABLE (0) LIMIT {}"
    )
    name = sql.Identifier(table.schema, table.table)
    return conn.execute(sql.SQL(query).format(hashes, name, percent, 2 * rows_max)).fetchall()


def combinations(rows: Sampled, table_pages: int, *, dependent: bool = False) -> float | None:
    """Of the whole table; None where columns do not depend on each other, as far as the sample tells, unless they are
    said to.

    Rows that lie side by side may be alike because they were written together. So runs of pages are counted: it is the
    estimator Duj1 of ANALYZE (compute_scalar_stats), with runs in the place of rows.
    """
    rows = [row for row in rows if row[1].count(None) < len(row[1])]
    if len(rows) < _ROWS_LEAST:
        return None
    runs: dict[int, int] = {}
    for page in sorted({page for page, _ in rows}):
        runs[page] = runs.get(page - 1, page)
    met = set(zip((runs[page] for page, _ in rows), (tuple(values) for _, values in rows), strict=True))
    runs_of = Counter(values for _, values in met)
    if not dependent:
        alike = [Counter(Counter(column).values()) for column in zip(*(values for _, values in rows), strict=True)]
        many = len(runs_of) >= _DEPENDENT * _by_chance(alike, len(rows))
        if many and not _meet_again(runs_of.values(), alike, len(rows)):
            return None
    # What is common would make it say that there is little else.
    rare = [count for count in runs_of.values() if count <= _COMMON]
    if not rare:
        return float(len(runs_of))
    number, once = sum(rare), rare.count(1)
    read = min(len(runs) / max(table_pages, 1), 1.0)
    return len(runs_of) - len(rare) + number * len(rare) / (number - once + once * read)


def _meet_again(runs_of: Iterable[int], alike: Iterable[Mapping[int, int]], rows: int) -> bool:
    """Whether there are so many pairs of equal combinations in different runs that columns cannot be independent.
    `alike`: by column, how many of its values have so many rows.
    """
    pairs = sum(runs * (runs - 1) / 2 for runs in runs_of)
    by_chance = rows**2 / 2
    for column in alike:
        by_chance *= sum(many * (count / rows) ** 2 for count, many in column.items())
    return pairs >= max(_AGAIN_LEAST, _AGAIN_TIMES * by_chance)


def _by_chance(alike: Iterable[Mapping[int, int]], rows: int) -> float:
    """How many combinations those values would make, on average, if each column went its own way."""
    shares = {1.0: 1.0}  # of the rows that a combination has, and how many have the same share
    for column in alike:
        found: dict[float, float] = {}
        for share, many in shares.items():
            for count, others in column.items():
                nearly = _rounded(share * count / rows)
                found[nearly] = found.get(nearly, 0.0) + many * others
        shares = found
    return sum(many * -math.expm1(rows * math.log1p(-min(share, _ALL))) for share, many in shares.items())


def _rounded(share: float) -> float:
    """To one in some hundred that are far enough apart: what differs by less is taken together."""
    return math.exp(round(math.log(share) / _STEP) * _STEP)
