"""pg_stat_activity looked at again and again: added up without a server, and held against sessions really at work."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import wait_until
from psycopg.conninfo import make_conninfo

from dbopt.postgres.connect import connect
from dbopt.postgres.running import Here, Running, look
from dbopt.postgres.server import Server, inspect
from dbopt.workload.model import Kind, Source, Statement, Unplanned
from dbopt.workload.sample import Sampled, Tally, sample
from tests.health.waiting import role, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database
    from server import Server as TestServer

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HERE = Here(now=NOON, datid=5, query_bytes_max=1024, tracks_activities=True)
SERVER = Server(
    version_num=180004,
    dbname="app",
    server_version="18.4",
    system_identifier=None,
    in_recovery=False,
    usename="watcher",
    may_create_temp=True,
)
QUERY = "SELECT title FROM posts WHERE id = 17"
OTHER = "UPDATE posts SET title = 'secret' WHERE id = 3"


def row(pid: int | None, query: str | None = QUERY, **rest: Any) -> Running:
    values: dict[str, Any] = {
        "look_seconds": 0.0002,
        "datid": 5,
        "pid": pid,
        "leader_pid": None,
        "usesysid": 10,
        "application_name": "web",
        "state": "active",
        "wait_event": None,
        "query_start": NOON,
        "run_seconds": 1.0,
        "query_id": None,
        "query": query,
        "query_bytes": None if query is None else len(query.encode()),
        **rest,
    }
    return Running(**values)


def nobody(look_seconds: float = 0.0002) -> Running:
    """What a look says that finds nobody at work."""
    nothing: dict[str, Any] = dict.fromkeys(Running.__slots__)
    return Running(**{**nothing, "look_seconds": look_seconds})


def told(*looks: list[Running], here: Here = HERE, each_seconds: float = 0.1, **options: Any) -> Sampled:
    tally = Tally(here)
    for rows in looks:
        tally.add(rows)
        tally.lasted(each_seconds)
    return tally.sampled(SERVER, 30.0, 0.1, {10: "app", 11: "batch"}, {6: "other"}, **options)


def only(sampled: Sampled) -> Statement:
    [statement] = sampled.statements
    return statement


def test_time_is_what_the_looks_stand_for() -> None:
    tally = Tally(HERE)
    for rows, seconds in (([row(1), row(2, OTHER)], 0.1), ([row(1)], 0.3), ([nobody()], 0.6)):
        tally.add(rows)
        tally.lasted(seconds)
    found = tally.sampled(SERVER, 1.0, 0.1, {10: "app"}, {})
    first, second = found.statements
    assert (first.kind, second.kind) == (Kind.SELECT, Kind.UPDATE)
    assert first.counters.total_exec_time_ms == pytest.approx(400)
    assert second.counters.total_exec_time_ms == pytest.approx(100)
    assert first.share == pytest.approx(0.8)
    assert (first.samples, first.sessions, first.users) == (2, 1, ("app",))
    assert first.seconds == pytest.approx(1.0)
    assert found.totals.total_exec_time_ms == pytest.approx(500)
    assert (found.span.source, found.span.looks, found.span.from_at) == (Source.SAMPLE, 3, NOON)
    assert found.span.to_at == NOON + timedelta(seconds=1)
    assert (first.counters.rows, first.counters.shared_blks_read, first.dbname) == (None, None, None)


def test_values_make_no_other_statement_and_are_not_shown() -> None:
    seen = [
        [row(1, "SELECT title FROM posts WHERE id = 17")],
        [row(1, "SELECT title FROM posts  WHERE id = 4711 -- x")],
    ]
    statement = only(told(*seen))
    assert statement.samples == 2
    assert "17" not in (statement.query or "")
    assert "4711" not in (statement.query or "")
    assert only(told(*seen, show_literals=True)).query == "SELECT title FROM posts WHERE id = 17"


def test_calls_are_counted_as_often_as_they_were_met() -> None:
    later = NOON + timedelta(seconds=1)
    looks = [
        [row(1), row(2)],
        [row(1), row(2, query_start=later)],
        [nobody()],
        [row(1), row(2, OTHER, query_start=later)],  # the next statement of one string that was sent
    ]
    statements = {item.kind: item for item in told(*looks).statements}
    assert statements[Kind.SELECT].counters.calls == 3
    assert statements[Kind.SELECT].sessions == 2
    assert statements[Kind.UPDATE].counters.calls == 1


def test_parallel_workers_are_their_leaders_time() -> None:
    def worker(pid: int, wait: str | None) -> Running:
        return row(pid, None, leader_pid=1, wait_event=wait)

    gathers = row(1, wait_event="IPC: ExecuteGather")
    reading = [gathers, worker(2, "IO: DataFileRead"), worker(3, "IO: DataFileRead"), worker(4, None)]
    computing = [gathers, worker(2, None), worker(3, None), worker(4, "IO: DataFileRead")]
    own = [row(1, wait_event="LWLock: BufferMapping"), worker(2, "IO: DataFileRead")]
    orphan = [worker(9, "IO: DataFileRead")]  # between two looks at its leader
    statement = only(told(reading, computing, own, orphan))
    assert (statement.samples, statement.counters.calls, statement.sessions) == (3, 1, 1)
    assert statement.waits == (("IO: DataFileRead", 1), ("LWLock: BufferMapping", 1))


def test_ids_users_and_the_longest_run() -> None:
    looks = [
        [row(1, query_id=77, run_seconds=3.5), row(2, query_id=77, usesysid=11, run_seconds=0.1)],
        [row(1, query_id=77, run_seconds=3.6), row(3, query_id=78, usesysid=99, run_seconds=None)],
        [row(1, "SELECT title FROM posts WHERE id = 1 AND cut", query_id=77, run_seconds=3.7)],  # one id: one statement
    ]
    statement = only(told(*looks))
    assert statement.queryids == (77, 78)
    assert statement.users == ("app", "batch", "role 99")
    assert statement.userids == (10, 11, 99)
    assert statement.max_exec_time_ms == pytest.approx(3700)


def test_a_text_that_is_cut_off_is_not_planned() -> None:
    whole = "SELECT 1 FROM posts WHERE title = 'x' AND " + " AND ".join(f"c{i} = {i}" for i in range(200))
    cut = whole[:1023]
    statement = only(told([row(1, cut)]))
    assert isinstance(statement.planned, Unplanned)
    assert "1,023 bytes" in statement.planned.reason
    assert statement.planned.hint == "ALTER SYSTEM SET track_activity_query_size = '16kB'; -- then restart PostgreSQL"
    # A character of two bytes, which the last byte had no room for; and a text that just fits.
    assert only(told([row(1, "SELECT '" + "é" * 600, query_bytes=1022)])).planned is not None
    assert only(told([row(1, "SELECT '" + "e" * 600, query_bytes=1022)])).planned is None
    # With its id, a look that sees all of it is enough.
    roomy = Here(now=NOON, datid=5, query_bytes_max=2000, tracks_activities=True)
    short = row(1, "SELECT 1 FROM posts WHERE c1 = 1", query_id=7)
    assert only(told([short], [row(1, cut, query_id=7, query_bytes=1999)], here=roomy)).planned is None
    largest = Here(now=NOON, datid=5, query_bytes_max=1024 * 1024, tracks_activities=True)
    planned = only(told([row(1, "SELECT 1", query_bytes=1024 * 1024 - 1)], here=largest)).planned
    assert isinstance(planned, Unplanned)
    assert planned.hint is None


def test_what_cannot_be_seen_is_counted_and_said() -> None:
    hidden = [row(pid, None, state=None, application_name="x") for pid in (3, 4)]
    found = told([row(1), *hidden], [row(1), hidden[0]], [nobody()])
    assert (len(found.statements), found.hidden) == (1, 2)
    assert found.lacks == (("2 sessions of others are hidden from watcher", 'GRANT pg_read_all_stats TO "watcher";'),)
    silent = told([row(1), row(7, "", state="disabled")], [row(7, "", state="disabled")])
    assert silent.notes == ("1 session has track_activities off: what runs there cannot be seen",)
    off = Here(now=NOON, datid=5, query_bytes_max=1024, tracks_activities=False)
    [(reason, step)] = told([nobody()], here=off).lacks
    assert reason.startswith("track_activities is off")
    assert (step or "").startswith("ALTER SYSTEM SET track_activities")
    assert told([row(1)]).lacks == ()


def test_a_server_that_pays_much_for_a_look_is_looked_at_less_often() -> None:
    tally = Tally(HERE)
    tally.add([nobody(0.0002)])
    assert tally.pause_seconds < 0.1  # of 0.3 ms, the usual time between two looks is a hundred times as much
    tally.add([nobody(0.02)])
    assert tally.pause_seconds == pytest.approx(3.0)
    found = told([nobody(0.02)], [nobody(0.02)], each_seconds=3.0)
    assert found.notes == ("the server was looked at every 3.0 s, not every 100 ms: a look costs the server 30.0 ms",)
    assert told([nobody()], [nobody()], each_seconds=1.0).notes == (
        "the server was looked at every 1.0 s, not every 100 ms: answers and their texts take so long",
    )


def test_dbopt_itself_and_other_databases() -> None:
    looks = [[row(1, application_name="dbopt optimize"), row(2, datid=6), row(3, datid=7)]]
    found = {item.dbname: item for item in told(*looks).statements}
    assert found.keys() == {None, "other", "database 7"}
    assert found[None].kind is Kind.OWN
    assert found["other"].kind is Kind.SELECT
    both = told([row(1, application_name="dbopt optimize")], [row(2)])
    assert only(both).kind is Kind.SELECT


@contextlib.contextmanager
def watching(database: Database, user: str | None = None) -> Iterator[tuple[psycopg.Connection[Any], Server]]:
    conninfo = make_conninfo(database.conninfo, user=user) if user else database.conninfo
    with connect(conninfo, command="slow-queries", read_only=True) as conn:
        yield conn, inspect(conn)


def sampled(database: Database, user: str | None = None, *, looks: int = 4, **options: Any) -> Sampled:
    """So many looks, however slow this machine is, then an interrupt."""

    def enough(made: int, _seconds: float) -> None:
        if made == looks:
            raise KeyboardInterrupt

    with watching(database, user) as (conn, server):
        found = sample(conn, server, seconds=60, every_seconds=0.02, on_look=enough, **options)
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert found.is_interrupted
    assert found.span.looks == looks
    assert found.notes[0].startswith("interrupted after ")
    return found


def about(found: Sampled, word: str) -> Statement:
    [statement] = [item for item in found.statements if word in (item.query or "")]
    return statement


def test_sessions_at_work(database: Database, pg: TestServer) -> None:
    database.sql("CREATE TABLE posts (id int PRIMARY KEY, title text); INSERT INTO posts VALUES (1, 'a'), (2, 'b')")
    blocked = "UPDATE posts SET title = 'secret of somebody' WHERE id = 1"
    with (
        pg.database() as other,
        database.connect() as holder,
        running(database, "SELECT pg_sleep(30), 4711", until="wait_event = 'PgSleep'"),
        running(database, "SELECT pg_sleep(30), 4712", until="wait_event = 'PgSleep'"),
        running(other, "SELECT pg_sleep(30), 'elsewhere'", until="wait_event = 'PgSleep'"),
    ):
        holder.execute("SELECT id FROM posts WHERE id = 1 FOR UPDATE")  # then idle in transaction
        with running(database, blocked):
            found = sampled(database)
            everywhere = sampled(database, all_databases=True)
    assert len(found.statements) == 2
    asleep, waiting = about(found, "pg_sleep"), about(found, "posts")
    assert (asleep.samples, asleep.sessions, asleep.counters.calls) == (8, 2, 2)
    assert asleep.waits == (("Timeout: PgSleep", 8),)
    assert "47" not in (asleep.query or "")
    assert (waiting.samples, waiting.kind, waiting.waits) == (4, Kind.UPDATE, (("Lock: transactionid", 4),))
    assert "secret" not in (waiting.query or "")
    assert asleep.share == pytest.approx(2 / 3)
    assert asleep.counters.total_exec_time_ms == pytest.approx(2000 * (found.span.seconds or 0))
    assert (asleep.max_exec_time_ms or 0) > 0
    assert asleep.users == ("postgres",)
    if database.server_version >= (14,):
        assert len(asleep.queryids) == 1
    assert {item.dbname for item in everywhere.statements} == {None, other.name}


def test_a_parallel_query(database: Database) -> None:
    """Its workers run, and are no other sessions."""
    database.sql(
        "CREATE TABLE pages (id int, filler text) WITH (parallel_workers = 2, autovacuum_enabled = off);"
        "ALTER TABLE pages ALTER COLUMN filler SET STORAGE PLAIN;"
        "INSERT INTO pages SELECT g, repeat('x', 5000) FROM generate_series(1, 60) AS g;"
        "CREATE FUNCTION slow(int) RETURNS int LANGUAGE sql PARALLEL SAFE COST 1000000"
        " AS 'SELECT 1 FROM pg_sleep(30)'"
    )
    settings = (
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;"
        "SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off"
    )
    # Each takes some pages, and is as long at it as this test goes on.
    workers = "SELECT count(*) FROM pg_stat_activity AS w WHERE w.leader_pid = pg_stat_activity.pid"
    asleep = f"({workers} AND w.wait_event = 'PgSleep') = 2"
    with running(database, "SELECT id FROM pages WHERE slow(id) = 1", settings, until=asleep):
        statement = only(sampled(database))
    assert (statement.samples, statement.sessions, statement.counters.calls) == (4, 1, 1)
    assert statement.waits == (("Timeout: PgSleep", 4),)


def test_a_role_that_may_not_see_others(database: Database) -> None:
    with role(database) as name, running(database, "SELECT pg_sleep(30)", until="wait_event = 'PgSleep'"):
        found = sampled(database, name)
        assert found.statements == ()
        assert found.hidden >= 1  # a session that has just ended may still be seen
        [(reason, step)] = found.lacks
        assert f" of others {'is' if found.hidden == 1 else 'are'} hidden from {name}" in reason
        database.sql(step or "")
        assert len(sampled(database, name).statements) == 1


def test_a_long_text_and_a_session_that_tells_nothing(database: Database) -> None:
    long = "SELECT pg_sleep(30), " + ", ".join(f"'é{i}' AS c{i}" for i in range(200))
    with (
        running(database, long, until="wait_event = 'PgSleep'"),
        running(database, "SELECT pg_sleep(31)", "SET track_activities = off", until="state = 'disabled'"),
    ):
        found = sampled(database)
    statement = only(found)
    assert isinstance(statement.planned, Unplanned)
    assert found.notes[-1] == "1 session has track_activities off: what runs there cannot be seen"


def test_a_text_in_another_encoding(database: Database, pg: TestServer) -> None:
    name = f"{database.name}_bytes"
    database.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with psycopg.connect(pg.conninfo, dbname=name, autocommit=True) as other:
            # No test after this one could read a text, would pg_stat_statements keep this one.
            other.execute("SET pg_stat_statements.track = 'none'")

            def run() -> None:
                with contextlib.suppress(psycopg.errors.QueryCanceled):
                    other.execute(b'SELECT pg_sleep(30) AS "caf\xe9"')

            thread = threading.Thread(target=run)
            thread.start()
            asleep = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'PgSleep'"
            wait_until(lambda: database.sql(asleep), "sleeping")
            try:
                found = sampled(database, all_databases=True, show_literals=True)
            finally:
                other.cancel_safe()
                thread.join()
    finally:
        database.sql(f"DROP DATABASE {name}")
    [statement] = [item for item in found.statements if item.dbname == name]
    assert statement.query == 'SELECT pg_sleep(30) AS "caf\ufffd"'


def test_it_ends_by_itself_and_is_as_long_as_it_was_asked_to_be(database: Database) -> None:
    heard: list[tuple[int, float]] = []
    with watching(database) as (conn, server):
        found = sample(
            conn, server, seconds=0.2, every_seconds=0.05, on_look=lambda looks, at: heard.append((looks, at))
        )
    assert not found.is_interrupted
    assert [looks for looks, _ in heard] == list(range(1, len(heard) + 1))
    assert found.span.looks == len(heard)
    assert (found.span.seconds or 0) >= 0.2
    assert heard[0][1] == 0.0
    assert all(one[1] < other[1] for one, other in itertools.pairwise(heard))
    assert found.statements == ()


def test_an_interrupt_while_the_server_answers(database: Database) -> None:
    """Ctrl-C in the middle of a look: what was seen before is told."""

    def slowly(looks: int, _seconds: float) -> None:
        if looks == 2:
            threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()

    with (
        running(database, "SELECT pg_sleep(30)", until="wait_event = 'PgSleep'"),
        watching(database) as (conn, server),
    ):
        found = sample(conn, server, seconds=60, every_seconds=0.0, on_look=slowly)
        assert len(look(conn, server)) >= 1
    assert found.is_interrupted
    assert (found.span.looks or 0) - 1 <= (only(found).samples or 0) <= (found.span.looks or 0)
