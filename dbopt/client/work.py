"""What an operation works with: a session, its Database's cache and meter, and a way to do several things at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm

from dbopt.client.failures import named
from dbopt.errors import UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from dbopt.client.cache import Cache, Cached
    from dbopt.client.runtime import Runtime

T = TypeVar("T")

# The caller's own transaction, in which an operation takes part.
Within: TypeAlias = "orm.Session | sa.Connection | AsyncSession | AsyncConnection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One call of an operation. `within`: the caller's session, None: one of its own for each piece of the work."""

    engine: sa.Engine
    runtime: Runtime
    cache: Cache
    within: orm.Session | None
    cursor_secrets: Sequence[str] = ()

    @contextlib.contextmanager
    def session(self) -> Iterator[orm.Session]:
        """For reading. The caller's own, as it is; else a new one that leaves nothing behind, and objects that need no
        session any more. Errors of the server come as this library's own where it has a name for them.
        """
        with named(self.engine):
            if self.within is not None:
                yield self.within
                return
            with orm.Session(self.engine, expire_on_commit=False) as session:
                yield session

    @contextlib.contextmanager
    def transaction(self) -> Iterator[orm.Session]:
        """For writing: all of it, or nothing. Within the caller's transaction it is a savepoint of that."""
        with named(self.engine):
            if self.within is not None:
                with self.within.begin_nested():
                    yield self.within
                return
            with orm.Session(self.engine, expire_on_commit=False) as session, session.begin():
                yield session

    def each(self, tasks: Sequence[Callable[[orm.Session], T]], limit: int) -> list[T]:
        """Each with a session: at once, at most `limit`; one after the other within a caller's session."""
        if self.within is not None or limit <= 1 or len(tasks) <= 1:
            with self.session() as session:
                return [task(session) for task in tasks]

        def run(task: Callable[[orm.Session], T]) -> T:
            with self.session() as session:
                return task(session)

        return self.runtime.each([lambda task=task: run(task) for task in tasks], limit)  # type: ignore[misc]

    def cached(
        self, key: Sequence[Any], tables: Collection[str], how: Cached | float | None, make: Callable[[], T]
    ) -> T:
        """What `make` gives, which are plain values, from the cache where it is there. `key`: strings, numbers,
        statements of SQLAlchemy with their values, other plain values, and sequences of those. With `stale_for`, `make`
        may run later, in the background: it uses nothing that is over by then.
        """
        if how is None:
            return make()
        return self.cache.get_or_make(key, tables, how, make, self.within)


def session_of(within: Within | None) -> orm.Session | None:
    """The synchronous session behind whatever the caller has."""
    within = getattr(within, "sync_session", getattr(within, "sync_connection", within))
    if within is None or isinstance(within, orm.Session):
        return within
    if isinstance(within, sa.Connection):
        return orm.Session(within, expire_on_commit=False, join_transaction_mode="rollback_only")
    raise UsageError(
        f"a {type(within).__name__} is no session", hint="Pass a Session or Connection of SQLAlchemy, sync or async."
    )
