"""What the counters of databases tell: over a window, or not at all."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import wait_until

from dbopt.health.check import Status
from dbopt.health.checks import load
from dbopt.health.collect import collect
from dbopt.health.judge import judge
from dbopt.health.memory import sample
from dbopt.postgres.connect import connect
from dbopt.postgres.databases import DATABASES, DatabaseState
from tests.health.looks import run_check, subjects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.health.scene import Facts

IDS = ("deadlocks", "rollbacks", "temporary-files", "checksum-failures")


@pytest.fixture(scope="module")
def quiet(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fresh


@pytest.fixture
def facts(quiet: Database) -> Facts:
    """What was seen in a server that has been up for days, of one database."""
    with connect(quiet.conninfo, command="health", read_only=True) as conn:
        seen = collect(conn, [load(check_id) for check_id in IDS])
    (row,) = [row for row in seen.rows[DATABASES] if row.is_current]
    return with_row(seen, replace(row, stats_since=seen.surroundings.now - timedelta(days=9)))


def with_row(facts: Facts, row: DatabaseState) -> Facts:
    return replace(facts, rows={**facts.rows, DATABASES: [row]})


def row_of(facts: Facts) -> DatabaseState:
    row: DatabaseState
    (row,) = facts.rows[DATABASES]
    return row


def later(facts: Facts, seconds: float, **more: float) -> Facts:
    """The next look, with counters that have grown."""
    row = row_of(facts)
    grown = replace(row, **{name: getattr(row, name) + value for name, value in more.items()})
    around = replace(facts.surroundings, now=facts.surroundings.now + timedelta(seconds=seconds))
    return replace(with_row(facts, grown), surroundings=around)


@pytest.mark.parametrize("check_id", ["deadlocks", "rollbacks", "temporary-files"])
class TestWindow:
    def test_too_long_to_speak_of_the_present(self, check_id: str, facts: Facts) -> None:
        result = judge(load(check_id), facts)
        assert (result.status, result.blind) == (Status.UNKNOWN, False)
        assert (result.reason or "").startswith("the counters have run for too long")

    def test_second_look_without_growth(self, check_id: str, facts: Facts) -> None:
        check = load(check_id)
        assert judge(check, later(facts, 300), before=sample([check], facts)).status is Status.OK

    def test_reset_a_second_ago(self, check_id: str, facts: Facts) -> None:
        young = replace(row_of(facts), stats_since=facts.surroundings.now - timedelta(seconds=1))
        result = judge(load(check_id), with_row(facts, replace(young, deadlocks=0, temp_bytes=0, xact_rollback=0)))
        assert (result.status, result.blind) == (Status.UNKNOWN, False)
        assert "reset only 1.0 s ago" in (result.reason or "")


@pytest.mark.parametrize(
    ("check_id", "growth", "status"),
    [
        ("deadlocks", {"deadlocks": 1}, Status.WARNING),
        ("rollbacks", {"xact_commit": 799, "xact_rollback": 200}, Status.OK),
        ("rollbacks", {"xact_commit": 801, "xact_rollback": 199}, Status.OK),
        ("rollbacks", {"xact_commit": 800, "xact_rollback": 200}, Status.WARNING),
        ("temporary-files", {"temp_bytes": 256 * 1024**2 - 1, "temp_files": 9}, Status.OK),
        ("temporary-files", {"temp_bytes": 340 * 1024**2, "temp_files": 9}, Status.OK),
        ("temporary-files", {"temp_bytes": 342 * 1024**2, "temp_files": 9}, Status.WARNING),
    ],
)
def test_limits(check_id: str, growth: dict[str, float], status: Status, facts: Facts) -> None:
    check = load(check_id)
    result = judge(check, later(facts, 300, **growth), before=sample([check], facts))
    assert result.status is status
    if status is Status.WARNING:
        assert subjects(result) == [row_of(facts).datname]
        assert "within 5 min 00 s" in result.findings[0].detail


def test_foreign_reset_between_two_looks(facts: Facts) -> None:
    check = load("deadlocks")
    before = sample([check], with_row(facts, replace(row_of(facts), deadlocks=7)))
    assert judge(check, later(facts, 300), before=before).status is Status.UNKNOWN


class TestChecksums:
    def test_failures_are_critical(self, facts: Facts) -> None:
        row = replace(row_of(facts), checksum_failures=3, checksum_last_failure=datetime(2026, 1, 2, tzinfo=UTC))
        result = judge(load("checksum-failures"), with_row(facts, row))
        assert (result.status, subjects(result)) == (Status.CRITICAL, [row.datname])
        shared = judge(load("checksum-failures"), with_row(facts, replace(row, datname=None)))
        assert subjects(shared) == ["shared objects"]

    def test_none(self, facts: Facts) -> None:
        assert judge(
            load("checksum-failures"), with_row(facts, replace(row_of(facts), checksum_failures=0))
        ).status is (Status.OK)

    def test_not_enabled_is_not_well(self, facts: Facts) -> None:
        result = judge(load("checksum-failures"), with_row(facts, replace(row_of(facts), checksum_failures=None)))
        assert (result.status, result.findings) == (Status.SKIPPED, ())
        assert "pg_checksums" in (result.hint or "")


def test_a_real_deadlock(database: Database) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0)")
    first, second = database.connect(), database.connect()
    for conn, row in ((first, 1), (second, 2)):
        conn.execute("SET deadlock_timeout = '50ms'")
        conn.execute("UPDATE t SET v = v + 1 WHERE id = %s", [row])

    def cross(conn: psycopg.Connection[object], row: int) -> None:
        with contextlib.suppress(psycopg.errors.DeadlockDetected):
            conn.execute("UPDATE t SET v = v + 1 WHERE id = %s", [row])
        conn.close()  # a session hands in its counts when it ends; while it idles, only after ten seconds

    other = threading.Thread(target=cross, args=(first, 2))
    other.start()
    cross(second, 1)
    other.join()
    wait_until(lambda: database.name in subjects(run_check(database, "deadlocks")), "the deadlock's count")
