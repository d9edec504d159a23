"""Sessions, reading and writing through a Database, and transactions that are tried again."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from dbopt.client import Database
from dbopt.client.health import Condition
from dbopt.errors import Closed, ConnectionFailed, ConnectionLost, ReadOnlyServer, UsageError
from tests.client.models import Base, Customer, customer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from server import Database as Own
    from sqlalchemy.ext.asyncio import AsyncSession

    from dbopt.client import AsyncDatabase

    Run = Callable[[Callable[[AsyncDatabase], Awaitable[Any]]], Any]

BY_ID = sa.select(customer).order_by(customer.c.id)


@pytest.fixture
def shop(db: Database) -> Database:
    Base.metadata.create_all(db.engine)
    db.execute(customer.insert(), [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}])
    return db


def test_what_a_row_becomes(shop: Database) -> None:
    """An object of a mapped class, a dict of a table, else SQLAlchemy's Row."""
    ada = shop.one(sa.select(Customer).where(Customer.id == 1))
    assert isinstance(ada, Customer)
    assert sa.inspect(ada).detached
    assert shop.rows(Customer)[0].name == "Ada"
    assert shop.rows(BY_ID) == [{"id": 1, "name": "Ada", "city": None}, {"id": 2, "name": "Bo", "city": None}]
    (row,) = shop.rows(sa.select(Customer.name, sa.literal(7).label("n")).where(Customer.id == 2))
    assert (row.name, row.n) == ("Bo", 7)
    text = sa.text("SELECT name FROM customer WHERE id = :id")
    assert shop.scalar(text, {"id": 2}) == "Bo"
    assert shop.one(text, {"id": 3}) is None
    assert shop.scalar(text, {"id": 3}) is None
    assert shop.scalar(BY_ID) == 1
    assert isinstance(shop.scalar(sa.select(Customer)), Customer)


def test_a_column_goes_by_the_key_that_the_table_gives_it(shop: Database) -> None:
    keyed = sa.Table("customer", sa.MetaData(), sa.Column("id", sa.Integer, key="number", primary_key=True))
    expected = [{"number": 1}, {"number": 2}]
    statement = sa.select(keyed).order_by(keyed.c.number)
    assert [shop.rows(statement, cache=cache) for cache in (None, 60, 60)] == [expected] * 3
    assert shop.fetch_many(keyed, [1, 2]).items == expected
    assert shop.paginate(keyed).items == expected


def test_a_row_from_the_cache_is_the_same(shop: Database) -> None:
    statements = (
        sa.select(Customer).order_by(Customer.id),
        BY_ID,
        sa.select(Customer.name, sa.literal(7).label("n")).order_by(Customer.id),
        sa.text("SELECT name FROM customer ORDER BY id"),
    )
    for statement in statements:
        first, second = (shop.rows(statement, cache=60) for _ in range(2))
        if isinstance(first[0], Customer):
            assert [(item.id, item.name, item.city) for item in first] == [(1, "Ada", None), (2, "Bo", None)]
            assert first[0] is not second[0]
            first, second = ([(item.id, item.name) for item in items] for items in (first, second))
        assert first == second
    figures = shop.metrics().cache
    assert (figures.hits, figures.misses) == (4, 4)


def test_what_cannot_come_from_the_cache_is_refused(shop: Database) -> None:
    with pytest.raises(UsageError, match="beside other columns"):
        shop.rows(sa.select(Customer, sa.literal(1)), cache=60)
    with pytest.raises(UsageError, match="loader options"):
        shop.rows(sa.select(Customer).options(orm.selectinload(Customer.orders)), cache=60)


def test_within_a_transaction_its_own_rows_are_seen(shop: Database) -> None:
    with shop.begin() as session:
        session.add(Customer(id=3, name="Cy"))
        session.flush()
        assert len(shop.within(session).rows(BY_ID)) == 3
        assert len(shop.rows(BY_ID)) == 2
    with shop.engine.connect() as connection:
        connection.execute(customer.delete())
        assert shop.within(connection).rows(BY_ID) == []
        connection.rollback()
    assert len(shop.rows(BY_ID)) == 3


def test_execute_writes_all_or_nothing(shop: Database) -> None:
    assert shop.execute(customer.update().values(city="Rome")) == 2
    with pytest.raises(sa.exc.IntegrityError):
        shop.execute(customer.insert(), [{"id": 9, "name": "New"}, {"id": 1, "name": "Again"}])
    assert shop.scalar(sa.select(sa.func.count()).select_from(customer)) == 2


def test_what_is_written_with_returning_stays(shop: Database, run_async: Run) -> None:
    new = sa.insert(Customer).values(name="Cy")
    assert shop.scalar(new.values(id=3).returning(Customer.id)) == 3
    [made] = shop.rows(new.values(id=4).returning(Customer))
    assert (type(made), made.name) == (Customer, "Cy")
    assert shop.rows(customer.delete().where(customer.c.id == 4).returning(customer))[0]["name"] == "Cy"
    assert shop.one(sa.text("UPDATE customer SET name = 'Di' WHERE id = 3 RETURNING name")) == ("Di",)
    assert run_async(lambda adb: adb.scalar(new.values(id=5).returning(Customer.id))) == 5
    with shop.session() as session:
        assert shop.within(session).scalar(new.values(id=6).returning(Customer.id)) == 6
        session.rollback()
    assert shop.rows(sa.select(Customer.id, Customer.name).where(Customer.id > 2)) == [(3, "Di"), (5, "Cy")]


def test_what_returns_nothing_and_what_is_not_to_be_cached(shop: Database) -> None:
    with pytest.raises(UsageError, match="DELETE without RETURNING"):
        shop.rows(sa.delete(Customer))
    with pytest.raises(UsageError, match="cannot be answered from the cache"):
        shop.rows(sa.delete(Customer).returning(Customer.id), cache=60)
    assert len(shop.rows(Customer)) == 2


def test_a_function_that_writes_is_committed(shop: Database) -> None:
    shop.execute(
        sa.text(
            "CREATE FUNCTION rename() RETURNS text LANGUAGE sql AS 'UPDATE customer SET name = $$Eve$$ RETURNING name'"
        )
    )
    first = sa.select(Customer.name).where(Customer.id == 1)
    assert shop.scalar(first, cache=60) == "Ada"
    assert shop.scalar(sa.text("SELECT rename()")) == "Eve"
    assert shop.scalar(first) == "Eve"
    shop.cache.invalidate(tables=["customer"])  # it sees no statement that writes
    assert shop.scalar(first, cache=60) == "Eve"


def test_no_parameters_are_nothing_to_execute(shop: Database) -> None:
    """Not one row of defaults."""
    shop.execute(sa.text("ALTER TABLE customer ALTER id SET DEFAULT 77, ALTER name SET DEFAULT ''"))
    assert shop.execute(customer.insert(), []) == 0
    assert len(shop.rows(customer)) == 2


def test_a_deadlock_is_tried_again_with_the_whole_body(shop: Database) -> None:
    met = threading.Barrier(2, timeout=20)
    tries: list[int] = []

    def update(first: int, second: int) -> None:
        waited = False

        def body(session: orm.Session) -> None:
            nonlocal waited
            tries.append(first)
            session.execute(sa.text("SET LOCAL deadlock_timeout = '10ms'"))
            session.execute(customer.update().where(customer.c.id == first).values(city=f"from {first}"))
            if not waited:
                waited = True
                met.wait()
            session.execute(customer.update().where(customer.c.id == second).values(city=f"from {first}"))

        shop.transaction(body)

    threads = [threading.Thread(target=update, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tries) == 3, "one of the two was the victim, and only that one ran again"
    cities = {row["city"] for row in shop.rows(BY_ID)}
    assert len(cities) == 1, "the last one wrote both rows"
    assert shop.metrics().pool.used == 0


def test_a_serialisation_failure_is_tried_again_under_asyncio(shop: Database, run_async: Run) -> None:
    async def body(adb: AsyncDatabase) -> tuple[int, int]:
        tries = 0

        async def add(session: AsyncSession) -> None:
            nonlocal tries
            tries += 1
            count = await session.scalar(sa.select(sa.func.count()).select_from(customer))
            if tries == 1:  # somebody else's transaction, that read the same and wrote, is done first
                await adb.transaction(other, isolation="serializable")
            await session.execute(customer.insert().values(id=10 + count, name="late"))

        async def other(session: AsyncSession) -> None:
            count = await session.scalar(sa.select(sa.func.count()).select_from(customer))
            await session.execute(customer.insert().values(id=10 + count, name="early"))

        await adb.transaction(add, isolation="serializable")
        return tries, await adb.scalar(sa.select(sa.func.max(customer.c.id)))

    assert run_async(body) == (2, 13)


def test_attempts_are_bounded_and_other_errors_are_not_tried_again(shop: Database) -> None:
    tries = []

    def failing(sqlstate: str) -> Callable[[orm.Session], None]:
        def body(session: orm.Session) -> None:
            tries.append(sqlstate)
            session.execute(sa.text(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"))

        return body

    for sqlstate, attempts, expected in (("40001", 3, 3), ("40P01", 1, 1), ("22012", 3, 1)):
        tries.clear()
        with pytest.raises(sa.exc.DBAPIError) as error:
            shop.transaction(failing(sqlstate), attempts=attempts)
        assert error.value.orig.sqlstate == sqlstate
        assert len(tries) == expected
    with pytest.raises(UsageError, match="at least one"):
        shop.transaction(failing("40001"), attempts=0)
    with pytest.raises(UsageError, match="isolation"):
        shop.transaction(failing("40001"), isolation="chaos")


def _end(session: orm.Session, own: Own) -> None:
    pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
    own.sql("SELECT pg_terminate_backend(%s)", [pid])


def test_a_connection_that_is_lost_is_named_and_not_tried_again(shop: Database, database: Own) -> None:
    tries = []

    def body(session: orm.Session) -> None:
        tries.append(1)
        session.execute(customer.delete())
        _end(session, database)
        session.execute(BY_ID)

    with pytest.raises(ConnectionLost) as error:
        shop.transaction(body)
    assert "Nothing of the open transaction remains" in (error.value.hint or "")
    assert len(tries) == 1
    assert len(shop.rows(BY_ID)) == 2, "and the next one has a new connection"


def test_a_connection_that_is_lost_at_the_commit_leaves_it_open_what_became_of_it(
    shop: Database, database: Own
) -> None:
    def body(session: orm.Session) -> None:
        session.execute(customer.delete())
        _end(session, database)

    with pytest.raises(ConnectionLost, match="while committing") as error:
        shop.transaction(body)
    assert error.value.detail == "whether the transaction was committed is not known"


def test_who_may_only_read_is_told(shop: Database) -> None:
    with pytest.raises(ReadOnlyServer):
        shop.transaction(lambda session: session.execute(customer.delete()), read_only=True)


def test_health_of_a_database_at_work(shop: Database, run_async: Run) -> None:
    found = shop.healthcheck()
    assert found.condition is Condition.OK
    assert found.is_ok
    assert found.answer_ms is not None
    assert (found.in_recovery, found.read_only) == (False, False)
    assert run_async(lambda adb: adb.healthcheck()).is_ok


def test_health_of_a_pool_in_use(url: str) -> None:
    with Database(url, max_connections=10, min_connections=0) as db:
        held = [db.engine.connect() for _ in range(9)]
        found = db.healthcheck()
        assert found.condition is Condition.DEGRADED
        assert "9 of 10" in found.reasons[0]
        held.append(db.engine.connect())
        found = db.healthcheck()
        assert found.answer_ms is None, "it does not wait for a connection"
        assert "was not asked" in found.reasons[0]
        for connection in held:
            connection.close()


def test_health_of_a_database_that_is_not_there(url: str) -> None:
    with Database(f"{url} dbname=nowhere", min_connections=0) as db:
        found = db.healthcheck()
        assert found.condition is Condition.DOWN
        assert "nowhere" in found.reasons[0]
        with pytest.raises(ConnectionFailed):
            db.rows(sa.text("SELECT 1"))


def test_nothing_goes_on_after_the_end(url: str, database: Own) -> None:
    with Database(url, min_connections=0) as db:
        db.rows(sa.text("SELECT 1"))
    for call in (lambda: db.rows(sa.text("SELECT 1")), db.session, lambda: db.transaction(lambda _: None)):
        with pytest.raises(Closed):
            call()
    db.close()  # twice is as once


def test_both_take_the_same(shop: Database) -> None:
    """Whatever Database offers, AsyncDatabase has with the same parameters."""
    import inspect

    from dbopt.client import AsyncDatabase

    def public(kind: type) -> dict[str, list[str]]:
        members = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
        return {
            name: [p for p in inspect.signature(member).parameters if p not in ("self", "work")]
            for name, member in members.items()
            if callable(member)
        }

    assert public(AsyncDatabase) == public(Database)


def test_many_tasks_share_few_connections(shop: Database, run_async: Run) -> None:
    async def body(adb: AsyncDatabase) -> list[int]:
        return await asyncio.gather(*(adb.scalar(sa.select(sa.literal(n))) for n in range(200)))

    assert run_async(body) == list(range(200))


def test_what_ends_a_transaction_of_begin_has_a_name(shop: Database, database: Own, run_async: Run) -> None:
    def lose() -> None:
        with shop.begin() as session:
            session.execute(customer.delete())
            _end(session, database)
            session.execute(BY_ID)

    with pytest.raises(ConnectionLost):
        lose()

    async def body(adb: AsyncDatabase) -> None:
        async with adb.begin() as session:
            pid = await session.scalar(sa.text("SELECT pg_backend_pid()"))
            database.sql("SELECT pg_terminate_backend(%s)", [pid])
            await session.execute(BY_ID)

    with pytest.raises(ConnectionLost):
        run_async(body)
    assert len(shop.rows(BY_ID)) == 2
