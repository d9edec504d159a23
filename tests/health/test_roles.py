"""Taking a right away may make a check say that it does not know, never that all is well."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import open_transaction, wait_until

from dbopt.health.check import Status, Unit
from dbopt.health.checks import all_checks
from tests.health.faults import PLANTED, plant
from tests.health.looks import look_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.health.check import Check, Result, Thresholds
    from dbopt.health.verdict import Verdict

ROLES = {
    "pg_monitor": "GRANT pg_monitor TO {role}",
    "pg_monitor and pg_read_all_data": "GRANT pg_monitor, pg_read_all_data TO {role}",
    "pg_read_all_data": "GRANT pg_read_all_data TO {role}",
    "pg_read_all_stats": "GRANT pg_read_all_stats TO {role}",
    "bare": "SELECT 1",
}


@pytest.fixture(scope="module")
def faulty(pg: Server, server_binaries: Any) -> Iterator[Database]:
    """With what can be planted in a database, and sessions that hold something."""
    with pg.database() as fresh:
        plant(fresh)
        if server_binaries.has_library("pg_stat_statements"):
            fresh.sql("CREATE EXTENSION pg_stat_statements")
        fresh.sql("CREATE TABLE held (id int PRIMARY KEY, n int); INSERT INTO held VALUES (1, 1)")
        with fresh.connect(autocommit=True) as conn:
            for _ in range(12):  # repeated statements, of another role's than those that look
                conn.execute("SELECT pg_sleep(0.011), count(*) FROM faulty.orders")
        waiting = fresh.connect()
        with open_transaction(fresh, "UPDATE held SET n = 2"):
            cursor = waiting.cursor()
            blocked = _in_thread(cursor)
            wait_until(lambda: fresh.sql(_WAITING) != [(0,)], "a blocked session")
            yield fresh
            waiting.cancel()
            blocked.join()


_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    " AND state = 'active'"
)


def _in_thread(cursor: psycopg.Cursor[Any]) -> Any:
    from threading import Thread

    def update() -> None:
        with pytest.raises(psycopg.errors.QueryCanceled):
            cursor.execute("UPDATE held SET n = 3")

    thread = Thread(target=update)
    thread.start()
    return thread


@pytest.fixture(scope="module")
def roles(faulty: Database) -> dict[str, str]:
    """The names of the roles, by what they may. pg_read_all_data came with 14."""
    names = {}
    for number, (kind, grant) in enumerate(ROLES.items()):
        if "pg_read_all_data" in grant and faulty.server_version < (14,):
            continue
        names[kind] = f"{faulty.name} role {number}"
        faulty.sql(f'CREATE ROLE "{names[kind]}" LOGIN')
        faulty.sql(grant.format(role=f'"{names[kind]}"'))
    return names


def harsh(check: Check[Any]) -> Thresholds:
    """By which whatever has been measured is a problem."""
    return replace(check.thresholds, warning=math.inf if check.thresholds.below else -math.inf, critical=None)


def low(check: Check[Any]) -> dict[str, float]:
    """Limits below which nothing would be left out: nothing is too small, too young or too rare."""
    small = (Unit.BYTES, Unit.SECONDS, Unit.COUNT, Unit.TRANSACTIONS)
    named = ("min_", "window")
    return {limit.name: 1e-9 for limit in check.limits if limit.unit in small and limit.name.startswith(named)}


def seen(database: Database, user: str | None, *, keen: bool) -> tuple[dict[str, Result], Verdict]:
    """What each check says; `keen`: with limits by which everything is a problem."""
    wishes: dict[str, Any] = {}
    if keen:
        wishes = {
            "thresholds": {check.id: harsh(check) for check in all_checks()},
            "limits": {check.id: low(check) for check in all_checks()},
        }
    verdict, _ = look_at(database, user=user, **wishes)
    return {result.id: result for result in verdict.results}, verdict


def kinds(database: Database) -> list[str]:
    return [kind for kind in ROLES if "pg_read_all_data" not in kind or database.server_version >= (14,)]


def test_the_superuser_sees_what_is_planted(faulty: Database) -> None:
    found, _ = seen(faulty, None, keen=False)
    for check_id in PLANTED:
        assert found[check_id].status.is_problem, found[check_id]


@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("keen", [False, True], ids=["own limits", "limits that find everything"])
def test_no_right_less_makes_a_problem_ok(kind: str, keen: bool, faulty: Database, roles: dict[str, str]) -> None:
    if kind not in roles:
        pytest.skip("pg_read_all_data came with 14")
    by_superuser, _ = seen(faulty, None, keen=keen)
    by_role, verdict = seen(faulty, roles[kind], keen=keen)
    lost = {
        check_id: f"{by_superuser[check_id].status} became {result.status}: {result.reason} / {result.hint}"
        for check_id, result in by_role.items()
        if by_superuser[check_id].status.is_problem and not _honest(result)
    }
    assert lost == {}
    assert verdict.status is not Status.OK
    assert verdict.exit_code() != 0


def _honest(result: Result) -> bool:
    """It says so, or why not and what would help."""
    if result.status is Status.SKIPPED or result.status is Status.UNKNOWN:
        return bool(result.reason) and bool(result.hint) and (result.blind or result.status is Status.SKIPPED)
    return result.status.is_problem


@pytest.mark.parametrize("kind", ROLES)
def test_what_a_role_cannot_see_has_its_grant(kind: str, faulty: Database, roles: dict[str, str]) -> None:
    """In the exact words, with the name in quotes as it has to be; and what is granted helps."""
    if kind not in roles:
        pytest.skip("pg_read_all_data came with 14")
    by_role, _ = seen(faulty, roles[kind], keen=False)
    name = f'"{roles[kind]}"'
    for result in by_role.values():
        if result.blind:
            assert name in (result.hint or ""), (result.id, result.reason, result.hint)
            assert (result.hint or "").startswith("GRANT "), (result.id, result.hint)


def test_every_hint_of_a_bare_role_can_be_pasted_and_helps(faulty: Database) -> None:
    name = f"{faulty.name} pasted"
    faulty.sql(f'CREATE ROLE "{name}" LOGIN')
    for _ in range(6):
        by_role, _ = seen(faulty, name, keen=False)
        hints = {result.hint for result in by_role.values() if result.blind and result.hint}
        if not hints:
            break
        for hint in hints:
            faulty.sql(hint)
    assert {result.id: (result.reason, result.hint) for result in by_role.values() if result.blind} == {}
