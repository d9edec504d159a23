"""What a Database does beside the application's own work: one thread, which comes and goes with the process.

The thread starts with the first connection that is lent out, so that a Database which is only made, as before a fork,
has none. It is a daemon and knows its Database weakly: it keeps neither the process nor the Database alive. A child
process gets one of its own.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa

logger = logging.getLogger("dbopt.client")

EVERY_SECONDS = 10.0  # as often as figures are published
# The last publication of a process that ends may take so long: an application is not held up for a store.
END_SECONDS = 2.0

_all: weakref.WeakSet[Background] = weakref.WeakSet()


class Background:
    """`ticks` are called every `every_seconds`, by one thread, one after the other; one that fails costs a warning and
    is called again. `ends` are called in that thread when it ends in good order.
    """

    def __init__(
        self,
        engine: sa.Engine,
        ticks: Sequence[Callable[[], object]],
        *,
        ends: Sequence[Callable[[], object]] = (),
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._ticks = tuple(ticks)
        self._ends = tuple(ends)
        self._every_seconds = every_seconds
        self._is_closed = False
        self._forked()
        _all.add(self)
        event.listen(engine, "checkout", self._wake)

    def _forked(self) -> None:
        """As in a new process: a thread, and whoever held the lock, stayed with the parent."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._warned: set[Callable[[], object]] = set()

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def close(self, wait_seconds: float = END_SECONDS) -> None:
        """End it, with the `ends`, which are not waited for any longer than that. More than once does no harm."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(wait_seconds)

    def _wake(self, *_of_event: Any) -> None:
        """At each connection that is lent out, so it is cheap."""
        if self._thread is not None or self._is_closed:
            return
        with self._lock:
            if self._thread is not None or self._is_closed:
                return
            self._thread = threading.Thread(
                target=_run,
                args=(weakref.ref(self), self._stop, self._every_seconds),
                name="dbopt client",
                daemon=True,
            )
            try:
                self._thread.start()
            except RuntimeError:  # the process ends, or may have no more threads: the application's work goes on
                self._is_closed = True

    def _tick(self) -> None:
        for tick in self._ticks:
            self._call(tick)

    def _finish(self) -> None:
        for end in self._ends:
            self._call(end)

    def _call(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception:  # the application's own work does not depend on this
            if what not in self._warned:
                self._warned.add(what)
                logger.warning("a background task of dbopt.client failed; it is tried again", exc_info=True)


def _run(reference: weakref.ref[Background], stop: threading.Event, every_seconds: float) -> None:
    while not stop.wait(every_seconds):
        if not _told(reference, Background._tick):
            return
    _told(reference, Background._finish)


def _told(reference: weakref.ref[Background], what: Callable[[Background], object]) -> bool:
    """In a function, so that the thread holds on to it no longer than that. False: it is gone."""
    own = reference()
    if own is None:
        return False
    what(own)
    return True


def _fork_all() -> None:
    for background in _all:
        background._forked()


def _end_all() -> None:
    for background in list(_all):
        background.close()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
