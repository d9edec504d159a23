"""The only place that opens a connection, and the manners of every session.

Read-only sessions cannot write even by mistake, nothing waits for ever, and whoever looks at pg_stat_activity sees who
we are. Times are in milliseconds as PostgreSQL's settings count them; 0 means no limit.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo as pq_conninfo

from dbopt.errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("dbopt.sql")

CONNECT_TIMEOUT_SECONDS = 10  # libpq's own default is to wait for ever
STATEMENT_TIMEOUT_MS = 30_000  # DB_STATEMENT_TIMEOUT of the guide that dbopt succeeds
LOCK_TIMEOUT_MS = 2_000  # a plan that waits longer stands in a lock queue, and makes it longer

Connection = psycopg.Connection[Any]


def connect(
    conninfo: str,
    *,
    command: str,
    read_only: bool,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    connect_timeout_seconds: int = CONNECT_TIMEOUT_SECONDS,
    settings: Mapping[str, str] | None = None,
) -> Connection:
    """A session in autocommit with its manners set, as `dbopt COMMAND`.

    `conninfo` is a libpq conninfo string or URI; what it leaves out comes from the PG* variables, as with psql.
    Raises ConnectionFailed, its hint being what to type; passwords never appear in it.
    """
    # application_name of the environment or the DSN is somebody's default for programs; ours says what this is.
    try:
        parameters = pq_conninfo.conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as exc:
        raise ConnectionFailed(
            "could not read the connection string", detail=_masked(str(exc), conninfo), hint=_HINT_DSN
        ) from None
    parameters["application_name"] = f"dbopt {command}"
    parameters.setdefault("connect_timeout", connect_timeout_seconds)
    try:
        conn = psycopg.connect(
            "",
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=LoggingCursor,
            **parameters,  # type: ignore[arg-type]
        )
    except psycopg.Error as exc:
        raise _connection_failed(exc, conninfo) from None
    manners = {
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(lock_timeout_ms),
        "idle_in_transaction_session_timeout": "0",
        "default_transaction_read_only": "on" if read_only else "off",
        "client_min_messages": "warning",
        # What the catalog functions print depends on these: the same text for every user, and floats in full. In which
        # order a date such as 01/02/2024 is read stays the user's choice.
        "quote_all_identifiers": "off",
        "DateStyle": "ISO",
        "extra_float_digits": "1",
        **(settings or {}),
    }
    try:
        apply_settings(conn, manners)
    except psycopg.Error as exc:
        conn.close()
        raise _connection_failed(exc, conninfo) from None
    return conn


def apply_settings(conn: Connection, settings: Mapping[str, str]) -> None:
    """SET for this session, values bound, one round trip. A setting that this version does not have is left out.

    Not behind a pooler, which makes up the pid that a client is told: what is set there stays with a session of the
    server's that the next client gets, who would find it read-only.
    """
    if settings:
        conn.execute(
            "/* dbopt: session settings */ SELECT pg_catalog.set_config(s.name, s.value, false)"
            " FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(values)s::text[]))"
            " AS s(name, value) WHERE pg_catalog.pg_backend_pid() = %(pid)s"
            " AND pg_catalog.current_setting(s.name, true) IS NOT NULL",
            {"names": list(settings), "values": list(settings.values()), "pid": conn.info.backend_pid},
        )


class LoggingCursor(psycopg.Cursor[Any]):
    """Each statement and its time to the `dbopt.sql` logger (shown by -v). Parameters are data: never logged."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> LoggingCursor:
        if not logger.isEnabledFor(logging.DEBUG):
            return super().execute(query, params, **options)
        text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string()
        text = " ".join(text.split())
        if self.connection.pgconn.pipeline_status:  # the answer comes later, with those of others
            logger.debug("%s -- sent", text)
            return super().execute(query, params, **options)
        started = time.monotonic()
        try:
            return super().execute(query, params, **options)
        finally:
            logger.debug("%s -- %.1f ms", text, (time.monotonic() - started) * 1000)


def describe(conninfo: str) -> str:
    """Where a conninfo leads, for people: `host:port/dbname`, with neither user nor password."""
    try:
        given = pq_conninfo.conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        return "the server"
    # What the string leaves out, libpq takes from the environment.
    environment = {
        name: os.environ.get(f"PG{name.upper()}") for name in ("service", "hostaddr", "host", "port", "user")
    }
    parameters = {**environment, "dbname": os.environ.get("PGDATABASE"), **given}
    if parameters["service"] and "host" not in given:
        return f"service {parameters['service']}"
    host = parameters["host"] or parameters["hostaddr"] or "local socket"
    port = parameters["port"]
    name = parameters["dbname"] or parameters["user"] or ""
    return f"{host}{f':{port}' if port else ''}{f'/{name}' if name else ''}"


_HINT_DSN = (
    "Use -d with a name, key=value pairs or a URI: -d 'host=db1 dbname=app user=me', -d postgresql://me@db1/app."
)

_HINT_PORT = "A port is a number from 1 to 65535: check -p, PGPORT and the connection string."

# Words of the server and of libpq that tell why there is no session, and what to type about it. A failure to connect
# carries no SQLSTATE; a server that speaks another language gets the general hint.
_REASONS = (
    ("password authentication failed", "Check the user, then the password in ~/.pgpass or PGPASSWORD."),
    ("no password supplied", "Put the password into ~/.pgpass, or set PGPASSWORD."),
    ("no pg_hba.conf entry", "Ask for a line in pg_hba.conf that lets this user in from this host."),
    ("too many clients", "All slots are taken: end an idle session, or raise max_connections."),
    ("too many connections for", "The role or database has no slot left: end an idle session, or raise its limit."),
    ("remaining connection slots", "All slots are taken: end an idle session, or raise max_connections."),
    ('role "', "Name a role that exists with -U, PGUSER or in the connection string."),
    ("does not exist", "List the databases with psql -l, then name one with -d."),
    ("starting up", "The server is starting up; try again in a moment."),
    ("shutting down", "The server is shutting down; try again once it is back."),
    ("Connection refused", "Is the server running there? Check -h and -p, then the server's log."),
    ("No such file or directory", "No server listens on this socket. Name the host with -h, or start the server."),
    ("Servname not supported", _HINT_PORT),
    ("invalid port number", _HINT_PORT),
    ('option "port"', _HINT_PORT),
    ("translate host name", "Check the host name given with -h, PGHOST or the DSN."),
    ("resolve host", "Check the host name given with -h, PGHOST or the DSN."),
    ("timeout expired", "The host does not answer: check -h and -p, the network and the firewall."),
    ("does not support SSL", "The server has no TLS: use sslmode=prefer, or turn TLS on there."),
    ("certificate verify failed", "Name the authority's certificate with sslrootcert, or PGSSLROOTCERT."),
    ("definition of service", "Name a service of ~/.pg_service.conf, or of the file that PGSERVICEFILE names."),
)


def _connection_failed(exc: psycopg.Error, conninfo: str) -> ConnectionFailed:
    """Which of the known reasons it is; libpq's own words as the detail, without secrets."""
    words = _masked(str(exc), conninfo).removeprefix("connection is bad:").removeprefix("connection failed:")
    hint = "Check the connection options: dbopt --show-config prints where each of them came from."
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return ConnectionFailed(
        f"could not connect to {describe(conninfo)}",
        detail="\n".join(lines) or None,
        hint=next((reason for key, reason in _REASONS if key in words), hint),
    )


def _masked(words: str, conninfo: str) -> str:
    """The words without the conninfo's secrets, should libpq ever repeat them."""
    try:
        secrets = [v for k, v in pq_conninfo.conninfo_to_dict(conninfo).items() if k.endswith("password")]
    except psycopg.ProgrammingError:
        return "it is neither key=value pairs nor a URI that libpq understands"
    for secret in secrets:
        if secret:
            words = words.replace(str(secret), "********")
    return words
