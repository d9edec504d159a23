"""unused-index: who is never named, and that silence of young statistics says nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.health.checks.unused_index import CHECK
from dbopt.health.judge import judge
from dbopt.postgres.indexes import INDEX_SHAPES, UNSCANNED_INDEXES, UnscannedIndex
from tests.health.index_zoo import wait_for_scan
from tests.health.looks import only, run_check, subjects
from tests.health.rows import MB, NOW, facts

if TYPE_CHECKING:
    from server import Database

    from dbopt.health.check import Result

ANY = {"window": 0.0, "min_size": 0.0}
TABLE = (
    "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text, parent int REFERENCES t);"
    "INSERT INTO t SELECT g, g, g, g, NULL FROM generate_series(1, 5000) g;"
)


def _index(**fields: Any) -> UnscannedIndex:
    usual: dict[str, Any] = {
        "oid": 20000,
        "index": "app.orders_note",
        "schema": "app",
        "name": "orders_note",
        "relation": "app.orders",
        "table_schema": "app",
        "table": "orders",
        "relkind": "i",
        "idx_scan": 0,
        "last_idx_scan": None,
        "made_at": None,
        "size_bytes": 10 * MB,
        "is_estimated": False,
        "feeds_standbys": False,
    }
    return UnscannedIndex(**{**usual, **fields})


def _judged(*rows: UnscannedIndex, days: float | None = 7, **around: Any) -> Result:
    since = None if days is None else NOW - timedelta(days=days)
    around = {"tracks_counts": True, "stats_since": since, **around}
    return judge(CHECK, facts({UNSCANNED_INDEXES: rows, INDEX_SHAPES: ()}, **around))


@pytest.mark.parametrize(
    ("row", "days", "status"),
    [
        (_index(), 7, "warning"),
        (_index(), 6.99, "unknown"),
        (_index(), None, "unknown"),
        (_index(size_bytes=10 * MB - 1), 7, "ok"),
        (_index(size_bytes=10 * MB - 1), 0.01, "ok"),
        (_index(made_at=NOW - timedelta(days=6)), 30, "ok"),
        (_index(made_at=NOW - timedelta(days=8)), 30, "warning"),
        (_index(idx_scan=9, last_idx_scan=NOW - timedelta(days=31)), 60, "warning"),
        (_index(idx_scan=9, last_idx_scan=NOW - timedelta(days=30)), 60, "ok"),
    ],
)
def test_window_and_size(row: UnscannedIndex, days: float | None, status: str) -> None:
    assert _judged(row, days=days).status == status


def test_nothing_to_judge_is_ok() -> None:
    assert _judged(days=0.001).status == "ok"


def test_too_young_says_until_when() -> None:
    result = _judged(_index(), days=5)
    assert result.reason is not None
    assert "for 5 d 0 h only" in result.reason
    assert "from 2026-01-03 00:00 UTC on" in result.reason
    assert not result.blind


def test_no_counting_no_verdict() -> None:
    result = _judged(_index(), tracks_counts=False)
    assert (result.status, result.blind) == ("unknown", True)
    assert result.hint == "ALTER SYSTEM SET track_counts = on; SELECT pg_catalog.pg_reload_conf();"


def test_standbys_are_thought_of() -> None:
    assert "check replicas first" in only(_judged(_index(feeds_standbys=True))).detail


def test_guard_of_the_entry_is_the_window() -> None:
    fragment = only(_judged(_index())).fragment
    assert fragment is not None
    assert fragment["guard"] == {"unused_for": "604800s"}


def test_plain_index_without_scans(database: Database) -> None:
    database.sql(TABLE + "CREATE INDEX idle ON t (a); CREATE INDEX busy ON t (b)")
    with database.connect(autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off; SELECT 1 FROM t WHERE b = 1")
    wait_for_scan(database, "busy")
    found = run_check(database, "unused-index", limits=ANY)
    assert subjects(found) == ["public.idle"]
    assert only(found).measure == database.sql("SELECT pg_relation_size('idle')")[0][0]
    assert only(found).remedy == (
        "DROP INDEX CONCURRENTLY public.idle;"
        "  -- dbopt suggest --drop --table public.t looks whether a statement needs it"
    )


NEEDED = (
    "CREATE UNIQUE INDEX i ON t (a)",
    "ALTER TABLE t ADD UNIQUE (a)",
    "ALTER TABLE t ADD EXCLUDE USING btree (a WITH =)",
    "CREATE INDEX i ON t (parent)",
    "CREATE INDEX i ON t (parent, a)",
    "CREATE INDEX i ON t (lower(c))",
    "CREATE INDEX i ON t (a); ALTER TABLE t CLUSTER ON i",
    "CREATE TEMP TABLE x AS SELECT g FROM generate_series(1, 5000) g; CREATE INDEX ON x (g)",
)


def test_never_named(database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        for number, statement in enumerate(NEEDED):
            conn.execute(f"CREATE SCHEMA s{number}; SET search_path = s{number}; {TABLE}; {statement}")  # type: ignore[call-overload]
        assert run_check(database, "unused-index", limits=ANY).findings == ()
        conn.execute("CREATE INDEX idle ON t (b)")
        assert subjects(run_check(database, "unused-index", limits=ANY)) == [f"s{number}.idle"]


def test_longer_index_that_stands_in_for_a_used_one(database: Database) -> None:
    """duplicate-index lets the shorter go for it: were both dropped, none was left."""
    database.sql(TABLE + "CREATE INDEX short ON t (a)")
    with database.connect(autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off; SELECT 1 FROM t WHERE a = 1")
    wait_for_scan(database, "short")
    database.sql("CREATE INDEX long ON t (a, b)")
    assert subjects(run_check(database, "duplicate-index")) == ["public.short"]
    assert run_check(database, "unused-index", limits=ANY).status == "ok"


def test_partition_tree_is_one(database: Database) -> None:
    database.sql(
        "CREATE TABLE p (a int, b int) PARTITION BY RANGE (a);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (5000);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (5000) TO (9000);"
        "INSERT INTO p SELECT g, g FROM generate_series(1, 8000) g;"
        "CREATE INDEX busy ON p (a); CREATE INDEX idle ON p (b)"
    )
    with database.connect(autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off; SELECT 1 FROM p WHERE a = 1")  # one partition only
    wait_for_scan(database, "p1_a_idx")
    finding = only(run_check(database, "unused-index", limits=ANY))
    assert finding.subject == "public.idle"
    parts = "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'idle'::regclass"
    assert finding.measure == database.sql(parts)[0][0]
    assert finding.fragment is None


def test_after_a_reset_it_is_not_known(database: Database) -> None:
    database.sql(TABLE + "CREATE INDEX idle ON t (a); SELECT pg_stat_reset()")
    result = run_check(database, "unused-index", limits={"min_size": 0.0})
    assert (result.status, result.blind) == ("unknown", False)
    assert result.reason is not None
    assert result.reason.startswith("1 index has no scan")


@pytest.mark.pg(">= 16")
def test_used_long_ago(database: Database) -> None:
    database.sql(TABLE + "CREATE INDEX idle ON t (a)")
    with database.connect(autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off; SELECT 1 FROM t WHERE a = 1")
    wait_for_scan(database, "idle")
    assert run_check(database, "unused-index", limits={**ANY, "last_scan": 0.0}).status == "ok"  # not within a day
