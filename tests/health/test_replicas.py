"""An index that the primary never scans may be what a replica lives on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until

from tests.health.standby import caught_up, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.embedded import Binaries
    from tests.health.standby import Node

CONFIGURATION = """
targets:
  main: {{dsn: "{main}"}}
  reports: {{dsn: "{reports}", replicas_of: main}}
health:
  checks:
    unused-index: {{window: {window}, min_size: 8kB}}
"""
TABLE = """
CREATE TABLE posts (id int PRIMARY KEY, author int, title int);
CREATE INDEX by_author ON posts (author); CREATE INDEX by_title ON posts (title);
INSERT INTO posts SELECT n, n, n FROM generate_series(1, 5000) AS n; VACUUM ANALYZE posts
"""


@pytest.fixture(scope="module")
def servers(server_binaries: Binaries) -> Iterator[tuple[Node, Node]]:
    with pair(server_binaries) as (primary, standby):
        for statement in TABLE.split(";"):
            primary.database.sql(statement)
        caught_up(primary, standby)
        with standby.database.connect() as conn:
            conn.execute("SET enable_seqscan = off")
            conn.execute("SELECT id FROM posts WHERE author = 7")
        count = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'by_author'"
        wait_until(lambda: standby.database.sql(count)[0][0], "the scan to be counted")
        yield primary, standby


@pytest.fixture
def look(run_cli: Any, servers: tuple[Node, Node]) -> Any:
    main, reports = (node.database.conninfo for node in servers)

    def run(window: str = "1ms", reports: str = reports) -> Any:
        Path("dbopt.yaml").write_text(CONFIGURATION.format(main=main, reports=reports, window=window))
        done = run_cli("health", "-t", "main", "--only", "unused-index", "--no-store", "--format", "json")
        (check,) = done.json["checks"]
        return done.code, check

    return run


def test_what_a_replica_scans_is_in_use(look: Any) -> None:
    code, check = look()
    assert code == 1
    assert [finding["subject"] for finding in check["findings"]] == ["public.by_title"]
    assert check["findings"][0]["detail"].endswith("; no scan on reports either")


def test_a_replica_that_cannot_be_asked_may_scan_them_all(look: Any) -> None:
    code, check = look(reports="host=/nowhere dbname=postgres")
    assert (code, check["status"], check["findings"]) == (3, "unknown", [])
    assert check["reason"].startswith("whether the replica reports scans them is not known: could not connect")


def test_a_replica_that_has_just_begun_to_count_knows_nothing(look: Any, servers: tuple[Node, Node]) -> None:
    seconds = servers[0].database.sql(
        "SELECT floor(EXTRACT(epoch FROM clock_timestamp() - GREATEST(d.stats_reset,"
        " pg_stat_get_bgwriter_stat_reset_time())))::int FROM pg_stat_database AS d WHERE datname = 'postgres'"
    )[0][0]
    servers[1].database.sql("SELECT pg_stat_reset()")
    code, check = look(window=f"{seconds}s")
    assert (code, check["status"]) == (0, "unknown")
    assert check["reason"].startswith("the replica reports has counted scans for ")
