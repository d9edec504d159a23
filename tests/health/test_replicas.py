"""An index that the primary never scans may be what a replica lives on."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until

from dbopt.health.check import Status
from dbopt.health.checks import load
from dbopt.health.replicas import asked
from dbopt.postgres.connect import connect_by
from tests.health.looks import run_check
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
    unused-index: {{window: 1ms, min_size: 8kB}}
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

    def run(reports: str = reports) -> Any:
        Path("dbopt.yaml").write_text(CONFIGURATION.format(main=main, reports=reports))
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


def test_a_replica_that_has_counted_for_too_short_a_time_knows_nothing(servers: tuple[Node, Node]) -> None:
    found = run_check(servers[0].database, "unused-index", limits={"window": 0.001, "min_size": 8192})
    assert found.status is Status.WARNING
    connect = functools.partial(connect_by, servers[1].database.conninfo, command="health")
    own_window = replace(found, check=load("unused-index"))  # a week
    (result,) = asked([own_window], {"reports": connect})
    assert (result.status, result.blind, result.findings) == (Status.UNKNOWN, False, ())
    assert (result.reason or "").startswith("the replica reports has counted scans for ")
