"""Every statement in pg_stat_statements, as counters; texts apart, as they are what costs.

A server that was upgraded keeps the version that the extension was created in until somebody updates it. 1.4 is the
oldest that the files of PostgreSQL 13 to 18 can create.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.postgres.statements import EXTENSION
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString

    from dbopt.postgres.query import Version

OLDEST_COUNTED: Version = (1, 4)
PLANNING_COUNTED: Version = (1, 8)  # and WAL


@dataclass(frozen=True, slots=True)
class StatementCounters:
    """An entry. `sum_squares_ms2`: the sum of the squares of its calls' times, which adds up over time as a standard
    deviation does not. `counted_since`: 1.11+ its own, 1.9+ the last reset of all. None: not counted before 1.8.
    """

    userid: int
    queryid: int
    toplevel: bool  # always true before 1.9
    calls: int
    total_exec_time_ms: float
    sum_squares_ms2: float
    max_exec_time_ms: float
    plans: int | None
    total_plan_time_ms: float | None
    rows: int
    shared_blks_hit: int
    shared_blks_read: int
    shared_blks_dirtied: int
    shared_blks_written: int
    temp_blks_read: int
    temp_blks_written: int
    blk_read_time_ms: float
    blk_write_time_ms: float
    wal_bytes: float | None
    has_own_since: bool
    counted_since: datetime | None
    min_exec_time_ms: float | None = None  # before 1.11, where only it and the most tell of an entry made anew
    reset_since: datetime | None = None  # 1.9+, as the next: when all entries were last dropped
    evictions: int | None = None  # how often some were dropped since, to make room


@dataclass(frozen=True, slots=True)
class StatementCountersOfServer(StatementCounters):
    """The same of any database. `datname` None: it was dropped, and left its statements behind."""

    dbid: int = 0
    datname: str | None = None


_START: LiteralString = """
        /* dbopt: statements as counters */
        SELECT s.userid::int8 AS userid, s.queryid,
"""
_BLOCKS: LiteralString = """
               s.rows, s.shared_blks_hit, s.shared_blks_read, s.shared_blks_dirtied, s.shared_blks_written,
               s.temp_blks_read, s.temp_blks_written,
"""
_TIMES: LiteralString = """
               s.calls, s.total_exec_time AS total_exec_time_ms,
               s.calls * (s.mean_exec_time ^ 2 + s.stddev_exec_time ^ 2) AS sum_squares_ms2,
               s.max_exec_time AS max_exec_time_ms, s.plans, s.total_plan_time AS total_plan_time_ms,
"""
_IO_TIMES: LiteralString = """
               s.blk_read_time AS blk_read_time_ms, s.blk_write_time AS blk_write_time_ms,
"""
_NO_INFO: LiteralString = "NULL::timestamptz AS reset_since, NULL::int8 AS evictions"
_INFO: LiteralString = "i.stats_reset AS reset_since, i.dealloc AS evictions"

# By the version that they came with.
_COLUMNS_1_4: LiteralString = (
    _START
    + """
               true AS toplevel, s.calls, s.total_time AS total_exec_time_ms,
               s.calls * (s.mean_time ^ 2 + s.stddev_time ^ 2) AS sum_squares_ms2,
               s.max_time AS max_exec_time_ms, NULL::int8 AS plans, NULL::float8 AS total_plan_time_ms,
    """
    + _BLOCKS
    + _IO_TIMES
    + "NULL::float8 AS wal_bytes, false AS has_own_since, NULL::timestamptz AS counted_since,"
    + "s.min_time AS min_exec_time_ms, "
    + _NO_INFO
)
_COLUMNS_1_8: LiteralString = (
    _START
    + "true AS toplevel,"
    + _TIMES
    + _BLOCKS
    + _IO_TIMES
    + "s.wal_bytes::float8 AS wal_bytes, false AS has_own_since, NULL::timestamptz AS counted_since,"
    + "s.min_exec_time AS min_exec_time_ms, "
    + _NO_INFO
)
_COLUMNS_1_9: LiteralString = (
    _START
    + "s.toplevel,"
    + _TIMES
    + _BLOCKS
    + _IO_TIMES
    + "s.wal_bytes::float8 AS wal_bytes, false AS has_own_since, i.stats_reset AS counted_since,"
    + "s.min_exec_time AS min_exec_time_ms, "
    + _INFO
)
_COLUMNS_1_11: LiteralString = (
    _START
    + "s.toplevel,"
    + _TIMES
    + _BLOCKS
    + "s.shared_blk_read_time AS blk_read_time_ms, s.shared_blk_write_time AS blk_write_time_ms,"
    + "s.wal_bytes::float8 AS wal_bytes, true AS has_own_since, s.stats_since AS counted_since,"
    + "NULL::float8 AS min_exec_time_ms, "
    + _INFO
)
_FROM: LiteralString = """
          FROM {schema}.pg_stat_statements(false) AS s
"""
_FROM_1_9: LiteralString = """
          FROM {schema}.pg_stat_statements(false) AS s
         CROSS JOIN {schema}.pg_stat_statements_info() AS i
"""
_HERE: LiteralString = """
         WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d
                          WHERE d.datname = pg_catalog.current_database())
           AND s.queryid IS NOT NULL
         ORDER BY total_exec_time_ms DESC, s.queryid, s.userid
"""
_DATABASE: LiteralString = ", s.dbid::int8 AS dbid, d.datname::text AS datname"
_ANYWHERE: LiteralString = """
          LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
         WHERE s.queryid IS NOT NULL
           AND (%(datnames)s::text[] IS NULL OR d.datname = ANY (%(datnames)s::text[]))
         ORDER BY total_exec_time_ms DESC, s.queryid, s.userid, s.dbid
"""

STATEMENT_COUNTERS = Query(
    "statement-counters",
    StatementCounters,
    {
        OLDEST_COUNTED: _COLUMNS_1_4 + _FROM + _HERE,
        PLANNING_COUNTED: _COLUMNS_1_8 + _FROM + _HERE,
        (1, 9): _COLUMNS_1_9 + _FROM_1_9 + _HERE,
        (1, 11): _COLUMNS_1_11 + _FROM_1_9 + _HERE,
    },
    extension=EXTENSION,
)

# Of the databases named, or with NULL of all, those among them that were dropped.
STATEMENT_COUNTERS_OF_SERVER = Query(
    "statement-counters-of-server",
    StatementCountersOfServer,
    {
        OLDEST_COUNTED: _COLUMNS_1_4 + _DATABASE + _FROM + _ANYWHERE,
        PLANNING_COUNTED: _COLUMNS_1_8 + _DATABASE + _FROM + _ANYWHERE,
        (1, 9): _COLUMNS_1_9 + _DATABASE + _FROM_1_9 + _ANYWHERE,
        (1, 11): _COLUMNS_1_11 + _DATABASE + _FROM_1_9 + _ANYWHERE,
    },
    example={"datnames": None},
    extension=EXTENSION,
)


_FROM_CHANGED: LiteralString = """
          FROM {schema}.pg_stat_statements_info() AS i
          LEFT JOIN {schema}.pg_stat_statements(false) AS s
            ON s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d
                          WHERE d.datname = pg_catalog.current_database())
           AND s.queryid IS NOT NULL
           AND ((s.queryid # (s.calls << 24) # (s.userid::int8 << 8) # s.toplevel::int4::int8
                 = ANY (%(known)b::int8[])) IS NOT TRUE
"""


def counted(queryid: int, userid: int, calls: int, *, toplevel: bool) -> int:
    """An entry and how often it was called as one number, as CHANGED_STATEMENTS makes it: ids are as good as random, so
    that two of thousands are hardly ever alike.
    """
    number = queryid ^ (calls << 24) ^ (userid << 8) ^ int(toplevel)
    return (number + 2**63) % 2**64 - 2**63


# Of thousands most do nothing from one reading to the next, and it is sending them that costs: so the server is told
# what is known. An entry that was called as often as before is as it was; 1.11 tells whether it was made anew. One row
# of NULLs where none has changed. Only from 14 on does the server find a number in a list without going through it.
CHANGED_STATEMENTS = Query(
    "changed-statements",
    StatementCounters,
    {
        (1, 9): _COLUMNS_1_9 + _FROM_CHANGED + ")",
        (1, 11): _COLUMNS_1_11 + _FROM_CHANGED + " OR s.stats_since > %(since)s)",
    },
    example={"known": [], "since": None},
    extension=EXTENSION,
)


@dataclass(frozen=True, slots=True)
class StatementText:
    """`query` None: it would be more than was asked for."""

    queryid: int
    query: str | None


# Of the database given, else of this one; in the order of the ids, until together they are too long. The whole of the
# texts passes through the server's memory, whatever is asked for; see TEXTS_WORK_MEM.
STATEMENT_TEXTS = Query(
    "statement-texts",
    StatementText,
    {
        OLDEST_COUNTED: """
        /* dbopt: texts of statements */
        SELECT t.queryid,
               CASE WHEN pg_catalog.sum(pg_catalog.octet_length(t.query)) OVER (ORDER BY t.place) <= %(bytes_max)s
                    THEN t.query END AS query
          FROM (SELECT DISTINCT ON (w.place) w.place, s.queryid, s.query
                  FROM {schema}.pg_stat_statements(true) AS s
                  JOIN ROWS FROM (pg_catalog.unnest(%(queryids)s::int8[])) WITH ORDINALITY AS w(queryid, place)
                    ON w.queryid = s.queryid
                 WHERE s.dbid = COALESCE(%(dbid)s::oid, (SELECT d.oid FROM pg_catalog.pg_database AS d
                                                          WHERE d.datname = pg_catalog.current_database()))
                   AND s.query IS NOT NULL
                 ORDER BY w.place, s.userid) AS t
         ORDER BY t.place
        """
    },
    example={"queryids": [], "dbid": None, "bytes_max": 0},
    extension=EXTENSION,
)
# So that 72 MB of texts, as seen on servers with long statements, need no temporary file: they are held once, for as
# long as the statement runs.
TEXTS_WORK_MEM = "512MB"


@dataclass(frozen=True, slots=True)
class RoleName:
    oid: int
    rolname: str


# A role that was dropped is not among them.
ROLE_NAMES = Query(
    "role-names",
    RoleName,
    {
        (13,): """
        /* dbopt: names of roles */
        SELECT r.oid::int8 AS oid, r.rolname::text AS rolname
          FROM pg_catalog.pg_roles AS r
         WHERE r.oid = ANY (%(oids)s::oid[])
         ORDER BY r.oid
        """
    },
    example={"oids": []},
)
