"""A lock that threads and tasks of an event loop wait for alike.

A task that waits lets its loop go on; whoever gives up, be it cancelled, leaves the queue, and hands on what it was
given in that moment. First come, first served.
"""

from __future__ import annotations

import threading
from collections import deque

from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet


class Mutex:
    def __init__(self) -> None:
        self._guard = threading.Lock()  # never held while waiting
        self._is_held = False
        self._queue: deque[_Waiter] = deque()

    def acquire(self, timeout_seconds: float | None) -> bool:
        """0: do not wait, None: for ever. False: not in that time."""
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return True
            if timeout_seconds == 0:
                return False
            waiter = _Task() if in_greenlet() else _Waiter()
            self._queue.append(waiter)
        try:
            waiter.wait(timeout_seconds)
        except BaseException:  # cancelled, or Ctrl-C
            if self._leave(waiter):
                self.release()
            raise
        return self._leave(waiter)

    def release(self) -> None:
        with self._guard:
            while self._queue:
                waiter = self._queue.popleft()
                if waiter.wake():
                    return  # it is theirs now
            self._is_held = False

    def _leave(self, waiter: _Waiter) -> bool:
        """Whether the lock has been given to this one."""
        with self._guard:
            if not waiter.has_it:
                self._queue.remove(waiter)
            return waiter.has_it


class _Waiter:
    """A thread."""

    def __init__(self) -> None:
        self.has_it = False
        self._event = threading.Event()

    def wait(self, timeout_seconds: float | None) -> None:
        self._event.wait(timeout_seconds)

    def wake(self) -> bool:
        self.has_it = True
        self._event.set()
        return True


class _Task(_Waiter):
    def __init__(self) -> None:
        import asyncio

        self.has_it = False
        self._loop = asyncio.get_running_loop()
        self._woken = self._loop.create_future()

    def wait(self, timeout_seconds: float | None) -> None:
        import asyncio

        await_only(asyncio.wait((self._woken,), timeout=timeout_seconds))

    def wake(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._set)
        except RuntimeError:  # its loop is closed, and nobody is left to take it
            return False
        self.has_it = True
        return True

    def _set(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)
