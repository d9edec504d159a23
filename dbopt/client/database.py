"""`Database`: a database as an application uses it, on SQLAlchemy's engine, sessions and pool."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import orm

from dbopt.client import transactions
from dbopt.client.connections import pool
from dbopt.client.connections.engine import make_engine
from dbopt.client.core import Core
from dbopt.client.failures import named
from dbopt.client.operations import Operations
from dbopt.client.runtime import Threads
from dbopt.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    import sqlalchemy as sa

    from dbopt.client.cache import Cache
    from dbopt.client.connections.holders import Holder
    from dbopt.client.meter import Metrics

T = TypeVar("T")

WARMING = 4  # reads at a time, so that warming the cache leaves most of a pool to others


class Database(Operations):
    """For as long as the application runs, made once and used by all its threads; `with`, or `close` at the end.

    `engine` is SQLAlchemy's, and `session()` gives SQLAlchemy's sessions: whatever is done with them is counted, and
    what they write makes cached answers invalid, as with the operations here.
    """

    def __init__(self, url: str | sa.URL | None = None, *, settings: Settings | None = None, **changes: Any) -> None:
        """`url`: a connection string, whoever it was written for; without one, libpq's PG* variables say. `changes` are
        Settings by name, such as max_connections=10. Nothing connects yet. Raises ConfigError, UsageError.
        """
        self.settings = settings or Settings.of(url, **changes)
        self.engine = make_engine(self.settings)
        self._core = Core(self.settings, self.engine, Threads())
        super().__init__(self._core.work)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **changes: Any) -> Self:
        """With what the environment says (DATABASE_URL, DB_MAX_CONNECTIONS, ...), `changes` being stronger. Raises
        ConfigError.
        """
        return cls(settings=Settings.from_env(env, **changes))

    # Sessions of SQLAlchemy's own

    def session(self, **options: Any) -> orm.Session:
        """A session, for `with`. Its objects stay usable after a commit (expire_on_commit=False)."""
        self._core.check_open()
        return orm.Session(self.engine, **{"expire_on_commit": False, **options})

    @contextlib.contextmanager
    def begin(self, **options: Any) -> Iterator[orm.Session]:
        """A session in a transaction that is committed at the end, or rolled back for an exception. It raises
        ConnectionLost and ReadOnlyServer, as the operations do, instead of SQLAlchemy's errors.
        """
        with named(self.engine), self.session(**options) as session, session.begin():
            yield session

    def transaction(
        self,
        body: Callable[[orm.Session], T],
        *,
        isolation: str | None = None,
        read_only: bool = False,
        attempts: int = transactions.ATTEMPTS,
    ) -> T:
        """What `body` gives, in one transaction. After a serialisation failure or a deadlock all of it is run again, up
        to `attempts` times, after a pause: what it does besides writing to the database is done again, too.
        Any other error rolls back and is raised. Raises ConnectionLost; its detail says whether it was at the commit.
        """
        self._core.check_open()
        engine = self.engine.execution_options(**transactions.options(isolation, read_only=read_only))
        tried = transactions.Attempts(attempts)
        while True:
            try:
                with named(self.engine), orm.Session(engine, expire_on_commit=False) as session, session.begin():
                    result = body(session)
                    tried.has_body_ended = True
                return result
            except Exception as error:  # noqa: BLE001 - all but a few are raised again
                time.sleep(tried.pause(error))

    def within(self, session: orm.Session | sa.Connection) -> Operations:
        """The operations as a part of the caller's transaction: they see what it has written and are undone with it."""
        return Operations(lambda: self._core.work(session))

    # The Database itself

    def open(self) -> None:
        """Open `min_connections` now, so that the first requests need not wait for them. Raises ConnectionFailed."""
        self._core.check_open()
        pool.warm(self.engine)

    @property
    def cache(self) -> Cache:
        return self._core.cache

    def warm(self, reads: Iterable[Callable[[Self], object]], concurrency: int = WARMING) -> None:
        """Do the reads, so that their answers are in the cache before they are asked for; `concurrency` at a time. They
        count as neither hits nor misses. The first error ends it, and is raised.
        """
        self._core.warm([functools.partial(read, self) for read in reads], concurrency)

    def metrics(self) -> Metrics:
        """What was counted since the start, or since `reset_metrics`, and how the pool and the cache are now."""
        return self._core.metrics()

    def reset_metrics(self) -> None:
        """Begin to count anew. What is published for `dbopt metrics` goes on."""
        self._core.reset_metrics()

    def holders(self) -> tuple[Holder, ...]:
        """Who has a connection of the pool: for how long, from which line of the program, and for which statement."""
        return self._core.holders()

    def close(self) -> None:
        """Close the connections and publish figures a last time. Once more does no harm."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
