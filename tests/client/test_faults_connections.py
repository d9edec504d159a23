"""Connections that fail, for real: what is raised has a name, nothing is leaked, and the pool goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from health.standby import Node
from helpers import wait_until
from psycopg.conninfo import make_conninfo
from sqlalchemy import exc

from client.engines import APPLICATION, KINDS, Call, cleared, pid_of, run, sessions
from dbopt import embedded
from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_async_engine
from dbopt.client.failures import named
from dbopt.client.settings import Settings
from dbopt.errors import ConnectionFailed, ConnectionLost, NoSession, PoolExhausted, ReadOnlyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database, Server
    from sqlalchemy.ext.asyncio import AsyncEngine

    from dbopt.client.runtime import Runtime

both = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def shared(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fresh


@pytest.fixture
def database(shared: Database) -> Iterator[Database]:
    yield from cleared(shared)


def assert_settled(engine: sa.Engine, database: Database) -> None:
    """Nobody holds or waits for one; the pool knows of every session that the server has, and works."""
    figures = pool.figures(engine)
    assert (figures.used, figures.waiting) == (0, 0)
    wait_until(lambda: len(sessions(database)) == pool.figures(engine).open, "as many sessions as the pool has")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


# The session ends


def end(database: Database, pid: int) -> None:
    database.sql("SELECT pg_terminate_backend(%s)", [pid])
    wait_until(lambda: pid not in sessions(database), "the end of the session")


@both
def test_a_session_that_is_terminated_in_its_transaction(kind: str, url: str, database: Database) -> None:
    database.sql("CREATE TABLE notes (id int)")

    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        def write() -> None:
            with named(engine), engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO notes VALUES (1)")
                end(database, pid_of(connection))
                connection.exec_driver_sql("INSERT INTO notes VALUES (2)")

        with pytest.raises(ConnectionLost) as caught:
            write()
        assert caught.value.detail is not None
        assert "terminating connection" in caught.value.detail
        assert_settled(engine, database)

    run(kind, url, body)
    assert database.sql("SELECT * FROM notes") == []


@both
def test_a_session_that_is_terminated_before_its_commit(kind: str, url: str, database: Database) -> None:
    database.sql("CREATE TABLE notes (id int)")

    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        def write() -> None:
            with named(engine), engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO notes VALUES (1)")
                end(database, pid_of(connection))

        with pytest.raises(ConnectionLost):
            write()
        assert_settled(engine, database)

    run(kind, url, body)
    assert database.sql("SELECT * FROM notes") == []


@both
def test_a_transaction_that_is_idle_for_too_long(kind: str, url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        def wait() -> None:
            with named(engine), engine.begin() as connection:
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 1")
                wait_until(lambda: sessions(database) == [], "its end")
                connection.exec_driver_sql("SELECT 1")

        with pytest.raises(ConnectionLost):
            wait()
        assert_settled(engine, database)

    run(kind, url, body)


def test_what_psycopg_itself_says_has_the_same_names(url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("SET TRANSACTION READ ONLY")
            with pytest.raises(ReadOnlyServer), named(engine):
                driver.execute("CREATE TABLE notes (id int)")
            connection.rollback()
            end(database, driver.info.backend_pid)
            for _ in range(2):  # the server's last words, then libpq's own
                with pytest.raises(ConnectionLost), named(engine):
                    driver.execute("SELECT 1")
            with pytest.raises(psycopg.errors.UndefinedTable), named(engine):
                database.sql("SELECT * FROM nothing")
        assert_settled(engine, database)

    run("threads", url, body)


@both
def test_a_statement_that_is_cancelled_leaves_its_session(kind: str, url: str, database: Database) -> None:
    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as connection:
            before = pid_of(connection)
            connection.exec_driver_sql("SET LOCAL statement_timeout = 1")
            with pytest.raises(exc.OperationalError), named(engine):
                connection.exec_driver_sql("SELECT pg_sleep(10)")
        assert sessions(database) == [before]
        assert_settled(engine, database)

    run(kind, url, body)


# There is no session to be had


@both
def test_why_there_is_no_connection(kind: str, url: str, database: Database) -> None:
    database.sql("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
    cases = [
        ({"dbname": "nowhere"}, NoSession.UNKNOWN_DATABASE),
        ({"user": "nobody"}, NoSession.UNKNOWN_ROLE),
        ({"user": "few"}, NoSession.NO_SLOT),
        ({"host": "/nowhere"}, NoSession.DOWN),
        ({"host": "127.0.0.1", "port": "1"}, NoSession.DOWN),
        ({"host": "name.invalid"}, NoSession.NAME_RESOLUTION),
        ({"sslrootcert": "/nowhere", "sslmode": "verify-full", "host": "127.0.0.1"}, None),
    ]

    def body(engine: sa.Engine, _runtime: Runtime) -> ConnectionFailed:
        with pytest.raises(ConnectionFailed) as caught, named(engine):
            engine.connect()
        assert pool.figures(engine).used == pool.figures(engine).open == 0
        return caught.value

    for parameters, reason in cases:
        error = run(kind, make_conninfo(url, password="a secret", **parameters), body)
        assert error.message.startswith("could not connect to ")
        assert "a secret" not in f"{error!r} {error.detail} {error.hint}"
        assert error.hint
        assert reason is None or error.kind is reason
    database.sql("DROP ROLE few")


@pytest.fixture(scope="module")
def node(server_binaries: embedded.Binaries) -> Iterator[Node]:
    """A server of this file's own, which can be stopped and started again."""
    with embedded.start(binaries=server_binaries) as running:
        home = running.directory
        made = Node(home, shlex.split((home / "data/postmaster.opts").read_text())[0])
        yield made
        if (home / "data" / "postmaster.pid").exists():
            made.stop()


@both
def test_a_wrong_password(kind: str, node: Node) -> None:
    database = node.database
    database.sql("DROP ROLE IF EXISTS locked")
    # 13 still has another default.
    database.sql("SET password_encryption = 'scram-sha-256'; CREATE ROLE locked LOGIN PASSWORD 'right'")
    rules = node.home / "data" / "pg_hba.conf"
    if "locked" not in rules.read_text():
        rules.write_text(f"local all locked scram-sha-256\n{rules.read_text()}")
        node.reload()

    def body(engine: sa.Engine, _runtime: Runtime) -> ConnectionFailed | None:
        try:
            with engine.connect():
                return None
        except ConnectionFailed as error:
            return error

    conninfo = make_conninfo(database.conninfo, user="locked")
    assert run(kind, make_conninfo(conninfo, password="right"), body) is None
    for wrong in (make_conninfo(conninfo, password="a secret"), conninfo):
        error = run(kind, wrong, body)
        assert error.kind is NoSession.AUTHENTICATION
        assert "a secret" not in f"{error!r} {error.detail} {error.hint}"


@both
@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_server_that_goes_and_comes_back_under_load(kind: str, how: str, node: Node) -> None:
    """Some statements fail, by name; once the server is back, none does, and no session is left over."""
    database = node.database
    down, ended = threading.Event(), threading.Event()
    answered = {"before": 0, "after": 0}
    failed: list[BaseException] = []

    def fault() -> None:
        wait_until(lambda: answered["before"] > 50, "some answers")
        if how == "restart":
            node.stop(signal.SIGINT)
            time.sleep(0.05)
            node.start()
        else:
            with psycopg.connect(database.conninfo, autocommit=True) as bystander:
                os.kill(sessions(database)[0], signal.SIGKILL)
                wait_until(lambda: _is_gone(bystander), "the crash")
            wait_until(lambda: _answers(database), "the recovery")
        down.set()
        wait_until(lambda: answered["after"] > 50, "answers of the server that is back")
        ended.set()

    def body(engine: sa.Engine, runtime: Runtime) -> None:
        def work() -> None:
            while not ended.is_set():
                phase = "after" if down.is_set() else "before"
                try:
                    with named(engine), engine.begin() as connection:
                        connection.exec_driver_sql("SELECT 1")
                    answered[phase] += 1
                except (ConnectionLost, ConnectionFailed) as error:
                    failed.append(error)
                    runtime.sleep(0.01)
                runtime.sleep(0)

        call = Call(fault)
        try:
            runtime.each([work] * 8, 8)
        finally:
            ended.set()
            call.result()
        assert_settled(engine, database)
        assert pool.figures(engine).timeouts == 0
        assert pool.figures(engine).open <= 4

    run(kind, database.conninfo, body, max_connections=4)
    assert failed
    wait_until(lambda: sessions(database) == [], "the end of all sessions")


def _is_gone(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return True
    return False


def _answers(database: Database) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        return bool(database.sql("SELECT 1"))
    return False


@both
def test_a_server_that_is_down_stays_an_error_until_it_is_back(kind: str, node: Node) -> None:
    database = node.database

    def body(engine: sa.Engine, _runtime: Runtime) -> None:
        with engine.connect() as connection:
            before = pid_of(connection)
        node.stop(signal.SIGINT)
        kinds = []
        for _ in range(3):
            with pytest.raises((ConnectionFailed, ConnectionLost)) as caught, named(engine), engine.connect() as one:
                one.exec_driver_sql("SELECT 1")
            kinds.append(getattr(caught.value, "kind", None))
        assert kinds[1:] == [NoSession.DOWN] * 2
        assert pool.figures(engine).open == pool.figures(engine).used == 0
        node.start()
        with engine.connect() as connection:
            assert pid_of(connection) != before
        assert_settled(engine, database)

    run(kind, database.conninfo, body, max_connections=2)


# Tasks that are cancelled


def cancelled(url: str, body: Callable[[AsyncEngine], Any], **settings: Any) -> None:
    async def main() -> None:
        engine = make_async_engine(Settings.of(url, application=APPLICATION, **settings))
        try:
            await body(engine)
        finally:
            pool.close(engine)

    asyncio.run(main())


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _settled(engine: AsyncEngine, database: Database) -> None:
    figures = pool.figures(engine)
    assert (figures.used, figures.waiting) == (0, 0)
    await _until(lambda: len(sessions(database)) == pool.figures(engine).open)
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SELECT 1")).scalar_one() == 1


def test_a_task_that_is_cancelled_while_it_waits_for_a_connection(url: str, database: Database) -> None:
    async def body(engine: AsyncEngine) -> None:
        async def ask() -> int:
            async with engine.connect() as connection:
                return int((await connection.exec_driver_sql("SELECT 1")).scalar_one())

        async with engine.connect():
            tasks = [asyncio.create_task(ask()) for _ in range(3)]
            await _until(lambda: pool.figures(engine).waiting == 3)
            await _end(tasks[0])
            assert pool.figures(engine).waiting == 2
        assert await asyncio.gather(*tasks[1:]) == [1, 1]
        await _settled(engine, database)

    cancelled(url, body, max_connections=1)


def test_a_task_that_is_cancelled_just_when_it_gets_one(url: str, database: Database) -> None:
    """The connection is handed over, and the task does not run any more to take it."""

    async def body(engine: AsyncEngine) -> None:
        async def ask() -> None:
            async with engine.connect():
                pass

        held = await engine.connect()
        task = asyncio.create_task(ask())
        await _until(lambda: pool.figures(engine).waiting == 1)
        await held.close()  # hands it over without letting the other one run
        assert pool.figures(engine).waiting == 0
        await _end(task)
        await _settled(engine, database)

    cancelled(url, body, max_connections=1)


def test_a_task_that_is_cancelled_while_its_statement_runs(url: str, database: Database) -> None:
    async def body(engine: AsyncEngine) -> None:
        async def ask() -> None:
            async with engine.begin() as connection:
                await connection.exec_driver_sql("INSERT INTO notes VALUES (1)")
                await connection.exec_driver_sql("SELECT pg_sleep(60)")

        task = asyncio.create_task(ask())
        await _until(lambda: database.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        await _end(task)
        await _settled(engine, database)
        assert database.sql("SELECT count(*) FROM notes") == [(0,)]
        assert database.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == []

    database.sql("CREATE TABLE notes (id int)")
    cancelled(url, body, max_connections=2)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that lets everybody in, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"host=127.0.0.1 port={listening.getsockname()[1]}"


def test_a_task_that_is_cancelled_while_it_connects(silent: str) -> None:
    async def body(engine: AsyncEngine) -> None:
        async def ask() -> None:
            async with engine.connect():
                pass

        task = asyncio.create_task(ask())
        await _until(lambda: pool.figures(engine).used == 1)
        await _end(task)
        figures = pool.figures(engine)
        assert (figures.used, figures.open) == (0, 0)

    cancelled(silent, body, max_connections=1)


@pytest.mark.parametrize("kind", ["asyncio"])
def test_a_server_that_says_nothing_is_given_up(kind: str, silent: str) -> None:
    """After two seconds, the least that libpq knows."""

    def body(engine: sa.Engine, _runtime: Runtime) -> NoSession:
        with pytest.raises(ConnectionFailed) as caught:
            engine.connect()
        return caught.value.kind

    assert run(kind, silent, body, connect_timeout_ms=1) is NoSession.TIMEOUT


@both
def test_a_pool_that_was_exhausted_goes_on(kind: str, url: str, database: Database) -> None:
    def body(engine: sa.Engine, runtime: Runtime) -> None:
        def ask() -> bool:
            try:
                with engine.connect():
                    return True
            except PoolExhausted:
                return False

        with engine.connect(), engine.connect():
            assert runtime.each([ask] * 10, 10) == [False] * 10
        assert runtime.each([ask] * 10, 2) == [True] * 10
        assert pool.figures(engine).timeouts == 10
        assert_settled(engine, database)

    run(kind, url, body, max_connections=2, acquire_timeout_ms=20)
