"""What goes wrong in the middle of an upsert: by name, and with nothing half done."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from helpers import wait_until
from sqlalchemy import orm

from dbopt.client import Database
from dbopt.client.bulk import upsert as bulk
from dbopt.errors import ConnectionLost, NotPermitted, ReadOnlyServer, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from server import Database as Own

    from dbopt.client import AsyncDatabase
    from dbopt.client.bulk.upsert import Progress


class Base(orm.DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    n: orm.Mapped[int | None] = orm.mapped_column(sa.CheckConstraint("n < 100", name="small"))


ROWS = [{"id": number, "n": number} for number in range(10)]


@pytest.fixture(params=["arrays", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "copy":
        monkeypatch.setattr(bulk, "ARRAY_ROWS", 0)
    return str(request.param)


@pytest.fixture
def shop(db: Database) -> Iterator[Database]:
    Base.metadata.create_all(db.engine)
    yield db
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def count(shop: Database) -> int:
    return int(shop.scalar(sa.select(sa.func.count()).select_from(Item)))


def test_a_role_that_may_only_read(shop: Database, way: str, url: str) -> None:
    name = shop.scalar(sa.text("SELECT current_database()"))
    shop.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    with Database(url, min_connections=0) as reading, pytest.raises(ReadOnlyServer):
        reading.bulk_upsert(Item, ROWS)


def test_a_session_that_is_killed(shop: Database, way: str, database: Own) -> None:
    """Between two batches: nothing of it remains, or in commit="batch" what was committed before."""

    def kill(progress: Progress) -> None:
        if progress.sent == 6:
            database.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    with pytest.raises(ConnectionLost):
        shop.bulk_upsert(Item, ROWS, batch_size=3, progress=kill)
    assert count(shop) == 0
    with pytest.raises(ConnectionLost) as caught:
        shop.bulk_upsert(Item, dying(ROWS, database), batch_size=3)
    assert count(shop) == 0
    assert not hasattr(caught.value, "committed")


def dying(rows: list[Any], database: Own) -> Iterator[Any]:
    """All sessions end while the second batch is made."""
    for number, row in enumerate(rows):
        if number == 4:
            database.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        yield row


def test_an_input_that_breaks(shop: Database, way: str) -> None:
    def broken() -> Iterator[Any]:
        yield from ROWS[:5]
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        shop.bulk_upsert(Item, broken(), batch_size=2)
    assert count(shop) == 0
    with pytest.raises(OSError, match="the file is gone") as caught:
        shop.bulk_upsert(Item, broken(), batch_size=2, commit="batch")
    assert count(shop) == caught.value.committed.rows == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(("duplicates", "row"), [("last", 6), ("first", 2)])
def test_which_row_a_constraint_is_about(shop: Database, way: str, duplicates: Any, row: int) -> None:
    """Of the rows that are written, not of those that another one stands for."""
    rows: list[dict[str, Any]] = [dict(row) for row in ROWS]
    rows[2]["n"] = 200
    rows[5]["id"] = 2  # stands for row 2, or the other way round
    rows[6]["n"] = 200
    rows[8].pop("n")
    with pytest.raises(sa.exc.IntegrityError) as caught:
        shop.bulk_upsert(Item, rows, duplicates=duplicates, batch_size=100)
    assert caught.value.input_row == row  # type: ignore[attr-defined]
    assert f"row {row} of the input, counted from 0" in caught.value.__notes__
    with pytest.raises(sa.exc.IntegrityError) as caught:
        shop.bulk_upsert(Item, rows, duplicates=duplicates, batch_size=4)
    assert caught.value.input_row == row  # type: ignore[attr-defined]
    assert count(shop) == 0


def test_no_search_for_what_is_no_row_s_fault(shop: Database, way: str) -> None:
    shop.execute(sa.text("ALTER TABLE item RENAME COLUMN n TO m"))
    with pytest.raises(UsageError, match="the table of Item has no column n"):
        shop.bulk_upsert(Item, ROWS)
    shop.execute(sa.text("DROP TABLE item"))
    with pytest.raises(sa.exc.ProgrammingError):
        shop.bulk_upsert(Item, ROWS)
    Base.metadata.create_all(shop.engine)


def test_a_role_that_may_not_make_temporary_tables(
    shop: Database, database: Own, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"poor_{database.name}"
    database.sql(f"CREATE ROLE {role} LOGIN; REVOKE TEMPORARY ON DATABASE {database.name} FROM PUBLIC")
    try:
        database.sql(f"GRANT SELECT, INSERT, UPDATE ON item TO {role}")
        with Database(f"{url} user={role}", min_connections=0) as poor:
            assert poor.bulk_upsert(Item, ROWS).inserted == 10
            assert poor.bulk_upsert(Item, ROWS, batch_size=5, commit="batch").updated == 10
            monkeypatch.setattr(bulk, "ARRAY_ROWS", 0)
            assert poor.bulk_upsert(Item, ROWS).updated == 10
            with pytest.raises(NotPermitted) as caught:
                poor.bulk_upsert(Item, ROWS, batch_size=5)
            assert caught.value.hint == f'GRANT TEMPORARY ON DATABASE "{database.name}" TO "{role}";'
    finally:
        database.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_rows_are_written_in_the_order_of_their_key(shop: Database, way: str) -> None:
    """So that two calls take their locks in the same order."""
    shop.execute(sa.text("CREATE TABLE written (at serial, id int)"))
    shop.execute(
        sa.text(
            "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO written (id) VALUES (NEW.id); RETURN NEW; END $$"
        )
    )
    shop.execute(sa.text("CREATE TRIGGER noted BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION noted()"))
    shop.bulk_upsert(Item, [ROWS[number] for number in (5, 9, 1, 3, 0, 5)], batch_size=100)
    assert shop.rows(sa.text("SELECT id FROM written ORDER BY at")) == [(0,), (1,), (3,), (5,), (9,)]


def test_two_at_once_in_opposite_orders(shop: Database, way: str) -> None:
    rows = [{"id": number, "n": 1} for number in range(300)]
    failures: list[Exception] = []

    def work(given: list[Any]) -> None:
        try:
            for _ in range(5):
                assert shop.bulk_upsert(Item, given).rows == 300
        except Exception as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(given,)) for given in (rows, rows[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert count(shop) == 300


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_task_that_is_cancelled(
    shop: Database,
    way: str,
    database: Own,
    run_async: Callable[[Callable[[AsyncDatabase], Awaitable[Any]]], Any],
    batch_size: int | None,
) -> None:
    """While it waits for a lock: nothing remains, and the pool has its connection back."""
    shop.bulk_upsert(Item, [{"id": 3}])
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def body(adb: AsyncDatabase) -> None:
        with database.connect() as holder:
            holder.execute("SELECT FROM item FOR UPDATE")
            task = asyncio.create_task(adb.bulk_upsert(Item, ROWS, batch_size=batch_size))
            await asyncio.to_thread(wait_until, lambda: database.sql(waiting) == [(1,)], "the wait for the lock")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            holder.rollback()
        assert adb.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert await adb.scalar(sa.select(sa.func.count()).select_from(Item)) == 1
        assert (await adb.bulk_upsert(Item, ROWS, batch_size=batch_size)).inserted == 9

    run_async(body)


def test_row_security(shop: Database, way: str, database: Own, url: str) -> None:
    role = f"tenant_{database.name}"
    database.sql(f"CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE ON item TO {role}")
    try:
        database.sql(
            f"ALTER TABLE item ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON item TO {role} USING (id < 5); "
            "INSERT INTO item VALUES (4, 0), (7, 0)"
        )
        with Database(f"{url} user={role}", min_connections=0) as tenant:
            done = tenant.bulk_upsert(Item, ROWS[:5])
            assert (done.inserted, done.updated) == (4, 1)
            with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
                tenant.bulk_upsert(Item, ROWS)
        assert count(shop) == 6
    finally:
        database.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
