"""EXPLAIN of statements whose parameters have no values: the plan for any of them, nothing run.

From 16 on EXPLAIN itself can do it (GENERIC_PLAN); before, a prepared statement for which the session is told to make
such plans. https://www.postgresql.org/docs/current/sql-explain.html

Whoever hands a text over has had it read by PostgreSQL's grammar (`grammar.parse_one`). Still it is first sent by
itself, by the protocol that takes no second statement: where strings end is a setting of the server's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from dbopt.postgres.connect import set_in_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

_NAME = sql.Identifier("dbopt_explained")
_START = sql.Identifier("dbopt_explain")
_TYPES = sql.SQL(
    "/* dbopt: types of parameters */ SELECT s.parameter_types::text[] AS parameter_types"
    " FROM pg_catalog.pg_prepared_statements AS s WHERE s.name = {}"
).format(sql.Literal("dbopt_explained"))


class Explaining:
    """Statements in one transaction, one after the other. After an error of one, the next can be asked about."""

    def __init__(self, conn: Connection, server: Server) -> None:
        self._conn = conn
        self._server = server
        self._is_prepared = False
        self._before = 0  # characters that stood before the statement in what was sent last

    def prepare(self, query: str, types: Sequence[str] = ()) -> None:
        """Have the server read a statement. `types`: of $1 on; `unknown` and those beyond are inferred. They are SQL,
        not quoted again.
        """
        if self._is_prepared:
            self.back()
        declared = sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.SQL, types))) if types else sql.SQL("")
        before = sql.SQL("/* dbopt: prepare */ PREPARE {}{} AS ").format(_NAME, declared)
        self._before = len(before.as_string(self._conn))
        with self._undone():
            self._conn.execute(before + sql.SQL(query), binary=True)
            self._is_prepared = True

    def position(self, exc: psycopg.Error) -> int | None:
        """Where in the statement that was prepared last the server found fault, in characters from 0."""
        at = int(exc.diag.statement_position or 0) - 1 - self._before
        return at if at >= 0 else None

    def parameter_types(self) -> tuple[str, ...]:
        """Of the statement that was prepared last."""
        row = self._conn.execute(_TYPES).fetchone()
        return tuple(row[0]) if row is not None else ()

    def set(self, settings: Mapping[str, str]) -> None:
        """They hold from here on. The plan that the session has kept of what is prepared is none any more."""
        set_in_transaction(self._conn, settings)
        if self._is_prepared and not self._server.has_generic_plan:
            with self._undone():
                self._conn.execute("/* dbopt: forget plans */ DISCARD PLANS")

    def explain(self, query: str, *, parameters: int, verbose: bool = True) -> list[dict[str, Any]]:
        """What EXPLAIN (FORMAT JSON) says; of a rule several documents, or none. With `parameters`, the statement was
        prepared before.
        """
        options: sql.Composable = sql.SQL("FORMAT JSON, VERBOSE" if verbose else "FORMAT JSON")
        text: sql.Composable = sql.SQL(query)
        if not parameters:
            return self._documents(self._conn.cursor(binary=True), options, text)
        if self._server.has_generic_plan:
            # Not by the protocol that takes one statement only: there, EXPLAIN would want the values itself.
            options = sql.SQL("{}, GENERIC_PLAN").format(options)
        else:
            nulls = sql.SQL(", ").join([sql.NULL] * parameters)
            text = sql.SQL("EXECUTE {}({})").format(_NAME, nulls)
        return self._documents(self._conn.cursor(), options, text)

    def analyze(self, query: str, values: Sequence[str | int | None]) -> list[dict[str, Any]]:
        """Run it, with these values of its parameters, and say what it did: planned for just these values."""
        # Sent beside the statement, as an application sends them: in its text they would be in logs and statistics.
        options = sql.SQL("FORMAT JSON, VERBOSE, ANALYZE, BUFFERS")
        return self._documents(psycopg.RawCursor(self._conn), options, sql.SQL(query), values)

    def _documents(
        self,
        cursor: psycopg.Cursor[Any],
        options: sql.Composable,
        text: sql.Composable,
        values: Sequence[str | int | None] | None = None,
    ) -> list[dict[str, Any]]:
        with self._undone():
            row = cursor.execute(
                sql.SQL("/* dbopt: explain */ EXPLAIN ({}) {}").format(options, text), values
            ).fetchone()
        return list(row[0]) if row is not None else []

    @contextlib.contextmanager
    def _undone(self) -> Iterator[None]:
        """After an error the transaction goes on as if it had just begun."""
        try:
            yield
        except psycopg.Error:
            self.back()
            raise

    def back(self) -> None:
        """To where the transaction began, with nothing prepared."""
        if self._conn.closed:
            return
        text = sql.SQL("ROLLBACK TO SAVEPOINT {}").format(_START)
        if self._is_prepared:  # it outlives its transaction
            text = sql.SQL("{}; DEALLOCATE {}").format(text, _NAME)
            self._is_prepared = False
        self._conn.execute(text)


@contextlib.contextmanager
def explaining(conn: Connection, server: Server, settings: Mapping[str, str]) -> Iterator[Explaining]:
    """A transaction that cannot write and is rolled back, in which the settings hold; whatever goes wrong in it,
    nothing stays prepared.
    """
    manners = {
        "transaction_read_only": "on",
        "standard_conforming_strings": "on",
        "plan_cache_mode": "force_generic_plan",
        **settings,
    }
    with conn.transaction(force_rollback=True):
        set_in_transaction(conn, manners)
        conn.execute(sql.SQL("SAVEPOINT {}").format(_START))
        asked = Explaining(conn, server)
        try:
            yield asked
        finally:
            asked.back()


def explain(
    conn: Connection,
    server: Server,
    query: str,
    *,
    parameters: int,
    settings: Mapping[str, str] | None = None,
    verbose: bool = True,
) -> list[dict[str, Any]]:
    """The documents of EXPLAIN (FORMAT JSON) of one statement, for any values of its parameters, of which there are so
    many. Raises psycopg errors.
    """
    with explaining(conn, server, settings or {}) as asked:
        if parameters:
            asked.prepare(query)
        return asked.explain(query, parameters=parameters, verbose=verbose)
