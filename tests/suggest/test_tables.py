"""The tables of a workload: which they are, what is known of them, and what was written to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction, wait_until
from psycopg.conninfo import make_conninfo

from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.suggest.model import Operation, Written
from dbopt.suggest.tables import COUNTED_LEAST_SECONDS, Counted, Tables, of_names, tables, with_writes
from suggest import worlds
from suggest.readings import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.suggest.model import Name

SCHEMA = """
    CREATE SCHEMA "Odd ""one";
    CREATE EXTENSION pg_trgm SCHEMA "Odd ""one";
    CREATE TABLE orders (id int PRIMARY KEY, status text) WITH (autovacuum_enabled = off);
    CREATE TABLE "Odd ""one".orders (id int, other int) WITH (autovacuum_enabled = off);
    INSERT INTO orders SELECT g, 'open' FROM generate_series(1, 1000) g;
    INSERT INTO "Odd ""one".orders SELECT g, g FROM generate_series(1, 10) g;
    CREATE TABLE events (id int, at date, kind int) PARTITION BY RANGE (at);
    CREATE TABLE events_1 (kind int, id int, at date) WITH (autovacuum_enabled = off);
    ALTER TABLE events ATTACH PARTITION events_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')
      PARTITION BY RANGE (at);
    CREATE TABLE events_2a PARTITION OF events_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO events SELECT g, date '2026-01-01' + g % 59, g % 30 FROM generate_series(1, 5900) g;
    CREATE TABLE hushed (id int);
    INSERT INTO hushed SELECT g FROM generate_series(1, 10) g;
    CREATE VIEW shown AS SELECT * FROM orders;
    ANALYZE orders; ANALYZE events_1;
"""
ORDERS, ODD, EVENTS = ("public", "orders"), ('Odd "one', "orders"), ("public", "events")


@pytest.fixture(scope="module")
def world(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        yield fresh


def read(database: Database, *names: Name, conninfo: str | None = None) -> Tables:
    with connect(conninfo or database.conninfo, command="test", read_only=True) as conn:
        return of_names(conn, inspect(conn), [(name,) for name in names])


def test_of_partitions_the_topmost_table_stands_for_all(world: Database) -> None:
    found = read(world, ("public", "events_2a"), ("public", "events_1"))
    assert list(found.tables) == [EVENTS]
    leaves = (("public", "events_1"), ("public", "events_2a"))
    assert found.tables[EVENTS].leaves == leaves
    assert found.root_of == dict.fromkeys(leaves, EVENTS)


def test_tables_of_one_name_are_two_and_others_are_none(world: Database) -> None:
    found = read(world, ORDERS, ODD, ("public", "shown"), ("public", "missing"))
    assert list(found.tables) == [ODD, ORDERS]
    assert [column.name for column in found.tables[ODD].relation.columns] == ["id", "other"]
    assert found.tables[ORDERS].relation.rows == 1000
    assert found.extensions == {"pg_trgm": '"Odd ""one"', "plpgsql": ""}


def test_a_leaf_stands_for_a_partitioned_table_that_nobody_has_analyzed(world: Database) -> None:
    found = read(world, EVENTS)
    columns = {column.name: column for column in found.tables[EVENTS].relation.columns}
    assert (columns["kind"].attnum, columns["kind"].n_distinct) == (3, 30)
    assert columns["id"].n_distinct == -1
    [(reason, hint)] = found.lacks
    assert "largest partition" in reason
    assert hint == 'ANALYZE "public"."events";'


def test_a_number_of_values_that_grows_with_the_rows_is_a_share_of_them() -> None:
    from dbopt.suggest.tables import _as_of_all

    leaf = worlds.table({"a": {"n_distinct": 500_000.0}, "b": {"n_distinct": 500.0}}).relation
    assert [_as_of_all(column, leaf).n_distinct for column in leaf.columns] == [-0.5, 500.0]


def test_it_says_what_could_not_be_had(world: Database) -> None:
    if world.server_version >= (14,):
        [(reason, hint)] = read(world, ("public", "hushed")).lacks
        assert (reason, hint) == (
            "public.hushed was never analyzed: its columns are unknown to the planner",
            'ANALYZE "public"."hushed";',
        )
    world.sql("CREATE ROLE g_blind LOGIN")
    try:
        [(reason, hint)] = read(world, ORDERS, conninfo=make_conninfo(world.conninfo, user="g_blind")).lacks
    finally:
        world.sql("DROP ROLE g_blind")
    assert reason == "statistics of public.orders may not be read by role g_blind"
    assert hint is not None
    assert hint.endswith('TO "g_blind";')


def test_statistics_that_row_security_hides_take_another_right(world: Database) -> None:
    world.sql(
        "CREATE ROLE k_ruled LOGIN; GRANT SELECT ON orders TO k_ruled; ALTER TABLE orders ENABLE ROW LEVEL SECURITY"
    )
    try:
        [(_, hint)] = read(world, ORDERS, conninfo=make_conninfo(world.conninfo, user="k_ruled")).lacks
    finally:
        world.sql("ALTER TABLE orders DISABLE ROW LEVEL SECURITY; DROP OWNED BY k_ruled; DROP ROLE k_ruled")
    assert hint == 'ALTER ROLE "k_ruled" BYPASSRLS;'


def test_a_locked_table_costs_the_expressions_of_its_indexes(world: Database) -> None:
    world.sql("CREATE INDEX by_status ON orders (lower(status))")
    try:
        assert read(world, ORDERS).lacks == ()
        with open_transaction(world, "LOCK TABLE orders"):
            found = read(world, ORDERS)
    finally:
        world.sql("DROP INDEX by_status")
    assert [reason for reason, _ in found.lacks] == [
        "public.orders is locked: expressions of its indexes could not be read"
    ]
    assert len(found.tables[ORDERS].relation.indexes) == 2


def test_what_statements_name_is_found_by_their_search_path(world: Database) -> None:
    with reading(world) as reader:
        insert = reader.prepared("INSERT INTO orders VALUES ($1, $2)")
        delete = reader.prepared('DELETE FROM "Odd ""one".orders WHERE id = $1')
        found = tables(reader.conn, reader.server, [insert, delete])
    assert list(found.tables) == [ODD, ORDERS]
    assert found.tables[ORDERS].writes.inserted == 1
    assert found.tables[ODD].writes.deleted == 1


def test_counters_of_leaves_add_up(world: Database) -> None:
    wait_until(lambda: read(world, EVENTS).counted[EVENTS].inserted == 5900, "counting")
    counted = read(world, EVENTS, ORDERS).counted
    assert counted[ORDERS].inserted == 1000
    assert counted[EVENTS].seconds is not None


# What was written, without a server

T = worlds.T
INSERT = Written(relation=T, operation=Operation.INSERT)
DELETE = Written(relation=T, operation=Operation.DELETE)
SET_A = Written(relation=T, operation=Operation.UPDATE, columns=("a",))
SET_AB = Written(relation=T, operation=Operation.UPDATE, columns=("a", "b"))
OLD = 10 * COUNTED_LEAST_SECONDS


def known(counted: Counted) -> Tables:
    table = worlds.table({"id": {}, "a": {}, "b": {}}, worlds.index("by_b", "b"))
    return Tables(tables={T: table}, root_of={("public", "leaf"): T}, extensions={}, counted={T: counted})


def test_counters_are_scaled_to_the_time_of_the_workload() -> None:
    writes = with_writes(known(Counted(1000, 500, 400, 100, OLD)), [], seconds=OLD / 10).tables[T].writes
    assert (writes.inserted, writes.updated, writes.hot, writes.deleted) == (100, 50, 40, 10)
    assert writes.seconds == OLD / 10


def test_young_counters_have_seen_the_table_being_loaded() -> None:
    young = Counted(1_000_000, 0, 0, 0, COUNTED_LEAST_SECONDS - 1)
    assert with_writes(known(young), [(INSERT, 7.0)], seconds=3600).tables[T].writes.inserted == 7


@pytest.mark.parametrize("seconds", [None, OLD])
def test_statements_count_for_no_less_than_they_write(seconds: float | None) -> None:
    counted = Counted(10, 0, 0, 0, OLD)
    writes = with_writes(known(counted), [(INSERT, 70.0), (DELETE, 5.0)], seconds=seconds).tables[T].writes
    assert (writes.inserted, writes.deleted) == (70, 5)


def test_without_a_time_nothing_is_held_against_reads_but_the_statements() -> None:
    writes = with_writes(known(Counted(1_000_000, 10, 10, 10, OLD)), [], seconds=None).tables[T].writes
    assert (writes.inserted, writes.updated, writes.deleted) == (0, 0, 0)


def test_columns_add_up_to_what_was_updated() -> None:
    told = [(SET_A, 30.0), (SET_AB, 10.0)]
    writes = with_writes(known(Counted(0, 800, 600, 0, OLD)), told, seconds=OLD).tables[T].writes
    assert writes.columns == {"a": 800, "b": 200}
    assert (writes.updated, writes.hot) == (800, 600)


def test_without_counters_updates_are_hot_that_set_no_indexed_column() -> None:
    writes = with_writes(known(Counted()), [(SET_A, 30.0), (SET_AB, 10.0)], seconds=None).tables[T].writes
    assert (writes.updated, writes.hot) == (40, 30)


def test_what_is_written_to_a_leaf_is_written_to_the_table() -> None:
    of_leaf = replace(INSERT, relation=("public", "leaf"))
    assert with_writes(known(Counted()), [(of_leaf, 3.0)], seconds=None).tables[T].writes.inserted == 3
