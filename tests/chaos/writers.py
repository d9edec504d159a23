"""An application that goes on writing, whatever happens to its indexes."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Self

import psycopg

from tests.chaos.world import INSERTED, ROW, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 3
RECONNECT_SECONDS = 0.05
_PAUSE_SECONDS = (0.01, 0.03)  # between transactions: two cores have to serve more than the writers
_LONG_SECONDS = (0.02, 0.12)  # of a transaction that stays open between two statements


class Writers:
    """`errors` are what the application got to see, but for lost connections while the server was being harmed."""

    def __init__(self, conninfo: str, seed: str, server_is_harmed: Callable[[], bool]) -> None:
        self.errors: list[str] = []
        self.commits = 0
        self._conninfo = conninfo
        self._harmed = server_is_harmed
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(number, random.Random(f"{seed}/{number}")), daemon=True)
            for number in range(THREADS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int, rng: random.Random) -> None:
        while not self._stopped.is_set():
            harmed = self._harmed()
            try:
                with psycopg.connect(self._conninfo, autocommit=True, application_name="writer") as conn:
                    while not self._stopped.is_set():
                        harmed = self._harmed()
                        self._transaction(conn, number, rng)
                        self.commits += 1
                        time.sleep(rng.uniform(*_PAUSE_SECONDS))
            except psycopg.OperationalError as exc:
                lost = exc.sqlstate is None or exc.sqlstate.startswith(("57P", "08"))
                if not (lost and (harmed or self._harmed())):
                    self.errors.append(f"{exc.sqlstate} {exc}".strip())
                time.sleep(RECONNECT_SECONDS)
            except psycopg.Error as exc:
                self.errors.append(f"{exc.sqlstate} {exc}".strip())

    def _transaction(self, conn: psycopg.Connection[tuple[object, ...]], number: int, rng: random.Random) -> None:
        """One of those that applications make. Rows of others are left alone, so that none waits for another."""
        table = rng.choice(list(TABLES))
        start = 1 + sum(list(TABLES.values())[: list(TABLES).index(table)])
        one = rng.randrange(start, start + TABLES[table], THREADS)
        key = {"id": one - one % THREADS + number, "new": rng.randrange(1_000_000)}
        rows = f"{ROW.replace('%', '%%')} FROM generate_series(%(new)s, %(new)s + 2) AS g"
        insert = f"INSERT INTO {table} ({INSERTED}) SELECT {rows}"
        hot = f"UPDATE {table} SET hits = hits + 1 WHERE id = %(id)s"
        update = f"UPDATE {table} SET amount = %(new)s %% 1000, word = md5(%(new)s::text) WHERE id = %(id)s"
        move = f"UPDATE {table} SET at = %(new)s %% 100 WHERE id = %(id)s"
        delete = f"DELETE FROM {table} WHERE id = %(id)s"
        draw = rng.random()
        if draw < 0.03:
            with conn.transaction():
                conn.execute(insert, key)
                time.sleep(rng.uniform(*_LONG_SECONDS))
                conn.execute(update, key)
        elif draw < 0.05:
            with conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                conn.execute(f"SELECT count(*) FROM {table}")
                time.sleep(rng.uniform(*_LONG_SECONDS))
        elif draw < 0.08:
            with contextlib.suppress(psycopg.Rollback), conn.transaction():
                conn.execute(update, key)
                raise psycopg.Rollback
        else:
            conn.execute(rng.choice([insert, insert, hot, hot, hot, update, move, delete]), key)
