"""invalid-index: what is left behind, by whom, and what to do with it; what is at work is left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import invalid_indexes, open_transaction, wait_until

from tests.health.looks import only, run_check, subjects

if TYPE_CHECKING:
    from server import Database

CHECK = "invalid-index"
TABLE = "CREATE TABLE t (a int, b int, c text); INSERT INTO t SELECT g % 9, g, g FROM generate_series(1, 3000) g;"


def _fail(database: Database, statement: str) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.sql(statement)


@pytest.fixture
def table(database: Database) -> Database:
    database.sql(TABLE)
    return database


def test_failed_build(table: Database) -> None:
    _fail(table, "CREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)")
    finding = only(run_check(table, CHECK))
    assert finding.subject == "public.t_a"
    assert "its build failed or was cancelled" in finding.detail
    assert finding.remedy == "REINDEX INDEX CONCURRENTLY public.t_a;"
    assert finding.fragment == {
        "name": "t_a",
        "table": {"schema": "public", "name": "t"},
        "keys": ["a"],
        "unique": "yes",
        "why": "it was left INVALID: somebody wanted it",
    }
    table.sql("DELETE FROM t WHERE b > 9")
    table.sql(finding.remedy)
    assert run_check(table, CHECK).status == "ok"


def test_remains_of_a_reindex(table: Database) -> None:
    table.sql("CREATE INDEX i ON t (a)")
    table.sql("CREATE INDEX j_ccold ON t (b, a); CREATE INDEX i_ccnew1 ON t (a)")
    _break(table, "j_ccold", "i_ccnew1")
    found = run_check(table, CHECK)
    assert sorted(subjects(found)) == ["public.i_ccnew1", "public.j_ccold"]
    for finding in found.findings:
        assert finding.remedy == f"DROP INDEX CONCURRENTLY {finding.subject};"
        assert finding.fragment is not None
        assert finding.fragment["state"] == "absent"
        table.sql(finding.remedy)
    assert run_check(table, CHECK).status == "ok"


def test_constraint_of_such_a_name_is_no_copy(table: Database) -> None:
    table.sql("ALTER TABLE t ADD CONSTRAINT u_ccnew UNIQUE (b)")
    _break(table, "u_ccnew")
    finding = only(run_check(table, CHECK))
    assert finding.remedy == "REINDEX INDEX CONCURRENTLY public.u_ccnew;"
    assert finding.fragment is None


def test_half_dropped(table: Database) -> None:
    table.sql("CREATE INDEX i ON t (a)")
    table.sql(
        "UPDATE pg_index SET indislive = false, indisready = false, indisvalid = false WHERE indexrelid = 'i'::regclass"
    )
    finding = only(run_check(table, CHECK))
    assert finding.remedy == "DROP INDEX CONCURRENTLY public.i;"
    table.sql(finding.remedy)
    assert invalid_indexes(table) == []


@pytest.mark.parametrize("valid", ["(a)", "(a, b)"])
def test_valid_one_does_its_work(table: Database, valid: str) -> None:
    """To build it again would make a duplicate."""
    table.sql(f"CREATE INDEX i ON t (a); CREATE INDEX j ON t {valid}")
    _break(table, "i")
    finding = only(run_check(table, CHECK))
    assert finding.detail.endswith("; public.j does what it would do")
    assert finding.remedy == "DROP INDEX CONCURRENTLY public.i;"


def test_definition_of_the_entry(table: Database) -> None:
    table.sql(
        'CREATE INDEX i ON t USING btree (c COLLATE "C" text_pattern_ops DESC, b NULLS FIRST)'
        " INCLUDE (a) WITH (fillfactor = 70)"
    )
    _break(table, "i")
    fragment = only(run_check(table, CHECK)).fragment
    assert fragment is not None
    assert fragment["keys"] == [
        {"column": "c", "order": "desc", "collation": '"pg_catalog"."C"', "opclass": '"pg_catalog"."text_pattern_ops"'},
        {"column": "b", "nulls": "first"},
    ]
    assert fragment["include"] == ["a"]
    assert fragment["with"] == {"fillfactor": "70"}


def test_expression_has_no_entry(table: Database) -> None:
    table.sql("CREATE INDEX i ON t (lower(c))")
    _break(table, "i")
    finding = only(run_check(table, CHECK))
    assert finding.fragment is None
    assert finding.remedy == "REINDEX INDEX CONCURRENTLY public.i;"


@pytest.mark.parametrize("user", ["postgres", "invalid_bare"])
def test_live_build_is_left_alone(table: Database, user: str) -> None:
    """A bare role may not see which index is being built: with an older leftover on the table it is not told apart."""
    table.sql("CREATE ROLE invalid_bare LOGIN")
    try:
        with ThreadPoolExecutor() as pool, open_transaction(table, "INSERT INTO t VALUES (1, 1, '')"):
            building = pool.submit(table.sql, "CREATE INDEX CONCURRENTLY i ON t (b)")
            wait_until(lambda: invalid_indexes(table) == ["i"], "the build")
            result = run_check(table, CHECK, user=user if user != "postgres" else None)
        building.result()
        assert result.findings == ()
        if user == "postgres":
            assert result.status == "ok"
        else:
            assert (result.status, result.blind) == ("unknown", True)
            assert result.hint == 'GRANT pg_read_all_stats TO "invalid_bare";'
        assert run_check(table, CHECK, user="invalid_bare").status == "ok"
    finally:
        table.sql("DROP ROLE invalid_bare")


def test_leftover_beside_a_live_build(table: Database) -> None:
    _fail(table, "CREATE UNIQUE INDEX CONCURRENTLY old ON t (a)")
    with ThreadPoolExecutor() as pool, open_transaction(table, "INSERT INTO t VALUES (1, 1, '')"):
        building = pool.submit(table.sql, "CREATE INDEX CONCURRENTLY i ON t (b)")
        wait_until(lambda: len(invalid_indexes(table)) == 2, "the build")
        assert subjects(run_check(table, CHECK)) == ["public.old"]
    building.result()


@pytest.mark.parametrize("statement", ["REINDEX TABLE CONCURRENTLY t", "DROP INDEX CONCURRENTLY i"])
def test_live_rebuild_and_drop_are_left_alone(table: Database, statement: str) -> None:
    table.sql("CREATE INDEX i ON t (a); CREATE INDEX j ON t (b)")
    with ThreadPoolExecutor() as pool, open_transaction(table, "INSERT INTO t VALUES (1, 1, '')"):
        working = pool.submit(table.sql, statement)
        wait_until(lambda: invalid_indexes(table), "the work")
        table.sql("CREATE ROLE invalid_bare LOGIN")
        try:
            assert run_check(table, CHECK, user="invalid_bare").status == "ok"
        finally:
            table.sql("DROP ROLE invalid_bare")
    working.result()
    assert run_check(table, CHECK).status == "ok"


def test_partitioned_parent_waits_and_its_partition_is_found(database: Database) -> None:
    database.sql(
        "CREATE TABLE p (a int, b int) PARTITION BY RANGE (a);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9); CREATE INDEX i ON ONLY p (b)"
    )
    assert run_check(database, CHECK).status == "ok"
    database.sql("CREATE INDEX i1 ON p1 (b); ALTER INDEX i ATTACH PARTITION i1")
    _break(database, "i1")
    finding = only(run_check(database, CHECK))
    assert finding.subject == "public.i1"
    assert finding.remedy == "REINDEX INDEX CONCURRENTLY public.i1;"
    assert finding.fragment is None


def _break(database: Database, *indexes: str) -> None:
    """As a build that failed in its second phase leaves them."""
    for index in indexes:
        database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [index])
