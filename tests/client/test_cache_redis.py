"""The cache in Redis: a real one, several caches on it, and what happens when it is gone."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import sqlalchemy as sa
from helpers import wait_until
from sqlalchemy import orm

from client import asking
from client.asking import ONCE, Asking, both
from client.engines import KINDS, Call
from dbopt.client import AsyncDatabase, Cached, Database
from dbopt.client.cache import shared
from dbopt.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database as Own
    from server import Server

    from dbopt.client.runtime import Runtime

SERVER = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="redis-server is not installed")


class Redis:
    """A server of the tests' own, on a socket in a folder of theirs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "redis.sock"
        self.url = f"unix://{self.path}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SERVER is not None
        self._process = subprocess.Popen(
            [SERVER, "--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no"],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, "the start of Redis")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@pytest.fixture(scope="module")
def own() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory(prefix="dbopt-redis-") as name:
        made = Redis(Path(name))
        made.start()
        yield made
        made.stop()


@pytest.fixture
def server(own: Redis) -> Redis:
    with own.client() as client:
        client.flushall()
    return own


@pytest.fixture(scope="module")
def shop_database(pg: Server) -> Iterator[Own]:
    with asking.shop_database(pg) as database:
        yield database


@pytest.fixture
def shop_url(shop_database: Own) -> str:
    return asking.opened(shop_database)


@pytest.fixture
def two(shop_url: str, server: Redis) -> Iterator[tuple[Asking, Asking]]:
    with (
        asking.asking(shop_url, cache_url=server.url) as one,
        asking.asking(shop_url, cache_url=server.url) as other,
    ):
        yield one, other


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_everybodys_until_one_writes(kind: str, shop_url: str, server: Redis) -> None:
    with asking.asking(shop_url, cache_url=server.url) as one:

        def body(other: Asking, _: Runtime) -> None:
            assert (one.name(), other.name(), one.name()) == ("Ada",) * 3
            assert (one.reads, other.reads) == (1, 0)
            one.rename("Eve")
            assert (other.name(), one.name()) == ("Eve", "Eve")
            assert (one.reads, other.reads) == (1, 1)
            other.rename("Bo")
            assert (one.name(), other.name()) == ("Bo", "Bo")
            assert (one.reads, other.reads) == (2, 1)
            figures = other.cache.figures()
            assert (figures.hits, figures.misses, figures.entries, figures.errors) == (2, 1, None, 0)

        both(kind, shop_url, body, cache_url=server.url)


def test_who_only_writes_ends_what_it_reaches(two: tuple[Asking, Asking]) -> None:
    reader, writer = two
    for table in ("customer", "order", "elsewhere"):
        reader.is_kept(table)
    writer.do("DELETE FROM customer WHERE id = 2")
    assert [reader.is_kept(table) for table in ("customer", "order", "elsewhere")] == [False, False, True]


def test_a_change_of_the_schema_is_known_to_all(two: tuple[Asking, Asking]) -> None:
    reader, writer = two
    writer.do("CREATE TABLE IF NOT EXISTS parent (id int PRIMARY KEY)", "CREATE TABLE IF NOT EXISTS child (id int)")
    reader.do("DELETE FROM parent")  # now it knows the catalogs
    writer.do("ALTER TABLE child ADD FOREIGN KEY (id) REFERENCES parent ON DELETE CASCADE")
    writer.is_kept("child")
    reader.do("DELETE FROM parent")
    assert not writer.is_kept("child")
    reader.do("DROP TABLE child, parent")


def test_a_slow_reader_leaves_no_old_row_to_others(two: tuple[Asking, Asking]) -> None:
    reader, writer = two
    has_read, may_end = threading.Event(), threading.Event()

    def slow() -> Any:
        value = reader.read()
        has_read.set()
        assert may_end.wait(20)
        return value

    call = Call(lambda: reader.ask(slow))
    assert has_read.wait(20)
    writer.rename("Eve")
    assert writer.name() == "Eve"  # without waiting for the other one
    may_end.set()
    assert call.result() == "Ada"
    assert (reader.name(), writer.name()) == ("Eve", "Eve")


def test_by_tag_and_clear(two: tuple[Asking, Asking]) -> None:
    one, other = two
    how = Cached(60, tags=("dashboard of somebody@example.org",))
    one.name(how)
    assert other.name(how) == "Ada"
    other.cache.invalidate(tags=how.tags)
    one.name(how)
    assert (one.reads, other.reads) == (2, 0)
    other.cache.clear()
    one.name(how)
    assert one.reads == 3


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_all_processes_makes_it(kind: str, shop_url: str, server: Redis) -> None:
    with asking.asking(shop_url, cache_url=server.url) as one:
        has_begun, may_end = threading.Event(), threading.Event()

        def slow() -> Any:
            has_begun.set()
            assert may_end.wait(20)
            return one.read()

        call = Call(lambda: one.ask(slow))
        assert has_begun.wait(20)

        def body(other: Asking, runtime: Runtime) -> None:
            def end() -> None:
                runtime.sleep(0.1)
                may_end.set()

            answers = runtime.each([*[other.name] * 5, end], 6)
            assert answers == ["Ada"] * 5 + [None]
            assert (one.reads, other.reads) == (1, 0)

        both(kind, shop_url, body, cache_url=server.url)
        assert call.result() == "Ada"


def test_a_maker_that_dies_holds_nobody_up_for_long(shop_url: str, server: Redis) -> None:
    with asking.asking(shop_url, cache_url=server.url, statement_timeout_ms=300) as shop:
        begun, may_end = threading.Event(), threading.Event()

        def stuck() -> Any:
            begun.set()
            assert may_end.wait(20)
            return "late"

        with asking.asking(shop_url, cache_url=server.url) as dying:
            call = Call(lambda: dying.ask(stuck))
            assert begun.wait(20)
            assert shop.name() == "Ada"
            may_end.set()
            assert call.result() == "late"


def test_what_is_there_is_text_and_no_secret(shop_url: str, server: Redis) -> None:
    with asking.asking(shop_url, cache_url=server.url) as shop, server.client() as client:
        value = [("Ada", 1, None, True), {"a": (1.5, b"x")}]
        assert shop.ask(lambda: value, Cached(60, tags=("somebody@example.org",))) == value
        assert shop.ask(lambda: None, Cached(60, tags=("somebody@example.org",))) == value
        keys = sorted(client.scan_iter("*"))
        assert len([key for key in keys if b":v:" in key]) == 1
        assert not any(b"somebody" in key or b"Ada" in key for key in keys)
        assert all(0 < client.ttl(key) <= shared.GENERATION_SECONDS for key in keys)


@pytest.mark.parametrize("data", [b"", b"x", b"{}|1", b'{"g":1,"ct":1}|[', b'["a"]|1', b"\x80\x04."])
def test_what_somebody_else_has_put_there_is_not_read(data: bytes, shop_url: str, server: Redis) -> None:
    with asking.asking(shop_url, cache_url=server.url) as shop, server.client() as client:
        shop.name()
        [key] = client.scan_iter("*:v:*")
        client.set(key, data)
        assert [shop.name(), shop.name()] == ["Ada", "Ada"]
        assert shop.reads == 2


def test_generations_that_redis_has_dropped_do_not_come_again(shop_url: str, server: Redis) -> None:
    with asking.asking(shop_url, cache_url=server.url) as shop, server.client() as client:
        shop.name()
        kept = {key: client.get(key) for key in client.scan_iter("*:v:*")}
        shop.rename("Eve")
        for key in client.scan_iter("*:g:*"):
            client.delete(key)
        for key, value in kept.items():
            client.set(key, value)
        assert shop.name() == "Eve"


def test_another_role_has_answers_of_its_own(shop_url: str, server: Redis, shop_database: Own) -> None:
    role = f"reader_{shop_database.name}"
    shop_database.sql(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON customer TO {role}")
    try:
        with (
            asking.asking(shop_url, cache_url=server.url) as one,
            asking.asking(f"{shop_url} user={role}", cache_url=server.url) as other,
            asking.asking(shop_url, cache_url=server.url, schema_version="2") as later,
        ):
            assert (one.name(), other.name(), later.name()) == ("Ada",) * 3
            assert (one.reads, other.reads, later.reads) == (1, 1, 1)
            one.rename("Eve")
            assert (other.name(), later.name()) == ("Eve", "Eve")
    finally:
        shop_database.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries again at once."""
    monkeypatch.setattr(shared, "PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_without_redis_the_application_goes_on(
    kind: str, shop_url: str, server: Redis, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dbopt.client")

    def body(shop: Asking, runtime: Runtime) -> None:
        assert [shop.name(), shop.name()] == ["Ada", "Ada"]
        server.stop()
        try:
            assert runtime.each([shop.name] * 8, 4) == ["Ada"] * 8
            shop.rename("Eve")
            with orm.Session(shop.engine) as session:
                session.execute(ONCE.values(name="Bo"))
                session.commit()
            assert shop.name() == "Bo"
            assert shop.reads == 10
        finally:
            server.start()
        assert [shop.name(), shop.name()] == ["Bo", "Bo"]
        assert shop.reads == 11
        assert shop.cache.figures().errors > 0

    both(kind, shop_url, body, cache_url=server.url)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if "Redis" in record.getMessage()]
    assert [level for level, _ in told] == ["WARNING", "INFO"]


def test_what_was_written_without_redis_is_told_to_it_later(shop_url: str, server: Redis, quick: None) -> None:
    """One process does not reach it, the others do."""
    way = server.path.with_name("way.sock")
    way.symlink_to(server.path)
    with (
        asking.asking(shop_url, cache_url=f"unix://{way}") as one,
        asking.asking(shop_url, cache_url=server.url) as other,
    ):
        one.name()
        other.name()
        way.unlink()
        store: Any = one.cache._store
        store._redis.connection_pool.disconnect()
        one.rename("Eve")
        assert (one.name(), other.name()) == ("Eve", "Ada")
        way.symlink_to(server.path)
        one.is_kept("elsewhere")  # whatever it asks
        assert other.name() == "Eve"
    way.unlink()


def test_it_is_not_asked_again_at_once(shop_url: str, server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    with asking.asking(shop_url, cache_url=server.url) as shop:
        shop.name()
        tries = []
        store: Any = shop.cache._store

        def fail(keys: Any) -> Any:
            tries.append(1)
            raise redis.TimeoutError

        monkeypatch.setattr(store.backend, "get_serialized_multi", fail)
        assert [shop.name() for _ in range(5)] == ["Ada"] * 5
        assert len(tries) == 1


def test_a_server_that_never_answers_costs_little(shop_url: str) -> None:
    """It takes connections, and that is all."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared, "SOCKET_SECONDS", 0.05)
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
            with asking.asking(shop_url, cache_url=url) as shop:
                assert [shop.name(), shop.name()] == ["Ada", "Ada"]
                assert shop.cache.figures().errors == 1


def test_an_answer_that_cannot_be_written(two: tuple[Asking, Asking], caplog: pytest.LogCaptureFixture) -> None:
    one, _ = two
    assert one.ask(sa.null) is not one.ask(lambda: 1)
    assert one.ask(lambda: "x" * 20_000_000, key="large") == "x" * 20_000_000
    assert len(caplog.records) == 2
    assert one.cache.figures().uncached == 3


def test_an_address_that_is_none(shop_url: str) -> None:
    with pytest.raises(ConfigError, match="names no Redis"), asking.asking(shop_url, cache_url="http://secret@host"):
        pass


def test_a_program_that_only_invalidates(shop_url: str, server: Redis) -> None:
    """Also in an event loop, where `db.cache` is called without a greenlet."""
    how = Cached(60, tags=("a",))
    with asking.asking(shop_url, cache_url=server.url) as one:
        one.name(how)
        with asking.asking(shop_url, cache_url=server.url) as other:
            other.cache.invalidate(tags=["a"])
        one.name(how)
        assert one.reads == 2

        async def main() -> None:
            async with AsyncDatabase(shop_url, min_connections=0, cache_url=server.url) as db:
                db.cache.invalidate(tables=["customer"])

        asyncio.run(main())
        one.name(how)
        assert one.reads == 3


@pytest.mark.parametrize("how", ["close", "background", "exit"])
def test_a_write_that_redis_did_not_hear_of_is_told_without_a_question(
    how: str, shop_url: str, server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a program that only writes, while the network between it and Redis is gone."""
    monkeypatch.setattr(shared, "PAUSE_SECONDS", 0.0 if how == "background" else 60.0)
    way = server.path.with_name("way")
    way.hardlink_to(server.path)
    try:
        with asking.asking(shop_url, cache_url=server.url) as reader:
            assert reader.name() == "Ada"
            with Database(shop_url, min_connections=0, cache_url=f"unix://{way}") as writer:
                writer.rows(sa.text("SELECT name FROM customer"), cache=60)
                way.unlink()
                with server.client() as client:
                    client.client_kill_filter(_type="normal", skipme=True)
                writer.execute(sa.text("UPDATE customer SET name = 'Eve' WHERE id = 1"))
                assert reader.name() == "Ada"
                way.hardlink_to(server.path)
                if how == "background":
                    writer._core._background._tick()
                elif how == "exit":
                    writer._core._background.close()
                else:
                    writer.close()
                assert reader.name() == "Eve"
    finally:
        way.unlink(missing_ok=True)


def test_what_redis_never_hears_of_is_a_warning(shop_url: str, server: Redis, caplog: pytest.LogCaptureFixture) -> None:
    way = server.path.with_name("way")
    way.hardlink_to(server.path)
    with Database(shop_url, min_connections=0, cache_url=f"unix://{way}") as writer:
        writer.rows(sa.text("SELECT name FROM customer"), cache=60)
        way.unlink()
        with server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        writer.execute(sa.text("UPDATE customer SET name = 'Eve' WHERE id = 1"))
    assert ["was not told" in record.getMessage() for record in caplog.records] == [False, True]
