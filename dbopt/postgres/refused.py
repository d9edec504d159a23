"""Why there is no session: which of the known reasons it is, and what to type.

libpq says so in words alone, and a server says them in its own language. So where the words tell nothing, the failure
is made once more with libpq's trace on, which has the server's SQLSTATE.
"""

from __future__ import annotations

import re
import select
import tempfile
import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq

from dbopt.errors import NoSession

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRACE_SECONDS = 1.0

_HINT_SLOTS = "All slots are taken: end an idle session, or raise max_connections."
_HINT_PORT = "A port is a number from 1 to 65535: check -p, PGPORT and the connection string."
_HINT_HOST = "Check the host name given with -h, PGHOST or the DSN."
_HINT_DOWN = "Is the server running there? Check -h and -p, then the server's log."
_HINT_DATABASE = "List the databases with psql -l, then name one with -d."
_HINT_ROLE = "Name a role that exists with -U, PGUSER or in the connection string."
_HINT_AGAIN = "The server is starting up; try again in a moment."
_HINT_PASSWORD = "Check the user, then the password in ~/.pgpass or PGPASSWORD."
_HINT_TLS = "Check sslmode, and the files that sslrootcert, sslcert and sslkey name."
_HINT_STOPPED = "The server is shutting down; try again once it is back."
_HINT_OTHER = "Check the connection options: dbopt --show-config prints where each of them came from."
_HINT_TIMEOUT = "The host does not answer: check -h and -p, the network and the firewall."

# Words of the server, of libpq and of PgBouncer; the first that occurs tells.
_WORDS: Sequence[tuple[str, NoSession, str]] = (
    ("password authentication failed", NoSession.AUTHENTICATION, _HINT_PASSWORD),
    ("SASL authentication failed", NoSession.AUTHENTICATION, _HINT_PASSWORD),
    ("no password supplied", NoSession.AUTHENTICATION, "Put the password into ~/.pgpass, or set PGPASSWORD."),
    (
        "no pg_hba.conf entry",
        NoSession.AUTHENTICATION,
        "Ask for a line in pg_hba.conf that lets this user in from this host.",
    ),
    ("pg_hba.conf rejects", NoSession.AUTHENTICATION, "Ask for the line in pg_hba.conf that says reject to be lifted."),
    ("too many clients", NoSession.NO_SLOT, _HINT_SLOTS),
    (
        "too many connections for",
        NoSession.NO_SLOT,
        "The role or database has no slot left: end an idle session, or raise its limit.",
    ),
    ("remaining connection slots", NoSession.NO_SLOT, _HINT_SLOTS),
    ("no more connections allowed", NoSession.NO_SLOT, "The pooler is full: raise its max_client_conn."),
    ("query_wait_timeout", NoSession.NO_SLOT, "The pooler has no session of the server's free: raise its pool_size."),
    ("starting up", NoSession.STARTING, _HINT_AGAIN),
    ("recovery mode", NoSession.STARTING, "The server recovers from a crash: see its log, and try again in a moment."),
    ("not yet accepting connections", NoSession.STARTING, _HINT_AGAIN),
    (
        "Hot standby mode is disabled",
        NoSession.SETTINGS,
        "It is a standby that takes no queries: set hot_standby = on.",
    ),
    ("shutting down", NoSession.STOPPING, _HINT_STOPPED),
    ("not currently accepting connections", NoSession.SETTINGS, "Name another database with -d."),
    ("permission denied for database", NoSession.AUTHENTICATION, "GRANT CONNECT ON DATABASE ... TO the role."),
    ("is not permitted to log in", NoSession.AUTHENTICATION, "ALTER ROLE ... LOGIN, or name another with -U."),
    ("definition of service", NoSession.SETTINGS, "Name a service of ~/.pg_service.conf, or of PGSERVICEFILE's file."),
    ("service file", NoSession.SETTINGS, "Name a service file that can be read with PGSERVICEFILE."),
    (
        "certificate verify failed",
        NoSession.TLS,
        "Name the authority's certificate with sslrootcert, or PGSSLROOTCERT.",
    ),
    ("does not support SSL", NoSession.TLS, "The server has no TLS: use sslmode=prefer, or turn TLS on there."),
    ("root certificate", NoSession.TLS, _HINT_TLS),
    ("certificate file", NoSession.TLS, _HINT_TLS),
    ("private key file", NoSession.TLS, _HINT_TLS),
    ("SSL error", NoSession.TLS, _HINT_TLS),
    ("does not match host name", NoSession.TLS, _HINT_TLS),
    ("Servname not supported", NoSession.SETTINGS, _HINT_PORT),
    ("invalid port number", NoSession.SETTINGS, _HINT_PORT),
    ('option "port"', NoSession.SETTINGS, _HINT_PORT),
    ("translate host name", NoSession.NAME_RESOLUTION, _HINT_HOST),
    ("resolve host", NoSession.NAME_RESOLUTION, _HINT_HOST),
    ("no such user", NoSession.UNKNOWN_ROLE, _HINT_ROLE),
    ("no such database", NoSession.UNKNOWN_DATABASE, _HINT_DATABASE),
    ("timeout expired", NoSession.TIMEOUT, _HINT_TIMEOUT),
    ("timed out", NoSession.TIMEOUT, _HINT_TIMEOUT),
    ("Connection refused", NoSession.DOWN, _HINT_DOWN),
    (
        "No such file or directory",
        NoSession.DOWN,
        "No server listens on this socket. Name the host with -h, or start the server.",
    ),
    ("No route to host", NoSession.DOWN, "The host cannot be reached: check -h, the network and the firewall."),
    ("unreachable", NoSession.DOWN, "The host cannot be reached: check -h, the network and the firewall."),
    ("server closed the connection", NoSession.DOWN, _HINT_DOWN),
    ("Connection reset", NoSession.DOWN, _HINT_DOWN),
    ("invalid connection option", NoSession.SETTINGS, _HINT_OTHER),
    ("bad value for", NoSession.SETTINGS, _HINT_OTHER),
    (
        "unrecognized configuration parameter",
        NoSession.SETTINGS,
        "Check options in the connection string, or PGOPTIONS.",
    ),
)

# Longer forms that only a pattern tells from names that somebody has chosen.
_PATTERNS: Sequence[tuple[str, NoSession, str]] = (
    (r'role ".*" does not exist', NoSession.UNKNOWN_ROLE, _HINT_ROLE),
    (r'database ".*" does not exist', NoSession.UNKNOWN_DATABASE, _HINT_DATABASE),
    (r"invalid .* value:", NoSession.SETTINGS, _HINT_OTHER),
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATES: Sequence[tuple[str, NoSession, str]] = (
    ("53300", NoSession.NO_SLOT, _HINT_SLOTS),
    ("57P03", NoSession.STARTING, "The server takes no sessions now: see its log, and try again in a moment."),
    ("57P01", NoSession.STOPPING, _HINT_STOPPED),
    ("57P02", NoSession.STARTING, "The server recovers from a crash: see its log, and try again in a moment."),
    ("3D000", NoSession.UNKNOWN_DATABASE, _HINT_DATABASE),
    ("28", NoSession.AUTHENTICATION, _HINT_PASSWORD),
    ("42501", NoSession.AUTHENTICATION, "GRANT CONNECT ON DATABASE ... TO the role."),
    ("42704", NoSession.SETTINGS, "Check options in the connection string, or PGOPTIONS."),
)


def reason(exc: psycopg.Error, words: str, conninfo: str) -> tuple[NoSession, str]:
    """Which it is, and the hint. `conninfo` is what was connected to, for another try."""
    known = _told(exc, words) or (None if exc.sqlstate else _by_state(sqlstate(conninfo)))
    return known or (NoSession.OTHER, _HINT_OTHER)


def kind(exc: psycopg.Error, words: str) -> NoSession:
    """Which it is, as far as that can be told without another try."""
    known = _told(exc, words)
    return known[0] if known else NoSession.OTHER


def _told(exc: psycopg.Error, words: str) -> tuple[NoSession, str] | None:
    if isinstance(exc, psycopg.errors.ConnectionTimeout):
        return NoSession.TIMEOUT, _HINT_TIMEOUT
    return _by_state(exc.sqlstate) if exc.sqlstate else _by_words(words)


def _by_state(state: str | None) -> tuple[NoSession, str] | None:
    return next(((kind, hint) for prefix, kind, hint in _STATES if state and state.startswith(prefix)), None)


def timed_out() -> tuple[NoSession, str]:
    return NoSession.TIMEOUT, _HINT_TIMEOUT


def _by_words(words: str) -> tuple[NoSession, str] | None:
    """What the last attempt's words say; those of several hosts stand behind it."""
    for pattern, kind, hint in _PATTERNS:
        if re.search(pattern, words):
            return kind, hint
    return next(((kind, hint) for key, kind, hint in _WORDS if key in words), None)


def sqlstate(conninfo: str) -> str | None:
    """What the server answers to this conninfo, by SQLSTATE; None where it answers nothing, or is not asked in time."""
    deadline = time.monotonic() + _TRACE_SECONDS
    conn = pq.PGconn.connect_start(conninfo.encode())
    try:
        if conn.status == pq.ConnStatus.BAD:
            return None
        with tempfile.TemporaryFile() as trace:
            try:
                conn.trace(trace.fileno())
            except psycopg.NotSupportedError:  # libpq traces on Linux alone
                return None
            while (status := conn.connect_poll()) in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
                left = deadline - time.monotonic()
                reading, writing = ([conn.socket], []) if status == pq.PollingStatus.READING else ([], [conn.socket])
                if left <= 0 or not any(select.select(reading, writing, [], left)):
                    break
            conn.untrace()
            trace.seek(0)
            found = re.findall(rb'^.*\tErrorResponse\t.* C "([0-9A-Z]{5})"', trace.read(), re.MULTILINE)
    finally:
        conn.finish()
    return found[-1].decode() if found else None
