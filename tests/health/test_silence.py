"""Where nothing is wrong, nothing is said: exit code 0, no problem, no right that is missing."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until
from psycopg.conninfo import make_conninfo
from server import Database, Server

from dbopt import embedded
from tests.health.looks import failed, look_at, sample_of, told
from tests.health.standby import caught_up, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.embedded import Binaries

# The tests' own server does without, which is a finding.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}

SHOP = """
    CREATE TABLE customers (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        email text NOT NULL UNIQUE,
        referrer bigint REFERENCES customers
    );
    CREATE INDEX customers_referrer ON customers (referrer);
    CREATE TABLE "Orders" (
        id serial PRIMARY KEY,
        customer bigint NOT NULL REFERENCES customers,
        placed timestamptz NOT NULL DEFAULT now(),
        note text,
        CONSTRAINT "Positive" CHECK (id > 0)
    );
    CREATE INDEX orders_customer ON "Orders" (customer);
    CREATE INDEX orders_placed ON "Orders" (placed DESC) WHERE note IS NOT NULL;
    CREATE INDEX orders_note ON "Orders" (lower(note));
    CREATE TABLE events (id bigint, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    CREATE VIEW placed AS SELECT id, placed FROM "Orders";
    CREATE MATERIALIZED VIEW daily AS SELECT date_trunc('day', placed) AS day, count(*) FROM "Orders" GROUP BY 1;
"""
ROWS = """
    INSERT INTO customers (email, referrer) SELECT 'c' || i, NULLIF(i / 2, 0) FROM generate_series(1, 20000) AS i;
    INSERT INTO "Orders" (customer, note) SELECT 1 + i % 20000, 'n' || i FROM generate_series(1, 30000) AS i;
    INSERT INTO events SELECT i, DATE '2026-01-01' + i % 50 FROM generate_series(1, 5000) AS i;
"""


@pytest.fixture(scope="module")
def durable(server_binaries: Binaries) -> Iterator[Server]:
    with embedded.start(binaries=server_binaries, settings=DURABLE) as running:
        yield Server(running)


@pytest.fixture
def sound(durable: Server) -> Iterator[Database]:
    with durable.database() as fresh:
        yield fresh


def assert_silent(database: Database) -> None:
    verdict, facts = look_at(database)
    assert told(verdict) == {}
    assert verdict.exit_code() == 0
    assert failed(facts) == {}


def test_a_fresh_cluster(durable: Server) -> None:
    assert_silent(Database(durable.conninfo, "postgres"))


def test_an_empty_database(sound: Database) -> None:
    assert_silent(sound)


def test_tables_without_rows(sound: Database) -> None:
    sound.sql(SHOP)
    assert_silent(sound)


def test_tables_with_rows_before_anybody_has_analyzed_them(sound: Database) -> None:
    sound.sql(SHOP + ROWS)
    assert_silent(sound)


def test_an_idle_database_with_sessions_that_wait_for_work(sound: Database) -> None:
    sound.sql(SHOP + ROWS)
    sound.sql("VACUUM ANALYZE")
    for _ in range(3):
        sound.connect(autocommit=True).execute("SELECT 1")
    assert_silent(sound)


def test_a_copy_of_a_database(sound: Database, durable: Server) -> None:
    """The statistics come along, the counters do not."""
    sound.sql(SHOP + ROWS)
    sound.sql("ANALYZE")
    with durable.database(sound.name) as copy:
        assert_silent(copy)


def test_a_database_that_was_just_restored(sound: Database, durable: Server, restored_with: tuple[str, str]) -> None:
    sound.sql(SHOP + ROWS)
    dump, psql = restored_with
    text = subprocess.run([dump, "-d", sound.conninfo], capture_output=True, text=True, check=True).stdout
    with durable.database() as target:
        subprocess.run(
            [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target.conninfo],
            input=text,
            stdout=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        assert target.sql("SELECT count(*) FROM customers") == [(20000,)]
        assert_silent(target)


@pytest.fixture
def restored_with(server_binaries: Binaries) -> tuple[str, str]:
    """pg_dump and psql of the server's own version; not every provider of servers has them."""
    dump = shutil.which("pg_dump", path=str(server_binaries.bindir))
    psql = shutil.which("psql", path=str(server_binaries.bindir)) or shutil.which("psql")
    if dump is None or psql is None:
        pytest.skip("no pg_dump beside this server")
    return dump, psql


def test_a_second_look_that_knows_the_first(sound: Database) -> None:
    """Every window is a moment long then."""
    sound.sql(SHOP + ROWS)
    _, facts = look_at(sound)
    verdict, _ = look_at(sound, before=sample_of(facts))
    assert told(verdict) == {}
    assert verdict.exit_code() == 0


def test_a_server_under_steady_load(sound: Database) -> None:
    sound.sql(SHOP + ROWS)
    if sound.sql("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"):
        sound.sql("CREATE EXTENSION pg_stat_statements")
    sound.sql("VACUUM ANALYZE")
    stop = threading.Event()
    done = [0, 0]

    def work(number: int) -> None:
        with sound.connect() as conn:
            while not stop.is_set():
                customer = 1 + (done[number] * 7919) % 20000
                conn.execute('INSERT INTO "Orders" (customer, note) VALUES (%s, %s)', [customer, "new"])
                conn.execute('SELECT count(*) FROM "Orders" WHERE customer = %s', [customer])
                conn.execute('UPDATE "Orders" SET note = %s WHERE customer = %s', ["changed", customer])
                conn.execute("SELECT email FROM customers WHERE id = %s", [customer])
                conn.commit()
                done[number] += 1

    threads = [threading.Thread(target=work, args=[number]) for number in range(len(done))]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(done) > 100, "work")
        for _ in range(3):
            assert_silent(sound)
            time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_primary_and_its_standby(server_binaries: Binaries) -> None:
    with pair(server_binaries, DURABLE, DURABLE) as (primary, standby):
        primary.database.sql(SHOP + ROWS)
        caught_up(primary, standby)
        assert_silent(primary.database)
        assert_silent(standby.database)


def test_a_connection_by_the_name_of_another_database_is_the_same(durable: Server, sound: Database) -> None:
    assert_silent(Database(make_conninfo(durable.conninfo, dbname="template1"), "template1"))
