"""The pool: as many connections as allowed, first come first served, and everybody knows who has them."""

from __future__ import annotations

import asyncio
import gc
import random
import re
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from helpers import wait_until
from pooler import pooled
from sqlalchemy import exc
from sqlalchemy.util.queue import Empty

from client.engines import APPLICATION, KINDS, Call, cleared, pid_of, run, sessions
from dbopt import errors
from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_async_engine, make_engine
from dbopt.client.connections.holders import SHOWN, shown
from dbopt.client.connections.line import Line
from dbopt.client.settings import Settings
from dbopt.errors import Closed, ConnectionFailed, PoolExhausted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server
    from sqlalchemy.ext.asyncio import AsyncConnection

    from dbopt.client.runtime import Runtime

ASK = "SELECT count(*) FROM pg_class WHERE relname <> 'a secret'"
both = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def shared(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fresh


@pytest.fixture
def database(shared: Database) -> Iterator[Database]:
    yield from cleared(shared)


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """With one connection."""
    made = make_engine(Settings.of(url, application=APPLICATION, max_connections=1, acquire_timeout_ms=20_000))
    yield made
    pool.close(made)


@both
def test_no_more_connections_than_allowed_and_all_are_served(kind: str, url: str, database: Database) -> None:
    open_at_once = []

    def body(engine: sa.Engine, runtime: Runtime) -> None:
        def ask() -> int:
            with engine.connect() as connection:
                open_at_once.append(pool.figures(engine).open)
                return int(connection.exec_driver_sql("SELECT 1").scalar_one())

        assert runtime.each([ask] * 60, 30) == [1] * 60
        figures = pool.figures(engine)
        assert (figures.size, figures.used, figures.waiting, figures.timeouts) == (3, 0, 0, 0)
        assert figures.acquires == figures.acquire.count == 60
        assert figures.wait_seconds > 0
        assert figures.open == len(sessions(database)) == 3

    run(kind, url, body, max_connections=3)
    assert max(open_at_once) == 3
    wait_until(lambda: sessions(database) == [], "the end of all sessions")


@both
def test_the_connection_that_was_used_last_is_used_again(kind: str, url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as first, engine.connect() as second:
            pids = [pid_of(first), pid_of(second)]
        with engine.connect() as again:
            assert pid_of(again) == pids[0]  # given back last
        assert pool.figures(engine).wait_seconds == 0

    run(kind, url, body)


@both
def test_idle_connections_are_closed_down_to_the_minimum(kind: str, url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect(), engine.connect(), engine.connect(), engine.connect() as last:
            kept = pid_of(last)
        closed: list[int] = []
        wait_until(lambda: closed.append(pool.close_idle(engine)) or sum(closed) == 3, "three to be idle")
        assert pool.close_idle(engine) == 0
        assert pool.figures(engine).open == 1
        wait_until(lambda: len(sessions(database)) == 1, "the end of three sessions")
        # Those that were used last stay; `with` gives them back from the last to the first.
        assert sessions(database) != [kept]
        with engine.connect() as again, engine.connect() as another:
            assert pid_of(again) in sessions(database)
            assert pid_of(another) in sessions(database)

    run(kind, url, body, idle_timeout_ms=1, min_connections=1)


@both
def test_what_is_not_idle_for_long_stays(kind: str, url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as connection:
            pid = pid_of(connection)
        assert pool.close_idle(engine) == 0
        with engine.connect() as connection:
            assert pid_of(connection) == pid

    run(kind, url, body, idle_timeout_ms=60_000)
    run(kind, url, body, idle_timeout_ms=0)


def test_idle_connections_of_asyncio_are_closed_by_another_thread(url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect(), engine.connect():
            pass
        closed: list[int] = []
        close = lambda: closed.append(pool.close_idle(engine))  # noqa: E731
        wait_until(lambda: Call(close).result() or sum(closed) == 2, "both to be idle")
        wait_until(lambda: sessions(database) == [], "the end of the sessions")
        with engine.connect() as connection:
            assert pid_of(connection)

    run("asyncio", url, body, idle_timeout_ms=1)


@both
def test_warm_opens_the_minimum(kind: str, url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        assert pool.figures(engine).open == 0
        with engine.connect():
            pool.warm(engine)
            assert len(sessions(database)) == 3
        assert pool.figures(engine).acquires == 1

    run(kind, url, body, min_connections=3)


def test_who_came_first_is_served_first(engine: sa.Engine) -> None:
    order = []

    def ask(number: int) -> None:
        with engine.connect():
            order.append(number)

    with engine.connect():
        calls = []
        for number in range(5):
            calls.append(Call(lambda number=number: ask(number)))  # type: ignore[misc]
            wait_until(lambda: pool.figures(engine).waiting == len(calls), "the next in line")
    with engine.connect():  # whoever gives one back and wants another stands behind all of them
        order.append(5)
    for call in calls:
        call.result()
    assert order == [0, 1, 2, 3, 4, 5]


@both
def test_an_exhausted_pool_says_who_holds_what(kind: str, url: str) -> None:
    def body(engine: sa.Engine, runtime: Runtime) -> str:
        def ask() -> str:
            with pytest.raises(PoolExhausted, match=r"no connection to .* became free within 0.05 s") as caught:
                engine.connect()
            assert isinstance(caught.value, exc.TimeoutError)  # as SQLAlchemy's own
            assert caught.value.hint is not None
            assert "max_connections" in caught.value.hint
            return str(caught.value.detail)

        with engine.connect() as connection, engine.connect():
            connection.exec_driver_sql(ASK)
            [said, _] = runtime.each([ask, ask], 2)
        figures = pool.figures(engine)
        assert (figures.used, figures.waiting, figures.timeouts) == (0, 0, 2)
        with engine.connect():
            pass
        return said

    lines = run(kind, url, body, max_connections=2, acquire_timeout_ms=50).splitlines()
    assert lines[0].startswith("2 of 2 connections are in use")
    name = "thread MainThread" if kind == "threads" else r"task Task-\d+"
    assert re.match(rf"for .* {name} at ", lines[1])
    assert "test_pool.py:" in lines[1]
    assert lines[1].endswith("SELECT count(*) FROM pg_class WHERE relname <> $1")
    assert "SELECT" not in lines[2]
    assert "a secret" not in str(lines)


def test_who_holds_one_and_asks_for_another_is_told_so(url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect(), pytest.raises(PoolExhausted) as caught:
            engine.connect()
        assert caught.value.hint is not None
        assert "itself" in caught.value.hint

    run("threads", url, body, max_connections=1, acquire_timeout_ms=1)


def test_a_long_list_of_holders_is_cut(url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        connections = [engine.connect() for _ in range(SHOWN + 2)]
        held = pool.holders(engine)
        assert [holder.seconds for holder in held] == sorted((holder.seconds for holder in held), reverse=True)
        assert len({holder.backend_pid for holder in held}) == SHOWN + 2
        with pytest.raises(PoolExhausted) as caught:
            engine.connect()
        for connection in connections:
            connection.close()
        lines = str(caught.value.detail).splitlines()
        assert len(lines) == SHOWN + 2
        assert lines[-1] == "and 2 more"

    run("threads", url, body, max_connections=SHOWN + 2, acquire_timeout_ms=1)


@both
def test_statements_of_all_kinds_of_cursors_are_noted(kind: str, url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        def last() -> str | None:
            return pool.holders(engine)[0].statement

        with engine.connect() as connection:
            assert last() is None
            connection.execute(sa.text("SELECT 1 WHERE 1 = :x"), {"x": 1})
            assert last() == "SELECT $2 WHERE $3 = $1"
            connection.execute(sa.text("SELECT 2 AS b"), execution_options={"stream_results": True}).all()
            assert last() == "SELECT $1 AS b"
            connection.exec_driver_sql("CREATE TEMP TABLE a (b int)")
            connection.execute(sa.text("INSERT INTO a VALUES (:b)"), [{"b": 1}, {"b": 2}])
            assert last() == "INSERT INTO a VALUES ($1)"
        with engine.connect():
            assert last() is None

    run(kind, url, body)


def test_what_is_shown_of_a_statement() -> None:
    assert shown(None) is None
    assert shown(b"SELECT 'x'") == "SELECT $1"
    assert shown("SELECT * FROM a WHERE b = %(b_1)s AND c = 'x'") == "SELECT * FROM a WHERE b = $1 AND c = $2"
    long = shown(f"SELECT {', '.join(f'column_{number}' for number in range(100))} FROM a")
    assert long is not None
    assert len(long) == 203


@both
def test_a_closed_pool_closes_everything_and_says_so(kind: str, url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect():
            pass
        with engine.connect() as held:
            pool.close(engine)
            assert held.exec_driver_sql("SELECT 1").scalar_one() == 1
            with pytest.raises(Closed):
                engine.connect()
        assert pool.figures(engine).open == 0
        with pytest.raises(Closed):
            engine.connect()
        with pytest.raises(Closed):
            pool.warm(engine)
        engine.dispose()
        with pytest.raises(Closed):
            engine.connect()

    run(kind, url, body)
    wait_until(lambda: sessions(database) == [], "the end of all sessions")


def test_who_waits_when_the_pool_is_closed_does_not_wait_on(engine: sa.Engine) -> None:
    with engine.connect():
        calls = [Call(engine.connect) for _ in range(3)]
        wait_until(lambda: pool.figures(engine).waiting == 3, "three to wait")
        pool.close(engine)
        for call in calls:
            with pytest.raises(Closed):
                call.result()


@both
def test_a_disposed_pool_begins_anew(kind: str, url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as held:
            before = pid_of(held)
            engine.dispose()
            with engine.connect() as other:
                assert pid_of(other) != before
            assert pid_of(held) == before
        wait_until(lambda: before not in sessions(database), "the end of the old session")
        assert pool.figures(engine).acquires == 2

    run(kind, url, body)


@both
def test_those_behind_one_who_cannot_connect_do_not_wait_for_nothing(kind: str, url: str) -> None:
    def body(engine: sa.Engine, runtime: Runtime) -> None:
        def ask() -> None:
            with pytest.raises(ConnectionFailed):
                engine.connect()

        runtime.each([ask] * 6, 6)
        assert pool.figures(engine).used == 0
        assert pool.figures(engine).timeouts == 0

    run(kind, f"{url} dbname=nowhere", body, max_connections=1)


@both
def test_a_dead_connection_is_replaced_unseen(
    kind: str, url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PING_AFTER_SECONDS", 0.0)

    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as connection:
            before = pid_of(connection)
        database.sql("SELECT pg_terminate_backend(%s)", [before])
        wait_until(lambda: before not in sessions(database), "its end")
        with engine.connect() as connection:
            assert pid_of(connection) != before
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "12345ms"

    run(kind, url, body, statement_timeout_ms=12_345)


@both
def test_an_old_connection_is_replaced(kind: str, url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as connection:
            before = pid_of(connection)
        slot = next(iter(engine.pool._slots))  # type: ignore[attr-defined]
        for slot in engine.pool._slots:  # type: ignore[attr-defined]
            slot.starttime -= 3600
        with engine.connect() as connection:
            assert pid_of(connection) != before

    run(kind, url, body, recycle_seconds=1800)


def test_a_forgotten_session_gives_its_connection_to_who_waits(engine: sa.Engine) -> None:
    forgotten: list[Any] = [engine.connect()]
    forgotten[0].loop = forgotten  # only the collector finds it
    call = Call(lambda: pid_of(engine.connect()))
    wait_until(lambda: pool.figures(engine).waiting == 1, "one to wait")
    forgotten.clear()
    gc.collect()
    assert call.result()
    gc.collect()


def test_a_task_whose_loop_was_closed_gets_nothing(url: str) -> None:
    engine = make_async_engine(Settings.of(url, max_connections=1))
    loop = asyncio.new_event_loop()

    async def wait() -> None:
        await engine.connect().start()

    async def hold() -> AsyncConnection:
        connection = await engine.connect()
        loop.create_task(wait()).add_done_callback(lambda _: None)
        while not pool.figures(engine).waiting:
            await asyncio.sleep(0)
        return connection

    held = loop.run_until_complete(hold())
    [task] = asyncio.all_tasks(loop)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()

    async def ask() -> int:
        await held.close()
        async with engine.connect() as connection:
            return int((await connection.exec_driver_sql("SELECT 1")).scalar_one())

    assert asyncio.run(ask()) == 1
    assert pool.figures(engine).waiting == 0
    pool.close(engine)
    del task
    gc.collect()  # what is wrong with it shows here, and not in another test


def test_slots_are_never_lost_nor_given_twice() -> None:
    """Threads take, wait, give up and give back, at random."""
    line = Line(3)
    slots = [SimpleNamespace(number=number, dbapi_connection=None, user=None) for number in range(3)]
    for slot in slots:
        line.put(slot)
    failed = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(150):
            try:
                slot: Any = line.get(timeout=rng.choice((0.0, 0.0001, 0.001, 5.0)))
            except Empty:
                continue
            if slot.user is not None:
                failed.append(slot)
            slot.user = seed
            slot.dbapi_connection = rng.choice((None, "open"))
            time.sleep(0)
            slot.user = None
            line.put(slot)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert not line.waiting
    assert sorted(line.get(block=False).number for _ in slots) == [0, 1, 2]  # type: ignore[attr-defined]
    with pytest.raises(Empty):
        line.get(block=False)


@both
@pytest.mark.parametrize("prepared", [None, True, False])
def test_session_settings_arrive(kind: str, prepared: bool | None, url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "1500ms"
            assert connection.exec_driver_sql("SHOW application_name").scalar_one() == APPLICATION
            driver = connection.connection.driver_connection
            assert driver is not None
            assert driver.prepare_threshold == (None if prepared is False else 5)
            assert driver.info.get_parameters()["tcp_user_timeout"] == "30000"
            assert not driver.is_pooled
            assert not driver.autocommit
        with pytest.raises(exc.OperationalError, match="statement timeout"), engine.connect() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 10; SELECT pg_sleep(10)")
        assert pool.figures(engine).open == 1  # the session lives on

    run(kind, url, body, statement_timeout_ms=1_500, prepared_statements=prepared)


@both
def test_the_servers_own_timeout_stays_where_none_is_asked_for(kind: str, url: str, database: Database) -> None:
    database.sql(f"ALTER DATABASE {database.name} SET statement_timeout = '7s'")

    def body(engine: sa.Engine, _runtime: Runtime) -> str:
        with engine.connect() as connection:
            return str(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())

    assert run(kind, url, body, statement_timeout_ms=None) == "7s"
    assert run(kind, url, body, statement_timeout_ms=0) == "0"
    database.sql(f"ALTER DATABASE {database.name} RESET statement_timeout")


@both
def test_parameters_do_not_stand_in_errors(kind: str, url: str) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> str:
        with pytest.raises(exc.ProgrammingError) as caught, engine.connect() as connection:
            connection.execute(sa.text("SELECT nothing WHERE 'x' = :x"), {"x": "a secret"})
        return str(caught.value)

    assert "a secret" not in run(kind, url, body)


@both
def test_behind_a_pooler_nothing_is_left_in_sessions_of_the_servers(kind: str, pg: Server, database: Database) -> None:
    """Two clients of one session: what one sets, the other one would have."""
    with pooled(pg, database) as conninfo:

        def shown_by(engine: sa.Engine, _runtime: Runtime) -> tuple[str, str]:
            with engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                assert driver.is_pooled
                assert driver.prepare_threshold is None
                for number in range(10):
                    assert connection.exec_driver_sql("SELECT %s::int", (number,)).scalar_one() == number
                own = str(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())
                connection.rollback()
                again = str(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())
                return own, again

        assert run(kind, conninfo, shown_by, statement_timeout_ms=4_321) == ("4321ms", "4321ms")

        def left(engine: sa.Engine, _runtime: Runtime) -> str:
            with engine.connect() as connection:
                return str(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())

        assert run(kind, conninfo, left, statement_timeout_ms=None) == "0"


def test_errors_have_one_parent() -> None:
    assert issubclass(pool.PoolExhausted, errors.PoolExhausted)
    assert issubclass(pool.PoolExhausted, errors.ClientError)
