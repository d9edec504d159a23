"""Workloads as values, made by hand, to be shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dbopt.metrics.measurement import About
from dbopt.workload.detail import Detail, Point
from dbopt.workload.finding import Index, Key, Relation
from dbopt.workload.model import (
    Advice,
    Counters,
    Flip,
    Kind,
    Others,
    Planned,
    Shape,
    Source,
    Span,
    Statement,
    Unplanned,
    Workload,
)

NOW = datetime(2026, 11, 22, 3, 5, 24, tzinfo=UTC)
HOUR_AGO = NOW - timedelta(minutes=58, seconds=12)
MAIN = About(
    name="main",
    place="db1:5432/app",
    dbname="app",
    server_version="18.4 (Debian 18.4-1)",
    system_identifier="7430000000000000001",
    in_recovery=False,
    role="oncall",
)
HOUR = Span(source=Source.SNAPSHOTS, from_at=HOUR_AGO, to_at=NOW, seconds=3492.0)
DAY_BEFORE = Span(
    source=Source.SNAPSHOTS, from_at=HOUR_AGO - timedelta(days=1), to_at=NOW - timedelta(days=1), seconds=3492.0
)

SPEC = {
    "name": "orders_customer_email_created_at",
    "table": {"schema": "public", "name": "orders"},
    "keys": ("customer_email", {"column": "created_at", "order": "desc"}),
    "why": "Orders of a customer, the newest first: a sequential scan for each",
}
SEQUENTIAL = Advice(
    code="sequential-scan",
    message="reads all 12,400,000 rows of public.orders to keep some 14 of them, by customer_email = $1",
    why="Each call reads 3.1GB; with an index it would read some 15 pages.",
    hint="An index on (customer_email, created_at DESC) finds them, in order.",
    spec=SPEC,
    nodes=(3,),
)
SORT = Advice(
    code="sort-spills",
    message="sorts 214MB in temporary files, as work_mem is 4MB",
    why="Sorting on disk takes some three times as long.",
    hint="SET work_mem = '256MB';",
    nodes=(2,),
)
N_PLUS_1 = Advice(
    code="n-plus-one",
    message="called 312 times a second for one row each, by the key of public.order_lines",
    why="The time goes into round trips.",
    hint="Fetch the lines of all orders at once: WHERE order_id = ANY ($1).",
)


def document(analyzed: bool = False) -> dict[str, Any]:
    """As EXPLAIN (FORMAT JSON) says it."""

    def ran(rows: float, loops: int, time: float, **more: Any) -> dict[str, Any]:
        if not analyzed:
            return {}
        return {"Actual Rows": rows, "Actual Loops": loops, "Actual Total Time": time, **more}

    scan = {
        "Node Type": "Seq Scan",
        "Parent Relationship": "Outer",
        "Relation Name": "orders",
        "Schema": "public",
        "Alias": "o",
        "Total Cost": 402_113.0,
        "Plan Rows": 62_000,
        "Plan Width": 48,
        "Filter": "((customer_email)::text = $1)",
        **ran(14.0, 1, 590.2, **{"Rows Removed by Filter": 12_399_986}),
    }
    sort = {
        "Node Type": "Sort",
        "Parent Relationship": "Outer",
        "Total Cost": 408_230.0,
        "Plan Rows": 62_000,
        "Plan Width": 48,
        "Sort Key": ["o.created_at DESC", "o.id"],
        "Plans": [scan],
        **ran(14.0, 1, 591.0, **{"Sort Method": "quicksort", "Sort Space Used": 27, "Sort Space Type": "Memory"}),
    }
    lines = {
        "Node Type": "Index Scan",
        "Parent Relationship": "Inner",
        "Relation Name": "order_lines",
        "Schema": "public",
        "Index Name": "order_lines_pkey",
        "Alias": "l",
        "Total Cost": 8.4,
        "Plan Rows": 3,
        "Plan Width": 20,
        "Index Cond": "(order_id = o.id)",
        **ran(3.0, 14, 0.02),
    }
    loop = {
        "Node Type": "Nested Loop",
        "Join Type": "Left",
        "Parent Relationship": "Outer",
        "Total Cost": 411_020.0,
        "Plan Rows": 186_000,
        "Plan Width": 68,
        "Plans": [sort, lines],
        **ran(42.0, 1, 592.0),
    }
    limit = {
        "Node Type": "Limit",
        "Total Cost": 411_020.0,
        "Plan Rows": 20,
        "Plan Width": 68,
        "Plans": [loop],
        **ran(20.0, 1, 592.1),
    }
    return {"Plan": limit}


PLANNED = Planned(
    query="SELECT 1",
    documents=(document(),),
    planned_at=NOW - timedelta(seconds=3),
    parameter_types=("text", "bigint"),
)
INDEX_SCAN = Shape(
    digest="0123456789abcdef",
    summary="Index Scan using orders_customer_email on orders o, Index Scan using order_lines_pkey on order_lines l",
    first_at=NOW - timedelta(days=40),
    last_at=NOW - timedelta(minutes=55),
)
SEQ_SCAN = Shape(
    digest="fedcba9876543210",
    summary="Seq Scan on orders o, Index Scan using order_lines_pkey on order_lines l",
    first_at=NOW - timedelta(minutes=52),
    last_at=NOW,
)
FLIP = Flip(before=INDEX_SCAN, after=SEQ_SCAN)

WORST = Statement(
    fingerprint="a1b2c3d4e5f60718",
    queryids=(-4418230198234234987, 77),
    query=(
        "SELECT o.id, o.customer_email, o.created_at, o.state, o.total_cents, o.currency, l.sku, l.quantity\n"
        "FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id\n"
        "WHERE o.customer_email = $1 AND o.id > $2 ORDER BY o.created_at DESC, o.id LIMIT $3"
    ),
    kind=Kind.SELECT,
    relations=("orders", "order_lines"),
    users=("app", "batch"),
    counters=Counters(
        calls=1204.0,
        total_exec_time_ms=724_808.0,
        sum_squares_ms2=1204 * (602.0**2 + 210.0**2),
        rows=16_856.0,
        plans=0.0,
        total_plan_time_ms=0.0,
        shared_blks_hit=310_000_000.0,
        shared_blks_read=6_020_000.0,
        shared_blks_dirtied=0.0,
        shared_blks_written=0.0,
        temp_blks_read=0.0,
        temp_blks_written=27_400.0,
        blk_read_time_ms=181_200.0,
        blk_write_time_ms=0.0,
        wal_bytes=0.0,
    ),
    share=0.6124,
    seconds=3492.0,
    max_exec_time_ms=14_020.0,
    planned=PLANNED,
    advice=(SEQUENTIAL, SORT),
    flips=(FLIP,),
)
MANY = Statement(
    fingerprint="00000000000000aa",
    queryids=(1837462,),
    query="SELECT * FROM order_lines WHERE order_id = $1",
    kind=Kind.SELECT,
    relations=("order_lines",),
    users=("app",),
    counters=Counters(calls=1_090_331.0, total_exec_time_ms=196_259.0, rows=3_270_993.0, shared_blks_hit=4e6),
    share=0.1658,
    seconds=3492.0,
    advice=(N_PLUS_1,),
    planned=Planned(
        query="SELECT 1",
        documents=(document(),),
        planned_at=NOW,
    ),
)
HIDDEN = Statement(
    fingerprint=None,
    queryids=(9_223_372_036_854_775_807,),
    users=("a role with a name that is as long as the server lets it be", "b", "c"),
    counters=Counters(calls=3.0, total_exec_time_ms=120_400.0),
    share=0.1017,
    seconds=3492.0,
    planned=Unplanned(
        reason="the text is hidden from this role", hint='GRANT pg_read_all_stats TO "oncall";', is_lasting=False
    ),
)
CREATE = Statement(
    fingerprint="00000000000000bb",
    queryids=(-12,),
    query='CREATE TABLE "日本語の表" AS SELECT g AS "列" FROM generate_series($1, $2) AS g',
    kind=Kind.UTILITY,
    users=("日本語の利用者",),
    counters=Counters(calls=1.0, total_exec_time_ms=0.0004, rows=0.0),
    share=0.00001,
    seconds=3492.0,
    planned=Unplanned(reason="CREATE TABLE AS has no plan of its own", is_lasting=True),
)
TOTALS = Counters(calls=1_204_331.0, total_exec_time_ms=1_183_550.0, rows=4_000_000.0)
OTHERS = Others(
    filtered=2,
    quick=402,
    more=12,
    utility=31,
    own=4,
    textless=1,
    utility_time_ms=2100.0,
    own_time_ms=310.0,
    textless_time_ms=120_400.0,
)
FULL = Workload(
    span=HOUR,
    statements=(WORST, MANY, HIDDEN, CREATE),
    totals=TOTALS,
    others=OTHERS,
    slow_ms=500.0,
    notes=("pg_stat_statements dropped 12 rarely called statements",),
    lacks=(("the time of reading and writing: track_io_timing is off", "SET track_io_timing = on;"),),
)
EMPTY = Workload(
    span=Span(source=Source.SINCE_RESET, from_at=NOW - timedelta(days=3, hours=4), to_at=NOW, seconds=273_600.0),
    statements=(),
    totals=Counters(),
    slow_ms=500.0,
)


def compared() -> Workload:
    from dataclasses import replace

    before = Counters(calls=1190.0, total_exec_time_ms=223_720.0)
    return replace(
        FULL,
        before=DAY_BEFORE,
        statements=(
            replace(WORST, before=before, before_seconds=3492.0),
            replace(MANY, before=Counters(calls=109_000.0, total_exec_time_ms=19_620.0), before_seconds=3492.0),
            replace(HIDDEN, before=Counters(), before_seconds=3492.0),
        ),
    )


SAMPLED = Workload(
    span=Span(source=Source.SAMPLE, from_at=NOW - timedelta(seconds=30), to_at=NOW, seconds=30.0, looks=295),
    statements=(
        Statement(
            fingerprint="a1b2c3d4e5f60718",
            query=WORST.query,
            kind=Kind.SELECT,
            users=("app",),
            counters=Counters(calls=97.0, total_exec_time_ms=61_000.0),
            share=0.88,
            seconds=30.0,
            samples=601,
            sessions=4,
            max_exec_time_ms=1_210.0,
            waits=(("IO:DataFileRead", 402), ("Lock:transactionid", 61), ("CPU", 138)),
            planned=PLANNED,
            advice=(SEQUENTIAL,),
        ),
    ),
    totals=Counters(calls=112.0, total_exec_time_ms=69_300.0),
    slow_ms=500.0,
    lacks=(
        (
            "calls and rows: pg_stat_statements is not loaded",
            "Add pg_stat_statements to shared_preload_libraries, restart PostgreSQL, then in this database:\n"
            "CREATE EXTENSION pg_stat_statements;",
        ),
    ),
)
LOGGED = Workload(
    span=Span(
        source=Source.LOG,
        from_at=HOUR_AGO,
        to_at=NOW,
        seconds=3492.0,
        place="postgresql-2026-11-22.log",
        breaks=("12 lines are not of any form that dbopt knows",),
    ),
    statements=(
        Statement(
            fingerprint="00000000000000cc",
            query="UPDATE stock SET left_over = left_over - $1 WHERE sku = $2",
            kind=Kind.UPDATE,
            counters=Counters(calls=61.0, total_exec_time_ms=92_000.0, sum_squares_ms2=61 * (1508.0**2 + 90.0**2)),
            share=0.7,
            seconds=3492.0,
            max_exec_time_ms=8_000.0,
        ),
    ),
    totals=Counters(calls=88.0, total_exec_time_ms=131_000.0),
    slow_ms=500.0,
)

ORDERS = Relation(
    oid=1,
    schema="public",
    name="orders",
    relkind="r",
    rows=12_400_000.0,
    size_bytes=3_328_599_654,
    indexes=(
        Index(
            name="orders_pkey",
            method="btree",
            keys=(Key(column="id", expression=None, opclass="int8_ops"),),
            is_unique=True,
        ),
        Index(
            name="orders_open",
            method="btree",
            keys=(
                Key(column=None, expression="lower((customer_email)::text)", opclass="text_ops"),
                Key(column="created_at", expression=None, opclass="timestamptz_ops", is_descending=True),
            ),
            include=("total_cents",),
            predicate="(state = 'open'::text)",
            is_valid=False,
        ),
    ),
)
LINES = Relation(oid=2, schema="public", name="order_lines", relkind="p", rows=None, size_bytes=0)
DETAIL = Detail(
    statement=WORST,
    span=HOUR,
    text=(
        "SELECT\n  o.id,\n  o.customer_email,\n  l.sku\nFROM\n  orders o\n"
        "  LEFT JOIN order_lines l ON l.order_id = o.id\nWHERE\n  o.customer_email = $1\n  AND o.id > $2\n"
        "ORDER BY o.created_at DESC, o.id\nLIMIT $3;"
    ),
    trend=tuple(
        Point(
            from_at=HOUR_AGO + timedelta(minutes=4 * number),
            to_at=HOUR_AGO + timedelta(minutes=4 * number + 4),
            calls_per_second=None if number == 5 else 0.3 + number / 100,
            mean_ms=None if number == 5 else 180.0 + (420.0 if number > 1 else 0.0) + number,
        )
        for number in range(14)
    ),
    relations=(ORDERS, LINES),
    slow_ms=500.0,
    notes=("statistics of public.order_lines were never gathered",),
)
