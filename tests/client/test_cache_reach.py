"""How far a write reaches, by the catalogs of a real server: keys, views, partitions, functions, the schema."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until

from client import asking
from client.engines import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Server

    from client.asking import Asking

SCHEMA = (
    "CREATE TABLE org (id int PRIMARY KEY, code text UNIQUE, name text)",
    "CREATE TABLE team (id int PRIMARY KEY, org_id int REFERENCES org ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE member (id int PRIMARY KEY, team_id int REFERENCES team ON DELETE SET NULL)",
    "CREATE TABLE badge (id int PRIMARY KEY, code text REFERENCES org (code) ON UPDATE CASCADE)",
    "CREATE TABLE invoice (id int PRIMARY KEY, org_id int REFERENCES org)",
    "CREATE VIEW teams AS SELECT t.*, o.name FROM team t JOIN org o ON o.id = t.org_id",
    "CREATE VIEW team_names AS SELECT name FROM teams",
    "CREATE VIEW orgs AS SELECT * FROM org",
    "CREATE MATERIALIZED VIEW org_count AS SELECT count(*) FROM org",
    "CREATE TABLE event (at date NOT NULL, what text) PARTITION BY RANGE (at)",
    "CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    "CREATE TABLE event_2026 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    'CREATE TABLE "Mixed Case" (id int)',
    "CREATE TABLE noted (id int)",
    "CREATE TABLE log (id int)",
    "CREATE RULE noting AS ON INSERT TO noted DO ALSO INSERT INTO log VALUES (NEW.id)",
    "CREATE FUNCTION writer() RETURNS int LANGUAGE sql AS 'INSERT INTO invoice VALUES (1); SELECT 1'",
    "CREATE FUNCTION reader() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM invoice'",
    "INSERT INTO org VALUES (1, 'a', 'One')",
    "INSERT INTO team VALUES (1, 1)",
    "INSERT INTO member VALUES (1, 1)",
)


@pytest.fixture(scope="module")
def made(pg: Server) -> Iterator[Asking]:
    with pg.database() as database, asking.asking(database.conninfo) as made:
        for statement in SCHEMA:
            database.sql(statement)
        yield made


@pytest.fixture
def shop(made: Asking) -> Asking:
    made.cache.clear()
    return made


TABLES = ("org", "team", "member", "badge", "invoice", "log")


@pytest.mark.parametrize(
    ("statement", "ended"),
    [
        ("DELETE FROM org WHERE id = 9", {"org", "team", "member"}),
        ("UPDATE org SET name = 'x'", {"org"}),
        ("UPDATE org SET id = id", {"org", "team"}),
        ("UPDATE org SET code = code", {"org", "badge"}),
        ("INSERT INTO org VALUES (8)", {"org"}),
        ("INSERT INTO org VALUES (8) ON CONFLICT (id) DO UPDATE SET name = excluded.name", {"org"}),
        ("INSERT INTO org VALUES (8) ON CONFLICT (id) DO UPDATE SET code = NULL", {"org", "badge"}),
        ("DELETE FROM team WHERE id = 9", {"team", "member"}),
        ("UPDATE orgs SET name = 'y'", {"org", "team", "member", "badge"}),  # through a view: whatever columns
        ("TRUNCATE member", {"member"}),
        ("INSERT INTO noted VALUES (1)", {"log"}),
        ("SELECT writer() WHERE false", set(TABLES)),
        ("SELECT reader()", set()),
        ("SELECT count(*), now() FROM org", set()),
        ("LOCK TABLE org", set()),
        ("DO 'BEGIN END'", set(TABLES)),
        ("CREATE TEMPORARY TABLE scratch (id int) ON COMMIT DROP", set()),
        ("CREATE INDEX IF NOT EXISTS by_name ON org (name)", set(TABLES)),
        ("TRUNCATE member CASCADE", set(TABLES)),
    ],
)
def test_what_a_write_ends(statement: str, ended: set[str], shop: Asking) -> None:
    for table in TABLES:
        shop.is_kept(table)
    shop.do(statement)
    assert {table for table in TABLES if not shop.is_kept(table)} == ended


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("UPDATE org SET name = 'z'", "teams"),
        ("UPDATE org SET name = 'z'", "team_names"),
        ("INSERT INTO event VALUES ('2026-05-05')", "event_2026"),
        ("INSERT INTO event_2026 VALUES ('2026-05-05')", "event"),
        ('DELETE FROM "Mixed Case"', "Mixed Case"),
        ('DELETE FROM "Mixed Case"', "public.Mixed Case"),
        ("REFRESH MATERIALIZED VIEW org_count", "org_count"),
    ],
)
def test_what_hangs_on_what(statement: str, read: str, shop: Asking) -> None:
    shop.is_kept(read)
    assert shop.is_kept(read)
    shop.do(statement)
    assert not shop.is_kept(read)


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("INSERT INTO event_2026 VALUES ('2026-05-05')", "event_2025"),
        ("INSERT INTO invoice VALUES (2)", "teams"),
        ("UPDATE org SET name = 'q'", "org_count"),  # before it is refreshed
    ],
)
def test_what_does_not(statement: str, read: str, shop: Asking) -> None:
    shop.is_kept(read)
    shop.do(statement)
    shop.do("DELETE FROM invoice")
    assert shop.is_kept(read)


def test_the_catalogs_are_read_anew_after_a_change(shop: Asking) -> None:
    shop.do("CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (id int)")
    shop.is_kept("child")
    shop.do("DELETE FROM parent")
    assert shop.is_kept("child")
    shop.do("ALTER TABLE child ADD FOREIGN KEY (id) REFERENCES parent ON DELETE CASCADE")
    shop.is_kept("child")
    shop.do("DELETE FROM parent")
    assert not shop.is_kept("child")


def test_a_migration_elsewhere_is_known_after_clear(shop: Asking, made: Asking) -> None:
    shop.is_kept("other_child")
    with made.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("CREATE TABLE other_parent (id int PRIMARY KEY)")
        driver.execute("CREATE TABLE other_child (id int REFERENCES other_parent ON DELETE CASCADE)")
        driver.commit()
    shop.cache.clear()
    shop.is_kept("other_child")
    shop.do("DELETE FROM other_parent")
    assert not shop.is_kept("other_child")


def test_who_waited_while_a_view_was_changed_keeps_nothing(shop: Asking) -> None:
    """What the answer hangs on was found out before, and is another table now."""
    shop.do("CREATE TABLE before_it (n int)", "CREATE TABLE after_it (n int)", "INSERT INTO after_it VALUES (1)")
    shop.do("CREATE VIEW moving AS SELECT n FROM before_it")
    has_begun, may_end = threading.Event(), threading.Event()

    def read() -> Any:
        with shop.engine.connect() as connection:
            return connection.exec_driver_sql("SELECT sum(n) FROM moving").scalar()

    def slow() -> Any:
        has_begun.set()
        assert may_end.wait(20)
        return None

    def ask(make: Callable[[], Any]) -> Any:
        return shop.ask(make, key="moving", tables=("moving",))

    first = Call(lambda: ask(slow))
    assert has_begun.wait(20)
    second = Call(lambda: ask(read))
    store: Any = shop.cache._store
    wait_until(lambda: any(mutex._queue for mutex in list(store._mutexes._values.values())), "the wait")
    shop.do("CREATE OR REPLACE VIEW moving AS SELECT n FROM after_it")
    may_end.set()
    assert (first.result(), second.result()) == (None, 1)
    shop.do("UPDATE after_it SET n = 2")
    assert ask(read) == 2
