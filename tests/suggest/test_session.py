"""Many plans in one session: for any values, for some, and what happens when one cannot be had."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
import pytest
from helpers import open_transaction

from dbopt.suggest.cost.prepared import plain
from dbopt.suggest.cost.session import Session
from dbopt.suggest.model import GENERIC, Probe
from dbopt.workload.plan import root
from suggest.asking import World, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.suggest.model import Costed

SCHEMA = """
    CREATE SCHEMA app;
    CREATE TABLE public.orders (id int PRIMARY KEY, customer int, status text, due date)
      WITH (autovacuum_enabled = off);
    INSERT INTO public.orders SELECT g, g % 500, CASE WHEN g % 1000 = 0 THEN 'rare' ELSE 'common' END,
      date '2026-01-01' + g % 90 FROM generate_series(1, 20000) g;
    CREATE INDEX by_customer ON public.orders (customer);
    CREATE INDEX by_status ON public.orders (status);
    CREATE TABLE app.orders (id int, only_in_app text);
    CREATE INDEX of_app ON app.orders (id);
    INSERT INTO app.orders SELECT g, 'x' FROM generate_series(1, 5000) g;
    CREATE TABLE events (id int, at date, kind int) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO events SELECT g, date '2026-01-01' + g % 59, g % 900 FROM generate_series(1, 20000) g;
    CREATE INDEX by_kind ON events (kind);
    ANALYZE;
"""


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        yield fresh


@pytest.fixture(scope="module")
def world(shop: Database) -> Iterator[World]:
    made = World(shop)
    yield made
    made.conn.close()


def one(session: Session, world: World, query: str, probe: Probe = GENERIC) -> Costed:
    [answer] = session.base([(world.subject(query), probe)])
    assert answer is not None
    return answer


QUERIES = [
    "SELECT * FROM orders WHERE id = $1",
    "SELECT status, count(*) FROM orders GROUP BY status",
    "SELECT * FROM orders WHERE customer = ANY ($1) ORDER BY due LIMIT $2",
    "SELECT $1 || status FROM orders WHERE due > date '2026-03-01' - $2",
    "SELECT * FROM orders o JOIN events e ON e.id = o.id WHERE o.customer = $1 AND e.kind = $2",
    "WITH x AS MATERIALIZED (SELECT 1 AS n) SELECT * FROM x",
    "VALUES (1), (2)",
]


def test_plans_for_any_values_are_those_of_the_planner(world: World) -> None:
    subjects = [world.subject(query) for query in QUERIES]
    with Session(world.conn, world.server) as session:
        answers = session.base([(subject, GENERIC) for subject in subjects])
        again = session.base([(subject, GENERIC) for subject in reversed(subjects)])
        assert session.explains == 2 * len(QUERIES)
    assert again == answers[::-1]
    for subject, answer in zip(subjects, answers, strict=True):
        expected = root(subject.planned.documents[0])
        assert answer is not None
        assert answer.plan is not None
        assert expected is not None
        assert answer.planner_cost == expected.total_cost, subject.planned.query
        assert [node.raw for node in answer.plan.walk()] == [node.raw for node in expected.walk()]


def test_values_are_planned_for_and_sent_beside_the_text(
    shop: Database, pg: Server, caplog: pytest.LogCaptureFixture
) -> None:
    shop.sql(f"ALTER DATABASE {shop.name} SET log_statement = 'all'")
    shop.sql(f"ALTER DATABASE {shop.name} SET log_parameter_max_length = 0")
    try:
        world = World(shop)
        query = "SELECT * FROM orders WHERE status = $1 AND customer = ANY ($2)"
        with caplog.at_level(logging.DEBUG), Session(world.conn, world.server) as session:
            rare = one(session, world, query, values("'rare'", "ARRAY[1, 500, 71771771]"))
            common = one(session, world, query, values("'common'::text", "'{1}'::int4[]"))
            generic = one(session, world, query)
            assert one(session, world, query, values("lower('RARE')", "'{1}'")) == generic  # not a constant
            assert one(session, world, query, values("'rare'")) == generic  # not all of them
        world.conn.close()
    finally:
        shop.sql(f"ALTER DATABASE {shop.name} RESET ALL")
    assert rare.indexes == {("public", "by_status")}
    assert common.indexes == {("public", "by_customer")}
    assert "71771771" not in caplog.text
    log = pg.log.read_text()
    assert "EXPLAIN /* dbopt: suggest */" in log
    assert "71771771" not in log


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("'it''s'", "it's"),
        ("E'a\\nb'", "a\nb"),
        ("-5", "-5"),
        ("1.50::numeric(9,2)", "1.50"),
        ("0", "0"),
        ("true", "true"),
        ("'t'::bool", "t"),
        ("NULL::text", None),
        ("ARRAY['a\"b', NULL, 'c\\']", '{"a\\"b",NULL,"c\\\\"}'),
        ("DATE '2026-01-01'", "2026-01-01"),
        ("'\\x00ff'::bytea", "\\x00ff"),
    ],
)
def test_constants_are_understood(literal: str, expected: str | None) -> None:
    assert plain(literal) == expected


@pytest.mark.parametrize("literal", ["now()", "a", "1 + 1", "(SELECT 1)", "'", "1; SELECT 2", "ARRAY[ARRAY[1]]", "$1"])
def test_anything_else_is_no_constant(literal: str) -> None:
    with pytest.raises(ValueError, match="constant"):
        plain(literal)


def test_a_statement_that_fails_costs_itself_alone(shop: Database, world: World) -> None:
    shop.sql("CREATE TABLE doomed (a int, b int); CREATE TABLE locked (a int)")
    queries = ["SELECT b FROM doomed", "SELECT * FROM locked", "SELECT a FROM doomed", "SELECT 1"]
    subjects = [world.subject(query) for query in queries]
    bad = world.subject("SELECT * FROM orders WHERE due = $1")
    with Session(world.conn, world.server, lock_timeout_ms=20) as session:
        shop.sql("ALTER TABLE doomed DROP COLUMN b")
        asked = [(subject, GENERIC) for subject in subjects]
        asked += [(bad, values("'no date'")), (bad, values("'2026-01-05'")), (bad, GENERIC)]
        with open_transaction(shop, "LOCK TABLE locked"):
            answers = session.base(asked)
        assert [answer is not None for answer in answers] == [False, False, True, True, False, True, True]
        # What failed is not tried again; values that failed are.
        assert session.base(asked[:2]) == [None, None]
        assert session.base(asked[2:]) == answers[2:]
    shop.sql("DROP TABLE doomed, locked")


def test_an_error_of_somebody_else_in_the_transaction_is_no_trouble(world: World) -> None:
    subject = world.subject("SELECT * FROM orders WHERE id = $1")
    with Session(world.conn, world.server) as session:
        with pytest.raises(psycopg.errors.DivisionByZero):
            world.conn.execute("SELECT 1/0")
        [answer] = session.base([(subject, GENERIC)])
        assert answer is not None
        assert answer.indexes == {("public", "orders_pkey")}


def test_no_lock_stays_and_nothing_is_written(shop: Database, world: World) -> None:
    with Session(world.conn, world.server) as session:
        one(session, world, "SELECT * FROM orders WHERE customer = $1")
        shop.sql("SET lock_timeout = '50ms'; ALTER TABLE orders ADD COLUMN later int; ALTER TABLE orders DROP later")
        assert world.conn.execute("SHOW transaction_read_only").fetchone() == ("on",)
        assert session.explains == 1


def test_names_that_are_taken_stay_whose_they_are(world: World) -> None:
    world.conn.execute("PREPARE dbopt_suggest_1 AS SELECT 'theirs'")

    def stopped() -> None:
        with Session(world.conn, world.server) as session:
            one(session, world, "SELECT * FROM orders WHERE customer = $1")
            assert world.conn.execute("EXECUTE dbopt_suggest_1").fetchone() == ("theirs",)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert world.conn.execute("SELECT name FROM pg_prepared_statements").fetchall() == [("dbopt_suggest_1",)]
    assert world.conn.info.transaction_status.name == "IDLE"
    assert world.conn.execute("SHOW plan_cache_mode").fetchone() == ("auto",)
    world.conn.execute("DEALLOCATE dbopt_suggest_1")


def test_each_statement_has_its_own_search_path(shop: Database, world: World) -> None:
    shop.sql(f"CREATE ROLE suggest_app LOGIN; ALTER ROLE suggest_app IN DATABASE {shop.name} SET search_path = app")
    try:
        query = "SELECT * FROM orders WHERE id = $1"
        mine, theirs = world.subject(query), world.subject(query, role="suggest_app")
        asked = [(mine, GENERIC), (theirs, GENERIC), (mine, values("5")), (theirs, values("5"))]
        with Session(world.conn, world.server) as session:
            found = [answer.indexes for answer in session.base(asked) if answer is not None]
        assert found == [{("public", "orders_pkey")}, {("app", "of_app")}] * 2
    finally:
        shop.sql("DROP OWNED BY suggest_app; DROP ROLE suggest_app")


def test_partitions_that_would_be_left_out_at_the_start_are_seen(world: World) -> None:
    """For no value of the parameter a partition is known, so NULL leaves none."""
    query = "SELECT * FROM events WHERE kind = $1 AND at >= $2"
    with Session(world.conn, world.server) as session:
        for _ in range(2):
            answer = one(session, world, query)
            assert {name.startswith("events_") for _, name in answer.indexes} == {True}
            assert len(answer.indexes) == 2
        january = one(session, world, query, values("5", "'2026-02-05'"))
        assert len(january.indexes) == 1
        assert january.cost < answer.cost
        assert world.conn.execute("SHOW enable_partition_pruning").fetchone() == ("on",)
