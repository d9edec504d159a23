"""The catalogs as the cache knows them: read once for each generation of the schema, by whose connection it may be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from sqlalchemy import exc

from dbopt.client.cache import reach
from dbopt.client.cache.mutex import Mutex
from dbopt.client.cache.reach import Reach
from dbopt.client.cache.store import SCHEMA, Unavailable
from dbopt.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa
    from sqlalchemy import orm

    from dbopt.client.cache.store import Store

logger = logging.getLogger("dbopt.client")

FAILURES = (exc.SQLAlchemyError, psycopg.Error, Error)


class Catalogs:
    """`known`: what was read the last time; None: nothing yet, or something else is true since."""

    def __init__(self, engine: sa.Engine, store: Store, failed: Callable[[], None]) -> None:
        self._engine = engine
        self._store = store
        self._failed = failed
        self._reading = Mutex()
        self.known: Reach | None = None

    def forget(self) -> None:
        self.known = None

    def read(self, within: orm.Session | None, wait_seconds: float) -> Reach:
        """As they are now, with what the store says of their generation. Raises Unavailable: they cannot be read, or
        somebody else is just reading them and there is no time to wait.
        """
        if not self._reading.acquire(0 if within is not None else wait_seconds):
            raise Unavailable
        try:
            known = self.known
            if known is not None and self._store.generations((SCHEMA,)) == (known.generation,):
                return known  # somebody else has read them meanwhile
            if within is None:
                with self._engine.connect() as connection:
                    return self.read_by(connection.connection)
            # By the caller's connection: another one may not come free before the caller is done. In a savepoint, as
            # what fails there does the transaction no harm.
            connection = within.connection()
            with connection.begin_nested():
                return self.read_by(connection.connection)
        except FAILURES as error:
            self._failed()
            logger.debug("the catalogs could not be read for the cache: %s", type(error).__name__)
            raise Unavailable from None
        finally:
            self._reading.release()

    def read_by(self, pooled: Any) -> Reach:
        """By a connection of the pool, or psycopg's own, below SQLAlchemy's events: it is no statement of the
        application's. Raises psycopg.Error, Unavailable.
        """
        info = getattr(pooled, "driver_connection", pooled).info
        [row] = asked(pooled, reach.SESSION)
        scope = reach.scope(row, info.host, info.port)
        self._store.locate(scope.server)
        # Before the catalogs are read, as with any answer.
        (generation,) = self._store.generations((SCHEMA,))
        self.known = found = Reach(scope, asked(pooled, reach.FACTS), generation)
        return found


def asked(pooled: Any, query: LiteralString, values: Sequence[Any] | None = None) -> list[Any]:
    """All rows. Raises psycopg.Error."""
    cursor = pooled.cursor()
    try:
        cursor.execute(query, values)
        rows: list[Any] = cursor.fetchall()
        return rows
    finally:
        cursor.close()
