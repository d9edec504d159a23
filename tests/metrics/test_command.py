"""`dbopt metrics` on real servers: figures held against what was really done, and what it costs."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pooler
import psycopg
import pytest
from helpers import wait_until
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo

from dbopt.metrics.catalogue import METRICS
from dbopt.metrics.pool import POOLER
from dbopt.store import marks, plain, snapshots
from dbopt.store.aside import Aside
from dbopt.store.packing import pack_part
from tests.health.standby import caught_up, pair
from tests.health.wire import Wire

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database, Server

    from dbopt.embedded import Binaries

    RunCli = Callable[..., Result]

PER_READING = 5  # statements, as the issue has it
FIRST = b"/* dbopt: what the server counts"  # of a reading; before it, a session asks where it is
STORE = "sqlite:///store.db"
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
def work(database: Database, server_binaries: Binaries) -> Database:
    """A database with pg_stat_statements and a table."""
    if not server_binaries.has_library("pg_stat_statements"):
        pytest.skip("without pg_stat_statements")
    database.sql("CREATE EXTENSION pg_stat_statements")
    database.sql("CREATE TABLE t AS SELECT g AS id, repeat('x', 100) AS v FROM generate_series(1, 5000) AS g")
    database.sql("CREATE INDEX ON t (id); ANALYZE t")
    settled(database, COMMITS, 3)  # before 15, a database counts from when its first statistics arrive
    return database


@pytest.fixture
def bare(work: Database) -> Iterator[str]:
    name = f"bare_{work.name}"
    work.sql(f"CREATE ROLE {name} LOGIN")
    yield name
    work.sql(f"DROP OWNED BY {name}; DROP ROLE {name}")


def settled(database: Database, query: str, least: int) -> None:
    """Statistics come late: when the session that did it ends, at the latest."""
    wait_until(lambda: database.sql(query)[0][0] >= least, "the statistics")


def measured(run_cli: RunCli, database: Database, *options: str, code: int = 0) -> dict[str, Any]:
    result = run_cli("metrics", "-d", database.conninfo, *options, "--format", "json", env={"DBOPT_STORE_URL": STORE})
    assert result.code == code, result.err
    document: dict[str, Any] = result.json
    return document


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in document["metrics"]}


def test_what_was_done_between_two_calls(work: Database, run_cli: RunCli) -> None:
    """The first leaves a reading, the second counts from there."""
    measured(run_cli, work, "--interval", "100ms")
    [(before,)] = work.sql(COMMITS)
    with work.connect(autocommit=True, application_name="shop") as conn:
        for number in range(300):
            conn.execute("UPDATE t SET v = 'y' WHERE id = %s", [number])
        for _ in range(3):
            conn.execute("SELECT pg_sleep(0.05)")
        conn.execute("SELECT sum(id) FROM t")
    settled(work, COMMITS, before + 304)
    written = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 't'"
    settled(work, written, 299)
    document = measured(run_cli, work, "--since", "1h")
    window, found = document["window"], by_name(document)
    assert window["basis"] == "stored readings"
    seconds = window["seconds"]
    assert found["rows_updated_per_second"]["value"] * seconds == pytest.approx(299, abs=0.5)
    assert 304 <= found["transactions_per_second"]["value"] * seconds <= 304 + 60
    assert 304 <= found["statements_per_second"]["value"] * seconds <= 304 + 60
    assert found["cache_hit_ratio"]["value"] > 0.5
    assert found["dead_rows"]["value"] > 0
    assert found["connections"]["value"] >= 1
    assert found["deadlocks"]["value"] == 0
    assert found["xid_age"]["value"] > 0
    assert found["replicas"]["value"] == 0
    assert set(document["breakdowns"]) >= {"connections_by_state", "connections_by_user", "slow_statements"}


def test_latency_against_times_that_are_known(work: Database, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 calls 170 sleep 2 ms, 26 sleep 30 ms and 4 sleep 120 ms; how long they really took, their client tells."""
    monkeypatch.setenv("SLOW_QUERY_THRESHOLD", "100")
    measured(run_cli, work, "--interval", "100ms")
    sleeps = [("SELECT pg_sleep(0.002)", 170), ("SELECT pg_sleep(0.03), 1", 26), ("SELECT pg_sleep(0.12), 1, 2", 4)]
    took: list[list[float]] = []
    with work.connect(autocommit=True) as conn:
        for text, times in sleeps:
            took.append([])
            for _ in range(times):
                started = time.monotonic()
                conn.execute(text)  # type: ignore[call-overload]
                took[-1].append((time.monotonic() - started) * 1000)
    document = measured(run_cli, work, "--since", "1h", "--group", "latency")
    found = by_name(document)
    # The statements of dbopt itself are in it too, and are too few to reach another rank.
    for share, times_ms in zip((50, 95, 99), took, strict=True):
        estimated = found[f"statement_time_p{share}_ms"]["value"]
        assert min(times_ms) * 0.7 <= estimated <= max(times_ms) * 1.3, (share, estimated, times_ms)
    assert found["statement_time_mean_ms"]["value"] <= max(map(max, took))
    assert "estimated" in found["statement_time_p95_ms"]["title"]
    assert (found["slow_statements"]["value"], found["slow_statement_calls"]["value"]) == (1, 4)
    [slow] = document["breakdowns"]["slow_statements"]
    assert (slow["calls"], slow["query"]) == (4, "SELECT pg_sleep($1), $2, $3")
    assert 120 <= slow["mean_ms"] <= max(took[2])


def test_a_reading_costs_five_statements(work: Database, run_cli: RunCli) -> None:
    with Wire(work.conninfo) as wire:
        result = run_cli("metrics", "-d", wire.conninfo, "--interval", "200ms", "--no-store")
    assert result.code == 0, result.err
    [traffic] = wire.connections
    readings = 2
    families = PER_READING if work.server_version >= (16,) else PER_READING - 1  # pg_stat_io
    assert asked(traffic.sent) == readings * families
    assert b"BEGIN" not in traffic.sent


def asked(sent: bytearray) -> int:
    """Statements from the first reading on."""
    return sent[sent.index(FIRST) :].count(b"/* dbopt:")


def test_figures_ask_for_no_more_than_they_need(work: Database, run_cli: RunCli) -> None:
    with Wire(work.conninfo) as wire:
        run_cli("metrics", "-d", wire.conninfo, "--interval", "100ms", "--no-store", "--only", "deadlocks")
    assert asked(wire.connections[0].sent) == 2 * 2  # counters and sessions


def test_nothing_is_kept_with_no_store(work: Database, run_cli: RunCli) -> None:
    measured(run_cli, work, "--interval", "100ms", "--no-store")
    assert not Path("store.db").exists()
    result = run_cli("metrics", "-d", work.conninfo, "--since", "1h", env={"DBOPT_STORE_URL": STORE})
    assert (result.code, result.out) == (3, "")
    assert "no earlier reading of" in result.err
    assert "dbopt snapshot" in result.err


def test_since_the_last_mark(work: Database, run_cli: RunCli) -> None:
    measured(run_cli, work, "--interval", "100ms")
    result = run_cli("metrics", "-d", work.conninfo, "--since", "reset", env={"DBOPT_STORE_URL": STORE})
    assert result.code == 3
    assert "dbopt reset-metrics" in result.err
    document = measured(run_cli, work, "--interval", "100ms")
    kept = Aside(STORE, "")

    def mark(session: plain.Session) -> None:
        [known] = snapshots.known(session)
        part = snapshots.head(session, known.target_id, "server")
        assert part is not None
        marks.add(
            session,
            known.target_id,
            known.name,
            part.taken_at,
            kind=marks.Kind.BASELINE,
            scope="",
            os_user="me",
            role="postgres",
        )

    kept.attempt(mark, reading=False)
    [(before,)] = work.sql(COMMITS)
    with work.connect(autocommit=True) as conn:
        for _ in range(50):
            conn.execute("SELECT 1")
    settled(work, COMMITS, before + 50)
    since = measured(run_cli, work, "--since", "reset", "--group", "throughput")
    # The first reading is the one that was kept: the second came too soon after it.
    assert since["window"]["from_at"] <= document["window"]["to_at"]
    transactions = by_name(since)["transactions_per_second"]["value"] * since["window"]["seconds"]
    assert 50 <= transactions <= 50 + 60


def test_the_default_looks_at_what_is_kept_where_that_is_a_minute(work: Database, run_cli: RunCli) -> None:
    """The clock of the test is the server's: the kept reading is made older."""
    first = measured(run_cli, work, "--interval", "100ms")
    assert first["window"]["basis"] == "two readings"
    age(work, minutes=10)
    second = measured(run_cli, work)
    assert second["window"]["basis"] == "stored readings"
    assert second["window"]["seconds"] == pytest.approx(600, abs=60)
    compared = measured(run_cli, work, "--since", "5min", "--vs", "5min", "--group", "throughput")
    assert compared["compared_with"] is not None
    assert by_name(compared)["transactions_per_second"]["before"] is not None


def age(database: Database, *, minutes: int) -> None:
    """Moves the last readings back in time."""

    def older(session: plain.Session) -> None:
        [known] = snapshots.known(session)
        for family in snapshots.families(session, known.target_id):
            part = snapshots.head(session, known.target_id, family)
            assert part is not None
            part = replace(part, taken_at=part.taken_at - timedelta(minutes=minutes))
            session.run(
                "UPDATE snapshot_heads SET taken_at = :at, packed = :packed WHERE target_id = :id AND family = :family",
                [
                    {
                        "at": session.moment(part.taken_at),
                        "packed": pack_part(part),
                        "id": known.target_id,
                        "family": family,
                    }
                ],
            )

    Aside(STORE, "").attempt(older, reading=False)


def test_a_bare_role_is_told_what_to_type(work: Database, bare: str, run_cli: RunCli) -> None:
    conninfo = make_conninfo(work.conninfo, user=bare)
    result = run_cli("metrics", "-d", conninfo, "--interval", "100ms", "--no-store", "--format", "table")
    assert result.code == 0, result.err
    assert f'GRANT pg_read_all_stats TO "{bare}";' in result.out
    assert "what others' sessions do is hidden from this role" in result.out
    document = measured(run_cli, work, "--interval", "100ms", "--no-store")
    assert by_name(document)["connections_active"]["value"] >= 1


def test_without_the_extension(database: Database, run_cli: RunCli) -> None:
    document = measured(run_cli, database, "--interval", "100ms", "--no-store", "--group", "latency")
    found = by_name(document)["statement_time_mean_ms"]
    assert (found["value"], found["hint"]) in (
        (None, "CREATE EXTENSION pg_stat_statements;"),
        (None, "Add pg_stat_statements to shared_preload_libraries, then restart PostgreSQL."),
    )


def test_one_target_that_fails_hides_no_other_one(work: Database, run_cli: RunCli) -> None:
    Path("dbopt.yaml").write_text(
        f'targets:\n  main: {{dsn: "{work.conninfo}"}}\n  gone: {{dsn: "host=/nowhere dbname=x"}}\n'
    )
    options = ("--all-targets", "--interval", "100ms", "--no-store", "--group", "wal")
    result = run_cli("metrics", *options, "--format", "json")
    assert result.code == 3
    main, gone = result.json["targets"]
    assert main["error"] is None
    assert by_name(main)["wal_bytes_per_second"]["value"] is not None
    assert gone["error"]["message"].startswith("could not connect")
    table = run_cli("metrics", *options, "--format", "table")
    assert table.out.count("metrics: ") == 1
    assert "error: could not connect" in table.out


def test_prometheus(work: Database, run_cli: RunCli) -> None:
    result = run_cli("metrics", "-d", work.conninfo, "--interval", "100ms", "--no-store", "--format", "prometheus")
    assert result.code == 0
    families = {family.name: family for family in text_string_to_metric_families(result.out)}
    [(commits,)] = work.sql(COMMITS)
    counted = {sample.labels["outcome"]: sample.value for sample in families["dbopt_transactions"].samples}
    assert 0 < counted["commit"] <= commits
    assert families["dbopt_transactions"].type == "counter"
    assert all(family.documentation.endswith((".", "threshold, 500 ms.")) for family in families.values())
    assert not [name for name in families if name.endswith(("_ms", "_milliseconds", "_count", "_total"))]
    assert families["dbopt_statement_time_mean_seconds"].type == "gauge"
    for family in families.values():
        for sample in family.samples:
            assert sample.labels["database"] == work.name


def test_lines_tell_0_from_not_known(work: Database, run_cli: RunCli) -> None:
    result = run_cli("metrics", "-d", work.conninfo, "--interval", "100ms", "--no-store")
    records = [line.split("\t") for line in result.out.splitlines()]
    figures = {record[1]: record for record in records if not record[2]}
    assert list(figures) == list(METRICS)
    assert float(figures["deadlocks"][3]) == 0
    assert (figures["pool_used_ratio"][3], figures["pool_used_ratio"][9]) == ("", "no pool is known")
    assert any(record[1] == "connections_by_state.sessions" and record[2] == "active" for record in records)


def test_watch_in_a_pipe_ends_at_ctrl_c(work: Database, spawn_cli: Callable[..., subprocess.Popen[str]]) -> None:
    process = spawn_cli(
        "metrics", "-d", work.conninfo, "--watch", "0.5", "--format", "json", env={"DBOPT_STORE_URL": STORE}
    )
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(2)]
    # A session that the server ends is opened anew.
    work.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dbopt metrics'")
    looks.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    ends = [(look["window"]["from_at"], look["window"]["to_at"]) for look in looks]
    assert ends[0][1] == ends[1][0]  # each look goes on where the one before ended
    assert ends[1][1] == ends[2][0]
    [known] = Aside(STORE, "").attempt(snapshots.known, reading=True) or []
    assert known.dbname == work.name


def test_pgbouncer(pg: Server, work: Database, run_cli: RunCli) -> None:
    with pooler.pooled(pg, work) as behind:
        with psycopg.connect(behind, autocommit=False) as conn:
            conn.execute("SELECT 1")  # a transaction keeps its connection to the server
            document = measured(run_cli, work, "--interval", "100ms", "--pgbouncer", behind, "--group", "pool")
        found = by_name(document)
        assert found["pool_connections"]["value"] == 1
        assert found["pool_used_ratio"]["value"] == pytest.approx(1 / 20)  # its default_pool_size
        assert found["pool_used_ratio"]["status"] == "ok"
        assert found["pool_waiting"]["value"] == 0
        [row] = document["breakdowns"]["pools"]
        assert (row["pool"], row["used"], row["size"]) == (f"{work.name}/postgres", 1, 20)
        head = Aside(STORE, "").attempt(lambda kept: snapshots.head(kept, 1, POOLER), reading=True)
        assert head is not None
        assert head.levels["pool_used"] == 1
    gone = measured(run_cli, work, "--interval", "100ms", "--pgbouncer", behind, "--group", "pool")
    assert "could not connect" in by_name(gone)["pool_used_ratio"]["reason"]


def test_a_standby(server_binaries: Binaries, run_cli: RunCli) -> None:
    with pair(server_binaries) as (primary, standby):
        primary.database.sql("CREATE TABLE t AS SELECT 1 AS id")
        caught_up(primary, standby)
        document = measured(run_cli, standby.database, "--interval", "100ms", "--no-store")
        assert document["target"]["in_recovery"] is True
        found = by_name(document)
        assert found["replay_lag_bytes"]["value"] == 0
        assert found["replay_lag_seconds"]["value"] == 0
        assert found["transactions_per_second"]["value"] is not None
        assert found["conflicts"]["value"] == 0
        above = by_name(measured(run_cli, primary.database, "--interval", "100ms", "--no-store"))
        assert above["replicas"]["value"] == 1
        assert above["slot_retained_bytes"]["value"] is not None


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["--interval", "5"], "invalid value for --interval", None),
        (["--interval", "1ms"], "invalid value for --interval", None),
        (["--interval", "5s", "--since", "1h"], "--interval and --since contradict each other", "Leave --since out."),
        (["--watch", "2", "--vs", "1d"], "--watch and --vs contradict each other", "Leave --vs out."),
        (["--no-store", "--vs", "1d"], "--no-store and --vs contradict each other", "Leave --vs out."),
        (["--since", "yesterday"], "--since takes a duration or a date, not yesterday", None),
        (["--since", "2999-01-31"], "--since 2999-01-31 lies ahead", None),
        (["--only", "cachehitratio"], 'there is no figure "cachehitratio"', "Did you mean cache_hit_ratio?"),
        (["--group", "cash"], 'there is no group of figures "cash"', "Did you mean cache?"),
        (["--watch", "1", "--format", "prometheus"], "--watch does not write prometheus", None),
    ],
)
def test_words_that_make_no_sense(options: list[str], message: str, hint: str | None, run_cli: RunCli) -> None:
    result = run_cli("metrics", *options)
    assert (result.code, result.out) == (3, "")
    assert f"error: {message}" in result.err
    assert hint is None or f"hint: {hint}" in result.err


def test_the_list_needs_no_database(run_cli: RunCli) -> None:
    result = run_cli("metrics", "--list")
    assert result.code == 0
    assert [line.split("\t")[1] for line in result.out.splitlines()] == list(METRICS)
