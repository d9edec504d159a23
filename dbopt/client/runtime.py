"""Threads or asyncio: how an operation waits, and does several things at once.

Every operation is written once, as plain functions. Under asyncio they run in a greenlet, where SQLAlchemy's I/O gives
the event loop its turn; what else would block goes through here. No lock of threading's is held over I/O anywhere in
the client: the task that holds it would wait for the loop that waits for it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Runtime(Protocol):
    def each(self, tasks: Sequence[Callable[[], T]], limit: int) -> list[T]:
        """The results in the order of the tasks, at most `limit` of them under way at a time. The first error ends it:
        nothing is begun any more, what is under way is awaited (cancelled under asyncio), and the error is raised.
        """

    def sleep(self, seconds: float) -> None: ...


class Threads:
    def each(self, tasks: Sequence[Callable[[], T]], limit: int) -> list[T]:
        if len(tasks) <= 1 or limit <= 1:
            return [task() for task in tasks]
        with ThreadPoolExecutor(min(limit, len(tasks)), thread_name_prefix="dbopt client") as pool:
            futures = [pool.submit(copy_context().run, task) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Asyncio:
    def each(self, tasks: Sequence[Callable[[], T]], limit: int) -> list[T]:
        if len(tasks) <= 1 or limit <= 1:
            return [task() for task in tasks]
        return await_only(_each(tasks, limit))

    def sleep(self, seconds: float) -> None:
        await_only(asyncio.sleep(seconds))


async def _each(tasks: Sequence[Callable[[], T]], limit: int) -> list[T]:
    free = asyncio.Semaphore(limit)

    async def one(task: Callable[[], T]) -> T:
        async with free:
            return await greenlet_spawn(task)

    running = [asyncio.ensure_future(one(task)) for task in tasks]
    try:
        return await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
