"""Large tables that are read from end to end again and again.

A sequential scan of a large table is right for a report, a dump or a load. Dozens of them in a day, while index scans
bring less than half of the rows read, are the sign of a statement whose condition no index serves. The time looked at
is that since the last run, or since the statistics were reset, at most a day. Where pg_stat_statements can be read, the
statements that may be meant are named: they read about as many blocks at each call as the table has, and mention it.
Which columns an index should have, the statements' plans tell, not the counters: `dbopt suggest --table` reads them,
and weighs what each index would bring and cost. What reads all rows on purpose needs no index.
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg.sql import Literal

from dbopt.health.check import Check, Group, Limit, NotJudged, Unit, above
from dbopt.health.deltas import WINDOW_MAX_SECONDS, Counters, Delta
from dbopt.health.suggesting import on_table
from dbopt.postgres.literals import shown
from dbopt.postgres.query import Query
from dbopt.postgres.statements import EXTENSION, view
from dbopt.postgres.tables import TABLE_STATE, TableState
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.health.scene import Scene

_STATEMENTS_MAX = 2  # that are named for a table
_STATEMENT_CHARACTERS = 160
_WHOLE = 0.5  # of a table's blocks: who reads that many at each call reads it from end to end


@dataclass(frozen=True, slots=True)
class ScanningStatement:
    """A statement that reads much at each call, with its text: `$1` for values."""

    queryid: int
    query: str
    calls: int
    total_exec_time_ms: float
    blocks_per_call: float


# The texts are read only where some large table is scanned often. Fewer than 50 blocks a call is no scan of one.
SCANNING_STATEMENTS = Query(
    "scanning-statements",
    ScanningStatement,
    {
        (1, 8): """
        /* dbopt: statements that read most at each call, where large tables are read by sequential scans */
        SELECT s.queryid, pg_catalog.left(pg_catalog.min(s.query), 4000) AS query,
               pg_catalog.sum(s.calls)::int8 AS calls, pg_catalog.sum(s.total_exec_time)::float8 AS total_exec_time_ms,
               pg_catalog.sum(s.shared_blks_hit + s.shared_blks_read)::float8 / pg_catalog.sum(s.calls)::float8
                   AS blocks_per_call
          FROM (SELECT EXISTS (
                       SELECT 1 FROM pg_catalog.pg_class AS c
                        WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
                          AND GREATEST(c.reltuples, pg_catalog.pg_stat_get_live_tuples(c.oid)::float4) >= 1000
                          AND pg_catalog.pg_stat_get_numscans(c.oid) >= 10
                          AND pg_catalog.pg_stat_get_tuples_returned(c.oid) >= 100000) AS are_there) AS large
         CROSS JOIN LATERAL {schema}.pg_stat_statements(large.are_there) AS s
         WHERE large.are_there AND s.queryid IS NOT NULL AND s.query IS NOT NULL AND s.calls >= 5
           AND s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d
                          WHERE d.datname = pg_catalog.current_database())
           AND s.shared_blks_hit + s.shared_blks_read >= 50 * s.calls
         GROUP BY s.queryid
         ORDER BY pg_catalog.sum(s.shared_blks_hit + s.shared_blks_read) DESC, s.queryid
         LIMIT 100
        """
    },
    extension=EXTENSION,
)


@dataclass(frozen=True, slots=True)
class Scanned:
    relation: str
    name: str
    rows: float
    relpages: int
    scans: float
    share: float  # of the rows read that sequential scans brought
    seconds: float
    statements: tuple[ScanningStatement, ...]
    view: str | None  # of pg_stat_statements, as SQL writes it
    explain: str
    show_literals: bool


def _counters(rows: Sequence[TableState]) -> Iterator[Counters]:
    for row in rows:
        if not row.is_system and not row.is_temporary:
            values = {"seq_scan": row.seq_scan, "seq_tup_read": row.seq_tup_read, "idx_scan": row.idx_scan or 0}
            yield Counters(row.relation, None, values)


def _delta(now: Counters, scene: Scene) -> Delta | None:
    """Since the last run, unless there was a reset meanwhile; else since the reset, if that is not long ago."""
    around = scene.surroundings
    if scene.earlier_at is not None and (around.stats_since is None or scene.earlier_at > around.stats_since):
        since_last = scene.delta(now)
        if since_last is not None:
            return since_last
    if around.stats_seconds is None or not 0 < around.stats_seconds <= WINDOW_MAX_SECONDS:
        return None
    return Delta(now.subject, around.stats_seconds, now.values)


def _rows(rows: Sequence[TableState], scene: Scene) -> Iterator[Scanned]:
    limits = scene.limits
    large = {
        row.relation: row
        for row in rows
        if not row.is_system and not row.is_temporary and row.rows >= limits["min_rows"]
    }
    if not large:
        return
    if not scene.surroundings.tracks_counts:
        hint = "ALTER SYSTEM SET track_counts = on; SELECT pg_catalog.pg_reload_conf();"
        raise NotJudged("track_counts is off: scans are not counted", hint=hint, blind=True)
    windows = [window for one in _counters(list(large.values())) if (window := _delta(one, scene)) is not None]
    if not windows:
        raise NotJudged(
            "the counters have run for too long to speak of the present",
            hint="Run dbopt health again: it judges what happened since this run.",
        )
    often = [window for window in windows if _is_read_whole(window, limits)]
    shortest = min(window.seconds for window in windows)
    if not often and shortest < limits["window"]:
        raise NotJudged(f"scans are known for the last {format_duration(shortest)} only, which is too short to judge")
    statements = _statements(scene)
    for window in often:
        yield _scanned(large[window.subject], window, statements, scene)


def _is_read_whole(window: Delta, limits: Mapping[str, float]) -> bool:
    """Often, and not by scans that a LIMIT ended early."""
    scans = window.values["seq_scan"]
    return scans >= limits["min_scans"] and window.values["seq_tup_read"] >= limits["min_rows"] * scans


def _scanned(row: TableState, window: Delta, statements: Sequence[ScanningStatement], scene: Scene) -> Scanned:
    # An index scan of an application brings one row or a few: those of the table itself are not counted apart.
    by_index = window.values["idx_scan"]
    read = window.values["seq_tup_read"]
    return Scanned(
        relation=row.relation,
        name=row.name,
        rows=row.rows,
        relpages=row.relpages,
        scans=window.values["seq_scan"],
        share=read / (read + by_index),
        seconds=window.seconds,
        statements=tuple(one for one in statements if _means(one, row))[:_STATEMENTS_MAX],
        view=view(scene.surroundings).as_string() if scene.surroundings.statements_schema is not None else None,
        explain="EXPLAIN (GENERIC_PLAN)" if scene.server.has_generic_plan else "EXPLAIN",
        show_literals=scene.show_literals,
    )


def _statements(scene: Scene) -> Sequence[ScanningStatement]:
    """None where pg_stat_statements cannot be read: the verdict does not hang on it."""
    try:
        return scene.rows(SCANNING_STATEMENTS)
    except NotJudged:
        return ()


def _means(statement: ScanningStatement, row: TableState) -> bool:
    if statement.blocks_per_call < _WHOLE * row.relpages:
        return False
    word = re.compile(rf"(?<![\w$]){re.escape(row.name)}(?![\w$])")
    return bool(_CONDITIONAL.match(statement.query)) and bool(word.search(statement.query))


# What an index could serve; CREATE INDEX, COPY and REFRESH read everything, whatever there is.
_CONDITIONAL = re.compile(r"\s*(?:/\*.*?\*/\s*)*(?:\(\s*)*(?:select|with|update|delete|insert|merge)\b", re.I | re.S)


def _detail(row: Scanned) -> str:
    scans = f"{row.scans:,.0f} sequential scans of {row.rows:,.0f} rows within {format_duration(row.seconds)}"
    return f"{scans}, {row.share:.0%} of all rows read{''.join(_named(row))}"


def _named(row: Scanned) -> Iterator[str]:
    for n, statement in enumerate(row.statements):
        text = shown(statement.query, literals=row.show_literals)
        text = text if len(text) <= _STATEMENT_CHARACTERS else text[: _STATEMENT_CHARACTERS - 3] + "..."
        mean = format_duration(statement.total_exec_time_ms / 1000 / statement.calls)
        yield f"{', maybe by ' if n == 0 else '; '}{text} ({statement.calls:,} calls of {mean})"


def _remedy(row: Scanned) -> str:
    """What helps to find the columns: they are not guessed."""
    see = "see which condition filters the rows of the sequential scan, and give it an index"
    call = on_table(row.relation)
    first = "" if call is None else f"{call}\n"
    if row.statements:
        values = "" if "GENERIC_PLAN" in row.explain else "  -- with values for its parameters"
        text = shown(row.statements[0].query, literals=row.show_literals)
        return f"{first}-- {see.capitalize()}:\n{row.explain} {text};{values}"
    if row.view is None:
        return (
            f"-- EXPLAIN its statements and {see}. pg_stat_statements tells which: CREATE EXTENSION pg_stat_statements;"
        )
    pattern = Literal(f"%{row.name}%").as_string()
    return (
        f"{first}-- Find its statements; EXPLAIN them, {see}:\n"
        "SELECT calls, mean_exec_time, (shared_blks_hit + shared_blks_read) / calls AS blocks, query\n"
        f"  FROM {row.view} WHERE query LIKE {pattern} ORDER BY total_exec_time DESC LIMIT 10;"
    )


CHECK: Check[Scanned] = Check(
    id="missing-index",
    title="Large tables read by sequential scans",
    group=Group.INDEXES,
    query=TABLE_STATE,
    also=(SCANNING_STATEMENTS,),
    unit=Unit.RATIO,
    thresholds=above(warning=0.5, critical=None, source="our own reasoning: most of the rows read, so the rule here"),
    limits=(
        Limit("min_rows", 10_000, Unit.COUNT, "our own reasoning: fewer are read in a millisecond or two"),
        Limit("min_scans", 50, Unit.COUNT, "our own reasoning: dumps, loads and nightly reports are fewer in a day"),
        Limit("window", 60, Unit.SECONDS, "our own reasoning: absence of scans over less says nothing"),
    ),
    subject=lambda row: row.relation,
    measure=lambda row: row.share,
    detail=_detail,
    remedy=_remedy,
    rows=_rows,
    counters=_counters,
)
