"""The line in which callers wait for a connection: who comes first is served first.

SQLAlchemy's own queue wakes somebody and lets whoever is quicker take the connection: a thread that takes one again and
again starves those that wait. Here it is handed over. Nothing is held while somebody waits; and since a session that
the garbage collector finds may give its connection back at any time, in the middle of this too, nobody ever waits for
the lock: who finds it taken leaves the rest to its holder, who looks once more after letting go.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import await_only
from sqlalchemy.util.queue import Empty, QueueCommon

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry as Slot


_HANDING_SECONDS = 1.0  # it takes microseconds; nobody waits for a thread that was killed over it


class Shut(Exception):
    """There is nothing to wait for any more."""


class Waiter:
    """A thread that waits."""

    __slots__ = ("_lock", "slot")

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self._lock = threading.Lock()
        self._lock.acquire()

    def is_gone(self) -> bool:
        return False

    def wake(self) -> None:
        self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """False: in vain."""
        return self._lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))


class AsyncWaiter:
    """A task that waits, in its greenlet."""

    __slots__ = ("_future", "_loop", "_thread", "slot")

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._future: asyncio.Future[None] = self._loop.create_future()

    def is_gone(self) -> bool:
        """Its loop was closed while it waited, by who did not end the tasks before."""
        return self._loop.is_closed()

    def wake(self) -> None:
        if threading.get_ident() == self._thread:
            self._done()
        else:
            with contextlib.suppress(RuntimeError):  # the loop was just closed
                self._loop.call_soon_threadsafe(self._done)

    def wait(self, timeout: float | None) -> bool:
        await_only(asyncio.wait((self._future,), timeout=timeout))
        return self._future.done()

    def _done(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


class Line(QueueCommon[Any]):
    """Slots of connections, the one that was used last on top; below them those without a connection."""

    _waiter: type[Waiter | AsyncWaiter] = Waiter

    def __init__(self, maxsize: int = 0, use_lifo: bool = True) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self.idle: deque[Slot] = deque()  # the one that is idle for longest first
        self.vacant: deque[Slot] = deque()
        self.waiting: deque[Waiter | AsyncWaiter] = deque()
        self._shut = False
        self._matching = threading.Lock()

    def qsize(self) -> int:
        return len(self.idle) + len(self.vacant)

    def take(self) -> Slot | None:
        """At once, and never before those who wait."""
        return None if self.waiting else self._pop()

    def get(self, block: bool = True, timeout: float | None = None) -> Slot:
        """Raises Empty when time is up, and Shut."""
        if (slot := self.take()) is not None:
            return slot
        if not block:
            raise Empty
        waiter = self._waiter()
        self.waiting.append(waiter)
        self._match()
        if self._shut:  # perhaps since those who wait were sent away
            self._send_away()
        try:
            is_in_time = waiter.wait(timeout)
        except BaseException:  # cancelled, or interrupted
            if not self._withdraw(waiter) and (slot := self._handed(waiter)) is not None:
                self.put(slot)
            raise
        if not is_in_time and self._withdraw(waiter):
            raise Empty
        handed = self._handed(waiter)
        if handed is None:
            raise Shut
        return handed

    def put(self, item: Slot, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002
        """There is always room: slots are as many as they were."""
        self._lay(item)
        self._match()

    def take_idle(self) -> Slot | None:
        """The one that is idle for longest."""
        try:
            return self.idle.popleft()
        except IndexError:
            return None

    def take_vacant(self) -> Slot | None:
        """One without a connection."""
        try:
            return self.vacant.pop()
        except IndexError:
            return None

    def put_back(self, slot: Slot) -> None:
        """What `take_idle` gave, where it was."""
        self.idle.appendleft(slot)
        self._match()

    def shut(self) -> None:
        """Whoever waits, or comes, gets Shut."""
        self._shut = True
        self._send_away()

    def _pop(self) -> Slot | None:
        for slots in (self.idle, self.vacant):
            with contextlib.suppress(IndexError):
                return slots.pop()
        return None

    def _match(self) -> None:
        while self.waiting and (self.idle or self.vacant):
            if not self._matching.acquire(blocking=False):
                return
            try:
                self._hand_over()
            finally:
                self._matching.release()

    def _hand_over(self) -> None:
        slot = self._pop()
        if slot is None:
            return
        try:
            waiter = self.waiting.popleft()
            while waiter.is_gone():
                waiter = self.waiting.popleft()
        except IndexError:
            self._lay(slot)
            return
        waiter.slot = slot
        waiter.wake()

    def _lay(self, slot: Slot) -> None:
        (self.idle if slot.dbapi_connection is not None else self.vacant).append(slot)

    def _send_away(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self.waiting.popleft().wake()

    def _withdraw(self, waiter: Waiter | AsyncWaiter) -> bool:
        """False: it was called already."""
        try:
            self.waiting.remove(waiter)
        except ValueError:
            return False
        return True

    def _handed(self, waiter: Waiter | AsyncWaiter) -> Slot | None:
        """Of one that is no longer in line: whoever took it out is just about to hand it over. None: shut."""
        deadline = time.monotonic() + _HANDING_SECONDS
        while waiter.slot is None and not self._shut and time.monotonic() < deadline:
            time.sleep(0)
        return waiter.slot


class AsyncLine(Line):
    _waiter = AsyncWaiter
