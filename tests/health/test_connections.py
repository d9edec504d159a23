"""Slots, sessions idle in transaction, long-running statements: on real sessions, and with few rights."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import open_transaction

from dbopt.health.check import Status, above
from dbopt.health.checks import load
from tests.health.conftest import SLOTS
from tests.health.looks import only, run_check, subjects
from tests.health.waiting import role, running

if TYPE_CHECKING:
    from server import Database

    from dbopt.health.check import Finding, Result

AT_ONCE = above(warning=0.0, critical=None, source="test")
NEVER = above(warning=3600.0, critical=None, source="test")


def named(result: Result, subject: str) -> Finding:
    [found] = [f for f in (*result.findings, *result.measured) if f.subject == subject]
    return found


@contextlib.contextmanager
def crowd(db: Database, count: int, **options: str) -> contextlib.AbstractContextManager[None]:  # type: ignore[misc]
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(psycopg.connect(db.conninfo, autocommit=True, **options))  # type: ignore[arg-type]
        yield


@pytest.mark.parametrize(
    ("sessions", "status"), [(SLOTS * 8 // 10 - 1, Status.OK), (8, Status.WARNING), (9, Status.CRITICAL)]
)
def test_slots_of_the_server(small: Database, sessions: int, status: Status) -> None:
    with crowd(small, sessions, application_name="worker"):
        result = run_check(small, "connection-slots")
        finding = named(result, "max_connections")
        assert (result.status, finding.measure) == (status, sessions / SLOTS)
        assert finding.detail == f"{sessions} of {SLOTS} slots: {sessions} idle postgres@{small.name} (worker)"


def test_slots_seen_by_a_role_without_rights(small: Database) -> None:
    with role(small) as user, crowd(small, 9):
        finding = only(run_check(small, "connection-slots", user=user))
        assert (finding.status, finding.measure) == (Status.CRITICAL, 0.9)
        assert "what 9 of them do is hidden from this role" in finding.detail


@pytest.mark.pg(">= 16")
def test_slots_that_are_reserved_do_not_count(small: Database) -> None:
    [(reserved,)] = small.sql("SHOW reserved_connections")
    assert reserved == "0"
    assert named(run_check(small, "connection-slots"), "max_connections").detail == f"0 of {SLOTS} slots"


def test_limits_of_database_and_role(small: Database) -> None:
    with role(small) as user:
        small.sql(f"ALTER DATABASE {small.name} CONNECTION LIMIT 5; ALTER ROLE {user} CONNECTION LIMIT 4")
        with crowd(small, 1), crowd(small, 4, user=user):
            result = run_check(small, "connection-slots")
            assert subjects(result) == [f"database {small.name}", f"role {user}"]
            assert f'ALTER ROLE "{user}" CONNECTION LIMIT 8;' in (result.findings[1].remedy or "")
            assert [f.subject for f in result.measured] == ["max_connections"]


def test_limit_of_one_is_meant(small: Database) -> None:
    with role(small) as user:
        small.sql(f"ALTER ROLE {user} CONNECTION LIMIT 1")
        with crowd(small, 1, user=user):
            assert run_check(small, "connection-slots").status is Status.OK


def test_idle_in_transaction(database: Database) -> None:
    database.sql("CREATE TABLE t (v text)")
    with open_transaction(database, "INSERT INTO t VALUES ('secret')") as pid:
        finding = only(run_check(database, "idle-in-transaction", thresholds=AT_ONCE))
        assert (finding.subject, finding.remedy) == (f"pid {pid}", f"SELECT pg_catalog.pg_terminate_backend({pid});")
        assert "has a transaction ID" in finding.detail
        assert "holds RowExclusiveLock on public.t" in finding.detail
        assert "last: INSERT INTO t VALUES (?)" in finding.detail
        literals = only(run_check(database, "idle-in-transaction", thresholds=AT_ONCE, show_literals=True))
        assert "'secret'" in literals.detail
        assert run_check(database, "idle-in-transaction").status is Status.OK


def test_idle_in_a_failed_transaction(database: Database) -> None:
    with database.connect() as conn:
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / 0")
        finding = only(run_check(database, "idle-in-transaction", thresholds=AT_ONCE))
        assert finding.detail.startswith("idle in transaction (aborted) for ")
        assert "has neither transaction ID nor snapshot; no lock on a table of this database" in finding.detail


def test_idle_session_without_transaction_is_none(database: Database) -> None:
    with database.connect(autocommit=True) as conn:
        conn.execute("SELECT 1")
        assert run_check(database, "idle-in-transaction", thresholds=AT_ONCE).findings == ()


@pytest.mark.parametrize("check_id", ["idle-in-transaction", "long-running-statement"])
def test_rights(database: Database, check_id: str) -> None:
    """Who may not see is told so, unless there is nothing to be seen."""
    statement = "SELECT pg_sleep(60)"
    with (
        role(database) as bare,
        contextlib.nullcontext(database.connect(autocommit=True)) as idle,
        running(database, statement, until="wait_event = 'PgSleep'") as active,
    ):
        idle.execute("SELECT 1")
        with open_transaction(database, "SELECT 1") as waiting:
            result = run_check(database, check_id, user=bare, thresholds=AT_ONCE)
            assert (result.status, result.blind, result.findings) == (Status.UNKNOWN, True, ())
            assert result.hint == f'GRANT pg_monitor TO "{bare}";'
            assert all(f"pid {pid}" in (result.reason or "") for pid in (active, waiting))
            # An idle session holds no lock; one whose transaction has failed does not either.
            assert (f"pid {idle.info.backend_pid}" in (result.reason or "")) is (check_id == "idle-in-transaction")
            database.sql(f"GRANT pg_monitor TO {bare}")
            result = run_check(database, check_id, user=bare, thresholds=AT_ONCE)
            assert subjects(result) == [f"pid {waiting if check_id == 'idle-in-transaction' else active}"]
            database.sql(f"REVOKE pg_monitor FROM {bare}")
    idle.close()
    with role(database) as bare:
        assert run_check(database, check_id, user=bare, thresholds=AT_ONCE).status is Status.OK


def test_session_that_does_not_say_what_it_does(database: Database) -> None:
    with database.connect() as conn:
        conn.execute("SET track_activities = off")
        result = run_check(database, "idle-in-transaction", thresholds=AT_ONCE)
        assert (result.status, result.blind) == (Status.UNKNOWN, True)
        assert "track_activities" in (result.reason or "")


def test_long_running_statement(database: Database) -> None:
    with running(database, "SELECT 'secret', pg_sleep(60)", until="wait_event = 'PgSleep'") as pid:
        finding = only(run_check(database, "long-running-statement", thresholds=AT_ONCE))
        assert (finding.subject, finding.remedy) == (f"pid {pid}", f"SELECT pg_catalog.pg_cancel_backend({pid});")
        assert "secret" not in finding.detail
        assert finding.detail.endswith("waits for Timeout: PgSleep; SELECT ?, pg_sleep(?)")
        assert run_check(database, "long-running-statement", thresholds=NEVER).findings == ()


def test_long_running_statement_that_waits_for_a_lock_and_what_it_is(database: Database) -> None:
    database.sql("CREATE TABLE t (v int)")
    with open_transaction(database, "INSERT INTO t VALUES (1)"), running(database, "CREATE INDEX ON t (v)"):
        finding = only(run_check(database, "long-running-statement", thresholds=AT_ONCE))
        assert finding.detail.startswith("an index build for ")
        assert "waits for ShareLock on public.t: see blocked-sessions" in finding.detail


def test_limits() -> None:
    for check_id in ("idle-in-transaction", "long-running-statement"):
        judge = load(check_id).thresholds.judge
        assert [judge(value) for value in (299.9, 300, 1799.9, 1800)] == [
            Status.OK,
            Status.WARNING,
            Status.WARNING,
            Status.CRITICAL,
        ]
