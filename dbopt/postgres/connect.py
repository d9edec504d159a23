"""The only place that opens a connection, and the manners of every session.

Read-only sessions cannot write even by mistake, nothing waits for ever, and whoever looks at pg_stat_activity sees who
we are. Times are in milliseconds as PostgreSQL's settings count them; 0 means no limit.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import conninfo as pq_conninfo

from dbopt.errors import ConnectionFailed, NoSession
from dbopt.postgres import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger("dbopt.sql")

CONNECT_TIMEOUT_SECONDS = 10  # libpq's own default is to wait for ever
CONNECT_TIMEOUT_LEAST_SECONDS = 2  # the least that libpq knows; of one host
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
    settings: Mapping[str, str] | None = None,
) -> Connection:
    """A session in autocommit with its manners set, as `dbopt COMMAND`.

    `conninfo` is a libpq conninfo string or URI; what it leaves out comes from the PG* variables, as with psql.
    Raises ConnectionFailed, its hint being what to type; passwords never appear in it.
    """
    parameters = _parameters(conninfo, command)
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
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
    conn = _open(parameters, conninfo)
    try:
        apply_settings(conn, manners)
    except psycopg.Error as exc:
        conn.close()
        raise _connection_failed(exc, conninfo, parameters) from None
    return conn


def connect_by(conninfo: str, *, command: str, deadline_seconds: float) -> Connection:
    """A session in autocommit as `dbopt COMMAND`, in which nothing is set: each transaction brings its own manners
    (`set_in_transaction`), which saves a round trip, and leaves nothing behind a pooler.

    By the deadline all of it is over, however many hosts there are, and however long a connect_timeout the user has
    set. Raises ConnectionFailed as `connect` does.
    """
    parameters = {**_parameters(conninfo, command), "connect_timeout": CONNECT_TIMEOUT_LEAST_SECONDS}
    hosts = _hosts(parameters)
    failures: list[ConnectionFailed] = []
    for host in hosts:
        try:
            return _by(deadline_seconds / len(hosts), functools.partial(_open, host, conninfo), conninfo)
        except ConnectionFailed as exc:
            failures.append(exc)
    last = failures[-1]
    details = dict.fromkeys(failure.detail for failure in failures if failure.detail)
    raise ConnectionFailed(last.message, kind=last.kind, detail="\n".join(details) or None, hint=last.hint)


def _parameters(conninfo: str, command: str) -> dict[str, Any]:
    try:
        parameters = pq_conninfo.conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as exc:
        raise ConnectionFailed(
            "could not read the connection string",
            kind=NoSession.SETTINGS,
            detail=masked(str(exc), conninfo),
            hint=_HINT_DSN,
        ) from None
    # application_name of the environment or the DSN is somebody's default for programs; ours says what this is. Names
    # come as text in UTF-8 only: those of a SQL_ASCII database are bytes in its own encoding.
    return {**parameters, "application_name": f"dbopt {command}", "client_encoding": "utf8"}


def _open(parameters: Mapping[str, Any], conninfo: str) -> Connection:
    try:
        return psycopg.connect(
            "",
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=LoggingCursor,
            **parameters,
        )
    except psycopg.Error as exc:
        raise _connection_failed(exc, conninfo, parameters) from None


def _hosts(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One set of parameters a host, so that the first that is dead leaves time for the others. What is chosen among
    all of them together stays together.
    """
    together = ("prefer-standby", "random")
    given = {name: _parameter(parameters, name) for name in ("host", "hostaddr", "port")}
    lists = {name: value.split(",") for name, value in given.items() if value}
    count = max(map(len, lists.values()), default=1)
    choices = (_parameter(parameters, "target_session_attrs"), _parameter(parameters, "load_balance_hosts"))
    if count == 1 or any(choice in together for choice in choices):
        return [dict(parameters)]
    return [
        {**parameters, **{name: values[i if len(values) > 1 else 0] for name, values in lists.items()}}
        for i in range(count)
    ]


def _parameter(parameters: Mapping[str, Any], name: str) -> str:
    """As libpq finds it: given, or of the environment."""
    return str(parameters.get(name) or os.environ.get(f"PG{name.upper().replace('_', '')}") or "")


def _by(seconds: float, attempt: Callable[[], Connection], conninfo: str) -> Connection:
    """What `attempt` gives, if in time; a session that comes later is closed."""
    future: Future[Connection] = Future()

    def run() -> None:
        try:
            conn = attempt()
        except BaseException as exc:  # noqa: BLE001 - it goes to the thread that waits
            with contextlib.suppress(InvalidStateError):
                future.set_exception(exc)
            return
        try:
            future.set_result(conn)
        except InvalidStateError:
            conn.close()

    threading.Thread(target=run, name="dbopt connect", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        if not future.cancel():
            return future.result()
        kind, hint = refused.timed_out()
        raise ConnectionFailed(
            f"could not connect to {describe(conninfo)}",
            kind=kind,
            detail=f"no answer within {seconds:.1f} s",
            hint=hint,
        ) from None


# A setting that this version does not have is left out.
_SET: LiteralString = (
    "/* dbopt: settings */ SELECT pg_catalog.set_config(s.name, s.value, %(local)s::bool)"
    " FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(values)s::text[])) AS s(name, value)"
    " WHERE (%(local)s::bool OR pg_catalog.pg_backend_pid() = %(pid)s)"
    " AND pg_catalog.current_setting(s.name, true) IS NOT NULL"
)


def apply_settings(conn: Connection, settings: Mapping[str, str]) -> None:
    """SET for this session, values bound, one round trip.

    Not behind a pooler, which makes up the pid that a client is told: what is set there stays with a session of the
    server's that the next client gets, who would find it read-only.
    """
    if settings:
        _set(conn, settings, local=False)


def set_in_transaction(conn: Connection, settings: Mapping[str, str]) -> None:
    """SET LOCAL for the transaction that is open, values bound, one statement."""
    _set(conn, settings, local=True)


def _set(conn: Connection, settings: Mapping[str, str], *, local: bool) -> None:
    names, values = list(settings), list(settings.values())
    conn.execute(_SET, {"names": names, "values": values, "local": local, "pid": conn.info.backend_pid})


# What a statement of ours begins with, and its first word.
_MARK = re.compile(r"\s*(/\* dbopt: [^*/]+ \*/)\s*(\w+)")


# What follows is somebody else's statement, maybe with values in it.
_OTHERS_TEXT = ("/* dbopt: prepare */", "/* dbopt: explain */")


class LoggingCursor(psycopg.Cursor[Any]):
    """Each statement and its time to the `dbopt.sql` logger (shown by -v). Parameters are data: never logged.

    From 18 on, pg_stat_statements keeps no comment that stands in front: ours go behind the first word.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> LoggingCursor:
        text = query.decode() if isinstance(query, bytes) else query
        text = text if isinstance(text, str) else text.as_string(self)
        if mark := _MARK.match(text):
            query = f"{mark[2]} {mark[1]}{text[mark.end() :]}"
        if not logger.isEnabledFor(logging.DEBUG):
            return super().execute(query, params, **options)
        text = " ".join(text.split())
        if about := next((words for words in _OTHERS_TEXT if words in text), None):
            from dbopt.postgres.literals import masked

            text = f"{about} {masked(text)}"
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


def _connection_failed(exc: psycopg.Error, conninfo: str, parameters: Mapping[str, Any]) -> ConnectionFailed:
    """Which of the known reasons it is; libpq's own words as the detail, without secrets."""
    words = masked(str(exc), conninfo).removeprefix("connection is bad:").removeprefix("connection failed:")
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    kind, hint = refused.reason(exc, words, pq_conninfo.make_conninfo("", **parameters))
    return ConnectionFailed(
        f"could not connect to {describe(conninfo)}", kind=kind, detail="\n".join(lines) or None, hint=hint
    )


def lost(exc: psycopg.Error, place: str) -> ConnectionFailed:
    """A session that ended while it was at work, on a server that answers again."""
    return ConnectionFailed(
        f"the connection to {place} was lost",
        kind=NoSession.LOST,
        detail=str(exc).strip().partition("\n")[0] or None,
        hint="See the server's log for what ended the session; then try again.",
    )


def masked(words: str, conninfo: str) -> str:
    """The words without the conninfo's secrets, should libpq ever repeat them."""
    try:
        secrets = [v for k, v in pq_conninfo.conninfo_to_dict(conninfo).items() if k.endswith("password")]
    except psycopg.ProgrammingError:
        return "it is neither key=value pairs nor a URI that libpq understands"
    for secret in secrets:
        if secret:
            words = words.replace(str(secret), "********")
    return words
