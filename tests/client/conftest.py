"""The client on a database of each test's own, with threads and under asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.client import AsyncDatabase, Database

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from server import Database as Own


@pytest.fixture
def url(database: Own) -> str:
    """libpq's conninfo of this test's own database."""
    return database.conninfo


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url, min_connections=0) as made:
        yield made


@pytest.fixture
def run_async(url: str) -> Callable[[Callable[[AsyncDatabase], Awaitable[Any]]], Any]:
    """`run_async(lambda adb: adb.healthcheck())`: in an event loop of its own, with a Database that is closed in it."""

    def run(body: Callable[[AsyncDatabase], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with AsyncDatabase(url, min_connections=0) as made:
                return await body(made)

        return asyncio.run(main())

    return run
