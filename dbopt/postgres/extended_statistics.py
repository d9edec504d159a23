"""Statistics that somebody has created about columns together, or about expressions."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class ExtendedStatistics:
    """`kinds`: d ndistinct, f dependencies, m most common values, e expressions."""

    table_oid: int
    columns: list[str]
    kinds: list[str]


EXTENDED_STATISTICS = Query(
    "extended-statistics",
    ExtendedStatistics,
    {
        (13,): """
        /* dbopt: created statistics of some tables; no values, no lock */
        SELECT e.stxrelid::int8 AS table_oid,
               ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
                      WHERE a.attrelid = e.stxrelid AND a.attnum = ANY (e.stxkeys::int2[])
                      ORDER BY a.attname) AS columns,
               e.stxkind::text[] AS kinds
          FROM pg_catalog.pg_statistic_ext AS e
         WHERE e.stxrelid = ANY (%(oids)s::oid[])
         ORDER BY e.stxrelid, e.oid
        """
    },
    {"oids": [1259]},
)
