"""Where a command connects to, and what it says when it cannot; secrets stay secret whatever is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database

SECRET = "s3cr3t-Pa55"
SPEC = "spec: 1\ndomain: a\nindexes:\n  - {name: t_x, table: t, keys: [x], why: test}\n"


@pytest.fixture(autouse=True)
def spec() -> None:
    Path("indexes").mkdir()
    Path("indexes/a.yaml").write_text(SPEC, encoding="utf-8")


@pytest.fixture
def place(database: Database) -> dict[str, str]:
    """The parts of a connection to the test's database."""
    database.sql("CREATE TABLE t (x int)")
    return {key: str(value) for key, value in conninfo_to_dict(database.conninfo).items()}


def test_flags_as_psql_has_them(place: dict[str, str], run_cli: Callable[..., Result]) -> None:
    flags = ["-h", place["host"], "-p", place["port"], "-U", place["user"], "-d", place["dbname"]]
    after = run_cli("plan", *flags, "-w", "--format", "json")
    assert after.code == 0, after.err
    assert after.json["target"]["dbname"] == place["dbname"]
    assert run_cli(*flags, "--format", "json", "plan").json == after.json


def test_pg_variables(place: dict[str, str], run_cli: Callable[..., Result]) -> None:
    env = {f"PG{name.upper()}": value for name, value in place.items() if name in ("host", "port", "user")}
    env["PGDATABASE"] = place["dbname"]
    assert run_cli("plan", env=env).code == 0


def test_database_url_of_prisma(place: dict[str, str], run_cli: Callable[..., Result]) -> None:
    url = (
        f"postgresql://{place['user']}:{SECRET}@localhost:{place['port']}/{place['dbname']}?host={place['host']}"
        "&schema=public&connection_limit=5&pool_timeout=10&statement_timeout=7&pgbouncer=true&sslaccept=accept_invalid_certs"
    )
    quiet = run_cli("plan", env={"DATABASE_URL": url})
    assert (quiet.code, quiet.err) == (0, "")
    told = run_cli("plan", "-v", env={"DATABASE_URL": url})
    assert "dbopt: note: connection_limit in DATABASE_URL: set aside: it is for the application's pool\n" in told.err
    assert "dbopt: sql: " in told.err
    assert " ms\n" in told.err
    shown = run_cli("--show-config", env={"DATABASE_URL": url})
    assert "statement_timeout\t7000ms\tDATABASE_URL" in shown.out
    assert "password\t********\tDATABASE_URL" in shown.out
    for result in (quiet, told, shown):
        assert SECRET not in result.out + result.err


def test_targets(place: dict[str, str], database: Database, run_cli: Callable[..., Result]) -> None:
    text = f'targets:\n  one: {{dsn: "{database.conninfo}"}}\n  two: {{dsn: "{database.conninfo}"}}\n'
    Path("dbopt.yaml").write_text(text, encoding="utf-8")
    assert run_cli("plan").err.startswith(
        "dbopt: error: the configuration has several targets\n  detail: targets: one, two"
    )
    assert run_cli("lint").code == 0  # which asks no database
    both = run_cli("plan", "--all-targets", "--format", "json")
    assert [one["target"]["dbname"] for one in both.json_lines] == [place["dbname"]] * 2
    wrong = run_cli("plan", "-t", "onne")
    assert (wrong.code, wrong.err) == (
        3,
        'dbopt: error: unknown target "onne"\n  detail: targets: one, two\n  hint: Did you mean one?\n',
    )


@pytest.mark.parametrize("flags", [["-vv"], ["--show-config"], ["-vv", "--show-config"], []])
def test_no_password_in_any_output(flags: list[str], run_cli: Callable[..., Result]) -> None:
    Path("dbopt.yaml").write_text(
        f'targets: {{main: {{dsn: "postgres://me:{SECRET}@localhost:1/app?frob=1"}}}}\n', encoding="utf-8"
    )
    for argv, env in (
        (["-t", "main"], {}),
        (["-d", f"postgres://me:{SECRET}@localhost:1/app"], {}),
        (["-d", f"host=localhost port=1 password={SECRET}"], {}),
        (["-d", f"host=localhost port=1 password='{SECRET}"], {}),
        (["-d", f"postgres://me:{SECRET}/@localhost/app"], {}),
        (["-h", "localhost", "-p", "1"], {"PGPASSWORD": SECRET}),
        ([], {"DATABASE_URL": f"postgres://me:{SECRET}@localhost:1/app"}),
        ([], {"DBOPT_DSN": f"mysql://me:{SECRET}@localhost:1/app"}),
        ([], {"DBOPT_STORE_URL": f"postgresql+psycopg://me:{SECRET}@localhost:1/app"}),
    ):
        result = run_cli("plan", *argv, *flags, env=env)
        assert SECRET not in result.out + result.err, argv
        assert result.code in ((0, 3) if "--show-config" in flags else (3,))


@pytest.fixture
def guarded(database: Database) -> Iterator[str]:
    """A role that has to give its password."""
    [(path,)] = database.sql("SHOW hba_file")
    before = Path(path).read_text(encoding="utf-8")
    role = f"guarded_{database.name}"
    database.sql(f"SET password_encryption = 'scram-sha-256'; CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    Path(path).write_text(f"local all {role} scram-sha-256\n{before}", encoding="utf-8")
    database.sql("SELECT pg_reload_conf()")
    yield role
    Path(path).write_text(before, encoding="utf-8")
    database.sql(f"SELECT pg_reload_conf(); DROP ROLE {role}")


def test_wrong_password(
    database: Database, place: dict[str, str], guarded: str, run_cli: Callable[..., Result]
) -> None:
    wrong = "wrong-" + SECRET
    result = run_cli("plan", "-vv", "-d", make_conninfo(database.conninfo, user=guarded, password=wrong))
    assert result.code == 3
    assert f"dbopt: error: could not connect to {place['host']}:{place['port']}/{database.name}\n" in result.err
    assert f'FATAL:  password authentication failed for user "{guarded}"' in result.err
    assert "  hint: Check the user, then the password in ~/.pgpass or PGPASSWORD.\n" in result.err
    assert wrong not in result.out + result.err


def test_server_down(run_cli: Callable[..., Result]) -> None:
    result = run_cli("plan", "-h", "/nonexistent", "-d", "app")
    assert (result.code, result.out, result.err) == (
        3,
        "",
        "dbopt: error: could not connect to /nonexistent/app\n"
        '  detail: connection to server on socket "/nonexistent/.s.PGSQL.5432" failed: No such file or directory\n'
        "          Is the server running locally and accepting connections on that socket?\n"
        "  hint: No server listens on this socket. Name the host with -h, or start the server.\n",
    )


def test_unknown_database(database: Database, run_cli: Callable[..., Result]) -> None:
    result = run_cli("plan", "-d", make_conninfo(database.conninfo, dbname="nowhere"))
    assert result.code == 3
    assert 'FATAL:  database "nowhere" does not exist' in result.err


def test_a_statement_that_takes_too_long(
    database: Database, place: dict[str, str], run_cli: Callable[..., Result]
) -> None:
    database.sql("CREATE INDEX other ON t ((x + 1))")
    with database.connect() as blocker:
        blocker.execute("LOCK TABLE t")
        result = run_cli("plan", "-d", database.conninfo, env={"DB_STATEMENT_TIMEOUT": "500"})
    assert result.code == 3
    assert "Traceback" not in result.err
    assert result.err.startswith("dbopt: error: ")
