"""Answers made anew in the background, a few at a time: threads, or tasks of the event loop that asked."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# Each takes a connection from those who wait for theirs. What finds no room is renewed when it is asked for again.
MOST = 4


class Renewals:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[threading.Thread | asyncio.Task[Any]] = set()
        self._is_closed = False

    def start(self, work: Callable[[], None], left: Callable[[], None]) -> None:
        """`work` raises nothing; `left` is called where it is not begun, for want of room, or cancelled before."""
        with self._lock:
            has_room = not self._is_closed and len(self._running) < MOST
            if has_room:
                self._start(work, left)
        if not has_room:
            left()

    def _start(self, work: Callable[[], None], left: Callable[[], None]) -> None:
        if in_greenlet():
            import asyncio

            # In a context of its own: it is no part of what the caller does.
            task = asyncio.get_running_loop().create_task(greenlet_spawn(work), context=contextvars.Context())
            self._running.add(task)
            task.add_done_callback(lambda task: self._ended(task, left if task.cancelled() else None))
            return
        thread = threading.Thread(target=self._run, args=(work,), name="dbopt cache renewal", daemon=True)
        thread.start()
        self._running.add(thread)

    def close(self) -> None:
        """Threads are waited for, as long as their statements may take; tasks are cancelled."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        tasks = [one for one in running if not isinstance(one, threading.Thread)]
        if tasks:
            _cancel(tasks)
        for one in running:
            if isinstance(one, threading.Thread):
                one.join()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._ended(threading.current_thread())

    def _ended(self, one: threading.Thread | asyncio.Task[Any], left: Callable[[], None] | None = None) -> None:
        with self._lock:
            self._running.discard(one)
        if left is not None:
            left()


def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    """From wherever it is called: in the loop itself there is no waiting for them."""
    import asyncio

    loop = tasks[0].get_loop()
    try:
        is_inside = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_inside = False
    if is_inside:
        for task in tasks:
            task.cancel()
        if in_greenlet():
            await_only(asyncio.wait(tasks))
    elif loop.is_running():

        async def cancel() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

        asyncio.run_coroutine_threadsafe(cancel(), loop).result()
