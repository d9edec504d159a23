"""What the server counts of its statements and blocks: averages over a window, evictions, the cache."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until
from psycopg.sql import Identifier
from server import Database

from dbopt import embedded
from dbopt.health.check import Status, above
from dbopt.health.checks import load
from dbopt.health.deltas import Counters, Sample
from dbopt.health.judge import judge
from dbopt.health.scene import Facts
from dbopt.postgres.counters import SERVER_COUNTERS
from dbopt.postgres.server import Server
from dbopt.postgres.statements import STATEMENT_TOTALS, STATEMENTS, Statement, StatementTotals
from dbopt.postgres.surroundings import Surroundings
from tests.health.looks import look_at, only, run_check, sample_of
from tests.health.rows import counters

if TYPE_CHECKING:
    from dbopt.embedded import Binaries
    from dbopt.health.check import Result

CHECKS = ("average-query-time", "slow-statements", "statement-statistics")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def counted(database: Database, server_binaries: Binaries) -> Database:
    """With the extension, which starts to count now, in a schema that has to be quoted."""
    if not server_binaries.has_library("pg_stat_statements"):
        pytest.skip("no pg_stat_statements on this server")
    database.sql('CREATE SCHEMA "Odd one"; CREATE EXTENSION pg_stat_statements SCHEMA "Odd one"')
    database.sql('SELECT "Odd one".pg_stat_statements_reset()')
    return database


@pytest.fixture
def bare(database: Database) -> str:
    name = f"{database.name}_bare"
    database.sql(f"CREATE ROLE {name} LOGIN")
    return name


def sample(database: Database, *check_ids: str) -> Sample:
    """What the store would keep of a run now."""
    return sample_of(look_at(database, checks=check_ids)[1], *check_ids)


def calls(database: Database, statement: str, times: int) -> None:
    with database.connect(autocommit=True) as conn:
        for _ in range(times):
            conn.execute(statement)  # type: ignore[call-overload]


def slow_ones(database: Database, number: int, times: int = 2) -> None:
    """Different statements, each of which takes a good 20 ms."""
    for columns in range(1, number + 1):
        calls(database, f"SELECT pg_sleep(0.02) {', 1' * columns}", times)


# What they say of a real server


@pytest.mark.parametrize("check_id", CHECKS)
def test_without_the_extension_they_are_skipped_and_say_what_to_type(
    check_id: str, database: Database, server_binaries: Binaries
) -> None:
    result = run_check(database, check_id)
    assert (result.status, result.blind) == (Status.SKIPPED, False)
    assert (result.hint or "").endswith("CREATE EXTENSION pg_stat_statements;")
    loaded = server_binaries.has_library("pg_stat_statements")
    assert ("shared_preload_libraries" in (result.hint or "")) is not loaded


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_closed_schema_is_named_with_its_grant(check_id: str, counted: Database, bare: str) -> None:
    result = run_check(counted, check_id, user=bare)
    assert (result.status, result.blind) == (Status.UNKNOWN, True)
    assert result.hint == f'GRANT USAGE ON SCHEMA "Odd one" TO "{bare}";'
    counted.sql(result.hint)
    assert run_check(counted, check_id, user=bare).hint != result.hint


def test_statements_that_are_slow_on_average(counted: Database) -> None:
    before = sample(counted, "average-query-time")
    calls(counted, "SELECT pg_sleep(0.005)", 25)
    found = only(run_check(counted, "average-query-time", before=before, thresholds=above_ms(4)))
    assert (found.subject, found.status) == (counted.name, Status.WARNING)
    assert 0.005 <= found.measure < 0.1
    assert "25 calls" in found.detail
    [*_, costliest] = counted.sql(found.remedy or "")[:1]
    assert costliest[1] == 25


def test_statements_that_are_quick_on_average(counted: Database) -> None:
    before = sample(counted, "average-query-time")
    calls(counted, "SELECT 1", 25)
    result = run_check(counted, "average-query-time", before=before)
    assert (result.status, result.findings) == (Status.OK, ())
    assert result.measured[0].measure < 0.1


def test_a_load_is_not_what_a_database_does_every_day(counted: Database) -> None:
    before = sample(counted, "average-query-time", "slow-statements")
    slow_ones(counted, 12, times=1)
    average = run_check(counted, "average-query-time", before=before, thresholds=above_ms(4))
    assert (average.status, average.blind) == (Status.UNKNOWN, False)
    assert "too few calls" in (average.reason or "")
    slow = run_check(counted, "slow-statements", before=before, limits={"mean_time": 0.02})
    assert slow.status is not Status.WARNING


def test_ten_slow_statements(counted: Database) -> None:
    slow_ones(counted, 9)
    before = sample(counted, "slow-statements")
    slow_ones(counted, 9)
    limits = {"mean_time": 0.02}
    assert run_check(counted, "slow-statements", before=before, limits=limits).status is Status.OK
    slow_ones(counted, 10)
    before_last = sample(counted, "slow-statements")
    slow_ones(counted, 10)
    found = only(run_check(counted, "slow-statements", before=before_last, limits=limits))
    assert (found.subject, found.measure) == (counted.name, 10)
    assert "over 2 calls" in found.detail
    texts = [row[-1] for row in counted.sql(found.remedy or "")]
    assert len(texts) == 10
    assert all("pg_sleep" in text for text in texts)
    assert run_check(counted, "slow-statements", before=before_last).status is Status.OK  # 20 ms are well below 500


def test_ids_of_others_are_hidden_from_a_bare_role(counted: Database, bare: str) -> None:
    counted.sql(f'GRANT USAGE ON SCHEMA "Odd one" TO "{bare}"')
    slow_ones(counted, 10)
    grant = f'GRANT pg_read_all_stats TO "{bare}";'
    slow = run_check(counted, "slow-statements", user=bare, limits={"mean_time": 0.02})
    assert (slow.status, slow.blind, slow.hint) == (Status.UNKNOWN, True, grant)
    texts = run_check(counted, "statement-statistics", user=bare)
    assert (texts.status, texts.blind, texts.hint) == (Status.UNKNOWN, False, grant)
    counted.sql(grant)
    assert run_check(counted, "slow-statements", user=bare, limits={"mean_time": 0.02}).hint != grant
    assert run_check(counted, "statement-statistics", user=bare).status is Status.OK


def test_the_average_of_all_is_known_to_a_bare_role(counted: Database, bare: str) -> None:
    counted.sql(f'GRANT USAGE ON SCHEMA "Odd one" TO "{bare}"')
    before = sample(counted, "average-query-time")
    calls(counted, "SELECT pg_sleep(0.005)", 25)
    result = run_check(counted, "average-query-time", user=bare, before=before, thresholds=above_ms(4))
    assert only(result).status is Status.WARNING


def test_switched_off(counted: Database) -> None:
    counted.sql(f"ALTER DATABASE {counted.name} SET pg_stat_statements.track = 'none'")
    for check_id in CHECKS:
        result = run_check(counted, check_id)
        assert (result.status, result.blind) == (Status.SKIPPED, False)
        assert "pg_stat_statements.track is none" in (result.reason or "")


def test_a_setting_of_the_library_is_not_the_library(server_binaries: Binaries) -> None:
    """As after an upgrade, where the file with the settings was kept and the libraries to load were not."""
    if not server_binaries.has_library("pg_stat_statements"):
        pytest.skip("no pg_stat_statements on this server")
    settings = {"shared_preload_libraries": "", "pg_stat_statements.max": "9000", "pg_stat_statements.track": "all"}
    with embedded.start(binaries=server_binaries, settings=settings) as server:
        database = Database(server.conninfo, "postgres")
        database.sql("CREATE EXTENSION pg_stat_statements")
        verdict, facts = look_at(database, checks=CHECKS)
    assert {result.status for result in verdict.results} == {Status.SKIPPED}
    assert all("shared_preload_libraries" in (result.hint or "") for result in verdict.results)
    assert facts.gaps == {}


def test_an_old_extension_is_named_with_its_update(database: Database, server_binaries: Binaries) -> None:
    if not server_binaries.has_library("pg_stat_statements"):
        pytest.skip("no pg_stat_statements on this server")
    database.sql("CREATE EXTENSION pg_stat_statements VERSION '1.7'")
    for check_id in CHECKS:
        result = run_check(database, check_id)
        assert (result.status, result.hint) == (Status.SKIPPED, "ALTER EXTENSION pg_stat_statements UPDATE;")
    database.sql("ALTER EXTENSION pg_stat_statements UPDATE TO '1.8'")
    assert run_check(database, "statement-statistics").status is not Status.SKIPPED


# Rows to verdicts


SERVER = Server(160004, "app", "16.4", "1", False, "Mon itor", True)
AROUND = Surroundings(
    now=NOW,
    is_superuser=False,
    reads_all_stats=True,
    reads_all_settings=True,
    reads_all_data=False,
    postmaster_started=NOW - 9 * HOUR,
    stats_since=NOW - 5 * HOUR,
    tracks_counts=True,
    statements_schema="public",
    statements_extversion="1.10",
    statements_loaded=True,
    reads_statements=True,
    pgstattuple_schema=None,
    pgstattuple_extversion=None,
)
TOTALS = StatementTotals(
    entries=4_990,
    entries_max=5_000,
    hidden=0,
    track="top",
    computes_ids=True,
    extversion="1.10",
    offered_version="1.11",
    deallocations=0,
    stats_reset=NOW - 2 * HOUR,
    calls=1_000,
    total_exec_time_ms=1_000.0,
)
SLOW = [Statement(n, 1, 2, 1_000.0, 600.0, NOW - HOUR) for n in range(1, 11)]


def replaced(row: Any, **fields: Any) -> Any:
    values = {name: getattr(row, name) for name in row.__slots__}
    return type(row)(**{**values, **fields})


def verdict(check_id: str, *, slow: list[Statement] | None = None, **fields: Any) -> Result:
    facts = Facts(SERVER, AROUND, {STATEMENT_TOTALS: [replaced(TOTALS, **fields)], STATEMENTS: slow or []})
    return judge(load(check_id), facts)


def above_ms(milliseconds: float) -> Any:
    return above(warning=milliseconds / 1000, critical=None, source="test")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"calls": 1_000, "total_exec_time_ms": 99_999.0}, Status.OK),
        ({"calls": 1_000, "total_exec_time_ms": 100_000.0}, Status.WARNING),
        ({"calls": 20, "total_exec_time_ms": 2_000.0}, Status.WARNING),
        ({"calls": 19, "total_exec_time_ms": 9e9}, Status.UNKNOWN),
        ({"calls": 0, "total_exec_time_ms": 0.0}, Status.UNKNOWN),
        ({"calls": 1_000, "total_exec_time_ms": 100_000.0, "deallocations": 1}, Status.WARNING),
        ({"total_exec_time_ms": 1e6, "stats_reset": NOW - 48 * HOUR}, Status.UNKNOWN),  # of no use for today
        ({"total_exec_time_ms": 1e6, "stats_reset": None}, Status.UNKNOWN),
        ({"computes_ids": False}, Status.SKIPPED),
    ],
)
def test_average(fields: dict[str, Any], expected: Status) -> None:
    result = verdict("average-query-time", **fields)
    assert result.status is expected
    assert not result.blind


@pytest.mark.parametrize(("deallocations", "expected"), [(4, Status.WARNING), (5, Status.UNKNOWN)])
def test_two_sums_are_not_compared_when_statements_were_thrown_out_between(
    deallocations: int, expected: Status
) -> None:
    then = {"calls": 900.0, "total_exec_time_ms": 10.0, "deallocations": 4.0}
    counters = (Counters("statements", TOTALS.stats_reset, then),)
    before = Sample(NOW - HOUR, SERVER.system_identifier, {"average-query-time": counters})
    row = replaced(TOTALS, total_exec_time_ms=10_010.0, deallocations=deallocations)
    facts = Facts(SERVER, AROUND, {STATEMENT_TOTALS: [row]})
    result = judge(load("average-query-time"), facts, before=before)
    assert (result.status, result.blind) == (expected, False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Status.OK),
        ({"deallocations": 59}, Status.OK),  # 2.95 times over
        ({"deallocations": 60}, Status.WARNING),
        ({"deallocations": 60, "stats_reset": NOW - 24 * HOUR}, Status.WARNING),
        ({"deallocations": 29, "entries_max": 100, "entries": 95}, Status.OK),  # ten at a time of so few
        ({"deallocations": 30, "entries_max": 100, "entries": 95}, Status.WARNING),
        ({"deallocations": 99_999, "stats_reset": NOW - 99 * HOUR}, Status.UNKNOWN),
        ({"deallocations": None, "entries": 900}, Status.OK),
        ({"deallocations": None}, Status.UNKNOWN),
        ({"track": "none"}, Status.SKIPPED),
    ],
)
def test_evictions(fields: dict[str, Any], expected: Status) -> None:
    result = verdict("statement-statistics", **fields)
    assert result.status is expected
    assert not result.blind


def test_evictions_have_their_remedy() -> None:
    found = only(verdict("statement-statistics", deallocations=61))
    assert "about 15250 thrown out within 2 h 00 min" in found.detail
    assert (found.remedy or "").startswith("ALTER SYSTEM SET pg_stat_statements.max = 10000;")


@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        ([], Status.OK),
        (SLOW[:9], Status.OK),
        (SLOW, Status.WARNING),
        ([replaced(row, total_exec_time_ms=999.0) for row in SLOW], Status.OK),
        ([replaced(row, calls=1) for row in SLOW], Status.OK),
        ([replaced(row, counted_since=None) for row in SLOW], Status.UNKNOWN),
        ([replaced(row, counted_since=NOW - 48 * HOUR) for row in SLOW], Status.UNKNOWN),
        ([replaced(SLOW[0], queryid=None, max_exec_time_ms=499.0)], Status.OK),
    ],
)
def test_slow(slow: list[Statement], expected: Status) -> None:
    assert verdict("slow-statements", slow=slow).status is expected


def test_hidden_ids_hide_slow_statements_and_not_those_that_are_seen() -> None:
    hidden = replaced(SLOW[0], queryid=None, entries=3)
    result = verdict("slow-statements", slow=[hidden])
    assert (result.status, result.blind) == (Status.UNKNOWN, True)
    assert result.hint == f"GRANT pg_read_all_stats TO {Identifier(SERVER.usename).as_string()};"
    both = verdict("slow-statements", slow=[hidden, *SLOW])
    assert both.status is Status.WARNING


# The cache


def blocks_verdict(hit: int, read: int, **fields: Any) -> Result:
    """`hit` and `read` are of tables and indexes of users; the catalogs have blocks of their own."""
    blocks = {"blks_hit": hit + 100_000, "blks_read": read + 7, "catalog_blks_hit": 100_000, "catalog_blks_read": 7}
    row = counters(**{"database_since": NOW - HOUR, "tup_returned": 1_000, **blocks, **fields})
    return judge(load("cache-hit-ratio"), Facts(SERVER, AROUND, {SERVER_COUNTERS: [row]}))


@pytest.mark.parametrize(
    ("hit", "read", "fields", "expected"),
    [
        (95_001, 4_999, {}, Status.OK),
        (95_000, 5_000, {}, Status.WARNING),
        (90_001, 9_999, {}, Status.WARNING),
        (90_000, 10_000, {}, Status.CRITICAL),
        (0, 50_000, {}, Status.CRITICAL),
        (0, 49_999, {}, Status.UNKNOWN),
        (0, 0, {}, Status.UNKNOWN),
        (0, 90_000, {"tup_inserted": 201}, Status.UNKNOWN),
        (0, 90_000, {"tup_inserted": 200}, Status.CRITICAL),
        (0, 90_000, {"database_since": NOW - 48 * HOUR}, Status.UNKNOWN),
        (0, 90_000, {"database_since": None}, Status.UNKNOWN),
    ],
)
def test_hits(hit: int, read: int, fields: dict[str, Any], expected: Status) -> None:
    result = blocks_verdict(hit, read, **fields)
    assert result.status is expected
    assert not result.blind


def blocks(database: Database) -> float:
    [counted] = sample(database, "cache-hit-ratio").counters["cache-hit-ratio"]
    return counted.values["blks_hit"] + counted.values["blks_read"]


def test_blocks_of_tables_are_counted_and_those_of_the_catalogs_are_not(database: Database) -> None:
    database.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 20000) AS i")
    wait_until(lambda: blocks(database) > 0, "counting of the load, up to 15 as blocks read")
    before = sample(database, "cache-hit-ratio")
    limits = {"min_blocks": 500, "load_ratio": 1e9}
    with database.connect(autocommit=True) as conn:
        for _ in range(2_000):
            conn.execute("SELECT count(*) FROM pg_class WHERE oid = 'pg_proc'::regclass")
    seen = functools.partial(run_check, database, "cache-hit-ratio", before=before, limits=limits)
    arrived = "SELECT pg_stat_get_blocks_fetched('pg_class'::regclass)"
    wait_until(lambda: database.sql(arrived)[0][0] > 2_000, "counting of the catalogs' blocks")
    # A look while they arrive may see them in the database's counters and not yet in those of the catalogs.
    wait_until(lambda: seen().status is Status.UNKNOWN, "a verdict without the catalogs' blocks")
    for _ in range(10):
        database.sql("SELECT count(*) FROM t")
    wait_until(lambda: seen().measured, "counting")
    assert seen().status is Status.OK
    assert 0.95 < seen().measured[0].measure <= 1


def test_the_window_is_that_since_the_last_reset(database: Database) -> None:
    database.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 20000) AS i")
    before = sample(database, "cache-hit-ratio")
    for _ in range(20):
        database.sql("SELECT count(*) FROM t")
    limits = {"min_blocks": 500, "load_ratio": 1e9}
    seen = functools.partial(run_check, database, "cache-hit-ratio", before=before, limits=limits)
    wait_until(lambda: seen().measured, "counting")
    database.sql("SELECT pg_stat_reset()")
    wait_until(lambda: not seen().measured, "the reset")  # which 13 and 14 do behind one's back
    assert (seen().status, seen().blind) == (Status.UNKNOWN, False)
    assert "within" in (seen().reason or "")
