"""`dbopt health` on a real database in each format, as its readers read it."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import signal
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction, wait_until
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from dbopt.health.checks import check_ids
from dbopt.render import health_schema

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

HEALTH = ("health", "--no-store")


@pytest.fixture
def env(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.conninfo}


@pytest.fixture
def planted(database: Database) -> Database:
    database.sql("CREATE TABLE t (x int)")
    database.sql("INSERT INTO t SELECT generate_series(1, 20000)")
    database.sql("CREATE INDEX twin_a ON t (x)")
    database.sql("CREATE INDEX twin_b ON t (x)")
    database.sql("VACUUM ANALYZE t")
    return database


def test_json_obeys_the_schema(run_cli: Callable[..., Result], planted: Database, env: dict[str, str]) -> None:
    result = run_cli(*HEALTH, "--format", "json", "--advice", env=env)
    Draft202012Validator(health_schema.schema()).validate(result.json)
    assert result.json["exit_code"] == result.code == 1
    assert sorted(check["id"] for check in result.json["checks"]) == check_ids()


def test_lines_and_csv(run_cli: Callable[..., Result], planted: Database, env: dict[str, str]) -> None:
    lines = run_cli(*HEALTH, "--only", "duplicate-index", "--format", "lines", env=env)
    [record] = [line.split("\t") for line in lines.out.splitlines()]
    assert record[:3] == ["warning", "indexes", "duplicate-index"]
    assert record[3].startswith("public.twin_")
    assert record[7].startswith("DROP INDEX CONCURRENTLY public.twin_")
    rows = csv.DictReader(io.StringIO(run_cli(*HEALTH, "--format", "csv", env=env).out))
    assert {row["check"] for row in rows} == set(check_ids())


def test_prometheus(run_cli: Callable[..., Result], planted: Database, env: dict[str, str]) -> None:
    result = run_cli(*HEALTH, "--format", "prometheus", env=env)
    families = {family.name: family for family in text_string_to_metric_families(result.out)}
    assert result.code == 1
    assert [sample.value for sample in families["dbopt_health_up"].samples] == [1]
    assert [sample.value for sample in families["dbopt_health_verdict"].samples] == [1]
    [slots] = families["dbopt_health_connection_slots_ratio"].samples
    assert 0 <= slots.value < 1
    assert all(family.documentation and family.type == "gauge" for family in families.values())


def test_nagios(run_cli: Callable[..., Result], planted: Database, env: dict[str, str]) -> None:
    result = run_cli(*HEALTH, "--format", "nagios", env=env)
    assert result.code == 1
    assert re.match(
        r"HEALTH WARNING - \w+ on PostgreSQL [\d.]+: duplicate-index: public\.twin_\w: [^|]*\| '", result.out
    )


def test_nagios_says_on_stdout_why_it_could_not_look(run_cli: Callable[..., Result], env: dict[str, str]) -> None:
    result = run_cli(*HEALTH, "--only", "nonsense", "--format", "nagios", env=env)
    assert (result.code, result.out) == (3, 'HEALTH UNKNOWN - unknown check "nonsense"\n')
    assert "unknown check" in result.err


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after it"])
@pytest.mark.parametrize("name", ["prometheus", "nagios"])
def test_other_commands_have_no_format_for_monitors(name: str, before: bool, run_cli: Callable[..., Result]) -> None:
    result = run_cli(*("--format", name, "lint") if before else ("lint", "--format", name))
    assert (result.code, result.out) == (3, "")
    for own in ("table", "lines", "json", "csv"):
        assert own in result.err


def test_help_shows_the_formats_of_the_command(run_cli: Callable[..., Result]) -> None:
    assert "--format table|lines|json|csv|prometheus|nagios" in run_cli("health", "--help").out
    assert "--format table|lines|json|csv\n" in run_cli("lint", "--help").out


def test_a_blocking_tree_is_drawn(run_cli: Callable[..., Result], planted: Database, env: dict[str, str]) -> None:
    """Before it is a problem too, for whoever asks for it."""
    with (
        open_transaction(planted, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE") as root,
        contextlib.closing(planted.connect()) as waiter,
    ):
        pid = waiter.info.backend_pid
        waiter.pgconn.send_query(b"SELECT * FROM t")
        seen: list[Result] = []

        def waits() -> bool:
            seen.append(run_cli(*HEALTH, "--only", "blocked-sessions", "--format", "table", env=env))
            return f"pid {pid}" in seen[-1].out

        wait_until(waits, "the wait")
    result = seen[-1]
    assert result.code == 0
    assert re.search(rf"pid {root} .*\n(.*\n)*.*└─ pid {pid} ", result.out)
    assert f"SELECT pg_catalog.pg_terminate_backend({root});" in result.out


def test_watch_ends_by_ctrl_c(spawn_cli: Callable[..., subprocess.Popen[str]], env: dict[str, str]) -> None:
    process = spawn_cli("health", "--only", "prepared-transaction", "--watch", "0.5", "--format", "lines", env=env)
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert first.startswith("ok\tlocks\tprepared-transaction\t")
    assert first.rpartition("\t")[0] == second.rpartition("\t")[0]
    assert first.rpartition("\t")[2] < second.rpartition("\t")[2]
    assert "Traceback" not in err
