"""A cache that is asked for one customer's name, and counts how often it had to read: for the tests of the cache."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from client.engines import run
from client.models import Base, customer
from dbopt.client.cache import Cache
from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_engine
from dbopt.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Database, Server
    from sqlalchemy import orm

    from dbopt.client import Cached
    from dbopt.client.runtime import Runtime

NAME = sa.select(customer.c.name).where(customer.c.id == 1)
ONCE = customer.update().where(customer.c.id == 1)


class Asking:
    def __init__(self, cache: Cache, engine: sa.Engine) -> None:
        self.cache = cache
        self.engine = engine
        self.reads = 0

    def name(self, how: Cached | float = 60, within: orm.Session | None = None) -> Any:
        return self.ask(self.read if within is None else lambda: self.counted(within.scalar(NAME)), how, within=within)

    def ask(
        self,
        make: Callable[[], Any],
        how: Cached | float = 60,
        *,
        key: Any = "name",
        tables: tuple[str, ...] = ("customer",),
        within: orm.Session | None = None,
    ) -> Any:
        return self.cache.get_or_make(("test", key), tables, how, make, within)

    def read(self) -> Any:
        with self.engine.connect() as connection:
            return self.counted(connection.scalar(NAME))

    def counted(self, value: Any) -> Any:
        self.reads += 1
        return value

    def rename(self, name: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(ONCE.values(name=name))

    def is_kept(self, *tables: str) -> bool:
        """Whether an answer that hangs on these tables is still there; if not, it is now."""
        made: list[int] = []
        self.ask(lambda: made.append(1), key=tables, tables=tables)
        return not made

    def do(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


@contextlib.contextmanager
def asking(url: str, **settings: Any) -> Iterator[Asking]:
    made = Settings.of(url, min_connections=0, **settings)
    engine = make_engine(made)
    cache = Cache(made, engine)
    try:
        yield Asking(cache, engine)
    finally:
        cache.close()
        pool.close(engine)


def both(kind: str, url: str, body: Callable[[Asking, Runtime], Any], **settings: Any) -> Any:
    """`body` with threads, or in a greenlet of an event loop."""

    def inside(engine: sa.Engine, runtime: Runtime) -> Any:
        cache = Cache(Settings.of(url, min_connections=0, **settings), engine)
        try:
            return body(Asking(cache, engine), runtime)
        finally:
            cache.close()

    return run(kind, url, inside)


@contextlib.contextmanager
def shop_database(pg: Server) -> Iterator[Database]:
    """For the tests of a module: `opened` before each."""
    with pg.database() as database:
        with asking(database.conninfo) as shop:
            Base.metadata.create_all(shop.engine)
        yield database


def opened(database: Database) -> str:
    """The shop with its two customers, whatever was before."""
    database.sql("TRUNCATE customer CASCADE; INSERT INTO customer (id, name) VALUES (1, 'Ada'), (2, 'Bo')")
    return database.conninfo
