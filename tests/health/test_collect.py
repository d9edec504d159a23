"""One snapshot, and a query that fails costs itself alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import pytest
from helpers import open_transaction, wait_until

from dbopt.errors import AnotherRunner
from dbopt.health.check import Check, Group, Unit, above
from dbopt.health.collect import collect
from dbopt.postgres import advisory
from dbopt.postgres.connect import connect
from dbopt.postgres.query import Query

if TYPE_CHECKING:
    from server import Database

    from dbopt.health.scene import Facts


@dataclass(frozen=True, slots=True)
class Row:
    value: str


def asking(text: LiteralString) -> Check[Any]:
    """A check that is nothing but its query, made inside a test so that it is no part of the registry of others."""
    return Check(
        id="one",
        title="One",
        group=Group.WORKLOAD,
        query=Query("one", Row, {(13,): text}),
        unit=Unit.COUNT,
        thresholds=above(warning=1, critical=None, source="none"),
        subject=lambda row: row.value,
        measure=lambda _row: 0,
        detail=lambda row: row.value,
    )


def gather(database: Database, *texts: LiteralString, **options: int) -> tuple[Facts, list[object]]:
    """The facts, and for each text its first value or its gap's reason."""
    checks = [asking(text) for text in texts]
    with connect(database.conninfo, command="health", read_only=True) as conn:
        facts = collect(conn, checks, **options)
    found: list[object] = []
    for check in checks:
        gap = facts.gaps.get(check.query)
        found.append(gap.reason if gap else facts.rows[check.query][0].value)
    return facts, found


WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE application_name = 'dbopt health' AND wait_event_type = 'Lock'"
    " AND datname = current_database()"
)
XMIN: LiteralString = "SELECT pg_catalog.pg_current_snapshot()::text AS value"


def test_all_queries_see_one_snapshot(database: Database) -> None:
    facts, found = gather(database, XMIN, "SELECT pg_catalog.pg_sleep(0.05)::text AS value", XMIN)
    assert found[0] == found[2]
    assert (facts.statements, facts.round_trips) == (9, 2)


def test_a_failure_costs_its_own_query_alone(database: Database) -> None:
    _, found = gather(
        database,
        "SELECT 'before' AS value",
        "SELECT (1 / 0)::text AS value",
        "SELECT 'after' AS value",
        "SELECT 'abc'::int::text AS value",
        "SELECT 'last' AS value",
    )
    assert found == [
        "before",
        "division by zero (SQLSTATE 22012)",
        "after",
        'invalid input syntax for type integer: "abc" (SQLSTATE 22P02)',
        "last",
    ]


def test_one_that_takes_too_long_is_cut_off(database: Database) -> None:
    facts, found = gather(
        database,
        "SELECT pg_catalog.pg_sleep(20)::text AS value",
        "SELECT 'after' AS value",
        statement_timeout_ms=200,
    )
    assert "too long" in str(found[0])
    assert found[1] == "after"
    assert all(gap.blind for gap in facts.gaps.values())


def test_a_lock_in_the_way_is_no_reason_to_wait(database: Database) -> None:
    database.sql("CREATE TABLE posts (id int)")
    with open_transaction(database, "LOCK TABLE posts"):
        _, found = gather(database, "SELECT count(*)::text AS value FROM public.posts", "SELECT 'after' AS value")
    assert found == ["a lock was in the way twice", "after"]


def test_what_was_locked_a_moment_ago_is_asked_again(database: Database) -> None:
    database.sql("CREATE TABLE posts (id int)")
    checks = [asking("SELECT count(*)::text AS value FROM public.posts")]
    waiting: LiteralString = "SELECT pg_catalog.pg_sleep(0.2)::text AS value"
    locker = database.connect()
    locker.execute("LOCK TABLE posts")

    def release() -> None:
        wait_until(lambda: database.sql(WAITING), "health to wait")
        locker.rollback()

    thread = threading.Thread(target=release)
    thread.start()
    with connect(database.conninfo, command="health", read_only=True) as conn:
        facts = collect(conn, [*checks, asking(waiting)])
    thread.join()
    assert not facts.gaps


def test_nothing_can_be_written(database: Database) -> None:
    database.sql("CREATE SEQUENCE numbers")
    _, found = gather(database, "SELECT pg_catalog.nextval('public.numbers')::text AS value")
    assert "read-only transaction" in str(found[0])


def test_the_second_is_told_what_the_first_is_doing(database: Database) -> None:
    with (
        connect(database.conninfo, command="health", read_only=True) as first,
        connect(database.conninfo, command="health", read_only=True) as second,
    ):
        first.execute("BEGIN")
        advisory.try_within_transaction(first.cursor(), advisory.Lock.HEALTH)
        first.execute("/* dbopt: sizes of everything */ SELECT 1")
        with pytest.raises(AnotherRunner) as caught:
            collect(second, [asking(XMIN)])
        assert f"pid {first.info.backend_pid}" in (caught.value.detail or "")
        assert "now: sizes of everything" in (caught.value.detail or "")
        first.execute("ROLLBACK")
        # The lock ended with the transaction.
        with connect(database.conninfo, command="health", read_only=True) as third:
            collect(third, [asking(XMIN)])


def test_settings_end_with_the_transaction(database: Database) -> None:
    with connect(database.conninfo, command="health", read_only=True) as conn:
        before = conn.execute("SHOW search_path").fetchone()
        collect(conn, [asking(XMIN)])
        assert conn.execute("SHOW search_path").fetchone() == before
