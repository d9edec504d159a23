"""Types of parameters that the server does not infer: each form is planned by a real server, with the right types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt import grammar
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.workload.explain import TRIES_MAX, Planner
from dbopt.workload.model import Planned, Unplanned
from dbopt.workload.parameter_tree import Tree
from dbopt.workload.repeats import repeated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

SCHEMA = """
    CREATE TABLE users (id int PRIMARY KEY, name text, score numeric, tags text[], nums int[], doc jsonb,
                        made timestamptz, born date, ok boolean, ref uuid, ratio float8, big bigint);
    CREATE TABLE events (id bigint PRIMARY KEY, user_id int, kind text, at timestamptz, day date,
                         amount numeric(12,2), note text);
"""
MOMENT = "timestamp with time zone"


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Database]:
    """One for all: nothing here changes it."""
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        yield fresh


@pytest.fixture(scope="module")
def planner(shop: Database) -> Iterator[Planner]:
    with connect(shop.conninfo, command="test", read_only=True, settings={"search_path": "pg_catalog"}) as conn:
        yield Planner(conn, inspect(conn))


def planned(planner: Planner, query: str) -> Planned:
    answer = planner.plan(query, None)
    assert isinstance(answer, Planned), answer
    assert "Plan" in answer.documents[0]
    return answer


def types(planner: Planner, query: str) -> list[str]:
    return [name.replace(MOMENT, "moment") for name in planned(planner, query).parameter_types]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # what the server infers by itself
        ("SELECT * FROM users WHERE id = $1 AND name LIKE $2 AND made >= $3", "integer text moment"),
        ("SELECT * FROM users WHERE ref = $1 AND ok = $2 AND ratio < $3 AND born = $4", "uuid boolean double precision date"),  # noqa: E501
        ("SELECT * FROM users ORDER BY id LIMIT $1 OFFSET $2", "bigint bigint"),
        ("SELECT * FROM users ORDER BY id FETCH FIRST $1 ROWS ONLY", "bigint"),
        ("SELECT * FROM users WHERE id IN ($1 /*, ... */)", "integer"),
        ("SELECT * FROM users WHERE id = ANY($1) AND name <> ALL($2)", "integer[] text[]"),
        ("SELECT * FROM users WHERE (id, made) > ($1, $2) AND (id, name) IN (($3, $4))", "integer moment integer text"),
        ("SELECT coalesce(score, $1), name || $2, doc || $3 FROM users", "numeric text jsonb"),
        ("SELECT doc->$1->>$2 FROM users WHERE doc @> $3 AND doc #>> $4 = $5", "text text jsonb text[] text"),
        ("SELECT id FROM users UNION SELECT $1", "integer"),
        ("SELECT sum(amount) OVER (ORDER BY id ROWS BETWEEN $1 PRECEDING AND $2 FOLLOWING) FROM events", "bigint bigint"),  # noqa: E501
        ("SELECT date_trunc($1, at), to_char(at, $2) FROM events", "text text"),
        ("SELECT lag(score, $1, $2) OVER (ORDER BY id), ntile($3) OVER () FROM users", "integer numeric integer"),
        ("INSERT INTO events (id, kind, at) VALUES ($1, $2, $3), ($4, $5, now())", "bigint text moment bigint text"),
        ("UPDATE users SET score = score * $1, made = now() + $2 WHERE id = $3", "numeric interval integer"),
        ("DELETE FROM events USING users WHERE user_id = users.id AND users.name = $1", "text"),
        ("SELECT count(*) FILTER (WHERE kind = $1) FROM events TABLESAMPLE bernoulli ($2)", "text real"),
        ("SELECT nums[$1], nums[$2:] FROM users", "integer integer"),
        ("SELECT $1 = $2 WHERE $3", "text text boolean"),
        # what pg_stat_statements makes no SQL of
        ("SELECT * FROM events WHERE at > now() - interval $1 AND day < date $2", "interval date"),
        ("SELECT extract($1 FROM at) FROM events", "text"),
        ("SELECT * FROM events WHERE day < date $1 + interval $2 day", "date interval"),
        # what it finds no type for, or a wrong one
        ("SELECT sum(CASE WHEN kind = $1 THEN $2 ELSE $3 END) FROM events", "text integer integer"),
        ("SELECT sum(s) FROM (SELECT CASE WHEN kind = $1 THEN $2 END AS s FROM events) x", "text integer"),
        ("SELECT * FROM events WHERE amount BETWEEN $1 - $2 AND $3 + $4", "numeric numeric numeric numeric"),
        ("SELECT * FROM users WHERE id = $1 + $2", "integer integer"),
        ("SELECT * FROM events WHERE at > now() - $1", "interval"),
        ("SELECT * FROM events WHERE at > $1 - $2", "moment interval"),
        ("SELECT * FROM events WHERE day > current_date - $1", "integer"),
        ("SELECT (at - $1)::date FROM events", "interval"),
        ("SELECT $1 || $2", "text text"),
        ("SELECT -$1, avg($2), round($3, $4)", "integer integer numeric integer"),
        ("SELECT date_trunc($1, $2), extract(year FROM $3)", "text moment moment"),
        ("SELECT * FROM generate_series($1, $2)", "integer integer"),
        ("SELECT substring(name FROM $1 FOR $2) FROM users", "integer integer"),
        ("SELECT jsonb_build_object($1, name, $2, $3) FROM users", "text text text"),
        ("SELECT ROW($1, $2), concat($3, name), count($4) FROM users GROUP BY name", "text text text text"),
        ("SELECT * FROM users WHERE ($1 IS NULL OR id = $2) AND ($3 IS NULL OR name = $4)", "text integer text text"),
        ("SELECT format($1, VARIADIC $2)", "text text[]"),
        ("SELECT cardinality($1), array_agg($2)", "text[] text"),
        ("SELECT * FROM users WHERE id = ANY(ARRAY[$1, $2])", "integer integer"),
        ("SELECT * FROM users WHERE nums && ARRAY[$1]", "integer"),
        ("SELECT * FROM users WHERE id IN (SELECT unnest($1))", "integer[]"),
        ("SELECT * FROM (VALUES ($1, $2), ($3, $4)) v(a, b) JOIN users ON id = v.a", "integer text integer text"),
        ("UPDATE users SET score = v.s FROM (VALUES ($1, $2)) v(i, s) WHERE id = v.i", "integer numeric"),
        ("WITH x(i, s) AS (VALUES ($1, $2)) UPDATE users SET score = x.s FROM x WHERE x.i = id", "integer numeric"),
        ("WITH x AS (SELECT $1 AS id) SELECT * FROM users JOIN x USING (id)", "integer"),
        ("WITH RECURSIVE t(n) AS (SELECT $1 UNION ALL SELECT n + $2 FROM t WHERE n < $3) SELECT sum(n) FROM t", "integer " * 3),  # noqa: E501
        ("INSERT INTO events (id, kind) SELECT $1, $2 UNION ALL SELECT $3, $4", "bigint text bigint text"),
        ("INSERT INTO users SELECT $1, $2, $3 UNION SELECT $4, $5, $6", "integer text numeric integer text numeric"),
        ("SELECT 'é', $1 FROM users WHERE name = 'ü' AND score BETWEEN $2 - $3 AND $4", "text numeric numeric numeric"),
        ("PREPARE p (int, text) AS SELECT * FROM users WHERE id = $1 OR name = $2", "integer text"),
    ],
)  # fmt: skip
def test_inferred_or_guessed(planner: Planner, query: str, expected: str) -> None:
    assert " ".join(types(planner, query)) == expected.strip()


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (
            "SELECT date_trunc($1, at), count(*) FROM events GROUP BY date_trunc($2, at) ORDER BY date_trunc($3, at)",
            "SELECT date_trunc($2, at), count(*) FROM events GROUP BY date_trunc($2, at) ORDER BY date_trunc($2, at)",
        ),
        (
            "SELECT date_trunc($1, at), date_trunc($2, at), sum(amount * $3) FROM events"
            " GROUP BY date_trunc($4, at), date_trunc($5, at) HAVING sum(amount * $6) > $7",
            "SELECT date_trunc($4, at), date_trunc($5, at), sum(amount * $3) FROM events"
            " GROUP BY date_trunc($4, at), date_trunc($5, at) HAVING sum(amount * $6) > $7",
        ),
        (
            "SELECT coalesce(kind, $1), count(*) FROM events GROUP BY ROLLUP (coalesce(kind, $2))",
            "SELECT coalesce(kind, $2), count(*) FROM events GROUP BY ROLLUP (coalesce(kind, $2))",
        ),
        (
            "SELECT DISTINCT coalesce(note, $1) FROM events ORDER BY coalesce(note, $2)",
            "SELECT DISTINCT coalesce(note, $1) FROM events ORDER BY coalesce(note, $1)",
        ),
        (
            "SELECT DISTINCT ON (coalesce(note, $1)) * FROM events ORDER BY coalesce(note, $2), id",
            "SELECT DISTINCT ON (coalesce(note, $1)) * FROM events ORDER BY coalesce(note, $1), id",
        ),
    ],
)
def test_one_constant_that_became_several_parameters(planner: Planner, query: str, text: str) -> None:
    """It takes the server's own word that they have to be the same; by the text alone, each may have its own value."""
    assert set(types(planner, query)) <= {"text", "numeric"}
    tree = Tree(query, grammar.parse_one(query))
    assert tree.written({}, repeated(tree, distinct="DISTINCT" in query))[0] == text


def test_guesses_stand_in_the_text(planner: Planner) -> None:
    answer = planned(planner, "SELECT sum(CASE WHEN kind = $1 THEN $2 ELSE amount END), sum($3) FROM events")
    assert answer.query == (
        "SELECT sum(CASE WHEN kind = $1 THEN $2 ELSE amount END), sum(CAST($3 AS integer)) FROM events"
    )


def test_a_number_that_the_text_lacks(planner: Planner) -> None:
    """As drivers number on that leave out a condition."""
    assert types(planner, "SELECT * FROM users WHERE id = $3") == ["text", "text", "integer"]


def test_a_report_of_a_hundred_columns_takes_a_few_tries(planner: Planner) -> None:
    columns = ", ".join(
        f"sum(CASE WHEN kind = ${3 * i} THEN ${3 * i + 1} ELSE ${3 * i + 2} END)" for i in range(1, 101)
    )
    answer = planned(
        planner, f"SELECT {columns} FROM events WHERE day > current_date - $1 AND user_id = $2 AND id = $303"
    )
    assert answer.query.count("CAST(") == 201


def test_tries_come_to_an_end(planner: Planner) -> None:
    """Each of these needs one of its own; what is said is what the server said at first."""
    wrong = " AND ".join(f"nowhere_{i}($1, name) = id" for i in range(TRIES_MAX))
    answer = planner.plan(f"SELECT * FROM users WHERE {wrong}", None)
    assert isinstance(answer, Unplanned)
    assert answer.reason == "function nowhere_0(unknown, text) does not exist"


def test_values_are_followed_to_where_they_come_from() -> None:
    text = (
        "SELECT max(x.v) FROM (SELECT $1 AS v UNION ALL SELECT coalesce($2, (SELECT $3)) UNION ALL"
        " SELECT CASE WHEN $4 THEN n ELSE NULL END FROM t) x WHERE upper(v) = $5"
    )
    tree = Tree(text, grammar.parse_one(text))
    place = tree.at(text.index("max("))
    assert place is not None
    assert (tree.values(place).numbers, tree.values(place).is_pure) == ((1, 2, 3), False)


def test_a_column_that_is_made_of_itself_ends() -> None:
    text = "WITH RECURSIVE t AS (SELECT $1 AS n UNION ALL SELECT n FROM t) SELECT sum(n) FROM t"
    place = (tree := Tree(text, grammar.parse_one(text))).at(text.index("sum("))
    assert place is not None
    assert tree.values(place).numbers == (1,)


def test_nothing_is_joined_that_does_not_repeat() -> None:
    text = "SELECT date_trunc($1, a), date_trunc($2, b) FROM t GROUP BY date_trunc($3, c), d"
    assert repeated(Tree(text, grammar.parse_one(text)), distinct=False) == {}


def test_tables_that_build_upon_one_another_are_followed_once_each() -> None:
    """Each twice as often as the one before: to follow them all would never end."""
    chain = ", ".join(f"t{i} AS (SELECT n{i - 1} + n{i - 1} AS n{i} FROM t{i - 1})" for i in range(1, 60))
    text = f"WITH t0 AS (SELECT $1 AS n0), {chain} SELECT sum(n59) FROM t59"
    place = (tree := Tree(text, grammar.parse_one(text))).at(text.index("sum("))
    assert place is not None
    assert tree.values(place).numbers == (1,)


def test_names_of_types_are_quoted_as_they_were() -> None:
    text = """SELECT x::"int); DROP TABLE t; --" = $1, y::"My type"[] = $2"""
    tree = Tree(text, grammar.parse_one(text))
    beside = [types for number in (1, 2) for place in tree.places(number) for _, types in tree.beside(place) if types]
    assert beside[0] == ['"int); DROP TABLE t; --"']
    assert beside[-1] == ['"My type"[]']
