"""Answers that are given again, and when they are not: writes, transactions, races; threads and asyncio alike."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from helpers import wait_until
from sqlalchemy import event, orm

from client import asking
from client.asking import NAME, ONCE, Asking, both
from client.engines import KINDS, Call
from client.models import Base, Customer, customer
from dbopt import embedded
from dbopt.client import AsyncDatabase, Cached, Database
from dbopt.client.cache import Cache
from dbopt.client.cache.mutex import Mutex
from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_async_engine, make_engine
from dbopt.client.runtime import Asyncio
from dbopt.client.settings import Settings
from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database as Own
    from server import Server

    from dbopt.client.runtime import Runtime


@pytest.fixture(scope="module")
def shop_database(pg: Server) -> Iterator[Own]:
    with asking.shop_database(pg) as database:
        yield database


@pytest.fixture
def shop_url(shop_database: Own) -> str:
    return asking.opened(shop_database)


@pytest.fixture
def shop(shop_url: str) -> Iterator[Asking]:
    with asking.asking(shop_url) as made:
        yield made


# Writes


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_given_until_its_table_is_written_to(kind: str, shop_url: str) -> None:
    def body(shop: Asking, _: Runtime) -> None:
        assert [shop.name() for _ in range(3)] == ["Ada"] * 3
        assert shop.reads == 1
        shop.rename("Eve")
        assert [shop.name() for _ in range(2)] == ["Eve"] * 2
        assert shop.reads == 2
        with shop.engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO \"order\" (id, status, total) VALUES (1, 'OPEN', 1)"))
        assert (shop.name(), shop.reads) == ("Eve", 2)
        figures = shop.cache.figures()
        assert (figures.hits, figures.misses, figures.entries, figures.hit_ratio) == (4, 2, 1, 4 / 6)

    both(kind, shop_url, body)


def test_what_is_rolled_back_ends_nothing(shop: Asking) -> None:
    shop.name()
    with shop.engine.connect() as connection:
        connection.execute(ONCE.values(name="Eve"))
        connection.rollback()
        connection.execute(sa.select(1))
        connection.commit()
    with orm.Session(shop.engine) as session:
        session.execute(ONCE.values(name="Eve"))
    assert (shop.name(), shop.reads) == ("Ada", 1)


def test_each_way_to_commit_counts(shop_url: str) -> None:
    """A session, autocommit, statements that are sent as text; what a savepoint has undone counts too."""

    def by_session(engine: sa.Engine, name: str) -> None:
        with orm.Session(engine) as session:
            found = session.get(Customer, 1)
            assert found is not None
            found.name = name
            session.commit()

    def by_autocommit(engine: sa.Engine, name: str) -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(ONCE.values(name=name))

    def by_text(engine: sa.Engine, name: str) -> None:
        with engine.connect() as connection:
            connection.execute(ONCE.values(name=name))
            connection.exec_driver_sql("COMMIT")

    def by_cte(engine: sa.Engine, name: str) -> None:
        with engine.begin() as connection:
            done = ONCE.values(name=name).returning(customer.c.id).cte("done")
            connection.execute(sa.select(done))

    def in_savepoint(engine: sa.Engine, name: str) -> None:
        with orm.Session(engine) as session:
            with session.begin_nested():
                session.execute(ONCE.values(name=name))
            with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
                session.execute(customer.insert().values(id=1, name="x"))
            session.commit()

    def by_merge(engine: sa.Engine, name: str) -> None:
        with engine.begin() as connection:
            connection.execute(customer.delete().where(customer.c.id == 1))
            connection.execute(customer.insert(), [{"id": 1, "name": name}, {"id": 7, "name": name}])
            connection.execute(customer.delete().where(customer.c.id == 7))

    ways = [by_session, by_autocommit, by_text, by_cte, in_savepoint, by_merge]
    with asking.asking(shop_url) as shop:
        for number, way in enumerate(ways):
            shop.name()
            way(shop.engine, f"name {number}")
            assert shop.name() == f"name {number}", way.__name__
        assert shop.reads == len(ways) + 1


def test_two_phases(server_binaries: embedded.Binaries) -> None:
    with embedded.start(binaries=server_binaries, settings={"max_prepared_transactions": "4"}) as private:
        url = private.conninfo
        with asking.asking(url) as shop:
            Base.metadata.create_all(shop.engine)
            with shop.engine.begin() as connection:
                connection.execute(customer.insert().values(id=1, name="Ada"))
            shop.name()
            with shop.engine.connect() as connection:
                transaction = connection.begin_twophase()
                connection.execute(ONCE.values(name="Eve"))
                transaction.prepare()
                assert shop.name() == "Ada"
                more = shop.reads - 1  # SQLAlchemy 2.0 prepares by a statement, which may have been a commit
                transaction.commit()
            assert shop.name() == "Eve"
            with shop.engine.connect() as connection:
                transaction = connection.begin_twophase()
                connection.execute(ONCE.values(name="Bo"))
                transaction.prepare()
                transaction.rollback()
            assert (shop.name(), shop.reads) == ("Eve", 2 + 2 * more)
            # Prepared by a session that has ended: nobody knows what it has written.
            with shop.engine.connect() as connection:
                connection.execute(ONCE.values(name="Cy"))
                connection.exec_driver_sql("PREPARE TRANSACTION 'left'")
                connection.invalidate()
            assert shop.name() == "Eve"
            with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("COMMIT PREPARED 'left'")
            assert shop.name() == "Cy"


def test_a_commit_that_fails_may_have_been_done(shop: Asking) -> None:
    shop.name()
    with shop.engine.connect() as connection:
        pid = connection.scalar(sa.select(sa.func.pg_backend_pid()))
        connection.execute(ONCE.values(name="Eve"))
        with shop.engine.connect() as other:
            other.execute(sa.select(sa.func.pg_terminate_backend(pid)))
        with pytest.raises(sa.exc.DBAPIError):
            connection.commit()
    shop.name()
    assert shop.reads == 2


def test_copy_is_told_of(shop: Asking) -> None:
    shop.name()
    with orm.Session(shop.engine) as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        with driver.cursor().copy("COPY customer (id, name) FROM STDIN") as copy:
            copy.write_row((5, "Flo"))
        shop.cache.wrote(session, ["public.customer"])
        assert shop.cache.has_written(session)
        assert (shop.name(), shop.reads) == ("Ada", 1)
        session.commit()
    assert (shop.name(), shop.reads) == ("Ada", 2)


def test_by_tag_and_by_table(shop: Asking) -> None:
    how = Cached(60, tags=("dashboard:1", "all"))
    shop.name(how)
    shop.cache.invalidate(tags=["dashboard:2"], tables=["order"])
    assert (shop.name(how), shop.reads) == ("Ada", 1)
    for change in (
        {"tags": ["all"]},
        {"tags": ["dashboard:1"]},
        {"tables": ["customer"]},
        {"tables": ["app.customer"]},
    ):
        shop.cache.invalidate(**change)
        before = shop.reads
        shop.name(how)
        assert shop.reads == before + 1
    shop.cache.clear()
    assert shop.cache.figures().entries == 0
    with pytest.raises(UsageError, match="nothing to invalidate"):
        shop.cache.invalidate()
    with pytest.raises(UsageError, match="a sequence of names"):
        shop.cache.invalidate(tags="dashboard")


def test_an_answer_grows_old(shop: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    clock = [now]
    monkeypatch.setattr("time.time", lambda: clock[0])
    monkeypatch.setattr("dbopt.client.cache.memory.time", lambda: clock[0])
    shop.name(10)
    clock[0] += 9
    assert (shop.name(10), shop.reads) == ("Ada", 1)
    assert (shop.name(5), shop.reads) == ("Ada", 2)  # the ttl is the caller's own
    clock[0] += 11
    shop.name(10)
    assert shop.reads == 3


# Races


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_reader_leaves_no_old_row(kind: str, shop_url: str) -> None:
    """It has read before the commit, and is done after it. Who asks in between does not wait for it, either."""

    def body(shop: Asking, runtime: Runtime) -> None:
        has_read, may_end = [], []

        def slow() -> Any:
            value = shop.read()
            has_read.append(value)
            while not may_end:
                runtime.sleep(0.005)
            return value

        def reader() -> Any:
            return shop.ask(slow)

        def writer() -> Any:
            while not has_read:
                runtime.sleep(0.005)
            shop.rename("Eve")
            between = shop.name()
            may_end.append(True)
            return between

        old, between = runtime.each([reader, writer], 2)
        assert (old, between) == ("Ada", "Eve")
        assert [shop.name(), shop.name()] == ["Eve", "Eve"]

    both(kind, shop_url, body)


def test_what_is_read_just_before_the_commit_ends_with_it(shop: Asking) -> None:
    """SQLAlchemy's event `commit` comes before the commit is done: what is read then is the old row."""
    seen = []

    @event.listens_for(shop.engine, "commit")
    def before(_: sa.Connection) -> None:
        seen.append(Call(shop.name).result())

    shop.rename("Eve")
    assert seen == ["Ada"]
    assert shop.name() == "Eve"


def test_what_is_read_between_the_commit_and_its_news(shop: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shop.cache._store
    end, seen = store.end, []
    shop.name()

    def late(names: Any) -> None:
        seen.append(Call(shop.read).result())
        end(names)

    monkeypatch.setattr(store, "end", late)
    shop.rename("Eve")
    assert seen == ["Eve"]
    assert shop.name() == "Eve"


def test_readers_and_writers_at_once(shop: Asking) -> None:
    """After each commit the writer itself sees what it has written, whatever the others are about to keep."""
    stop = threading.Event()

    def readers() -> None:
        while not stop.is_set():
            shop.name()

    calls = [Call(readers) for _ in range(3)]
    try:
        for number in range(15):
            shop.rename(f"name {number}")
            assert shop.name() == f"name {number}"
    finally:
        stop.set()
        for call in calls:
            call.result()


# Transactions


@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_that_has_written_has_answers_of_its_own(kind: str, shop_url: str) -> None:
    def body(shop: Asking, _: Runtime) -> None:
        shop.name()
        with orm.Session(shop.engine) as session:
            assert not shop.cache.has_written(session)
            assert (shop.name(within=session), shop.reads) == ("Ada", 1)
            session.execute(ONCE.values(name="Eve"))
            assert shop.cache.has_written(session)
            assert (shop.name(within=session), shop.reads) == ("Eve", 2)
            assert (shop.name(), shop.reads) == ("Ada", 2)
            session.rollback()
            assert not shop.cache.has_written(session)
            assert (shop.name(within=session), shop.reads) == ("Ada", 2)
        figures = shop.cache.figures()
        assert (figures.hits, figures.misses) == (3, 1)

    both(kind, shop_url, body)


def test_what_is_pending_counts_as_written(shop: Asking) -> None:
    with orm.Session(shop.engine) as session:
        found = session.get(Customer, 1)
        assert found is not None
        assert not shop.cache.has_written(session)
        found.name = "Eve"
        assert shop.cache.has_written(session)
        session.expire(found)
        assert not shop.cache.has_written(session)
        session.add(Customer(id=9, name="Gus"))
        assert shop.cache.has_written(session)
        session.expunge_all()
        session.delete(session.get(Customer, 2))
        assert shop.cache.has_written(session)


def test_a_savepoint_and_a_foreign_connection_are_looked_through(shop: Asking) -> None:
    with shop.engine.connect() as connection:
        connection.execute(ONCE.values(name="Eve"))
        with orm.Session(connection, join_transaction_mode="rollback_only") as session:
            assert shop.cache.has_written(session)
    with orm.Session(shop.engine) as session, session.begin_nested():
        assert not shop.cache.has_written(session)
        session.execute(ONCE.values(name="Eve"))
        assert shop.cache.has_written(session)


@pytest.mark.parametrize("begin", ["default", "option of the engine", "option of the connection", "text"])
def test_a_transaction_with_a_state_of_its_own_keeps_apart(begin: str, shop_url: str, shop_database: Own) -> None:
    """What it reads may be older than the last commit, which those who come after must not get."""
    level = "repeatable read" if begin == "default" else "read committed"
    shop_database.sql(f"ALTER DATABASE {shop_database.name} SET default_transaction_isolation = '{level}'")
    with asking.asking(shop_url) as shop:
        engine = shop.engine
        if begin == "option of the engine":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with orm.Session(engine) as session:
            if begin == "option of the connection":
                session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
            elif begin == "text":
                session.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            session.execute(sa.select(1))
            shop.rename("Eve")
            assert shop.name(within=session) == "Ada"
            assert shop.name(within=session) == "Ada"
        assert shop.name() == "Eve"
        with orm.Session(shop.engine.execution_options(isolation_level="READ COMMITTED")) as session:
            before = shop.reads
            assert (shop.name(within=session), shop.reads) == ("Eve", before)


def test_a_session_with_settings_of_its_own_keeps_apart(shop: Asking, caplog: pytest.LogCaptureFixture) -> None:
    """Row security may go by them."""
    shop.name()
    with orm.Session(shop.engine) as session:
        session.execute(sa.text("SET LOCAL search_path = pg_catalog"))
        assert shop.ask(lambda: "mine", within=session) == "mine"
        session.rollback()
        assert shop.ask(lambda: "mine", within=session) == "Ada"
    # Nor is kept what is read by a connection that somebody has given back with settings of its own.
    with shop.engine.begin() as connection:
        connection.execute(sa.text("SET my.tenant = '7'"))
    tenant = sa.select(sa.func.current_setting("my.tenant", True))

    def read() -> Any:
        with shop.engine.connect() as connection:
            return shop.counted(connection.scalar(tenant))

    before = shop.reads
    assert [shop.ask(read, key="tenant") for _ in range(2)] == ["7", "7"]
    assert shop.reads == before + 2
    assert caplog.text.count("settings") == 1


def test_a_session_of_another_database_keeps_apart(shop: Asking, pg: Any) -> None:
    shop.name()
    with pg.database() as other, asking.asking(other.conninfo) as elsewhere, orm.Session(elsewhere.engine) as session:
        assert shop.ask(lambda: "other", within=session) == "other"


# Many at once


@pytest.mark.parametrize("kind", KINDS)
def test_one_makes_it_while_the_others_wait(kind: str, shop_url: str) -> None:
    def body(shop: Asking, runtime: Runtime) -> None:
        def slow() -> Any:
            runtime.sleep(0.1)
            return shop.read()

        assert runtime.each([lambda: shop.ask(slow)] * 30, 30) == ["Ada"] * 30
        assert shop.reads == 1
        figures = shop.cache.figures()
        assert (figures.hits, figures.misses) == (29, 1)

    both(kind, shop_url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_after_one_that_fails_the_next_one_tries(kind: str, shop_url: str) -> None:
    def body(shop: Asking, runtime: Runtime) -> None:
        tries = []

        def make() -> Any:
            tries.append(1)
            runtime.sleep(0.02)
            if len(tries) < 4:
                raise LookupError
            return shop.read()

        def ask() -> Any:
            try:
                return shop.ask(make)
            except LookupError:
                return "failed"

        answers = runtime.each([ask] * 10, 10)
        assert sorted(answers) == ["Ada"] * 7 + ["failed"] * 3
        assert len(tries) == 4

    both(kind, shop_url, body)


def test_a_task_that_is_cancelled_hands_on(shop_url: str) -> None:
    async def main() -> None:
        settings = Settings.of(shop_url, min_connections=0)
        engine = make_async_engine(settings)
        shop = Asking(Cache(settings, engine.sync_engine), engine.sync_engine)
        runtime = Asyncio()
        started = []

        def stuck() -> Any:
            started.append(1)
            runtime.sleep(60)

        def ask(make: Callable[[], Any]) -> asyncio.Task[Any]:
            return asyncio.ensure_future(sa.util.greenlet_spawn(shop.ask, make))

        maker = ask(stuck)
        while not started:
            await asyncio.sleep(0.001)
        first, second = ask(shop.read), ask(shop.read)
        await asyncio.sleep(0.01)
        assert not first.done()
        first.cancel()  # while it waits
        await asyncio.sleep(0)
        maker.cancel()
        assert await asyncio.wait_for(second, 20) == "Ada"
        for task in (maker, first):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert shop.reads == 1
        await sa.util.greenlet_spawn(shop.cache.close)
        await engine.dispose()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_waits_for_who_waits_for_him(kind: str, shop_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is made of itself, and two that are made of each other."""
    waited: list[Mutex] = []
    monkeypatch.setattr(Mutex, "_leave", lambda mutex, waiter: waited.append(mutex) or True)

    def body(shop: Asking, runtime: Runtime) -> None:
        assert shop.ask(lambda: shop.ask(lambda: "inner")) == "inner"
        made: set[str] = set()

        def make(own: str, other: str) -> Any:
            made.add(own)
            while len(made) < 2:
                runtime.sleep(0.002)
            return shop.ask(lambda: other, key=other)

        ways = [("a", "b"), ("b", "a")]
        tasks = [lambda own=own, other=other: shop.ask(lambda: make(own, other), key=own) for own, other in ways]
        assert set(runtime.each(tasks, 2)) <= {"a", "b"}  # be it that one gets what the other one has just kept
        assert not waited

    both(kind, shop_url, body)


def test_who_has_a_connection_does_not_wait_for_who_needs_one(shop_url: str) -> None:
    with asking.asking(shop_url, max_connections=1) as shop, orm.Session(shop.engine) as session:
        session.execute(sa.select(1))
        waiting = Call(shop.name)  # for the only connection, in the midst of making it
        wait_until(lambda: pool.figures(shop.engine).waiting, "the wait for a connection")
        assert shop.name(within=session) == "Ada"
        session.close()
        assert waiting.result() == "Ada"


def test_an_answer_that_cannot_be_kept_holds_nobody_up(shop: Asking, caplog: pytest.LogCaptureFixture) -> None:
    barrier = threading.Barrier(3)

    def make() -> Any:
        return object()

    def together() -> Any:
        barrier.wait(20)  # each of them is here at the same time, or this breaks
        return object()

    assert shop.ask(make) is not shop.ask(make)
    for call in [Call(lambda: shop.ask(together)) for _ in range(3)]:
        call.result()
    assert len(caplog.records) == 1
    assert "has values of the type object" in caplog.text
    figures = shop.cache.figures()
    assert (figures.misses, figures.uncached, figures.entries) == (5, 5, 0)


def test_a_cache_of_no_size_keeps_nothing(shop_url: str) -> None:
    with asking.asking(shop_url, cache_entries=0) as shop:
        assert [shop.name(), shop.name()] == ["Ada", "Ada"]
        assert shop.reads == 2


def test_what_is_handed_out_is_the_callers_own(shop: Asking) -> None:
    first = shop.ask(lambda: [{"a": [1]}])
    first[0]["a"].append("spoiled")
    second = shop.ask(list)
    assert second == [{"a": [1]}]
    second.clear()
    assert shop.ask(list) == [{"a": [1]}]


def test_the_server_gone_is_the_error_of_who_asks() -> None:
    engine = make_engine(Settings.of("host=127.0.0.1 port=9", min_connections=0))
    cache = Cache(Settings.of("host=127.0.0.1 port=9"), engine)
    with pytest.raises(LookupError):
        cache.get_or_make(("a",), ("a",), 60, lambda: {}["a"])
    assert cache.get_or_make(("a",), ("a",), 60, lambda: 1) == 1
    assert cache.figures().errors == 2
    cache.close()
    pool.close(engine)


# Stale answers, and warming


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_answer_is_given_while_one_renews_it(kind: str, shop_url: str) -> None:
    def body(shop: Asking, runtime: Runtime) -> None:
        how = Cached(0.05, stale_for=60)
        may_end: list[bool] = []
        renewals = []

        def slow() -> Any:
            if shop.reads:
                renewals.append(1)
                while not may_end:
                    runtime.sleep(0.005)
            return shop.read()

        assert shop.ask(slow, how) == "Ada"
        runtime.sleep(0.06)
        assert [shop.ask(slow, how) for _ in range(5)] == ["Ada"] * 5
        runtime.sleep(0.02)
        assert (len(renewals), shop.reads) == (1, 1)
        may_end.append(True)
        for _ in range(1000):
            if shop.reads == 2:
                break
            runtime.sleep(0.005)
        assert shop.reads == 2
        figures = shop.cache.figures()
        assert (figures.hits, figures.misses, figures.stale, figures.errors) == (5, 1, 5, 0)
        shop.rename("Eve")
        assert shop.ask(shop.read, how) == "Eve"  # a write ends it nevertheless

    both(kind, shop_url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_renewal_that_fails_is_tried_again(kind: str, shop_url: str) -> None:
    def body(shop: Asking, runtime: Runtime) -> None:
        how = Cached(0.01, stale_for=60)
        assert shop.name(how) == "Ada"
        runtime.sleep(0.02)
        assert shop.ask(lambda: {}["a"], how) == "Ada"
        for _ in range(1000):
            if shop.cache.figures().errors:
                break
            runtime.sleep(0.005)
        assert shop.cache.figures().errors == 1
        shop.ask(shop.read, how)
        for _ in range(1000):
            if shop.reads == 2:
                break
            runtime.sleep(0.005)
        assert shop.reads == 2

    both(kind, shop_url, body)


@pytest.mark.parametrize("kind", KINDS)
def test_closing_ends_renewals(kind: str, shop_url: str) -> None:
    begun = []

    def body(shop: Asking, runtime: Runtime) -> None:
        how = Cached(0.01, stale_for=60)

        def slow() -> Any:
            begun.append(1)
            runtime.sleep(0.1 if kind == "threads" else 60)
            return shop.read()

        shop.name(how)
        runtime.sleep(0.02)
        shop.ask(slow, how)
        while not begun:
            runtime.sleep(0.005)
        shop.cache.close()
        if kind == "asyncio":
            assert asyncio.all_tasks() == {asyncio.current_task()}

    both(kind, shop_url, body)
    assert not [thread for thread in threading.enumerate() if "cache" in thread.name]


@pytest.mark.parametrize("kind", KINDS)
def test_warming_is_not_counted(kind: str, shop_url: str) -> None:
    def body(shop: Asking, runtime: Runtime) -> None:
        with shop.cache.warming() as warming:
            runtime.each([shop.name, lambda: shop.ask(lambda: 2, key="other")], 2)
            shop.name()
        assert (warming.made, warming.present) == (2, 1)
        with shop.cache.warming(renew=True) as warming:
            runtime.each([shop.name, lambda: shop.ask(lambda: 3, key="other")], 2)
        assert (warming.made, warming.present) == (2, 0)
        assert shop.ask(lambda: 4, key="other") == 3
        figures = shop.cache.figures()
        assert (figures.hits, figures.misses) == (1, 0)

    both(kind, shop_url, body)


def test_through_the_database(shop_url: str) -> None:
    with Database(shop_url, min_connections=0) as db:
        statement = sa.select(Customer).where(Customer.id == 1)
        assert db.rows(statement, cache=60)[0].name == "Ada"
        assert db.rows(statement, cache=60)[0].name == "Ada"
        db.execute(ONCE.values(name="Eve"))
        assert db.rows(statement, cache=60)[0].name == "Eve"
        with db.begin() as session:
            session.execute(ONCE.values(name="Bo"))
            assert db.within(session).one(statement, cache=60).name == "Bo"
            assert db.rows(statement, cache=60)[0].name == "Eve"
        assert db.rows(statement, cache=60)[0].name == "Bo"


def test_warming_a_database(shop_url: str) -> None:
    statement = sa.select(Customer).order_by(Customer.id)
    with Database(shop_url, min_connections=0) as db:
        db.warm([lambda db: db.rows(statement, cache=60), lambda db: db.one(NAME, cache=60)])
        assert db.one(NAME, cache=60).name == "Ada"
        figures = db.cache.figures()
        assert (figures.hits, figures.misses, figures.entries) == (1, 0, 2)

    async def main() -> None:
        async with AsyncDatabase(shop_url, min_connections=0) as db:
            await db.warm([lambda db: db.rows(statement, cache=60), lambda db: db.one(NAME, cache=60)])
            assert (await db.one(NAME, cache=60)).name == "Ada"
            figures = db.cache.figures()
            assert (figures.hits, figures.misses, figures.entries) == (1, 0, 2)
            db.cache.invalidate(tables=["customer"])
            with pytest.raises(RuntimeError):
                await db.transaction(writing)
            assert (await db.one(NAME, cache=60)).name == "Ada"

    async def writing(session: Any) -> None:
        await session.execute(ONCE.values(name="Eve"))
        raise RuntimeError

    asyncio.run(main())
