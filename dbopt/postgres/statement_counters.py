"""Every statement of this database in pg_stat_statements, as counters; texts apart, as they are what costs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.postgres.statements import EXTENSION, OLDEST_VERSION
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class StatementCounters:
    """An entry. `sum_squares_ms2`: the sum of the squares of its calls' times, which adds up over time as a standard
    deviation does not. `counted_since`: 1.11+ its own, 1.9+ the last reset of all.
    """

    userid: int
    queryid: int
    toplevel: bool  # always true before 1.9
    calls: int
    total_exec_time_ms: float
    sum_squares_ms2: float
    max_exec_time_ms: float
    plans: int
    total_plan_time_ms: float
    rows: int
    shared_blks_hit: int
    shared_blks_read: int
    shared_blks_dirtied: int
    shared_blks_written: int
    temp_blks_read: int
    temp_blks_written: int
    blk_read_time_ms: float
    blk_write_time_ms: float
    wal_bytes: float
    has_own_since: bool
    counted_since: datetime | None
    min_exec_time_ms: float | None = None  # before 1.11, where only it and the most tell of an entry made anew
    reset_since: datetime | None = None  # 1.9+, as the next: when all entries were last dropped
    evictions: int | None = None  # how often some were dropped since, to make room


_START: LiteralString = """
        /* dbopt: the statements of this database as counters */
        SELECT s.userid::int8 AS userid, s.queryid,
"""
_COUNTS: LiteralString = """
               s.calls, s.total_exec_time AS total_exec_time_ms,
               s.calls * (s.mean_exec_time ^ 2 + s.stddev_exec_time ^ 2) AS sum_squares_ms2,
               s.max_exec_time AS max_exec_time_ms, s.plans, s.total_plan_time AS total_plan_time_ms, s.rows,
               s.shared_blks_hit, s.shared_blks_read, s.shared_blks_dirtied, s.shared_blks_written,
               s.temp_blks_read, s.temp_blks_written,
"""
_TIMES_OLD: LiteralString = """
               s.blk_read_time AS blk_read_time_ms, s.blk_write_time AS blk_write_time_ms,
"""
_FROM: LiteralString = """
          FROM {schema}.pg_stat_statements(false) AS s
"""
_WHERE: LiteralString = """
         WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d
                          WHERE d.datname = pg_catalog.current_database())
           AND s.queryid IS NOT NULL
         ORDER BY s.total_exec_time DESC, s.queryid, s.userid
"""

STATEMENT_COUNTERS = Query(
    "statement-counters",
    StatementCounters,
    {
        OLDEST_VERSION: _START
        + "true AS toplevel,"
        + _COUNTS
        + _TIMES_OLD
        + "s.wal_bytes::float8 AS wal_bytes, false AS has_own_since, NULL::timestamptz AS counted_since,"
        + "s.min_exec_time AS min_exec_time_ms, NULL::timestamptz AS reset_since, NULL::int8 AS evictions"
        + _FROM
        + _WHERE,
        (1, 9): _START
        + "s.toplevel,"
        + _COUNTS
        + _TIMES_OLD
        + "s.wal_bytes::float8 AS wal_bytes, false AS has_own_since, i.stats_reset AS counted_since,"
        + "s.min_exec_time AS min_exec_time_ms, i.stats_reset AS reset_since, i.dealloc AS evictions"
        + _FROM
        + "CROSS JOIN {schema}.pg_stat_statements_info() AS i"
        + _WHERE,
        (1, 11): _START
        + "s.toplevel,"
        + _COUNTS
        + "s.shared_blk_read_time AS blk_read_time_ms, s.shared_blk_write_time AS blk_write_time_ms,"
        + "s.wal_bytes::float8 AS wal_bytes, true AS has_own_since, s.stats_since AS counted_since,"
        + "NULL::float8 AS min_exec_time_ms, i.stats_reset AS reset_since, i.dealloc AS evictions"
        + _FROM
        + "CROSS JOIN {schema}.pg_stat_statements_info() AS i"
        + _WHERE,
    },
    extension=EXTENSION,
)


@dataclass(frozen=True, slots=True)
class StatementText:
    queryid: int
    query: str


# The whole of the texts passes through the server's memory, whatever is asked for; see TEXTS_WORK_MEM.
STATEMENT_TEXTS = Query(
    "statement-texts",
    StatementText,
    {
        OLDEST_VERSION: """
        /* dbopt: texts of statements */
        SELECT DISTINCT ON (s.queryid) s.queryid, s.query
          FROM {schema}.pg_stat_statements(true) AS s
         WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d
                          WHERE d.datname = pg_catalog.current_database())
           AND s.queryid = ANY (%(queryids)s) AND s.query IS NOT NULL
         ORDER BY s.queryid, s.userid
        """
    },
    example={"queryids": []},
    extension=EXTENSION,
)
# So that 72 MB of texts, as seen on servers with long statements, need no temporary file: they are held once, for as
# long as the statement runs.
TEXTS_WORK_MEM = "512MB"
