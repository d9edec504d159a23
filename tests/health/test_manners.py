"""`dbopt health` is never part of the outage: counted at the wire, held up, killed, and behind a pooler."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import pooler
import psycopg
import pytest
from helpers import wait_until
from server import Database

from dbopt.health.check import Check, Group, Unit, above
from dbopt.health.collect import collect
from dbopt.postgres.connect import connect
from dbopt.postgres.query import Query
from tests.health.faults import plant
from tests.health.looks import failed, look_at, told
from tests.health.wire import Wire

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Server

    from dbopt.embedded import Binaries

    Spawn = Callable[..., subprocess.Popen[str]]

STATEMENTS_MAX = 30
ROUND_TRIPS_MAX = 3  # after logging in: the transaction, all questions at once, goodbye
BEFORE_THE_QUESTIONS = 2  # round trips: the transaction, and then all questions at once
TIMEOUT_SECONDS = 30
OURS = "FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'dbopt%%'"


@pytest.fixture
def full(database: Database, server_binaries: Binaries) -> Database:
    """A database for which every check has something to ask."""
    plant(database)
    if server_binaries.has_library("pg_stat_statements"):
        database.sql("CREATE EXTENSION pg_stat_statements")
    return database


def sessions(database: Database) -> list[tuple[int, str, str]]:
    return database.sql(f"SELECT pid, application_name, state {OURS} ORDER BY pid", [database.name])


@dataclass(frozen=True, slots=True)
class Row:
    value: str


def asking(text: LiteralString) -> Check[Any]:
    """A check that is nothing but its query."""
    return Check(
        id="one",
        title="One",
        group=Group.WORKLOAD,
        query=Query("one", Row, {(13,): text}),
        unit=Unit.COUNT,
        thresholds=above(warning=1, critical=None, source="none"),
        subject=lambda row: row.value,
        measure=lambda _: 0,
        detail=lambda row: row.value,
    )


def test_few_statements_in_few_round_trips_on_one_connection(full: Database) -> None:
    with Wire(full.conninfo, delay_seconds=0.05) as wire:
        far = Database(wire.conninfo, full.name)
        wire.connections.clear()
        verdict, facts = look_at(far)
    [traffic] = wire.connections
    assert len(told(verdict)) >= 7
    assert failed(facts) == {}
    assert traffic.errors() == 0
    assert facts.statements <= STATEMENTS_MAX
    assert traffic.statements() == facts.statements
    assert traffic.round_trips <= ROUND_TRIPS_MAX


def test_no_check_can_write(database: Database) -> None:
    database.sql("CREATE TABLE posts (id int)")
    writing = asking("INSERT INTO public.posts VALUES (1) RETURNING id::text AS value")
    with connect(database.conninfo, command="health", read_only=True) as conn:
        facts = collect(conn, [writing])
    assert "read-only" in facts.gaps[writing.query].reason
    assert database.sql("SELECT * FROM posts") == []


@pytest.fixture
def held_up(database: Database, spawn_cli: Spawn) -> Iterator[tuple[Wire, subprocess.Popen[str]]]:
    """A `dbopt health` that has begun its transaction, and whose questions are stuck on the way."""
    with Wire(database.conninfo, hold_at=BEFORE_THE_QUESTIONS) as wire:
        process = spawn_cli("health", "-d", wire.conninfo, "--format", "json", "--skip", "unsafe-durability")
        assert wire.held.wait(TIMEOUT_SECONDS)
        yield wire, process


def test_a_second_start_ends_at_once_and_says_what_the_first_does(
    held_up: tuple[Wire, subprocess.Popen[str]], database: Database, run_cli: Callable[..., Result]
) -> None:
    wire, first = held_up
    [(pid, name, state)] = sessions(database)
    assert (name, state) == ("dbopt health", "idle in transaction")
    second = run_cli("health", "-d", database.conninfo)
    assert second.code == 3
    words = second.out + second.err
    assert "another dbopt is at work" in words
    assert f"pid {pid}" in words
    assert "now: what this session may see" in words
    wire.release()
    out, err = first.communicate(timeout=TIMEOUT_SECONDS)
    assert (first.returncode, json.loads(out)["status"]) == (0, "ok"), err
    assert run_cli("health", "-d", database.conninfo, "--skip", "unsafe-durability").code == 0


def test_another_database_is_not_concerned(
    held_up: tuple[Wire, subprocess.Popen[str]], pg: Server, run_cli: Callable[..., Result]
) -> None:
    with pg.database() as other:
        assert run_cli("health", "-d", other.conninfo, "--skip", "unsafe-durability").code == 0


def test_the_end_of_a_client_is_the_end_of_its_session(
    held_up: tuple[Wire, subprocess.Popen[str]], database: Database
) -> None:
    _, process = held_up
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: sessions(database) == [], "the end of the session")


def test_killed_whenever_it_leaves_nothing(full: Database, spawn_cli: Spawn) -> None:
    for _ in range(3):
        process = spawn_cli("health", "-d", full.conninfo)
        wait_until(lambda: sessions(full) or process.poll() is not None, "a session")  # noqa: B023
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: sessions(full) == [], "the end of the session")
    assert full.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_a_session_whose_client_vanished_in_a_statement_ends(database: Database) -> None:
    """The server looks after the client while it works, from 14 on; 13 ends at the statement's timeout."""
    sleeping = asking("SELECT pg_catalog.pg_sleep(60)::text AS value")
    sleeps = f"SELECT 1 {OURS} AND wait_event = 'PgSleep'"
    with Wire(database.conninfo) as wire:

        def vanish() -> None:
            wait_until(lambda: database.sql(sleeps, [database.name]), "sleep")
            wire.cut()

        thread = threading.Thread(target=vanish)
        thread.start()
        with connect(wire.conninfo, command="health", read_only=True) as conn, pytest.raises(psycopg.OperationalError):
            collect(conn, [sleeping], statement_timeout_ms=2_000)
        thread.join()
        wait_until(lambda: sessions(database) == [], "the end of the session")


def test_behind_a_pooler_everything_is_seen_and_nothing_stays(pg: Server, full: Database) -> None:
    with pooler.pooled(pg, full) as conninfo:
        # The pooler itself hands application_name on, and takes it back from who has one of his own.
        own = (
            "SELECT pg_backend_pid(), (SELECT array_agg(name || setting ORDER BY name) FROM pg_settings"
            " WHERE source = 'session' AND name <> 'application_name')"
        )
        with psycopg.connect(conninfo, autocommit=True) as client:
            before = client.execute(own).fetchone()
        near, _ = look_at(full)
        far, facts = look_at(Database(conninfo, full.name))
        assert failed(facts) == {}
        assert told(far) == told(near)
        with psycopg.connect(conninfo, autocommit=True) as client:
            assert client.execute(own).fetchone() == before  # the same session of the server's, as it was
            client.execute("CREATE TABLE of_the_next_client (id int)")
