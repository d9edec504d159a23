"""SQLAlchemy's engines, on the pool of this package and its connections."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from psycopg import Error as PsycopgError
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import base
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dbopt.client.connections import connecting
from dbopt.client.connections.pool import AsyncPool, Pool
from dbopt.client.failures import is_lost
from dbopt.errors import Error
from dbopt.postgres.connect import describe

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect, ExceptionContext

    from dbopt.client.settings import Settings


def make_engine(settings: Settings, **options: Any) -> sa.Engine:
    """Nothing connects yet. `options`: of SQLAlchemy's create_engine, such as `echo`."""
    engine = sa.create_engine(_label(settings), poolclass=Pool, **_options(settings, options))

    def do_connect(_dialect: Dialect, _record: object, _args: object, parameters: dict[str, Any]) -> Any:
        return connecting.connect(settings, parameters.get("context"))

    event.listen(engine, "do_connect", do_connect)
    _listen(engine, settings)
    return engine


def make_async_engine(settings: Settings, **options: Any) -> AsyncEngine:
    """As make_engine, with psycopg's asynchronous connections."""
    engine = create_async_engine(_label(settings), poolclass=AsyncPool, **_options(settings, options))

    def do_connect(dialect: Dialect, _record: object, _args: object, parameters: dict[str, Any]) -> Any:
        def connect() -> Any:
            return connecting.connect_async(settings, parameters.get("context"))

        return dialect.loaded_dbapi.connect(async_creator_fn=connect)

    event.listen(engine.sync_engine, "do_connect", do_connect)
    _listen(engine.sync_engine, settings)
    return engine


def _label(settings: Settings) -> sa.URL:
    """Where it leads, for errors and traces; without a password, as `do_connect` does not read it."""
    given = settings.parameters()
    hosts, ports = given.get("host", ""), given.get("port", "")
    return sa.URL.create(
        "postgresql+psycopg",
        username=given.get("user"),
        host=hosts.split(",")[0] or None,
        port=int(ports.split(",")[0]) if ports.split(",")[0].isdecimal() else None,
        database=given.get("dbname"),
    )


def _options(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "pool_size": settings.max_connections,
        "pool_timeout": settings.acquire_timeout_ms / 1000,
        "pool_recycle": settings.recycle_seconds or -1,
        "pool_pre_ping": settings.pre_ping,
        "keep": settings.min_connections,
        "idle_seconds": settings.idle_timeout_ms / 1000,
        "server": describe(settings.conninfo),
        "hide_parameters": True,  # values of rows have no place in errors and logs
        **options,
    }


def _listen(engine: sa.Engine, settings: Settings) -> None:
    event.listen(engine, "handle_error", _handle)
    dialect: Any = engine.dialect  # of PostgreSQL
    dialect.connection_characteristics = dialect.connection_characteristics.union(
        {"postgresql_readonly": _ReadOnly(), "postgresql_deferrable": _Deferrable()}
    )
    timeout = settings.statement_timeout_ms
    if timeout is None or settings.pooler is False:
        return
    begin = engine.dialect.do_begin

    def do_begin(connection: Any) -> None:
        """Behind a pooler a transaction is all that is certain to be on one session of the server's."""
        begin(connection)
        driver = connection.driver_connection
        if driver.is_pooled and not driver.autocommit:
            cursor = connection.cursor()
            cursor.execute(connecting.SET_LOCAL, (str(timeout),))
            cursor.close()

    # SQLAlchemy has no event inside the part where errors of BEGIN are handled.
    engine.dialect.do_begin = do_begin  # type: ignore[method-assign, assignment]


class _ReadOnly(base.PGReadOnlyConnectionCharacteristic):
    """Afterwards it is again as the server has it. False, as SQLAlchemy leaves it, would be BEGIN READ WRITE from then
    on: on a replica an error, and elsewhere against what default_transaction_read_only says.
    """

    def reset_characteristic(self, dialect: Any, dbapi_conn: Any) -> None:
        dialect.set_readonly(dbapi_conn, None)


class _Deferrable(base.PGDeferrableConnectionCharacteristic):
    def reset_characteristic(self, dialect: Any, dbapi_conn: Any) -> None:
        dialect.set_deferrable(dbapi_conn, None)


def _handle(context: ExceptionContext) -> None:
    error = context.original_exception
    if isinstance(error, Error):
        # Ours say what they are without SQLAlchemy's StatementError around them. A copy: SQLAlchemy raises it from the
        # original one, and nothing shall be its own cause.
        raise copy.copy(error)
    if isinstance(error, PsycopgError) and is_lost(error):
        context.is_disconnect = True
