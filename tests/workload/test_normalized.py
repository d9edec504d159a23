"""What may be shown and kept of a statement: no value, and SQL that a server takes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from dbopt.grammar import GrammarError, parse_one
from dbopt.postgres import connect
from dbopt.postgres.normalized import normalized, repaired
from dbopt.postgres.statements import STATEMENT_TOTALS
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot import texts
from dbopt.workload.fingerprint import traits
from dbopt.workload.layout import formatted
from dbopt.workload.model import Kind

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

MARK = "Zq"  # every value below is made of it or of 4711, and no name is


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select  a\nfrom t where b = 'x' and c > 5", "select a from t where b = $1 and c > $2"),
        ("SELECT $3, 5 FROM t WHERE a IN (1, 2)", "SELECT $3, $4 FROM t WHERE a IN ($5, $6)"),
        ("SELECT -5, - 5, a -5, TRUE, NULL FROM t;", "SELECT $1, $2, a -$3, TRUE, NULL FROM t"),
        (
            "SELECT a::numeric(10,2) FROM t GROUP BY 1 ORDER BY 2",
            "SELECT a::numeric(10,2) FROM t GROUP BY 1 ORDER BY 2",
        ),
        ("SELECT date '2020-01-01', interval '1' day", "SELECT CAST($1 AS date), CAST($2 AS interval day)"),
        ("SELECT extract(epoch FROM d), extract(year FROM d) FROM t",) * 2,
        ("SELECT'a'FROM t WHERE b LIKE'x'AND c=5", "SELECT $1 FROM t WHERE b LIKE $2 AND c=$3"),
        ("SELECT U&'a!0062' UESCAPE '!', N'x', U&\"a!0062\" UESCAPE '!' FROM t", None),
        ('SELECT 5 AS "a \n b"', 'SELECT $1 AS "a \n b"'),
        ("/* tag='x' */ SELECT 1 /* b */ + 2 -- c\n, 3", "SELECT $1 + $2, $3"),
        ("\n /* dbopt: what it does */\n SELECT 1", "/* dbopt: what it does */ SELECT $1"),
        ("SELECT /* dbopt: what it does */ 1", "/* dbopt: what it does */ SELECT $1"),
        ("SELECT 'a\\' OR b = 5", "SELECT ?"),  # with standard_conforming_strings off, it goes on
        ("SELECT a FROM t WHERE b = 'cut o", "SELECT a FROM t WHERE b = ?"),
        ("SELECT a FROM t WHERE b = 5 AND", "SELECT a FROM t WHERE b = ? AND"),
        ("SELECT 1; SELECT 'x'", "SELECT $1; SELECT $2"),
        ("ALTER ROLE x PASSWORD 'Zq'", "ALTER ROLE x PASSWORD $1"),
        ("CREATE USER MAPPING FOR x SERVER s OPTIONS (user 'a', password 'Zq')", None),
        ("COPY t FROM '/a/b' WITH (DELIMITER 'x')", "COPY t FROM ? WITH (DELIMITER ?)"),
        ("SET app.token = abc", "SET app.token = $1"),
        ("DO $$ BEGIN PERFORM 'Zq'; END $$", "DO ?"),
        ("CREATE TABLE x AS SELECT 'Zq', 5 FROM t", "CREATE TABLE x AS SELECT $1, $2 FROM t"),
        (
            "SELECT * FROM json_table(a, '$.x' COLUMNS (b int PATH '$.y'))",
            "SELECT * FROM json_table(a, '?' COLUMNS (b int PATH '?'))",
        ),
        ("SELECT a FROM t WHERE b IN$2$$Zq$$", "SELECT a FROM t WHERE b IN$2$$Zq$$"),  # all of it is a name
        ("<insufficient privilege>",) * 2,
        ("", ""),
    ],
)
def test_examples(text: str, expected: str | None) -> None:
    found = normalized(text)
    assert expected in (None, found)
    assert normalized(found) == found
    assert MARK not in found.replace("IN$2$$Zq$$", "")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (
            "select date $1, interval(3) $2, interval $3 day to second(2)",
            "select CAST($1 AS date), CAST($2 AS interval(3)), CAST($3 AS interval day to second(2))",
        ),
        (
            "select timestamp(3) with time zone $1, d at time zone $2 from t",
            "select CAST($1 AS timestamp(3) with time zone), d at time zone $2 from t",
        ),
        ('select double precision $1, "Odd".type $2', 'select CAST($1 AS double precision), CAST($2 AS "Odd".type)'),
        (
            "select$1from t where a like$2and b between$3and$4",
            "select $1 from t where a like $2 and b between $3 and $4",
        ),
        (
            "select date$1, N$2, v$session, a$1, $3 uescape '!' from t",
            "select CAST($1 AS date), CAST($2 AS bpchar), v$session, a$1, $3 from t",
        ),
        ("select extract($1 from d) from t", "select pg_catalog.date_part($1, d) from t"),
        ("select a from t where b in ($1 /*, ... */) -- c",) * 2,
        (
            "select f($1, d), f($2, e) from t group by f('a', d), f('b', e) order by f('b', e) desc nulls last",
            "select f($1, d), f($2, e) from t group by f($1, d), f($2, e) order by f($2, e) desc nulls last",
        ),
        (
            "select f($1, d), sum(count(*)) over (order by f($2, d)) from t where x > $3 group by f('a', d)",
            "select f($1, d), sum(count(*)) over (order by f($1, d)) from t where x > $2 group by f($1, d)",
        ),
        (
            "select distinct on (a || 'x') b from t order by a || $1",
            "select distinct on (a || $1) b from t order by a || $1",
        ),
        ("select a operator(pg_catalog.+) $1 from t where a = $2 order by 1, a limit $3",) * 2,
        ("create user mapping for x server s options (passwd $1)",) * 2,
        ("select 'cut $1",) * 2,
    ],
)
def test_what_pg_stat_statements_made_no_sql_of(stored: str, expected: str) -> None:
    assert repaired(stored) == expected
    assert repaired(expected) == expected


_VALUES = st.text(alphabet=MARK + " ()[],;.%{}=<>!?/*-", min_size=2, max_size=12).map(lambda v: f"{MARK}{v}{MARK}")
_LITERALS = st.one_of(
    _VALUES.map(lambda v: f"'{v}'"),
    _VALUES.map(lambda v: f"E'{v}\\'{v}'"),
    _VALUES.map(lambda v: f"U&'{v}' UESCAPE '!'".replace("!'", "#'", 1) if "!" not in v else f"'{v}'"),
    _VALUES.map(lambda v: f"$${v}$$"),
    _VALUES.map(lambda v: f"$t$'{v}$t$"),
    _VALUES.map(lambda v: f"N'{v}'"),
    _VALUES.map(lambda v: f"'{v}\\'"),
    _VALUES.map(lambda v: f"date '{v}'"),
    _VALUES.map(lambda v: f"interval(3)'{v}'"),
    st.sampled_from(["4711", "-4711", "4711.4711e-4711", "0x4711", "X'4711'", "4_711"]),
)
_SHAPES = st.sampled_from(
    [
        'SELECT {}, a AS "b  c" FROM t WHERE x = {} ORDER BY 1 -- Zq',
        "SELECT a + {} FROM t GROUP BY a + {} HAVING count(*) > {}",
        "INSERT INTO t (a, b) VALUES ({}, {}), ({}, DEFAULT) ON CONFLICT (a) DO UPDATE SET b = {}",
        "UPDATE t SET a={},b=f({}) WHERE c IN ({}, {}) /* Zq */ RETURNING *",
        "SELECT({})FROM t WHERE a LIKE({})AND b BETWEEN({})AND({})OR c",
        "SELECT CASE WHEN a THEN {} ELSE {} END::varchar(10) LIMIT 4711 OFFSET {}",
        "WITH x AS (SELECT {} AS a) SELECT * FROM x WHERE a = ANY (ARRAY[{}, {}])",
        "ALTER ROLE x SET a.b = {}",
        "CREATE TABLE x AS SELECT {}, {} FROM t",
        "COPY (SELECT {}) TO 'Zq' WITH (DELIMITER {})",
        "EXPLAIN SELECT {} FROM t WHERE a = {}",
        "PREPARE p AS SELECT {}; EXECUTE p({})",
        "COMMENT ON TABLE t IS {}",
        "SELECT * FROM json_table({}, {} COLUMNS (a int PATH {}))",
        "SELECT {} SELECT {} (",
    ]
)


@settings(max_examples=300, deadline=None)
@given(_SHAPES, st.lists(_LITERALS, min_size=4, max_size=4), st.none() | st.integers(0, 200))
def test_no_value_gets_through(shape: str, literals: list[str], cut: int | None) -> None:
    text = shape.format(*literals)[:cut]
    found = normalized(text)
    assert MARK not in found
    assert "4711" not in found.replace("interval(3)", "")
    assert "711" not in found
    assert normalized(found) == found
    assert MARK not in formatted(found)
    assert traits(found) == traits(found)


@settings(deadline=None)
@given(st.text(max_size=100) | st.text(alphabet="'\"$abEN?(),;-/*1 \n", max_size=60))
def test_any_text_can_be_normalized(text: str) -> None:
    found = normalized(text)
    assert normalized(found) == found
    traits(found)
    formatted(found)


_HOSTILE = """
import sys
from dbopt.postgres.normalized import normalized
from dbopt.workload.fingerprint import traits
from dbopt.workload.layout import formatted
n = 25_000
for text in (
    "SELECT 1" + "+1" * n, "SELECT " + "(" * n, "SELECT " + "f(" * n + "1" + ")" * n,
    "SELECT a" + "::int" * n + ", 'x'", "SELECT " + "(SELECT " * n + "1" + ")" * n,
    "SELECT 1" + " UNION SELECT 1" * n, "SELECT " + "NOT " * n + "true, 1",
    "SELECT " + "/*" * n + "*/" * n + "1", "SELECT " + "CASE WHEN a THEN " * n, "SELECT 1" + "+1" * 5_000,
    "SELECT a" + "||b" * 9_000 + "||'x'",
):
    found = normalized(text)
    traits(found), formatted(found)
print("done")
"""


def test_no_text_ends_the_process() -> None:
    found = subprocess.run([sys.executable, "-c", _HOSTILE], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "done\n"), found.stderr[-500:]


@pytest.fixture(scope="module")
def menagerie(pg: Server) -> Iterator[tuple[Database, dict[str, str]]]:
    """The zoo's database, and its statements as pg_stat_statements stored them, by their own texts."""
    with pg.database() as database:
        database.sql("CREATE EXTENSION pg_stat_statements")
        database.sql(zoo.TABLES)
        known: set[int] = set()
        stored: dict[str, str] = {}
        statements = zoo.STATEMENTS + (zoo.SINCE_15 if database.server_version >= (15,) else ())
        with database.connect(autocommit=True) as conn, database.connect(autocommit=True) as other:
            read = """SELECT queryid, query FROM pg_stat_statements
                       WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
            other.execute(read)
            known |= {row[0] for row in other.execute(read)}
            for statement in statements:
                conn.execute(statement.encode())
                new = [(queryid, text) for queryid, text in other.execute(read) if queryid not in known]
                known |= {queryid for queryid, _ in new}
                for _, text in new:
                    stored[statement] = text
        yield database, stored


# What has to be known to type a parameter, and is not in the text: the planner of plans finds it.
_OF_TYPES = (psycopg.errors.UndefinedFunction, psycopg.errors.AmbiguousFunction, psycopg.errors.IndeterminateDatatype)


def test_all_that_is_stored_is_sql_again(menagerie: tuple[Database, dict[str, str]]) -> None:
    database, stored = menagerie
    assert len(stored) >= 60
    untyped = []
    with database.connect(autocommit=True) as conn:
        conn.execute("SET plan_cache_mode = force_generic_plan")
        for text in stored.values():
            for made in (repaired(text), normalized(text)):
                parse_one(made)
                try:
                    conn.execute(f"PREPARE made AS {made}".encode())
                except _OF_TYPES:
                    untyped.append(made)
                    continue
                conn.execute("DEALLOCATE made")
    assert len(untyped) < len(stored) / 4


def test_the_quick_way_comes_to_the_same(menagerie: tuple[Database, dict[str, str]]) -> None:
    """A comment makes a text take the long one, token by token."""
    for text in menagerie[1].values():
        assert normalized(text) == normalized(f"{text} /* a comment */")


def test_the_zoo_has_no_values_left_and_is_itself(menagerie: tuple[Database, dict[str, str]]) -> None:
    _, stored = menagerie
    for statement, text in stored.items():
        for found in (normalized(text), normalized(statement)):
            assert MARK not in found
            assert normalized(found) == found
            traced = traits(found)
            assert traced.kind.has_plan
            lines = formatted(found)
            # FETCH FIRST is written as LIMIT.
            if "FETCH" not in found:
                assert traits(lines).fingerprint == traced.fingerprint
            assert max(map(len, lines.split("\n"))) <= 100


def test_own_statements_are_known_again(menagerie: tuple[Database, dict[str, str]]) -> None:
    """From 18 on, no comment in front of a statement is stored."""
    database, _ = menagerie
    with connect.connect(database.conninfo, command="test", read_only=True) as conn:
        row = conn.execute("SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements'").fetchone()
        assert row is not None
        version = tuple(map(int, row[0].split(".")))
        conn.execute(STATEMENT_TOTALS.composed(version, "public")).fetchall()
        conn.execute(SQL("/* dbopt: a column of {} */ SELECT 1 AS {}").format(SQL("something"), Identifier("Own one")))
    stored = database.sql(
        "SELECT query FROM pg_stat_statements WHERE query ~ 'Own one|AS entries_max' AND query !~ '~'"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert len(stored) == 2
    for (text,) in stored:
        assert normalized(text).startswith("/* dbopt: ")
        assert traits(normalized(text)).kind is Kind.OWN


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_texts_in_another_encoding(pg: Server, encoding: str) -> None:
    """pg_stat_statements has the texts of all databases: a text that cannot be written in this one's encoding must not
    end the program. Dropped with their database are neither: the entries are reset.
    """
    name = f"of_{encoding.lower()}"
    with psycopg.connect(pg.conninfo, autocommit=True) as admin:
        admin.execute(
            SQL("CREATE DATABASE {} ENCODING {} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'").format(
                Identifier(name), encoding
            )
        )
        try:
            with pg.database() as other, psycopg.connect(f"{pg.conninfo} dbname={name}", autocommit=True) as conn:
                conn.execute("CREATE EXTENSION pg_stat_statements")
                other.sql("CREATE EXTENSION pg_stat_statements")
                other.sql("SELECT pg_stat_statements_reset()")  # others' texts cannot all be written in LATIN1
                conn.execute("SET client_encoding = 'SQL_ASCII'")
                conn.execute(b"SELECT 'Zq' AS \"b\xe4r\"")
                found = _fetched(f"{pg.conninfo} dbname={name}")
                assert [text for text in found if text.startswith('SELECT $1 AS "b')]
                # In UTF8, the server reads no text as long as there is one that is none; LATIN1 it can write.
                assert bool(_fetched(other.conninfo)) is (encoding == "LATIN1")
        finally:
            with psycopg.connect(f"{pg.conninfo} dbname={name}", autocommit=True) as conn:
                conn.execute("""SELECT public.pg_stat_statements_reset(0,
                    (SELECT oid FROM pg_database WHERE datname = current_database()), 0)""")
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def _fetched(conninfo: str) -> list[str]:
    with connect.connect(conninfo, command="test", read_only=True) as conn:
        version = (conn.info.server_version // 10000, conn.info.server_version % 10000)
        surroundings = SURROUNDINGS.rows(conn, version)[0]
        rows = conn.execute("SELECT queryid FROM public.pg_stat_statements(false)").fetchall()
        return list(texts.fetch(conn, surroundings, [row[0] for row in rows]).texts.values())


def test_a_text_that_is_no_sql_is_left_alone() -> None:
    with pytest.raises(GrammarError):
        parse_one(normalized("SELECT a FROM WHERE b = 'Zq'"))
