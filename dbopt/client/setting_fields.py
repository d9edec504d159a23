"""The settings of a Database, as a table: unit, variables, what a value may be, and what each of them becomes."""

from __future__ import annotations

from collections.abc import Sequence

from dbopt.values import dataclass

MOST = 2**31 - 1  # as for PostgreSQL's own settings
MOST_CONNECTIONS = 2**18 - 1  # of max_connections, by PostgreSQL's own limit


@dataclass(frozen=True, slots=True)
class Field:
    """A line of the table. `least` to `most`, in its unit: what a number may be; None: it is none."""

    name: str
    unit: str
    becomes: str
    variables: tuple[str, ...] = ()
    url: tuple[str, ...] = ()  # besides what pool_urls knows
    least: int | None = None
    most: int = MOST
    may_be_none: bool = False
    shown_default: str | None = None  # where the value itself says little


FIELDS: Sequence[Field] = (
    Field(
        "max_connections",
        "connections",
        "how many slots the pool has (SQLAlchemy's `pool_size`, with `max_overflow=0`)",
        ("DB_MAX_CONNECTIONS",),
        least=1,
        most=MOST_CONNECTIONS,
    ),
    Field(
        "min_connections",
        "connections",
        "how many stay open when idle, and how many `open()` opens; never more than `max_connections`",
        ("DB_MIN_CONNECTIONS",),
        least=0,
        most=MOST_CONNECTIONS,
    ),
    Field(
        "connect_timeout_ms",
        "ms",
        "libpq's `connect_timeout`, in whole seconds and at least 2, for each host; 0: psycopg's own limit of 130 s",
        ("DB_CONNECTION_TIMEOUT",),
        ("connect_timeout", "connectionTimeoutMillis", "connectTimeout", "loginTimeout"),
        least=0,
    ),
    Field(
        "acquire_timeout_ms",
        "ms",
        "how long to wait for a free connection (SQLAlchemy's `pool_timeout`), then PoolExhausted; 0: without limit",
        ("DB_ACQUIRE_TIMEOUT",),
        least=0,
    ),
    Field(
        "idle_timeout_ms",
        "ms",
        "what is idle for longer is closed, down to `min_connections`; 0: never",
        ("DB_IDLE_TIMEOUT",),
        least=0,
    ),
    Field(
        "statement_timeout_ms",
        "ms",
        "the server's `statement_timeout`, the smaller one of the two variables; set when a connection is opened,"
        " behind a pooler for each transaction (SET LOCAL); 0: no limit; None: the server's own",
        ("DB_STATEMENT_TIMEOUT", "DB_QUERY_TIMEOUT"),
        ("statement_timeout", "query_timeout"),
        least=0,
        may_be_none=True,
    ),
    Field(
        "query_timeout_ms",
        "ms",
        "within what time a server that has vanished is noticed: libpq's `tcp_user_timeout` and `keepalives_idle`,"
        " `keepalives_interval`, `keepalives_count`; 0: as the operating system has it",
        ("DB_QUERY_TIMEOUT",),
        least=0,
    ),
    Field(
        "reject_unauthorized",
        "",
        "true makes libpq's `sslmode=require` a `verify-full` (against the system's authorities without an"
        " `sslrootcert`), false makes `verify-ca` and `verify-full` a `require`; None: `sslmode` as it is",
        ("DB_SSL_REJECT_UNAUTHORIZED",),
        may_be_none=True,
    ),
    Field(
        "slow_threshold_ms",
        "ms",
        "a statement that takes longer is counted and kept as slow",
        ("SLOW_QUERY_THRESHOLD",),
        least=0,
    ),
    Field(
        "prepared_statements",
        "",
        "psycopg's `prepare_threshold`: 5, or None when off; None: on, but off behind a pooler",
        may_be_none=True,
    ),
    Field(
        "pooler",
        "",
        "PgBouncer or its like in between, which may give each transaction another session: nothing is set for the"
        " session; None: found out when connecting",
        may_be_none=True,
    ),
    Field("recycle_seconds", "s", "SQLAlchemy's `pool_recycle`: older connections are replaced; 0: never", least=0),
    Field(
        "pre_ping",
        "",
        "SQLAlchemy's `pool_pre_ping`: a connection that was idle is tried before it is lent out, and replaced where it"
        " is dead",
    ),
    Field(
        "application",
        "",
        "the server's `application_name`, and the name under which figures are published",
        ("DBOPT_APPLICATION", "PGAPPNAME"),
        ("application_name", "ApplicationName"),
        shown_default="the program's name",
    ),
    Field("cache_entries", "entries", "the most that the cache in memory holds", least=0),
    Field("cache_bytes", "bytes", "the most that they take; also as text, such as 64MB", least=0, most=2**62),
    Field(
        "cache_url",
        "",
        "redis://HOST:PORT/NUMBER: the cache is there, for several processes; None: in memory",
        ("DBOPT_CACHE_URL",),
        may_be_none=True,
    ),
    Field("cache_notify", "", "tell other processes by NOTIFY what is no longer valid, and listen to them"),
    Field(
        "schema_version",
        "",
        "a part of each key of the cache: with another one nothing of before is found",
        may_be_none=True,
    ),
    Field(
        "cursor_secrets",
        "",
        "by which cursors of pages are signed: the first one signs, all are accepted; several in"
        " DBOPT_CURSOR_SECRETS are divided by commas",
        ("DBOPT_CURSOR_SECRET", "DBOPT_CURSOR_SECRETS"),
        shown_default="none",
    ),
    Field("store_url", "", "where figures are published; None: nowhere", ("DBOPT_STORE_URL",), may_be_none=True),
)
