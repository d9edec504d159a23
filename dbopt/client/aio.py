"""`AsyncDatabase`: the same operations for asyncio, on SQLAlchemy's AsyncEngine and psycopg's async connections."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.util import await_only, greenlet_spawn

from dbopt.client import transactions
from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_async_engine
from dbopt.client.core import Core
from dbopt.client.database import WARMING
from dbopt.client.failures import named
from dbopt.client.operations import AsyncOperations, Operations
from dbopt.client.runtime import Asyncio
from dbopt.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection

    from dbopt.client.cache import Cache
    from dbopt.client.connections.holders import Holder
    from dbopt.client.meter import Metrics

T = TypeVar("T")


class AsyncDatabase(AsyncOperations):
    """As `Database`, with coroutines. One event loop uses it: connections belong to the loop that has opened them."""

    def __init__(self, url: str | sa.URL | None = None, *, settings: Settings | None = None, **changes: Any) -> None:
        """As Database."""
        self.settings = settings or Settings.of(url, **changes)
        self.engine: AsyncEngine = make_async_engine(self.settings)
        self._core = Core(self.settings, self.engine.sync_engine, Asyncio())
        super().__init__(Operations(self._core.work))

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **changes: Any) -> Self:
        """As Database.from_env."""
        return cls(settings=Settings.from_env(env, **changes))

    # Sessions of SQLAlchemy's own

    def session(self, **options: Any) -> AsyncSession:
        """A session, for `async with`. Its objects stay usable after a commit (expire_on_commit=False)."""
        self._core.check_open()
        return AsyncSession(self.engine, **{"expire_on_commit": False, **options})

    @contextlib.asynccontextmanager
    async def begin(self, **options: Any) -> AsyncIterator[AsyncSession]:
        """As Database.begin."""
        with named(self._core.engine):
            async with self.session(**options) as session, session.begin():
                yield session

    async def transaction(
        self,
        body: Callable[[AsyncSession], Awaitable[T]],
        *,
        isolation: str | None = None,
        read_only: bool = False,
        attempts: int = transactions.ATTEMPTS,
    ) -> T:
        """As Database.transaction, with a coroutine function."""
        self._core.check_open()
        engine = self.engine.execution_options(**transactions.options(isolation, read_only=read_only))
        tried = transactions.Attempts(attempts)
        while True:
            try:
                with named(self._core.engine):
                    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                        result = await body(session)
                        tried.has_body_ended = True
                return result
            except Exception as error:  # noqa: BLE001 - all but a few are raised again
                await asyncio.sleep(tried.pause(error))

    def within(self, session: AsyncSession | AsyncConnection) -> AsyncOperations:
        """As Database.within."""
        return AsyncOperations(Operations(lambda: self._core.work(session)))

    # The Database itself

    async def open(self) -> None:
        """As Database.open."""
        self._core.check_open()
        await greenlet_spawn(pool.warm, self._core.engine)

    @property
    def cache(self) -> Cache:
        return self._core.cache

    async def warm(self, reads: Iterable[Callable[[Self], Awaitable[object]]], concurrency: int = WARMING) -> None:
        """As Database.warm, with coroutine functions."""
        tasks = [functools.partial(_done, read, self) for read in reads]
        await greenlet_spawn(self._core.warm, tasks, concurrency)

    def metrics(self) -> Metrics:
        """As Database.metrics."""
        return self._core.metrics()

    def reset_metrics(self) -> None:
        """As Database.reset_metrics."""
        self._core.reset_metrics()

    def holders(self) -> tuple[Holder, ...]:
        """As Database.holders."""
        return self._core.holders()

    async def close(self) -> None:
        """As Database.close; the last publication may take two seconds, in which the loop goes on."""
        await asyncio.to_thread(self._core.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _done(read: Callable[[T], Awaitable[object]], database: T) -> None:
    """In a greenlet."""
    await_only(read(database))
