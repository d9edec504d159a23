"""All that the checks read, in one snapshot of one database, on one connection, in two round trips.

A monitor must never become part of the outage it reports. So: one at a time on a database, everything in a read-only
transaction with short timeouts, no lock on any user's table, the queries sent in one pipeline, and a statement that
fails costs its own checks and nothing else: the others are asked again in a second transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import errors
from psycopg.rows import args_row, tuple_row

from dbopt.errors import ServerUnfit
from dbopt.health.check import Gap
from dbopt.health.judge import scene_of, unmet
from dbopt.health.scene import Facts
from dbopt.postgres import advisory
from dbopt.postgres.connect import set_in_transaction
from dbopt.postgres.server import FACTS, Server
from dbopt.postgres.surroundings import SURROUNDINGS, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg.sql import Composed

    from dbopt.health.check import Check
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.query import Query

STATEMENT_TIMEOUT_MS = 10_000  # catalogs of 100,000 indexes take some seconds; whoever needs more is overloaded
LOCK_TIMEOUT_MS = 300  # nothing here waits for a lock; should it, it stands in the queue that it is to report
CONNECT_DEADLINE_SECONDS = 1.5  # a server that is well answers in milliseconds, and cron wants its verdict
_IDLE_TIMEOUT_MS = 10_000  # between two statements of ours: our process has died or its machine is gone
_CLIENT_CHECK_MS = 500  # how soon the server notices that we were killed while it works for us

# For this transaction alone, so that it holds behind a pooler and stays with nobody.
_MANNERS = {
    "lock_timeout": str(LOCK_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(_IDLE_TIMEOUT_MS),
    "idle_session_timeout": str(_IDLE_TIMEOUT_MS),
    "client_connection_check_interval": str(_CLIENT_CHECK_MS),
    # With nothing else on the path, names of relations come out with their schema.
    "search_path": "pg_catalog",
    "jit": "off",  # compiling costs more than all of these queries
    "max_parallel_workers_per_gather": "0",  # workers are for the applications
    "DateStyle": "ISO",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
}


def begin(conn: Connection, statement_timeout_ms: int) -> None:
    """A read-only transaction of one snapshot, with its manners: two statements."""
    conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    set_in_transaction(conn, {**_MANNERS, "statement_timeout": str(statement_timeout_ms)})


def collect(
    conn: Connection, checks: Sequence[Check[Any]], *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
) -> Facts:
    """The rows of every query that these checks need. `conn` is a session in autocommit, not yet used.

    A query that cannot be answered becomes a Gap. Raises AnotherRunner where a `dbopt health` is at work on this
    database, and psycopg.OperationalError where the connection is lost.
    """
    return _Collector(conn, statement_timeout_ms).collect(checks)


class _Collector:
    def __init__(self, conn: Connection, statement_timeout_ms: int) -> None:
        self.conn = conn
        self.statement_timeout_ms = statement_timeout_ms
        self.version = divmod(conn.info.server_version, 10000)
        self.statements = self.round_trips = 0
        self.rows: dict[Query[Any], Sequence[Any]] = {}
        self.gaps: dict[Query[Any], Gap] = {}
        self.retried: set[Query[Any]] = set()

    def collect(self, checks: Sequence[Check[Any]]) -> Facts:
        server, surroundings = self._begin()
        self.rows = {FACTS: (server,), SURROUNDINGS: (surroundings,)}  # nobody needs to ask again
        bare = Facts(server, surroundings, {})
        pending = []
        for query in _queries(check for check in checks if unmet(check, scene_of(check, bare)) is None):
            if query in self.rows:
                continue
            if surroundings.can_answer(query):
                pending.append(query)
            else:  # of a check that only knows more with it: whoever cannot do without says so in its needs
                self.gaps[query] = Gap(f"the extension {query.extension} cannot be used here")
        while True:
            pending = self._ask(pending, surroundings)
            if not pending:
                break
            server, surroundings = self._begin()
        return Facts(server, surroundings, self.rows, self.gaps, self.statements, self.round_trips)

    def _begin(self) -> tuple[Server, Surroundings]:
        """A transaction that is the only one of its kind on this database, and what it sees."""
        conn = self.conn
        with conn.pipeline():  # its end is the one Sync, and the one time that we wait
            begin(conn, self.statement_timeout_ms)
            lock = conn.cursor(row_factory=tuple_row)
            advisory.try_within_transaction(lock, advisory.Lock.HEALTH)
            facts = conn.cursor(row_factory=args_row(Server))
            facts.execute(FACTS.text(self.version))
            around = conn.cursor(row_factory=args_row(Surroundings))
            around.execute(SURROUNDINGS.text(self.version))
        self.statements += 5
        self.round_trips += 1
        server = facts.fetchall()[0]
        if lock.fetchall() != [(True,)]:
            advisory.refuse_second(conn, server, advisory.Lock.HEALTH)
            raise advisory.another(server)
        seen = around.fetchall()
        if not seen:
            raise ServerUnfit(
                f"pg_stat_database has no row for {server.dbname}", hint="Connect to the database itself with -d."
            )
        return server, seen[0]

    def _ask(self, queries: Sequence[Query[Any]], surroundings: Surroundings) -> list[Query[Any]]:
        """Those that are still to be asked, as one of these failed and took the transaction with it."""
        cursors: list[psycopg.Cursor[Any]] = []
        failure: psycopg.Error | None = None
        try:
            with self.conn.pipeline():
                try:
                    for query in queries:
                        cursor = self.conn.cursor(row_factory=args_row(query.row))
                        cursors.append(cursor)
                        cursor.execute(self._text(query, surroundings))
                    self.conn.execute("COMMIT")
                except psycopg.Error as exc:  # may come while later ones are sent; the pipeline's end says less then
                    failure = exc
        except psycopg.Error as exc:
            failure = failure or exc
        if failure is not None and self.conn.closed:
            raise failure
        self.statements += len(queries) + 1
        self.round_trips += 1
        answered = 0
        for query, cursor in zip(queries, cursors, strict=False):
            if cursor.pgresult is None:
                break
            self.rows[query] = cursor.fetchall()
            cursor.close()
            answered += 1
        if failure is None:
            return []
        self.conn.execute("ROLLBACK")
        left = list(queries[answered:])
        if not left:
            return []
        failed = left[0]
        if isinstance(failure, _PASSING) and failed not in self.retried:
            self.retried.add(failed)
            return left
        self.gaps[failed] = _gap(failure)
        return left[1:]

    def _text(self, query: Query[Any], surroundings: Surroundings) -> LiteralString | Composed:
        if query.extension is None:
            return query.text(self.version)
        schema, version = surroundings.extension(query.extension)
        return query.composed(version, schema)


# What may be over by the next attempt: a lock, or an object that was dropped between two looks at the catalogs.
_PASSING = (
    errors.LockNotAvailable,
    errors.UndefinedTable,
    errors.UndefinedObject,
    errors.UndefinedFile,
    errors.InternalError_,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)


def _queries(checks: Iterable[Check[Any]]) -> Mapping[Query[Any], None]:
    """Each once, in the order of their first user."""
    return dict.fromkeys(query for check in checks for query in check.queries)


def _gap(failure: psycopg.Error) -> Gap:
    words = failure.diag.message_primary or str(failure).partition("\n")[0]
    match failure:
        case errors.LockNotAvailable():
            return Gap("a lock was in the way twice", "Run dbopt health --only blocked-sessions.", blind=True)
        case errors.QueryCanceled():
            return Gap(f"the server took too long: {words}", "Give it more time with --timeout.", blind=True)
        case errors.InsufficientPrivilege():
            return Gap(words, "Connect as a role with pg_monitor.", blind=True)
    return Gap(f"{words} (SQLSTATE {failure.sqlstate})", blind=True)
