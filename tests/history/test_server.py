"""Readings of a real server, as `dbopt history` shows them."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until

from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot.collect import collect
from dbopt.snapshot.model import Family
from dbopt.store import snapshots
from dbopt.store.targets import Whose

from .past import opened

if TYPE_CHECKING:
    from server import Database


def read(database: Database):
    """All families, and whose they are."""
    options = {"read_only": True, "statement_timeout_ms": 30_000, "lock_timeout_ms": 1000}
    with contextlib.closing(connect(database.conninfo, command="history", **options)) as conn:
        server = inspect(conn)
        taken = collect(conn, server, SURROUNDINGS.rows(conn, server.version)[0])
    return taken.snapshot.parts, Whose.of_server(server, "main")


def inserted(database: Database) -> float:
    parts, _ = read(database)
    part = parts[Family.TABLES]
    at = part.counts.index("n_tup_ins")
    return sum(subject.counts[at] or 0 for subject in part.subjects.values())


def keep(database: Database, url: str) -> None:
    parts, whose = read(database)
    with opened(url) as session:
        snapshots.keep(session, whose, "main", parts.values(), least_apart=timedelta(0))


@pytest.fixture
def watched(database, url):
    """A table that was filled, scanned, reset and filled further, a reading after each."""
    database.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    keep(database, url)
    database.sql("INSERT INTO orders SELECT g, repeat('x', 100) FROM generate_series(1, 5000) AS g")
    wait_until(lambda: inserted(database) == 5000, "the count of 5,000 rows")
    keep(database, url)
    database.sql("SELECT pg_stat_reset()")
    wait_until(lambda: inserted(database) == 0, "the reset")
    keep(database, url)
    database.sql("INSERT INTO orders SELECT g, repeat('x', 100) FROM generate_series(5001, 6000) AS g")
    wait_until(lambda: inserted(database) == 1000, "the count of 1,000 rows")
    keep(database, url)
    return database


def test_a_table_of_a_real_server(watched, run_cli):
    [(size, of_indexes)] = watched.sql("SELECT pg_table_size('orders'), pg_indexes_size('orders')")
    found = {item["series"]: item for item in run_cli("history", "table", "orders", "--format", "json").json["series"]}
    assert found["table_bytes"]["points"][-1]["value"] == size
    assert found["index_bytes"]["points"][-1]["value"] == of_indexes
    assert found["seq_scans_per_second"]["whole"] is not None


def test_rows_written_over_a_reset(watched, run_cli, drawn):
    [series] = run_cli("history", "metric", "rows_inserted_per_second", "--format", "json").json["series"]
    rows = sum(point["value"] * point["seconds"] for point in series["points"] if point["value"] is not None)
    assert rows >= 0  # what was lost in the reset nobody knows; nothing is negative
    assert series["whole"] > 0
    assert any("started anew" in words for point in series["points"] for words in point["breaks"])
    assert "the counters were started anew: " in drawn("metric", "rows_inserted_per_second", columns=60)


def test_every_figure_has_its_points(watched, run_cli):
    """Whatever the catalogue has can be asked for, and what was never read says so."""
    from dbopt.metrics.catalogue import METRICS

    result = run_cli("history", "metric", *METRICS, "--format", "json")
    assert result.code == 0
    known = {item["series"] for item in result.json["series"]}
    lacking = {name for name in METRICS if f"{name} of main" in result.err}
    assert known | lacking == set(METRICS)
    assert {"transactions_per_second", "connections", "rows_written_per_second"} <= known
