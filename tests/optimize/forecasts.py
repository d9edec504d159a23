"""Situations in which a statement may have to wait, and the truth about each: whom the server makes it wait for."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import psycopg
from helpers import WAIT_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from server import Database

WAITS = "wait_event_type = 'Lock'"
GATE = 4711  # the advisory lock that builds with the operator class `gated` wait for, with their snapshots

FILL = f"""
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE posts (id int PRIMARY KEY, author int) WITH (autovacuum_enabled = false);
CREATE TABLE crawl (id int, author int) WITH (autovacuum_enabled = false);
CREATE INDEX crawl_author ON crawl (author);
CREATE INDEX crawl_id ON crawl (id);
CREATE INDEX posts_author ON posts (author);
INSERT INTO posts SELECT i, i FROM generate_series(1, 100) AS i;
INSERT INTO crawl SELECT i, i FROM generate_series(1, 20000) AS i;
DELETE FROM crawl WHERE id % 2 = 0;
ANALYZE posts;
CREATE FUNCTION gate(a int, b int) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
  BEGIN
    PERFORM pg_advisory_lock_shared({GATE}), pg_advisory_unlock_shared({GATE});
    RETURN btint4cmp(a, b);
  END $$;
CREATE OPERATOR CLASS gated FOR TYPE int USING btree AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 gate(int, int);
CREATE TABLE elsewhere (id int, author int) WITH (autovacuum_enabled = false);
INSERT INTO elsewhere SELECT i, i FROM generate_series(1, 100) AS i;
"""


class Stage:
    """Other sessions, each under a name; `end` ends what one of them does."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.names: dict[int | str, str] = {}  # by pid or gid
        self.ends: dict[int | str, Callable[[], None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def clear(self) -> None:
        """The last comes first to its end: it may wait for those before it."""
        for key in reversed(list(self.ends)):
            self.end(key)

    def end(self, key: int | str) -> None:
        end = self.ends.pop(key, None)
        if end is not None:
            end()

    def idle(self, name: str, *statements: str, autocommit: bool = False) -> psycopg.Connection[Any]:
        """A session that has run these, in a transaction that stays open, and is idle now."""
        conn = psycopg.connect(self.database.conninfo, autocommit=autocommit)
        pid = conn.info.backend_pid
        self.names[pid] = name
        self.ends[pid] = lambda: self._close(conn)
        for statement in statements:
            with contextlib.suppress(psycopg.errors.DivisionByZero):
                conn.execute(statement)  # type: ignore[call-overload]
        return conn

    def busy(self, name: str, statement: str, *before: str, until: str = WAITS, autocommit: bool = True) -> int:
        """A session that runs the statement in a thread; pg_stat_activity shows `until`."""
        return self.go_on(self.idle(name, *before, autocommit=autocommit), statement, until=until)

    def go_on(self, conn: psycopg.Connection[Any], statement: str, *, until: str = WAITS) -> int:
        """The same for a session that is there already."""
        pid = conn.info.backend_pid

        def work() -> None:
            with contextlib.suppress(psycopg.Error):
                conn.execute(statement)  # type: ignore[call-overload]

        thread = threading.Thread(target=work)
        thread.start()

        def end() -> None:
            while thread.is_alive():  # a cancellation that comes too early is lost
                conn.cancel_safe()
                thread.join(0.05)
            self._close(conn)

        self.ends[pid] = end
        shows = f"SELECT 1 FROM pg_stat_activity AS a WHERE pid = {pid} AND state = 'active' AND {until}"
        wait_until(lambda: self.database.sql(shows), f"{statement}: {until}")
        return pid

    def prepared(self, gid: str, *statements: str) -> None:
        conn = self.idle("preparing", *statements)
        conn.execute(f"PREPARE TRANSACTION '{gid}'")
        self.end(conn.info.backend_pid)
        self.names[gid] = gid
        self.ends[gid] = lambda: [None for _ in self.database.sql(f"ROLLBACK PREPARED '{gid}'")] and None

    def shut_gate(self) -> None:
        """From now on builds with `gated` stand still, and have a snapshot."""
        self.idle("gate", f"SELECT pg_advisory_lock({GATE})", autocommit=True)

    def _close(self, conn: psycopg.Connection[Any]) -> None:
        pid = conn.info.backend_pid
        conn.close()
        gone = f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})"
        wait_until(lambda: self.database.sql(gone), "the end of a session")


def truth(stage: Stage, statement: str) -> dict[str, str | None]:
    """Those for whom the server makes this statement wait, by name, with the phase in which it did first. Each is ended
    as soon as that is seen, so that it goes on to the next.
    """
    database = stage.database
    found: dict[str, str | None] = {}
    with (
        psycopg.connect(database.conninfo, autocommit=True) as conn,
        # In another database, since looking takes a snapshot.
        psycopg.connect(database.conninfo, dbname="template1", autocommit=True) as watcher,
    ):
        failures: list[psycopg.Error] = []

        def work() -> None:
            try:
                conn.execute(statement)  # type: ignore[call-overload]
            except psycopg.Error as exc:
                failures.append(exc)

        thread = threading.Thread(target=work)
        thread.start()
        deadline = time.monotonic() + WAIT_SECONDS
        while thread.is_alive():
            if _look(watcher, conn)[1]:
                # Whoever is waited for stays until it is ended; but phase and blockers are not read at one instant.
                phase, pids = _look(watcher, conn)
                for pid in pids:
                    # A prepared transaction is 0; of one stage, one at most holds the table.
                    key = pid if pid else next(key for key in stage.names if isinstance(key, str))
                    found.setdefault(stage.names.get(key, f"pid {pid}"), phase)
                    stage.end(key)
            assert time.monotonic() < deadline, f"{statement} waits: {found}"
            thread.join(0.02)
        assert not failures, failures
    return found


def _look(watcher: psycopg.Connection[Any], conn: psycopg.Connection[Any]) -> tuple[str | None, list[int]]:
    """The phase of a build and whom it waits for."""
    row = watcher.execute(
        "SELECT p.phase, pg_blocking_pids(a.pid) FROM pg_stat_activity AS a"
        " LEFT JOIN pg_stat_progress_create_index AS p ON p.pid = a.pid WHERE a.pid = %s",
        [conn.info.backend_pid],
    ).fetchone()
    return (row[0], row[1]) if row else (None, [])
