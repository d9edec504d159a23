"""Sizes of candidates, against those that the same indexes really have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction
from psycopg.conninfo import make_conninfo

from dbopt.optimize.pace import Built, Pace
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.suggest.cost.definition import create_index
from dbopt.suggest.model import Candidate, Key, Subject
from dbopt.suggest.sizes import ExpressionValues, Sizer
from dbopt.suggest.tables import of_names
from suggest import worlds
from suggest.asking import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

SCHEMA = """
    CREATE EXTENSION pg_trgm;
    CREATE TABLE t (id int, a int, city int, country int, email varchar(80), note text, at timestamp, tags text[],
      odd text COLLATE "C", title text, body text) WITH (autovacuum_enabled = off);
    INSERT INTO t SELECT g, (g * 7919) % 1000, (g * 7127) % 5000, ((g * 7127) % 5000) % 50,
      'Somebody' || (g * 31) % 30000 || '@example.com', md5(g::text), timestamp '2026-01-01' + g * interval '1 minute',
      ARRAY['tag' || g % 7, 'tag' || g % 50], 'x' || g % 100, 'Report number' || g % 700 || ' word' || g % 900,
      'some words about ' || g % 3000 || ' and more of word' || g % 900 FROM generate_series(1, 30000) g;
    CREATE TABLE events (id int, at date, kind int) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO events SELECT g, date '2026-01-01' + g % 59, g % 3000 FROM generate_series(1, 20000) g;
    CREATE TABLE blank (id int) WITH (autovacuum_enabled = off);
    INSERT INTO blank SELECT 1;
    ANALYZE t; ANALYZE events; ANALYZE events_1; ANALYZE events_2;
"""
T, EVENTS = ("public", "t"), ("public", "events")
CANDIDATES = [
    Candidate(T, (Key("id"),)),
    Candidate(T, (Key("a"),)),
    Candidate(T, (Key("a"), Key("id", descending=True, nulls_first=True))),
    Candidate(T, (Key("city"), Key("country"))),
    Candidate(T, (Key("email"),)),
    Candidate(T, (Key("odd"),)),
    Candidate(T, (Key("email", opclass="varchar_pattern_ops"),)),
    Candidate(T, (Key("a"),), include=("note",)),
    Candidate(T, (Key("id"),), where="a = 7"),
    Candidate(T, (Key(expression="lower((email)::text)"),)),
    Candidate(T, (Key(expression="date(at)"),)),
    Candidate(T, (Key("a"),), method="hash"),
    Candidate(T, (Key("tags"),), method="gin"),
    Candidate(T, (Key("note", opclass="gin_trgm_ops"),), method="gin"),
    Candidate(T, (Key(expression="to_tsvector('english'::regconfig, ((title || ' '::text) || body))"),), method="gin"),
    Candidate(EVENTS, (Key("kind"),)),
]


@pytest.fixture(scope="module")
def world(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        yield fresh


def sizer(database: Database, *, conninfo: str | None = None, pace: Pace | None = None) -> Sizer:
    conn = connect(conninfo or database.conninfo, command="test", read_only=True)
    database._opened.append(conn)
    server = inspect(conn)
    names = [(name,) for name in (T, EVENTS, ("public", "blank"))]
    return Sizer(conn, server, of_names(conn, server, names).tables, pace=pace)


def real_bytes(database: Database, item: Candidate) -> int:
    statement = create_index(item, item.relation, name="real").as_string(None)
    database.sql(statement)
    [(found,)] = database.sql(
        "SELECT coalesce(sum(pg_relation_size(c.oid)), pg_relation_size('real')) FROM pg_inherits AS h"
        " JOIN pg_class AS c ON c.oid = h.inhrelid WHERE h.inhparent = 'real'::regclass"
    )
    database.sql("DROP INDEX real")
    return int(found)


def test_they_are_what_indexes_really_take(world: Database) -> None:
    known = sizer(world)
    known.prepare(CANDIDATES)
    sizes = {item: known.size(item) for item in CANDIDATES}
    off = {}
    for item, size in sizes.items():
        assert size is not None, item
        real = real_bytes(world, item)
        if not real * 0.75 <= size.size_bytes <= real * 1.3:
            off[item] = (size.size_bytes, real)
    assert off == {}
    assert sizes[CANDIDATES[8]].rows == pytest.approx(30, abs=10)  # type: ignore[union-attr]


def test_what_goes_together_is_seen(world: Database) -> None:
    """Of 5,000 cities each has one country: as if independent, there would be 30,000 combinations."""
    known = sizer(world)
    both, one = (known.size(Candidate(T, tuple(map(Key, names)))) for names in (("city", "country"), ("id", "country")))
    assert both is not None
    assert one is not None
    assert both.size_bytes < 0.6 * one.size_bytes


def test_hundreds_take_few_statements(world: Database, caplog: pytest.LogCaptureFixture) -> None:
    names = ["id", "a", "city", "country", "email", "at"]
    many = [Candidate(T, (Key(one), Key(other), Key(third))) for one in names for other in names for third in names]
    many = [item for item in many if len(set(item.keys)) == 3]
    known = sizer(world)
    known.prepare(many[:1])
    with caplog.at_level(logging.DEBUG, logger="dbopt.sql"):
        assert all(known.size(item) is not None for item in many)
        first = len(caplog.records)
        assert all(known.size(item._replace(include=("country",))) is not None for item in many[:20])
    assert len(many) == 120
    assert first < 30
    assert len(caplog.records) - first < 5


def test_the_same_database_gives_the_same_sizes(world: Database) -> None:
    one, other = ([known.size(item) for item in CANDIDATES] for known in (sizer(world), sizer(world)))
    assert one == other


def test_nothing_is_known_of_tables_without_statistics_and_of_others(world: Database) -> None:
    known = sizer(world)
    if world.server_version >= (14,):
        assert known.size(Candidate(("public", "blank"), (Key("id"),))) is None
    assert known.size(Candidate(("public", "missing"), (Key("id"),))) is None
    assert known.size(Candidate(T, (Key(expression="nonsense(id)"),))) is None
    assert known.size(Candidate(T, (Key("id"),))) is not None


def test_a_role_that_only_reads_can_ask(world: Database) -> None:
    if world.server_version < (14,):
        pytest.skip("pg_read_all_data came with 14")
    world.sql("CREATE ROLE g_reader LOGIN; GRANT pg_monitor, pg_read_all_data TO g_reader")
    try:
        known = sizer(world, conninfo=make_conninfo(world.conninfo, user="g_reader"))
        assert [known.size(item) for item in CANDIDATES] == [sizer(world).size(item) for item in CANDIDATES]
        known._conn.close()
    finally:
        world.sql("DROP ROLE g_reader")


def test_a_lock_costs_no_more_than_what_has_to_be_read(world: Database) -> None:
    with open_transaction(world, "LOCK TABLE t"):
        known = sizer(world)
        assert known.size(CANDIDATES[0]) is not None
        assert known.size(CANDIDATES[8]) is None  # how many rows a predicate lets in


def test_in_a_transaction_nothing_is_left_behind(world: Database) -> None:
    known = sizer(world)
    known.foresee([])
    with known._conn.transaction():
        assert [known.size(item) is None for item in CANDIDATES].count(True) == 0
        locks = known._conn.execute(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 't'::regclass"
        )
        assert locks.fetchall() == [(0,)]


def test_builds_take_what_builds_have_taken(world: Database) -> None:
    built = Built(method="btree", size_bytes=1_000_000, table_bytes=5_000_000, seconds=6.0)
    size = sizer(world, pace=Pace([built])).size(CANDIDATES[0])
    assert size is not None
    assert 3 < (size.build_seconds or 0) < 12
    assert sizer(world).size(CANDIDATES[0]).build_seconds is None  # type: ignore[union-attr]


def test_values_of_expressions(world: Database) -> None:
    asking = World(world)
    lower, length = "lower(email::text)", "length(email::text)"
    known = sizer(world)
    accesses = (
        worlds.access(f"{lower} = $1", relation=T),
        worlds.access("to_tsvector('english', note) @@ $1", relation=T),
    )
    with asking.conn:
        base = asking.subject("SELECT 1 FROM t WHERE lower(email) = $1")
    known.foresee([Subject(item=base.item, planned=base.planned, accesses=accesses)])
    found = known.expressions()
    assert list(found) == [(T, lower)]
    assert found[T, lower].n_distinct == pytest.approx(30_000, rel=0.2)
    values = found[T, length]
    assert isinstance(values, ExpressionValues)
    assert 0 < (values.n_distinct or 0) < 20
    assert (T, "nonsense(id)") not in found
    assert (("public", "missing"), lower) not in found
