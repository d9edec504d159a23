"""What the clients of PostgreSQL write into their connection URLs, and what each of it means to libpq.

A table, in the order in which it is asked: the dialect's own rules, then those that hold for everybody. A parameter
that no rule names is libpq's own, or unknown. Sources, as of 2025:
Prisma https://www.prisma.io/docs/orm/overview/databases/postgresql
JDBC https://jdbc.postgresql.org/documentation/use/
node-pg https://github.com/brianc/node-postgres (pg-connection-string)
SQLAlchemy dialects psycopg, asyncpg · pgx https://pkg.go.dev/github.com/jackc/pgx/v5/pgxpool · Rails database.yml
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Rename:
    """Another name for a libpq parameter; `values` are those that are spelled differently."""

    to: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long a statement may take; a bare number counts in `unit`, s or ms."""

    unit: str


@dataclass(frozen=True, slots=True)
class Connect:
    """How long connecting may take."""

    unit: str


@dataclass(frozen=True, slots=True)
class SearchPath:
    """`quote`: the value is one name, as it is; else it is a list as SQL writes it."""

    quote: bool


@dataclass(frozen=True, slots=True)
class Aside:
    """Means nothing to a client without a pool; the reason, for the note."""

    why: str


Rule = Rename | Timeout | Connect | SearchPath | Aside


def _each(rule: Rule, names: str) -> dict[str, Rule]:
    """One rule for many names."""
    return dict.fromkeys(names.split(), rule)


_POOL = Aside("it is for the application's pool")
_CLIENT = Aside("it is for the application's driver")
_SOCKET = Aside("libpq has no limit on one read; statement_timeout limits the statement")
_POOLER = Aside("dbopt needs a session of its own; behind a transaction pooler name the server itself")

# node-pg and SQLAlchemy's asyncpg say `ssl`. true is libpq's require, as libpq's own URI reader has it.
_SSL = {
    **dict.fromkeys(("true", "1", "on", "yes", "no-verify"), "require"),
    **dict.fromkeys(("false", "0", "off", "no"), "disable"),
}

_EVERYBODY: Mapping[str, Rule] = {
    "ssl": Rename("sslmode", _SSL),
    "sslmode": Rename("sslmode", {"no-verify": "require"}),
    "uselibpqcompat": Aside("libpq's own meaning of sslmode is used"),
    "search_path": SearchPath(quote=False),
    "schema": SearchPath(quote=True),
    "currentSchema": SearchPath(quote=False),
    "statement_timeout": Timeout("ms"),
    "query_timeout": Timeout("ms"),
    "connectionTimeoutMillis": Connect("ms"),
    "connect_timeout": Connect("s"),
    "encoding": Rename("client_encoding"),
    "ApplicationName": Rename("application_name"),
    "pgbouncer": _POOLER,
    **_each(
        _POOL,
        "connection_limit pool_timeout pool pool_size max_overflow pool_recycle pool_pre_ping reaping_frequency"
        " checkout_timeout idle_timeout max_lifetime conn_max_age conn_health_checks max min"
        " idleTimeoutMillis maxUses allowExitOnIdle pool_max_conns pool_min_conns pool_min_idle_conns"
        " pool_max_conn_lifetime pool_max_conn_lifetime_jitter pool_max_conn_idle_time pool_health_check_period"
        " supa",
    ),
    **_each(
        _CLIENT,
        "prepared_statements statement_cache_size statement_cache_capacity description_cache_capacity"
        " default_query_exec_mode prepared_statement_cache_size prepared_statement_name_func prepare_threshold"
        " executemany_mode async_fallback command_timeout lock_timeout idle_in_transaction_session_timeout"
        " binary_parameters fallback_application_name keepAlive sslinline variables advisory_locks",
    ),
    "socket_timeout": _SOCKET,
}

_PRISMA: Mapping[str, Rule] = {
    # The guide that dbopt succeeds wrote statement_timeout=30 for thirty seconds.
    "statement_timeout": Timeout("s"),
    "query_timeout": Timeout("s"),
    "sslcert": Aside("Prisma's sslcert is the authority's certificate; libpq calls it sslrootcert"),
    "sslidentity": Aside("libpq reads no PKCS 12 file; name the parts with sslcert and sslkey"),
    "sslpassword": Aside("it belongs to sslidentity"),
}

_JDBC: Mapping[str, Rule] = {
    "connectTimeout": Connect("s"),
    "loginTimeout": Connect("s"),
    "socketTimeout": _SOCKET,
    "tcpKeepAlive": Rename("keepalives", {"true": "1", "false": "0"}),
    "targetServerType": Rename(
        "target_session_attrs",
        {"master": "primary", "slave": "standby", "secondary": "standby"}
        | dict.fromkeys(("preferslave", "prefersecondary", "preferstandby"), "prefer-standby")
        | {"preferprimary": "any"},
    ),
    "loadBalanceHosts": Rename("load_balance_hosts", {"true": "random", "false": "disable"}),
    "gssEncMode": Rename("gssencmode"),
    "channelBinding": Rename("channel_binding"),
    "kerberosServerName": Rename("krbsrvname"),
    "requireAuth": Rename("require_auth"),
    "sslNegotiation": Rename("sslnegotiation"),
    **_each(
        _CLIENT,
        "prepareThreshold preparedStatementCacheQueries preparedStatementCacheSizeMiB defaultRowFetchSize"
        " reWriteBatchedInserts stringtype binaryTransfer binaryTransferEnable binaryTransferDisable"
        " preferQueryMode assumeMinServerVersion autosave readOnly readOnlyMode unknownLength"
        " logUnclosedConnections sslfactory sslfactoryarg sslhostnameverifier sslpasswordcallback socketFactory"
        " socketFactoryArg disableColumnSanitiser databaseMetadataCacheFields databaseMetadataCacheFieldsMiB"
        " cleanupSavepoints cancelSignalTimeout hostRecheckSeconds allowEncodingChanges adaptiveFetch"
        " adaptiveFetchMinimum adaptiveFetchMaximum maxResultBuffer receiveBufferSize sendBufferSize"
        " escapeSyntaxCallMode gsslib jaasLogin jaasApplicationName useSpnego sspiServiceClass"
        " quoteReturningIdentifiers hideUnprivilegedObjects groupStartupParameters"
        " logServerErrorDetail loggerLevel loggerFile tcpNoDelay"
        " authenticationPluginClassName xmlFactoryFactory localSocketAddress",
    ),
}

_SQLALCHEMY: Mapping[str, Rule] = {"server_settings": _CLIENT, "timeout": Connect("s")}

_DIALECTS = {"prisma": _PRISMA, "jdbc": _JDBC, "sqlalchemy": _SQLALCHEMY}

# Names that only Prisma has: one of them tells how the others are meant.
_PRISMA_ONLY = frozenset(
    ("schema", "connection_limit", "pool_timeout", "pgbouncer", "sslaccept", "sslidentity", "socket_timeout")
)


def name(pairs: Sequence[tuple[str, str]], *, jdbc: bool, driver: str | None) -> str:
    """Whose URL this is: prisma, jdbc, sqlalchemy, or other."""
    if jdbc:
        return "jdbc"
    if driver:
        return "sqlalchemy"
    return "prisma" if any(key in _PRISMA_ONLY for key, _ in pairs) else "other"


def rule(dialect: str, key: str) -> Rule | None:
    """What a parameter means in a dialect; None: no rule, so libpq's own or unknown."""
    return _DIALECTS.get(dialect, {}).get(key) or _EVERYBODY.get(key)
