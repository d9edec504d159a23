"""What processes tell each other by NOTIFY; two caches of their own stand for two processes."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from helpers import wait_until
from pooler import pooled

from client import asking
from client.asking import ONCE, Asking, both
from client.engines import KINDS
from client.models import customer
from client.test_fork import in_child
from dbopt.client import Cached
from dbopt.client.cache import listener, messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database as Own
    from server import Server

    from dbopt.client.runtime import Runtime


@pytest.fixture(scope="module")
def shop_database(pg: Server) -> Iterator[Own]:
    with asking.shop_database(pg) as database:
        yield database


@pytest.fixture
def shop_url(shop_database: Own, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(listener, "FIRST_PAUSE_SECONDS", 0.05)
    return asking.opened(shop_database)


@contextlib.contextmanager
def listening(url: str) -> Iterator[Asking]:
    with asking.asking(url, cache_notify=True) as shop:
        wait_until(lambda: is_listening(shop), "the listening")
        yield shop


def is_listening(shop: Asking) -> bool:
    assert shop.cache._listener is not None
    return shop.cache._listener.is_listening()


def forgets(shop: Asking, name: str) -> None:
    wait_until(lambda: shop.name() == name, f"the news of {name}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_elsewhere_ends_an_answer(kind: str, shop_url: str) -> None:
    with listening(shop_url) as one:

        def body(other: Asking, runtime: Runtime) -> None:
            wait_until_listening(other, runtime)
            assert (one.name(), other.name()) == ("Ada", "Ada")
            reads = one.reads
            other.rename("Eve")
            forgets(one, "Eve")
            assert one.reads == reads + 1
            with other.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(ONCE.values(name="Bo"))
            forgets(one, "Bo")
            one.is_kept("other")
            with other.engine.connect() as connection:
                connection.execute(ONCE.values(name="Cy"))
            assert one.is_kept("other")  # rolled back: nothing was told

        def wait_until_listening(other: Asking, runtime: Runtime) -> None:
            for _ in range(2_000):
                if is_listening(other):
                    return
                runtime.sleep(0.01)

        both(kind, shop_url, body, cache_notify=True)


def test_what_is_told_is_what_it_reaches(shop_url: str) -> None:
    """And only that."""
    with listening(shop_url) as one, listening(shop_url) as other:
        one.name()
        for table in ("order", "elsewhere"):
            one.is_kept(table)
        other.name()
        with other.engine.begin() as connection:
            connection.execute(customer.delete().where(customer.c.id == 2))
        wait_until(lambda: not one.is_kept("order"), "the news of the cascade")
        assert one.is_kept("elsewhere")


def test_tags_and_everything(shop_url: str) -> None:
    how = Cached(60, tags=("a",))
    with listening(shop_url) as one, listening(shop_url) as other:
        one.name(how)
        reads = one.reads
        other.cache.invalidate(tags=["a"])
        wait_until(lambda: one.name(how) and one.reads == reads + 1, "the news of the tag")
        one.is_kept("order")
        other.cache.clear()
        wait_until(lambda: not one.is_kept("order"), "the news of all")


def test_ones_own_messages_end_nothing_twice(shop_url: str, shop_database: Own) -> None:
    with listening(shop_url) as one:
        one.is_kept("order")
        one.rename("Eve")
        one.name()
        shop_database.sql("SELECT pg_notify('dbopt_cache', 'order')")  # comes after one's own
        wait_until(lambda: not one.is_kept("order"), "the last message")
        assert (one.name(), one.reads) == ("Eve", 1)


def test_a_trigger_may_tell(shop_url: str, shop_database: Own) -> None:
    with listening(shop_url) as one:
        one.name()
        with shop_database.connect() as conn:
            conn.execute("UPDATE customer SET name = 'Eve' WHERE id = 1")
            conn.execute("SELECT pg_notify('dbopt_cache', 'customer')")
            conn.commit()
        forgets(one, "Eve")


def test_while_nobody_listens_nothing_is_answered(
    shop_url: str, shop_database: Own, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "dbopt.client")
    with listening(shop_url) as one:
        one.name()
        assert (one.name(), one.reads) == ("Ada", 1)
        may_connect = threading.Event()
        connect = listener.connecting.connect

        def late(*args: Any) -> Any:
            if threading.current_thread().name == "dbopt cache":
                assert may_connect.wait(20)
            return connect(*args)

        monkeypatch.setattr(listener.connecting, "connect", late)
        terminate(shop_database)
        wait_until(lambda: not is_listening(one), "the end of the session")
        # What is written now is missed; nothing is kept, so it does no harm.
        shop_database.sql("UPDATE customer SET name = 'Eve' WHERE id = 1")
        assert [one.name(), one.name()] == ["Eve", "Eve"]
        assert one.reads == 3
        may_connect.set()
        wait_until(lambda: is_listening(one), "listening again")
        assert [one.name(), one.name()] == ["Eve", "Eve"]
        assert one.reads == 4
        assert one.cache.figures().errors == 1
        warnings = [record.levelname for record in caplog.records if record.name == "dbopt.client"]
        assert warnings == ["WARNING", "INFO"]


def terminate(database: Own) -> None:
    """All sessions on channels: LISTEN is what they were last asked, or SELECT 1."""
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND query IN ('SELECT 1', 'LISTEN \"dbopt_cache\"')"
    )


def test_behind_a_pooler_that_keeps_no_sessions_nothing_is_cached(
    pg: Server, shop_database: Own, shop_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "TEST_SECONDS", 0.3)
    with pooled(pg, shop_database) as url, asking.asking(url, cache_notify=True) as shop:
        shop.name()
        wait_until(lambda: shop.cache.figures().errors, "the test")
        shop.name()
        assert (shop.name(), shop.reads) == ("Ada", 3)
        assert caplog.text.count("a pooler in between does not pass messages on") == 1


def test_a_transaction_that_has_failed_is_told_to_nobody(shop_url: str) -> None:
    with listening(shop_url) as one, one.engine.connect() as connection:
        connection.execute(ONCE.values(name="Eve"))
        with pytest.raises(sa.exc.ProgrammingError):
            connection.execute(sa.text("SELECT nothing"))
        connection.commit()  # which the server makes a rollback
    with asking.asking(shop_url) as shop:
        assert shop.name() == "Ada"


def test_many_tables_are_told_in_several_messages(shop_url: str, shop_database: Own) -> None:
    """Each is shorter than the 8,000 bytes that NOTIFY takes."""
    names = [f"t{number:03}_{'x' * 55}" for number in range(400)]
    with listening(shop_url) as one, listening(shop_url) as other:
        other.name()  # so that it knows the catalogs
        one.is_kept(names[0])
        one.is_kept(names[-1])
        other.cache.invalidate(tables=names)
        wait_until(lambda: not one.is_kept(names[0]), "the first")
        wait_until(lambda: not one.is_kept(names[-1]), "the last")
        assert len(messages.written("", [f"t:{name}" for name in names])) > 1


def test_closing_leaves_no_thread_and_no_session(shop_url: str, shop_database: Own) -> None:
    with listening(shop_url):
        assert "dbopt cache" in {thread.name for thread in threading.enumerate()}
    assert "dbopt cache" not in {thread.name for thread in threading.enumerate()}
    wait_until(
        lambda: (
            not shop_database.sql(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ),
        "the end of all sessions",
    )


def test_who_never_asks_listens_to_nobody(shop_url: str) -> None:
    with asking.asking(shop_url, cache_notify=True) as shop:
        shop.rename("Eve")
        assert "dbopt cache" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_has_a_cache_of_its_own(shop_url: str) -> None:
    """Nothing of the parent's, neither answers nor figures; and it listens by a session of its own."""
    with listening(shop_url) as one:
        assert [one.name(), one.name()] == ["Ada", "Ada"]

        def child() -> Any:
            wait_until(lambda: is_listening(one), "the child's listening")
            names = [one.name(), one.name()]
            one.rename("Eve")
            figures = one.cache.figures()
            one.cache.close()
            return [names, figures.hits, figures.misses]

        assert in_child(child) == [["Ada", "Ada"], 1, 1]
        forgets(one, "Eve")
        assert is_listening(one)


def test_a_program_that_ends_at_once_has_told(shop_url: str) -> None:
    with listening(shop_url) as one:
        one.name()
        with asking.asking(shop_url, cache_notify=True) as other:
            other.cache.invalidate(tables=["customer"])
        wait_until(lambda: one.name() and one.reads == 2, "the news")
