"""No connection is a verdict: each reason by its name, on real servers that are full, down, stopped or silent."""

from __future__ import annotations

import contextlib
import functools
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from helpers import wait_until
from psycopg.conninfo import make_conninfo

from dbopt import embedded
from dbopt.errors import EXIT_CRITICAL, EXIT_FAILED, ConnectionFailed, NoSession
from dbopt.health.check import Check, Group, Result, Status, Unit, above
from dbopt.health.checks import load
from dbopt.health.run import Wishes
from dbopt.health.run import look as health_look
from dbopt.postgres import refused
from dbopt.postgres.connect import connect_by
from dbopt.postgres.query import Query
from tests.health.conftest import SLOTS
from tests.health.waiting import role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server import Database

    from dbopt.health.verdict import Verdict

SECRET = "s3cr3t-Pa55"


def look(conninfo: str, *checks: Check[Any]) -> Verdict:
    verdict, _ = health_look(
        functools.partial(connect_by, conninfo, command="health"),
        name=None,
        place="here",
        wishes=Wishes(checks=checks or (load("cannot-connect"), load("connection-slots"))),
    )
    return verdict


def own(verdict: Verdict) -> Result:
    """Of cannot-connect; all the others are unknown and say no more than that."""
    first, *others = verdict.results
    assert first.id == "cannot-connect"
    assert {(result.status, result.reason, result.blind) for result in others} <= {
        (Status.UNKNOWN, "no connection", False)
    }
    assert SECRET not in str(first)
    return first


def assert_critical(verdict: Verdict, kind: NoSession) -> None:
    result = own(verdict)
    assert (result.status, verdict.status, verdict.exit_code()) == (Status.CRITICAL, Status.CRITICAL, EXIT_CRITICAL)
    [finding] = result.findings
    assert f"({kind})" in finding.detail
    assert finding.subject == "server"
    assert "  # " in (finding.remedy or "")


def assert_unknown(verdict: Verdict, kind: NoSession) -> None:
    result = own(verdict)
    assert (result.status, verdict.status, verdict.exit_code()) == (Status.UNKNOWN, Status.UNKNOWN, EXIT_FAILED)
    assert f"({kind})" in (result.reason or "")
    assert result.hint


def test_connected(database: Database) -> None:
    verdict = look(database.conninfo, load("cannot-connect"))
    assert [(result.id, result.status) for result in verdict.results] == [("cannot-connect", Status.OK)]
    assert verdict.statements == 6  # those of every look


@pytest.fixture
def full(small: Database) -> Iterator[str]:
    """A role for which no slot is left on the server."""
    with role(small) as user, contextlib.ExitStack() as stack:
        for _ in range(SLOTS):
            stack.enter_context(psycopg.connect(small.conninfo, user=user))
        yield make_conninfo(small.conninfo, user=user)


def test_no_slot(full: str) -> None:
    assert_critical(look(full), NoSession.NO_SLOT)


def test_whatever_was_asked_for(full: str) -> None:
    verdict = look(full, load("connection-slots"))
    assert [result.id for result in verdict.results] == ["cannot-connect", "connection-slots"]
    assert_critical(verdict, NoSession.NO_SLOT)


def test_no_slot_of_the_role(small: Database) -> None:
    with role(small) as user:
        small.sql(f"ALTER ROLE {user} CONNECTION LIMIT 0")
        assert_critical(look(make_conninfo(small.conninfo, user=user)), NoSession.NO_SLOT)


def test_command_line(full: str, run_cli: Any) -> None:
    result = run_cli("health", "-d", full, "--format", "json")
    assert result.code == EXIT_CRITICAL
    assert result.json["status"] == "critical"
    assert result.json["checks"][0]["id"] == "cannot-connect"


def test_nothing_listens(tmp_path: Path) -> None:
    assert_critical(look(f"host={tmp_path} dbname=app"), NoSession.DOWN)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert_critical(look(f"host=127.0.0.1 port={port}"), NoSession.DOWN)


def test_unknown_database_and_role(database: Database) -> None:
    assert_unknown(look(make_conninfo(database.conninfo, dbname="nowhere")), NoSession.UNKNOWN_DATABASE)
    assert_unknown(look(make_conninfo(database.conninfo, user="nobody")), NoSession.UNKNOWN_ROLE)


def test_name_that_leads_nowhere() -> None:
    assert_unknown(look("host=nowhere.invalid"), NoSession.NAME_RESOLUTION)


def test_connection_string_that_makes_no_sense() -> None:
    assert_unknown(look(f"password={SECRET} nonsense"), NoSession.SETTINGS)
    assert_unknown(look("service=nowhere"), NoSession.SETTINGS)


def test_tls_that_the_server_does_not_have() -> None:
    with answering(b"") as conninfo:
        assert_unknown(look(make_conninfo(conninfo, sslmode="require")), NoSession.TLS)


def test_password(small: Database) -> None:
    [(path,)] = small.sql("SHOW hba_file")
    with open(path, encoding="utf-8") as file:
        before = file.read()
    with role(small) as user:
        small.sql(f"SET password_encryption = 'scram-sha-256'; ALTER ROLE {user} PASSWORD '{SECRET}'")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"local all {user} scram-sha-256\n{before}")
        small.sql("SELECT pg_reload_conf()")
        try:
            conninfo = make_conninfo(small.conninfo, user=user)
            wait_until(lambda: look(conninfo).status is Status.UNKNOWN, "a password asked for")
            assert_unknown(look(conninfo), NoSession.AUTHENTICATION)
            assert_unknown(look(make_conninfo(conninfo, password=f"not {SECRET}")), NoSession.AUTHENTICATION)
            assert look(make_conninfo(conninfo, password=SECRET)).status is Status.OK
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(before)
            small.sql("SELECT pg_reload_conf()")


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """Somebody who listens, and answers this to whoever begins a session; None: nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                while True:
                    client = stack.enter_context(listener.accept()[0])
                    while answer is not None:
                        head = client.recv(8)
                        if len(head) < 8:
                            break
                        length, code = struct.unpack("!ii", head)
                        if code in (80877103, 80877104):  # may we speak TLS, or GSSAPI?
                            client.sendall(b"N")
                            continue
                        client.recv(length - 8)
                        client.sendall(answer)
                        client.close()
                        break

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield f"host=127.0.0.1 port={port} user=me dbname=app"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def refusal(sqlstate: str, message: str) -> bytes:
    fields = "".join(f"{key}{value}\0" for key, value in {"S": "FATAL", "C": sqlstate, "M": message}.items()) + "\0"
    body = fields.encode()
    return b"E" + struct.pack("!i", len(body) + 4) + body


def test_no_answer() -> None:
    with answering(None) as conninfo:
        verdict = look(make_conninfo(conninfo, connect_timeout=600))
        assert_critical(verdict, NoSession.TIMEOUT)
        assert "no answer within 1.5 s" in own(verdict).findings[0].detail


def test_first_host_of_two_does_not_answer(database: Database) -> None:
    with answering(None) as conninfo:
        silent = psycopg.conninfo.conninfo_to_dict(conninfo)
        real = psycopg.conninfo.conninfo_to_dict(database.conninfo)
        both = make_conninfo(
            database.conninfo, host=f"{silent['host']},{real['host']}", port=f"{silent['port']},{real['port']}"
        )
        assert look(both).status is Status.OK
        neither = make_conninfo("", host="127.0.0.1,127.0.0.1", port=f"{silent['port']},1")
        assert_critical(look(neither), NoSession.DOWN)


@pytest.mark.parametrize(
    ("sqlstate", "message", "kind"),
    [
        ("57P03", "the database system is starting up", NoSession.STARTING),
        ("57P03", "the database system is in recovery mode", NoSession.STARTING),
        ("57P03", "the database system is not yet accepting connections", NoSession.STARTING),
        ("57P03", "the database system is shutting down", NoSession.STOPPING),
        ("53300", "sorry, too many clients already", NoSession.NO_SLOT),
        ("53300", 'remaining connection slots are reserved for roles with the "x" attribute', NoSession.NO_SLOT),
        ("08P01", "no more connections allowed (max_client_conn)", NoSession.NO_SLOT),
        # Servers that speak other languages:
        ("53300", "tut mir leid, schon zu viele Verbindungen", NoSession.NO_SLOT),
        ("57P03", "le système de bases de données se lance", NoSession.STARTING),
    ],
)
def test_what_everybody_meets_is_critical(sqlstate: str, message: str, kind: NoSession) -> None:
    with answering(refusal(sqlstate, message)) as conninfo:
        assert_critical(look(conninfo), kind)


@pytest.mark.parametrize(
    ("sqlstate", "message", "kind"),
    [
        ("28P01", 'password authentication failed for user "me"', NoSession.AUTHENTICATION),
        ("28000", 'no pg_hba.conf entry for host "1.2.3.4", user "me"', NoSession.AUTHENTICATION),
        ("42501", 'permission denied for database "app"', NoSession.AUTHENTICATION),
        ("55000", 'database "app" is not currently accepting connections', NoSession.SETTINGS),
        ("28P01", "Passwort-Authentifizierung für Benutzer »me« fehlgeschlagen", NoSession.AUTHENTICATION),
        ("3D000", "Datenbank »app« existiert nicht", NoSession.UNKNOWN_DATABASE),
        ("XX000", "etwas anderes", NoSession.OTHER),
    ],
)
def test_what_may_concern_us_alone_is_unknown(sqlstate: str, message: str, kind: NoSession) -> None:
    with answering(refusal(sqlstate, message)) as conninfo:
        assert_unknown(look(conninfo), kind)


def test_sqlstate_of_a_real_server(full: str) -> None:
    assert refused.sqlstate(full) == "53300"
    assert refused.sqlstate(make_conninfo(full, dbname="postgres", user="nobody")) == "28000"


@functools.cache
def slow() -> Check[Any]:
    """A look that takes long enough for something to happen."""
    return Check(
        id="slow",
        title="Slow",
        group=Group.WORKLOAD,
        query=Query("slow", ConnectionFailed, {(13,): "/* slow */ SELECT pg_catalog.pg_sleep(60)"}),
        unit=Unit.COUNT,
        thresholds=above(warning=1, critical=None, source="test"),
        subject=lambda _row: "",
        measure=lambda _row: 0,
        detail=lambda _row: "",
    )


def meanwhile(conninfo: str, deed: Any) -> Verdict:
    """What a look says during which, on the server, this was done."""
    verdicts: list[Verdict] = []
    thread = threading.Thread(target=lambda: verdicts.append(look(conninfo, slow())))
    with psycopg.connect(conninfo, autocommit=True) as conn:
        thread.start()
        asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        wait_until(lambda: conn.execute(asleep).fetchone(), "a look under way")
        deed(conn, asleep)
    thread.join()
    return verdicts[0]


def test_server_that_is_stopped_meanwhile(server_binaries: embedded.Binaries) -> None:
    with embedded.start(binaries=server_binaries) as server:
        verdict = meanwhile(server.conninfo, lambda *_: server.stop())
    result = own(verdict)
    assert verdict.status is Status.CRITICAL
    assert any(f"({kind})" in result.findings[0].detail for kind in (NoSession.STOPPING, NoSession.DOWN))


def test_session_that_is_ended_meanwhile(database: Database) -> None:
    def end(conn: psycopg.Connection[Any], asleep: str) -> None:
        conn.execute(f"SELECT pg_terminate_backend(pid) FROM ({asleep}) AS s")  # type: ignore[call-overload]

    assert_unknown(meanwhile(database.conninfo, end), NoSession.LOST)
