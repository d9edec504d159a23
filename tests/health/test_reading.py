"""`dbopt health` leaves the server's counters in the store, for no statement more."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import open_transaction, wait_until

from dbopt.health import memory
from dbopt.postgres.connect import connect
from dbopt.postgres.counters import ACTIVITY
from dbopt.postgres.server import inspect
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot.collect import collect
from dbopt.snapshot.model import Family, Part
from dbopt.snapshot.server import session_levels
from dbopt.store import plain, snapshots
from dbopt.store.location import locate
from dbopt.store.targets import Whose
from tests.health.looks import look_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_runner import Result
    from server import Database


def by_health(database: Database, *checks: str, user: str | None = None) -> tuple[Part, ...]:
    return memory.counted(look_at(database, checks=checks, user=user)[1])


def by_snapshot(conninfo: str) -> Part:
    with connect(conninfo, command="snapshot", read_only=True) as conn:
        server = inspect(conn)
        around = SURROUNDINGS.rows(conn, server.version)[0]
        return collect(conn, server, around, [Family.SERVER]).snapshot.parts[Family.SERVER]


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[], list[tuple[str, Part]]]:
    """What a store of this test's own has of the server's counters: the target's name and the last reading."""

    def look() -> list[tuple[str, Part]]:
        location = locate(url(tmp_path))
        assert location is not None
        if not (tmp_path / "store.db").exists():
            return []
        with plain.transaction(location, reading=True, wait_seconds=1) as session:
            return [
                (known.name, part)
                for known in snapshots.known(session)
                if (part := snapshots.head(session, known.target_id, Family.SERVER)) is not None
            ]

    return look


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.mark.parametrize(
    ("options", "leaves"),
    [
        ((), True),
        (("--only", "cache-hit-ratio"), True),
        (("--only", "deadlocks"), False),
        (("--skip", "cache-hit-ratio"), False),
        (("--no-store",), False),
    ],
)
def test_a_look_leaves_what_it_has_read(
    options: tuple[str, ...],
    leaves: bool,
    database: Database,
    run_cli: Callable[..., Result],
    kept: Callable[[], list[tuple[str, Part]]],
    tmp_path: Path,
) -> None:
    result = run_cli(
        "health", "-d", database.conninfo, "--fail-on", "never", *options, env={"DBOPT_STORE_URL": url(tmp_path)}
    )
    assert (result.code, result.err) == (0, "")
    found = kept()
    assert len(found) == (1 if leaves else 0)
    for _, part in found:
        assert (part.family, "database" in part.subjects) == (Family.SERVER, True)


def test_it_is_the_reading_that_snapshot_takes(database: Database) -> None:
    """So that one goes on where the other has stopped."""
    since = "SELECT stats_reset IS NOT NULL FROM pg_stat_database WHERE datname = current_database()"
    if database.server_version < (15,):  # from there on it is told only when somebody resets
        wait_until(lambda: database.sql(since) == [(True,)], "the beginning of counting")
    [ours], theirs = by_health(database), by_snapshot(database.conninfo)
    assert (ours.lineage, ours.counts, set(ours.levels)) == (theirs.lineage, theirs.counts, set(theirs.levels))
    assert ours.subjects.keys() == theirs.subjects.keys()
    for key, subject in ours.subjects.items():
        other = theirs.subjects[key]
        assert (subject.name, subject.identity, subject.since) == (other.name, other.identity, other.since)
        assert [value is None for value in subject.counts] == [value is None for value in other.counts]
    assert (ours.database_oid, len(ours.of_database)) == (theirs.database_oid, len(theirs.of_database))
    # Of what grows on a server at rest with every session, it has no more than who looks later.
    at = ours.counts.index("xact_commit")
    assert (ours.subjects["database"].counts[at] or 0) <= (theirs.subjects["database"].counts[at] or 0)


def test_sessions_are_counted_as_by_the_query_of_snapshot(database: Database) -> None:
    """One idle, one idle in transaction, one that waits for it, and the one that looks."""
    database.sql("CREATE TABLE held (n int)")
    database.connect(autocommit=True).execute("SELECT 1")
    waiting = database.connect()
    with open_transaction(database, "LOCK held"):
        blocked = threading.Thread(target=_select, args=[waiting])
        blocked.start()

        def both() -> tuple[dict[str, float], dict[str, float]]:
            with connect(database.conninfo, command="health", read_only=True) as conn:
                rows = ACTIVITY.rows(conn, database.server_version)
            [part] = by_health(database, "cache-hit-ratio", "connection-slots")
            levels = {name: value for name, value in part.levels.items() if name.startswith("connections")}
            return levels, {name: value for name, value in session_levels(rows).items() if name in levels}

        wait_until(lambda: both()[1].get("connections_waiting") == 1, "the lock wait")
        wait_until(lambda: both()[0] == both()[1], "the same numbers")  # sessions of before may still be ending
        ours, _ = both()
        waiting.cancel()
        blocked.join()
    assert ours["connections"] >= 4
    assert (ours["connections_idle_in_transaction"], ours["connections_waiting"]) == (1, 1)
    assert ours["connections_max"] > ours["connections"]


def _select(conn: psycopg.Connection[Any]) -> None:
    try:
        conn.execute("SELECT * FROM held")
    except psycopg.errors.QueryCanceled:
        conn.rollback()


def test_what_a_bare_role_may_not_see_is_not_said(database: Database) -> None:
    name = f"{database.name}_bare"
    database.sql(f"CREATE ROLE {name} LOGIN")
    database.connect(autocommit=True).execute("SELECT 1")
    [part] = by_health(database, user=name)
    assert {"connections", "connections_max", "numbackends"} <= part.levels.keys()
    assert not {"connections_active", "autovacuum_workers", "replicas"} & part.levels.keys()
    commits = part.subjects["database"].counts[part.counts.index("xact_commit")]
    assert commits is not None


def test_two_looks_make_an_interval(database: Database, run_cli: Callable[..., Result], tmp_path: Path) -> None:
    _, facts = look_at(database)
    [part] = memory.counted(facts)
    location = locate(url(tmp_path))
    assert location is not None
    plain.make_ready(location)
    earlier = replace(part, taken_at=part.taken_at - timedelta(minutes=5))
    with plain.transaction(location, reading=False, wait_seconds=1) as session:
        snapshots.keep(session, Whose.of_server(facts.server, "anything"), "app", [earlier])
    only = ("--only", "cache-hit-ratio")
    result = run_cli("health", "-d", database.conninfo, *only, env={"DBOPT_STORE_URL": url(tmp_path)})
    assert (result.code, result.err) == (0, "")
    with plain.transaction(location, reading=True, wait_seconds=1) as session:
        [known] = snapshots.known(session)
        [interval] = snapshots.intervals(session, known.target_id, Family.SERVER)
    assert 300 <= interval.seconds < 400
    assert (interval.breaks, known.dbname) == ((), database.name)
