"""pg_stat_statements as counters, without the texts.

With its texts a look costs a quarter of a second and temporary files of 70 MB on a server with long statements;
without them 3 ms. https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.postgres.query import Version
    from dbopt.postgres.surroundings import Surroundings

EXTENSION = "pg_stat_statements"
OLDEST_VERSION: Version = (1, 8)  # before it, planning and execution were one number


@dataclass(frozen=True, slots=True)
class StatementTotals:
    """What it holds and has lost (all databases), and the sums of this database over its repeated statements."""

    entries: int
    entries_max: int
    hidden: int  # statements of others, whose id and text this role may not see
    track: str
    computes_ids: bool
    extversion: str
    offered_version: str | None  # by the server's files
    deallocations: int | None  # 1.9+; each drops the least used 5 % of the entries
    stats_reset: datetime | None  # 1.9+
    calls: int
    total_exec_time_ms: float


# Statements that came ten times are what a database does day by day; a load, a restore, a build of indexes and the
# reports of the night, each of them long and all of them different, are not.
STATEMENT_TOTALS = Query(
    "statement-totals",
    StatementTotals,
    {
        OLDEST_VERSION: """
        /* dbopt: what pg_stat_statements holds */
        SELECT pg_catalog.count(s.calls) AS entries,
               pg_catalog.current_setting('pg_stat_statements.max')::int8 AS entries_max,
               pg_catalog.count(s.calls) FILTER (WHERE s.queryid IS NULL) AS hidden,
               pg_catalog.current_setting('pg_stat_statements.track') AS track,
               COALESCE(pg_catalog.current_setting('compute_query_id', true), 'on') <> 'off' AS computes_ids,
               (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'pg_stat_statements')
                   AS extversion,
               (SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a
                 WHERE a.name = 'pg_stat_statements') AS offered_version,
               NULL::int8 AS deallocations, NULL::timestamptz AS stats_reset,
               COALESCE(pg_catalog.sum(s.calls) FILTER (WHERE s.dbid = d.oid AND s.calls >= 10), 0)::int8 AS calls,
               COALESCE(pg_catalog.sum(s.total_exec_time) FILTER (WHERE s.dbid = d.oid AND s.calls >= 10), 0)::float8
                   AS total_exec_time_ms
          FROM pg_catalog.pg_database AS d
          LEFT JOIN {schema}.pg_stat_statements(false) AS s ON true
         WHERE d.datname = pg_catalog.current_database()
        """,
        (1, 9): """
        /* dbopt: what pg_stat_statements holds and has lost */
        SELECT pg_catalog.count(s.calls) AS entries,
               pg_catalog.current_setting('pg_stat_statements.max')::int8 AS entries_max,
               pg_catalog.count(s.calls) FILTER (WHERE s.queryid IS NULL) AS hidden,
               pg_catalog.current_setting('pg_stat_statements.track') AS track,
               COALESCE(pg_catalog.current_setting('compute_query_id', true), 'on') <> 'off' AS computes_ids,
               (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'pg_stat_statements')
                   AS extversion,
               (SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a
                 WHERE a.name = 'pg_stat_statements') AS offered_version,
               i.dealloc AS deallocations, i.stats_reset,
               COALESCE(pg_catalog.sum(s.calls)
                        FILTER (WHERE s.dbid = d.oid AND s.toplevel AND s.calls >= 10), 0)::int8 AS calls,
               COALESCE(pg_catalog.sum(s.total_exec_time)
                        FILTER (WHERE s.dbid = d.oid AND s.toplevel AND s.calls >= 10), 0)::float8
                   AS total_exec_time_ms
          FROM pg_catalog.pg_database AS d
         CROSS JOIN {schema}.pg_stat_statements_info() AS i
          LEFT JOIN {schema}.pg_stat_statements(false) AS s ON true
         WHERE d.datname = pg_catalog.current_database()
         GROUP BY i.dealloc, i.stats_reset
        """,
    },
    extension=EXTENSION,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of this database, whoever ran it. Those whose id is hidden are one row together."""

    queryid: int | None
    entries: int
    calls: int
    total_exec_time_ms: float
    max_exec_time_ms: float
    counted_since: datetime | None  # 1.11+: it itself; 1.9+: the last reset of all


# A mean cannot be above the longest call: what never took 10 ms is nothing that anybody calls slow.
STATEMENTS = Query(
    "statements",
    Statement,
    {
        OLDEST_VERSION: """
        /* dbopt: the statements of this database that have ever taken 10 ms */
        SELECT s.queryid, pg_catalog.count(*) AS entries, pg_catalog.sum(s.calls)::int8 AS calls,
               pg_catalog.sum(s.total_exec_time)::float8 AS total_exec_time_ms,
               pg_catalog.max(s.max_exec_time)::float8 AS max_exec_time_ms, NULL::timestamptz AS counted_since
          FROM {schema}.pg_stat_statements(false) AS s
          JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
         WHERE d.datname = pg_catalog.current_database() AND s.max_exec_time >= 10
         GROUP BY s.queryid
         ORDER BY (s.queryid IS NOT NULL), total_exec_time_ms DESC, s.queryid
         LIMIT 1000
        """,
        (1, 9): """
        /* dbopt: the statements of this database that have ever taken 10 ms */
        SELECT s.queryid, pg_catalog.count(*) AS entries, pg_catalog.sum(s.calls)::int8 AS calls,
               pg_catalog.sum(s.total_exec_time)::float8 AS total_exec_time_ms,
               pg_catalog.max(s.max_exec_time)::float8 AS max_exec_time_ms, i.stats_reset AS counted_since
          FROM {schema}.pg_stat_statements(false) AS s
          JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
         CROSS JOIN {schema}.pg_stat_statements_info() AS i
         WHERE d.datname = pg_catalog.current_database() AND s.toplevel AND s.max_exec_time >= 10
         GROUP BY s.queryid, i.stats_reset
         ORDER BY (s.queryid IS NOT NULL), total_exec_time_ms DESC, s.queryid
         LIMIT 1000
        """,
        (1, 11): """
        /* dbopt: the statements of this database that have ever taken 10 ms */
        SELECT s.queryid, pg_catalog.count(*) AS entries, pg_catalog.sum(s.calls)::int8 AS calls,
               pg_catalog.sum(s.total_exec_time)::float8 AS total_exec_time_ms,
               pg_catalog.max(s.max_exec_time)::float8 AS max_exec_time_ms,
               pg_catalog.min(s.stats_since) AS counted_since
          FROM {schema}.pg_stat_statements(false) AS s
          JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
         WHERE d.datname = pg_catalog.current_database() AND s.toplevel AND s.max_exec_time >= 10
         GROUP BY s.queryid
         ORDER BY (s.queryid IS NOT NULL), total_exec_time_ms DESC, s.queryid
         LIMIT 1000
        """,
    },
    extension=EXTENSION,
)


def too_old(surroundings: Surroundings) -> bool:
    """Whether the extension was created by a server before 13 and has not been updated since."""
    return surroundings.extension(EXTENSION)[1] < OLDEST_VERSION


def view(surroundings: Surroundings) -> Identifier:
    """The view with the texts, in the schema that it was created in."""
    return Identifier(surroundings.extension(EXTENSION)[0], EXTENSION)
