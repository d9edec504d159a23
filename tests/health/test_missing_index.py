"""missing-index: scans that come again and again, not those of a dump, a load or a count."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until

from dbopt.health.check import Gap
from dbopt.health.checks.missing_index import CHECK, SCANNING_STATEMENTS, ScanningStatement
from dbopt.health.deltas import Counters, Sample
from dbopt.health.judge import judge
from dbopt.health.suggesting import on_table, remark
from dbopt.postgres.tables import TABLE_STATE, TableState
from tests.health.looks import look_at, only, run_check, sample_of, subjects
from tests.health.rows import NOW, facts

if TYPE_CHECKING:
    from server import Database

    from dbopt.health.check import Result

SYSTEM = "7"  # the identifier of the server in health.rows
SCANS = "SELECT seq_scan FROM pg_stat_all_tables WHERE relname = 'large'"
LARGE = (
    "CREATE TABLE large (id int PRIMARY KEY, email text);"
    "INSERT INTO large SELECT g, g FROM generate_series(1, 12000) g;"
)


def _table(**fields: Any) -> TableState:
    state: dict[str, Any] = {field.name: None for field in dataclasses.fields(TableState)}
    state |= {"relation": "app.orders", "schema": "app", "name": "orders", "relpersistence": "p", "is_system": False}
    state |= {"reltuples": 10_000.0, "n_live_tup": 0, "relpages": 100}
    state |= {"seq_scan": 50, "seq_tup_read": 500_000, "idx_scan": 0}
    return TableState(**{**state, **fields})


def _judged(
    *rows: TableState,
    seconds: float = 3600,
    statements: tuple[ScanningStatement, ...] = (),
    before: Sample | None = None,
    **around: Any,
) -> Result:
    around = {"tracks_counts": True, "stats_since": NOW - timedelta(seconds=seconds), **around}
    return judge(CHECK, facts({TABLE_STATE: rows, SCANNING_STATEMENTS: statements}, **around), before=before)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "warning"),
        ({"reltuples": 9_999.0}, "ok"),
        ({"reltuples": -1.0, "n_live_tup": 10_000}, "warning"),
        ({"seq_scan": 49, "seq_tup_read": 490_000}, "ok"),
        ({"seq_tup_read": 499_999}, "ok"),  # a LIMIT ended some early
        ({"idx_scan": None}, "warning"),
        ({"idx_scan": 500_000}, "warning"),
        ({"idx_scan": 500_001}, "ok"),
        ({"is_system": True}, "ok"),
        ({"relpersistence": "t"}, "ok"),
        ({"seq_scan": 0, "seq_tup_read": 0}, "ok"),
    ],
)
def test_limits(fields: dict[str, Any], status: str) -> None:
    assert _judged(_table(**fields)).status == status


def test_windows() -> None:
    assert _judged(_table(), seconds=2).status == "warning"  # seen is seen
    short = _judged(_table(seq_scan=0, seq_tup_read=0), seconds=2)
    assert (short.status, short.blind) == ("unknown", False)
    assert short.reason == "scans are known for the last 2.0 s only, which is too short to judge"
    assert _judged(_table(reltuples=5.0), seconds=2).status == "ok"  # nothing large
    assert _judged(_table(), seconds=2 * 86_400).status == "unknown"
    assert _judged(_table(), stats_since=None).status == "unknown"
    blind = _judged(_table(), tracks_counts=False)
    assert (blind.status, blind.blind) == ("unknown", True)


def test_since_the_last_run() -> None:
    def sample(**values: float) -> Sample:
        return Sample(NOW - timedelta(hours=1), SYSTEM, {CHECK.id: (Counters("app.orders", None, values),)})

    old = {"seconds": 90 * 86_400.0}
    assert _judged(_table(), before=sample(seq_scan=0, seq_tup_read=0, idx_scan=0), **old).status == "warning"
    assert _judged(_table(), before=sample(seq_scan=1, seq_tup_read=10_000, idx_scan=0), **old).status == "ok"
    # A reset meanwhile: the old numbers say nothing.
    assert (
        _judged(_table(), before=sample(seq_scan=1, seq_tup_read=10_000, idx_scan=0), seconds=600).status == "warning"
    )


def test_statements_are_named() -> None:
    statements = (
        ScanningStatement(1, "SELECT * FROM orders_old WHERE a = $1", 60, 600.0, 200.0),
        ScanningStatement(2, "CREATE INDEX ON app.orders (a)", 60, 600.0, 200.0),
        ScanningStatement(3, "SELECT * FROM app.orders WHERE id = $1", 60, 600.0, 49.0),
        ScanningStatement(4, "/* page */ SELECT * FROM app.orders WHERE email = $1 AND x = 'secret'", 60, 600.0, 100.0),
    )
    finding = only(_judged(_table(), statements=statements))
    assert finding.detail.endswith("maybe by SELECT * FROM app.orders WHERE email = $1 AND x = ? (60 calls of 10.0 ms)")
    assert finding.remedy is not None
    assert "EXPLAIN (GENERIC_PLAN) SELECT * FROM app.orders" in finding.remedy
    assert finding.remedy.startswith("dbopt suggest --table app.orders\n-- See which condition")
    assert "orders_old" not in finding.detail


def test_a_name_that_breaks_the_line_is_in_no_command() -> None:
    """Whoever names a table must not write what somebody pastes."""
    odd = 'app."orders\nDROP TABLE x; --"'
    assert on_table(odd) is None
    assert remark(odd, "looks", "--drop") == ""
    quoted = remark('app."Odd ""one"""', "looks", "--drop")
    assert quoted == '  -- dbopt suggest --drop --table \'app."Odd ""one"""\' looks'


def test_without_statements_the_remedy_says_how_to_find_them() -> None:
    remedy = only(_judged(_table(), statements_schema="ext", statements_extversion="1.10")).remedy
    assert remedy is not None
    assert 'FROM "ext"."pg_stat_statements" WHERE query LIKE \'%orders%\'' in remedy


def test_unreadable_statements_cost_nothing() -> None:
    made = facts({TABLE_STATE: (_table(),)}, tracks_counts=True, stats_since=NOW - timedelta(hours=1))
    gapped = dataclasses.replace(made, gaps={SCANNING_STATEMENTS: Gap("not here")})
    assert judge(CHECK, gapped).status == "warning"


def test_scanned_again_and_again(database: Database) -> None:
    database.sql(LARGE)
    with database.connect(autocommit=True) as conn:
        for _ in range(50):
            conn.execute("SELECT 1 FROM large WHERE email = '5'")
    wait_until(lambda: database.sql(SCANS) >= [(50,)], "the counting")
    assert subjects(run_check(database, CHECK.id)) == ["public.large"]
    assert run_check(database, CHECK.id).findings[0].measure == pytest.approx(1.0)


def test_used_by_its_key_dumped_and_counted(database: Database) -> None:
    database.sql(LARGE)
    with database.connect(autocommit=True) as conn:
        for statement in ("ANALYZE large", "COPY large TO STDOUT", "SELECT count(*) FROM large", "REINDEX TABLE large"):
            if statement.startswith("COPY"):
                with conn.cursor().copy(statement) as copy:
                    assert sum(1 for _ in copy) == 12_000
            else:
                conn.execute(statement)  # type: ignore[call-overload]
    assert run_check(database, CHECK.id, limits={"window": 0.0}).status == "ok"


def test_second_run_sees_what_came_between(database: Database) -> None:
    database.sql(LARGE)
    _, first = look_at(database, checks=[CHECK.id])
    with database.connect(autocommit=True) as conn:
        for _ in range(50):
            conn.execute("SELECT 1 FROM large WHERE email = '5'")
    wait_until(lambda: database.sql(SCANS) >= [(50,)], "the counting")
    assert subjects(run_check(database, CHECK.id, before=sample_of(first, CHECK.id))) == ["public.large"]
