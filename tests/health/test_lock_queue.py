"""Behind a queue for an ACCESS EXCLUSIVE lock, where monitors hang: every check answers, and none of them waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction, wait_until
from psycopg.errors import QueryCanceled

from tests.health.faults import PLANTED, plant
from tests.health.looks import failed, look_at, subjects

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from server import Database, Server

    from dbopt.health.scene import Facts
    from dbopt.health.verdict import Verdict

QUEUED = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

HELD = {
    "a table": "LOCK TABLE faulty.orders IN ACCESS EXCLUSIVE MODE",
    "every table": "LOCK TABLE faulty.orders, faulty.customers, faulty.nearly_full, faulty.half_dead,"
    " sound.orders, sound.customers, sound.nearly_full, sound.half_dead",
    "a dropped table": "DROP TABLE faulty.orders",
    "an emptied table": "TRUNCATE faulty.orders",
    "an index being rebuilt": "REINDEX INDEX faulty.orders_amount",
    "a table's indexes being rebuilt": "REINDEX TABLE faulty.orders",
    "a dropped index": "DROP INDEX faulty.orders_amount_again",
    "a dropped sequence": "DROP SEQUENCE faulty.nearly_full_id_seq CASCADE",
    "a changed sequence": "ALTER SEQUENCE faulty.nearly_full_id_seq AS bigint",
    "a rewritten table": "ALTER TABLE faulty.orders ALTER amount TYPE bigint",
}


@pytest.fixture(scope="module")
def planted(pg: Server) -> Iterator[Database]:
    """The same problems in two schemas: one gets into the queue, the other never does."""
    with pg.database() as fresh:
        plant(fresh, "faulty")
        plant(fresh, "sound")
        yield fresh


@pytest.fixture(scope="module")
def usual(planted: Database) -> tuple[Verdict, Facts]:
    return look_at(planted)


def elsewhere(verdict: Verdict) -> set[tuple[str, str]]:
    """The problems that no lock is on, by check and subject."""
    return {(result.id, name) for result in verdict.results for name in subjects(result) if name.startswith("sound.")}


def assert_nothing_waited(facts: Facts, usual: Facts) -> None:
    """A wait ends by lock_timeout, for nobody lets go here: a gap, or a second transaction that asks again."""
    assert failed(facts) == {}
    assert (facts.statements, facts.round_trips) == (usual.statements, usual.round_trips)


def assert_all_answered(verdict: Verdict, facts: Facts, usual: tuple[Verdict, Facts]) -> None:
    assert_nothing_waited(facts, usual[1])
    before = {result.id: result.blind for result in usual[0].results}
    for result in verdict.results:
        if result.blind and not before[result.id]:  # a sequence's value cannot be read behind a lock, and is one's own
            assert "locked" in (result.reason or ""), (result.id, result.reason)
            assert "faulty.nearly_full_id_seq" in (result.reason or "")


def test_what_is_planted_is_found(usual: tuple[Verdict, Facts]) -> None:
    verdict, _ = usual
    for result in verdict.results:
        if result.id in PLANTED:
            for schema in ("faulty", "sound"):
                assert any(name.startswith(f"{schema}.{PLANTED[result.id]}") for name in subjects(result)), result


@pytest.mark.parametrize("statement", HELD.values(), ids=HELD)
def test_a_lock_that_is_held(statement: str, planted: Database, usual: tuple[Verdict, Facts]) -> None:
    with open_transaction(planted, statement):
        verdict, facts = look_at(planted)
    assert_all_answered(verdict, facts, usual)
    if "sound" not in statement:
        assert elsewhere(verdict) >= elsewhere(usual[0])


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE faulty.orders ADD COLUMN extra int",
        "TRUNCATE faulty.orders, faulty.half_dead",
        "DROP INDEX faulty.orders_amount",
    ],
)
def test_a_lock_that_somebody_waits_for(statement: str, planted: Database, usual: tuple[Verdict, Facts]) -> None:
    """An idle transaction that has only read, a statement behind it, and behind that everybody else."""
    waiting = planted.connect()
    with open_transaction(planted, "SELECT count(*) FROM faulty.orders"):
        thread = threading.Thread(target=queue_up, args=[waiting, statement])
        thread.start()
        try:
            wait_until(lambda: planted.sql(QUEUED) != [(0,)], "the queue")
            verdict, facts = look_at(planted)
        finally:
            waiting.cancel()
            thread.join()
    assert_all_answered(verdict, facts, usual)
    assert elsewhere(verdict) >= elsewhere(usual[0])


def queue_up(conn: psycopg.Connection[object], statement: str) -> None:
    with pytest.raises(QueryCanceled):
        conn.execute(statement)  # type: ignore[call-overload]
    conn.rollback()


def test_the_size_of_what_is_locked_is_an_estimate(planted: Database) -> None:
    exact, _ = look_at(planted, checks=["duplicate-index"])
    assert not any("estimated" in finding.detail for finding in exact.results[0].findings)
    with open_transaction(planted, "LOCK TABLE faulty.orders; REINDEX TABLE faulty.orders"):
        verdict, _ = look_at(planted, checks=["duplicate-index"])
    marked = {finding.subject: "estimated" in finding.detail for finding in verdict.results[0].findings}
    assert {name.partition(".")[0]: estimated for name, estimated in marked.items()} == {"faulty": True, "sound": False}
