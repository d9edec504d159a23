"""Sessions and their manners; and what is said when there is none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from dbopt.errors import ConnectionFailed
from dbopt.postgres.connect import connect, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

SECRET = "s3cr3t-Pa55"


def settings(conn: psycopg.Connection[object], *names: str) -> list[object]:
    return [conn.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] for name in names]  # type: ignore[index]


def test_manners_of_a_reading_session(database: Database) -> None:
    with connect(database.conninfo, command="plan", read_only=True, statement_timeout_ms=1500) as conn:
        assert settings(conn, "application_name", "statement_timeout", "lock_timeout") == ["dbopt plan", "1500ms", "2s"]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            conn.execute("CREATE TABLE t ()")


def test_session_that_may_write(database: Database) -> None:
    with connect(database.conninfo, command="optimize", read_only=False, settings={"work_mem": "1MB"}) as conn:
        conn.execute("CREATE TABLE t ()")
        assert settings(conn, "work_mem") == ["1MB"]
        assert conn.autocommit


def test_options_of_the_connection_string_hold(database: Database) -> None:
    conninfo = make_conninfo(database.conninfo, options='-c search_path="Sales\\ EU"', application_name="theirs")
    with connect(conninfo, command="plan", read_only=True) as conn:
        assert settings(conn, "search_path", "application_name") == ['"Sales EU"', "dbopt plan"]


def test_statements_are_logged_and_their_values_are_not(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG, "dbopt.sql"),
        connect(database.conninfo, command="plan", read_only=True) as conn,
    ):
        conn.execute("SELECT %s::text", (SECRET,))
    assert "SELECT %s::text -- " in caplog.text
    assert SECRET not in caplog.text


@pytest.fixture
def guarded(database: Database) -> Iterator[str]:
    """A role that has to give its password, among all the others who need not."""
    [(path,)] = database.sql("SHOW hba_file")
    with open(path, encoding="utf-8") as file:
        before = file.read()
    role = f"guarded_{database.name}"
    database.sql(f"SET password_encryption = 'scram-sha-256'; CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"local all {role} scram-sha-256\nlocal all nobody_{role} reject\n{before}")
    database.sql("SELECT pg_reload_conf()")
    yield role
    with open(path, "w", encoding="utf-8") as file:
        file.write(before)
    database.sql(f"SELECT pg_reload_conf(); DROP ROLE {role}")


def failure(conninfo: str) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        connect(conninfo, command="plan", read_only=True)
    assert SECRET not in f"{caught.value.message}{caught.value.detail}{caught.value.hint}"
    return caught.value


def test_wrong_password(database: Database, guarded: str) -> None:
    error = failure(make_conninfo(database.conninfo, user=guarded, password="wrong-" + SECRET))
    assert error.message.endswith(f"/{database.name}")
    assert "password authentication failed" in (error.detail or "")
    assert error.hint == "Check the user, then the password in ~/.pgpass or PGPASSWORD."


def test_missing_password(database: Database, guarded: str) -> None:
    error = failure(make_conninfo(database.conninfo, user=guarded))
    assert error.hint == "Put the password into ~/.pgpass, or set PGPASSWORD."


def test_right_password(database: Database, guarded: str) -> None:
    connect(make_conninfo(database.conninfo, user=guarded, password=SECRET), command="plan", read_only=True).close()


def test_unknown_database(database: Database) -> None:
    error = failure(make_conninfo(database.conninfo, dbname="nowhere"))
    assert 'database "nowhere" does not exist' in (error.detail or "")
    assert error.hint == "List the databases with psql -l, then name one with -d."


def test_unknown_role(database: Database) -> None:
    assert "Name a role that exists" in (failure(make_conninfo(database.conninfo, user="nobody")).hint or "")


def test_no_slot(database: Database) -> None:
    role = f"crowd_{database.name}"
    database.sql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        error = failure(make_conninfo(database.conninfo, user=role))
    finally:
        database.sql(f"DROP ROLE {role}")
    assert "too many connections" in (error.detail or "")
    assert "no slot left" in (error.hint or "")


@pytest.mark.parametrize(
    ("conninfo", "message", "hint"),
    [
        ("host=/nonexistent dbname=app", "could not connect to /nonexistent/app", "No server listens on this socket."),
        ("host=127.0.0.1 port=1", "could not connect to 127.0.0.1:1", "Is the server running there?"),
        ("host=nowhere.invalid", "could not connect to nowhere.invalid", "Check the host name"),
        ("host=127.0.0.1 port=abc", "could not connect to 127.0.0.1:abc", "A port is a number"),
        ("service=nowhere", "could not connect to service nowhere", "Name a service of ~/.pg_service.conf"),
        (f"password={SECRET} nonsense", "could not read the connection string", "Use -d with a name"),
    ],
)
def test_no_server_there(conninfo: str, message: str, hint: str) -> None:
    error = failure(conninfo)
    assert error.message == message
    assert (error.hint or "").startswith(hint)


def test_describe_takes_from_the_environment_what_the_string_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe("") == "local socket"
    monkeypatch.setenv("PGHOST", "db1")
    monkeypatch.setenv("PGPORT", "5433")
    assert describe(f"dbname=app password={SECRET}") == "db1:5433/app"
    assert describe("host=db2 port=1") == "db2:1"
    assert describe("'") == "the server"
