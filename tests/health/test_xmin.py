"""Who holds VACUUM back: sessions, prepared transactions, slots and standbys, by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from helpers import open_transaction

from dbopt.health.check import Finding, NotJudged, Status, above
from dbopt.health.checks.xmin_horizon import CHECK
from dbopt.postgres.prepared import PREPARED_TRANSACTIONS
from dbopt.postgres.sessions import SESSIONS, Session, SlotHorizon
from tests.health.looks import run_check, subjects
from tests.health.test_blocking import session
from tests.health.waiting import role, running

if TYPE_CHECKING:
    from server import Database

    from dbopt.health.check import Result

AT_ONCE = above(warning=0.0, critical=None, source="test")
LIMITS = {limit.name: limit.value for limit in CHECK.limits}


def look(db: Database, user: str | None = None, **limits: float) -> Result:
    return run_check(db, "xmin-horizon", thresholds=AT_ONCE, user=user, limits=limits)


def of(result: Result, subject: str) -> Finding:
    [found] = [finding for finding in result.findings if finding.subject == subject]
    return found


def test_transaction_that_has_written(database: Database) -> None:
    database.sql("CREATE TABLE t (v int)")
    with open_transaction(database, "INSERT INTO t VALUES (1)") as pid:
        database.sql("CREATE TABLE another ()")
        finding = of(look(database), f"pid {pid}")
        assert finding.remedy == f"SELECT pg_catalog.pg_terminate_backend({pid});"
        assert "idle in transaction: postgres@" in finding.detail
        assert "INSERT INTO t VALUES (?)" in finding.detail
        assert run_check(database, "xmin-horizon").status is Status.OK


def test_snapshot_that_is_kept(database: Database) -> None:
    with database.connect() as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute("SELECT 1")
        assert f"pid {conn.info.backend_pid}" in subjects(look(database))


def test_transaction_that_holds_nothing(database: Database) -> None:
    with open_transaction(database, "SELECT 1") as pid:
        assert f"pid {pid}" not in subjects(look(database))


def test_statement_that_runs(database: Database) -> None:
    with running(database, "SELECT pg_sleep(60)", until="wait_event = 'PgSleep'") as pid:
        assert of(look(database), f"pid {pid}").remedy == f"SELECT pg_catalog.pg_cancel_backend({pid});"


def test_prepared_transaction(small: Database) -> None:
    small.sql("CREATE TABLE t (v int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'one'")
    try:
        finding = of(look(small), "prepared one")
        assert finding.remedy == f"ROLLBACK PREPARED 'one';  -- in database {small.name}"
    finally:
        small.sql("ROLLBACK PREPARED 'one'")


def test_slot(small: Database) -> None:
    small.sql("SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')")
    try:
        for _ in range(3):
            small.sql("SELECT pg_current_xact_id()")
        known_since = small.server_version >= (17,)
        assert subjects(look(small)) == (["slot forgotten"] if known_since else [])
        if not known_since:
            finding = of(look(small, old=2, very_old=10**9), "slot forgotten")
            assert finding.status is Status.WARNING
            assert "pg_drop_replication_slot('forgotten')" in (finding.remedy or "")
            assert "in system catalogs pins" in finding.detail
    finally:
        small.sql("SELECT pg_drop_replication_slot('forgotten')")


def test_role_without_rights(database: Database) -> None:
    with role(database) as user, open_transaction(database, "SELECT pg_current_xact_id()") as pid:
        result = look(database, user)
        assert (result.status, result.blind) == (Status.UNKNOWN, True)
        assert result.hint == f'GRANT pg_monitor TO "{user}";'
        assert f"pid {pid}" in (result.reason or "")


def holders(*sessions: Session, slots: tuple[SlotHorizon, ...] = (), in_recovery: bool = False) -> list[Any]:
    own = session(1, is_own=True, xmin_age=10, feeds_back=False)
    rows = {SESSIONS: (own, *sessions), PREPARED_TRANSACTIONS: ()}
    scene = SimpleNamespace(
        rows=rows.__getitem__,
        server=SimpleNamespace(in_recovery=in_recovery, usename="me"),
        limits=LIMITS,
        show_literals=False,
    )
    return list(CHECK.rows(slots, scene))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        # A new snapshot for each statement: its transaction may be as old as it likes.
        ({"xmin_age": 500, "xact_seconds": 7200.0, "query_seconds": 0.1}, 0.1),
        # Older than any statement could make it: the transaction's snapshot, as pg_dump has it.
        ({"xmin_age": 900_000, "xact_seconds": 7200.0, "query_seconds": 0.1}, 7200.0),
        ({"xid_age": 500, "xmin_age": 500, "xact_seconds": 7200.0, "query_seconds": 0.1}, 7200.0),
        ({"xmin_age": 500, "xact_seconds": 7200.0, "query_seconds": 0.1, "state": "idle in transaction"}, 7200.0),
    ],
)
def test_since_when_a_session_holds_it(values: dict[str, Any], seconds: float) -> None:
    [holder] = holders(session(2, **values))
    assert holder.seconds == seconds


def test_those_who_hold_nothing_back() -> None:
    assert holders(session(2), session(3, xmin_age=5, vacuums=True), session(4, xmin_age=5, leader_pid=2)) == []


def test_the_culprit_is_named_and_not_who_comes_after() -> None:
    culprit = session(2, xid_age=900, xact_seconds=7200.0, state="idle in transaction")
    reader = session(3, xmin_age=900, xact_seconds=60.0, query_seconds=60.0)
    victim = session(4, xid_age=800, xmin_age=900, xact_seconds=60.0, query_seconds=60.0, blocked_by=[2])
    writer = session(5, xid_age=700, xmin_age=900, xact_seconds=50.0, query_seconds=50.0)
    assert [(holder.subject, holder.age) for holder in holders(culprit, reader, victim, writer)] == [
        ("pid 2", 900),
        ("pid 5", 700),
    ]
    assert [holder.subject for holder in holders(session(4, xid_age=800, blocked_by=[9]))] == ["pid 4"]


@pytest.mark.parametrize(
    ("age", "expected"),
    [(4_999_999, Status.OK), (5_000_000, Status.WARNING), (50_000_000, Status.CRITICAL)],
)
def test_without_a_time_age_counts(age: int, expected: Status) -> None:
    sender = session(2, is_walsender=True, backend_type="walsender", application_name="replica", xmin_age=age)
    slot = SlotHorizon("s", "physical", None, True, age, None, None)
    found = holders(sender, slots=(slot,))
    assert [(holder.subject, holder.grade) for holder in found] == [("standby replica", expected), ("slot s", expected)]


def test_standby_without_feedback() -> None:
    with pytest.raises(NotJudged) as caught:
        holders(session(2, xmin_age=5), in_recovery=True)
    assert caught.value.status is Status.SKIPPED
