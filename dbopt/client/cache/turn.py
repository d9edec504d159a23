"""Whose turn it is to make an answer: the lock that dogpile's Lock asks for, as one caller sees it.

One caller at a time makes it, in this process and, with Redis, among all of them; nobody waits for ever. Who has
waited long enough, or may not wait, makes the answer too: that costs a query, and no harm is done.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.client.cache.mutex import Mutex

# How often Redis is asked whether another process is done: soon at first, as most queries take milliseconds.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 0.1


class Turn:
    """`among_processes`: tries to get the lock of all processes, and gives what releases it, or None."""

    def __init__(
        self,
        mutex: Mutex,
        wait_seconds: float,
        among_processes: Callable[[], Callable[[], None] | None] | None = None,
    ) -> None:
        self._mutex = mutex
        self._wait_seconds = wait_seconds
        self._among_processes = among_processes
        self._has_mutex = False
        self._release: Callable[[], None] | None = None

    def acquire(self, wait: bool = True) -> bool:
        """True, had or not, where dogpile is prepared to wait: it takes no other answer."""
        ends_at = time.monotonic() + self._wait_seconds
        self._has_mutex = self._mutex.acquire(self._wait_seconds if wait else 0)
        if not self._has_mutex:
            return wait
        try:
            return self._acquire_among_processes(ends_at if wait else 0.0) or wait
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        release, self._release = self._release, None
        try:
            if release is not None:
                release()
        finally:
            if self._has_mutex:
                self._has_mutex = False
                self._mutex.release()

    def _acquire_among_processes(self, ends_at: float) -> bool:
        if self._among_processes is None:
            return True
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._release = self._among_processes()
            if self._release is not None:
                return True
            if time.monotonic() + pause > ends_at:
                if not ends_at:
                    self.release()
                return False
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def sleep(seconds: float) -> None:
    if in_greenlet():
        import asyncio

        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


def blocking(what: Callable[[], Any]) -> Any:
    """What waits for a socket that SQLAlchemy does not know: in a thread, where there is an event loop to go on."""
    if in_greenlet():
        import asyncio

        return await_only(asyncio.to_thread(what))
    return what()
