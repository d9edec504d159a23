"""Applications that publish themselves to the store: judged while they run, and only by what they have told."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.health.applications import Process
from dbopt.health.check import Result, Status
from dbopt.health.checks import load
from dbopt.health.judge import judge
from dbopt.postgres.server import FACTS
from dbopt.snapshot.delta import between, total
from dbopt.store import plain
from dbopt.store.clients import SILENT_AFTER, Published, publish
from dbopt.store.location import locate
from dbopt.store.targets import Whose
from tests.health.looks import tuned
from tests.health.rows import NOW, facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cli_runner import Result as Ran
    from server import Database

STORE = "sqlite:///store.db"
CHECKS = ("client-pool-exhausted", "client-cache-hit-ratio", "client-errors")
STEP = timedelta(seconds=10)
LOOKS = 12  # readings: two minutes
FULL = {"pool_used": 29.0, "pool_size": 30.0}


def readings(
    counts: Mapping[str, float],
    levels: Mapping[str, float],
    *,
    application: str = "shop",
    instance: str = "web-1:17",
    until: datetime = NOW,
    looks: int = LOOKS,
    age: timedelta = timedelta(hours=1),
) -> list[Published]:
    """What a process publishes that has counted so much in the end, at an even pace, and always stood so."""
    first = until - STEP * looks
    return [
        Published(
            application=application,
            instance=instance,
            started_at=until - age,
            taken_at=first + STEP * number,
            counts={name: value * number / looks for name, value in counts.items()},
            levels=levels,
        )
        for number in range(looks + 1)
    ]


def process(counts: Mapping[str, float], levels: Mapping[str, float] | None = None, **how: Any) -> Process:
    said = readings(counts, levels or {}, **how)
    parts = [one.part() for one in said]
    return Process(
        application=said[0].application,
        instance=said[0].instance,
        started_at=said[0].started_at,
        now=parts[-1],
        lately=total(between(*pair) for pair in itertools.pairwise(parts)),
    )


def judged(check_id: str, *processes: Process, **limits: float) -> Result:
    known = replace(facts({FACTS: []}), applications=processes)
    return judge(tuned(check_id, limits=limits), known)


def verdict(result: Result) -> dict[str, Status]:
    return {found.subject: found.status for found in (*result.findings, *result.measured)}


# Pools


@pytest.mark.parametrize(
    ("used", "status"),
    [(0, Status.OK), (23, Status.OK), (24, Status.WARNING), (26.9, Status.WARNING), (27, Status.CRITICAL)],
)
def test_how_full_a_pool_is(used: float, status: Status) -> None:
    result = judged("client-pool-exhausted", process({}, {"pool_used": used, "pool_size": 30}))
    assert verdict(result) == {"shop": status}
    assert result.status is status


def test_the_fullest_pool_of_an_application_counts() -> None:
    empty = process({}, {"pool_used": 1, "pool_size": 30}, instance="web-2:9")
    other = process({}, {"pool_used": 1, "pool_size": 5}, application="reports")
    result = judged("client-pool-exhausted", empty, process({}, FULL), other)
    assert verdict(result) == {"shop": Status.CRITICAL, "reports": Status.OK}
    [found] = result.findings
    assert found.measure == pytest.approx(29 / 30)
    assert "29.0 of 30 connections" in found.detail
    assert "web-1:17, the fullest of 2 processes" in found.detail
    assert found.remedy is not None
    assert "application_name = 'shop'" in found.remedy


@pytest.mark.parametrize(
    ("timeouts", "acquires", "status"),
    [(0, 1000, Status.OK), (1, 1000, Status.WARNING), (10, 990, Status.CRITICAL), (1, 0, Status.CRITICAL)],
)
def test_callers_that_waited_in_vain(timeouts: float, acquires: float, status: Status) -> None:
    counts = {"pool_acquires": acquires, "pool_timeouts": timeouts}
    result = judged("client-pool-exhausted", process(counts, {"pool_used": 2, "pool_size": 30}))
    assert verdict(result) == {"shop": status}
    if timeouts:
        assert f"{timeouts:g} caller" in result.findings[0].detail


def test_a_moment_is_no_problem_yet() -> None:
    result = judged("client-pool-exhausted", process({}, FULL, looks=3))
    assert (result.status, result.findings, result.blind) == (Status.UNKNOWN, (), False)
    assert "too few readings for a mean: 3 within 5 minutes" in (result.reason or "")
    waited = process({"pool_acquires": 5, "pool_timeouts": 1}, FULL, looks=3)
    assert judged("client-pool-exhausted", waited).status is Status.CRITICAL


def test_only_other_figures_are_no_data() -> None:
    for check_id in CHECKS:
        result = judged(check_id, process({"slow_queries": 3}, {"pool_waiting": 1}))
        assert (result.status, result.findings, result.blind) == (Status.UNKNOWN, (), False)
        assert "no application has told" in (result.reason or "")


# Caches and errors


@pytest.mark.parametrize(
    ("hits", "status"),
    [
        (10_000, Status.OK),
        (8_001, Status.OK),
        (8_000, Status.WARNING),
        (6_001, Status.WARNING),
        (5_999, Status.CRITICAL),
    ],
)
def test_how_often_a_cache_answers(hits: float, status: Status) -> None:
    result = judged("client-cache-hit-ratio", process({"cache_hits": hits, "cache_misses": 10_000 - hits}))
    assert verdict(result) == {"shop": status}


def test_a_cache_is_judged_over_all_processes_that_are_warm() -> None:
    good = process({"cache_hits": 5_000, "cache_misses": 0}, instance="a")
    bad = process({"cache_hits": 0, "cache_misses": 5_000, "cache_evictions": 7}, instance="b")
    [found] = judged("client-cache-hit-ratio", good, bad).findings
    assert found.measure == 0.5
    assert "50.0% of 10000 answers came from it within 5 minutes in 2 processes; 7 entries were dropped" in found.detail
    cold = process({"cache_hits": 0, "cache_misses": 5_000}, instance="b", age=timedelta(minutes=9))
    assert judged("client-cache-hit-ratio", good, cold).findings == ()
    alone = judged("client-cache-hit-ratio", cold)
    assert (alone.status, alone.findings) == (Status.UNKNOWN, ())
    assert "its caches are being filled: it has run for less than 10 min" in (alone.reason or "")


@pytest.mark.parametrize("limit", [1_000, 0])
def test_few_lookups_say_nothing(limit: float) -> None:
    few = process({"cache_hits": 0, "cache_misses": 999 if limit else 0})
    result = judged("client-cache-hit-ratio", few, min_lookups=limit)
    assert (result.status, result.findings, result.blind) == (Status.UNKNOWN, (), False)
    assert "too few questions for a ratio" in (result.reason or "")


@pytest.mark.parametrize(("errors", "status"), [(0, Status.OK), (9, Status.OK), (10, Status.WARNING)])
def test_statements_that_fail(errors: float, status: Status) -> None:
    result = judged("client-errors", process({"queries": 10_000, "errors": errors}))
    assert verdict(result) == {"shop": status}


def test_few_statements_say_nothing() -> None:
    result = judged("client-errors", process({"queries": 999, "errors": 999}))
    assert (result.status, result.findings) == (Status.UNKNOWN, ())


# The command


@pytest.fixture
def whose(database: Database) -> Whose:
    with database.connect(autocommit=True) as conn:
        [server] = FACTS.rows(conn, database.server_version)
    return Whose.of_server(server, database.name)


def tell(whose: Whose, said: Sequence[Published], *, has_ended: bool = False) -> None:
    location = locate(STORE)
    plain.make_ready(location)
    for number, one in enumerate(said, 1):
        with plain.transaction(location, reading=False, wait_seconds=1) as session:
            publish(session, whose, "main", one, last=has_ended and number == len(said))


def health(run_cli: Callable[..., Ran], database: Database, *options: str) -> tuple[int, dict[str, Any]]:
    chosen = [word for check_id in CHECKS for word in ("--only", check_id)]
    ran = run_cli(
        *("health", "-d", database.conninfo, *chosen, *options, "--format", "json"), env={"DBOPT_STORE_URL": STORE}
    )
    return ran.code, {check["id"]: check for check in ran.json["checks"]}


BAD = {
    "queries": 5_000,
    "errors": 50,
    "cache_hits": 100,
    "cache_misses": 4_900,
    "pool_acquires": 99,
    "pool_timeouts": 0,
}


def test_running_applications_are_judged(database: Database, whose: Whose, run_cli: Callable[..., Ran]) -> None:
    tell(whose, readings(BAD, FULL, until=datetime.now(UTC)))
    code, checks = health(run_cli, database)
    assert code == 2
    assert {
        name: (check["status"], [one["subject"] for one in check["findings"]]) for name, check in checks.items()
    } == {
        "client-pool-exhausted": ("critical", ["shop"]),
        "client-cache-hit-ratio": ("critical", ["shop"]),
        "client-errors": ("warning", ["shop"]),
    }
    assert "5000 statements within 5 minutes in 1 process" in checks["client-errors"]["findings"][0]["detail"]


def test_who_is_silent_is_not_judged(database: Database, whose: Whose, run_cli: Callable[..., Ran]) -> None:
    tell(whose, readings(BAD, FULL, until=datetime.now(UTC) - SILENT_AFTER - STEP))
    other = Whose(whose.server, "another database", whose.system_identifier)
    tell(other, readings(BAD, FULL, until=datetime.now(UTC)))
    code, checks = health(run_cli, database)
    assert code == 0
    for check in checks.values():
        assert (check["status"], check["findings"]) == ("skipped", [])
        assert "no running application publishes" in check["reason"]


def test_without_a_store_nothing_is_said(database: Database, whose: Whose, run_cli: Callable[..., Ran]) -> None:
    tell(whose, readings(BAD, FULL, until=datetime.now(UTC)))
    code, checks = health(run_cli, database, "--no-store")
    assert code == 0
    for check in checks.values():
        assert check["status"] == "skipped"
        assert "the store was not looked at" in check["reason"]
        assert "DBOPT_STORE_URL" in check["hint"]


def test_each_names_its_limits_by_the_guide() -> None:
    pool, cache = (load(check_id).thresholds for check_id in CHECKS[:2])
    assert (pool.warning, pool.critical, pool.below) == (0.8, 0.9, False)
    assert (cache.warning, cache.critical, cache.below) == (0.8, 0.6, True)
