"""Rows that a unique index would refuse are found before it is built: just those that the server would find."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import open_transaction, wait_until

from dbopt.optimize import duplicates
from dbopt.optimize.steps import Action, Step
from dbopt.postgres.connect import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

    from dbopt.optimize.duplicates import Duplicates
    from dbopt.postgres.connect import Connection

PATIENCE_MS = 20_000

# Columns of t, its rows, the index: what lies behind ON, and whether the server builds it.
CASES = {
    "none": ("a int", "(1), (2)", "(a)", True),
    "empty": ("a int", None, "(a)", True),
    "two": ("a int", "(1), (2), (1)", "(a)", False),
    "several columns": ("a int, b int", "(1, 1), (1, 2), (1, 1)", "(a, b DESC NULLS LAST)", False),
    "several columns, none alike": ("a int, b int", "(1, 1), (1, 2), (2, 1)", "(a, b)", True),
    "null is no value": ("a int, b int", "(NULL, 1), (NULL, 1), (1, NULL), (1, NULL)", "(a, b)", True),
    "an expression": ("a text", "('Ann@example.org'), ('ann@example.org')", "(lower(a))", False),
    "an expression that is null": ("a text", "(''), ('')", "(NULLIF(a, ''))", True),
    "the table's name in it": ("a text", "('x'), ('X')", "(lower(t.a))", False),
    "a constant": ("a int", "(1), (2)", "((1))", False),
    "a constant, one row": ("a int", "(1)", "((true))", True),
    "a predicate": ("a int, b text", "(1, 'x'), (1, 'gone')", "(a) WHERE b <> 'gone'", True),
    "a predicate that holds": ("a int, b text", "(1, 'x'), (1, 'it''s')", "(a) WHERE b <> 'gone%'", False),
    "include does not count": ("a int, b int", "(1, 1), (1, 2)", "(a) INCLUDE (b)", False),
    "a blank-padded type": ("a char(3)", "('x'), ('x ')", "(a)", False),
    "zero and its negative": ("a float8", "('0'), ('-0')", "(a)", False),
    "scales of a number": ("a numeric", "(1.0), (1.00)", "(a)", False),
    "a case-sensitive collation": ("a text", "('x'), ('X')", '(a COLLATE "C")', True),
    "another operator class": ("a text", "('x'), ('x')", "(a text_pattern_ops)", False),
    "another operator class, none alike": ("a text", "('x'), ('X')", "(a text_pattern_ops)", True),
    "an operator class for padded ones": ("a char(3)", "('x'), ('x ')", "(a bpchar_pattern_ops)", False),
    "one of a name": ('a int, "Odd "" Name" text', "(1, 'x'), (2, 'x')", '("Odd "" Name")', False),
    "a qualified operator class": ("a text", "('x'), ('x')", "(a pg_catalog.varchar_ops)", False),
}


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    """As a run has it for its builds: without any timeout."""
    opened = connect(database.conninfo, command="optimize", read_only=False, statement_timeout_ms=0, lock_timeout_ms=0)
    with opened:
        yield opened


def find(conn: Connection, index: str, *, table: str = "public.t", timeout_ms: int = PATIENCE_MS) -> Duplicates | None:
    found = duplicates.find(conn, f"CREATE UNIQUE INDEX CONCURRENTLY i ON {table} {index}", timeout_ms=timeout_ms)
    assert conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    return found


def builds(database: Database, index: str, table: str = "public.t") -> bool:
    """What the server says."""
    try:
        database.sql(f"CREATE UNIQUE INDEX i ON {table} {index}; DROP INDEX i")
    except psycopg.errors.UniqueViolation:
        return False
    return True


def fill(database: Database, columns: str, rows: str | None) -> None:
    database.sql(f"CREATE TABLE t ({columns})" + (f"; INSERT INTO t VALUES {rows}" if rows else ""))


@pytest.mark.parametrize(("columns", "rows", "index", "expected"), CASES.values(), ids=CASES)
def test_it_judges_as_the_build_does(
    database: Database, conn: Connection, columns: str, rows: str | None, index: str, expected: bool
) -> None:
    fill(database, columns, rows)
    assert builds(database, index) is expected
    assert (find(conn, index) is None) is expected


@pytest.mark.pg(">= 15")
def test_nulls_not_distinct(database: Database, conn: Connection) -> None:
    fill(database, "a int, b int", "(1, NULL), (1, NULL), (NULL, NULL)")
    assert find(conn, "(a, b)") is None
    found = find(conn, "(a, b) NULLS NOT DISTINCT")
    assert found is not None
    assert [(group.values, group.rows) for group in found.first] == [(("1", None), 2)]
    assert "(1, NULL) 2 times" in duplicates.failure(STEP, found).message


def test_collations_that_take_letters_for_the_same(database: Database, conn: Connection) -> None:
    try:
        database.sql("CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU")
    fill(database, "a text, b text COLLATE anycase", "('x', 'y'), ('X', 'Y')")
    for index, expected in (
        ("(a)", True),
        ("(b)", False),
        ("(a COLLATE public.anycase)", False),
        ('(b COLLATE "C")', True),
    ):
        assert builds(database, index) is expected
        assert (find(conn, index) is None) is expected


def test_citext(database: Database, conn: Connection) -> None:
    """Its operators are in a schema that no path leads to; text_ops makes text of it."""
    database.sql("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext")
    fill(database, "a ext.citext", "('x'), ('X')")
    for index, expected in (
        ("(a)", False),
        ("(a text_ops)", True),
        ("(a ext.citext_ops)", False),
        ("((a::text))", True),
    ):
        assert builds(database, index) is expected
        assert (find(conn, index) is None) is expected
    database.sql("INSERT INTO t VALUES ('x')")
    found = find(conn, "(a text_ops)")
    assert found is not None
    assert [(group.values, group.rows) for group in found.first] == [(("x",), 2)]


def test_an_operator_class_that_cannot_be_asked_for_is_left_to_the_build(database: Database, conn: Connection) -> None:
    database.sql("CREATE TYPE pair AS (a numeric, b int)")
    fill(database, "p pair", "(ROW(1.0, NULL)), (ROW(1.00, NULL))")
    assert not builds(database, "(p)")
    assert find(conn, "(p)") is not None
    assert builds(database, "(p record_image_ops)")
    assert find(conn, "(p record_image_ops)") is None


def test_only_the_table_itself(database: Database, conn: Connection) -> None:
    fill(database, "a int", "(1)")
    database.sql("CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (1), (2), (2)")
    assert find(conn, "(a)") is None
    assert find(conn, "(a)", table="public.child") is not None


def test_what_is_no_unique_btree_is_not_looked_at(database: Database, conn: Connection) -> None:
    fill(database, "a int", "(1), (1)")
    assert duplicates.find(conn, "CREATE INDEX CONCURRENTLY i ON public.t (a)", timeout_ms=PATIENCE_MS) is None


def test_an_expression_that_fails_is_left_to_the_build(database: Database, conn: Connection) -> None:
    fill(database, "a int", "(0), (1), (1)")
    assert find(conn, "((1 / a))") is None


def test_a_materialized_view_without_data(database: Database, conn: Connection) -> None:
    database.sql("CREATE MATERIALIZED VIEW m AS SELECT n % 2 AS a FROM generate_series(1, 4) AS n WITH NO DATA")
    assert find(conn, "(a)", table="public.m") is None
    database.sql("REFRESH MATERIALIZED VIEW m")
    assert find(conn, "(a)", table="public.m") is not None


def test_rows_that_a_policy_hides(pg: object, database: Database) -> None:
    """The owner is under the policy where it is forced, and builds an index of all rows nevertheless."""
    fill(database, "a int", "(1), (2), (2)")
    database.sql(f"CREATE ROLE {database.name} LOGIN; ALTER TABLE t OWNER TO {database.name}")
    database.sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    database.sql("CREATE POLICY few ON t USING (a = 1)")
    try:
        with psycopg.connect(database.conninfo, user=database.name, autocommit=True) as conn:
            assert conn.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
            assert find(conn, "(a)") is None
    finally:
        database.sql(f"DROP OWNED BY {database.name}; DROP ROLE {database.name}")


def test_the_largest_groups_with_keys_and_places(database: Database, conn: Connection) -> None:
    rows = [f"('v{n:02}')" for n in range(15) for _ in range(2)] + ["('v07')", "('v08')", f"('{'x' * 99}')"] * 2
    fill(database, "a text", ", ".join(rows))
    found = find(conn, "(a)")
    assert found is not None
    assert (found.keys, found.groups, found.more) == (("a",), 16, False)
    assert [group.rows for group in found.first] == [4, 4, *[2] * 8]
    assert [group.values for group in found.first[:3]] == [("v07",), ("v08",), ("v00",)]
    assert found.first[0].ctids == ("(0,15)", "(0,34)")
    database.sql("DELETE FROM t WHERE a < 'x'")
    found = find(conn, "(a)")
    assert found is not None
    assert [(group.values, group.ctids) for group in found.first] == [(("x" * 60 + "…",), ("(0,33)", "(0,36)"))]


def test_there_is_an_end_to_counting(database: Database, conn: Connection) -> None:
    database.sql("CREATE TABLE t AS SELECT n % 1001 AS a FROM generate_series(1, 2002) AS n")
    found = find(conn, "(a)")
    assert found is not None
    assert (found.groups, found.more, len(found.first)) == (1000, True, 10)
    message = duplicates.failure(STEP, found).message
    assert message.startswith(
        "could not build people_email: at least 1,000 values are there more than once: (a)=(0) 2 "
    )
    assert message.endswith("; and at least 990 more")


STEP = Step(action=Action.CREATE, index="people_email", schema="public", table="t", statements=(), reason="")


def test_the_failure_in_words(database: Database, conn: Connection) -> None:
    fill(database, "a text", "('ann@example.org'), ('bob@example.org'), ('ANN@example.org')")
    found = find(conn, "(lower(a))")
    assert found is not None
    said = duplicates.failure(STEP, found)
    assert said.message == (
        "could not build people_email: 1 value is there more than once:"
        " (lower(a))=(ann@example.org) 2 times at ctid (0,1), (0,3)"
    )
    assert said.hint is not None
    assert "example.org" not in said.hint


@pytest.mark.parametrize(
    ("index", "offending", "kept"),
    [
        ("(lower(a)) WHERE b > 0 AND a <> 'line\nbreak'", [("X", 1), ("x", 2), ("x", 3), ("y", 1), ("y", 2)], 6),
        ('(b, ("Odd "" Name".a))', [("y", 1), ("y", 1)], 8),
    ],
)
def test_the_clean_up(
    database: Database, conn: Connection, index: str, offending: list[tuple[str, int]], kept: int
) -> None:
    """Pasted as it is it shows the rows; what deletes is behind it, as a comment, and leaves one of each group."""
    table = '"Odd "" Name"'
    database.sql(f"CREATE TABLE {table} (a text, b int)")
    database.sql(
        f"INSERT INTO {table} VALUES ('X', 1), ('x', 0), ('x', 2), ('x', 3), ('y', 1), ('y', {2 if kept == 6 else 1}),"
        " (NULL, 1), (NULL, 1), ('z', 1)"
    )
    found = find(conn, index, table=f"public.{table}")
    assert found is not None
    shown = database.sql(found.cleanup)
    assert [row[-2:] for row in shown] == offending
    look, delete = found.cleanup.split("; -- to keep the first of each: ")
    assert database.sql(f"SELECT count(*) FROM {table}") == [(9,)]
    database.sql(delete.replace("\n-- ", "\n"))
    assert database.sql(look) == []
    assert database.sql(f"SELECT count(*) FROM {table}") == [(kept,)]
    assert builds(database, index, f"public.{table}")


def test_time(database: Database, conn: Connection) -> None:
    fill(database, "a int", "(1), (2)")
    database.sql("CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 FROM pg_sleep(60)'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        find(conn, "(slow(a))", timeout_ms=50)
    assert conn.execute("SHOW statement_timeout").fetchall() == [("0",)]
    assert conn.execute("SHOW transaction_read_only").fetchall() == [("off",)]
    assert find(conn, "(a)") is None


def test_somebody_cancels_it(database: Database, conn: Connection) -> None:
    fill(database, "a int", "(1), (2)")
    database.sql("CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 FROM pg_sleep(60)'")
    pid = conn.info.backend_pid

    def cancelled() -> bool:
        return database.sql(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%slow%%'"
            " AND wait_event = 'PgSleep'",
            [pid],
        ) == [(True,)]

    with ThreadPoolExecutor(max_workers=1) as thread:
        looking = thread.submit(find, conn, "(slow(a))")
        wait_until(cancelled, "cancelling the look")
        with pytest.raises(psycopg.errors.QueryCanceled):
            looking.result()
    assert find(conn, "(a)") is None


def test_a_table_locked_exclusively(database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database, "a int", "(1), (1)")
    monkeypatch.setattr(duplicates, "LOCK_TIMEOUT_MS", 50)
    with open_transaction(database, "LOCK TABLE t"), pytest.raises(psycopg.errors.LockNotAvailable):
        find(conn, "(a)")
    assert find(conn, "(a)") is not None


def test_no_time_left_for_the_places(database: Database, conn: Connection) -> None:
    """The keys are worth more than nothing."""
    fill(database, "a int", "(1), (1)")
    database.sql(
        """
        CREATE FUNCTION second(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
        BEGIN
            IF current_query() LIKE '%ctid%' THEN PERFORM pg_sleep(60); END IF;
            RETURN a;
        END $$
        """
    )
    found = find(conn, "(second(a))", timeout_ms=1_000)
    assert found is not None
    assert [(group.values, group.rows, group.ctids) for group in found.first] == [(("1",), 2, ())]
    assert duplicates.failure(STEP, found).message.endswith(": (second(a))=(1) 2 times")


def test_that_there_are_none_may_be_seen_in_an_index(database: Database, conn: Connection) -> None:
    """An index that has the keys saves the table's pages, and any sort."""
    database.sql("CREATE TABLE t AS SELECT n AS a, repeat('x', 500) AS b FROM generate_series(1, 5000) AS n")
    database.sql("CREATE INDEX ON t (a)")

    def all_visible() -> bool:  # to any session that has just begun, too
        database.sql("VACUUM ANALYZE t")
        return database.sql("SELECT relallvisible = relpages FROM pg_class WHERE oid = 't'::regclass") == [(True,)]

    wait_until(all_visible, "VACUUM of all pages")
    plans: list[str] = []
    conn.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    conn.execute("LOAD 'auto_explain'")
    conn.execute("SET auto_explain.log_min_duration = 0; SET client_min_messages = log")
    assert find(conn, "(a)") is None
    assert [plan for plan in plans if "Index Only Scan" in plan], plans
