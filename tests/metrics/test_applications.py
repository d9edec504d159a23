"""Applications one by one, from what their processes have really published."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbopt.metrics.applications import breakdowns
from dbopt.metrics.catalogue import METRICS
from dbopt.metrics.window import Window
from dbopt.postgres.server import FACTS
from dbopt.snapshot.delta import added, between
from dbopt.snapshot.durations import NAMES
from dbopt.store import plain
from dbopt.store.clients import ENDED, SILENT_AFTER, Published, publish
from dbopt.store.location import locate
from dbopt.store.targets import Whose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cli_runner import Result
    from server import Database

    from dbopt.snapshot.model import Interval, Part

    RunCli = Callable[..., Result]

STORE = "sqlite:///store.db"
START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POOL = {"pool_size": 30.0, "pool_open": 9.0, "pool_used": 4.0, "pool_waiting": 1.0, "pool_longest_held_seconds": 2.5}
CACHE = {"cache_entries": 40.0, "cache_bytes": 8192.0}
COUNTS = {
    "queries": 600.0,
    "query_seconds": 3.0,
    "slow_queries": 2.0,
    "errors": 6.0,
    "cache_hits": 75.0,
    "cache_misses": 25.0,
    "cache_stale": 5.0,
    "cache_evictions": 3.0,
    "pool_acquires": 100.0,
    "pool_wait_seconds": 0.5,
    "pool_timeouts": 7.0,
}


def said(
    at: datetime,
    counts: Mapping[str, float],
    levels: Mapping[str, float],
    instance: str = "a",
    application: str = "shop",
    since: datetime = START,
) -> Published:
    return Published(
        application=application, instance=instance, started_at=since, taken_at=at, counts=counts, levels=levels
    )


def process(
    counts: Mapping[str, float],
    levels: Mapping[str, float] | None = None,
    *,
    minutes: tuple[float, float] = (0, 1),
    **whose: str,
) -> tuple[Interval, Part]:
    """What it did between two readings, and the second one."""
    first, last = (START + timedelta(minutes=at) for at in minutes)
    now = said(last, counts, levels or {}, **whose).part()
    return between(said(first, dict.fromkeys(counts, 0.0), {}, **whose).part(), now), now


def shown(*found: tuple[Interval, Part], running: bool = True) -> dict[str, dict[str, dict[str, Any]]]:
    window = Window(intervals={interval.family: interval for interval, _ in found})
    lately = {part.family: part for _, part in found} if running else {}
    return {
        one.name: {
            row.subject: dict(zip((measure.name for measure in one.measures), row.values, strict=True))
            for row in one.rows
        }
        for one in breakdowns(window, lately)
    }


def test_each_application_with_all_its_processes() -> None:
    found = shown(
        process(COUNTS, POOL | CACHE),
        process(COUNTS, POOL | CACHE, instance="b"),
        process({"queries": 60.0}, application="reports"),
    )
    assert found["applications"]["shop"] == {
        "queries_per_second": 20,
        "query_ms": 5,
        "query_p95_ms": None,
        "slow_queries": 4,
        "errors": 12,
        "processes": 2,
    }
    assert found["application_pools"] == {
        "shop": {"used": 8, "size": 60, "open": 18, "waiting": 2, "wait_ms": 5, "timeouts": 14}
    }
    assert found["application_caches"] == {"shop": {"hit_ratio": 0.75, "entries": 80, "bytes": 16384, "evictions": 6}}
    assert list(found["applications"]) == ["shop", "reports"]  # who does the most, first
    assert (found["applications"]["reports"]["query_ms"], found["applications"]["reports"]["errors"]) == (None, None)


def test_what_has_ended_has_no_pool_any_more() -> None:
    found = shown(process(COUNTS, POOL | CACHE), running=False)
    assert found["applications"]["shop"]["processes"] == 0
    assert found["applications"]["shop"]["errors"] == 6
    assert (found["application_pools"]["shop"]["used"], found["application_pools"]["shop"]["timeouts"]) == (None, 7)
    assert found["application_caches"]["shop"]["entries"] is None


def test_nobody_published_is_no_breakdown() -> None:
    assert shown() == {}


def value(name: str, *processes: Interval) -> float | None:
    return METRICS[name].value(Window(intervals={interval.family: interval for interval in processes}))


def test_figures_of_pools_and_caches() -> None:
    both = [process(COUNTS, POOL | CACHE)[0], process(COUNTS, POOL | CACHE, instance="b")[0]]
    assert value("pool_connections_open", *both) == 18
    assert value("pool_connections", *both) == 8
    assert value("pool_longest_held_seconds", *both) == 2.5
    assert value("client_cache_entries", *both) == 80
    assert value("client_cache_bytes", *both) == 16384
    assert value("client_cache_evictions", *both) == 6
    assert value("client_cache_stale", *both) == 10


def test_one_process_after_the_other_is_one_pool() -> None:
    """As with deployments: three processes of which one runs at a time have never lent out three times as much."""
    three = [process({"queries": 1.0}, POOL, minutes=(at, at + 1), instance=f"i{at}")[0] for at in range(3)]
    assert value("pool_connections", *three) == 4
    assert value("pool_connections_open", *three) == 9
    ended = added(added(three[0], three[1]), three[2])
    assert value("pool_connections", replace(ended, family=f"clients/shop/{ENDED}")) == 4


def test_quantiles_are_those_of_all_processes() -> None:
    fast = dict.fromkeys(NAMES, 0.0) | {"queries_to_1_ms": 900.0}
    slow = dict.fromkeys(NAMES, 0.0) | {"queries_to_1024_ms": 100.0}
    both = process(fast)[0], process(slow, instance="b")[0]
    p50, p95, p99 = (value(f"client_query_p{percent}_ms", *both) for percent in (50, 95, 99))
    assert p50 is not None
    assert p95 is not None
    assert p99 is not None
    assert 0.5 < p50 <= 1
    assert 512 < p95 <= 1024
    assert p95 < p99 <= 1024


# The command


@pytest.fixture
def told(database: Database) -> Database:
    """A database that two processes of an application have told about, half a minute long, and one that is silent."""
    with database.connect(autocommit=True) as conn:
        [server] = FACTS.rows(conn, database.server_version)
    whose = Whose.of_server(server, database.name)
    location = locate(STORE)
    plain.make_ready(location)
    now = datetime.now(UTC)
    for instance, until in (("a", now), ("b", now), ("gone", now - SILENT_AFTER - timedelta(seconds=20))):
        for number in range(4):
            at = until - timedelta(seconds=10) * (3 - number)
            counts = {name: count * number for name, count in COUNTS.items()}
            with plain.transaction(location, reading=False, wait_seconds=1) as session:
                publish(
                    session, whose, "main", said(at, counts, POOL | CACHE, instance, since=now - timedelta(hours=2))
                )
    return database


def metrics(run_cli: RunCli, database: Database, *options: str) -> Result:
    ran = run_cli(
        *("metrics", "-d", database.conninfo, "--interval", "100ms", "--group", "clients", *options),
        env={"DBOPT_STORE_URL": STORE},
    )
    assert ran.code == 0, ran.err
    return ran


def test_running_applications_in_every_format(told: Database, run_cli: RunCli) -> None:
    document = metrics(run_cli, told, "--format", "json").json
    [row] = document["breakdowns"]["application_pools"]
    assert (row["application"], row["used"], row["size"], row["waiting"]) == ("shop", 8, 60, 2)
    [row] = document["breakdowns"]["application_caches"]
    assert (row["hit_ratio"], row["entries"], row["bytes"]) == (0.75, 80, 16384)
    [row] = document["breakdowns"]["applications"]
    assert (row["processes"], row["query_ms"]) == (2, 5)
    for form in ("lines", "csv"):
        out = metrics(run_cli, told, "--format", form).out
        records = list(csv.reader(io.StringIO(out), delimiter="\t" if form == "lines" else ","))
        known = {(record[1], record[2]): record[3] for record in records}
        assert float(known["application_pools.used", "shop"]) == 8
        assert float(known["application_caches.hit_ratio", "shop"]) == 0.75
        assert float(known["applications.processes", "shop"]) == 2
    families = {
        one.name: one for one in text_string_to_metric_families(metrics(run_cli, told, "--format", "prometheus").out)
    }
    for name, expected in (
        ("dbopt_application_pool_used", 8),
        ("dbopt_application_pool_size", 60),
        ("dbopt_application_pool_wait_seconds", 0.005),
        ("dbopt_application_cache_hit_ratio", 0.75),
        ("dbopt_application_query_seconds", 0.005),
        ("dbopt_application_processes", 2),
    ):
        [sample] = families[name].samples
        assert (sample.labels["application"], sample.value) == ("shop", pytest.approx(expected))
    table = metrics(run_cli, told, "--format", "table").out
    for words in ("Applications", "Pools of applications", "Caches of applications", "shop", "75"):
        assert words in table


def test_without_a_store_there_are_none(told: Database, run_cli: RunCli) -> None:
    document = metrics(run_cli, told, "--no-store", "--format", "json").json
    assert document["breakdowns"] == {}
    assert {figure["value"] for figure in document["metrics"]} == {None}
