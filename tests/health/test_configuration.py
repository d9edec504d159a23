"""Settings that are dangerous, forgotten or broken, and those about which there is only advice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from helpers import wait_until
from server import Database, Server

from dbopt import embedded
from dbopt.health.check import Gap, Status
from dbopt.health.checks import load
from dbopt.health.judge import judge
from dbopt.health.scene import Facts
from dbopt.postgres.settings import SERVER_FILES, SETTINGS, ServerFile
from tests.health.looks import look_at, only, run_check, subjects
from tests.health.rows import MB, NOW, facts, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.embedded import Binaries

PROBLEMS = ("autovacuum-off", "unsafe-durability", "settings-pending-restart", "configuration-file-errors")
ADVICE = ("memory-overcommitted", "shared-buffers-unfit", "timeouts-unset", "logging-sparse", "data-checksums-off")


@pytest.fixture(scope="module")
def durable(server_binaries: Binaries) -> Iterator[Server]:
    """A server as initdb makes it, but for where it listens."""
    settings = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "maintenance_work_mem": "64MB"}
    with embedded.start(binaries=server_binaries, settings=settings) as running:
        yield Server(running)


@pytest.fixture
def db(durable: Server) -> Iterator[Database]:
    database = Database(durable.conninfo, "postgres")
    yield database
    if database.sql("SELECT 1 FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'"):
        database.sql("ALTER SYSTEM RESET ALL")
        reload(database)


def reload(database: Database) -> None:
    loaded = "SELECT pg_conf_load_time()"
    before = database.sql(loaded)
    database.sql("SELECT pg_reload_conf()")
    wait_until(lambda: database.sql(loaded) != before, "reloading the configuration")


def configure(database: Database, name: str, value: str) -> None:
    database.sql(f"ALTER SYSTEM SET {name} = {value}")
    reload(database)


def test_nothing_to_report_of_a_new_server(db: Database) -> None:
    verdict, _ = look_at(db, checks=[*PROBLEMS, *ADVICE])
    assert {result.status for result in verdict.results} == {Status.OK}


def test_what_a_plain_role_reads(db: Database) -> None:
    db.sql("CREATE ROLE plain LOGIN")
    try:
        verdict, _ = look_at(db, checks=[*PROBLEMS, *ADVICE], user="plain")
    finally:
        db.sql("DROP ROLE plain")
    hidden = {
        "settings-pending-restart": Status.UNKNOWN,
        "configuration-file-errors": Status.SKIPPED,
        "memory-overcommitted": Status.SKIPPED,
        "shared-buffers-unfit": Status.SKIPPED,
    }
    for result in verdict.results:
        assert result.status is hidden.get(result.id, Status.OK), result.id
        assert result.blind is (result.status is Status.UNKNOWN)


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("autovacuum", "off", "autovacuum-off"),
        ("track_counts", "off", "autovacuum-off"),
        ("fsync", "off", "unsafe-durability"),
        ("full_page_writes", "off", "unsafe-durability"),
        ("zero_damaged_pages", "on", "unsafe-durability"),
    ],
)
def test_dangerous_settings_and_their_remedy(name: str, value: str, check: str, db: Database) -> None:
    configure(db, name, value)
    found = only(run_check(db, check))
    assert (found.subject, found.status) == (name, Status.WARNING)
    assert found.detail == f"{value} by configuration file"
    assert found.remedy is not None
    for line in found.remedy.splitlines():
        db.sql(line)
    wait_until(lambda: not run_check(db, check).findings, "the remedy's effect")


def test_pages_that_one_role_empties(db: Database) -> None:
    db.sql('CREATE ROLE "Odd one"; CREATE ROLE other')
    db.sql('ALTER ROLE "Odd one" IN DATABASE postgres SET zero_damaged_pages = on')
    db.sql("ALTER ROLE other SET zero_damaged_pages = off")
    try:
        found = only(run_check(db, "unsafe-durability"))
        assert found.detail == 'off by default; on for ROLE "Odd one" IN DATABASE postgres; off for ROLE other'
        assert found.remedy == 'ALTER ROLE "Odd one" IN DATABASE postgres RESET zero_damaged_pages;'
        db.sql(found.remedy)
        assert run_check(db, "unsafe-durability").status is Status.OK
    finally:
        db.sql('DROP ROLE "Odd one"; DROP ROLE other')


def test_a_change_that_waits_for_a_restart(db: Database) -> None:
    configure(db, "max_connections", "123")
    found = only(run_check(db, "settings-pending-restart"))
    assert (found.subject, found.status) == ("max_connections", Status.WARNING)
    assert run_check(db, "configuration-file-errors").status is Status.OK  # it is no error that it waits
    assert found.remedy is not None
    for line in found.remedy.splitlines():
        db.sql(line)
    wait_until(lambda: not run_check(db, "settings-pending-restart").findings, "the change taken back")


def test_files_with_which_the_server_would_not_start(durable: Server, db: Database) -> None:
    data = durable.embedded.directory / "data"
    texts = {name: (data / name).read_text() for name in ("postgresql.conf", "pg_hba.conf")}
    added = {"postgresql.conf": "no_such_setting = 1\n", "pg_hba.conf": "local all all no-such-way\n"}
    try:
        for name, text in texts.items():
            (data / name).write_text(text + added[name])
        found = run_check(db, "configuration-file-errors")
        lines = {name: text.count("\n") + 1 for name, text in texts.items()}
        assert sorted(subjects(found)) == [f"{data}/{name}:{lines[name]}" for name in sorted(lines)]
        assert {finding.status for finding in found.findings} == {Status.WARNING}
        assert any(finding.detail.startswith("no_such_setting: ") for finding in found.findings)
    finally:
        for name, text in texts.items():
            (data / name).write_text(text)


def test_advice_names_what_to_set(db: Database) -> None:
    unset = run_check(db, "timeouts-unset")
    assert [finding.subject for finding in unset.advice] == [
        "idle_in_transaction_session_timeout",
        "lock_timeout",
        "statement_timeout",
    ]
    db.sql("ALTER DATABASE postgres SET lock_timeout = '10s'")
    configure(db, "statement_timeout", "'30s'")
    still = run_check(db, "timeouts-unset")
    db.sql("ALTER DATABASE postgres RESET lock_timeout")
    assert [finding.subject for finding in still.advice] == ["idle_in_transaction_session_timeout"]
    assert "log_lock_waits" in [finding.subject for finding in run_check(db, "logging-sparse").advice]
    configure(db, "work_mem", "'1TB'")
    assert [finding.subject for finding in run_check(db, "memory-overcommitted").advice] == ["work_mem"]


# Without a server.


@pytest.mark.parametrize(
    ("source", "hours", "status"),
    [
        ("command line", 1, Status.UNKNOWN),
        ("command line", 24, Status.WARNING),
        ("configuration file", 1, Status.WARNING),
    ],
)
def test_servers_of_tests(source: str, hours: float, status: Status) -> None:
    rows = {SETTINGS: [setting("fsync", "off", source=source), setting("full_page_writes", "on")]}
    result = judge(load("unsafe-durability"), facts(rows, postmaster_started=NOW - timedelta(hours=hours)))
    assert (result.status, result.blind) == (status, False)


def sized(memory: int | None, **changes: Any) -> Facts:
    values = {"shared_buffers": 128, "work_mem": 4, "maintenance_work_mem": 64, "autovacuum_work_mem": -1}
    amounts = [
        setting(name, str(value), "MB") for name, value in {**values, **changes}.items() if name != "max_connections"
    ]
    plain = {"max_connections": 100, "hash_mem_multiplier": 2.0, "autovacuum_max_workers": 3, **changes}
    amounts += [setting(n, str(plain[n])) for n in ("max_connections", "hash_mem_multiplier", "autovacuum_max_workers")]
    return facts({SETTINGS: amounts, SERVER_FILES: [ServerFile(memory, None, None, None, None)]})


@pytest.mark.parametrize(
    ("memory", "changes", "advised"),
    [
        (1121 * MB, {}, False),  # 128 + 100 * 4 * 2 + 3 * 64
        (1120 * MB, {}, True),
        (1120 * MB, {"autovacuum_work_mem": 63}, False),
        (64 * 1024 * MB, {"work_mem": 400}, True),
        (64 * 1024 * MB, {"max_connections": 5000}, False),
    ],
)
def test_memory(memory: int, changes: dict[str, Any], advised: bool) -> None:
    result = judge(load("memory-overcommitted"), sized(memory, **changes))
    assert (result.status, bool(result.advice)) == (Status.OK, advised)


@pytest.mark.parametrize(
    ("memory", "shared_mb", "advised"),
    [
        (900 * MB, 64, False),
        (1280 * MB, 128, True),
        (1270 * MB, 128, False),
        (1000 * MB, 400, True),
        (1000 * MB, 399, False),
    ],
)
def test_shared_buffers(memory: int, shared_mb: int, advised: bool) -> None:
    result = judge(load("shared-buffers-unfit"), sized(memory, shared_buffers=shared_mb))
    assert (result.status, bool(result.advice)) == (Status.OK, advised)


@pytest.mark.parametrize("check", ["memory-overcommitted", "shared-buffers-unfit"])
def test_unknown_memory_is_no_reason_for_alarm(check: str) -> None:
    unreadable = sized(None)
    failed = Facts(
        unreadable.server,
        unreadable.surroundings,
        unreadable.rows,
        {SERVER_FILES: Gap("permission denied", blind=True)},
    )
    for case in (unreadable, failed):
        result = judge(load(check), case)
        assert (result.status, result.blind) == (Status.UNKNOWN, False)


@pytest.mark.parametrize(
    ("value", "unit", "amount"),
    [
        ("16384", "8kB", 128 * MB),
        ("-1", "kB", -1),
        ("30", "s", 30),
        ("5", "min", 300),
        ("250", "ms", 0.25),
        ("2.5", None, 2.5),
    ],
)
def test_amounts(value: str, unit: str | None, amount: float) -> None:
    assert setting("any", value, unit).amount == amount
