"""Partition trees, and what tests ask about their indexes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from helpers import invalid_indexes

if TYPE_CHECKING:
    from server import Database

    from dbopt.optimize.steps import Plan
    from tests.optimize.runs import Project

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
TWO_LEAVES = """
    CREATE TABLE ev (id int, at int, note text) PARTITION BY RANGE (at);
    CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
    CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20);
    INSERT INTO ev SELECT g, g % 20, 'Note ' || g FROM generate_series(1, 40) g;
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


def names(database: Database) -> set[str]:
    """Every index of the schema."""
    rows = database.sql(
        "SELECT relname FROM pg_class WHERE relkind IN ('i', 'I') AND relnamespace = 'public'::regnamespace"
    )
    return {name for (name,) in rows}


def refusal(project: Project) -> tuple[str, str]:
    """Message and hint of the one refusal; nothing is planned besides."""
    plan = project.plan()
    assert [step.statements for step in plan.steps] == []
    [found] = [finding for finding in plan.findings if finding.severity == "error"]
    assert len(plan.refused) == 1
    return found.message, found.hint or ""


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


def keys(database: Database, index: str) -> str:
    [(text,)] = database.sql("SELECT pg_get_indexdef(%s::regclass)", [index])
    return text.partition("(")[2].rstrip(")")


def leaves_of(database: Database, wanted: str, *, valid: bool = True) -> set[int]:
    """The leaf indexes with these keys, the usable ones or all."""
    rows = database.sql(
        "SELECT c.oid::int8, pg_get_indexdef(c.oid) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
        " WHERE c.relkind = 'i' AND i.indisvalid >= %s AND c.relnamespace = 'public'::regnamespace",
        [valid],
    )
    return {oid for oid, text in rows if text.partition("(")[2].rstrip(")") == wanted}


def leave_invalid(database: Database, name: str, table: str) -> None:
    """What a unique build over duplicates leaves."""
    database.sql(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")
    with pytest.raises(Exception, match="duplicate"):
        database.sql(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} (id, at)")
    assert name in invalid_indexes(database)


def cut(plan: Plan, steps: int) -> Plan:
    """The plan's first steps: what a run has done that was killed there."""
    return replace(plan, steps=plan.steps[:steps])
