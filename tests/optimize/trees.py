"""Partition trees, and what tests ask about their indexes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server import Database

    from dbopt.optimize.steps import Plan

ENTRY = 'name: ev_by_id, table: ev, keys: [id, at], partitions: {name: "{leaf}_by_id"}'
# Partitions that are partitioned themselves, one of them empty, and a default one.
THREE_LEVELS = """
    CREATE TABLE ev (id int, at int, region text, note text) PARTITION BY RANGE (at);
    CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
    CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20) PARTITION BY LIST (region);
    CREATE TABLE ev_2_eu PARTITION OF ev_2 FOR VALUES IN ('eu') PARTITION BY HASH (note);
    CREATE TABLE "Ev 2 eu 0" PARTITION OF ev_2_eu FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE "Ev 2 eu 1" PARTITION OF ev_2_eu FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE ev_2_rest PARTITION OF ev_2 DEFAULT;
    CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM (20) TO (30) PARTITION BY RANGE (at);
    CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
    INSERT INTO ev SELECT g, g % 20, CASE g % 3 WHEN 0 THEN 'eu' ELSE 'us' END, 'Note ' || g
      FROM generate_series(1, 300) g;
"""


def leaves(database: Database, table: str) -> list[str]:
    rows = database.sql(
        "SELECT c.relname FROM pg_partition_tree(%s) t JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf"
        " AND c.relkind <> 'p' ORDER BY 1",
        [table],
    )
    return [name for (name,) in rows]


def parts(database: Database, index: str, kind: str = "iI") -> list[str]:
    """The indexes attached below, at any depth."""
    rows = database.sql(
        "SELECT c.relname FROM pg_partition_tree(%s) t JOIN pg_class c ON c.oid = t.relid"
        ' WHERE t.level > 0 AND strpos(%s, c.relkind::text) > 0 ORDER BY c.relname COLLATE "C"',
        [index, kind],
    )
    return [name for (name,) in rows]


def oids(database: Database) -> dict[str, int]:
    """Every usable leaf index with its oid: an oid that stays was not built again."""
    return dict(
        database.sql(
            "SELECT c.relname, c.oid::int8 FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
            " WHERE c.relkind = 'i' AND i.indisvalid AND c.relnamespace = 'public'::regnamespace"
        )
    )


def assert_whole(database: Database, index: str) -> None:
    """The index is valid, and every table of the tree has a valid part of it in the right place."""
    [(table,)] = database.sql("SELECT indrelid::regclass::text FROM pg_index WHERE indexrelid = %s::regclass", [index])
    tables = database.sql("SELECT relid, parentrelid FROM pg_partition_tree(%s) ORDER BY 1", [table])
    on = database.sql(
        """
        SELECT i.indrelid::regclass, above.indrelid::regclass
          FROM pg_partition_tree(%s) t JOIN pg_index i ON i.indexrelid = t.relid AND i.indisvalid AND i.indisready
          LEFT JOIN pg_index above ON above.indexrelid = t.parentrelid ORDER BY 1
        """,
        [index],
    )
    assert on == tables


def cut(plan: Plan, steps: int) -> Plan:
    """The plan's first steps: what a run has done that was killed there."""
    return replace(plan, steps=plan.steps[:steps])
