"""A small shop, with what `dbopt stats` has words for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers import wait_until

if TYPE_CHECKING:
    from server import Database

ODD = 'Very long, [bold]odd[/bold] "name" äöü 表'

SHOP = f"""
CREATE SCHEMA shop; CREATE SCHEMA "Odd Schema";
CREATE TABLE shop.customers (id int PRIMARY KEY, email text UNIQUE);
INSERT INTO shop.customers SELECT g, 'c' || g FROM generate_series(1, 100) g;
CREATE TABLE shop.orders (id int PRIMARY KEY, customer_id int REFERENCES shop.customers, paid boolean)
    WITH (autovacuum_enabled = false);
INSERT INTO shop.orders SELECT g, g % 100 + 1, g % 3 = 0 FROM generate_series(1, 20000) g;
CREATE INDEX orders_paid ON shop.orders (paid);
CREATE INDEX orders_paid_id ON shop.orders (paid, id);
COMMENT ON INDEX shop.orders_paid IS 'who has paid [dbopt:1 shop/orders_paid sha=0123456789ab]';
CREATE TABLE shop.events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.events_1 PARTITION OF shop.events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.events_2 PARTITION OF shop.events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO shop.events SELECT g, date '2026-01-01' + g % 50 FROM generate_series(1, 5000) g;
CREATE INDEX events_at ON shop.events (at);
CREATE TABLE "Odd Schema"."{ODD.replace('"', '""')}" (id int, "a b" int REFERENCES shop.customers);
INSERT INTO "Odd Schema"."{ODD.replace('"', '""')}" SELECT g FROM generate_series(1, 7) g;
ANALYZE;
"""
_COUNTED = (
    "SELECT pg_stat_get_numscans('shop.orders_pkey'::regclass), pg_stat_get_tuples_returned('shop.orders'::regclass)"
)


def build(database: Database) -> None:
    """Its statistics are those of what follows alone."""
    database.sql(SHOP)
    # What a session has counted is told when it ends, up to a second later.
    wait_until(
        lambda: database.sql("SELECT pg_stat_get_live_tuples('shop.events_2'::regclass) > 0") == [(True,)], "told"
    )
    wait_until(
        lambda: database.sql("SELECT pg_stat_get_live_tuples('shop.orders'::regclass)") == [(20000,)], "told too"
    )
    settled(database)


def settled(database: Database) -> tuple[int, int]:
    """The counters once they stand still."""
    [last] = database.sql(_COUNTED)
    return int(last[0]), int(last[1])


def use(database: Database, *, scans: int = 0, whole: int = 0, bitmap: bool = False) -> None:
    """Find so many orders by their key, read all of them so many times; wait until that was counted."""
    before_scans, before_read = settled(database)
    with database.connect(autocommit=True) as conn:
        conn.execute("SET enable_seqscan = off")
        conn.execute(f"SET enable_{'indexscan' if bitmap else 'bitmapscan'} = off")
        conn.execute("SET enable_indexonlyscan = off")
        for number in range(scans):
            conn.execute("SELECT paid FROM shop.orders WHERE id = %s", [number + 1], prepare=False)
        conn.execute("RESET enable_seqscan")
        for _ in range(whole):
            conn.execute("SET max_parallel_workers_per_gather = 0")
            conn.execute("SELECT sum(customer_id) FROM shop.orders")
    wanted = (before_scans + scans, before_read + whole * 20000)
    wait_until(lambda: settled(database) >= wanted, "counting")
