"""The indexes of a run's database as they are, and whether they hold every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

from tests.chaos.world import SHAPES

_PROBES = {shape.name: shape.probe for shape in SHAPES if shape.probe}


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    table: str
    method: str
    relkind: str
    usable: bool
    definition: str


def indexes(conninfo: str) -> dict[str, Index]:
    """By name, those of partitions and of partitioned tables too."""
    with psycopg.connect(conninfo, autocommit=True) as conn, conn.cursor(row_factory=class_row(Index)) as cursor:
        cursor.execute(
            "SELECT c.relname AS name, i.indrelid::regclass::text AS table, a.amname AS method, c.relkind::text,"
            " i.indisvalid AND i.indisready AND i.indislive AS usable, pg_get_indexdef(c.oid) AS definition"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam"
            " WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        return {row.name: row for row in cursor}


def what_misses_rows(conninfo: str) -> list[str]:
    """amcheck looks each row up in a btree; of other methods, what an index finds is counted."""
    found = []
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for name, index in indexes(conninfo).items():
            if not index.usable or index.relkind != "i":
                continue
            if index.method == "btree":
                try:
                    conn.execute("SELECT bt_index_check(%s::regclass, true)", [name])
                except psycopg.errors.IndexCorrupted as exc:
                    found.append(f"{name} is corrupt: {exc}")
            elif (probe := _PROBES.get(name.rpartition("_")[2])) is not None:
                counted = [_count(conn, index.table, probe, only) for only in (None, name)]
                if counted[0] != counted[1]:
                    found.append(f"{name} finds {counted[1]} of {counted[0]} rows")
    return found


def _count(conn: psycopg.Connection[Any], table: str, probe: str, only: str | None) -> int:
    """Rows that a scan of the table finds, or one by just this index."""
    with conn.transaction(force_rollback=True):
        conn.execute(f"SET LOCAL enable_seqscan = {'on' if only is None else 'off'}")
        conn.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indrelid = %s::regclass AND indexrelid IS DISTINCT FROM"
            " %s::regclass",
            [table, only],
        )
        [(count,)] = conn.execute(f"SELECT count(*) FROM {table} WHERE {probe}").fetchall()
    return int(count)
