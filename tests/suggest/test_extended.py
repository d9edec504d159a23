"""Extended statistics: which columns depend on each other, and of which expressions nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction

from dbopt.suggest.extended import statistics
from dbopt.suggest.extended_statements import create_statistics
from dbopt.suggest.model import Candidate, Key, Statistics, Subject
from dbopt.suggest.reading.accesses import accesses
from dbopt.suggest.sizes import Sizer
from dbopt.suggest.tables import tables
from suggest.readings import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

SCHEMA = """
    CREATE TABLE t (id int PRIMARY KEY, city int, country int, kind int, state int, free int, other int, email text)
      WITH (autovacuum_enabled = off);
    INSERT INTO t SELECT g, (g * 7127) % 500, ((g * 7127) % 500) % 50, (g * 31) % 12, ((g * 31) % 12 + g / 7 % 2) % 12,
      (g * 7919) % 97, (g * 104) % 89, 'A' || (g * 7919) % 15000 || '@example.com' FROM generate_series(1, 30000) g;
    CREATE TABLE small (a int, b int) WITH (autovacuum_enabled = off);
    INSERT INTO small SELECT g % 10, g % 10 FROM generate_series(1, 1000) g;
    ANALYZE t; ANALYZE small;
"""
T = ("public", "t")
CITY = "SELECT * FROM t WHERE city = $1 AND country = $2"


@pytest.fixture(scope="module")
def world(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        yield fresh


def proposed(
    database: Database, *queries: str, weight: float = 1.0, chosen: tuple[Candidate, ...] = ()
) -> tuple[Statistics, ...]:
    with reading(database) as reader:
        read = [reader.prepared(query) for query in queries]
        found = tables(reader.conn, reader.server, read).tables
        made = [
            Subject(item=one.item, planned=one.planned, accesses=accesses(one, found), weight=weight) for one in read
        ]
        sizer = Sizer(reader.conn, reader.server, found)
        sizer.foresee(made)
        return statistics(reader.conn, reader.server, made, found, chosen=chosen, expressions=sizer.expressions())


def test_one_column_follows_from_another(world: Database) -> None:
    [one] = proposed(world, CITY)
    assert (one.relation, one.columns, one.kinds) == (T, ("city", "country"), ("dependencies",))
    assert one.why == (
        "city and country depend on each other: the planner expects 1 row of a combination, where there are about 60"
    )


def test_once_made_they_are_not_proposed_again(world: Database) -> None:
    [one] = proposed(world, CITY)
    make, analyze = create_statistics(one)
    world.sql(make)
    try:
        world.sql(analyze)
        assert proposed(world, CITY) == ()
    finally:
        world.sql("DROP STATISTICS t_city_country_stat")


def test_few_of_the_combinations_exist(world: Database) -> None:
    [one] = proposed(world, "SELECT * FROM t WHERE kind = $1 AND state = $2")
    assert one.kinds == ("mcv",)


def test_the_smallest_set_does(world: Database) -> None:
    found = proposed(world, "SELECT * FROM t WHERE city = $1 AND country = $2 AND free = $3")
    assert [one.columns for one in found] == [("city", "country")]


def test_groups_are_counted(world: Database) -> None:
    [one] = proposed(world, "SELECT city, country, count(*) FROM t GROUP BY city, country")
    assert one.kinds == ("ndistinct",)
    assert "about 500 combinations, not 25,000" in one.why


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM t WHERE free = $1 AND other = $2",  # go their own ways
        "SELECT * FROM t WHERE city = $1 AND country > $2",
        "SELECT * FROM t WHERE id = $1 AND city = $2",
        "SELECT * FROM small WHERE a = $1 AND b = $2",
    ],
)
def test_where_estimates_are_right_or_do_not_matter_there_are_none(world: Database, query: str) -> None:
    assert proposed(world, query) == ()


def test_what_costs_next_to_nothing_is_left_alone(world: Database) -> None:
    assert proposed(world, CITY, weight=0.001) == ()


def test_a_locked_table_is_not_waited_for(world: Database) -> None:
    with reading(world) as reader:
        one = reader.prepared(CITY)
        found = tables(reader.conn, reader.server, [one]).tables
        subject = Subject(item=one.item, planned=one.planned, accesses=accesses(one, found), weight=1.0)
        with open_transaction(world, "LOCK TABLE t"):
            assert statistics(reader.conn, reader.server, [subject], found) == ()


def test_an_expression_of_which_nothing_is_known(world: Database) -> None:
    query = "SELECT * FROM t WHERE lower(email) = $1"
    if world.server_version < (14,):
        assert proposed(world, query) == ()
        return
    [one] = proposed(world, query)
    assert (one.columns, one.kinds) == (("lower(email)",), ())
    assert one.why.startswith("the planner takes lower(email) to have 200 values, there are about 1")
    by_index = Candidate(T, (Key(expression="lower(email)"),))
    assert proposed(world, query, chosen=(by_index,)) == ()
    # Of a partial one the planner does not use the statistics.
    assert proposed(world, query, chosen=(by_index._replace(where="city = 1"),)) == (one,)
    make, analyze = create_statistics(one)
    world.sql(make)
    try:
        world.sql(analyze)
        assert proposed(world, query) == ()
    finally:
        world.sql("DROP STATISTICS t_lower_email_stat")
