"""What an engine executes is counted, with threads and under asyncio, and nothing of it is anybody's value."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from helpers import wait_until
from sqlalchemy import exc, orm

from dbopt.client.connections.engine import make_async_engine, make_engine
from dbopt.client.connections.pool import PoolFigures
from dbopt.client.meter import Meter
from dbopt.client.meter import meter as module
from dbopt.client.meter.histogram import Histogram
from dbopt.client.meter.statements import statement
from dbopt.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.client.meter import Metrics

metadata = sa.MetaData()
posts = sa.Table(
    "posts", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.String, nullable=False)
)
SECRET = "hush-4711"


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = make_engine(Settings(conninfo=url, min_connections=0))
    yield made
    made.dispose()


@pytest.fixture
def meter(url: str, engine: sa.Engine) -> Meter:
    return Meter(Settings(conninfo=url, slow_threshold_ms=40), engine)


def use(connection: sa.Connection) -> None:
    """Seven statements, of which one is slow and one fails."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(posts.insert(), [{"title": f"{SECRET} {n}"} for n in range(3)])
    connection.execute(sa.select(posts).where(posts.c.id.in_([1, 2]), posts.c.title != SECRET)).all()
    connection.execute(sa.update(posts).where(posts.c.id == 1).values(title=SECRET))
    connection.execute(
        sa.text(f"SELECT pg_sleep(0.06), '{SECRET}' FROM posts WHERE title = :title LIMIT 1"), {"title": SECRET}
    )
    connection.commit()
    with pytest.raises(exc.IntegrityError):
        connection.execute(posts.insert().values(id=1, title=SECRET))
    connection.rollback()
    connection.execute(sa.delete(posts))
    connection.commit()


def check(found: Metrics) -> None:
    counts = {key: (one.count, one.rows, one.errors) for key, one in found.by_operation_and_table.items()}
    assert counts == {
        ("create", "posts"): (1, 0, 0),
        ("insert", "posts"): (2, 3, 1),
        ("select", "posts"): (2, 3, 0),
        ("update", "posts"): (1, 1, 0),
        ("delete", "posts"): (1, 3, 0),
    }
    assert {name: one.count for name, one in found.by_operation.items()} == {
        name: n for (name, _), (n, *_) in counts.items()
    }
    assert {name: one.count for name, one in found.by_table.items()} == {"posts": 7}
    total = found.total
    assert (total.count, total.errors, total.error_ratio) == (7, 1, 1 / 7)
    assert found.errors_by_class == {"23": 1}
    assert 0 < total.p50_ms <= total.p95_ms <= total.p99_ms <= total.max_ms
    assert total.max_ms >= 60
    assert total.mean_ms == pytest.approx(sum(one.duration_ms for one in found.recent) / 7)
    slow = next(one for one in found.slow if "pg_sleep" in one.text)  # on a busy machine others may be, too
    assert slow.text == "SELECT pg_sleep($2), $3 FROM posts WHERE title = $1 LIMIT $4"
    assert (slow.operation, slow.table, slow.count) == ("select", "posts", 1)
    assert slow.max_ms >= 60
    assert found.since <= slow.last_at <= found.taken_at
    assert [(one.operation, one.error) for one in found.recent[:3]] == [
        ("delete", None),
        ("insert", "23505"),
        ("select", None),
    ]
    assert SECRET not in repr(found)


def test_every_statement_is_counted(engine, meter):
    with engine.connect() as connection:
        use(connection)
    check(meter.metrics())


def test_every_statement_is_counted_under_asyncio(url):
    async def main() -> Metrics:
        engine = make_async_engine(Settings(conninfo=url, min_connections=0))
        counted = Meter(Settings(conninfo=url, slow_threshold_ms=40), engine.sync_engine)
        async with engine.connect() as connection:
            await connection.run_sync(use)
        await engine.dispose()
        return counted.metrics()

    check(asyncio.run(main()))


def test_sessions_and_many_rows(engine, meter):
    with engine.begin() as connection:
        metadata.create_all(connection, checkfirst=False)
    mapped = type("Post", (), {})
    orm.registry().map_imperatively(mapped, posts)
    with orm.Session(engine) as session, session.begin():
        for number in range(2500):
            item = mapped()
            item.title = str(number)
            session.add(item)
    with orm.Session(engine) as session:
        assert len(session.scalars(sa.select(mapped)).all()) == 2500
    counts = {key: one.rows for key, one in meter.metrics().by_operation_and_table.items()}
    assert counts == {("create", "posts"): 0, ("insert", "posts"): 2500, ("select", "posts"): 2500}


def test_threads_count_together(engine, meter):
    def work(_number):
        with engine.connect() as connection:
            for _ in range(50):
                connection.execute(sa.text("SELECT 1"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert meter.metrics().total.count == 400


def test_texts_that_no_grammar_reads_are_sent_all_the_same(engine, meter):
    with engine.connect() as connection:
        raw = connection.execution_options(no_parameters=True)
        assert raw.exec_driver_sql("SELECT 5 % 3, '%s'").one() == (2, "%s")
        assert connection.exec_driver_sql("SELECT %s::text", (SECRET,)).scalar() == SECRET
        with pytest.raises(exc.ProgrammingError):
            connection.exec_driver_sql(f"SELEC '{SECRET}'")
    found = meter.metrics()
    assert {name: one.count for name, one in found.by_operation.items()} == {"select": 2, "other": 1}
    assert found.errors_by_class == {"42": 1}
    assert SECRET not in repr(found)


def test_a_schema_that_is_translated(engine, meter):
    there = sa.Table("things", sa.MetaData(), sa.Column("id", sa.Integer), schema="anywhere")
    with engine.connect().execution_options(schema_translate_map={"anywhere": "there"}) as connection:
        connection.execute(sa.text("CREATE SCHEMA there"))
        connection.execute(sa.text("CREATE TABLE there.things (id int)"))
        connection.execute(sa.select(there))
    assert ("select", "there.things") in meter.metrics().by_operation_and_table


def test_a_connection_that_is_lost(engine, meter, database):
    with engine.connect() as connection:
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        database.sql("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(exc.DBAPIError):
            connection.execute(sa.text("SELECT 1 FROM pg_class"))
    # The server says 57P01 where its words come before the connection is gone.
    assert sum(meter.metrics().errors_by_class.get(kind, 0) for kind in (module.LOST, "57")) == 1


def test_a_task_that_is_cancelled(url, database):
    async def main() -> Metrics:
        engine = make_async_engine(Settings(conninfo=url, min_connections=0))
        counted = Meter(Settings(conninfo=url), engine.sync_engine)

        async def wait() -> None:
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT pg_sleep(60)"))

        task = asyncio.create_task(wait())
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%' AND state = 'active'"
        await asyncio.to_thread(wait_until, lambda: database.sql(sleeping, []), "the statement")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await engine.dispose()
        return counted.metrics()

    found = asyncio.run(main())
    assert (found.total.count, found.errors_by_class) == (1, {module.CANCELLED: 1})


def test_what_is_counted_is_bounded(meter):
    for number in range(module.SERIES_MAX + 50):
        meter.add(statement(f"SELECT 1 FROM t{number}"), f"SELECT {'1, ' * number} 1", 1.0 + number, 1)
    found = meter.metrics()
    assert len(found.by_operation_and_table) == module.SERIES_MAX + 1
    assert found.by_table[module.REST].count == 50
    assert (found.total.count, found.total.slow) == (module.SERIES_MAX + 50, module.SERIES_MAX + 50)
    assert len(found.recent) == module.RECENT_KEPT
    # The slowest are those that are kept.
    assert [one.max_ms for one in found.slow] == [(module.SERIES_MAX + 50 - n) * 1000 for n in range(module.SLOW_SHOWN)]


def test_a_slow_statement_that_comes_again(meter):
    for seconds in (0.05, 2.0, 0.07):
        meter.add(statement("SELECT 1"), f"SELECT {seconds}", seconds, 1)
    meter.add(statement("SELECT 1"), "SELECT 1", 0.01, 1)
    [slow] = meter.metrics().slow
    assert (slow.text, slow.count, slow.max_ms, slow.mean_ms) == ("SELECT $1", 3, 2000, pytest.approx(2120 / 3))


def figures(acquires: int, seconds: float) -> PoolFigures:
    acquire = Histogram()
    for _ in range(acquires):
        acquire.add(seconds)
    return PoolFigures(
        size=5, open=2, used=1, waiting=0, acquires=acquires, wait_seconds=seconds, timeouts=acquires, acquire=acquire
    )


def test_a_reset_starts_anew_and_takes_nothing_from_the_totals(engine, meter):
    with engine.connect() as connection:
        use(connection)
        before = meter.metrics()
        started_at = meter.started_at
        meter.reset(figures(3, 0.5))
        connection.execute(sa.text("SELECT 1"))
    found = meter.metrics(figures(4, 0.75))
    assert (found.total.count, found.errors_by_class, len(found.recent)) == (1, {}, 1)
    assert not any("pg_sleep" in one.text for one in found.slow)
    assert before.since < found.since
    assert (found.pool.acquires, found.pool.wait_seconds, found.pool.timeouts, found.pool.size) == (1, 0.25, 1, 5)
    assert found.pool.acquire.count == 1
    totals = meter.totals()
    assert (totals.count, totals.errors, totals.rows) == (8, 1, before.total.rows + 1)
    assert totals.slow >= before.total.slow >= 1
    assert meter.started_at == started_at


def test_metrics_as_json(engine, meter):
    with engine.connect() as connection:
        use(connection)
    found = meter.metrics(figures(4, 0.75))
    read = json.loads(json.dumps(found.as_dict()))
    assert read["total"]["count"] == found.total.count
    assert read["total"]["p95_ms"] == found.total.p95_ms
    assert {"operation": "delete", "table": "posts"}.items() <= read["by_operation_and_table"][-1].items()
    assert read["slow"][0]["text"] == found.slow[0].text
    assert datetime.fromisoformat(read["recent"][0]["at"]) == found.recent[0].at
    assert (read["pool"]["acquires"], read["cache"]) == (4, None)
    assert read["pool"]["acquire_p95_ms"] == pytest.approx(750, rel=0.05)


def test_nothing_has_happened_yet(meter):
    found = meter.metrics()
    assert (found.total.count, found.total.mean_ms, found.total.p95_ms, found.total.error_ratio) == (
        0,
        None,
        None,
        None,
    )
    assert (found.by_table, found.slow, found.recent, found.pool, found.cache) == ({}, (), (), None, None)


FORKING = """
import os, sys
import sqlalchemy as sa
from dbopt.client.connections.engine import make_engine
from dbopt.client.meter import Meter
from dbopt.client.settings import Settings

settings = Settings(conninfo=sys.argv[1], min_connections=0)
engine = make_engine(settings)
meter = Meter(settings, engine)

def ask(times):
    with engine.connect() as connection:
        for _ in range(times):
            connection.execute(sa.text("SELECT 1"))
    return meter.totals().count, meter.metrics().total.count

parent = ask(3)
meter._lock.acquire()  # as a thread of the parent might have it
pid = os.fork()
if pid == 0:
    print("child", *ask(2), flush=True)
    os._exit(0)
meter._lock.release()
os.waitpid(pid, 0)
print("parent", *parent, *ask(1), flush=True)
"""


def test_a_child_process_counts_from_nothing(url):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKING), url], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["child 2 2", "parent 3 3 4 4"], done.stderr
