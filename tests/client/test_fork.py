"""A child process never uses, nor closes, what its parent has open."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from helpers import wait_until
from sqlalchemy import orm

from client.engines import APPLICATION, cleared, pid_of, sessions
from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_async_engine, make_engine
from dbopt.client.settings import Settings
from dbopt.errors import Closed, Forked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database, Server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(body: Callable[[], Any]) -> Any:
    """What `body` gives in a child process, as JSON carries it; its error as text."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: other threads run
        pid = os.fork()
    if pid == 0:
        try:
            said = json.dumps(body())
        except BaseException as error:  # noqa: BLE001 - it goes to the parent
            own = ", its own cause" if error.__cause__ is error else ""
            said = json.dumps(f"{type(error).__name__}{own}: {error}")
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    os.waitpid(pid, 0)
    return json.loads(said)


@pytest.fixture(scope="module")
def shared(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fresh


@pytest.fixture
def database(shared: Database) -> Iterator[Database]:
    yield from cleared(shared)


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = make_engine(Settings.of(url, application=APPLICATION, max_connections=2, acquire_timeout_ms=100))
    yield made
    pool.close(made)


def ask(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return pid_of(connection)


def test_a_child_has_connections_of_its_own(engine: sa.Engine, database: Database) -> None:
    parents = ask(engine)

    def body() -> list[int]:
        before = pool.figures(engine)
        pids = [ask(engine), ask(engine)]
        pool.close(engine)
        return [*pids, before.open, before.acquires, pool.figures(engine).open]

    first, second, before, acquires, after = in_child(body)
    assert first == second != parents
    assert (before, acquires, after) == (0, 0, 0)
    wait_until(lambda: sessions(database) == [parents], "the end of the child's session")
    assert ask(engine) == parents


def test_what_was_in_use_does_not_exhaust_the_childs_pool(engine: sa.Engine) -> None:
    with engine.connect() as one, engine.connect() as two:
        parents = {pid_of(one), pid_of(two)}
        assert in_child(lambda: ask(engine)) not in parents
        assert {pid_of(one), pid_of(two)} == parents


@pytest.mark.parametrize("does", ["execute", "commit", "flush"])
def test_an_open_session_is_refused_in_the_child(does: str, engine: sa.Engine, database: Database) -> None:
    database.sql("CREATE TABLE notes (id int PRIMARY KEY)")
    table = sa.table("notes", sa.column("id"))
    with orm.Session(engine) as session:
        session.execute(sa.insert(table).values(id=1))

        def body() -> str:
            if does == "commit":
                session.commit()
            elif does == "flush":
                session.connection().connection.driver_connection.cursor()  # type: ignore[union-attr]
            else:
                session.execute(sa.insert(table).values(id=2))
            return "done"

        assert str(in_child(body)).startswith("Forked: a connection of the parent process")
        session.commit()
    assert database.sql("SELECT id FROM notes") == [(1,)]


def test_leaving_a_session_in_the_child_does_the_parent_no_harm(engine: sa.Engine, database: Database) -> None:
    database.sql("CREATE TABLE notes (id int PRIMARY KEY)")
    session = orm.Session(engine)
    session.execute(sa.text("INSERT INTO notes VALUES (1)"))

    def body() -> str:
        with session:
            session.rollback()
        with session, pytest.raises(Forked):
            raise Forked("left by an error")
        session.close()
        return "left"

    assert in_child(body) == "left"
    session.commit()
    session.close()
    assert database.sql("SELECT id FROM notes") == [(1,)]
    assert pool.figures(engine).used == 0


def test_a_closed_database_stays_closed_in_the_child(engine: sa.Engine) -> None:
    pool.close(engine)
    assert in_child(lambda: ask(engine)).startswith(Closed.__name__)


def test_a_lock_that_another_thread_held_does_not_stop_the_child(engine: sa.Engine) -> None:
    ask(engine)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with engine.pool._totals.lock, engine.pool._pool._matching:  # type: ignore[attr-defined]
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert isinstance(in_child(lambda: ask(engine)), int)
    finally:
        done.set()
        thread.join()


def test_children_of_children(engine: sa.Engine) -> None:
    own = ask(engine)
    pids = in_child(lambda: [ask(engine), in_child(lambda: ask(engine)), ask(engine)])
    assert len({own, *pids}) == 3
    assert pids[0] == pids[2]
    assert ask(engine) == own


def test_asyncios_connections_are_not_used_in_the_child(url: str, database: Database) -> None:
    async def main() -> None:
        engine = make_async_engine(Settings.of(url, application=APPLICATION, max_connections=1))
        async with engine.connect() as connection:
            own = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            said = in_child(lambda: drive(connection.exec_driver_sql("SELECT 1")))
            assert said.startswith("Forked")
            assert in_child(lambda: drive(connection.rollback())) is None
            assert (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one() == own
            assert sessions(database) == [own]
        pool.close(engine)

    asyncio.run(main())


def drive(coroutine: Any) -> Any:
    """To its end, where it waits for nothing: the child has the parent's event loop, and cannot run it."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


def test_a_child_that_ends_in_good_order_ends_no_session_of_its_parent(url: str) -> None:
    """The interpreter clears its modules away: whatever would close a connection then, does."""
    script = """
        import os, sys, warnings
        import sqlalchemy as sa
        from dbopt.client.connections.engine import make_engine
        from dbopt.client.settings import Settings
        from dbopt.client.connections import pool

        engine = make_engine(Settings.of(sys.argv[1]))
        session = engine.connect()
        pid = session.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        if os.fork() == 0:
            del session
            sys.exit()
        os.wait()
        assert session.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == pid
        session.close()
        pool.close(engine)
        print("done")
    """
    program = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script), url]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
