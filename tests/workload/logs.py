"""Logs as a real server writes them, in every format at once."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from helpers import wait_until

from dbopt import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from psycopg import Connection

SECRET = "k5sesame"  # in every value; nowhere in what is read
_DONE = "done_with_it"
_SETTINGS = {
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "first",
    "log_rotation_age": "0",
    "log_min_duration_statement": "0",
    "log_timezone": "UTC",
    "session_preload_libraries": "auto_explain",
    "autovacuum": "off",
    "compute_query_id": "on",
    "log_parameter_max_length": "-1",
}


@dataclass(frozen=True, slots=True)
class Logging:
    """A server that writes its log in each format that it has."""

    server: embedded.EmbeddedServer
    formats: tuple[str, ...]  # stderr, csvlog, jsonlog

    def written(self, name: str, work: Callable[[Connection], object], **settings: str) -> dict[str, Path]:
        """What the server logs of some work under settings: a new file of each format."""
        folder = self.server.directory / "data" / "log"
        suffixes = {"stderr": "", "csvlog": ".csv", "jsonlog": ".json"}
        files = {form: folder / f"{name}{suffixes[form]}" for form in self.formats}
        with self._unlogged() as conn:
            conn.execute("ALTER SYSTEM RESET ALL")
            for key, value in {**settings, "log_filename": name}.items():
                conn.execute(f"ALTER SYSTEM SET {key} = '{value}'")
            conn.execute("SELECT pg_reload_conf()")
        wait_until(lambda: all(file.exists() for file in files.values()), "the new log files")
        wait_until(lambda: self._is_reloaded(name), "the new settings")
        with psycopg.connect(self.server.conninfo, autocommit=True) as conn:
            work(conn)
            conn.execute(f"DO 'BEGIN RAISE LOG ''{_DONE}''; END'")
        wait_until(lambda: all(_DONE in file.read_text() for file in files.values()), "the log")
        return files

    def _is_reloaded(self, name: str) -> bool:
        with self._unlogged() as conn:
            return conn.execute("SELECT current_setting('log_filename')").fetchone() == (name,)

    def _unlogged(self) -> Connection:
        quiet = "-c log_min_duration_statement=-1 -c log_statement=none -c auto_explain.log_min_duration=-1"
        return psycopg.connect(self.server.conninfo, autocommit=True, options=quiet)


@contextlib.contextmanager
def logging(binaries: embedded.Binaries) -> Iterator[Logging]:
    major = binaries.version[0]
    formats = ("stderr", "csvlog", "jsonlog") if major >= 15 else ("stderr", "csvlog")
    settings = {**_SETTINGS, "log_destination": ",".join(formats)}
    if major < 14:
        del settings["compute_query_id"]
    with embedded.start(binaries=binaries, settings=settings) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            conn.execute(
                'CREATE TABLE orders (id int PRIMARY KEY, status text, total numeric(10,2), "Odd \'Name" text)'
            )
            conn.execute("INSERT INTO orders SELECT g, 'st' || g % 7, g % 1000 FROM generate_series(1, 5000) AS g")
            conn.execute("CREATE INDEX orders_status ON orders (status)")
            conn.execute("CREATE TABLE items (order_id int, price numeric) PARTITION BY RANGE (order_id)")
            conn.execute("CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (0) TO (500)")
            conn.execute("CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM (500) TO (5000)")
            conn.execute("INSERT INTO items SELECT g % 4000 + 1, g FROM generate_series(1, 4000) AS g")
            conn.execute("ANALYZE")
        yield Logging(server, formats)


def ordinary(conn: Connection) -> None:
    """Statements as applications send them, each with a secret in its values."""
    for number in range(3):
        conn.execute(f"SELECT *\nFROM orders\n\tWHERE status = '{SECRET}{number}'\n  AND id > {number} -- {SECRET}")
    for number in range(7):  # prepared at once, then planned for the values five times, then for any
        conn.execute(
            "SELECT total FROM orders WHERE id = %s AND status <> %s", [number, f"{SECRET}\n'{number}"], prepare=True
        )
    conn.execute(f"UPDATE orders SET status = E'{SECRET}\\n\\'\"' WHERE id = 4711")
    conn.execute("PREPARE by_status (text) AS SELECT count(*) FROM orders WHERE status = $1")
    conn.execute(f"EXECUTE by_status ('{SECRET}')")
    conn.execute(f"EXECUTE by_status ('{SECRET}2')")
    with contextlib.suppress(psycopg.Error):
        conn.execute(f"SELECT nothing FROM orders WHERE status = '{SECRET}'")
    with conn.transaction(), conn.cursor("of_orders") as cursor:
        cursor.execute(f"SELECT id FROM orders WHERE status <> '{SECRET}'")
        cursor.fetchmany(10)


# By what it is called: the plans have to come out alike, however they were written.
PLANNED = {
    "sort": f"SELECT * FROM orders o WHERE status = '{SECRET}' OR total > 5.5"
    " ORDER BY lower(status), total DESC LIMIT 3",
    "spill": "SET work_mem = '64kB'; SELECT * FROM orders a ORDER BY total; RESET work_mem",
    "line breaks": f"SELECT id FROM orders WHERE status = '{SECRET}\n  Sort Key: {SECRET}\n"
    "  ->  Seq Scan on x  (cost=0.00..1.00 rows=1 width=1)'",
    "subplans": f"SELECT count(*) FROM orders o WHERE id IN (SELECT order_id FROM items WHERE price > 7)"
    f" OR total = (SELECT max(total) FROM orders WHERE status = '{SECRET}')",
    "cte": "WITH x AS MATERIALIZED (SELECT * FROM orders WHERE total > 5)"
    " SELECT * FROM x a JOIN x b USING (id) WHERE a.total < 9",
    "left join": "SELECT * FROM orders o LEFT JOIN items i ON i.order_id = o.id WHERE i.order_id IS NULL",
    "nested loop": "SELECT * FROM orders o, LATERAL (SELECT * FROM items WHERE order_id = o.id LIMIT 1) i"
    " WHERE o.id < 20",
    "aggregates": "SELECT status, count(*) FROM orders GROUP BY status HAVING count(*) > 3 ORDER BY 2 DESC",
    "window": "SELECT row_number() OVER (PARTITION BY status ORDER BY id) FROM orders WHERE id < 50",
    "set operation": "SELECT id FROM orders EXCEPT ALL SELECT order_id FROM items",
    "bitmaps": f"SELECT * FROM orders WHERE status IN ('{SECRET}', 'st1') AND id BETWEEN 7 AND 900",
    "backward": "SELECT id FROM orders ORDER BY id DESC LIMIT 2",
    "function": "SELECT * FROM generate_series(1, 3) AS g (x) WHERE x > 1",
    "values": f"VALUES (1, '{SECRET}'), (2, 'b')",
    "names": f'SELECT "O o".id FROM orders AS "O o" WHERE "Odd \'Name" = \'{SECRET}\'',
    "never": "SELECT * FROM orders o JOIN items i ON i.order_id = o.id WHERE o.status = 'none' AND i.price > 3",
    "cast": f"SELECT * FROM orders WHERE total::numeric(12,3) = 1.5 AND status::varchar(20) LIKE '%{SECRET}%'",
}


def planned(conn: Connection) -> None:
    for statement in PLANNED.values():
        conn.execute(statement)
    conn.execute(f"DO $$BEGIN PERFORM count(*) FROM items WHERE price::text = '{SECRET}'; END$$")
