"""What a Database does for an application, each operation a module of its own; here they only get their Work.

All of it is written once, synchronously: AsyncDatabase runs it in a greenlet, where SQLAlchemy's I/O lets the event
loop go on.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.util import greenlet_spawn

from dbopt.client import health
from dbopt.client.bulk import upsert as bulk
from dbopt.client.paging import pages
from dbopt.client.paging.pages import SIZE
from dbopt.client.reading import aggregates, batching, direct, relations
from dbopt.client.searching import index as search_index
from dbopt.client.searching import search

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from dbopt.client.paging.pages import Page
    from dbopt.client.shape import Model, Readable
    from dbopt.client.work import Work

P = ParamSpec("P")
T = TypeVar("T")


def _operation(function: Callable[Concatenate[Work, P], T]) -> Callable[Concatenate[Operations, P], T]:
    """A function of some module as a method, its parameters and documentation kept."""

    @functools.wraps(function)
    def run(self: Operations, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(self._work(), *args, **kwargs)

    return run


class Operations:
    """Each in a transaction of its own, or all in one of the caller's: `Database.within`."""

    def __init__(self, work: Callable[[], Work]) -> None:
        self._work = work

    rows = _operation(direct.rows)
    one = _operation(direct.one)
    scalar = _operation(direct.scalar)
    execute = _operation(direct.execute)
    fetch_many = _operation(batching.fetch_many)
    load_relations = _operation(relations.load_relations)
    aggregate = _operation(aggregates.aggregate)
    paginate = _operation(pages.paginate)
    pages = _operation(pages.iterate)
    search = _operation(search.search)
    check_index = _operation(search_index.check_index)
    bulk_upsert = _operation(bulk.bulk_upsert)
    healthcheck = _operation(health.healthcheck)


def _awaited(
    method: Callable[Concatenate[Operations, P], T],
) -> Callable[Concatenate[AsyncOperations, P], Coroutine[Any, Any, T]]:
    @functools.wraps(method)
    async def run(self: AsyncOperations, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await greenlet_spawn(functools.partial(method, self._operations, *args, **kwargs))

    return run


class AsyncOperations:
    """The same as coroutines."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    rows = _awaited(Operations.rows)
    one = _awaited(Operations.one)
    scalar = _awaited(Operations.scalar)
    execute = _awaited(Operations.execute)
    fetch_many = _awaited(Operations.fetch_many)
    load_relations = _awaited(Operations.load_relations)
    aggregate = _awaited(Operations.aggregate)
    paginate = _awaited(Operations.paginate)
    search = _awaited(Operations.search)
    check_index = _awaited(Operations.check_index)
    bulk_upsert = _awaited(Operations.bulk_upsert)
    healthcheck = _awaited(Operations.healthcheck)

    async def pages(
        self,
        what: Model | Readable,
        *,
        order_by: Any = (),
        size: int = SIZE,
        after: str | None = None,
        unique: Any = (),
    ) -> AsyncIterator[Page[Any]]:
        """As Operations.pages, for `async for`."""
        while True:
            page = await self.paginate(what, order_by=order_by, size=size, after=after, unique=unique)
            yield page
            if page.next_cursor is None:
                return
            after = page.next_cursor
