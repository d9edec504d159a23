"""Statements as they are planned: what changes rows as the SELECT of those, what cannot be planned with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import make_conninfo

from dbopt import grammar
from dbopt.suggest.model import Unread
from dbopt.suggest.reading.select_form import NoSelectForm, select_form

from .readings import Reader, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

SCHEMA = """
    CREATE TABLE jobs (id int PRIMARY KEY, state text, due date, tries int, worker int, parent int);
    CREATE TABLE workers (id int PRIMARY KEY, name text);
    CREATE TABLE archive (LIKE jobs);
    CREATE VIEW open_jobs AS SELECT id, state AS what, tries FROM jobs WHERE due IS NULL;
    CREATE VIEW busy AS SELECT j.id, w.name FROM jobs AS j JOIN workers AS w ON w.id = j.worker;
    CREATE TABLE ev (id int, at date, u int) PARTITION BY RANGE (at);
    CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE SCHEMA side; CREATE TABLE side.jobs (id int, only_side int);
    INSERT INTO jobs SELECT g, 's' || g % 9, NULL, 0, g % 50, g / 2 FROM generate_series(1, 2000) AS g;
    INSERT INTO workers SELECT g, 'w' || g FROM generate_series(1, 50) AS g;
    CREATE INDEX ON jobs (state, id);
    ANALYZE;
"""


@pytest.fixture(scope="module")
def database(pg: Server) -> Iterator[Database]:
    """One for all: nothing here changes it. `reads_only` may not write."""
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        fresh.sql("CREATE ROLE reads_only LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads_only")
        yield fresh
        fresh.sql("DROP OWNED BY reads_only; DROP ROLE reads_only")


@pytest.fixture(scope="module")
def reader(database: Database) -> Iterator[Reader]:
    with reading(database, make_conninfo(database.conninfo, user="reads_only")) as found:
        yield found


FORMS = [
    ("SELECT a  FROM t WHERE b=$1", "SELECT a  FROM t WHERE b=$1"),
    ("SELECT * FROM (SELECT a FROM t FOR SHARE) x FOR UPDATE OF x SKIP LOCKED", "SELECT * FROM (SELECT a FROM t) x"),
    ("UPDATE t SET a = $1 WHERE b = $2", "SELECT t.ctid FROM t WHERE b = $2"),
    (
        "UPDATE ONLY s.t AS x SET (a, b) = (SELECT m, n FROM u WHERE u.k = x.k), c = x.c + $1, d = d || 'x',"
        " e = DEFAULT FROM v WHERE v.id = x.id RETURNING old.f, v.g, upper(x.c)",
        "SELECT x.ctid, (SELECT dbopt_rows FROM (SELECT m, n FROM u WHERE u.k = x.k) dbopt_rows), x.c, d, x.f, v.g"
        " FROM ONLY s.t x, v WHERE v.id = x.id",
    ),
    ("UPDATE t SET (a, b) = ($1, b + 1)", "SELECT t.ctid, b FROM t"),
    (
        "WITH w AS (SELECT 1 AS k) DELETE FROM t USING u, w WHERE t.id = u.id AND u.k = w.k RETURNING *",
        "WITH w AS (SELECT 1 AS k) SELECT t.ctid, * FROM t, u, w WHERE t.id = u.id AND u.k = w.k",
    ),
    ("INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = $2", "SELECT FROM t LIMIT 0"),
    ("INSERT INTO t DEFAULT VALUES", "SELECT FROM t LIMIT 0"),
    (
        "INSERT INTO t VALUES ($1, (SELECT id FROM u WHERE k = $2), DEFAULT)",
        "SELECT (SELECT id FROM u WHERE k = $2)",
    ),
    (
        "WITH a AS (SELECT 1) INSERT INTO t WITH b AS (SELECT 2) SELECT u.c FROM u, a, b WHERE d = $1 FOR UPDATE",
        "WITH a AS (SELECT 1), b AS (SELECT 2) SELECT u.c FROM u, a, b WHERE d = $1",
    ),
    (
        "WITH d AS (DELETE FROM t WHERE id IN (SELECT id FROM t WHERE s = $1 ORDER BY id LIMIT 9 FOR UPDATE)"
        " RETURNING *) INSERT INTO u SELECT * FROM d",
        "WITH d AS MATERIALIZED (SELECT * FROM t WHERE id IN (SELECT id FROM t WHERE s = $1 ORDER BY id LIMIT 9))"
        " SELECT * FROM d",
    ),
    (
        "WITH d AS (DELETE FROM t WHERE id = $1) SELECT 1 UNION SELECT 2",
        "WITH d AS MATERIALIZED (SELECT t.ctid FROM t WHERE id = $1)"
        " SELECT *, EXISTS (SELECT FROM d) FROM (SELECT 1 UNION SELECT 2) dbopt_rows",
    ),
    (
        "WITH i AS (INSERT INTO s.t (a) SELECT k FROM v WHERE k > $1 RETURNING id, a + 1 AS n, *)"
        " SELECT * FROM u JOIN i ON u.id = i.n",
        "WITH i AS MATERIALIZED (SELECT (NULL::s.t).id, (NULL::s.t).a + 1 AS n, (NULL::s.t).*"
        " FROM (SELECT k FROM v WHERE k > $1) dbopt_rows) SELECT * FROM u JOIN i ON u.id = i.n",
    ),
    (
        "WITH i AS (INSERT INTO t (a) VALUES ($1)) UPDATE u SET x = 1 WHERE id = $2",
        "SELECT u.ctid FROM u WHERE id = $2",
    ),
    (
        "MERGE INTO t USING (SELECT a FROM u WHERE k = $3) s ON t.a = s.a WHEN MATCHED AND s.a > $1 THEN UPDATE SET"
        " b = s.b, c = c + 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
        "SELECT t.ctid, s.a, s.b FROM (SELECT a FROM u WHERE k = $3) s LEFT JOIN t ON t.a = s.a",
    ),
    ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "SELECT t.ctid FROM s JOIN t ON t.a = s.a"),
    (
        "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED THEN DO NOTHING",
        "SELECT t.ctid FROM s FULL JOIN t ON t.a = s.a",
    ),
    ("PREPARE p(int) AS DELETE FROM t WHERE id = $1", "PREPARE p(int) AS SELECT t.ctid FROM t WHERE id = $1"),
    ("DECLARE c CURSOR FOR SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b = 1"),
    ("CREATE TABLE x AS SELECT a FROM t", "SELECT a FROM t"),
    ("SELECT a INTO x FROM t", "SELECT a FROM t"),
    ("COPY (SELECT a FROM t WHERE b = 1) TO STDOUT", "SELECT a FROM t WHERE b = 1"),
]


@pytest.mark.parametrize(("query", "expected"), FORMS)
def test_the_select_of_a_statement(query: str, expected: str) -> None:
    found = select_form(query, grammar.parse_one(query)).query
    assert found == expected
    grammar.parse_one(found)


def test_rows_of_a_view_have_no_place() -> None:
    query = "UPDATE v SET a = 1, b = b + 1 WHERE c = $1 RETURNING a"
    assert select_form(query, grammar.parse_one(query), by_place=False).query == "SELECT b, a FROM v WHERE c = $1"
    query = "DELETE FROM v WHERE c = $1"
    assert select_form(query, grammar.parse_one(query), by_place=False).query == "SELECT 1 FROM v WHERE c = $1"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("VACUUM t", "utility statements have no plan"),
        ("COPY t TO STDOUT", "utility statements have no plan"),
        ("CREATE TABLE x AS EXECUTE p", "utility statements have no plan"),
        ("EXPLAIN SELECT 1", "utility statements have no plan"),
        ("DELETE FROM t WHERE CURRENT OF c", "it changes the row that a cursor stands on"),
    ],
)
def test_statements_without_such_a_form(query: str, reason: str) -> None:
    with pytest.raises(NoSelectForm, match=reason):
        select_form(query, grammar.parse_one(query))


WRITES = [
    ("UPDATE jobs SET state = $1, tries = tries + $2 WHERE id = $3", ["update jobs state, tries"]),
    ("DELETE FROM public.jobs WHERE id = $1", ["delete jobs"]),
    (
        "INSERT INTO jobs (id, state) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
        ["insert jobs", "update jobs state"],
    ),
    ("INSERT INTO archive SELECT * FROM jobs WHERE state = $1", ["insert archive"]),
    (
        "WITH moved AS (DELETE FROM jobs WHERE due < $1 RETURNING *) INSERT INTO archive SELECT * FROM moved",
        ["delete jobs", "insert archive"],
    ),
    ("UPDATE open_jobs SET tries = 1 WHERE what = $1", ["update jobs tries"]),
    ("INSERT INTO ev1 VALUES ($1, $2, $3)", ["insert ev"]),
    ("SELECT id FROM jobs WHERE id = $1 FOR UPDATE", []),
    (
        "MERGE INTO jobs j USING (SELECT $1::int AS id) s ON j.id = s.id WHEN MATCHED AND j.tries > 3 THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET tries = $2 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
        ["insert jobs", "update jobs tries", "delete jobs"],
    ),
]


@pytest.mark.parametrize(("query", "expected"), WRITES)
def test_what_is_written_and_by_whom_it_may_be_planned(reader: Reader, query: str, expected: list[str]) -> None:
    """The role has no right to write, and needs none."""
    assert reader.written(query) == expected


ROWS = [
    (
        "UPDATE jobs SET state = $1, tries = $2 WHERE worker = $3 AND due < $4",
        ["jobs: due < $4, worker = $3 -> *"],
    ),
    (
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = $1 ORDER BY due LIMIT 5"
        " FOR UPDATE SKIP LOCKED)",
        [
            "jobs jobs_1: state = $1 | order due | limit -> due, id, state",
            'jobs: join id = "ANY_subquery".id | residual -> *',
        ],
    ),
    (
        "UPDATE jobs j SET tries = (SELECT count(*) FROM jobs k WHERE k.parent = j.id) FROM workers w"
        " WHERE w.id = j.worker AND w.name = $1",
        [
            "jobs j: join worker = w.id | residual -> *",
            "jobs k: join parent = j.id -> parent",
            "workers w: name = $1 | join id = j.worker | residual -> *",
        ],
    ),
    (
        "WITH d AS (DELETE FROM jobs WHERE parent = $1) UPDATE workers SET name = $2 WHERE id = $3",
        ["jobs: parent = $1 -> *", "workers: id = $3 -> *"],
    ),
    ("INSERT INTO jobs (id) VALUES ($1)", []),
    (
        "INSERT INTO jobs (id, worker) VALUES ($1, (SELECT id FROM workers WHERE name = $2))",
        ["workers: name = $2 -> *"],
    ),
    (
        "WITH i AS (INSERT INTO jobs (id) VALUES ($1) RETURNING worker) SELECT w.name FROM workers w JOIN i"
        " ON i.worker = w.id",
        ["workers w: join id = i.worker | residual -> *"],
    ),
    ("UPDATE open_jobs SET tries = 1 WHERE what = $1", ["jobs: due IS NULL, state = $1 -> due, state"]),
]


@pytest.mark.parametrize(("query", "expected"), ROWS)
def test_what_is_read_to_write(reader: Reader, query: str, expected: list[str]) -> None:
    assert reader.words(query) == sorted(expected)


def test_parameters_keep_their_numbers_where_others_are_gone(reader: Reader) -> None:
    found = reader.prepared("UPDATE jobs SET state = $1, tries = $2 WHERE worker = $3 AND due < $4")
    assert found.planned.query == "SELECT jobs.ctid FROM jobs WHERE worker = $3 AND due < $4"
    assert found.planned.parameter_types[2:] == ("integer", "date")


def test_the_plan_and_the_plan_without_indexes(reader: Reader) -> None:
    found = reader.prepared("SELECT id FROM jobs WHERE state = $1 ORDER BY id LIMIT 1")
    assert [node.node_type for node in found.root.walk()][-1].startswith("Index")
    assert [node.node_type for node in found.bare.walk()] == ["Limit", "Sort", "Seq Scan"]
    assert found.relations == (("public", "jobs"),)


def test_no_partition_is_left_out_for_want_of_a_value(reader: Reader) -> None:
    """Before 16 the plan is made for NULL, which is in no partition."""
    assert reader.prepared("SELECT id FROM ev WHERE at = $1 AND u = $2").bare.relation == ("public", "ev1")


def test_a_row_that_changes_is_looked_up_in_the_table(reader: Reader) -> None:
    """Or an index on all that is named would seem to be enough."""
    found = reader.prepared("DELETE FROM jobs WHERE state = $1 AND id = $2")
    assert not any(node.node_type == "Index Only Scan" for node in found.root.walk())


UNREAD = [
    ("SELECT relname FROM pg_class WHERE oid = $1", "it reads the system's catalogs alone"),
    ("SELECT * FROM information_schema.tables", "it reads the system's catalogs alone"),
    ("SELECT now()", "it reads no table"),
    ("VACUUM jobs", "utility statements have no plan"),
    ("SELECT FROM WHERE", "its text is no SQL that PostgreSQL's grammar knows"),
    ("SELECT * FROM jobs WHERE state = 'abc", "its text is cut off"),
    ("SELECT * FROM gone", 'relation "gone" does not exist'),
    ("SELECT * FROM side.jobs", "no right to use schema side"),
    ("UPDATE side.jobs SET id = $1", "no right to use schema side"),
]


@pytest.mark.parametrize(("query", "reason"), UNREAD)
def test_what_cannot_be_analyzed_says_why(reader: Reader, query: str, reason: str) -> None:
    answer = reader.asked(query)
    assert isinstance(answer, Unread)
    assert answer.reason == reason
    assert answer.item.query == query


def test_a_temporary_table_of_another_session(database: Database, reader: Reader) -> None:
    with database.connect(autocommit=True) as other:
        other.execute("CREATE TEMPORARY TABLE passing (id int)")
        answer = reader.asked("SELECT * FROM passing WHERE id = $1")
        assert isinstance(answer, Unread)
        assert "temporary" in answer.reason


def test_a_locked_table_costs_its_statement_alone(database: Database, reader: Reader) -> None:
    with database.connect() as other:
        other.execute("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")
        answer = reader.asked("UPDATE workers SET name = $1 WHERE id = $2")
        assert isinstance(answer, Unread)
        assert answer.reason == "a table of it is locked"
        assert reader.words("SELECT id FROM jobs WHERE worker = $1") == ["jobs: worker = $1 -> id, worker"]


def test_what_cannot_be_planned_the_second_way_is_planned_the_first(reader: Reader) -> None:
    query = "SELECT id FROM jobs WHERE worker = $1"
    answer = reader.planner.plan_both(query, None, {"enable_indexscan": "perhaps"})
    assert isinstance(answer, tuple)
    assert answer[0].documents
    assert answer[1] is None
